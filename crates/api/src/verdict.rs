//! A verdict as the services hold it: what the wire can say and no verdict means cannot be written down.

use crate::pb::scan::v1 as pb;
use crate::texts::{self, Text};
use crate::{Invalid, ScanId};

pub use pb::{DecidedBy, Preview, Provenance, Quality, Scores, Timings};

/// The most of each text of a provenance, in bytes: a model is named by two folders.
const PROVENANCE: usize = 512;

/// The decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A living female embryo.
    Female,
    /// A living male embryo.
    Male,
    /// Infertile, or the embryo died.
    NoEmbryo,
    /// No safe decision: why, and the same for people with the values that led to it.
    Undecided(Reason, String),
}

/// Why there is no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The model is not sure enough for the line's thresholds.
    LowConfidence,
    /// The image is too poor.
    PoorImage,
    /// The image is not an egg as the model knows eggs.
    NotAnEgg,
    /// The budget ran out.
    Expired,
    /// The scan was refused for good.
    Rejected,
    /// The line is quarantined.
    Quarantined,
    /// The mesh failed on this scan.
    Failed,
    /// None was given, or one that a later version knows.
    Unknown(i32),
}

/// What was decided about one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The decision.
    pub call: Call,
    /// Calibrated P(female | living embryo), 0 to 1. `None`: nothing was computed.
    pub p_female: Option<f32>,
    /// What the model said.
    pub scores: Option<Scores>,
    /// How good the image was.
    pub quality: Option<Quality>,
    /// With what it was computed.
    pub provenance: Option<Provenance>,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// Where the time went.
    pub timings: Option<Timings>,
}

impl Call {
    /// FEMALE, MALE, NO_EMBRYO or UNDECIDED.
    pub fn name(&self) -> &'static str {
        self.to_pb().as_str_name().trim_start_matches("CALL_")
    }

    /// Without its reason.
    pub fn to_pb(&self) -> pb::Call {
        match self {
            Self::Female => pb::Call::Female,
            Self::Male => pb::Call::Male,
            Self::NoEmbryo => pb::Call::NoEmbryo,
            Self::Undecided(..) => pb::Call::Undecided,
        }
    }

    /// Its reason on the wire: UNSPECIFIED for other calls, and for one that is not known.
    pub fn reason_to_pb(&self) -> pb::UndecidedReason {
        let reason = self.reason().map_or(0, Reason::to_i32);
        pb::UndecidedReason::try_from(reason).unwrap_or(pb::UndecidedReason::Unspecified)
    }

    /// Why it is UNDECIDED, for people; empty for other calls.
    pub fn detail(&self) -> &str {
        match self {
            Self::Undecided(_, detail) => detail,
            _ => "",
        }
    }

    /// Why it is UNDECIDED.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Undecided(reason, _) => Some(*reason),
            _ => None,
        }
    }
}

impl Reason {
    /// Such as `LOW_CONFIDENCE`; empty when it is not known.
    pub fn name(self) -> &'static str {
        match pb::UndecidedReason::try_from(self.to_i32()) {
            Err(_) | Ok(pb::UndecidedReason::Unspecified) => "",
            Ok(known) => known.as_str_name().trim_start_matches("UNDECIDED_REASON_"),
        }
    }

    fn from_pb(reason: i32) -> Self {
        use pb::UndecidedReason as Pb;
        match Pb::try_from(reason) {
            Ok(Pb::LowConfidence) => Self::LowConfidence,
            Ok(Pb::PoorImage) => Self::PoorImage,
            Ok(Pb::NotAnEgg) => Self::NotAnEgg,
            Ok(Pb::Expired) => Self::Expired,
            Ok(Pb::Rejected) => Self::Rejected,
            Ok(Pb::Quarantined) => Self::Quarantined,
            Ok(Pb::Failed) => Self::Failed,
            Ok(Pb::Unspecified) | Err(_) => Self::Unknown(reason),
        }
    }

    fn to_i32(self) -> i32 {
        use pb::UndecidedReason as Pb;
        let known = match self {
            Self::LowConfidence => Pb::LowConfidence,
            Self::PoorImage => Pb::PoorImage,
            Self::NotAnEgg => Pb::NotAnEgg,
            Self::Expired => Pb::Expired,
            Self::Rejected => Pb::Rejected,
            Self::Quarantined => Pb::Quarantined,
            Self::Failed => Pb::Failed,
            Self::Unknown(reason) => return reason,
        };
        known.into()
    }
}

impl Verdict {
    /// A call by someone, and nothing else.
    pub fn new(call: Call, decided_by: DecidedBy) -> Self {
        let (p_female, scores, quality, provenance, timings) = Default::default();
        Self { call, p_female, scores, quality, provenance, decided_by, timings }
    }

    /// UNDECIDED, by the agent.
    pub fn undecided(reason: Reason, detail: &str) -> Self {
        Self::new(Call::Undecided(reason, texts::detail(detail)), DecidedBy::Agent)
    }

