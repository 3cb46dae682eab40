//! Scans to send: real phantoms, made once.

use std::sync::LazyLock;

use bytes::Bytes;
use ovomesh_api::pb::scan::v1::{Place, Purpose, Scan, Volume};
use ovomesh_api::pb::scanner::v1::Hello;
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};

/// A valid Hello.
pub fn hello() -> Hello {
    Hello { protocol_version: 1, ..Default::default() }
}

/// The place of all tests.
pub fn place() -> Place {
    Place { site: "test".into(), line: "1".into(), tray_run: "t".into(), slot: 1 }
}

/// A valid scan of a living female egg.
pub fn scan(scan_id: &str) -> Scan {
    Scan {
        scan_id: scan_id.into(),
        egg_id: format!("egg-of-{scan_id}"),
        place: Some(place()),
        purpose: Purpose::Test.into(),
        volume: Some(volume()),
        ..Default::default()
    }
}

/// A valid volume of 64 x 64 x 16 samples.
pub fn volume() -> Volume {
    static VOLUME: LazyLock<Volume> = LazyLock::new(|| phantom(Class::Female, 11));
    VOLUME.clone()
}

/// A phantom of 64 x 64 x 16 samples at a signal-to-noise ratio of 30.
pub fn phantom(class: Class, seed: u64) -> Volume {
    let clean = Phantom::new(&Profile::nominal(), class, seed).render(&Grid::STANDARD);
    let noisy = Scanner::with_snr(30.0).acquire(&clean, &mut rng(seed));
    let samples: Bytes = noisy.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    Volume {
        columns: 64,
        rows: 64,
        slices: 16,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
        spacing_z_mm: 2.8,
        crc32c: Some(crc32c::crc32c(&samples)),
        samples,
        ..Default::default()
    }
}
