//! Rows and verdicts as JSON, for programs: the one place that says how they look, whoever writes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pb::scan::v1 as pb;
use crate::time;
use crate::undecided::decided_by;

/// FEMALE, MALE, NO_EMBRYO or UNDECIDED.
pub fn call_name(call: pb::Call) -> &'static str {
    match call {
        pb::Call::Unspecified => "UNDECIDED",
        known => known.as_str_name().trim_start_matches("CALL_"),
    }
}

/// The reason of an UNDECIDED, such as `LOW_CONFIDENCE`; empty when decided.
pub fn reason_name(verdict: &pb::Verdict) -> &'static str {
    match verdict.reason() {
        pb::UndecidedReason::Unspecified => "",
        known => known.as_str_name().trim_start_matches("UNDECIDED_REASON_"),
    }
}

/// A row as an object. Fields that are not known are null.
pub fn row(row: &pb::Row) -> Value {
    let place = row.place.clone().unwrap_or_default();
    json!({
        "scan_id": row.scan_id,
        "egg_id": row.egg_id,
        "site": place.site,
        "line": place.line,
        "tray_run": place.tray_run,
        "slot": place.slot,
        "batch_id": row.batch_id,
        "coil": row.coil,
        "purpose": row.purpose().as_str_name().trim_start_matches("PURPOSE_"),
        "rescan_of": row.rescan_of,
        "owner": row.owner,
        "acquired_at": stamp(row.acquired_at.as_ref()),
        "received_at": stamp(row.received_at.as_ref()),
        "stored_at": stamp(row.stored_at.as_ref()),
        "clock_suspect": row.clock_suspect,
        "volume_crc32c": format!("{:08x}", row.volume_crc32c),
        "verdict": row.verdict.as_ref().map(verdict),
    })
}

/// A verdict as an object.
pub fn verdict(verdict: &pb::Verdict) -> Value {
    let scores = verdict.scores.as_ref().map(|s| {
        json!({
            "female": s.female, "male": s.male, "infertile": s.infertile, "dead": s.dead,
            "strangeness": s.strangeness,
            "gonads_mm": s.gonads.as_ref().map(|p| [p.x_mm, p.y_mm, p.z_mm]),
        })
    });
    let quality = verdict.quality.as_ref().map(|q| {
        json!({
            "snr": q.snr, "motion": q.motion, "coverage": q.coverage, "clipped": q.clipped, "egg_ml": q.egg_ml,
        })
    });
    let provenance = verdict.provenance.as_ref().map(|p| {
        json!({
            "model": p.model, "model_sha256": p.model_sha256, "preprocess": p.preprocess, "device": p.device,
            "cpu_capability": p.cpu_capability, "batch": p.batch, "policy": p.policy,
        })
    });
    let timings = verdict.timings.as_ref().map(|t| {
        json!({
            "total_us": t.total_us,
            "preprocess_queued_us": t.preprocess_queued_us, "preprocess_us": t.preprocess_us,
            "inference_queued_us": t.inference_queued_us, "inference_us": t.inference_us,
        })
    });
    json!({
        "call": call_name(verdict.call()),
        "reason": reason_name(verdict),
        "detail": verdict.detail,
        "p_female": verdict.p_female,
        "scores": scores,
        "quality": quality,
        "provenance": provenance,
        "decided_by": decided_by(verdict).as_str_name().trim_start_matches("DECIDED_BY_"),
        "timings": timings,
    })
}

/// A time of the wire; `None` when absent or no time.
pub fn stamp(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| time::from_pb("time", *at).ok())
}
