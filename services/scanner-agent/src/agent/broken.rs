//! Scans whose image can never be computed: their eggs get a verdict and a row all the same. And what images that come by
//! DICOM or as files need of the agent beside [`Agent::take`]: whoever sent them waits until they are kept.

use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::time::Given;
use ovomesh_api::{Image, Invalid, LineId, Reason, RecordedRow, ScanKey, ScanMeta, Verdict};
use tokio::time::Instant;

use super::{Admission, Agent, ScanState, no_room};
use crate::in_flight::{InFlightScan, Progress};

impl Agent {
    /// Settles a scan that can never be computed as UNDECIDED(rejected) for this reason, so that its egg has a verdict and
    /// a row all the same. One that is known is answered with what is known.
    pub fn decide_broken(self: &Arc<Self>, mut meta: ScanMeta, why: String) -> Option<Admission> {
        let in_flight = Arc::new(InFlightScan::new(&meta, 0, Instant::now()));
        match self.scans.lock().entry(in_flight.key.clone()) {
            MapEntry::Occupied(_) => {}
            MapEntry::Vacant(vacant) => {
                vacant.insert(ScanState::InFlight(in_flight.clone()));
                let progress = in_flight.follow();
                let agent = self.clone();
                self.spawn(in_flight.clone(), async move {
                    metrics::counter!("ovomesh_agent_broken_total").increment(1);
                    // Whatever has no time of its own was stamped when it came.
                    let given = Given::kept(meta.acquired_at == meta.received_at, meta.clock_suspect);
                    agent.clock.correct_times(&mut meta, agent.clock.stamp(given).1);
                    let line = agent.settings.lines.get(&meta.place.line_id);
                    let row = meta.row(&line, Verdict::undecided(Reason::Rejected, &why), None);
                    let (row, released, at) = agent.record(&in_flight, row).await;
                    agent.settle(in_flight, row, released, at).await;
                });
                return Some(Admission::InFlight(progress));
            }
        }
        self.known(&meta.key())
    }

    /// Settles a scan that [`Agent::take`] refused with `why`, when the fault is in its image and its words say whose it is;
    /// `lines`: those of its session. The error, when it is another fault, or when there is no room for its verdict.
    pub fn decide_refused(
        self: &Arc<Self>,
        scan: &pb::Scan,
        lines: &[LineId],
        why: Invalid,
    ) -> Result<(Admission, Invalid), Invalid> {
        if !why.is_of_the_image() {
            return Err(why);
        }
        let Ok(meta) = ScanMeta::parse(scan, self.clock.now()) else { return Err(why) };
        meta.place.must_be_one_of(lines)?;
        if self.fullness_of_verdicts() >= 1_000 && self.known(&meta.key()).is_none() {
            return Err(no_room(&meta));
        }
        match self.decide_broken(meta, why.to_string()) {
            Some(admission) => Ok((admission, why)),
            None => Err(why),
        }
    }

    /// What is known of a scan; nothing when it never came, or long ago, or its verdict cannot be read.
    pub fn known(&self, key: &ScanKey) -> Option<Admission> {
        let known = self.scans.lock().get(key).cloned();
        match known? {
            ScanState::InFlight(in_flight) => Some(Admission::InFlight(in_flight.follow())),
            ScanState::Stored(released) => self.read_row(&released).ok().map(Admission::Stored),
        }
    }
}

impl Admission {
    /// Waits until it is on disk; else the reason why it cannot be kept now.
    pub async fn kept(&mut self) -> Result<(), String> {
        let Self::InFlight(progress) = self else { return Ok(()) };
        let reached = progress.wait_for(|now| !matches!(now, Progress::Coming)).await;
        match reached.as_deref() {
            Ok(Progress::Refused(why)) => Err(why.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err("the agent is leaving".into()),
        }
    }

    /// Waits for the row with its verdict; else the reason why there is none now.
    pub async fn row(self) -> Result<Arc<RecordedRow>, String> {
        let mut progress = match self {
            Self::Stored(row) => return Ok(row),
            Self::InFlight(progress) => progress,
        };
        let told = |now: &Progress| !matches!(now, Progress::Coming | Progress::Accepted);
        match progress.wait_for(told).await.as_deref() {
            Ok(Progress::Released(row) | Progress::Stored(row)) => Ok(row.clone()),
            Ok(Progress::Refused(why)) => Err(why.clone()),
            _ => Err("the agent is leaving".into()),
        }
    }

    /// Whether it was settled because it was no whole volume.
    pub fn was_broken(&self) -> bool {
        let is_broken = |row: &RecordedRow| row.row().meta.image == Image::Broken;
        match self {
            Self::Stored(row) => is_broken(row),
            Self::InFlight(progress) => match &*progress.borrow() {
                Progress::Released(row) | Progress::Stored(row) => is_broken(row),
                _ => false,
            },
        }
    }
}
