//! How each line is configured, just now: by the file, and on Kubernetes by ScannerLines.

use std::sync::Arc;

use ovomesh_api::{LineBook, LineConfig, LineId};
use tokio::sync::watch;

#[cfg(feature = "kubernetes")]
mod watched;
#[cfg(feature = "kubernetes")]
pub use watched::watched;

/// The book of lines, as it is now. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Lines(watch::Receiver<LineBook>);

impl Lines {
    /// A book that never changes.
    pub fn fixed(book: LineBook) -> Self {
        Self(watch::channel(book).1)
    }

    /// The configuration of a line.
    pub fn get(&self, line: &LineId) -> Arc<LineConfig> {
        self.0.borrow().get(line)
    }
}
