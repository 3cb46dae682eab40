//! Rows for the tests of this crate.

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{DecidedBy, Purpose};
use ovomesh_api::{Call, Image, LineId, Place, Row, ScanId, ScanMeta, Verdict};

/// A MALE of a line.
pub fn row(site: &str, line: &str, scan_id: &str) -> Row {
    let place = Place { line_id: LineId::parse(site, line).unwrap(), tray_run: String::new(), slot: 0 };
    let meta = ScanMeta {
        scan_id: ScanId::parse(scan_id).unwrap(),
        egg_id: None,
        place,
        batch_id: String::new(),
        coil: String::new(),
        purpose: Purpose::Production,
        rescan_of: None,
        acquired_at: Timestamp::UNIX_EPOCH,
        received_at: Timestamp::UNIX_EPOCH,
        clock_suspect: false,
        image: Image::Whole(1),
    };
    let verdict = Verdict::new(Call::Male, DecidedBy::Mesh);
    Row { meta, owner: "o".into(), stored_at: None, verdict, preview: None, settled: true }
}
