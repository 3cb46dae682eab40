//! A row as the services hold it, and as it travels: parsed once at a door, encoded once by the process that wrote it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message as _};

use crate::ids::{EggId, LineId, ScanId, ScanKey};
use crate::pb::scan::v1 as pb;
use crate::scan::purpose;
use crate::verdict::{Call, DecidedBy, Preview, Reason, Verdict};
use crate::{Image, Invalid, LineConfig, Place, ScanMeta, texts, time};

/// Most pixels of a preview along each side.
const PREVIEW_SIDE: u32 = 64;

/// The record of one scan: what was decided and released, without the volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The scan.
    pub meta: ScanMeta,
    /// Who owns the data, from the line's configuration.
    pub owner: String,
    /// When the store wrote it; `None` until it has.
    pub stored_at: Option<Timestamp>,
    /// What was released.
    pub verdict: Verdict,
    /// The middle slice for people.
    pub preview: Option<Preview>,
    /// An agent released it and stands for it: no other row of the scan ever replaces it.
    pub settled: bool,
}

impl Row {
    /// What its scan is known by.
    pub fn key(&self) -> ScanKey {
        self.meta.key()
    }

    /// Reads a row: keys, place, times and verdict. Its texts are taken as they are: see [`Row::check`].
    ///
    /// # Errors
    /// Names the field that keeps it from being a row.
    pub fn parse(row: pb::Row) -> Result<Self, Invalid> {
        let scan_id = ScanId::parse(&row.scan_id)?;
        let purpose = purpose(row.purpose)?;
        let at = |field, at: Option<prost_types::Timestamp>| {
            time::from_pb(field, at.ok_or_else(|| Invalid::field(field, "", "present"))?)
        };
        let Some(verdict) = row.verdict else {
            return Err(Invalid::field("verdict", "", "present: only what was released is stored"));
        };
        if verdict.scan_id != row.scan_id {
            return Err(Invalid::field("verdict.scan_id", &verdict.scan_id, format!("the row's, {scan_id}")));
        }
        let verdict = Verdict::from_pb(verdict);
        let meta = ScanMeta {
            egg_id: if row.egg_id.is_empty() { None } else { Some(EggId::parse(&row.egg_id)?) },
            place: Place::parse(row.place)?,
            batch_id: row.batch_id,
            coil: row.coil,
            purpose,
            rescan_of: texts::rescan_of(&row.rescan_of)?,
            acquired_at: at("acquired_at", row.acquired_at)?,
            received_at: at("received_at", row.received_at)?,
            clock_suspect: row.clock_suspect,
            image: image(row.volume_crc32c, row.unreadable, &verdict),
            scan_id,
        };
        Ok(Self {
            meta,
            owner: row.owner,
            stored_at: row.stored_at.map(|at| time::from_pb("stored_at", at)).transpose()?,
            verdict,
            preview: row.preview,
            settled: row.settled,
        })
    }

    /// Checks the texts and the preview, which a sender may have made as long as it liked.
    ///
    /// # Errors
    /// Names the field and its limit.
    pub fn check(&self) -> Result<(), Invalid> {
        texts::BATCH_ID.check(&self.meta.batch_id)?;
        texts::COIL.check(&self.meta.coil)?;
        self.verdict.check()?;
        self.preview.as_ref().map_or(Ok(()), check_preview)
    }

    /// For the wire.
    pub fn to_pb(&self) -> pb::Row {
        let Self { meta, owner, stored_at, verdict, preview, settled } = self;
        pb::Row {
            scan_id: meta.scan_id.to_string(),
            egg_id: meta.egg_id.as_ref().map(EggId::to_string).unwrap_or_default(),
            place: Some(meta.place.to_pb()),
            batch_id: meta.batch_id.clone(),
            coil: meta.coil.clone(),
            purpose: meta.purpose.into(),
            rescan_of: meta.rescan_of.as_ref().map(ScanId::to_string).unwrap_or_default(),
            owner: owner.clone(),
            acquired_at: Some(time::to_pb(meta.acquired_at)),
            received_at: Some(time::to_pb(meta.received_at)),
            stored_at: stored_at.map(time::to_pb),
            clock_suspect: meta.clock_suspect,
            volume_crc32c: meta.image.checksum(),
            unreadable: meta.image == Image::Broken,
            verdict: Some(verdict.to_pb(&meta.scan_id)),
            preview: preview.clone(),
            settled: *settled,
        }
    }

