//! Images from strangers that are small and would become large: the agent's memory stays within what it states, they are
//! refused, and whoever else sends scans has verdicts meanwhile.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ovomesh_api::pb::scan::v1::{DecidedBy, Volume};
use ovomesh_tests::dcmtk::{self, Sender};
use ovomesh_tests::edge::{self, Edge, free_port, row};
use ovomesh_tests::{Answer, Session, fleet, scan};
use tokio::task::JoinSet;

const LINES: &str = "default: {read: [{from: calling_ae, pattern: '^(?<site>M)_(?<line>\\w+)$'}, {from: PatientID, into: egg_id}]}";
/// What the agent is given, and what its flag says that the process takes beside it, in MiB.
const MEMORY_MIB: u64 = 64;
const BESIDE_MIB: u64 = 96;

/// An agent, and the port of its DICOM.
fn agent(name: &str) -> (Edge, u16) {
    let port = free_port();
    let (listen, memory) = (format!("127.0.0.1:{port}"), MEMORY_MIB.to_string());
    let flags = ["--dicom-listen", &listen, "--dicom-again-ms", "1000", "--memory-mib", &memory];
    (Edge::start(name, LINES, &flags), port)
}

fn assert_within_its_memory(agent: &Edge) {
    let peak = agent.usage().peak >> 20;
    assert!(peak <= MEMORY_MIB + BESIDE_MIB, "the agent took {peak} MiB of {MEMORY_MIB} and {BESIDE_MIB}");
}

