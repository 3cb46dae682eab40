//! `ovomesh send`: DICOM MR files, a verdict for each egg.
//!
//! [`files`] finds them, [`scans`] reads series and makes scans of them on a thread of its own, [`deliver`] sends them
//! over one session and books the answers, [`progress`] prints.

mod deliver;
mod files;
mod progress;
mod scans;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ovomesh_api::intake::{Axes, Zone};
use ovomesh_api::{Line, Site};

use crate::purpose::PurposeArg;
use crate::{Global, Out};

const EXAMPLES: &str = "\
Examples:
  ovomesh send scan.dcm                     one multi-frame file
  ovomesh send scans/ --site north --line 1 every file below a folder, one scan for each series
  ovomesh --output json send scans/ | jq 'select(.call == \"UNDECIDED\") | {egg_id, reason, detail}'

Keep the files of one series in one folder. The scan's id is the SeriesInstanceUID, so a series that is sent twice is still
one scan; the egg is the PatientID. A scan that is not an egg is UNDECIDED, with the reason. An image that is not a
whole volume is UNDECIDED (REJECTED) too, and is not stored.
Fails when a file was rejected, could not be sent, or got no verdict. All other files are sent all the same.";

/// What to send, and as what.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// DICOM files, or folders of them
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// The hatchery
    #[arg(long, env = "OVOMESH_SITE", value_name = "NAME", default_value = "local", value_parser = site)]
    site: Site,
    /// The line
    #[arg(long, env = "OVOMESH_LINE", value_name = "NAME", default_value = "files", value_parser = line)]
    line: Line,
    /// The customer's batch of eggs
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    batch: String,
    /// Time within which the verdict is needed. Default: what the line is configured for
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=600_000))]
    budget_ms: Option<u32>,
    /// What the scans are for; only PRODUCTION scans count in the records
    #[arg(long, value_enum, default_value_t = PurposeArg::Production)]
    purpose: PurposeArg,
    /// How images are turned into the frame that models know: by their header, or which of their axes are x, y and z,
    /// such as "-x y -z"
    #[arg(long, value_name = "AXES", default_value_t = Axes::Header, allow_hyphen_values = true)]
    axes: Axes,
    /// Where the scanner's clock stands, such as Europe/Berlin, for files that state a local time without an offset.
    /// Default: where this command runs
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Zone>,
}

fn site(text: &str) -> Result<Site, String> {
    Site::parse(text).map_err(|error| error.to_string())
}

fn line(text: &str) -> Result<Line, String> {
    Line::parse(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(args: Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let folders = files::find(&args.paths)?;
    let files = folders.iter().map(Vec::len).sum();
    let mut progress = progress::Progress::new(files, out);
    let settings = scans::ScanSettings {
        site: args.site,
        line: args.line,
        batch: args.batch,
        budget: args.budget_ms.map(|ms| Duration::from_millis(ms.into())),
        purpose: args.purpose.code(),
        axes: args.axes,
        timezone: args.timezone,
    };
    let hello = settings.hello();
    let found = scans::read(folders, settings)?;
    let delivered = deliver::deliver(global, hello, found, &mut progress).await;
    let code = progress.end()?;
    delivered.map(|()| code)
}
