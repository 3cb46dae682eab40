//! What the agent is started with.

use std::path::PathBuf;

use ovomesh_api::{LineBook, MAX_VOLUME_BYTES};
use ovomesh_bootstrap::PortConfig;
use ovomesh_mesh::Connector;
use tonic::transport::Uri;

pub use crate::dicom::DicomConfig;
pub use crate::folder::FolderConfig;

/// What the agent is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it serves.
    pub port: PortConfig,
    /// How it calls gateways.
    pub connector: Connector,
    /// Gateways; one of them is used, another one when that leaves.
    pub gateways: Vec<Uri>,
    /// Folder of the spool, on a disk that keeps what was fsynced.
    pub spool: PathBuf,
    /// Most that the spool may take, in bytes.
    pub spool_bytes: u64,
    /// How lines are configured.
    pub lines: LineBook,
    /// Largest volume taken, in bytes as sent and as unpacked.
    pub max_volume_bytes: u64,
    /// Memory for what is arriving and being read, in bytes.
    pub memory_bytes: u64,
    /// Images by DICOM. `None`: nowhere.
    pub dicom: Option<DicomConfig>,
    /// Images as files.
    pub folders: FolderConfig,
}

impl Config {
    /// With its spool in this folder, for a gateway on the documented port of this machine.
    pub fn in_folder(spool: impl Into<PathBuf>) -> Self {
        Self {
            port: PortConfig::default(),
            connector: Connector::default(),
            gateways: vec![Uri::from_static("http://127.0.0.1:7700")],
            spool: spool.into(),
            spool_bytes: 4 << 30,
            lines: LineBook::default(),
            max_volume_bytes: MAX_VOLUME_BYTES,
            memory_bytes: 128 << 20,
            dicom: None,
            folders: FolderConfig::default(),
        }
    }
}
