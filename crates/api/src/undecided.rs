//! Verdicts that are given without looking at the image.

use crate::pb::scan::v1::{Call, DecidedBy, UndecidedReason, Verdict};
use crate::{ScanMeta, texts};

/// UNDECIDED, by the edge.
pub fn undecided(scan_id: &str, reason: UndecidedReason, detail: &str) -> Verdict {
    Verdict {
        scan_id: scan_id.to_owned(),
        call: Call::Undecided.into(),
        reason: reason.into(),
        detail: texts::detail(detail),
        decided_by: DecidedBy::Edge.into(),
        ..Default::default()
    }
}

/// UNDECIDED, because no verdict came to the edge in time.
pub fn timed_out(meta: &ScanMeta) -> Verdict {
    let detail = "no verdict came to the agent in time";
    let verdict = undecided(meta.scan_id.as_str(), UndecidedReason::Expired, detail);
    Verdict { decided_by: DecidedBy::Timeout.into(), ..verdict }
}
