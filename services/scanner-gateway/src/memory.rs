//! The gateway's stated memory, shared out to sessions before they may send.

use std::sync::Arc;

use parking_lot::Mutex;
/// HTTP/2 receive window of one connection and of one stream: what a peer may have under way before we read it.
/// 1 MiB fills a 1 Gbit/s line over 8 ms.
pub const WINDOW_BYTES: u32 = 1 << 20;

/// Share of the budget that sessions may hold; the rest is for messages being written to stages, rows on their way to
/// the store, and the process itself.
const SESSIONS_SHARE: (u64, u64) = (3, 4);
/// A session gets this part of what is left: the first ones have ample room, and there is always some for one more. At
/// the default budget the first may have 87 scans of 128 KiB in flight, and a hundred scanners fit.
const PART_OF_REST: u64 = 32;

/// Scans in flight on one session, however small: more help nobody, it is 2 s of the fastest line, 18 times over.
pub const MAX_IN_FLIGHT: u32 = 256;

/// What is left of the memory for sessions.
#[derive(Debug, Clone)]
pub struct Memory {
    left: Arc<Mutex<u64>>,
}

/// Room of one session; given back when dropped.
#[derive(Debug)]
pub struct Room {
    /// Bytes of volumes that may be unanswered at once, at least one volume.
    pub bytes: u64,
    reserved: u64,
    memory: Memory,
}

impl Memory {
    /// Shares out `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Self { left: Arc::new(Mutex::new(budget / SESSIONS_SHARE.1 * SESSIONS_SHARE.0)) }
    }

    /// Room for a session whose scans have at most `volume_bytes`; `None` when there is not even room for one.
    pub fn reserve(&self, volume_bytes: u64) -> Option<Room> {
        // The window, and the message that is being put together from it, come before any scan is in flight.
        let fixed = u64::from(WINDOW_BYTES) + volume_bytes;
        let mut left = self.left.lock();
        let fair = *left / PART_OF_REST;
        let bytes = fair.saturating_sub(fixed).max(volume_bytes);
        let reserved = fixed + bytes;
        *left = left.checked_sub(reserved)?;
        Some(Room { bytes, reserved, memory: self.clone() })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *self.memory.left.lock() += self.reserved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn all_rooms_together_stay_within_the_budget() {
        let memory = Memory::new(512 * MIB);
        let mut rooms: Vec<Room> = Vec::new();
        while let Some(room) = memory.reserve(128 << 10) {
            rooms.push(room);
        }
        let reserved: u64 = rooms.iter().map(|room| room.reserved).sum();
        assert!(reserved <= 384 * MIB, "{reserved}");
        assert!(rooms.len() > 100, "a hundred scanners fit: {}", rooms.len());
        assert!(rooms[0].bytes > 80 * (128 << 10) && rooms.iter().all(|room| room.bytes >= 128 << 10));
        rooms.clear();
        assert_eq!(*memory.left.lock(), 384 * MIB, "all room comes back");
    }

    #[test]
    fn a_volume_that_can_never_fit_gets_no_room() {
        assert!(Memory::new(16 * MIB).reserve(64 * MIB).is_none());
    }
}
