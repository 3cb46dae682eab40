//! A scan as it enters the mesh: everything checked, once.

use std::time::Duration;

use jiff::Timestamp;

use crate::ids::{EggId, Line, LineId, NAME_BYTES, ScanId, ScanKey, Site};
use crate::pb::scan::v1 as pb;
use crate::time::AcquiredAt;
use crate::verdict::Verdict;
use crate::{Invalid, LineConfig, Row, Volume, texts, time};

/// Highest slot of a tray.
pub const MAX_SLOT: u32 = 10_000;

/// The site that an unchecked place names; empty when there is none, or none that can be.
pub fn site_of(place: Option<&pb::Place>) -> String {
    place.filter(|place| place.site.len() <= NAME_BYTES).map(|place| place.site.clone()).unwrap_or_default()
}

/// Size of the samples of an unchecked scan, as sent.
pub fn sample_bytes(scan: &pb::Scan) -> u64 {
    scan.volume.as_ref().map_or(0, |volume| volume.samples.len() as u64)
}

/// A checked scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Who, where, when and what for.
    pub meta: ScanMeta,
    /// Time left when the scan was received. `None`: the line's own budget.
    pub budget: Option<Duration>,
    /// W3C trace context of the source, empty if it does not trace.
    pub traceparent: String,
    /// The image: 16-bit samples, packed as they were sent.
    pub volume: Volume,
}

/// What is stored of a scan beside its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanMeta {
    /// The source's own key.
    pub scan_id: ScanId,
    /// The egg, if its source can name it.
    pub egg_id: Option<EggId>,
    /// Where the egg was.
    pub place: Place,
    /// The customer's batch, empty if none.
    pub batch_id: String,
    /// The receive coil, empty if none.
    pub coil: String,
    /// What the scan is for.
    pub purpose: pb::Purpose,
    /// The scan that this one repeats.
    pub rescan_of: Option<ScanId>,
    /// When the acquisition ended.
    pub acquired_at: Timestamp,
    /// When the mesh received it.
    pub received_at: Timestamp,
    /// Whether `acquired_at` is further than [`time::SUSPECT`] from `received_at`, or the source gave what is no time.
    pub clock_suspect: bool,
    /// Its image, whole or broken.
    pub image: Image,
}

/// A scan's image as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Image {
    /// All of it: CRC-32C of the samples as sent.
    Whole(u32),
    /// Nothing that could be read as a volume.
    Broken,
}

impl Image {
    /// CRC-32C of the samples; 0 for an image that could not be read.
    pub fn checksum(self) -> u32 {
        match self {
            Self::Whole(checksum) => checksum,
            Self::Broken => 0,
        }
    }
}

/// Where an egg was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The line.
    pub line_id: LineId,
    /// One passage of one tray, empty if unknown.
    pub tray_run: String,
    /// 1 to 10,000, row-major; 0 if unknown.
    pub slot: u32,
}

impl Scan {
    /// Checks a scan that was received at `now`; `max_bytes` is the largest volume taken.
    pub fn parse(scan: pb::Scan, max_bytes: u64, now: Timestamp) -> Result<Self, Invalid> {
        let meta = ScanMeta::parse(&scan, now)?;
        texts::TRACEPARENT.check(&scan.traceparent)?;
        let budget = scan.budget.map(|b| time::budget_from_pb("budget", b)).transpose()?;
        let volume = scan.volume.ok_or_else(|| Invalid::field("volume", "", "present"))?;
        let volume = Volume::parse(volume, max_bytes)?;
        let meta = ScanMeta { image: Image::Whole(volume.checksum()), ..meta };
        Ok(Self { meta, budget, traceparent: scan.traceparent, volume })
    }
}

impl Place {
    /// Checks names and slot (0 to 10,000).
    pub fn parse(place: Option<pb::Place>) -> Result<Self, Invalid> {
        let place = place.ok_or_else(|| Invalid::field("place", "", "present, with site and line"))?;
        texts::TRAY_RUN.check(&place.tray_run)?;
        if place.slot > MAX_SLOT {
            return Err(Invalid::field("place.slot", place.slot, format!("0 to {MAX_SLOT}")));
        }
        let line_id = LineId::parse(&place.site, &place.line)?;
        Ok(Self { line_id, tray_run: place.tray_run, slot: place.slot })
    }

    /// The hatchery.
    pub fn site(&self) -> &Site {
        &self.line_id.site
    }

    /// The line within the hatchery.
    pub fn line(&self) -> &Line {
        &self.line_id.line
    }

    /// Checks that it is on one of the lines that a session's Hello named; none named: any.
    pub fn must_be_one_of(&self, lines: &[LineId]) -> Result<(), Invalid> {
        if lines.is_empty() || lines.contains(&self.line_id) {
            return Ok(());
        }
        let limit = lines.iter().map(LineId::to_string).collect::<Vec<_>>().join(", ");
        let value = self.line_id.to_string();
        let message =
            format!("place {value} is not among the lines that this session's Hello named: {limit}");
        Err(Invalid::field("place", value, limit).because(pb::RejectCode::NotAllowed, message))
    }