    /// A MALE with nothing that a row may leave out: for tests.
    ///
    /// # Panics
    /// When one of the names is none.
    pub fn example(site: &str, line: &str, scan_id: &str) -> Self {
        let line_id = LineId::parse(site, line).expect("a line");
        let meta = ScanMeta {
            scan_id: ScanId::parse(scan_id).expect("a scan"),
            egg_id: None,
            place: Place { line_id, tray_run: String::new(), slot: 0 },
            batch_id: String::new(),
            coil: String::new(),
            purpose: pb::Purpose::Production,
            rescan_of: None,
            acquired_at: Timestamp::UNIX_EPOCH,
            received_at: Timestamp::UNIX_EPOCH,
            clock_suspect: false,
            image: Image::Whole(1),
        };
        meta.row(&LineConfig::default(), Verdict::new(Call::Male, DecidedBy::Mesh), None)
    }

    /// Encoded for the store, the spool and other processes of the mesh.
    pub fn encode(&self) -> Bytes {
        self.to_pb().encode_to_vec().into()
    }

    /// Reads what [`Row::encode`] wrote.
    ///
    /// # Errors
    /// Bytes that are no row, in plain words.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let row = pb::Row::decode(bytes).map_err(|error| error.to_string())?;
        Self::parse(row).map_err(|error| error.to_string())
    }
}

/// Images whose row says nothing of it were unreadable when the agent of version 0.1 rejected them without a checksum.
fn image(checksum: u32, unreadable: bool, verdict: &Verdict) -> Image {
    let rejected = verdict.call.reason() == Some(Reason::Rejected) && verdict.decided_by == DecidedBy::Agent;
    if unreadable || (checksum == 0 && rejected) { Image::Broken } else { Image::Whole(checksum) }
}

fn check_preview(preview: &Preview) -> Result<(), Invalid> {
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
    Ok(())
}

/// `query.v1.Row` as it travels: encoded once, however many watchers it is sent to. Its fields are those of `scan.v1.Row`
/// without what only the mesh needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EncodedRow(Bytes);

impl EncodedRow {
    /// Reads it.
    ///
    /// # Errors
    /// Bytes that are no row, in plain words.
    pub fn parse(&self) -> Result<Row, String> {
        Row::decode(&self.0)
    }
}

impl From<&Row> for EncodedRow {
    fn from(row: &Row) -> Self {
        Self(pb::Row { settled: false, ..row.to_pb() }.encode_to_vec().into())
    }
}

impl prost::Message for EncodedRow {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    /// Copies the field unchanged.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut fields = BytesMut::from(std::mem::take(&mut self.0));
        match wire_type {
            WireType::Varint => {
                let mut value = 0;
                encoding::uint64::merge(wire_type, &mut value, buf, ctx)?;
                encoding::uint64::encode(tag, &value, &mut fields);
            }
            WireType::SixtyFourBit => {
                let mut value = 0;
                encoding::fixed64::merge(wire_type, &mut value, buf, ctx)?;
                encoding::fixed64::encode(tag, &value, &mut fields);
            }
            WireType::ThirtyTwoBit => {
                let mut value = 0;
                encoding::fixed32::merge(wire_type, &mut value, buf, ctx)?;
                encoding::fixed32::encode(tag, &value, &mut fields);
            }
            WireType::LengthDelimited => {
                let mut value = Bytes::new();
                encoding::bytes::merge(wire_type, &mut value, buf, ctx)?;
                encoding::bytes::encode(tag, &value, &mut fields);
            }
            // Groups: this contract has none.
            WireType::StartGroup | WireType::EndGroup => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        self.0 = fields.freeze();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost_types::{DescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::pb::query::v1::GetScanResponse;

    fn row() -> pb::Row {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 5 });
        pb::Row {
            scan_id: "s".into(),
            egg_id: "e".into(),
            place: Some(pb::Place { site: "n".into(), line: "1".into(), tray_run: "t".into(), slot: 7 }),
            batch_id: "b".into(),
            coil: "c".into(),
            purpose: pb::Purpose::Test.into(),
            rescan_of: "r".into(),
            owner: "o".into(),
            acquired_at: at(1_795_510_800),
            received_at: at(1_795_510_801),
            stored_at: at(1_795_510_802),
            clock_suspect: true,
            volume_crc32c: 0xab,
            unreadable: false,
            verdict: Some(Verdict::new(Call::Male, DecidedBy::Mesh).to_pb(&ScanId::parse("s").unwrap())),
            preview: Some(Preview {
                columns: 3,
                rows: 1,
                pixels: vec![0x12, 0x30].into(),
                ..Default::default()
            }),
            settled: true,
        }
    }

    #[test]
    fn a_row_comes_back_from_the_wire_as_it_was() {
        let parsed = Row::parse(row()).unwrap();
        assert_eq!(parsed.to_pb(), row());
        assert_eq!(Row::decode(&parsed.encode()).unwrap(), parsed);
    }

    #[test]
    fn what_a_row_leaves_open_is_read_as_the_contract_says() {
        let open = pb::Verdict { scan_id: "s".into(), ..Default::default() };
        let row = Row::parse(pb::Row { purpose: 0, verdict: Some(open), ..row() }).unwrap();
        assert_eq!(
            (row.meta.purpose, row.verdict.call.to_pb()),
            (pb::Purpose::Production, pb::Call::Undecided)
        );
    }

