//! The system's events of a folder. They only make things faster: network shares have none, so the folder is listed
//! from time to time all the same.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Names that are kept until the next pass; of more, the pass finds out by itself.
const NAMES: usize = 10_000;

/// How the system says that a file is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Its writer closed it; it may open it again.
    Closed,
    /// It was renamed into place, as nobody does with half a file.
    Renamed,
}

/// What was reported since the last pass.
#[derive(Debug, Default)]
pub struct FolderEvents {
    finished: Mutex<HashMap<String, Finished>>,
    arrived: Notify,
}

impl FolderEvents {
    /// Names that were renamed into place or closed by their writer.
    pub fn take(&self) -> HashMap<String, Finished> {
        std::mem::take(&mut *self.finished.lock())
    }

    /// Comes back when there is something new.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn hear(&self, event: &Event) {
        let how = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Finished::Closed),
            EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(Finished::Renamed),
            // A folder, or a file whose end will be reported.
            EventKind::Create(_) => None,
            _ => return,
        };
        let name = event.paths.last().and_then(|path| path.file_name()).and_then(|name| name.to_str());
        if let (Some(how), Some(name)) = (how, name) {
            let mut finished = self.finished.lock();
            if finished.len() < NAMES {
                finished.insert(name.to_owned(), how);
            }
        }
        self.arrived.notify_one();
    }
}

/// Listens for as long as it is kept; nothing where the system has no events for this folder.
pub fn listen(root: &Path, events: &Arc<FolderEvents>) -> Option<RecommendedWatcher> {
    let to = events.clone();
    let heard = move |event: notify::Result<Event>| match event {
        Ok(event) => to.hear(&event),
        Err(error) => tracing::debug!(%error, "an event was lost; the folder is listed all the same"),
    };
    let watcher = notify::recommended_watcher(heard).and_then(|mut watcher| {
        watcher.watch(root, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(folder = %root.display(), %error, "no events: the folder is only listed from time to time");
            None
        }
    }
}
