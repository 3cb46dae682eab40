//! An agent with its ways for images, in front of the fleet of this test binary.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ovomesh_api::pb::query::v1::{GetScanRequest, ListScansRequest};
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_testkit::{Process, Usage};

use crate::{LIMIT, fleet, programs, query, stored};

/// An agent that can be killed and started again.
pub struct Edge {
    /// Its folder: spool, lines, logs.
    pub folder: PathBuf,
    name: String,
    gateway: String,
    flags: Vec<String>,
    process: Process,
}

impl Edge {
    /// Starts one with these lines (YAML) and more flags.
    pub fn start(name: &str, lines: &str, flags: &[&str]) -> Self {
        Self::start_at(&fleet().gateway().expect("one"), name, lines, flags)
    }

    /// The same at another gateway than the fleet's.
    pub fn start_at(gateway: &str, name: &str, lines: &str, flags: &[&str]) -> Self {
        let folder = fleet().folder().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("lines.yaml");
        std::fs::write(&file, lines).expect("a file");
        let mut all = vec!["--lines".to_owned(), file.display().to_string()];
        all.extend(flags.iter().map(|&flag| flag.to_owned()));
        let process = launch(name, gateway, &folder, &all);
        Self { folder, name: name.to_owned(), gateway: gateway.to_owned(), flags: all, process }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
    }

    /// Starts it again on what it left.
    pub fn restart(&mut self) {
        self.process = launch(&self.name, &self.gateway, &self.folder, &self.flags);
    }

    pub fn url(&self) -> String {
        self.process.url()
    }

    /// What it has taken of the machine.
    pub fn usage(&self) -> Usage {
        self.process.usage()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn launch(name: &str, gateway: &str, folder: &Path, flags: &[String]) -> Process {
    let mut command: Command = programs().command("ovomesh-scanner-agent").expect("it is built");
    command.args(["--listen", "127.0.0.1:0", "--instance", name, "--gateways", gateway]);
    command.arg("--spool").arg(folder.join("spool")).args(flags);
    let mut process = Process::start(name, command, folder).expect("it starts");
    process.ready().expect("it is ready");
    process
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// An egg of a class in a folder of its own: its scan id and its files. Each name is another egg, the same one in each run.
pub fn egg(name: &str, class: &str, flags: &[&str]) -> (String, Vec<PathBuf>) {
    let folder = fleet().folder().join(format!("eggs-{name}"));
    let seed = name.bytes().fold(7u32, |seed, b| seed.wrapping_mul(31).wrapping_add(b.into())).to_string();
    eggs(&folder, &[&["--count", "1", "--class", class, "--seed", &seed], flags].concat()).remove(0)
}

/// Synthetic eggs as DICOM files in a folder of their own; their scan ids, and the files of each.
pub fn eggs(folder: &Path, flags: &[&str]) -> Vec<(String, Vec<PathBuf>)> {
    let mut command = programs().command("ovomesh").expect("it is built");
    command.args(["--output", "json", "phantom", "--dicom"]).arg(folder).args(flags);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let egg = |line: &str| {
        let egg: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let place = folder.join(egg["file"].as_str().expect("a file"));
        let mut files = vec![place.clone()];
        if place.is_dir() {
            files = std::fs::read_dir(&place).expect("slices").map(|e| e.expect("one").path()).collect();
            files.sort();
        }
        (egg["scan_id"].as_str().expect("an id").to_owned(), files)
    };
    text.lines().map(egg).collect()
}

/// The stored row of a scan, once it is there.
pub async fn row(id: &str) -> Row {
    let mut query = query(fleet()).await;
    let begun = Instant::now();
    loop {
        match query.get_scan(GetScanRequest { scan_id: id.into(), ..Default::default() }).await {
            Ok(found) => return stored(&found.into_inner().row.expect("a row")),
            Err(status) => {
                assert!(begun.elapsed() < LIMIT, "{id} is not stored within {LIMIT:?}: {status:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All rows of a line of the last hour.
pub async fn rows(site: &str, line: &str) -> Vec<Row> {
    let request = ListScansRequest { site: site.into(), line: line.into(), ..Default::default() };
    query(fleet())
        .await
        .list_scans(request)
        .await
        .expect("a list")
        .into_inner()
        .rows
        .iter()
        .map(stored)
        .collect()
}
