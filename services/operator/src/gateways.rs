//! A stream to each gateway behind a Service, on which it reports its load.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use kube::Client;
use ovomesh_api::pb::load::v1::WatchRequest;
use ovomesh_api::pb::load::v1::load_service_client::LoadServiceClient;
use ovomesh_bootstrap::discover;
use ovomesh_mesh::{Backoff, Connector, Discover as _, Lifecycle, explain};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::reports::Reports;

/// Name of the gateways' port in their Service.
const PORT: &str = "grpc";
/// How often gateways report: twice for each decision.
const EVERY_MS: u32 = 500;
/// Waits before a gateway is called again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
/// A gateway that reports nothing for this time is called anew.
const SILENCE: Duration = Duration::from_secs(5);

/// The gateways of one Service, followed until this is dropped.
pub struct Gateways {
    /// What they have reported.
    pub reports: Arc<Reports>,
    _gone: DropGuard,
}

impl Gateways {
    /// Follows them from now on.
    pub fn follow(
        client: &Client,
        (namespace, service): (&str, &str),
        connector: &Connector,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (reports, gone) = (Arc::new(Reports::default()), lifecycle.drain.child_token());
        let replicas = discover::of(client, namespace, service, PORT);
        let following = follow(replicas, reports.clone(), connector.clone(), lifecycle.clone(), gone.clone());
        lifecycle.spawn("gateways", following);
        Self { reports, _gone: gone.drop_guard() }
    }
}

async fn follow(
    mut replicas: discover::Replicas,
    reports: Arc<Reports>,
    connector: Connector,
    lifecycle: Lifecycle,
    gone: CancellationToken,
) {
    let mut known: HashMap<Uri, CancellationToken> = HashMap::new();
    loop {
        let found = tokio::select! {
            () = gone.cancelled() => return,
            found = replicas.next() => found,
        };
        let Some(found) = found else { return };
        reports.expect(&found);
        known.retain(|gateway, leave| {
            let stays = found.contains(gateway);
            if !stays {
                leave.cancel();
            }
            stays
        });
        for gateway in found {
            known.entry(gateway).or_insert_with_key(|gateway| {
                let leave = gone.child_token();
                let listening = listen(gateway.clone(), reports.clone(), connector.clone());
                let until = leave.clone();
                lifecycle.spawn("gateway", async move {
                    tokio::select! {
                        () = until.cancelled() => {}
                        () = listening => {}
                    }
                });
                leave
            });
        }
    }
}

/// Listens to one gateway, for ever. That it reports nothing is logged once, until it reports again.
async fn listen(gateway: Uri, reports: Arc<Reports>, connector: Connector) {
    let (mut backoff, mut is_logged) = (BACKOFF, false);
    loop {
        let mut spoke = false;
        let ended = one_stream(&gateway, &reports, &connector, &mut spoke).await;
        if spoke {
            backoff.reset();
        }
        if let Err(error) = ended
            && (spoke || !is_logged)
        {
            let error = explain(&*error);
            tracing::warn!(%gateway, error, "a gateway does not report its load; trying again");
            is_logged = true;
        }
        backoff.wait().await;
    }
}

async fn one_stream(
    gateway: &Uri,
    reports: &Reports,
    connector: &Connector,
    spoke: &mut bool,
) -> anyhow::Result<()> {
    let channel = tokio::time::timeout(SILENCE, connector.connect(gateway)).await??;
    let mut client = LoadServiceClient::new(channel);
    let request = WatchRequest { every_ms: EVERY_MS };
    let mut loads = tokio::time::timeout(SILENCE, client.watch(request)).await??.into_inner();
    while let Some(load) = tokio::time::timeout(SILENCE, loads.message()).await?? {
        *spoke = true;
        reports.report(gateway, load);
    }
    Ok(())
}
