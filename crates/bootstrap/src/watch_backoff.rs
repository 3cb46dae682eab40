//! How long a watch of the apiserver waits after an error.

use std::time::Duration;

use kube::runtime::utils::Backoff as KubeBackoff;
use ovomesh_mesh::Backoff;

/// From 800 ms to 30 s, as Kubernetes' own clients do. For [`WatchStreamExt::backoff`], which starts anew after each event.
///
/// [`WatchStreamExt::backoff`]: kube::runtime::WatchStreamExt::backoff
#[derive(Debug)]
pub struct WatchBackoff(Backoff);

impl Default for WatchBackoff {
    fn default() -> Self {
        Self(Backoff::new(Duration::from_millis(800), Duration::from_secs(30)))
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.next_wait())
    }
}

impl KubeBackoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}
