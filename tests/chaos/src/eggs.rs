//! Scans to send: phantoms of all classes, made once.

use bytes::Bytes;
use ovomesh_api::pb::scan::v1::{Place, Purpose, Scan, Volume};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};

/// Images; scans take them in turn.
#[derive(Debug, Clone)]
pub struct Eggs(Vec<Volume>);

impl Eggs {
    /// Makes a few.
    pub fn new() -> Self {
        let classes = [Class::Female, Class::Male, Class::Female, Class::Male, Class::Infertile];
        let volumes = (0..15).map(|n| volume(classes[n % classes.len()], n as u64)).collect();
        Self(volumes)
    }

    /// Scan `n` of a line; its tray run is one of 150 eggs.
    pub fn scan(&self, id: &str, line: &Place, n: usize) -> Scan {
        Scan {
            scan_id: id.to_owned(),
            egg_id: format!("egg-{id}"),
            place: Some(Place {
                tray_run: format!("tray-{}", n / 150),
                slot: u32::try_from(n % 150 + 1).unwrap_or_default(),
                ..line.clone()
            }),
            purpose: Purpose::Production.into(),
            volume: Some(self.0[n % self.0.len()].clone()),
            ..Scan::default()
        }
    }
}

fn volume(class: Class, seed: u64) -> Volume {
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
        ..Volume::default()
    }
}
