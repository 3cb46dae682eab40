//! Discovery: one task for each replica that it finds.

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;
use tokio_util::sync::CancellationToken;

use super::link;
use super::shared::Shared;
use crate::balance::ReplicaId;
use crate::{Connector, Discover, Lifecycle, Stage};

pub(super) async fn follow<S: Stage>(
    shared: Arc<Shared<S>>,
    mut discovery: impl Discover,
    connector: Arc<Connector>,
    lifecycle: Lifecycle,
) {
    let mut known: HashMap<Uri, (ReplicaId, CancellationToken)> = HashMap::new();
    loop {
        let found = tokio::select! {
            () = shared.gone.cancelled() => return,
            found = discovery.next() => found,
        };
        let Some(found) = found else { return };
        known.retain(|uri, (id, leave)| {
            let stays = found.contains(uri);
            if !stays {
                tracing::info!(stage = S::NAME, endpoint = %uri, "replica is gone from discovery");
                shared.remove(*id);
                leave.cancel();
            }
            stays
        });
        for uri in found {
            known.entry(uri).or_insert_with_key(|uri| {
                let id = shared.add(uri.clone());
                let leave = shared.gone.child_token();
                let keep =
                    link::keep(Arc::clone(&shared), id, uri.clone(), Arc::clone(&connector), leave.clone());
                lifecycle.spawn("pool link", keep);
                (id, leave)
            });
        }
    }
}
