//! The one timer of a pool: expiry, gauges, and the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::Stage;

/// How often gauges are set: far more often than they are read, far less often than they change.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn keep<S: Stage>(shared: Arc<Shared<S>>, drain: CancellationToken) {
    let mut gauges = interval(GAUGES_EVERY);
    gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut grace = None;
    loop {
        let alarm = shared.alarm();
        tokio::select! {
            () = shared.gone.cancelled() => break,
            () = shared.rearmed.notified() => {}
            () = at(alarm), if alarm.is_some() => shared.tick(),
            _ = gauges.tick() => shared.gauge(),
            () = drain.cancelled(), if grace.is_none() => {
                grace = Some(Instant::now() + shared.config.drain_grace);
                shared.close();
            }
            () = at(grace), if grace.is_some() => break,
        }
    }
    shared.abort();
    shared.gauge();
}

async fn at(time: Option<Instant>) {
    if let Some(time) = time {
        sleep_until(time).await;
    }
}