    #[test]
    fn what_is_no_row_is_refused_by_the_name_of_its_field() {
        type Spoil = fn(&mut pb::Row);
        let bad: [(&str, Spoil); 10] = [
            ("scan_id", |row| row.scan_id.clear()),
            ("egg_id", |row| row.egg_id = "an egg".into()),
            ("place", |row| row.place = None),
            ("place.site", |row| row.place.as_mut().unwrap().site.clear()),
            ("rescan_of", |row| row.rescan_of = "no id".into()),
            ("acquired_at", |row| row.acquired_at = None),
            ("acquired_at", |row| row.acquired_at.as_mut().unwrap().nanos = -1),
            ("received_at", |row| row.received_at = None),
            ("verdict", |row| row.verdict = None),
            ("verdict.scan_id", |row| row.verdict.as_mut().unwrap().scan_id = "t".into()),
        ];
        for (field, spoil) in bad {
            let mut row = row();
            spoil(&mut row);
            let error = Row::parse(row).unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.message.contains(field) && error.message.len() < 300, "{error}");
        }
    }

    #[test]
    fn the_texts_of_a_row_are_held_to_the_limits_of_a_scan() {
        type Spoil = fn(&mut pb::Row);
        let table: [(&str, Spoil); 7] = [
            ("batch_id", |row| row.batch_id = "x".repeat(129)),
            ("batch_id", |row| row.batch_id = "\u{1b}[2J".into()),
            ("coil", |row| row.coil = "x".repeat(65)),
            ("verdict.detail", |row| verdict(row).detail = "x".repeat(4_097)),
            ("verdict.detail", |row| verdict(row).detail = "\u{7}".into()),
            ("verdict.provenance.model", |row| {
                verdict(row).provenance.get_or_insert_default().model = "x".repeat(513);
            }),
            ("preview.pixels", |row| row.preview.as_mut().unwrap().rows = 2),
        ];
        for (field, spoil) in table {
            let mut row = pb::Row { coil: "é".repeat(32), ..row() };
            verdict(&mut row).call = pb::Call::Undecided.into();
            verdict(&mut row).detail = "libtorch failed:\n\tout of memory".into();
            Row::parse(row.clone()).unwrap().check().unwrap();
            spoil(&mut row);
            let error = Row::parse(row).unwrap().check().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.message.len() < 300, "{error}");
        }
    }

    fn verdict(row: &mut pb::Row) -> &mut pb::Verdict {
        row.verdict.get_or_insert_default()
    }

    #[test]
    fn a_checksum_of_nothing_is_one_unless_the_image_was_unreadable() {
        let read = |change: fn(&mut pb::Row)| {
            let mut row = pb::Row { volume_crc32c: 0, ..row() };
            change(&mut row);
            let row = Row::parse(row).unwrap();
            assert_eq!(Row::decode(&row.encode()).unwrap(), row);
            row.meta.image
        };
        assert_eq!(read(|_| ()), Image::Whole(0));
        assert_eq!(read(|row| row.unreadable = true), Image::Broken);
        let of_0_1: fn(&mut pb::Row) = |row| {
            verdict(row).call = pb::Call::Undecided.into();
            verdict(row).reason = pb::UndecidedReason::Rejected.into();
            verdict(row).decided_by = DecidedBy::Edge.into();
        };
        assert_eq!(read(of_0_1), Image::Broken);
    }

    #[test]
    fn an_answer_is_a_row_without_what_is_of_the_mesh() {
        let row = Row::parse(row()).unwrap();
        let answer = EncodedRow::from(&row);
        let sent = GetScanResponse { row: Some(answer.clone()) }.encode_to_vec();
        let read = GetScanResponse::decode(&*sent).unwrap().row.unwrap();
        assert_eq!(read, answer, "field by field, as it was sent");
        assert_eq!(read.parse().unwrap(), Row { settled: false, ..row });
        let mut torn = sent;
        torn.truncate(torn.len() - 1);
        assert!(GetScanResponse::decode(&*torn).is_err());
    }

    /// [`EncodedRow`] writes one message as the other.
    #[test]
    fn a_row_of_the_query_service_has_the_fields_of_a_stored_one() {
        let files = FileDescriptorSet::decode(crate::pb::DESCRIPTORS).unwrap().file;
        let fields = |package: &str| {
            let file = files.iter().find(|file| file.package() == package).unwrap();
            let row: &DescriptorProto = file.message_type.iter().find(|m| m.name() == "Row").unwrap();
            let all = row.field.iter().filter(|field| field.name() != "settled");
            all.map(|f| (f.name().to_owned(), f.number(), f.r#type(), f.type_name().to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(fields("ovomesh.query.v1"), fields("ovomesh.scan.v1"));
    }
}
