//! A scan whose message was too large to be read: what its ends say of it.

use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::pb::scan::v1::{RejectCode, Scan};
use crate::{Invalid, thousands};

/// Number of the field `scan` in the requests of scanners and of agents alike.
const SCAN: u32 = 2;
/// Number of the field `volume` in a scan.
const VOLUME: u32 = 8;

/// A scan without what made it too large.
#[derive(Debug, Clone, PartialEq)]
pub struct CutScan {
    /// All other fields that could be read.
    pub scan: Scan,
    /// Whether it was the volume that was cut out, as it nearly always is.
    pub lacks_volume: bool,
}

impl CutScan {
    /// What the first and the last bytes say of a message of `bytes`: a request whose only field is a scan, in the order in
    /// which encoders write fields. `None` for anything else.
    pub fn read(bytes: u64, head: &[u8], tail: &[u8]) -> Option<Self> {
        let mut rest = head;
        if decode_key(&mut rest).ok()? != (SCAN, WireType::LengthDelimited) {
            return None;
        }
        decode_varint(&mut rest).ok()?;
        let begins = rest;
        loop {
            let whole = &begins[..begins.len() - rest.len()];
            let (number, wire) = decode_key(&mut rest).ok()?;
            let length = match wire {
                WireType::Varint => decode_varint(&mut rest).ok().map(|_| 0)?,
                WireType::SixtyFourBit => 8,
                WireType::ThirtyTwoBit => 4,
                WireType::LengthDelimited => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
                WireType::StartGroup | WireType::EndGroup => return None,
            };
            if let Some(next) = rest.get(length..) {
                rest = next;
                continue;
            }
            // This field reaches beyond the head: it is left out, and what follows it is in the tail.
            let ends = (head.len() - rest.len()).checked_add(length)?;
            let after = usize::try_from(bytes).ok()?.checked_sub(ends)?;
            let after = tail.get(tail.len().checked_sub(after)?..)?;
            let scan = Scan::decode([whole, after].concat().as_slice()).ok()?;
            return Some(Self { scan, lacks_volume: number == VOLUME });
        }
    }

    /// Why it is rejected.
    pub fn error(cut: Option<&Self>, bytes: u64, limit: u64) -> Invalid {
        let field = match cut {
            Some(cut) if cut.lacks_volume => "volume.samples",
            Some(_) => "scan",
            None => "message",
        };
        let (bytes, limit) = (thousands(bytes), thousands(limit));
        let message = format!(
            "its message has {bytes} bytes and was skipped; this session takes {limit}: send a smaller grid, or start the \
             server with --max-volume-bytes"
        );
        let error =
            Invalid::field(field, format!("{bytes} bytes"), format!("in a message of at most {limit} bytes"));
        error.because(RejectCode::TooLarge, message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pb::scan::v1::{Place, Purpose, Volume};
    use crate::pb::{gateway, scanner};

    fn scan() -> Scan {
        Scan {
            scan_id: "s1".into(),
            egg_id: "e1".into(),
            place: Some(Place { site: "north".into(), line: "1".into(), tray_run: "t".into(), slot: 7 }),
            acquired_at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 5 }),
            budget: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
            volume: Some(Volume { columns: 64, samples: vec![9; 100_000].into(), ..Default::default() }),
            purpose: Purpose::Test.into(),
            rescan_of: "s0".into(),
            ..Default::default()
        }
    }

    fn cut(message: &[u8], head: usize, tail: usize) -> Option<CutScan> {
        let last = message.len().saturating_sub(tail);
        CutScan::read(message.len() as u64, &message[..head.min(message.len())], &message[last..])
    }

    #[test]
    fn all_but_the_volume_of_a_scan_is_known_in_both_contracts() {
        let by_scanner = scanner::v1::connect_request::Message::Scan(scan());
        let by_agent = gateway::v1::connect_request::Message::Scan(scan());
        let messages = [
            scanner::v1::ConnectRequest { message: Some(by_scanner) }.encode_to_vec(),
            gateway::v1::ConnectRequest { message: Some(by_agent) }.encode_to_vec(),
        ];
        for message in messages {
            let cut = cut(&message, 4_096, 1_024).unwrap();
            assert_eq!(cut, CutScan { scan: Scan { volume: None, ..scan() }, lacks_volume: true });
            assert_eq!(CutScan::error(Some(&cut), 100_000, 10).field, "volume.samples");
        }
    }

    #[test]
    fn a_text_that_is_too_large_is_not_taken_for_the_image() {
        let huge = Scan { batch_id: "x".repeat(100_000), volume: None, ..scan() };
        let message = scanner::v1::connect_request::Message::Scan(huge.clone());
        let message = scanner::v1::ConnectRequest { message: Some(message) }.encode_to_vec();
        let cut = cut(&message, 4_096, 1_024).unwrap();
        assert_eq!(cut, CutScan { scan: Scan { batch_id: String::new(), ..huge }, lacks_volume: false });
        assert!(!CutScan::error(Some(&cut), 100_000, 10).is_of_the_image());
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_survived(
            bytes in any::<u64>(),
            head in proptest::collection::vec(any::<u8>(), 0..64),
            tail in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            CutScan::read(bytes, &[&[0x12], head.as_slice()].concat(), &tail);
        }

        #[test]
        fn a_scan_is_read_right_or_not_at_all(head in 0_usize..5_000, tail in 0_usize..2_000) {
            let message = scanner::v1::connect_request::Message::Scan(scan());
            let message = scanner::v1::ConnectRequest { message: Some(message) }.encode_to_vec();
            if let Some(cut) = cut(&message, head, tail) {
                prop_assert_eq!(cut.scan.scan_id, "s1");
                prop_assert_eq!(cut.scan.rescan_of, "s0");
            }
        }
    }
}
