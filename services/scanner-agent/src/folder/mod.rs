//! Watched folders: files that are dropped become scans, and go to `done/` with their verdict beside them, or to `failed/`
//! with the reason. `docs/edge.md` says the rules.
//!
//! [`listing`] is what lies there, [`settle`] when it is ready, [`read`] what it is, [`place`] where it goes; [`watch`]
//! listens to the system's events; [`work`] brings them together.

mod listing;
mod place;
mod read;
mod settle;
mod watch;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_intake::Intake;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::settle::Rules;
use self::work::Folder;
use crate::desk::Desk;

/// Pause before what failed for now is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Scans of a folder that wait for their verdicts: 2 s of the fastest line, four times over.
const AT_ONCE: usize = 64;

/// Images as files.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Files")]
pub struct FileArgs {
    /// A folder in which DICOM files, or folders of slices, are dropped; may be given several times. Folders that lines
    /// name as their sources are watched too
    #[arg(long, env = "OVOMESH_WATCH", value_name = "DIR", value_delimiter = ',')]
    pub watch: Vec<PathBuf>,
    /// A file that was neither renamed into place nor closed is whole after so long without a change, in milliseconds
    #[arg(long, env = "OVOMESH_WATCH_QUIET_MS", value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub watch_quiet_ms: u64,
    /// A file that is cut off, or a series that lacks slices, fails after so long without a change, in milliseconds
    #[arg(long, env = "OVOMESH_WATCH_PATIENCE_MS", value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub watch_patience_ms: u64,
}

/// The folders that are watched: those of the flags, and those of the lines.
pub fn folders(args: &FileArgs, desk: &Desk) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = desk.settings.lines.folders().map(PathBuf::from).collect();
    folders.extend(
        args.watch.iter().map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
    );
    folders.sort();
    folders.dedup();
    folders
}

/// Watches folders until the drain.
pub async fn run(
    args: &FileArgs,
    intake: Intake,
    desk: Arc<Desk>,
    folders: Vec<PathBuf>,
    drain: CancellationToken,
) {
    let rules = Rules {
        quiet: Duration::from_millis(args.watch_quiet_ms),
        patience: Duration::from_millis(args.watch_patience_ms.max(args.watch_quiet_ms)),
        again: AGAIN,
        at_once: AT_ONCE,
    };
    let intake = Arc::new(intake);
    let mut tasks = JoinSet::new();
    for root in folders {
        let folder = Folder::new(root, intake.clone(), desk.clone());
        tasks.spawn(work::run(folder, rules, drain.clone()));
    }
    while tasks.join_next().await.is_some() {}
}
