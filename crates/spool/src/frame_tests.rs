use super::*;
use proptest::prelude::*;

fn file(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (id, payload) in records {
        let (head, tail) = around(7, id, payload);
        file.extend([&head[..], payload, &tail].concat());
    }
    file
}

fn three() -> Vec<u8> {
    file(&[("first", vec![1; 90]), ("second", b"oVs1 is no header here".to_vec()), ("third", vec![])])
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
    assert_eq!((second.kind, &file[second.payload.clone()]), (7, &b"oVs1 is no header here"[..]));
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
