//! The gateway's stated memory. A session is admitted on what it costs while it is idle; each scan takes its bytes from
//! what all sessions share, before they are read.

use ovomesh_mesh::{Full, Peer, Quota, Share};

/// HTTP/2 receive window of one connection and of one stream: what a peer may have under way before it is read. A
/// volume of the usual size and what it may have beside.
pub const WINDOW_BYTES: u32 = 192 << 10;

/// Share of the budget for sessions and their scans; the rest is for messages being written to stages, rows on their way to
/// the store, and the process itself.
const SESSIONS_SHARE: (u64, u64) = (3, 4);
/// What a session costs before it sends scans, with its connection (measured: see docs/limits.md).
const SESSION_BYTES: u64 = 96 << 10;
/// Share of that memory which idle sessions may take, so that there is always some for scans.
const IDLE_SHARE: (u64, u64) = (3, 4);
/// The most that one session may have unanswered is this part of all: 12 MiB of the default, 96 scans of 128 KiB.
const SESSION_PART: u64 = 32;

/// Scans in flight on one session, however small: more help nobody, it is 2 s of the fastest line, 18 times over.
pub const MAX_IN_FLIGHT: u32 = 256;

/// All of it.
#[derive(Debug)]
pub struct Memory {
    sessions: Quota,
    bytes: Quota,
}

/// A session's admission; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    _session: Share,
    _idle: Share,
}

impl Memory {
    /// Shares out `budget` bytes.
    pub fn new(budget: u64) -> Self {
        let bytes = part(budget, SESSIONS_SHARE);
        let sessions = part(bytes, IDLE_SHARE) / SESSION_BYTES;
        Self { sessions: Quota::shared("sessions", sessions), bytes: Quota::shared("bytes", bytes) }
    }

    /// Admits a session.
    pub fn admit(&self, peer: Peer) -> Result<Seat, Full> {
        Ok(Seat { _session: self.sessions.one(peer)?, _idle: self.bytes.take(peer, SESSION_BYTES)? })
    }

    /// Where the bytes of scans are counted.
    pub fn bytes(&self) -> &Quota {
        &self.bytes
    }

    /// Bytes of volumes that one session may have unanswered at once, at least one volume: a limit for it, and no promise
    /// that there is room.
    pub fn credit(&self, volume_bytes: u64) -> u64 {
        (self.bytes.all() / SESSION_PART).max(volume_bytes)
    }
}

fn part(all: u64, (part, whole): (u64, u64)) -> u64 {
    all / whole * part
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const SCAN: u64 = 128 << 10;

    fn peer(n: u8) -> Peer {
        Peer::at([10, 0, 0, n].into())
    }

    #[test]
    fn two_thousand_idle_agents_fit_into_the_default_also_behind_one_address() {
        let memory = Memory::new(512 * MIB);
        let seats: Vec<_> = (0..2_000).map(|_| memory.admit(peer(1)).unwrap()).collect();
        let scans: Vec<_> = std::iter::from_fn(|| memory.bytes().take(peer(1), SCAN).ok()).collect();
        assert!(seats.len() == 2_000 && scans.len() >= 800, "and many scans at once: {}", scans.len());
    }

    #[test]
    fn one_address_leaves_sessions_and_bytes_to_others() {
        let memory = Memory::new(512 * MIB);
        let _greedy: Vec<_> = std::iter::from_fn(|| memory.admit(peer(1)).ok()).collect();
        let refused = memory.admit(peer(1)).unwrap_err().to_string();
        assert!(
            refused.contains("sessions that one address may have") && refused.contains("close some"),
            "{refused}"
        );
        let _scans: Vec<_> = std::iter::from_fn(|| memory.bytes().take(peer(1), SCAN).ok()).collect();
        let _others: Vec<_> = (0..500).map(|_| memory.admit(peer(2)).unwrap()).collect();
        assert_eq!(
            (0..300).filter_map(|_| memory.bytes().take(peer(2), SCAN).ok()).collect::<Vec<_>>().len(),
            300
        );
    }

    #[test]
    fn idle_sessions_leave_room_for_scans_and_all_of_it_comes_back() {
        let memory = Memory::new(32 * MIB);
        let seats: Vec<_> = (0..=255).map_while(|n| memory.admit(peer(n)).ok()).collect();
        assert!(memory.admit(peer(0)).unwrap_err().to_string().contains("call another one"));
        assert!(memory.bytes().all() - memory.bytes().taken() >= 6 * MIB);
        drop(seats);
        assert_eq!(memory.bytes().taken(), 0);
    }
}
