//! What a sorter is answered when its words do not fit what the agent knows.

use std::collections::BTreeSet;

use ovomesh_api::ids::ID_BYTES;
use ovomesh_api::pb::sorter::v1::follow_response::Message;
use ovomesh_api::pb::sorter::v1::{RejectReason, Rejected};
use ovomesh_api::{LineId, shorten_to};

use crate::feed::FRESH;

/// Lines that an answer names at most.
const NAMED: usize = 16;

/// A line without a configuration and without a recent verdict.
pub fn unknown_line(line: &LineId, known: &BTreeSet<LineId>) -> Message {
    let names: Vec<_> = known.iter().take(NAMED).map(LineId::to_string).collect();
    let more = match known.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "line {line} is not known to this agent, which knows {}{more}; check site and line; verdicts follow if the line \
         ever has any",
        names.join(", ")
    );
    rejected("", RejectReason::UnknownLine, message)
}

/// An acknowledgement of what was not released.
pub fn unknown_scan(scan_id: &str, line: &LineId) -> Message {
    let scan_id = shorten_to(scan_id, ID_BYTES);
    let message = format!(
        "no verdict of scan {scan_id} was released on line {line} in the last {} s; acknowledge each verdict once its \
         egg is sorted, with its scan_id",
        FRESH.as_secs()
    );
    rejected(&scan_id, RejectReason::UnknownScan, message)
}

/// A second lane for one egg.
pub fn other_lane(scan_id: &str, lane: &str, first: &str) -> Message {
    let message = format!(
        "scan {scan_id} went into lane {first:?} before, which stands, and not into {lane:?}; look for two sorters on \
         one line, or for one egg that was acknowledged twice"
    );
    rejected(scan_id, RejectReason::OtherLane, message)
}

fn rejected(scan_id: &str, reason: RejectReason, message: String) -> Message {
    Message::Rejected(Rejected { scan_id: scan_id.to_owned(), reason: reason.into(), message })
}
