//! What one scanner received.

use std::collections::{HashMap, HashSet};

use ovomesh_api::pb::scan::v1::Verdict;

use super::Answer;

/// The answers of one scanner's scans, none of them given twice.
#[derive(Default)]
pub struct Answers {
    /// Ids of scans that an agent has on disk.
    pub accepted: HashSet<String>,
    /// Verdicts by the id of their scan.
    pub verdicts: HashMap<String, Verdict>,
    /// Ids of scans whose rows are stored.
    pub committed: HashSet<String>,
}

impl Answers {
    /// Takes the next answer of a session; `false` when the stream has ended or broken.
    ///
    /// # Panics
    /// When an answer arrives twice or too early, or a scan is rejected.
    pub fn receive(&mut self, answer: Answer) -> bool {
        match answer {
            Answer::Accepted(id) => assert!(self.accepted.insert(id.clone()), "{id} was accepted twice"),
            Answer::Verdict(verdict) => {
                let id = verdict.scan_id.clone();
                assert!(self.accepted.contains(&id), "{id} was decided before it was accepted");
                assert!(self.verdicts.insert(id.clone(), *verdict).is_none(), "{id} was decided twice");
            }
            Answer::Committed(id) => assert!(self.committed.insert(id.clone()), "{id} was committed twice"),
            Answer::Broke(_) | Answer::Ended => return false,
            answer @ (Answer::Rejected(_) | Answer::Tray(_)) => panic!("{answer:?}"),
        }
        true
    }
}
