//! What results-store is started with.

use std::path::PathBuf;

use ovomesh_bootstrap::PortConfig;

use crate::{CqlConfig, Keep};

/// What results-store is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub port: PortConfig,
    /// Where rows are kept.
    pub storage: Storage,
}

/// Where rows are kept.
#[derive(Clone, Debug)]
pub enum Storage {
    Folder {
        /// Where it is; made when it is not there.
        folder: PathBuf,
        keep: Keep,
    },
    Database(CqlConfig),
}

impl Config {
    /// The embedded store in `folder`, served in plain text.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let storage = Storage::Folder { folder: folder.into(), keep: Keep::default() };
        Self { port: PortConfig::default(), storage }
    }
}
