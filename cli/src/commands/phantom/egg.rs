//! One egg: made, scanned, written as DICOM.

use jiff::civil::DateTime;
use ovomesh_imaging::dicom::{Device, Label, series_uid, write_enhanced, write_series};
use ovomesh_imaging::{Header, Volume};
use ovomesh_phantom::{Class, Phantom, Profile, Renderer, Scanner, Shares, Truth, rng, seed_of};

/// Makes eggs that belong together.
pub(super) struct Maker {
    pub(super) profile: Profile,
    /// What all eggs hold; without, what the shares say.
    pub(super) class: Option<Class>,
    pub(super) shares: Shares,
    pub(super) scanner: Scanner,
    pub(super) renderer: Renderer,
    pub(super) seed: u64,
    pub(super) acquired: DateTime,
}

/// An egg that was scanned.
pub(super) struct Egg {
    pub(super) truth: Truth,
    pub(super) label: Label,
    volume: Volume,
}

impl Maker {
    /// The `index`-th egg: the same one whatever the count.
    pub(super) fn egg(&mut self, index: u32) -> anyhow::Result<Egg> {
        let seed = seed_of(self.seed, index.into());
        let class = self.class.unwrap_or_else(|| self.shares.class_of(seed_of(seed, 0)));
        let clean = self.renderer.render(&Phantom::new(&self.profile, class, seed));
        let samples = self.scanner.acquire(&clean, &mut rng(seed_of(seed, 1)));
        let grid = &clean.grid;
        let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
        let volume = Volume::from_u16(header, &samples)?;
        // Other samples are another scan, whatever they were made from.
        let scan = u128::from(seed) << 32 | u128::from(crc32c::crc32c(volume.samples()));
        let label = Label {
            series_uid: series_uid(scan),
            egg_id: format!("phantom-{}-{}", self.seed, index + 1),
            acquired: self.acquired,
            device: Device {
                manufacturer: "ovomesh".to_owned(),
                model: "phantom".to_owned(),
                software: env!("CARGO_PKG_VERSION").to_owned(),
                ..Device::default()
            },
        };
        Ok(Egg { truth: clean.truth, label, volume })
    }
}

impl Egg {
    /// One Enhanced MR file.
    pub(super) fn enhanced(&self) -> anyhow::Result<Vec<u8>> {
        Ok(write_enhanced(&self.volume, &self.label)?)
    }

    /// An MR file for each slice.
    pub(super) fn slices(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(write_series(&self.volume, &self.label)?)
    }
}
