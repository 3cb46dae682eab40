//! A row to store: parsed once, and encoded once as it is kept and sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::{Invalid, Row, ScanKey, thousands};
use prost::Message as _;
use prost::encoding;

/// Most bytes of a row without its preview. Usual ones have 400; texts may add some thousand.
const ROW_BYTES: usize = 32 << 10;
/// Number of `Row.preview`.
const PREVIEW: u32 = 15;

/// A row to store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Record {
    /// The row, without its preview.
    pub row: Arc<Row>,
    /// The same, encoded.
    pub encoded: Bytes,
    /// Its encoded preview.
    pub preview: Option<Bytes>,
}

impl Record {
    /// Checks a row and its size. `stored_at` is set here.
    ///
    /// # Errors
    /// Names the field that keeps the row from being stored, now and for ever.
    pub fn parse(row: pb::Row, now: Timestamp) -> Result<Self, Invalid> {
        let mut row = Row { stored_at: Some(now), ..Row::parse(row)? };
        row.check()?;
        let preview = row.preview.take().map(|preview| preview.encode_to_vec().into());
        let encoded = row.encode();
        if encoded.len() > ROW_BYTES {
            let bytes = format!("{} bytes", thousands(encoded.len() as u64));
            let limit = format!("at most {} bytes without its preview", thousands(ROW_BYTES as u64));
            return Err(Invalid::field("row", bytes, limit));
        }
        Ok(Self { row: Arc::new(row), encoded, preview })
    }

    /// What the scan is known by.
    pub fn key(&self) -> ScanKey {
        self.row.key()
    }
}

/// An encoded row with its encoded preview: fields of a message may stand one behind the other.
pub fn with_preview(row: &[u8], preview: Option<&[u8]>) -> Bytes {
    let mut whole = BytesMut::from(row);
    if let Some(preview) = preview {
        encoding::bytes::encode(PREVIEW, &preview.to_vec(), &mut whole);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use ovomesh_api::pb::scan::v1::{Place, Preview, Verdict};

    use super::*;

    fn row() -> pb::Row {
        pb::Row {
            scan_id: "s".into(),
            place: Some(Place { site: "n".into(), line: "1".into(), ..Default::default() }),
            acquired_at: Some(prost_types::Timestamp::default()),
            received_at: Some(prost_types::Timestamp::default()),
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
    fn a_row_is_kept_apart_from_its_preview_and_stamped() {
        let record = Record::parse(row(), Timestamp::constant(5, 0)).unwrap();
        let stored = Row::decode(&record.encoded).unwrap();
        assert_eq!(stored, *record.row);
        assert_eq!((&stored.preview, stored.stored_at), (&None, Some(Timestamp::constant(5, 0))));
        let whole = Row::decode(&with_preview(&record.encoded, record.preview.as_deref())).unwrap();
        assert_eq!(whole, Row { preview: row().preview, ..stored.clone() });
        assert_eq!(Row::decode(&with_preview(&record.encoded, None)).unwrap(), stored);
    }

    #[test]
    fn a_row_that_cannot_be_stored_is_refused_by_the_name_of_its_field() {
        type Spoil = fn(&mut pb::Row);
        let bad: [(&str, Spoil); 4] = [
            ("place.site", |row| row.place.as_mut().unwrap().site.clear()),
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
