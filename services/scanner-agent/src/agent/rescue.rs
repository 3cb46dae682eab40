//! A scan whose task panics continues from what is on disk: an accepted scan ends in one row whatever happens.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use ovomesh_api::{Reason, Row, ScanMeta, Verdict};
use ovomesh_spool::Entry;

use super::Agent;
use crate::feed;
use crate::in_flight::{InFlightScan, OnDisk, Progress};
use crate::spooled;

/// Why a scan has no other verdict, for people.
const PANICKED: &str = "the agent panicked on this scan; this is a defect, please report it";

impl Agent {
    /// Starts the task that carries a scan through its life.
    pub(super) fn spawn(
        self: &Arc<Self>,
        in_flight: Arc<InFlightScan>,
        life: impl Future<Output = ()> + Send + 'static,
    ) {
        let agent = self.clone();
        self.lifecycle.spawn("scan", async move {
            if AssertUnwindSafe(life).catch_unwind().await.is_err() {
                tracing::error!(scan = %in_flight.key, PANICKED);
                metrics::counter!("ovomesh_agent_panics_total").increment(1);
                agent.rescue(in_flight).await;
            }
        });
    }

    async fn rescue(self: Arc<Self>, in_flight: Arc<InFlightScan>) {
        if self.in_flight(&in_flight.key).is_none_or(|open| !Arc::ptr_eq(&open, &in_flight)) {
            // It had come to its end.
            return;
        }
        let continued = match in_flight.on_disk() {
            OnDisk::Nothing => Err("nothing of it is on disk".to_owned()),
            OnDisk::Scan(entry) => match self.failed_row(&in_flight, &entry) {
                Ok(row) => {
                    in_flight.is_decided();
                    let recorded = self.record(&in_flight, row).await;
                    self.spool.decided(&entry);
                    Ok(recorded)
                }
                Err(why) => {
                    self.spool.decided(&entry);
                    Err(why)
                }
            },
            OnDisk::Verdict(released, at) => self.read_row(&released).map(|row| (row, released, at)),
        };
        match continued {
            Ok((row, released, at)) => {
                let stored = self.release(&in_flight, &row);
                if feed::line_of(row.row()).is_some_and(|line| !self.feed.has(line, &in_flight.key)) {
                    self.feed.released(row.row(), at);
                }
                self.until_stored(in_flight, row, released, stored).await;
            }
            Err(why) => {
                tracing::error!(scan = %in_flight.key, why, "a scan could not be continued");
                self.scans.lock().remove(&in_flight.key);
                in_flight.tell(Progress::Refused(PANICKED.into()));
            }
        }
    }

