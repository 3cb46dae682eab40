//! A reader who types what is written, and compares what is printed with what was promised.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ovomesh_testkit::{Process, repository, wait_until};
use ovomesh_tests::programs;

use crate::blocks::{Block, commands};
use crate::lists::{CAPITALS, ENDLESS, FOLDERS, NAMES, NOT_RUN, OF_THE_DEMO, PRINTS};
use crate::{calls, shell};

/// Longest wait for something to be printed.
const LIMIT: Duration = Duration::from_secs(30);

pub struct Reader<'a> {
    folder: &'a std::path::Path,
    /// What `ovomesh simulate` printed.
    report: String,
    /// A stored scan.
    scan: String,
    runtime: tokio::runtime::Runtime,
    /// Entries of the lists that were of use.
    used: HashSet<&'static str>,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    /// In a folder that looks like the repository after a build.
    pub fn new(folder: &'a std::path::Path, lines: &str) -> Self {
        let built = programs().command("ovomesh").unwrap().get_program().to_owned();
        std::fs::create_dir(folder.join("target")).unwrap();
        let link = |to: PathBuf, from: &str| std::os::unix::fs::symlink(to, folder.join(from)).unwrap();
        link(PathBuf::from(built).parent().unwrap().to_owned(), "target/release");
        link(repository().join("models"), "models");
        std::fs::create_dir_all(folder.join("drop/north-1")).unwrap();
        std::fs::write(folder.join("lines.yaml"), in_folder(folder, lines)).unwrap();
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        std::fs::write(folder.join("etc/password"), "secret").unwrap();
        let authority = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=authority \
                         -keyout etc/key.pem -out etc/db-ca.pem";
        let made = shell(authority, folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (report, scan, used, faults) = Default::default();
        Self { folder, report, scan, runtime, used, faults }
    }

    /// The short simulation that the commands of the demo look at.
    pub fn simulate(&mut self) {
        let run = |command: &str| {
            let output = shell(command, self.folder).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{command}: {text}{}", String::from_utf8_lossy(&output.stderr));
            text
        };
        self.report = run("ovomesh simulate --rate 50 --seconds 3 --distinct 32");
        let found = run("ovomesh --output json list --site sim --line line-1 --limit 1");
        let row: serde_json::Value = serde_json::from_str(found.trim()).unwrap();
        self.scan = row["scan_id"].as_str().unwrap().to_owned();
        run("ovomesh phantom --count 1 --single --dicom slices");
    }

    /// A command that succeeds and prints this.
    pub fn prints(&mut self, command: &str, promised: &[&str]) {
        let output = shell(command, self.folder).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {printed}");
        assert_eq!(lacking(promised, &printed), None, "{command}");
    }

    /// Whether a block starts services of its own, which need their ports.
    pub fn starts_services(&mut self, block: &Block) -> bool {
        block.language == "yaml" || commands(block).iter().any(|command| service(command).is_some())
    }

    /// Does what a block says.
    pub fn read(&mut self, block: &Block) {
        match block.language.as_str() {
            "" | "sh" => self.type_all(block),
            "text" => self.compare(block),
            "yaml" if block.at.starts_with("docs/lines.md") => self.serve_lines(block),
            other => {
                self.fault(&block.at, other, "say in this test what a block in this language is checked by");
            }
        }
    }

    /// Says what did not do what it promised, and which entries of the lists are of no use.
    pub fn end(mut self) {
        let entries = NOT_RUN.iter().chain(NAMES).map(|(entry, _)| *entry);
        let entries = entries.chain(PRINTS.iter().map(|(entry, _)| *entry));
        let entries = entries.chain(ENDLESS.iter().chain(OF_THE_DEMO).copied());
        let unused: Vec<_> = entries.filter(|entry| !self.used.contains(entry)).collect();
        if !unused.is_empty() {
            self.faults.push(format!("no page has what these entries of lists.rs are about: {unused:?}"));
        }
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n\n"));
    }

    fn fault(&mut self, at: &str, what: &str, why: impl std::fmt::Display) {
        self.faults.push(format!("{at}: {what}\n{why}"));
    }

    /// The first entry of a list that a command begins with.
    fn entry<T: Copy>(&mut self, list: &'static [(&'static str, T)], command: &str) -> Option<T> {
        let (entry, value) = list.iter().find(|(entry, _)| command.starts_with(entry))?;
        self.used.insert(entry);
        Some(*value)
    }

    fn type_all(&mut self, block: &Block) {
        // A service runs until its block ends, or until the same program is started again.
        let mut services: Vec<(String, Process)> = Vec::new();
        for written in commands(block) {
            if self.entry(NOT_RUN, &written).is_some() {
                if written.starts_with("grpcurl")
                    && let Err(why) = self.runtime.block_on(calls::grpcurl(&written))
                {
                    self.fault(&block.at, &written, why);
                }
                continue;
            }
            let command = self.named(&written);
            let left = command.split_whitespace().find(|word| CAPITALS.contains(word)).map(str::to_owned);
            if let Some(left) = left {
                self.fault(&block.at, &written, format!("say in lists.rs what {left} stands for"));
                continue;
            }
            let result = match service(&command) {
                Some(name) => {
                    services.retain(|(other, _)| *other != name);
                    self.serve(&name, &command).map(|process| services.push((name, process)))
                }
                None if ENDLESS.iter().any(|endless| command.starts_with(endless)) => self.watch(&command),
                None => self.once(&command),
            };
            if let Err(why) = result {
                self.fault(&block.at, &written, why);
            }
        }
    }

    /// A command with a reader's own names.
    fn named(&mut self, written: &str) -> String {
        let mut command =
            in_folder(self.folder, written).replace("show SCAN", &format!("show {}", self.scan));
        for (name, own) in NAMES {
            if command.contains(name) {
                self.used.insert(name);
                command = command.replace(name, own);
            }
        }
        command
    }

    /// Runs a command to its end.
    fn once(&mut self, command: &str) -> Result<(), String> {
        let output = shell(command, self.folder).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{}\n{printed}{errors}", output.status));
        }
        match self.entry(PRINTS, command) {
            Some(promised) => lacking(promised, &printed).map_or(Ok(()), Err),
            None if printed.trim().is_empty() => Err("it printed nothing".into()),
            None => Ok(()),
        }
    }

    /// Runs a command while scans are simulated, until it has printed what it promises; then Ctrl-C.
    fn watch(&mut self, command: &str) -> Result<(), String> {
        self.used.extend(ENDLESS.iter().filter(|endless| command.starts_with(**endless)));
        let promised = self.entry(PRINTS, command).unwrap_or(&[]);
        let mut child =
            shell(&format!("exec {command}"), self.folder).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        // Until a feed is live it has nothing; the simulation is repeated so that it need not be known when that is.
        let mut printed = String::new();
        let told = wait_until("all that it promises", LIMIT, || {
            self.once("ovomesh simulate --quiet --rate 80 --seconds 0.2 --distinct 8").ok()?;
            printed.extend(lines.try_iter().map(|line| line + "\n"));
            lacking(promised, &printed).is_none().then_some(())
        });
        let interrupted = shell(&format!("kill -INT {}", child.id()), self.folder).status();
        let status = child.wait().unwrap();
        told.map_err(|error| format!("{error:#}\n{printed}"))?;
        match status.success() && interrupted.is_ok() {
            true => Ok(()),
            false => Err(format!("after Ctrl-C: {status}")),
        }
    }

    /// Starts a service and waits until it listens, and is ready if all that it needs is here.
    fn serve(&mut self, name: &str, command: &str) -> Result<Process, String> {
        let command = command.replace("\\\n", " ");
        let process = Process::start(name, shell(&format!("exec {command}"), self.folder), self.folder);
        let mut process = process.map_err(|error| format!("{error:#}"))?;
        // Its database is not here: it goes on trying to reach it.
        if !command.contains("--cql") {
            process.ready().map_err(|error| format!("{error:#}"))?;
        }
        Ok(process)
    }

    /// A file of lines is what an agent starts with.
    fn serve_lines(&mut self, block: &Block) {
        let folder = self.folder.join("example");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("lines.yaml"), in_folder(self.folder, &block.text)).unwrap();
        let command = "ovomesh-scanner-agent --spool example/spool --lines example/lines.yaml --dicom-listen 127.0.0.1:0";
        if let Err(why) = self.serve("ovomesh-scanner-agent", command) {
            self.fault(&block.at, "these lines", why);
        }
    }

    /// Each line that is shown has the shape of one that is printed.
    fn compare(&mut self, block: &Block) {
        let shapes: HashSet<_> = self.report.lines().map(shape).collect();
        for line in block.text.lines() {
            if let Some(entry) = OF_THE_DEMO.iter().find(|entry| line.starts_with(**entry)) {
                self.used.insert(entry);
            } else if !shapes.contains(&shape(line)) {
                let report = self.report.clone();
                self.fault(&block.at, line, format!("`ovomesh simulate` prints no such line:\n{report}"));
            }
        }
    }
}

