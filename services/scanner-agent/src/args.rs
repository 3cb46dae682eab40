//! The flags of the agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ovomesh_api::{LineBook, MAX_VOLUME_BYTES};
use ovomesh_bootstrap::{ClientTlsArgs, PortConfig, ServerArgs, TelemetryArgs, configuration};
use tonic::transport::Uri;

use crate::folder::pattern;
use crate::{Config, DicomConfig, FolderConfig};

/// Keeps every scan until its verdict is stored, and never blocks the conveyor.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7690")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls gateways.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// Gateways; one of them is used, another one when that leaves
    #[arg(
        long,
        env = "OVOMESH_GATEWAYS",
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7700"
    )]
    pub gateways: Vec<Uri>,
    /// Folder of the spool, on a disk that keeps what was fsynced
    #[arg(long, env = "OVOMESH_SPOOL", value_name = "DIR")]
    pub spool: PathBuf,
    /// Most that the spool may take, in MiB
    #[arg(long, env = "OVOMESH_SPOOL_MIB", value_name = "MIB", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..))]
    pub spool_mib: u64,
    /// Configuration of the lines (YAML): their budgets. Without: the defaults
    #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// Largest volume taken, in bytes as sent and as unpacked
    #[arg(long, env = "OVOMESH_MAX_VOLUME_BYTES", value_name = "BYTES", default_value_t = MAX_VOLUME_BYTES)]
    pub max_volume_bytes: u64,
    /// Memory for scans and images that are arriving or being read, in MiB. One more waits, or is refused with the advice
    /// to send it later. The process takes up to 96 MiB more, the decoder of compressed images 80
    #[arg(long, env = "OVOMESH_MEMORY_MIB", value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u64).range(32..))]
    pub memory_mib: u64,
    /// Images by DICOM.
    #[command(flatten)]
    pub dicom: DicomArgs,
    /// Images as files.
    #[command(flatten)]
    pub files: FileArgs,
}

/// Images by DICOM.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "DICOM")]
pub struct DicomArgs {
    /// Where it takes images by DICOM (C-STORE, C-ECHO), such as 0.0.0.0:11112. Without: nowhere
    #[arg(long, env = "OVOMESH_DICOM_LISTEN", value_name = "ADDR")]
    pub dicom_listen: Option<SocketAddr>,
    /// AE title it answers to, beside those that lines are called by
    #[arg(long, env = "OVOMESH_DICOM_AE", value_name = "TITLE", default_value = "OVOMESH", value_parser = ae_title)]
    pub dicom_ae: String,
    /// Associations at once; one more is refused as congestion
    #[arg(long, env = "OVOMESH_DICOM_ASSOCIATIONS", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub dicom_associations: u16,
    /// A series that states no number of images is whole after this time without one, in milliseconds; longer when its
    /// images come slowly. A line's `complete` can say otherwise
    #[arg(long, env = "OVOMESH_DICOM_IDLE_MS", value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub dicom_idle_ms: u64,
    /// A series that is not whole may be completed for this time after its last image, in milliseconds, also by another
    /// association. Then its egg is UNDECIDED
    #[arg(long, env = "OVOMESH_DICOM_AGAIN_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub dicom_again_ms: u64,
    /// Most that series which are not whole yet may take on disk, in MiB
    #[arg(long, env = "OVOMESH_DICOM_STAGING_MIB", value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..))]
    pub dicom_staging_mib: u64,
}

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
    /// Names in watched folders that are left alone, with * and ?, such as *.bak; may be given several times. Names of
    /// recycle bins, snapshots and files that are still being written are left alone in any case
    #[arg(long, env = "OVOMESH_WATCH_IGNORE", value_name = "PATTERN", value_delimiter = ',', value_parser = pattern)]
    pub watch_ignore: Vec<String>,
}

/// Reads every file; an error names the one that is wrong.
impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        Ok(Self {
            port: PortConfig::try_from(&args.server)?,
            connector: args.client.connector()?,
            gateways: args.gateways,
            spool: args.spool,
            spool_bytes: args.spool_mib << 20,
            lines: configuration(args.lines.as_deref(), LineBook::from_yaml)?,
            max_volume_bytes: args.max_volume_bytes,
            memory_bytes: args.memory_mib << 20,
            dicom: args.dicom.into(),
            folders: args.files.into(),
        })
    }
}

impl From<DicomArgs> for Option<DicomConfig> {
    fn from(args: DicomArgs) -> Self {
        Some(DicomConfig {
            listen: args.dicom_listen?,
            ae: args.dicom_ae,
            associations: args.dicom_associations.into(),
            idle: Duration::from_millis(args.dicom_idle_ms),
            again: Duration::from_millis(args.dicom_again_ms),
            staging_bytes: args.dicom_staging_mib << 20,
        })
    }
}

impl From<FileArgs> for FolderConfig {
    fn from(args: FileArgs) -> Self {
        let absolute = |folder: PathBuf| std::path::absolute(&folder).unwrap_or(folder);
        Self {
            watch: args.watch.into_iter().map(absolute).collect(),
            quiet: Duration::from_millis(args.watch_quiet_ms),
            patience: Duration::from_millis(args.watch_patience_ms),
            ignore: args.watch_ignore,
        }
    }
}

fn ae_title(text: &str) -> Result<String, String> {
    let is_good = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_good { Ok(text.to_owned()) } else { Err("an AE title has 1 to 16 letters without spaces".into()) }
}