    /// UNDECIDED(failed) for a scan on disk. Its volume is not looked at: the panic may be due to it.
    fn failed_row(&self, in_flight: &InFlightScan, entry: &Entry) -> Result<Row, String> {
        let kept = self.spool.scan(entry).map_err(|error| error.to_string()).and_then(spooled::read_scan)?;
        let meta = ScanMeta::parse(&kept.scan, kept.received_at).map_err(|error| error.to_string())?;
        let mut meta = ScanMeta { image: in_flight.image, ..meta };
        self.clock.correct_times(&mut meta, kept.stamp);
        let line = self.settings.lines.get(&meta.place.line_id);
        Ok(meta.row(&line, Verdict::undecided(Reason::Failed, PANICKED), None))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use ovomesh_api::pb::scan::v1::{Place, Purpose, Scan};
    use ovomesh_api::time::Given;
    use ovomesh_api::volume::smallest;
    use ovomesh_api::{Image, LineBook, LineId, time};
    use ovomesh_mesh::Lifecycle;
    use ovomesh_spool::{Limits, Spool, SpoolContents};
    use tokio::time::Instant;

    use super::*;
    use crate::agent::{Admission, ScanState, Settings};
    use crate::memory::Room;
    use crate::spooled::SpooledScan;

    const LIMITS: Limits = Limits { scan_bytes: 1 << 20, verdict_bytes: 1 << 20 };

    fn agent(folder: &std::path::Path) -> (Arc<Agent>, [usize; 3]) {
        let (spool, left) = Spool::open(folder, LIMITS).unwrap();
        let counts = [left.undecided.len(), left.unsettled.len(), left.settled.len()];
        let settings = Settings {
            lines: LineBook::default(),
            max_volume_bytes: 1 << 20,
            memory_bytes: 32 << 20,
            failed: folder.join("failed"),
        };
        (Agent::new(settings, spool, SpoolContents::default(), Lifecycle::new()), counts)
    }

    fn scan() -> Scan {
        Scan {
            scan_id: "7".into(),
            place: Some(Place { site: "north".into(), line: "1".into(), ..Place::default() }),
            purpose: Purpose::Production.into(),
            acquired_at: Some(time::to_pb(Timestamp::now())),
            volume: Some(smallest(0)),
            ..Scan::default()
        }
    }

    /// A scan that has arrived, whose task panics after the first steps of its life.
    fn panicking(agent: &Arc<Agent>, steps: usize) -> Admission {
        let now = Timestamp::now();
        let meta = ovomesh_api::Scan::parse(scan(), 1 << 20, now).unwrap().meta;
        let in_flight = Arc::new(InFlightScan::new(&meta, 512, Instant::now()));
        agent.insert(in_flight.key.clone(), ScanState::InFlight(in_flight.clone()));
        let admission = Admission::InFlight(in_flight.follow());
        let (this, agent) = (agent.clone(), agent.clone());
        this.spawn(in_flight.clone(), async move {
            assert!(steps > 0, "before it is accepted");
            let (_, stamp) = agent.clock.stamp(Given::Time);
            let kept = SpooledScan { scan: scan(), received_at: now, deadline: in_flight.deadline, stamp };
            let entry = agent.spool.accept(&in_flight.record, spooled::write_scan(kept)).await.unwrap();
            in_flight.is_on_disk(OnDisk::Scan(entry.clone()));
            in_flight.tell(Progress::Accepted);
            assert!(steps > 1, "when it is accepted");
            let _decided = in_flight.waits_for_decision();
            assert!(steps > 2, "while it waits for a verdict");
            let line = agent.settings.lines.get(&meta.place.line_id);
            let row = meta.row(&line, Verdict::timed_out(), None);
            let (row, released, at) = agent.record(&in_flight, row).await;
            agent.spool.decided(&entry);
            assert!(steps > 3, "when its verdict is recorded");
            let _stored = agent.release(&in_flight, &row);
            agent.feed.released(row.row(), at);
            assert!(steps > 4, "while it waits for the store");
            drop(released);
        });
        admission
    }

    #[tokio::test]
    async fn an_accepted_scan_whose_task_panics_ends_in_one_row() {
        for steps in 1..=4 {
            let folder = tempfile::tempdir().unwrap();
            let (agent, _) = agent(folder.path());
            let recorded = within_limit(panicking(&agent, steps).row()).await.unwrap();
            let row = recorded.row();
            let reason = if steps < 3 { Reason::Failed } else { Reason::Expired };
            assert_eq!(row.verdict.call.reason(), Some(reason), "{steps}");
            assert_eq!(row.meta.image, image_of_zeros(), "{steps}");
            let key = row.key();
            assert_eq!(agent.row(&key), Some(recorded), "it waits for the store");
            let line = LineId::parse("north", "1").unwrap();
            assert_eq!(agent.feed.follow(line, false).1, 1, "its sorter receives it once");
            agent.stored(&key, Ok(()));
            within_limit(async {
                while agent.in_flight_count() > 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            drop(agent);
            let (_desk, left) = self::agent(folder.path());
            assert_eq!(left, [0, 0, 1], "after {steps} steps");
        }
    }

    #[tokio::test]
    async fn a_scan_whose_task_panics_before_it_is_accepted_is_refused_and_may_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let (agent, _) = agent(folder.path());
        let refused = within_limit(panicking(&agent, 0).row()).await.unwrap_err();
        assert!(refused.contains("panicked"), "{refused}");
        let again = agent.take(scan(), &[], 1 << 20, Instant::now(), Room::default()).unwrap();
        let again = within_limit(again.row()).await.unwrap();
        assert_eq!(again.row().verdict.call.reason(), Some(Reason::Expired));
    }

    /// As of a scanner that counts from 1 again each day.
    #[tokio::test]
    async fn a_scan_is_not_lost_in_a_restart_because_records_of_an_earlier_one_of_its_id_are_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let meta = ovomesh_api::Scan::parse(scan(), 1 << 20, Timestamp::now()).unwrap().meta;
        let [first, undecided, unsettled] =
            [(); 3].map(|()| InFlightScan::new(&meta, 512, Instant::now()).record);
        let (spool, _) = Spool::open(folder.path(), LIMITS).unwrap();
        let entry = spool.accept(&first, "a scan".into()).await.unwrap();
        let mut released = spool.release(&first, "a verdict".into()).await.unwrap();
        spool.decided(&entry);
        spool.committed(&mut released).await.unwrap();
        spool.forget(&released);
        spool.accept(&undecided, "a scan".into()).await.unwrap();
        spool.release(&unsettled, "a verdict".into()).await.unwrap();
        drop(spool);
        let (_, left) = Spool::open(folder.path(), LIMITS).unwrap();
        assert_eq!([left.undecided.len(), left.unsettled.len(), left.settled.len()], [1, 1, 1]);
    }

    fn image_of_zeros() -> Image {
        ovomesh_api::Scan::parse(scan(), 1 << 20, Timestamp::now()).unwrap().meta.image
    }

    async fn within_limit<T>(waiting: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("within 30 s")
    }
}
