//! Verdicts that are given without looking at the image, and who gave a verdict.

use crate::pb::scan::v1::{Call, DecidedBy, UndecidedReason, Verdict};
use crate::{ScanMeta, texts};

/// UNDECIDED, by the agent.
pub fn undecided(scan_id: &str, reason: UndecidedReason, detail: &str) -> Verdict {
    Verdict {
        scan_id: scan_id.to_owned(),
        call: Call::Undecided.into(),
        reason: reason.into(),
        detail: texts::detail(detail),
        decided_by: DecidedBy::Agent.into(),
        ..Default::default()
    }
}

/// UNDECIDED, because no verdict came to the edge in time.
pub fn timed_out(meta: &ScanMeta) -> Verdict {
    let detail = "no verdict came to the agent in time";
    let verdict = undecided(meta.scan_id.as_str(), UndecidedReason::Expired, detail);
    Verdict { decided_by: DecidedBy::Timeout.into(), ..verdict }
}

/// Who decided. Agents of version 0.1 had no name for themselves and gave that of a model at the edge, which did not exist.
pub fn decided_by(verdict: &Verdict) -> DecidedBy {
    let has_model = verdict.provenance.as_ref().is_some_and(|by| !by.model.is_empty());
    match verdict.decided_by() {
        DecidedBy::Edge if !has_model => DecidedBy::Agent,
        by => by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::scan::v1::Provenance;

    #[test]
    fn what_an_agent_decides_is_told_apart_from_a_model_at_the_edge_also_in_old_rows() {
        let rejected = undecided("s", UndecidedReason::Rejected, "torn");
        assert_eq!(rejected.decided_by(), DecidedBy::Agent);
        let old = Verdict { decided_by: DecidedBy::Edge.into(), ..rejected };
        assert_eq!(decided_by(&old), DecidedBy::Agent);
        let provenance = Some(Provenance { model: "egg-edge/1".into(), ..Default::default() });
        assert_eq!(decided_by(&Verdict { provenance, ..old }), DecidedBy::Edge);
    }
}
