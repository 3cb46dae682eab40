//! A scanner that speaks DICOM: whatever is aborted, sent again or killed, an egg has one row.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::OnceLock;

use ovomesh_api::pb::scan::v1::{Call, DecidedBy, Row, UndecidedReason};
use ovomesh_tests::dcmtk::{self, Sender};
use ovomesh_tests::edge::{self, Edge, free_port, row, rows};
use ovomesh_tests::{fleet, programs};

/// Each test has a line of its own, named by its sender.
const LINES: &str = r"default: {read: [{from: calling_ae, pattern: '^(?<site>T)_(?<line>\w+)$'}, {from: PatientID, into: egg_id}]}
lines:
- {site: T, line: RELEASE, complete: release, sources: [{calling_ae: T_RELEASE}]}
- {site: T, line: SIXTEEN, complete: images 16, sources: [{calling_ae: T_SIXTEEN}]}";

/// ImagesInAcquisition.
const COUNT: &str = "(0020,1002)";

/// The agent of all tests that do not kill it.
fn sender(calling: &'static str) -> Sender {
    static AGENT: OnceLock<(Edge, u16)> = OnceLock::new();
    let (_, port) = AGENT.get_or_init(|| {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        // Longer than a busy machine takes to start another storescu.
        let flags = ["--dicom-listen", &listen, "--dicom-idle-ms", "8000", "--dicom-again-ms", "15000"];
        (Edge::start("dicom-1", LINES, &flags), port)
    });
    Sender { calling, port: *port }
}

/// An egg in a folder of its own, named like the sender: its scan id and its files.
fn egg(name: &str, flags: &[&str]) -> (String, Vec<PathBuf>) {
    edge::egg(name, "female", flags)
}

fn folder(name: &str) -> PathBuf {
    fleet().folder().join(name)
}

/// The one row of a line, which the mesh has decided.
async fn one_decided_row(id: &str, line: &str) -> Row {
    let stored = row(id).await;
    let verdict = stored.verdict.as_ref().unwrap();
    assert_eq!(verdict.decided_by(), DecidedBy::Mesh, "{verdict:?}");
    let all = rows("T", line).await;
    assert_eq!(all.len(), 1, "{all:?}");
    stored
}

#[tokio::test]
async fn a_scanner_asks_whether_somebody_is_there_and_sends_an_egg_in_one_file() {
    let sender = sender("T_MULTI");
    let echo = sender.echo();
    assert!(echo.status.success() && dcmtk::text(&echo).contains("Received Echo Response (Success)"));
    let (id, files) = egg("multi", &[]);
    sender.store_all(&[], &files);
    let stored = one_decided_row(&id, "MULTI").await;
    assert!(!stored.egg_id.is_empty(), "the PatientID");
}

#[tokio::test]
async fn a_series_of_slices_is_one_scan_however_often_and_over_however_many_associations_it_comes() {
    let sender = sender("T_SLICES");
    let (id, files) = egg("slices", &["--single"]);
    assert_eq!(files.len(), 16);
    let (first, second) = files.split_at(9);
    sender.store_all(&[], second);
    sender.store_all(&[], first);
    let stored = one_decided_row(&id, "SLICES").await;
    for _ in 0..2 {
        sender.store_all(&[], &files);
    }
    assert_eq!(one_decided_row(&id, "SLICES").await, stored);
}

/// The files of an egg that state no count.
fn uncounted(name: &str) -> (String, Vec<PathBuf>) {
    let (id, files) = egg(name, &["--single"]);
    let files = dcmtk::modify(&["-ea", COUNT], &files, &folder(&format!("uncounted-{name}")));
    (id, files)
}

#[tokio::test]
async fn a_series_that_does_not_say_how_long_it_is_is_one_scan_over_an_association_for_each_image() {
    let sender = sender("T_EACH");
    let (id, files) = uncounted("each");
    for file in &files {
        sender.store_all(&[], std::slice::from_ref(file));
    }
    one_decided_row(&id, "EACH").await;
}

#[tokio::test]
async fn a_line_says_when_its_series_are_whole() {
    let (id, files) = uncounted("release");
    sender("T_RELEASE").store_all(&[], &files);
    one_decided_row(&id, "RELEASE").await;
    let (id, files) = uncounted("sixteen");
    for half in files.chunks(8) {
        sender("T_SIXTEEN").store_all(&[], half);
    }
    one_decided_row(&id, "SIXTEEN").await;
}