    /// For the wire.
    pub fn to_pb(&self) -> pb::Place {
        pb::Place {
            site: self.site().to_string(),
            line: self.line().to_string(),
            tray_run: self.tray_run.clone(),
            slot: self.slot,
        }
    }
}

impl ScanMeta {
    /// Checks all of a scan that was received at `now` but its volume, which is taken as broken.
    pub fn parse(scan: &pb::Scan, now: Timestamp) -> Result<Self, Invalid> {
        let scan_id = ScanId::parse(&scan.scan_id)?;
        let egg_id = if scan.egg_id.is_empty() { None } else { Some(EggId::parse(&scan.egg_id)?) };
        let place = Place::parse(scan.place.clone())?;
        texts::BATCH_ID.check(&scan.batch_id)?;
        texts::COIL.check(&scan.coil)?;
        let rescan_of = texts::rescan_of(&scan.rescan_of)?;
        let purpose = purpose(scan.purpose)?;
        let acquired = AcquiredAt::read(scan.acquired_at, now);
        Ok(Self {
            scan_id,
            egg_id,
            place,
            batch_id: scan.batch_id.clone(),
            coil: scan.coil.clone(),
            purpose,
            rescan_of,
            acquired_at: acquired.at,
            received_at: now,
            clock_suspect: acquired.is_suspect(now),
            image: Image::Broken,
        })
    }

    /// What the scan is known by.
    pub fn key(&self) -> ScanKey {
        ScanKey::new(self.place.site(), &self.scan_id)
    }

    /// The error for this scan when its id was sent before with other samples.
    pub fn reused(&self) -> Invalid {
        let message = format!(
            "this id was sent before with other samples (these have CRC-32C {:08x}); give each scan its own id",
            self.image.checksum()
        );
        let error = Invalid::field("scan_id", &self.scan_id, "an id of its own for each scan");
        error.because(pb::RejectCode::IdReused, message)
    }

    /// The record of this scan: a pure function of what was received, released and configured.
    pub fn row(self, line: &LineConfig, verdict: Verdict, preview: Option<pb::Preview>) -> Row {
        Row { meta: self, owner: line.owner.clone(), stored_at: None, verdict, preview, settled: false }
    }
}

/// What is not specified counts.
pub(crate) fn purpose(purpose: i32) -> Result<pb::Purpose, Invalid> {
    match pb::Purpose::try_from(purpose) {
        Ok(pb::Purpose::Unspecified) => Ok(pb::Purpose::Production),
        Ok(known) => Ok(known),
        Err(_) => Err(Invalid::field("purpose", purpose, "1 to 3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nominal() -> pb::Scan {
        pb::Scan {
            scan_id: "s1".into(),
            place: Some(pb::Place { site: "north".into(), line: "1".into(), ..Default::default() }),
            volume: Some(crate::volume::smallest(0)),
            ..Default::default()
        }
    }

    fn parse(change: impl FnOnce(&mut pb::Scan)) -> Result<Scan, Invalid> {
        let mut scan = nominal();
        change(&mut scan);
        Scan::parse(scan, 1 << 20, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_absent_has_its_documented_meaning() {
        let scan = parse(|_| ()).unwrap();
        assert_eq!(scan.meta.purpose, pb::Purpose::Production);
        assert_eq!(scan.meta.acquired_at, scan.meta.received_at);
        assert_eq!((scan.budget, scan.meta.egg_id, scan.meta.clock_suspect), (None, None, false));
    }

    #[test]
    fn each_field_at_fault_is_named() {
        type Change = fn(&mut pb::Scan);
        let table: [(&str, Change); 8] = [
            ("rescan_of", |s| s.rescan_of = "a/b".into()),
            ("scan_id", |s| s.scan_id.clear()),
            ("egg_id", |s| s.egg_id = "a/b".into()),
            ("place", |s| s.place = None),
            ("place.site", |s| s.place = Some(pb::Place::default())),
            ("batch_id", |s| s.batch_id = "x".repeat(129)),
            ("purpose", |s| s.purpose = 77),
            ("volume", |s| s.volume = None),
        ];
        for (field, change) in table {
            assert_eq!(parse(change).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_budget_of_nothing_is_valid_and_spent() {
        let none = prost_types::Duration { seconds: 0, nanos: 0 };
        let less = prost_types::Duration { seconds: -3, nanos: 0 };
        for budget in [none, less] {
            assert_eq!(parse(|s| s.budget = Some(budget)).unwrap().budget, Some(Duration::ZERO));
        }
    }

    #[test]
    fn a_strange_clock_is_flagged_and_never_refused() {
        let year_2000 = prost_types::Timestamp { seconds: 946_684_800, nanos: 0 };
        assert!(parse(|s| s.acquired_at = Some(year_2000)).unwrap().meta.clock_suspect);
        let milliseconds = prost_types::Timestamp { seconds: 1_795_510_800_000, nanos: 0 };
        let meta = parse(|s| s.acquired_at = Some(milliseconds)).unwrap().meta;
        assert_eq!((meta.acquired_at, meta.clock_suspect), (meta.received_at, true));
    }
}
