//! A row as the gateway makes them. `ovomesh-query`'s example `watchers` includes this file, too.

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{
    Call, Place, Point, Preview, Provenance, Purpose, Quality, Row, Scores, Timings, Verdict,
};
use ovomesh_api::time::to_pb;

/// The row of scan `n`, as large as rows are.
pub fn row(n: u64) -> Row {
    let scan_id = format!("018f3c2e-7b1a-7cc0-{:04x}-{n:012x}", n.wrapping_mul(0x9e37) & 0xffff);
    let now = to_pb(Timestamp::now());
    let verdict = Verdict {
        scan_id: scan_id.clone(),
        call: Call::Female.into(),
        p_female: Some(0.97),
        scores: Some(Scores {
            female: 0.95,
            male: 0.03,
            infertile: 0.01,
            dead: 0.01,
            strangeness: 0.4,
            gonads: Some(Point { x_mm: 30.0, y_mm: 31.0, z_mm: 12.0 }),
        }),
        quality: Some(Quality { snr: 21.0, motion: 1.0, coverage: 1.0, clipped: 0.0, egg_ml: 56.0 }),
        provenance: Some(Provenance {
            model: "egg-pose/0.3.1".into(),
            model_sha256: "0123456789abcdef".into(),
            preprocess: "1".into(),
            device: "cpu".into(),
            cpu_capability: "AVX512".into(),
            batch: 8,
            policy: "default/1".into(),
        }),
        timings: Some(Timings {
            total_us: 6_000,
            preprocess_us: 400,
            inference_us: 900,
            ..Default::default()
        }),
        ..Default::default()
    };
    let place = Place {
        site: "north".into(),
        line: (n % 8).to_string(),
        tray_run: format!("run-{}", n / 150),
        slot: (n % 150) as u32 + 1,
    };
    Row {
        egg_id: format!("egg-{n}"),
        place: Some(place),
        purpose: Purpose::Test.into(),
        acquired_at: Some(now),
        received_at: Some(now),
        volume_crc32c: n as u32,
        verdict: Some(verdict),
        preview: Some(Preview {
            columns: 48,
            rows: 48,
            pixels: (0..1_152u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect::<Vec<_>>()
                .into(),
            ..Default::default()
        }),
        scan_id,
        ..Default::default()
    }
}
