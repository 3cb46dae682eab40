//! A row whose keys were checked.

use bytes::Bytes;
use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{Call, Preview, Row};
use ovomesh_api::{EggId, Invalid, Place, ScanId, ScanKey, texts, thousands, time};
use prost::Message as _;

/// Most bytes of a row without its picture. Usual ones have 400; texts may add some thousand.
const ROW_BYTES: usize = 32 << 10;
/// Most pixels of a picture along each side.
const PREVIEW_SIDE: u32 = 64;

/// A row to store: its keys, and the rest of it as it is stored. Cheap to clone.
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
    /// The decision.
    pub call: Call,
    /// P(female), if it was told.
    pub p_female: Option<f32>,
    /// The encoded row, without its picture.
    pub row: Bytes,
    /// Its encoded picture.
    pub preview: Option<Bytes>,
}

impl Record {
    /// Checks the keys and the size of a row. `stored_at` is set here.
    ///
    /// # Errors
    /// Names the field that keeps the row from being stored, now and for ever.
    pub fn parse(mut row: Row, now: Timestamp) -> Result<Self, Invalid> {
        let scan_id = ScanId::parse(&row.scan_id)?;
        let egg_id = if row.egg_id.is_empty() { None } else { Some(EggId::parse(&row.egg_id)?) };
        let place = Place::parse(row.place.clone())?;
        let acquired_at = row.acquired_at.ok_or_else(|| Invalid::field("acquired_at", "", "present"))?;
        let acquired_at = time::from_pb("acquired_at", acquired_at)?;
        texts::check_row(&row)?;
        let Some(verdict) = &row.verdict else {
            return Err(Invalid::field("verdict", "", "present: only what was released is stored"));
        };
        if verdict.scan_id != row.scan_id {
            return Err(Invalid::field("verdict.scan_id", &verdict.scan_id, format!("the row's, {scan_id}")));
        }
        let (call, p_female) = (verdict.call(), verdict.p_female);
        row.stored_at = Some(time::to_pb(now));
        let preview = row.preview.take().map(|preview| check(&preview)).transpose()?;
        let row = Bytes::from(row.encode_to_vec());
        if row.len() > ROW_BYTES {
            let bytes = format!("{} bytes", thousands(row.len() as u64));
            let limit = format!("at most {} bytes without its preview", thousands(ROW_BYTES as u64));
            return Err(Invalid::field("row", bytes, limit));
        }
        Ok(Self { scan_id, egg_id, place, acquired_at, call, p_female, row, preview })
    }

    /// The row, without its picture.
    pub fn decoded(&self) -> Row {
        Row::decode(self.row.clone()).expect("this process encoded it")
    }

    /// What the scan is known by.
    pub fn key(&self) -> ScanKey {
        ScanKey::new(&self.place.site, &self.scan_id)
    }
}

fn check(preview: &Preview) -> Result<Bytes, Invalid> {
    for (field, side) in [("preview.columns", preview.columns), ("preview.rows", preview.rows)] {
        if side > PREVIEW_SIDE {
            return Err(Invalid::field(field, side, format!("at most {PREVIEW_SIDE}")));
        }
    }
    let needed = (preview.columns * preview.rows).div_ceil(2) as usize;
    if preview.pixels.len() != needed {
        let size = format!("{} bytes", preview.pixels.len());
        let limit = format!("{needed} bytes for {} x {} pixels", preview.columns, preview.rows);
        return Err(Invalid::field("preview.pixels", size, limit));
    }
    Ok(preview.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use ovomesh_api::pb::scan::v1::{Place, Verdict};

    use super::*;

    fn row() -> Row {
        Row {
            scan_id: "s".into(),
            place: Some(Place { site: "n".into(), line: "1".into(), ..Default::default() }),
            acquired_at: Some(prost_types::Timestamp::default()),
            verdict: Some(Verdict { scan_id: "s".into(), ..Default::default() }),
            preview: Some(Preview {
                columns: 3,
                rows: 1,
                pixels: vec![0x12, 0x30].into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_row_is_kept_apart_from_its_picture_and_stamped() {
        let record = Record::parse(row(), Timestamp::constant(5, 0)).unwrap();
        let stored = Row::decode(record.row).unwrap();
        assert_eq!((stored.preview, stored.stored_at.unwrap().seconds), (None, 5));
        assert_eq!(Preview::decode(record.preview.unwrap()).unwrap().columns, 3);
    }

    #[test]
    fn a_row_that_cannot_be_stored_is_refused_by_the_name_of_its_field() {
        type Spoil = fn(&mut Row);
        let bad: [(&str, Spoil); 11] = [
            ("scan_id", |row| row.scan_id.clear()),
            ("egg_id", |row| row.egg_id = "an egg".into()),
            ("place", |row| row.place = None),
            ("place.site", |row| row.place.as_mut().unwrap().site.clear()),
            ("acquired_at", |row| row.acquired_at = None),
            ("acquired_at", |row| row.acquired_at.as_mut().unwrap().nanos = -1),
            ("verdict", |row| row.verdict = None),
            ("verdict.scan_id", |row| row.verdict.as_mut().unwrap().scan_id = "t".into()),
            ("preview.pixels", |row| row.preview.as_mut().unwrap().rows = 2),
            ("verdict.detail", |row| row.verdict.as_mut().unwrap().detail = "x".repeat(ROW_BYTES)),
            ("row", |row| row.owner = "x".repeat(ROW_BYTES)),
        ];
        for (field, spoil) in bad {
            let mut row = row();
            spoil(&mut row);
            let error = Record::parse(row, Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.message.contains(field) && error.message.len() < 300, "{error}");
        }
    }
}
