//! Data as releases up to 0.1.0 wrote it: scans, eggs and pictures are known by their id alone.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "a test")]

use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, Readable as _};
use ovomesh_api::pb::scan::v1::{Call, Place, Preview, Purpose, Quality, Row, Verdict};
use prost::Message as _;

/// A row of line `l` of a site, settled: scan `n` of egg `egg-N`, in minute `n` of 2026.
pub fn row(site: &str, n: i64, picture: bool) -> Row {
    let scan_id = n.to_string();
    let verdict = Verdict {
        scan_id: scan_id.clone(),
        call: Call::Undecided.into(),
        quality: Some(Quality::default()),
        ..Default::default()
    };
    let at = |second| Some(prost_types::Timestamp { seconds: 1_767_225_600 + 60 * n + second, nanos: 0 });
    let pixels = vec![(n % 16) as u8 | 0x10].into();
    Row {
        egg_id: format!("egg-{n}"),
        place: Some(Place { site: site.into(), line: "l".into(), ..Default::default() }),
        purpose: Purpose::Production.into(),
        acquired_at: at(0),
        received_at: at(0),
        stored_at: at(1),
        volume_crc32c: 7,
        settled: true,
        verdict: Some(verdict),
        preview: picture.then(|| Preview { columns: 2, rows: 1, pixels, ..Default::default() }),
        scan_id,
        ..Default::default()
    }
}

/// A data folder with these rows, written one after the other. A row of another site takes the place of one with its id.
pub fn embedded(folder: &Path, rows: &[Row]) {
    let database = Database::builder(folder).manual_journal_persist(true).open().unwrap();
    let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
    let (by_line, by_scan) = (keyspace("rows"), keyspace("by_scan"));
    let (by_egg, previews) = (keyspace("by_egg"), keyspace("previews"));
    for rows in rows.chunks(10_000) {
        let before = database.snapshot();
        let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncAll));
        for row in rows {
            if let Some(old) = before.get(&by_scan, &row.scan_id).unwrap() {
                let old_row = Row::decode(&*before.get(&by_line, &old).unwrap().unwrap()).unwrap();
                batch.remove(&by_egg, egg_key(&old_row));
                batch.remove(&by_line, old);
            }
            let key = line_key(row);
            if !row.egg_id.is_empty() {
                batch.insert(&by_egg, egg_key(row), key.as_slice());
            }
            if let Some(preview) = &row.preview {
                batch.insert(&previews, row.scan_id.as_str(), preview.encode_to_vec());
            }
            batch.insert(&by_scan, row.scan_id.as_str(), key.as_slice());
            batch.insert(&by_line, key, Row { preview: None, ..row.clone() }.encode_to_vec());
        }
        batch.commit().unwrap();
    }
}

/// site 0 line 0 time scan.
fn line_key(row: &Row) -> Vec<u8> {
    let place = row.place.as_ref().unwrap();
    let mut key = [place.site.as_bytes(), &[0], place.line.as_bytes(), &[0]].concat();
    key.extend(ascending(row));
    key.extend(row.scan_id.as_bytes());
    key
}

/// egg 0 time backwards scan.
fn egg_key(row: &Row) -> Vec<u8> {
    let mut key = [row.egg_id.as_bytes(), &[0]].concat();
    key.extend(ascending(row).map(|byte| !byte));
    key.extend(row.scan_id.as_bytes());
    key
}

/// Nanoseconds since 1970, moved so that times before it sort first.
fn ascending(row: &Row) -> [u8; 16] {
    let at = row.acquired_at.unwrap();
    let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    (nanos.cast_unsigned() ^ (1 << 127)).to_be_bytes()
}
