//! Scans that were turned away lately. Each is asked for once, however often its sender tries: the operator scales by
//! what is asked for.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use parking_lot::Mutex;

/// Remembered at most; a scan is sent again within a few seconds or never.
const MOST: usize = 16_384;

/// Knows scans by their id alone: a count bears that two sites number alike.
#[derive(Debug, Default)]
pub struct TurnedAway {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashSet<u64>,
    oldest_first: VecDeque<u64>,
}

impl TurnedAway {
    /// This scan was turned away; whether it is the first time.
    pub fn insert(&self, scan_id: &str) -> bool {
        let key = self.hasher.hash_one(scan_id);
        let State { known, oldest_first } = &mut *self.state.lock();
        if !known.insert(key) {
            return false;
        }
        oldest_first.push_back(key);
        if oldest_first.len() > MOST
            && let Some(oldest) = oldest_first.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }

    /// Whether this scan was turned away before it was taken.
    pub fn contains(&self, scan_id: &str) -> bool {
        self.state.lock().known.contains(&self.hasher.hash_one(scan_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_counts_once_and_is_forgotten_after_many_others() {
        let turned_away = TurnedAway::default();
        assert!(turned_away.insert("a") && !turned_away.insert("a") && turned_away.contains("a"));
        assert!(!turned_away.contains("b"));
        for n in 0..MOST {
            assert!(turned_away.insert(&format!("other {n}")));
        }
        assert!(!turned_away.contains("a"));
        assert_eq!(turned_away.state.lock().known.len(), MOST);
    }
}