/// A text of the examples with folders of the reader.
fn in_folder(folder: &std::path::Path, text: &str) -> String {
    FOLDERS.iter().fold(text.to_owned(), |text, (theirs, own)| {
        text.replace(theirs, &folder.join(own).display().to_string())
    })
}

/// The service that a command starts.
fn service(command: &str) -> Option<String> {
    let program = command.split_whitespace().next()?.rsplit('/').next()?;
    (program == "ovomeshd" || program.starts_with("ovomesh-")).then(|| program.to_owned())
}

fn lacking(promised: &[&str], printed: &str) -> Option<String> {
    let lacking: Vec<_> = promised.iter().filter(|text| !printed.contains(**text)).collect();
    (!lacking.is_empty()).then(|| format!("{lacking:?} is not in\n{printed}"))
}

/// A line without its numbers and its spacing.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for letter in line.chars() {
        let letter = if letter.is_ascii_digit() { '0' } else { letter };
        let numeric = |c: char| c == '0' || c == '.' || c == ',';
        match shape.chars().last() {
            Some('0') if numeric(letter) => {}
            Some(' ') if letter == ' ' => {}
            _ => shape.push(letter),
        }
    }
    shape.trim().to_owned()
}

#[test]
fn lines_are_compared_without_their_numbers() {
    assert_eq!(shape("  9 s   1,200  4.70 x"), shape("10 s 3 0.2 x"));
    assert_ne!(shape("sent 4"), shape("send 4"));
}