    /// UNDECIDED, because no verdict reached the agent in time.
    pub fn timed_out() -> Self {
        let verdict = Self::undecided(Reason::Expired, "no verdict reached the agent in time");
        Self { decided_by: DecidedBy::Timeout, ..verdict }
    }

    /// Reads a verdict. A call that is missing or not known is UNDECIDED, as the contract says.
    pub fn from_pb(verdict: pb::Verdict) -> Self {
        let decided_by = decided_by(&verdict);
        let call = match verdict.call() {
            pb::Call::Female => Call::Female,
            pb::Call::Male => Call::Male,
            pb::Call::NoEmbryo => Call::NoEmbryo,
            pb::Call::Undecided | pb::Call::Unspecified => {
                Call::Undecided(Reason::from_pb(verdict.reason), verdict.detail)
            }
        };
        let pb::Verdict { p_female, scores, quality, provenance, timings, .. } = verdict;
        Self { call, p_female, scores, quality, provenance, decided_by, timings }
    }

    /// Writes the verdict of a scan.
    pub fn to_pb(&self, scan_id: &ScanId) -> pb::Verdict {
        let (reason, detail) = match &self.call {
            Call::Undecided(reason, detail) => (reason.to_i32(), detail.clone()),
            _ => (0, String::new()),
        };
        pb::Verdict {
            scan_id: scan_id.to_string(),
            call: self.call.to_pb().into(),
            reason,
            detail,
            p_female: self.p_female,
            scores: self.scores,
            quality: self.quality,
            provenance: self.provenance.clone(),
            decided_by: self.decided_by.into(),
            timings: self.timings,
        }
    }

    /// Checks the texts.
    ///
    /// # Errors
    /// Names the field and its limit.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Call::Undecided(_, detail) = &self.call {
            texts::check_detail(detail)?;
        }
        let Some(by) = &self.provenance else { return Ok(()) };
        for (field, text) in [
            ("verdict.provenance.model", &by.model),
            ("verdict.provenance.model_sha256", &by.model_sha256),
            ("verdict.provenance.preprocess", &by.preprocess),
            ("verdict.provenance.device", &by.device),
            ("verdict.provenance.cpu_capability", &by.cpu_capability),
            ("verdict.provenance.policy", &by.policy),
        ] {
            Text::new(field, PROVENANCE).check(text)?;
        }
        Ok(())
    }
}

/// Agents of version 0.1 had no name for themselves and gave that of a model at the edge, which did not exist.
fn decided_by(verdict: &pb::Verdict) -> DecidedBy {
    let has_model = verdict.provenance.as_ref().is_some_and(|by| !by.model.is_empty());
    match verdict.decided_by() {
        DecidedBy::Edge if !has_model => DecidedBy::Agent,
        by => by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan_id() -> ScanId {
        ScanId::parse("s").unwrap()
    }

    #[test]
    fn what_an_agent_decides_is_told_apart_from_a_model_at_the_edge_also_in_old_rows() {
        let rejected = Verdict::undecided(Reason::Rejected, "torn").to_pb(&scan_id());
        assert_eq!(rejected.decided_by(), DecidedBy::Agent);
        let old = pb::Verdict { decided_by: DecidedBy::Edge.into(), ..rejected };
        assert_eq!(Verdict::from_pb(old.clone()).decided_by, DecidedBy::Agent);
        let provenance = Some(Provenance { model: "egg-edge/1".into(), ..Default::default() });
        assert_eq!(Verdict::from_pb(pb::Verdict { provenance, ..old }).decided_by, DecidedBy::Edge);
    }

    #[test]
    fn every_verdict_comes_back_from_the_wire() {
        let reasons = (0..=7).chain([99]).map(|n| Call::Undecided(Reason::from_pb(n), "why".into()));
        for call in reasons.chain([Call::Female, Call::Male, Call::NoEmbryo]) {
            let verdict = Verdict {
                p_female: Some(0.5),
                scores: Some(Scores { female: 0.5, ..Default::default() }),
                quality: Some(Quality { snr: 30.0, ..Default::default() }),
                provenance: Some(Provenance { model: "m/1".into(), ..Default::default() }),
                timings: Some(Timings { total_us: 7, ..Default::default() }),
                ..Verdict::new(call, DecidedBy::Mesh)
            };
            assert_eq!(Verdict::from_pb(verdict.to_pb(&scan_id())), verdict);
        }
    }

    #[test]
    fn a_call_that_is_not_known_is_undecided() {
        for call in [0, 77] {
            let verdict = Verdict::from_pb(pb::Verdict { call, ..Default::default() });
            assert_eq!((verdict.call.name(), verdict.call.reason()), ("UNDECIDED", Some(Reason::Unknown(0))));
        }
        assert_eq!((Reason::Unknown(0).name(), Reason::Unknown(77).name()), ("", ""));
        assert_eq!(Reason::LowConfidence.name(), "LOW_CONFIDENCE");
    }
}
