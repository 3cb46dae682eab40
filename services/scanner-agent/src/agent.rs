//! The life of a scan at the edge: accepted, decided or timed out, released, stored, remembered for a while.
//!
//! One task carries each scan through it. The first verdict that is recorded counts, whoever it comes from; a later one
//! finds nobody who waits for it.

mod restart;

mod broken;
mod failed;
mod rescue;

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::{self as pb, RejectCode};
use ovomesh_api::scan::sample_bytes;
use ovomesh_api::time::{AcquiredAt, Given};
use ovomesh_api::{
    Image, Invalid, LineBook, LineId, Reason, RecordedRow, Row, Scan, ScanKey, ScanMeta, Verdict, time,
};
use ovomesh_mesh::Lifecycle;
use ovomesh_spool::{Entry, Error, Released, Spool, SpoolContents};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::agent::failed::Failed;
use crate::clock::{Clock, Stamp};
use crate::feed::{Acknowledged, Feed};
use crate::in_flight::{Decided, InFlightScan, OnDisk, Progress, Stored};
use crate::memory::{Memory, Room};
use crate::queue::{Queue, Waiting};
use crate::spooled::{self, SpooledScan};

/// How long a stored verdict is kept for repeats: longer than any retry of a scanner.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Pause before a verdict that could not be recorded is tried again: the disk may have room by then.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// What an agent is configured with.
pub struct Settings {
    /// Lines and their budgets.
    pub lines: LineBook,
    /// The largest volume taken, in bytes as sent.
    pub max_volume_bytes: u64,
    /// Memory for what is arriving and being read, in bytes.
    pub memory_bytes: u64,
    /// Where what needs a person is kept: rows that the store refuses for good, images of no scan.
    pub failed: PathBuf,
}

/// Shared by sessions and links.
pub struct Agent {
    /// What it was configured with.
    pub settings: Settings,
    /// What waits for a gateway.
    pub queue: Queue,
    /// What was released lately, for sorters.
    pub feed: Feed,
    /// The agent's clock, corrected by gateways.
    pub clock: Clock,
    /// What needs a person.
    pub failed: Failed,
    /// Its memory.
    pub memory: Memory,
    spool: Spool,
    scans: Mutex<HashMap<ScanKey, ScanState>>,
    /// Settled scans, and when they were stored.
    remembered: Mutex<VecDeque<(Instant, ScanKey)>>,
    /// Bytes of their verdicts: room that can be had when it is needed.
    remembered_bytes: AtomicU64,
    lifecycle: Lifecycle,
}

/// What is known of a scan.
#[derive(Debug, Clone)]
enum ScanState {
    /// Not stored yet.
    InFlight(Arc<InFlightScan>),
    /// Stored: repeats are answered from the spool.
    Stored(Arc<Released>),
}

/// What became of a scan that came.
#[derive(Debug)]
pub enum Admission {
    /// Its progress.
    InFlight(watch::Receiver<Progress>),
    /// It was stored, with this row.
    Stored(Arc<RecordedRow>),
}

impl Agent {
    /// Over an opened spool; what was left in it goes on.
    pub fn new(settings: Settings, spool: Spool, left: SpoolContents, lifecycle: Lifecycle) -> Arc<Self> {
        let agent = Arc::new(Self {
            failed: Failed::new(settings.failed.clone()),
            memory: Memory::new(settings.memory_bytes),
            settings,
            queue: Queue::default(),
            feed: Feed::default(),
            clock: Clock::default(),
            spool,
            scans: Mutex::default(),
            remembered: Mutex::default(),
            remembered_bytes: AtomicU64::default(),
            lifecycle,
        });
        agent.go_on(left);
        agent
    }

