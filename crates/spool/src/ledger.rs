//! How much of a log is on disk, and in which segments records live.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::entry::Entry;
use crate::segment::Number;

/// How much is where. Shared by whoever appends and the thread that writes.
#[derive(Debug)]
pub struct Ledger {
    pub limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    segments: BTreeMap<Number, Segment>,
    /// Bytes of records that are on their way to the disk.
    reserved: u64,
}

#[derive(Debug, Default)]
struct Segment {
    bytes: u64,
    live: usize,
    is_active: bool,
}

impl Ledger {
    pub fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default() }
    }

    pub fn found(&self, number: Number, bytes: u64, live: usize) {
        self.state.lock().segments.insert(number, Segment { bytes, live, is_active: false });
    }

    /// Segments in which nothing lives.
    pub fn dead(&self) -> Vec<Number> {
        let state = self.state.lock();
        state
            .segments
            .iter()
            .filter(|(_, s)| s.live == 0 && !s.is_active)
            .map(|(&number, _)| number)
            .collect()
    }

    /// Takes room for a record, or says how much is used.
    pub fn reserve(&self, bytes: u64) -> Result<(), u64> {
        let mut state = self.state.lock();
        let used = state.used();
        if used + bytes > self.limit {
            return Err(used);
        }
        state.reserved += bytes;
        Ok(())
    }

    /// A record of so many bytes was written, or failed to be.
    pub fn wrote(&self, entry: Option<&Entry>, bytes: u64) {
        let mut state = self.state.lock();
        state.reserved -= bytes;
        if let Some(segment) = entry.and_then(|entry| state.segments.get_mut(&entry.segment)) {
            segment.bytes += bytes;
            segment.live += 1;
        }
    }

    /// A segment was begun, with a header of this many bytes.
    pub fn opened(&self, number: Number, bytes: u64) {
        self.state.lock().segments.insert(number, Segment { bytes, live: 0, is_active: true });
    }

    /// A segment gets no more records; whether it can be removed.
    pub fn closed(&self, number: Number) -> bool {
        let mut state = self.state.lock();
        let Some(segment) = state.segments.get_mut(&number) else { return false };
        segment.is_active = false;
        segment.live == 0
    }

    pub fn removed(&self, number: Number) {
        self.state.lock().segments.remove(&number);
    }

    /// One record less; whether the segment can be removed.
    pub fn free(&self, number: Number) -> bool {
        let mut state = self.state.lock();
        let Some(segment) = state.segments.get_mut(&number) else { return false };
        segment.live = segment.live.saturating_sub(1);
        segment.live == 0 && !segment.is_active
    }

    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }
}

impl State {
    fn used(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum::<u64>() + self.reserved
    }
}
