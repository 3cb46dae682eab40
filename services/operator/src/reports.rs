//! What gateways have told last, and when.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::Uri;
use ovomesh_api::pb::load::v1::{StageLoad, WatchResponse};
use ovomesh_scaling as scaling;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A report that is older says nothing about now: gateways tell every half second.
const FRESH: Duration = Duration::from_secs(3);

/// All gateways behind one Service.
#[derive(Default)]
pub struct Reports(Mutex<HashMap<Uri, Option<(WatchResponse, Instant)>>>);

impl Reports {
    /// Gateways come and go.
    pub fn expect(&self, gateways: &HashSet<Uri>) {
        let mut all = self.0.lock();
        all.retain(|gateway, _| gateways.contains(gateway));
        for gateway in gateways {
            all.entry(gateway.clone()).or_default();
        }
    }

    /// A gateway tells its load.
    pub fn tell(&self, gateway: &Uri, load: WatchResponse) {
        // One that is expected no longer must not come back by a late word.
        if let Some(last) = self.0.lock().get_mut(gateway) {
            *last = Some((load, Instant::now()));
        }
    }

    /// How many gateways there are, and what is fresh of what they told.
    pub fn seen(&self) -> (u32, Vec<scaling::Gateway>) {
        let all = self.0.lock();
        let fresh = all.values().flatten().filter(|(_, at)| at.elapsed() < FRESH);
        (u32::try_from(all.len()).unwrap_or(u32::MAX), fresh.map(|(load, _)| gateway(load)).collect())
    }
}

fn gateway(load: &WatchResponse) -> scaling::Gateway {
    scaling::Gateway {
        name: load.instance.clone(),
        arrived: load.arrived,
        preprocess: stage(load.preprocess.as_ref()),
        inference: stage(load.inference.as_ref()),
        store: stage(load.store.as_ref()),
        late_backlog: 0,
    }
}

fn stage(load: Option<&StageLoad>) -> scaling::StageLoad {
    let StageLoad { completed, busy_us, backlog } = load.copied().unwrap_or_default();
    scaling::StageLoad { completed, busy: Duration::from_micros(busy_us), backlog }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_old_report_is_none_and_its_gateway_is_still_expected() {
        let reports = Reports::default();
        let [one, two]: [Uri; 2] = ["http://10.0.0.1:1", "http://10.0.0.2:1"].map(|uri| uri.parse().unwrap());
        reports.expect(&[one.clone(), two.clone()].into());
        let load =
            |instance: &str| WatchResponse { instance: instance.into(), arrived: 7, ..Default::default() };
        reports.tell(&one, load("one"));
        assert_eq!((reports.seen().0, reports.seen().1.len()), (2, 1));
        tokio::time::advance(FRESH).await;
        reports.tell(&two, load("two"));
        let (expected, seen) = reports.seen();
        assert_eq!((expected, seen.len(), seen[0].name.as_str(), seen[0].arrived), (2, 1, "two", 7));
        reports.expect(&[one].into());
        reports.tell(&two, load("two"));
        assert_eq!((reports.seen().0, reports.seen().1.len()), (1, 0));
    }
}