    /// Takes a scan that was received at this time: a new one is written to disk, one that is known is answered with
    /// what is known. `lines` and `most`: the lines and the largest volume of its session; `room`: the memory that it takes
    /// until it is on disk.
    pub fn take(
        self: &Arc<Self>,
        mut scan: pb::Scan,
        lines: &[LineId],
        most: u64,
        received: Instant,
        room: Room,
    ) -> Result<Admission, Invalid> {
        let (now, stamp) = self.clock.stamp(Given::of(scan.acquired_at));
        // Once, and kept: sent again it must be the same scan.
        scan.acquired_at = Some(time::to_pb(AcquiredAt::read(scan.acquired_at, now).at));
        let bytes = sample_bytes(&scan);
        let Scan { meta, budget, .. } = Scan::parse(scan.clone(), most, now)?;
        meta.place.must_be_one_of(lines)?;
        let line = self.settings.lines.get(&meta.place.line_id);
        let in_flight = Arc::new(InFlightScan::new(&meta, bytes, received + line.budget(budget)));
        let known = match self.scans.lock().entry(in_flight.key.clone()) {
            MapEntry::Occupied(known) => known.get().clone(),
            MapEntry::Vacant(_) if self.fullness_of_verdicts() >= 1_000 => return Err(no_room(&meta)),
            MapEntry::Vacant(vacant) => {
                vacant.insert(ScanState::InFlight(in_flight.clone()));
                let progress = in_flight.follow();
                let agent = self.clone();
                let kept = SpooledScan { scan, received_at: now, deadline: in_flight.deadline, stamp };
                self.spawn(in_flight.clone(), async move { agent.carry(in_flight, meta, kept, room).await });
                return Ok(Admission::InFlight(progress));
            }
        };
        match known {
            ScanState::InFlight(first) => {
                must_be_same(&meta, first.image)?;
                Ok(Admission::InFlight(first.follow()))
            }
            ScanState::Stored(released) => {
                let row = self.read_row(&released).map_err(|error| busy(&meta, &error))?;
                must_be_same(&meta, row.row().meta.image)?;
                Ok(Admission::Stored(row))
            }
        }
    }

    /// All of a scan's life.
    async fn carry(
        self: Arc<Self>,
        in_flight: Arc<InFlightScan>,
        meta: ScanMeta,
        kept: SpooledScan,
        room: Room,
    ) {
        let stamp = kept.stamp;
        let accepted = self.spool.accept(&in_flight.record, spooled::write_scan(kept)).await;
        drop(room);
        match accepted {
            Ok(entry) => {
                in_flight.is_on_disk(OnDisk::Scan(entry.clone()));
                metrics::counter!("ovomesh_agent_accepted_total").increment(1);
                in_flight.tell(Progress::Accepted);
                self.decide(in_flight, meta, stamp, entry).await;
            }
            Err(error) => {
                tracing::error!(scan = %in_flight.key, %error, "a scan was not kept");
                metrics::counter!("ovomesh_agent_refused_total").increment(1);
                self.scans.lock().remove(&in_flight.key);
                in_flight.tell(Progress::Refused(error.to_string()));
            }
        }
    }

    async fn decide(
        self: Arc<Self>,
        in_flight: Arc<InFlightScan>,
        mut meta: ScanMeta,
        stamp: Stamp,
        entry: Entry,
    ) {
        let decided = in_flight.waits_for_decision();
        self.queue.scan(Waiting {
            deadline: in_flight.deadline,
            key: in_flight.key.clone(),
            bytes: in_flight.bytes,
        });
        let (verdict, preview) = tokio::select! {
            biased;
            Ok(decided) = decided => decided,
            () = tokio::time::sleep_until(in_flight.deadline) => (Verdict::timed_out(), None),
        };
        // Whatever comes from now on comes too late.
        in_flight.is_decided();
        self.clock.correct_times(&mut meta, stamp);
        let line = self.settings.lines.get(&meta.place.line_id);
        let (row, released, at) = self.record(&in_flight, meta.row(&line, verdict, preview)).await;
        self.spool.decided(&entry);
        self.settle(in_flight, row, released, at).await;
    }

    /// Writes a verdict down, and tells when. It may not be told before, or another could be written down later; so this
    /// goes on until there is room.
    async fn record(&self, in_flight: &InFlightScan, row: Row) -> (Arc<RecordedRow>, Released, Instant) {
        let row = RecordedRow::new(row);
        loop {
            let at = Instant::now();
            let error = match self.spool.release(&in_flight.record, spooled::write_row(&row)).await {
                Ok(released) => {
                    in_flight.is_on_disk(OnDisk::Verdict(released.clone(), at));
                    return (Arc::new(row), released, at);
                }
                Err(error) => error,
            };
            if matches!(error, Error::Full { .. }) && self.forget_oldest() {
                continue;
            }
            tracing::error!(scan = %in_flight.key, %error, "a verdict was not recorded, trying again");
            tokio::time::sleep(RECORD_AGAIN).await;
        }
    }

    /// The rest of a scan's life, with a verdict that was recorded at this time.
    async fn settle(
        self: Arc<Self>,
        in_flight: Arc<InFlightScan>,
        row: Arc<RecordedRow>,
        released: Released,
        at: Instant,
    ) {
        let stored = self.release(&in_flight, &row);
        self.feed.released(row.row(), at);
        self.until_stored(in_flight, row, released, stored).await;
    }

