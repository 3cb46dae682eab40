//! Watched folders: files that are dropped become scans, and go to `done/` with their verdict beside them, or to `failed/`
//! with the reason. `docs/edge.md` says the rules.
//!
//! [`listing`] is what lies there and [`ignore`] what is left alone, [`readiness`] when it is ready, [`read`] what it is (by [`open`]), [`deliver`] where it goes; [`watch`]
//! listens to the system's events; [`work`] brings them together.

mod deliver;
mod ignore;
mod listing;
mod open;
mod read;
mod readiness;
mod watch;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ovomesh_api::intake::Complete;
use ovomesh_intake::Intake;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::ignore::Ignored;
pub use self::ignore::pattern;
use self::readiness::Rules;
use self::work::Folder;
use crate::agent::Agent;
use crate::images::Images;

/// Pause before what failed for now is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Scans of a folder that wait for their verdicts: 2 s of the fastest line, four times over.
const AT_ONCE: usize = 64;

/// Which folders are watched, and when what lies there is whole.
#[derive(Clone, Debug)]
pub struct FolderConfig {
    /// Absolute paths; the folders that lines name are watched too.
    pub watch: Vec<PathBuf>,
    /// A file that was neither renamed into place nor closed is whole after this time without a change.
    pub quiet: Duration,
    /// A file that is cut off, or a series that lacks slices, fails after this time without a change.
    pub patience: Duration,
    /// Names that are left alone, beside those that always are: patterns with `*` and `?`.
    pub ignore: Vec<String>,
}

/// No folder but those of the lines; 2 s, and 30 s.
impl Default for FolderConfig {
    fn default() -> Self {
        Self {
            watch: Vec::new(),
            quiet: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            ignore: Vec::new(),
        }
    }
}

/// The folders that are watched: those of the configuration, and those of the lines.
pub fn folders(config: &FolderConfig, agent: &Agent) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = agent.settings.lines.folders().map(PathBuf::from).collect();
    folders.extend(config.watch.iter().cloned());
    folders.sort();
    folders.dedup();
    folders
}

/// Watches folders until the drain.
pub async fn run(
    config: &FolderConfig,
    intake: Intake,
    images: Images,
    agent: Arc<Agent>,
    folders: Vec<PathBuf>,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let ignored = Arc::new(Ignored::new(&config.ignore)?);
    let intake = Arc::new(intake);
    let mut tasks = JoinSet::new();
    for root in folders {
        let gather = match agent.settings.lines.complete_of(&root.display().to_string()) {
            Complete::Quiet(time) => time,
            _ => config.quiet,
        };
        let patience = config.patience.max(config.quiet).max(gather);
        let rules = Rules { quiet: config.quiet, gather, patience, again: AGAIN, at_once: AT_ONCE };
        let folder = Folder::new(root, intake.clone(), images.clone(), agent.clone(), ignored.clone());
        tasks.spawn(work::run(folder, rules, drain.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        // A new agent watches it again.
        ended.context("watching a folder")?;
    }
    Ok(())
}
