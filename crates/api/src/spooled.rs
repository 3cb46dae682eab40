//! Scans and rows as an agent keeps them on disk: read by the agent itself, and by `ovomesh spool drain` when the agent is
//! gone.

use bytes::{Buf as _, Bytes};
use jiff::{SignedDuration, Timestamp};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message as _};

use crate::pb::scan::v1::{self, Scan};
use crate::pb::spool::v1 as pb;
use crate::time::Given;
use crate::{Invalid, Row, time};

/// The first field of a record that is not its row's: `spool.v1.Recorded` has fields from here on.
const NOT_OF_THE_ROW: u32 = 1000;

/// A scan that was accepted and has no recorded verdict. What is in `scan` is checked by [`Scan::parse`](crate::Scan::parse).
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    /// As it arrived; `acquired_at` is set.
    pub scan: Scan,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Until when it should be decided. The default: its time is over.
    pub deadline: pb::Deadline,
    /// Microseconds that had been added to the machine's clock for `received_at`. `None`: no gateway had sent its time yet.
    pub clock_correction_us: Option<i64>,
    /// How long after the boot that `deadline` names it arrived. `None`: its agent did not say.
    pub received_since_boot: Option<SignedDuration>,
    /// What the scanner gave as `acquired_at`.
    pub given: Given,
}

impl Spooled {
    /// Checks a record. One that does not say when its scan arrived is damaged: no agent writes such a record.
    pub fn parse(spooled: pb::Spooled) -> Result<Self, Invalid> {
        let received_at = spooled.received_at.ok_or_else(|| Invalid::field("received_at", "", "present"))?;
        Ok(Self {
            scan: spooled.scan.ok_or_else(|| Invalid::field("scan", "", "present"))?,
            received_at: time::from_pb("received_at", received_at)?,
            deadline: spooled.deadline.unwrap_or_default(),
            clock_correction_us: spooled.clock_correction_us,
            received_since_boot: spooled.received_since_boot_ms.map(SignedDuration::from_millis),
            given: Given::kept(spooled.acquired_here, spooled.acquired_at_replaced),
        })
    }
}

/// A row that was recorded: read, and encoded as it was written, which is how it goes to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRow {
    row: Row,
    bytes: Bytes,
}

impl RecordedRow {
    /// Encodes a row that is about to be recorded.
    pub fn new(row: Row) -> Self {
        let bytes = row.encode();
        Self { row: Row { preview: None, ..row }, bytes }
    }

    /// Reads a record of the spool, which may hold more than the row behind it.
    ///
    /// # Errors
    /// Bytes that are no row, in plain words.
    pub fn read(record: &Bytes) -> Result<Self, String> {
        let length = row_length(record).map_err(|error| error.to_string())?;
        let bytes = record.slice(..length);
        let row = Row::decode(&bytes)?;
        Ok(Self { row: Row { preview: None, ..row }, bytes })
    }

    /// The row without its preview: thousands may wait for the store, and only the store needs that.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// All of the row, as it was encoded when it was recorded.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Bytes of the row at the beginning of a record.
fn row_length(record: &Bytes) -> Result<usize, DecodeError> {
    let mut rest = &record[..];
    while rest.has_remaining() {
        let length = record.len() - rest.len();
        let (field, wire_type) = decode_key(&mut rest)?;
        if field >= NOT_OF_THE_ROW {
            return Ok(length);
        }
        skip_field(wire_type, field, &mut rest, DecodeContext::default())?;
    }
    Ok(record.len())
}

/// `gateway.v1.Settled` as it travels: its row is sent as it was encoded when it was recorded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Settled {
    /// A `scan.v1.Row`: on the wire a message is its length and its bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub row: Bytes,
}

