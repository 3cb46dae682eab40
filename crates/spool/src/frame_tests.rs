use super::*;
use proptest::prelude::*;

/// Files of today, of another key, and of version 0.1.
fn formats() -> [Format; 3] {
    [Format::keyed(*b"twelve bytes"), Format::keyed([0xff; KEY]), Format::FIRST]
}

fn file_in(format: Format, records: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (id, payload) in records {
        let (head, tail) = format.around(7, id, payload);
        file.extend([&head[..], payload, &tail].concat());
    }
    file
}

fn file(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
    file_in(formats()[0], records)
}

fn parse(file: &[u8]) -> Vec<Found> {
    formats()[0].parse(file, 0)
}

fn three() -> Vec<u8> {
    file(&[("first", vec![1; 90]), ("second", b"twel is no header here".to_vec()), ("third", vec![])])
}

fn whole(found: &[Found]) -> Vec<&str> {
    found
        .iter()
        .filter_map(|found| if let Found::Record(record) = found { Some(&*record.id) } else { None })
        .collect()
}

fn damaged(found: &[Found]) -> Vec<&Damage> {
    found
        .iter()
        .filter_map(|found| if let Found::Damage(damage) = found { Some(damage) } else { None })
        .collect()
}

#[test]
fn what_was_written_is_read() {
    let file = three();
    let found = parse(&file);
    assert_eq!(whole(&found), ["first", "second", "third"]);
    let Found::Record(second) = &found[1] else { panic!("{found:?}") };
    assert_eq!((second.kind, &file[second.payload.clone()]), (7, &b"twel is no header here"[..]));
    assert_eq!(second.at.len(), length("second", 22));
}

#[test]
fn a_file_cut_anywhere_in_its_last_record_keeps_the_others() {
    let file = three();
    let second_ends = parse(&file)[1].at().end;
    for end in second_ends..file.len() {
        let found = parse(&file[..end]);
        assert_eq!(whole(&found), ["first", "second"], "cut at {end}");
        let torn = damaged(&found);
        assert_eq!(torn.len(), usize::from(end > second_ends), "cut at {end}");
        assert!(torn.iter().all(|damage| damage.is_torn_tail && damage.at == (second_ends..end)), "{torn:?}");
    }
}

#[test]
fn a_flipped_bit_anywhere_damages_one_record_at_most_and_its_id_is_known() {
    let good = three();
    let records = parse(&good);
    for bit in 0..good.len() * 8 {
        let mut file = good.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let hit = records.iter().position(|found| found.at().contains(&(bit / 8))).expect("no gaps");
        let name = ["first", "second", "third"][hit];
        let found = parse(&file);
        assert_eq!(found.len(), 3, "bit {bit}: {found:?}");
        for (n, found) in found.iter().enumerate() {
            assert_eq!(found.at(), records[n].at(), "bit {bit}");
            match found {
                Found::Record(record) => assert_eq!(record.id, ["first", "second", "third"][n]),
                Found::Damage(damage) => {
                    assert_eq!((n, damage.id.as_deref()), (hit, Some(name)), "bit {bit}");
                    assert!(!damage.is_torn_tail, "bit {bit}");
                }
            }
        }
    }
}

#[test]
fn records_behind_a_lost_piece_are_found() {
    let mut file = three();
    let first = parse(&file)[0].at().clone();
    file.drain(first.start + 40..first.start + 70);
    let found = parse(&file);
    assert_eq!(whole(&found), ["second", "third"]);
    assert_eq!(damaged(&found)[0].id.as_deref(), Some("first"));
}

#[test]
fn a_record_of_another_format_is_never_found_wherever_the_file_is_cut() {
    for own in formats() {
        for foreign in formats().into_iter().filter(|format| *format != own) {
            let forged = file_in(foreign, &[("forged", vec![5; 40])]);
            let file = file_in(own, &[("first", vec![1; 9]), ("second", [&forged[..], &forged].concat())]);
            for end in 0..=file.len() {
                for from in [0, 1, 20] {
                    // As if the first record's header were damaged too.
                    let found = own.parse(&file[..end], from.min(end));
                    assert!(
                        !whole(&found).contains(&"forged"),
                        "{own:?} cut at {end} from {from}: {found:?}"
                    );
                }
            }
            assert_eq!(whole(&own.parse(&file, 0)), ["first", "second"]);
        }
    }
}

/// Byte for byte as version 0.1 wrote it.
#[test]
fn a_record_of_the_first_version_is_read() {
    let mut file = b"oVs1\x01\0\x01\0\x03\0\0\0".to_vec();
    file.extend(crc32c::crc32c(b"abc").to_le_bytes());
    let crc = |fixed: &[u8]| crc32c::crc32c(&[fixed, b"i"].concat()).to_le_bytes();
    file.extend(crc(&file.clone()));
    file.extend(b"iabci");
    let mut tail = file[..16].to_vec();
    tail[..4].copy_from_slice(b"1sVo");
    tail.extend(crc(&tail.clone()));
    file.extend(tail);
    assert_eq!(whole(&Format::FIRST.parse(&file, 0)), ["i"]);
}

proptest! {
    /// Whatever the bytes are: no panic, no gap, no overlap, and nothing that was not written passes for whole.
    #[test]
    fn any_bytes_are_read_without_gaps(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        harm in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let ids: Vec<String> = (0..payloads.len()).map(|n| format!("scan-{n}")).collect();
        let records: Vec<_> = ids.iter().map(String::as_str).zip(payloads.clone()).collect();
        let mut bytes = file(&records);
        for (at, value) in harm {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let found = parse(&bytes);
        let mut end = 0;
        for found in &found {
            prop_assert_eq!(found.at().start, end);
            prop_assert!(found.at().end > end);
            end = found.at().end;
            if let Found::Record(record) = found {
                let n: usize = record.id.strip_prefix("scan-").and_then(|n| n.parse().ok()).expect("an id that was written");
                prop_assert_eq!(&bytes[record.payload.clone()], &payloads[n][..]);
            }
        }
        prop_assert_eq!(end, bytes.len());
    }
}
