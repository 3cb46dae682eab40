//! Says when a scan is due. A thread of its own, because the runtime's timer has steps of a millisecond, which would be
//! a good part of the latencies to be measured.

use std::sync::Arc;
use std::sync::mpsc::{self as threads, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::plan::Plan;

/// The pacer's thread. Dropping it ends it.
pub(crate) struct Pacer {
    stop: threads::Sender<()>,
    thread: JoinHandle<u32>,
}

impl Pacer {
    /// Starts to count down to the sends of `plan`, which begin at `start`. Each scanner is sent the numbers of its
    /// scans when they are due; what waits there is bounded by the plan.
    pub(crate) fn start(
        plan: Arc<Plan>,
        start: Instant,
        due: Vec<mpsc::UnboundedSender<u32>>,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = threads::channel();
        let work = move || {
            let mut announced = 0;
            for (n, send) in (0u32..).zip(&plan.sends) {
                let left = (start + send.at).saturating_duration_since(Instant::now());
                if !left.is_zero() && stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                // A scanner that has left needs nothing any more.
                let _ = due[send.scanner as usize].send(n);
                announced = n + 1;
            }
            announced
        };
        let thread = std::thread::Builder::new().name("pacer".into()).spawn(work);
        Ok(Self { stop, thread: thread.context("starting the pacer's thread")? })
    }

    /// Ends it at once. Returns how many sends were due until then.
    pub(crate) fn stop(self) -> u32 {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::plan::Send;
    use super::*;

    fn plan(ats: &[u64]) -> Arc<Plan> {
        let send = |(nth, &ms): (u32, &u64)| Send { at: Duration::from_millis(ms), scanner: nth % 2, nth };
        Arc::new(Plan { sends: (0..).zip(ats).map(send).collect(), measured: 0, end: Duration::ZERO })
    }

    #[tokio::test]
    async fn nothing_is_due_before_its_time() {
        let (to, mut due): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let start = Instant::now();
        let _pacer = Pacer::start(plan(&[0, 10, 30]), start, to).unwrap();
        for (n, scanner, ms) in [(0, 0, 0), (1, 1, 10), (2, 0, 30)] {
            assert_eq!(due[scanner].recv().await, Some(n));
            assert!(start.elapsed() >= Duration::from_millis(ms));
        }
        assert_eq!(due[0].recv().await, None, "the end is reported");
    }

    #[tokio::test]
    async fn a_stopped_pacer_ends_at_once_and_says_how_far_it_was() {
        let (to, mut due): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let pacer = Pacer::start(plan(&[0, 3_600_000]), Instant::now(), to).unwrap();
        assert_eq!(due[0].recv().await, Some(0));
        assert_eq!(pacer.stop(), 1);
        assert_eq!(due[1].recv().await, None, "the second was not due");
    }
}