impl Settled {
    /// Decodes the row.
    ///
    /// # Errors
    /// It is absent, or no row.
    pub fn decode_row(&self) -> Result<v1::Row, Invalid> {
        if self.row.is_empty() {
            return Err(Invalid::field("settled.row", "", "present"));
        }
        v1::Row::decode(self.row.clone())
            .map_err(|error| Invalid::field("settled.row", error, "an encoded scan.v1.Row"))
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::verdict::Preview;

    fn row() -> Row {
        let preview = Preview { columns: 2, rows: 1, pixels: vec![0x12].into(), ..Preview::default() };
        Row { preview: Some(preview), ..Row::example("north", "1", "7") }
    }

    /// A record as an agent writes it.
    fn record(row: &Row) -> Vec<u8> {
        let at = pb::Deadline { boot_id: "a boot".into(), at_ms: 7 };
        [row.encode().to_vec(), pb::Recorded { at: Some(at) }.encode_to_vec()].concat()
    }

    #[test]
    fn a_recorded_row_keeps_the_bytes_that_were_written_and_nothing_that_stands_behind_them() {
        let new = RecordedRow::new(row());
        assert_eq!((new.row(), new.bytes()), (&Row { preview: None, ..row() }, &row().encode()));
        // Version 0.1 wrote the row alone; a later version may write more behind it.
        let later = [record(&row()), vec![0xca, 0x3e, 1, 0xff]].concat();
        for record in [row().encode().to_vec(), record(&row()), later] {
            assert_eq!(RecordedRow::read(&record.into()).unwrap(), new);
        }
    }

    #[test]
    fn a_torn_record_is_no_row() {
        let whole = row().encode();
        for torn in [&whole[..whole.len() - 1], &whole[..1], &[]] {
            RecordedRow::read(&Bytes::copy_from_slice(torn)).unwrap_err();
        }
    }

    #[test]
    fn a_settled_row_is_on_the_wire_what_the_contract_says() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Generated {
            #[prost(message, optional, tag = "1")]
            row: Option<v1::Row>,
        }
        let sent = Settled { row: row().encode() };
        assert_eq!(sent.encode_to_vec(), Generated { row: Some(row().to_pb()) }.encode_to_vec());
        assert_eq!(Settled::decode(&*sent.encode_to_vec()).unwrap(), sent);
        assert_eq!(sent.decode_row().unwrap(), row().to_pb());
        for (row, said) in [(Bytes::new(), "settled.row is missing"), ("no row".into(), "settled.row is")] {
            let error = Settled { row }.decode_row().unwrap_err();
            assert!(error.message.starts_with(said), "{error}");
        }
        let files = FileDescriptorSet::decode(crate::pb::DESCRIPTORS).unwrap().file;
        let gateway = files.iter().find(|file| file.package() == "ovomesh.gateway.v1").unwrap();
        let settled = gateway.message_type.iter().find(|message| message.name() == "Settled").unwrap();
        let fields: Vec<_> = settled.field.iter().map(|field| (field.number(), field.type_name())).collect();
        assert_eq!(fields, [(1, ".ovomesh.scan.v1.Row")], "Settled has all fields of the message");
        let spool = files.iter().find(|file| file.package() == "ovomesh.spool.v1").unwrap();
        let recorded = spool.message_type.iter().find(|message| message.name() == "Recorded").unwrap();
        assert!(recorded.field.iter().all(|field| field.number() >= NOT_OF_THE_ROW.cast_signed()));
    }

    #[test]
    fn a_record_without_its_scan_or_its_time_is_damaged() {
        let at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
        let whole = pb::Spooled { scan: Some(Scan::default()), received_at: at, ..Default::default() };
        let parsed = Spooled::parse(whole.clone()).unwrap();
        assert_eq!((parsed.deadline, parsed.clock_correction_us), (pb::Deadline::default(), None));
        let untimed = pb::Spooled { received_at: None, ..whole.clone() };
        assert_eq!(Spooled::parse(untimed).unwrap_err().field, "received_at");
        let empty = pb::Spooled { scan: None, ..whole };
        assert_eq!(Spooled::parse(empty).unwrap_err().field, "scan");
    }
}
