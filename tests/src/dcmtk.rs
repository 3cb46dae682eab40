//! A sender by DICOM: dcmtk's own programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An AE that sends to an agent.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Its own AE title.
    pub calling: &'static str,
    pub port: u16,
}

impl Sender {
    /// `storescu` with more flags; in verbose mode, so that statuses can be read.
    pub fn store(&self, flags: &[&str], files: &[PathBuf]) -> Output {
        let mut command = Command::new("storescu");
        command.args(["-v", "-aet", self.calling]);
        if !flags.contains(&"-aec") {
            command.args(["-aec", "OVOMESH"]);
        }
        command.args(flags).arg("127.0.0.1").arg(self.port.to_string()).args(files);
        output(command)
    }

    /// The same, of which every image must be answered with success.
    pub fn store_all(&self, flags: &[&str], files: &[PathBuf]) {
        let output = self.store(flags, files);
        let text = text(&output);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.matches("(Success)").count(), files.len(), "{text}");
    }

    /// `echoscu`.
    pub fn echo(&self) -> Output {
        let mut command = Command::new("echoscu");
        command.args(["-v", "-aet", self.calling, "-aec", "OVOMESH", "127.0.0.1", &self.port.to_string()]);
        output(command)
    }
}

/// What a program of dcmtk said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a program of dcmtk on each file, which must succeed: `PROGRAM FLAGS FILE FOLDER/NAME`.
pub fn convert(program: &str, flags: &[&str], files: &[PathBuf], folder: &Path) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).expect("a folder");
    let one = |file: &PathBuf| {
        let made = folder.join(file.file_name().expect("a file has a name"));
        let mut command = Command::new(program);
        command.args(flags).arg(file).arg(&made);
        let output = output(command);
        assert!(output.status.success(), "{program}: {}", text(&output));
        made
    };
    files.iter().map(one).collect()
}

/// The text of one attribute of a file, by `dcmdump`.
pub fn value(file: &Path, keyword: &str) -> String {
    let mut command = Command::new("dcmdump");
    command.args(["+P", keyword]).arg(file);
    let shown = text(&output(command));
    let value = shown.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    value.unwrap_or_else(|| panic!("{keyword} is not in {}: {shown}", file.display())).0.to_owned()
}

/// `dcmodify` on copies of the files.
pub fn modify(flags: &[&str], files: &[PathBuf], folder: &Path) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).expect("a folder");
    let one = |file: &PathBuf| {
        let made = folder.join(file.file_name().expect("a file has a name"));
        std::fs::copy(file, &made).expect("a copy");
        let mut command = Command::new("dcmodify");
        let output = output({
            command.arg("-nb").args(flags).arg(&made);
            command
        });
        assert!(output.status.success(), "{}", text(&output));
        made
    };
    files.iter().map(one).collect()
}

fn output(mut command: Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| panic!("{program}: {error}; apt install dcmtk"))
}
