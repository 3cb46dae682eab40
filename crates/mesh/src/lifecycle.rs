//! What everything that spawns is handed: tasks are tracked, and drain is one signal.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The life of a program: its tasks, and the signal to finish them. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Every task of the program. Whoever ends it closes this and waits, with a deadline.
    pub tasks: TaskTracker,
    /// Cancelled once, when the program should take nothing new and finish what it has.
    pub drain: CancellationToken,
}

impl Lifecycle {
    /// A life that has just begun.
    #[must_use]
    pub fn new() -> Self {
        Self { tasks: TaskTracker::new(), drain: CancellationToken::new() }
    }

    /// Starts a task that a drain waits for. A panic in it is logged under its name and ends only this task.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            if AssertUnwindSafe(future).catch_unwind().await.is_err() {
                tracing::error!(task = name, "task panicked; this is a defect, please report it");
            }
        });
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}
