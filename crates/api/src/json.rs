//! Rows and verdicts as JSON, for programs: the one place that says how they look, for every program that writes them.

use serde_json::{Value, json};

use crate::{EggId, Image, Reason, Row, ScanId, Verdict};

/// A row as an object. Fields that are not known are null.
pub fn row(row: &Row) -> Value {
    let Row { meta, owner, stored_at, verdict, .. } = row;
    let checksum = match meta.image {
        Image::Whole(checksum) => Some(format!("{checksum:08x}")),
        Image::Broken => None,
    };
    json!({
        "scan_id": meta.scan_id.as_str(),
        "egg_id": meta.egg_id.as_ref().map_or("", EggId::as_str),
        "site": meta.place.site().as_str(),
        "line": meta.place.line().as_str(),
        "tray_run": meta.place.tray_run,
        "slot": meta.place.slot,
        "batch_id": meta.batch_id,
        "coil": meta.coil,
        "purpose": meta.purpose.as_str_name().trim_start_matches("PURPOSE_"),
        "rescan_of": meta.rescan_of.as_ref().map_or("", ScanId::as_str),
        "owner": owner,
        "acquired_at": meta.acquired_at,
        "received_at": meta.received_at,
        "stored_at": stored_at,
        "clock_suspect": meta.clock_suspect,
        "volume_crc32c": checksum,
        "verdict": self::verdict(verdict),
    })
}

/// A verdict as an object.
pub fn verdict(verdict: &Verdict) -> Value {
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
        "call": verdict.call.name(),
        "reason": verdict.call.reason().map_or("", Reason::name),
        "detail": verdict.call.detail(),
        "p_female": verdict.p_female,
        "scores": scores,
        "quality": quality,
        "provenance": provenance,
        "decided_by": verdict.decided_by.as_str_name().trim_start_matches("DECIDED_BY_"),
        "timings": timings,
    })
}