/// An element with an explicit VR.
fn element(tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == "UI" { 0 } else { b' ' });
    }
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend(vr.bytes());
    if matches!(vr, "OB" | "OW") {
        bytes.extend([0, 0]);
        bytes.extend((value.len() as u32).to_le_bytes());
    } else {
        bytes.extend((value.len() as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

/// An MR image of this size in a transfer syntax, with the samples as they are in the file.
fn image(name: &str, syntax: &str, [columns, rows]: [u16; 2], samples: &[u8]) -> Vec<u8> {
    let uid = format!("1.2.3.{}", name.bytes().fold(7u32, |n, b| n.wrapping_mul(31).wrapping_add(b.into())));
    let class = "1.2.840.10008.5.1.4.1.1.4";
    let meta = [
        element((2, 1), "OB", &[0, 1]),
        element((2, 2), "UI", class.as_bytes()),
        element((2, 3), "UI", uid.as_bytes()),
        element((2, 0x10), "UI", syntax.as_bytes()),
        element((2, 0x12), "UI", b"1.2.3"),
    ]
    .concat();
    let number = |tag, n: u16| element(tag, "US", &n.to_le_bytes());
    let data_set = [
        element((8, 0x16), "UI", class.as_bytes()),
        element((8, 0x18), "UI", uid.as_bytes()),
        element((8, 0x60), "CS", b"MR"),
        element((0x10, 0x20), "LO", name.as_bytes()),
        element((0x20, 0xE), "UI", format!("{uid}.1").as_bytes()),
        element((0x20, 0x32), "DS", b"0\\0\\0"),
        element((0x20, 0x37), "DS", b"1\\0\\0\\0\\1\\0"),
        number((0x28, 2), 1),
        element((0x28, 4), "CS", b"MONOCHROME2"),
        number((0x28, 0x10), rows),
        number((0x28, 0x11), columns),
        element((0x28, 0x30), "DS", b"1\\1"),
        number((0x28, 0x100), 16),
        number((0x28, 0x101), 16),
        number((0x28, 0x102), 15),
        number((0x28, 0x103), 0),
        samples.to_vec(),
    ]
    .concat();
    let length = element((2, 0), "UL", &(meta.len() as u32).to_le_bytes());
    [vec![0; 128], b"DICM".to_vec(), length, meta, data_set].concat()
}

/// One frame of JPEG 2000 that has nothing but headers: its size, that of a tile, and how many components it has.
fn jpeg_2000([columns, rows]: [u16; 2], tile: u32, components: u16) -> Vec<u8> {
    let marker = |code: u8, content: &[u8]| {
        [&[0xFF, code][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    };
    let grid = [u32::from(columns), u32::from(rows), 0, 0, tile, tile, 0, 0].map(u32::to_be_bytes).concat();
    let size =
        [&[0, 0][..], &grid, &components.to_be_bytes(), &[15, 1, 1].repeat(components.into())].concat();
    let frame = [
        vec![0xFF, 0x4F],
        marker(0x51, &size),
        marker(0x52, &[0, 0, 0, 1, 0, 0, 4, 4, 0, 1]),
        marker(0x5C, &[0x40, 0x80]),
        marker(0x90, &[0, 0, 0, 0, 0, 14, 0, 1]),
        vec![0xFF, 0x93, 0xFF, 0xD9],
    ]
    .concat();
    let item =
        |bytes: &[u8]| [&[0xFE, 0xFF, 0x00, 0xE0][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let samples = [0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    [&samples[..], &item(&[]), &item(&frame), &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]].concat()
}

const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

/// Files that harm, each with the flag by which storescu offers its transfer syntax.
fn hostile(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    std::fs::create_dir_all(folder).unwrap();
    let put = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let tiles = image("tiles", JPEG_2000, [512, 127], &jpeg_2000([512, 127], 1, 1));
    let components = image("components", JPEG_2000, [64, 64], &jpeg_2000([64, 64], 64, 16_384));
    let zeros =
        image("zeros", "1.2.840.10008.1.2.1", [64, 64], &element((0x7FE0, 0x10), "OW", &vec![0; 64 << 20]));
    let zeros = put("zeros.raw", zeros);
    let bomb = dcmtk::convert("dcmconv", &["+td"], &[zeros], &folder.join("deflated")).remove(0);
    assert!(bomb.metadata().unwrap().len() < 1 << 20);
    vec![("-xv", put("tiles", tiles)), ("-xv", put("components", components)), ("-xd", bomb)]
}

#[tokio::test]
async fn images_that_would_become_large_are_refused_and_their_neighbours_have_verdicts() {
    let (agent, port) = agent("memory-1");
    let sender = Sender { calling: "M_HOSTILE", port };
    let is_over = Arc::new(AtomicBool::new(false));
    let attack = {
        let is_over = is_over.clone();
        std::thread::spawn(move || {
            let files = hostile(&fleet().folder().join("hostile"));
            for (flag, file) in files.iter().cycle().take(2 * files.len()) {
                let said = dcmtk::text(&sender.store(&[flag], std::slice::from_ref(file)));
                assert!(
                    said.contains("0xc000") || said.contains("CannotUnderstand"),
                    "{}: {said}",
                    file.display()
                );
            }
            is_over.store(true, Relaxed);
        })
    };
    let (mut neighbour, _) = Session::open(&agent.url()).await;
    let mut answered = 0;
    while !is_over.load(Relaxed) && !attack.is_finished() {
        neighbour.scan(scan(&format!("neighbour-{answered}"))).await;
        let verdict = neighbour.verdict().await;
        assert_eq!(verdict.decided_by(), DecidedBy::Mesh, "{verdict:?}");
        answered += 1;
    }
    attack.join().unwrap();
    assert!(answered >= 20, "{answered} verdicts meanwhile");
    assert_within_its_memory(&agent);
    // The next compressed image has a decoder again.
    let (id, files) = edge::egg("memory-jpeg", "female", &["--single"]);
    let files = dcmtk::convert("dcmcjpeg", &["+e1"], &files, &fleet().folder().join("memory-jpegs"));
    Sender { calling: "M_JPEG", port }.store_all(&["-xs"], &files);
    assert_eq!(row(&id).await.verdict.unwrap().decided_by(), DecidedBy::Mesh);
}

/// The largest volume.
fn large() -> Volume {
    let samples = bytes::Bytes::from(vec![7; 4 << 20]);
    Volume {
        columns: 512,
        rows: 512,
        slices: 8,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
        spacing_z_mm: 1.0,
        crc32c: Some(crc32c::crc32c(&samples)),
        samples,
        ..Default::default()
    }
}

#[tokio::test]
async fn ten_scanners_with_the_largest_volumes_take_no_more_than_the_agent_has() {
    let (agent, _) = agent("memory-2");
    let mut sessions = JoinSet::new();
    for scanner in 0..10 {
        let url = agent.url();
        sessions.spawn(async move {
            let (mut session, _) = Session::open(&url).await;
            for n in 0..6 {
                let id = format!("large-{scanner}-{n}");
                session.scan(ovomesh_api::pb::scan::v1::Scan { volume: Some(large()), ..scan(&id) }).await;
            }
            let mut answered = 0;
            while answered < 6 {
                match session.answer().await {
                    Answer::Verdict(_) => answered += 1,
                    Answer::Accepted(_) | Answer::Committed(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(session) = sessions.join_next().await {
        session.unwrap();
    }
    assert_within_its_memory(&agent);
}
