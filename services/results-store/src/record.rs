//! A row whose keys were checked.

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{Preview, Row};
use ovomesh_api::{EggId, Invalid, Place, ScanId, time};

/// A row to store: its keys, and the rest of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The scan.
    pub scan_id: ScanId,
    /// The egg, if it has a name.
    pub egg_id: Option<EggId>,
    /// Where it was.
    pub place: Place,
    /// When it was acquired.
    pub acquired_at: Timestamp,
    /// The row, without its preview.
    pub row: Row,
    /// Its picture.
    pub preview: Option<Preview>,
}

impl Record {
    /// Checks the keys of a row. `stored_at` is set here.
    pub fn parse(mut row: Row, now: Timestamp) -> Result<Self, Invalid> {
        let scan_id = ScanId::parse(&row.scan_id)?;
        let egg_id = if row.egg_id.is_empty() { None } else { Some(EggId::parse(&row.egg_id)?) };
        let place = Place::parse(row.place.clone())?;
        let acquired_at = row.acquired_at.ok_or_else(|| Invalid::field("acquired_at", "", "present"))?;
        let acquired_at = time::from_pb("acquired_at", acquired_at)?;
        if row.verdict.is_none() {
            return Err(Invalid::field("verdict", "", "present: only what was released is stored"));
        }
        row.stored_at = Some(time::to_pb(now));
        let preview = row.preview.take();
        Ok(Self { scan_id, egg_id, place, acquired_at, row, preview })
    }
}
