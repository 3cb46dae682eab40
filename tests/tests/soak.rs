//! No service keeps anything for a scan that it stores nowhere: the short form of `cargo xtask bench soak`.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use ovomesh_testkit::Fleet;
use ovomesh_tests::programs;
use ovomesh_tests::soak::{Kind, idle_watchers, resident, shape, until_idle};

/// Scans before the first measurement: buffers and pools are as large as they become.
const WARM_UP: usize = 10_000;
/// Scans between the measurements.
const SCANS: usize = 30_000;
/// Bytes that a process may grow for each of them. What is kept for a scan takes more: its id, its line and its state
/// alone are about 1 KiB in a gateway.
const BYTES: u64 = 400;

/// Loads the fleet with scans of which nothing may stay, with pods that come and go, and watchers that read nothing.
async fn load(fleet: &mut Fleet, name: &str, scans: usize) {
    let _watchers = idle_watchers(fleet, 10).await.unwrap();
    // Most of them break: they are what nobody waits for.
    for (kind, tenths) in [(Kind::Refused, 2), (Kind::Broken, 8)] {
        kind.send(fleet, &format!("{name}-{kind:?}"), scans * tenths / 10).await.unwrap();
    }
    fleet.get_mut("inference-1").unwrap().kill().unwrap();
    fleet.restart("inference-1").unwrap();
    Kind::Repeated.send(fleet, &format!("{name}-repeated"), 200).await.unwrap();
    until_idle(fleet).await.unwrap();
}

#[tokio::test]
async fn scans_that_are_refused_or_whose_session_breaks_leave_nothing_in_any_service() {
    let mut fleet = Fleet::start(&programs(), shape().unwrap()).unwrap();
    load(&mut fleet, "warm-up", WARM_UP).await;
    let before = resident(&fleet);
    load(&mut fleet, "soak", SCANS).await;
    let after = resident(&fleet);
    let grown = |name: &str| after[name].saturating_sub(before[name]) / SCANS as u64;
    // That one is another process than before.
    let names = before.keys().filter(|name| *name != "inference-1");
    let growth: Vec<_> = names.map(|name| (name, grown(name))).collect();
    println!("bytes a scan: {growth:?}");
    assert!(growth.iter().all(|(_, bytes)| *bytes < BYTES), "bytes a scan: {growth:?}");
}