#[tokio::test]
async fn a_count_of_several_series_is_of_all_of_them() {
    let sender = sender("T_DIXON");
    let (water, files) = egg("dixon", &["--single"]);
    let counted = format!("{COUNT}=32");
    let of = |kind: &str| format!("(0008,0008)=ORIGINAL\\PRIMARY\\{kind}");
    let (fat, water_type, fat_type) = (format!("{water}.2"), of("W"), of("F"));
    let fat_uid = format!("(0020,000e)={fat}");
    let first = dcmtk::modify(&["-i", &counted, "-i", &water_type], &files, &folder("water"));
    let flags = ["-gin", "-i", &counted, "-i", &fat_type, "-m", &fat_uid];
    let second = dcmtk::modify(&flags, &files, &folder("fat"));
    sender.store_all(&[], &first);
    sender.store_all(&[], &second);
    for id in [water, fat] {
        assert_eq!(row(&id).await.verdict.unwrap().decided_by(), DecidedBy::Mesh);
    }
    assert_eq!(rows("T", "DIXON").await.len(), 2);
}

#[tokio::test]
async fn another_image_under_a_known_uid_is_refused_and_its_egg_has_no_sex() {
    let sender = sender("T_OTHER");
    let (id, files) = egg("other", &["--single"]);
    let (_, strangers) = egg("stranger", &["--single"]);
    let pose = [
        "-m".to_owned(),
        format!("(0020,000e)={id}"),
        "-m".to_owned(),
        format!("(0008,0018)={}", dcmtk::value(&files[0], "SOPInstanceUID")),
    ];
    let pose: Vec<&str> = pose.iter().map(String::as_str).collect();
    let posing = dcmtk::modify(&pose, &strangers[..1], &folder("posing"));
    sender.store_all(&[], &files[..8]);
    let refused = dcmtk::text(&sender.store(&["-d"], &posing));
    assert!(refused.contains("0x0111") && refused.contains("another image came"), "{refused}");
    // The last one completes a series that has no verdict by its images.
    let last = dcmtk::text(&sender.store(&["-v"], &files[8..]));
    assert_eq!(last.matches("(Success)").count(), 7, "{last}");
    let verdict = row(&id).await.verdict.unwrap();
    assert_eq!((verdict.call(), verdict.reason()), (Call::Undecided, UndecidedReason::Rejected));
    assert!(verdict.detail.contains("two images that differ"), "{}", verdict.detail);
    assert_eq!(rows("T", "OTHER").await.len(), 1);
}

#[tokio::test]
async fn a_series_that_is_aborted_in_its_middle_and_sent_again_is_one_scan() {
    let sender = sender("T_ABORT");
    let (id, files) = egg("abort", &["--single"]);
    sender.store_all(&["--abort"], &files[..7]);
    sender.store_all(&[], &files);
    one_decided_row(&id, "ABORT").await;
}

#[tokio::test]
async fn an_egg_of_which_slices_are_missing_is_undecided_and_that_stands() {
    let sender = sender("T_MISSING");
    let (id, files) = egg("missing", &["--single"]);
    sender.store_all(&[], &files[1..]);
    let stored = row(&id).await;
    let verdict = stored.verdict.as_ref().unwrap();
    assert_eq!((verdict.call(), verdict.reason()), (Call::Undecided, UndecidedReason::Rejected));
    assert_eq!(verdict.detail, "missing slices: 15 of 16 images came");
    sender.store_all(&[], &files);
    assert_eq!(row(&id).await, stored);
    assert_eq!(rows("T", "MISSING").await.len(), 1);
}

#[tokio::test]
async fn every_usual_transfer_syntax_gives_the_same_scan() {
    let sender = sender("T_SYNTAX");
    let (id, files) = egg("syntax", &["--single"]);
    let syntaxes: [(&str, &[&str], &str); 5] = [
        ("dcmconv", &["+ti"], "-xi"),
        ("dcmconv", &["+tb"], "-xb"),
        ("dcmconv", &["+td"], "-xd"),
        ("dcmcrle", &[], "-xr"),
        ("dcmcjpeg", &["+e1"], "-xs"),
    ];
    sender.store_all(&["-xe"], &files);
    let stored = one_decided_row(&id, "SYNTAX").await;
    for (program, flags, propose) in syntaxes {
        let made = dcmtk::convert(program, flags, &files, &folder(propose));
        // Required: nothing is converted on the way. An image that decoded to something else would be a duplicate.
        sender.store_all(&["-R", propose], &made);
    }
    assert_eq!(one_decided_row(&id, "SYNTAX").await, stored);
}

/// Its series.
const JPEG_2000_SERIES: &str = "1.2.826.0.1.3680043.2.1143.3712364435022872412969836992152438492";