    /// A recorded verdict may be told, and waits for the store from now on.
    fn release(&self, in_flight: &InFlightScan, row: &Arc<RecordedRow>) -> oneshot::Receiver<Stored> {
        let stored = in_flight.waits_for_store();
        in_flight.tell(Progress::Released(row.clone()));
        self.queue.verdict(in_flight.key.clone());
        stored
    }

    async fn until_stored(
        self: Arc<Self>,
        in_flight: Arc<InFlightScan>,
        row: Arc<RecordedRow>,
        mut released: Released,
        stored: oneshot::Receiver<Stored>,
    ) {
        // The other half is kept by the scan itself.
        let Ok(stored) = stored.await else { return };
        if let Err(why) = stored {
            self.keep_failed(&in_flight.key, &row, &why);
        }
        if let Err(error) = self.spool.committed(&mut released).await {
            tracing::warn!(scan = %in_flight.key, %error, "not marked as stored: it is sent again after a restart");
        }
        in_flight.tell(Progress::Stored(row));
        self.remember(in_flight.key.clone(), released);
    }

    /// A verdict came for a scan.
    pub fn decided(&self, key: &ScanKey, decided: Decided) {
        if !self.in_flight(key).is_some_and(|in_flight| in_flight.decide(decided)) {
            metrics::counter!("ovomesh_agent_late_verdicts_total").increment(1);
        }
    }

    /// A row is stored, or why it never will be.
    pub fn stored(&self, key: &ScanKey, stored: Stored) {
        if let Some(in_flight) = self.in_flight(key) {
            in_flight.store(stored);
        }
    }

    /// An egg went into a lane. That is on disk before it counts, so that no restart sends its verdict again.
    pub async fn actuated(&self, line: &LineId, key: &ScanKey, lane: &str) -> Acknowledged {
        if self.feed.is_waiting(line, key)
            && let Some(record) = self.record_of(key)
            && let Err(error) = self.spool.actuated(&record).await
        {
            tracing::warn!(scan = %key, %error, "not marked as actuated: it is told again after a restart");
        }
        self.feed.acknowledge(line, key, Some(lane))
    }

    /// Lines that this agent knows: those of its configuration, and those with a verdict that is still kept for sorters.
    pub fn known_lines(&self) -> BTreeSet<LineId> {
        self.settings.lines.named().into_iter().chain(self.feed.lines()).collect()
    }

    /// The key of a scan's records in the spool, as long as it is remembered.
    fn record_of(&self, key: &ScanKey) -> Option<String> {
        match self.scans.lock().get(key)? {
            ScanState::InFlight(in_flight) => Some(in_flight.record.clone()),
            ScanState::Stored(released) => Some(released.entry.id.clone()),
        }
    }

    /// A scan as it goes to a gateway, with what is left of its time; None when it is decided already.
    pub fn scan(&self, key: &ScanKey) -> Option<pb::Scan> {
        let in_flight = self.in_flight(key)?;
        let entry = in_flight.undecided()?;
        let read = self.spool.scan(&entry).map_err(|error| error.to_string()).and_then(spooled::read_scan);
        match read {
            Ok(SpooledScan { scan, .. }) => {
                let left = in_flight.deadline.saturating_duration_since(Instant::now());
                Some(pb::Scan { budget: Some(time::budget_to_pb(left)), ..scan })
            }
            Err(error) => {
                let detail = format!("the agent could not read it from its spool: {error}");
                self.decided(key, (Verdict::undecided(Reason::Failed, &detail), None));
                None
            }
        }
    }

    /// The row of a scan whose verdict is recorded, as long as it is remembered.
    pub fn released(&self, key: &ScanKey) -> Option<Arc<RecordedRow>> {
        let known = self.scans.lock().get(key).cloned();
        match known? {
            ScanState::InFlight(in_flight) => in_flight.recorded(),
            ScanState::Stored(released) => self.read_row(&released).ok(),
        }
    }

    /// A row as it goes to a gateway; None when it is stored already.
    pub fn row(&self, key: &ScanKey) -> Option<Arc<RecordedRow>> {
        self.in_flight(key)?.released()
    }

    /// How full the spool is, in thousandths.
    pub fn fullness(&self) -> u64 {
        let (used, limit) = self.spool.scan_bytes();
        (1_000 * used / limit.max(1)).max(self.fullness_of_verdicts())
    }

    /// Of verdicts that wait for the store. An eighth of their room is for those of scans that are accepted already.
    fn fullness_of_verdicts(&self) -> u64 {
        let (used, limit) = self.spool.verdict_bytes();
        let waiting = used.saturating_sub(self.remembered_bytes.load(Relaxed));
        1_000 * waiting / (limit / 8 * 7).max(1)
    }

