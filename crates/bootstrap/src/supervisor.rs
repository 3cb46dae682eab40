//! Notifies systemd, when it started this program and asks for it: that it serves, that it ends, and that it is alive.
//! Elsewhere nobody listens, and nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

/// It serves: what is ordered after it may start.
pub fn serves() {
    notify(NotifyState::Ready);
}

/// It finishes what it has, and ends.
pub fn leaves() {
    notify(NotifyState::Stopping);
}

/// Says that it is alive, twice in each `WatchdogSec`. Never ends.
///
/// It runs on the threads that serve, so it falls silent when they are stuck, and systemd starts the program anew.
pub async fn is_alive() {
    // Nobody asks.
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut beat = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        notify(NotifyState::Watchdog);
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify systemd: NOTIFY_SOCKET cannot be reached");
    }
}
