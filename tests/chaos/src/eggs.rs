//! Scans to send: phantoms of all classes, made once.

use ovomesh_api::pb::scan::v1::{Place, Purpose, Scan, Volume};
use ovomesh_phantom::Class;
use ovomesh_tests::phantom;

/// Images; scans take them in turn.
#[derive(Debug, Clone)]
pub struct Eggs(Vec<Volume>);

impl Eggs {
    /// Makes a few.
    pub fn new() -> Self {
        let classes = [Class::Female, Class::Male, Class::Female, Class::Male, Class::Infertile];
        let volumes = (0..15).map(|n| phantom(classes[n % classes.len()], n as u64)).collect();
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
