//! What gateways reported last, and when.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::Uri;
use ovomesh_api::pb::load::v1::{StageLoad, WatchResponse};
use ovomesh_api::stages::{Append, Infer, MAIN_POOL, Prepare};
use ovomesh_mesh::Stage as _;
use ovomesh_scaling::{self as scaling, Stage};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A report that is older says nothing about now: gateways report every half second.
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

    /// A gateway reports its load.
    pub fn report(&self, gateway: &Uri, load: WatchResponse) {
        // One that is no longer expected must not return by a late report.
        if let Some(last) = self.0.lock().get_mut(gateway) {
            *last = Some((load, Instant::now()));
        }
    }

    /// How many gateways there are, and what those with a fresh report say of this pool of inference. A gateway that does
    /// not know the pool says nothing: it is unseen, so that nothing of the pool is taken away.
    pub fn of_pool(&self, pool: &str) -> (u32, Vec<scaling::Gateway>) {
        let all = self.0.lock();
        let fresh = all.values().flatten().filter(|(_, at)| at.elapsed() < FRESH);
        let gateways = fresh.filter_map(|(load, _)| gateway(load, pool)).collect();
        (u32::try_from(all.len()).unwrap_or(u32::MAX), gateways)
    }
}

fn gateway(load: &WatchResponse, pool: &str) -> Option<scaling::Gateway> {
    let mut gateway = scaling::Gateway { name: load.instance.clone(), ..Default::default() };
    let mut knows_pool = false;
    for load in stages(load).iter() {
        let Some(stage) = Stage::named(&load.stage) else { continue };
        if stage == Stage::Inference {
            if load.pool != pool {
                continue;
            }
            knows_pool = true;
            gateway.arrived = load.arrived;
        }
        let sum = &mut gateway.stages[stage];
        sum.completed += load.completed;
        sum.busy += Duration::from_micros(load.busy_us);
        sum.backlog += load.backlog;
    }
    knows_pool.then_some(gateway)
}

/// Every pool of every stage. A gateway of 0.1 has three fields instead, of its only pools.
fn stages(load: &WatchResponse) -> Cow<'_, [StageLoad]> {
    if !load.stages.is_empty() {
        return Cow::Borrowed(&load.stages);
    }
    let old =
        [(Prepare::NAME, &load.preprocess), (Infer::NAME, &load.inference), (Append::NAME, &load.store)];
    let named = |(stage, of_stage): (&str, &Option<StageLoad>)| StageLoad {
        stage: stage.into(),
        pool: MAIN_POOL.into(),
        arrived: load.arrived,
        ..of_stage.clone().unwrap_or_default()
    };
    Cow::Owned(old.map(named).into())
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
        reports.report(&one, load("one"));
        assert_eq!((reports.of_pool(MAIN_POOL).0, reports.of_pool(MAIN_POOL).1.len()), (2, 1));
        tokio::time::advance(FRESH).await;
        reports.report(&two, load("two"));
        let (expected, seen) = reports.of_pool(MAIN_POOL);
        assert_eq!((expected, seen.len(), seen[0].name.as_str(), seen[0].arrived), (2, 1, "two", 7));
        reports.expect(&[one].into());
        reports.report(&two, load("two"));
        assert_eq!((reports.of_pool(MAIN_POOL).0, reports.of_pool(MAIN_POOL).1.len()), (1, 0));
    }

    fn load(stage: &str, pool: &str, arrived: u64) -> StageLoad {
        let (stage, pool) = (stage.into(), pool.into());
        StageLoad { stage, pool, arrived, completed: arrived, busy_us: arrived * 20_000, backlog: 3 }
    }

    fn pool(response: &WatchResponse, pool: &str) -> Option<(u64, [u64; 3])> {
        let gateway = gateway(response, pool)?;
        Some((gateway.arrived, Stage::ALL.map(|stage| gateway.stages[stage].completed)))
    }

    #[test]
    fn stages_are_named_as_the_mesh_names_them() {
        let names = [Prepare::NAME, Infer::NAME, Append::NAME];
        assert_eq!(names.map(Stage::named), Stage::ALL.map(Some));
    }

    #[test]
    fn each_pool_reads_its_own_load_and_every_other_stage() {
        let stages = vec![
            load(Prepare::NAME, MAIN_POOL, 90),
            load(Infer::NAME, MAIN_POOL, 80),
            load(Infer::NAME, "shadow", 7),
            load(Append::NAME, MAIN_POOL, 60),
            load("weigh", MAIN_POOL, 1_000_000),
        ];
        let response = WatchResponse { arrived: 90, stages, ..Default::default() };
        assert_eq!(pool(&response, MAIN_POOL), Some((80, [90, 80, 60])));
        assert_eq!(pool(&response, "shadow"), Some((7, [90, 7, 60])));
        assert_eq!(pool(&response, "canary"), None, "nothing is said of it");
    }

    #[test]
    fn a_gateway_of_0_1_has_one_pool_of_each_stage() {
        let of_stage = |completed| Some(StageLoad { completed, ..Default::default() });
        let response = WatchResponse {
            instance: "old".into(),
            arrived: 9,
            preprocess: of_stage(8),
            inference: of_stage(7),
            store: of_stage(6),
            stages: Vec::new(),
        };
        assert_eq!(pool(&response, MAIN_POOL), Some((9, [8, 7, 6])));
        assert_eq!(pool(&response, "shadow"), None, "it has none");
    }
}
