//! What the scans of a run contain: names, eggs, places, times. Pure functions of their number, so that a scan that is sent
//! again is the same scan.

use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{Encoding, Handedness, Place, Purpose, Scan, Volume};
use ovomesh_api::pb::scanner::v1::Line;
use ovomesh_api::time;
use ovomesh_phantom::{Class, Grid};

use super::plan::Send;

/// What all scans of a run share.
#[derive(Clone, Debug)]
pub(crate) struct ScanContent {
    /// Hexadecimal, different for each run.
    pub(crate) run: String,
    pub(crate) seed: u64,
    pub(crate) site: String,
    /// Lines of the site; scanners beyond them share.
    pub(crate) lines: u32,
    pub(crate) tray: u32,
    pub(crate) purpose: Purpose,
    pub(crate) encoding: Encoding,
    pub(crate) grid: Grid,
    pub(crate) warmup: Duration,
    /// What each egg of the library holds.
    pub(crate) classes: Vec<Class>,
}

impl ScanContent {
    /// The id of scan `n`.
    pub(crate) fn scan_id(&self, n: u32) -> String {
        format!("sim-{}-{n}", self.run)
    }

    /// The number of a scan of this run; `None` for any other id.
    pub(crate) fn number_of(&self, scan_id: &str) -> Option<u32> {
        let n: u32 =
            scan_id.strip_prefix("sim-")?.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok()?;
        // Numbers have one spelling only.
        (self.scan_id(n) == scan_id).then_some(n)
    }

    /// The egg of scan `n`, as its place in the library, and what it holds.
    pub(crate) fn egg_of(&self, n: u32) -> (u32, Class) {
        let egg = n as usize % self.classes.len();
        (egg as u32, self.classes[egg])
    }

    /// The line of a scanner.
    pub(crate) fn line(&self, scanner: u32) -> Line {
        Line { site: self.site.clone(), line: format!("line-{}", scanner % self.lines + 1) }
    }

    /// Scan `n` without its budget. The egg's name is the phantom's: the same seed and profile give the same egg.
    pub(crate) fn scan(
        &self,
        n: u32,
        send: &Send,
        began: Timestamp,
        samples: bytes::Bytes,
        crc32c: u32,
    ) -> Scan {
        let Line { site, line } = self.line(send.scanner);
        let Grid { columns, rows, slices, spacing_mm: [x, y, z] } = self.grid;
        let [columns, rows, slices] = [columns, rows, slices].map(|n| n as u32);
        let tray_run = format!("{}-{}-{}", self.run, send.scanner + 1, send.nth / self.tray + 1);
        Scan {
            scan_id: self.scan_id(n),
            egg_id: format!("egg-{}-{}", self.seed, self.egg_of(n).0),
            place: Some(Place { site, line, tray_run, slot: send.nth % self.tray + 1 }),
            acquired_at: Some(time::to_pb(began + send.at)),
            purpose: self.purpose.into(),
            volume: Some(Volume {
                columns,
                rows,
                slices,
                spacing_x_mm: x,
                spacing_y_mm: y,
                spacing_z_mm: z,
                handedness: Handedness::RightHanded.into(),
                encoding: self.encoding.into(),
                samples,
                crc32c: Some(crc32c),
                ..Volume::default()
            }),
            ..Scan::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ovomesh_api::{MAX_VOLUME_BYTES, Scan as Checked};

    use super::*;

    /// Two lines, four eggs: one of each class.
    pub(crate) fn content() -> ScanContent {
        ScanContent {
            run: "5f0c".into(),
            seed: 7,
            site: "sim".into(),
            lines: 2,
            tray: 150,
            purpose: Purpose::Test,
            encoding: Encoding::Raw,
            grid: Grid { columns: 8, rows: 8, slices: 4, spacing_mm: [1.0, 1.0, 2.8] },
            warmup: Duration::ZERO,
            classes: Class::ALL.to_vec(),
        }
    }

    #[test]
    fn what_is_sent_passes_the_contracts_own_check() {
        let content = content();
        let send = Send { at: Duration::from_millis(5), scanner: 3, nth: 151 };
        let samples = bytes::Bytes::from(vec![1; 512]);
        let checksum = crc32c::crc32c(&samples);
        let scan = content.scan(17, &send, Timestamp::UNIX_EPOCH, samples, checksum);
        let checked = Checked::parse(scan, MAX_VOLUME_BYTES, Timestamp::UNIX_EPOCH).unwrap();
        let meta = checked.meta;
        assert_eq!((meta.scan_id.as_str(), meta.egg_id.unwrap().as_str()), ("sim-5f0c-17", "egg-7-1"));
        assert_eq!(
            (meta.place.line().as_str(), meta.place.slot, meta.place.tray_run.as_str()),
            ("line-2", 2, "5f0c-4-2")
        );
        assert_eq!(meta.acquired_at.as_millisecond(), 5);
        assert_eq!(meta.purpose, Purpose::Test);
    }

    #[test]
    fn only_ids_of_this_run_have_a_number() {
        let content = content();
        assert_eq!(content.number_of(&content.scan_id(4_000_000_000)), Some(4_000_000_000));
        for other in
            ["", "sim-", "sim-5f0c-", "sim-5f0c-01", "sim-5f0c-+1", "sim-5f0d-1", "sim-5f0c-4294967296"]
        {
            assert_eq!(content.number_of(other), None, "{other}");
        }
    }
}