    /// How full the spool is: bytes and limit of scans.
    pub fn scan_bytes(&self) -> (u64, u64) {
        self.spool.scan_bytes()
    }

    /// Scans that are on their way.
    pub fn in_flight_count(&self) -> usize {
        self.scans.lock().values().filter(|known| matches!(known, ScanState::InFlight(_))).count()
    }

    /// Comes back when the spool can keep nothing any more: a thread of it has panicked.
    pub async fn spool_failed(&self) {
        self.spool.failed().await;
    }

    fn in_flight(&self, key: &ScanKey) -> Option<Arc<InFlightScan>> {
        match self.scans.lock().get(key) {
            Some(ScanState::InFlight(in_flight)) => Some(in_flight.clone()),
            _ => None,
        }
    }

    fn read_row(&self, released: &Released) -> Result<Arc<RecordedRow>, String> {
        let record = self.spool.verdict(released).map_err(|error| error.to_string())?;
        RecordedRow::read(&record).map(Arc::new)
    }

    fn remember(&self, key: ScanKey, released: Released) {
        self.remembered_bytes.fetch_add(released.bytes(), Relaxed);
        self.insert(key.clone(), ScanState::Stored(Arc::new(released)));
        let mut remembered = self.remembered.lock();
        remembered.push_back((Instant::now(), key));
        while remembered.front().is_some_and(|(at, _)| at.elapsed() > REMEMBERED)
            && let Some((_, key)) = remembered.pop_front()
        {
            self.forget(&key);
        }
    }

    /// Notes how far a scan is. A spool may hold an earlier verdict of the same scan: that is let go.
    fn insert(&self, key: ScanKey, known: ScanState) {
        if let Some(ScanState::Stored(before)) = self.scans.lock().insert(key, known) {
            self.let_go(&before);
        }
    }

    /// Makes room for a verdict by one that is stored; false when there is none.
    fn forget_oldest(&self) -> bool {
        let Some((_, key)) = self.remembered.lock().pop_front() else { return false };
        self.forget(&key);
        true
    }

    fn forget(&self, key: &ScanKey) {
        let mut scans = self.scans.lock();
        if let Some(ScanState::Stored(released)) = scans.get(key).cloned() {
            scans.remove(key);
            self.let_go(&released);
        }
    }

    fn let_go(&self, released: &Released) {
        self.remembered_bytes.fetch_sub(released.bytes(), Relaxed);
        self.spool.forget(released);
    }

    fn keep_failed(&self, key: &ScanKey, row: &RecordedRow, why: &str) {
        metrics::counter!("ovomesh_agent_rows_refused_total").increment(1);
        tracing::error!(scan = %key, why, folder = %self.failed.folder().display(), "the store refused a row for good");
        if let Err(error) = self.failed.keep(key, row.bytes(), why) {
            tracing::error!(scan = %key, %error, "a refused row could not be kept");
        }
    }
}

fn must_be_same(meta: &ScanMeta, first: Image) -> Result<(), Invalid> {
    match first {
        _ if meta.image == first => Ok(()),
        Image::Broken => Err(Invalid {
            message: "this id came before with an image that cannot be used, and its egg is UNDECIDED; give another scan of \
                      the egg an id of its own, with rescan_of"
                .into(),
            ..meta.reused()
        }),
        Image::Whole(_) => Err(meta.reused()),
    }
}

fn no_room(meta: &ScanMeta) -> Invalid {
    let field = Invalid::field("scan_id", &meta.scan_id, "a spool with room for one more verdict");
    let message =
        "the spool is full of verdicts that wait for the store; send it again when a gateway can be reached";
    field.because(RejectCode::Overloaded, message)
}

fn busy(meta: &ScanMeta, error: &str) -> Invalid {
    let field = Invalid::field("scan_id", &meta.scan_id, "a scan whose verdict can be read");
    field.because(
        RejectCode::Overloaded,
        format!("its verdict cannot be read now ({error}); send it again later"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 is the checksum of some volumes.
    #[test]
    fn a_whole_image_is_never_the_same_as_one_that_could_not_be_read() {
        let whole = |checksum| ScanMeta { image: Image::Whole(checksum), ..Row::example("s", "l", "1").meta };
        must_be_same(&whole(0), Image::Whole(0)).unwrap();
        let error = must_be_same(&whole(0), Image::Broken).unwrap_err();
        assert!(error.message.contains("cannot be used"), "{error}");
        let error = must_be_same(&whole(1), Image::Whole(0)).unwrap_err();
        assert!(error.message.contains("with other samples"), "{error}");
    }
}