/// A real Enhanced MR file of pydicom-data, in JPEG 2000, which dcmtk cannot write itself.
fn jpeg_2000() -> PathBuf {
    let python = std::env::var("OVOMESH_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let find = "import os, data_store; print(os.path.join(os.path.dirname(data_store.__file__), 'data'))";
    let output = std::process::Command::new(python).args(["-c", find]).output().unwrap();
    assert!(output.status.success(), "pydicom-data is needed: {}", dcmtk::text(&output));
    PathBuf::from(dcmtk::text(&output).trim()).join("emri_small_jpeg_2k_lossless.dcm")
}

#[tokio::test]
async fn a_real_image_in_jpeg_2000_is_unpacked_and_is_no_egg() {
    let sender = sender("T_JPEG2000");
    // The file does not say how it lies, and then left and right cannot be told apart.
    let lies = [
        "-i",
        "(0020,0037)=1\\0\\0\\0\\1\\0",
        "-i",
        "(0020,0032)=0\\0\\0",
        "-i",
        "(0018,0088)=2",
        "-i",
        "(0028,0030)=1\\1",
    ];
    let file = dcmtk::modify(&lies, &[jpeg_2000()], &folder("jpeg-2000"));
    sender.store_all(&["-R", "-xv"], &file);
    let verdict = row(JPEG_2000_SERIES).await.verdict.unwrap();
    assert_eq!((verdict.call(), verdict.decided_by()), (Call::Undecided, DecidedBy::Mesh), "{verdict:?}");
}

#[tokio::test]
async fn what_is_not_taken_is_told_why() {
    let sender = sender("T_REFUSED");
    let (_, files) = egg("refused", &[]);
    let called = sender.store(&["-aec", "SOMEBODY"], &files);
    assert!(!called.status.success());
    assert!(dcmtk::text(&called).contains("Called AE Title Not Recognized"), "{}", dcmtk::text(&called));
    let stranger = dcmtk::text(&Sender { calling: "STRANGER", ..sender.clone() }.store(&["-d"], &files));
    assert!(stranger.contains("0x0124") && stranger.contains("no line takes images"), "{stranger}");
    let (id, slices) = egg("refused-slices", &["--single"]);
    let broken = dcmtk::modify(&["-ea", "(0028,0030)"], &slices[..1], &folder("no-spacing"));
    let output = dcmtk::text(&sender.store(&["-d"], &broken));
    assert!(output.contains("0xc000") && output.contains("PixelSpacing"), "{output}");
    // All that came of it was refused, and yet its tray reconciles.
    let verdict = row(&id).await.verdict.unwrap();
    assert_eq!((verdict.call(), verdict.reason()), (Call::Undecided, UndecidedReason::Rejected));
    assert!(verdict.detail.contains("PixelSpacing"), "{}", verdict.detail);
    assert_eq!(rows("T", "REFUSED").await.len(), 1);
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_middle_of_a_series_goes_on_with_what_it_has() {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let flags = ["--dicom-listen", listen.as_str(), "--dicom-again-ms", "60000", "--dicom-idle-ms", "8000"];
    let mut agent = Edge::start("dicom-2", LINES, &flags);
    let sender = Sender { calling: "T_KILLED", port };
    let (id, files) = egg("killed", &["--single"]);
    sender.store_all(&["--abort"], &files[..7]);
    agent.kill();
    agent.restart();
    sender.store_all(&[], &files[7..]);
    one_decided_row(&id, "KILLED").await;
    agent.kill();
    agent.restart();
    sender.store_all(&[], &files);
    one_decided_row(&id, "KILLED").await;
    let left: Vec<_> = std::fs::read_dir(agent.folder.join("spool/dicom")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn half_a_series_in_a_spool_whose_agent_never_comes_back_is_stored_by_hand() {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let flags = ["--dicom-listen", listen.as_str(), "--dicom-again-ms", "60000", "--dicom-idle-ms", "60000"];
    let mut agent = Edge::start("dicom-3", LINES, &flags);
    let sender = Sender { calling: "T_ORPHAN", port };
    let (id, files) = egg("orphan", &["--single"]);
    sender.store_all(&["--abort"], &files[..7]);
    agent.kill();
    let drain = |lines: &[&str]| {
        let mut command = programs().command("ovomesh").unwrap();
        let gateway = fleet().gateway().unwrap();
        command.args(["--output", "json", "--gateway", &gateway, "spool", "drain"]).args(lines);
        let output = command.arg(agent.folder.join("spool")).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), told["stored"].as_u64(), told["images"].as_u64(), said)
    };
    let (is_all, stored, images, said) = drain(&[]);
    assert!(!is_all && stored == Some(0) && images == Some(1) && said.contains("--lines"), "{said}");
    let lines = agent.folder.join("lines.yaml").display().to_string();
    let (is_all, stored, images, said) = drain(&["--lines", &lines]);
    assert!(is_all && stored == Some(1) && images == Some(0), "{said}");
    let row = row(&id).await;
    let verdict = row.verdict.as_ref().unwrap();
    assert_eq!((verdict.call(), verdict.reason()), (Call::Undecided, UndecidedReason::Rejected));
    assert_eq!(verdict.detail, "missing slices: 7 of 16 images arrived before the agent ended");
    assert!(row.clock_suspect, "nobody knows when it came");
    assert_eq!(rows("T", "ORPHAN").await, [Row { preview: None, ..row }]);
    let (is_all, stored, ..) = drain(&["--lines", &lines]);
    assert!(is_all && stored == Some(0), "what is stored is known to be");
}
