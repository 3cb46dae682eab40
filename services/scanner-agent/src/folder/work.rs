//! One watched folder: lists it, has what is ready decided, and moves it away.

use std::collections::BTreeSet;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use ovomesh_api::json;
use ovomesh_api::pb::scan::v1::RejectCode;
use ovomesh_imaging::dicom::ImageInfo;
use ovomesh_intake::{ImageOrigin, Intake};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::deliver::{self, Sidecar};
use super::ignore::Ignored;
use super::listing::{self, Listing};
use super::read::{self, Read, Scan};
use super::readiness::{Outcome, Readiness, Ready, Rules};
use super::watch::{self, FolderEvents};
use crate::agent::Agent;

/// How often the folder is listed when nothing is told.
const LIST: Duration = Duration::from_secs(2);
/// How often while something waits to become ready.
const LIST_WAITING: Duration = Duration::from_millis(250);
/// Events that come together are one pass.
const TOGETHER: Duration = Duration::from_millis(10);
/// Units that are read at once: they are in memory then.
const READERS: usize = 2;
/// What files of a scan may have beside the samples of the largest volume, in bytes.
const BESIDE_BYTES: u64 = 4 << 20;
/// Volumes in one folder that is dropped.
const VOLUMES: u64 = 8;

/// A folder and what its scans need.
#[derive(Clone)]
pub struct Folder {
    root: PathBuf,
    intake: Arc<Intake>,
    agent: Arc<Agent>,
    readers: Arc<Semaphore>,
    ignored: Arc<Ignored>,
}

impl Folder {
    /// A folder that need not be there yet.
    pub fn new(root: PathBuf, intake: Arc<Intake>, agent: Arc<Agent>, ignored: Arc<Ignored>) -> Self {
        Self { root, intake, agent, readers: Arc::new(Semaphore::new(READERS)), ignored }
    }
}

/// Works on the folder until the drain. A share that goes away is waited for.
pub async fn run(folder: Folder, rules: Rules, drain: CancellationToken) {
    let root = folder.root.display().to_string();
    let events = Arc::new(FolderEvents::default());
    let (mut readiness, mut tasks) = (Readiness::new(rules), JoinSet::new());
    // What is listened to, by the folder that it is: another one may be mounted in its place.
    let mut listening = None;
    let mut is_away = None;
    // So that each is logged once.
    let mut refused = BTreeSet::new();
    loop {
        let finished = events.take();
        let (path, ignored) = (folder.root.clone(), folder.ignored.clone());
        match blocking(move || listing::list(&path, &ignored)).await {
            Ok(listing) => {
                for name in listing.refused.difference(&refused) {
                    tracing::warn!(
                        folder = root,
                        name,
                        "left alone: links, pipes and devices are not read; put the file itself here"
                    );
                }
                refused.clone_from(&listing.refused);
                if is_away != Some(false) {
                    tracing::info!(folder = root, entries = listing.entries.len(), "watched");
                    is_away = Some(false);
                }
                if listening.as_ref().is_none_or(|(of, _)| *of != listing.folder) {
                    listening = Some((listing.folder, watch::listen(&folder.root, &events)));
                }
                for ready in readiness.step(&listing, &finished, Instant::now()) {
                    let (folder, files) = (folder.clone(), files(&listing, &ready));
                    tasks.spawn(async move {
                        let outcome = or_again(folder.work(&ready, files)).await;
                        (ready.names, outcome)
                    });
                }
            }
            Err(error) => {
                if is_away != Some(true) {
                    tracing::error!(folder = root, %error, "cannot be read; waiting until it can");
                    is_away = Some(true);
                }
                listening = None;
            }
        }
        let pause = if readiness.is_waiting() && is_away == Some(false) { LIST_WAITING } else { LIST };
        tokio::select! {
            () = drain.cancelled() => return,
            () = events.arrived() => tokio::time::sleep(TOGETHER).await,
            Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                if let Ok((names, outcome)) = done {
                    readiness.done(&names, &outcome, Instant::now());
                }
                while let Some(Ok((names, outcome))) = tasks.try_join_next() {
                    readiness.done(&names, &outcome, Instant::now());
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What becomes of files whose work panicked: they are where they were, and are tried again.
async fn or_again(work: impl Future<Output = Outcome>) -> Outcome {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("the work on a dropped file panicked; this is a defect, please report it");
        Outcome::Again
    })
}

fn files(listing: &Listing, ready: &Ready) -> Vec<PathBuf> {
    let entries = ready.names.iter().filter_map(|name| listing.entries.get(name));
    entries.flat_map(|entry| entry.files.iter().cloned()).collect()
}

impl Folder {
    /// All that happens to something that is ready.
    async fn work(&self, ready: &Ready, files: Vec<PathBuf>) -> Outcome {
        let (read, print) = match self.read(ready, &files).await {
            Ok((read, print)) => (Ok(read), print),
            Err(error) => (Err(error), None),
        };
        let sidecar = match read {
            Ok(Read::Hollow) => {
                tracing::info!(folder = %self.root.display(), name = ready.names[0], "ends with zeros, left alone for a while");
                return Outcome::Hollow;
            }
            Ok(Read::MayGrow(why)) => {
                tracing::info!(folder = %self.root.display(), name = ready.names[0], why, "not whole yet, left alone");
                return Outcome::MayGrow;
            }
            Ok(Read::Slice(series, expected)) => return Outcome::Slice(series, expected),
            Ok(Read::Decided(sha256)) => return self.finish(ready, sha256).await,
            Ok(Read::Unusable(why, broken)) => {
                tracing::warn!(folder = %self.root.display(), name = ready.names[0], why, "failed");
                match broken {
                    Some(info) => self.decide_broken(ready, &info, &why).await.map(|()| Sidecar::Reason(why)),
                    None => Ok(Sidecar::Reason(why)),
                }
            }
            Ok(Read::Scans(scans, notes)) => self.decide(ready, scans, notes).await,
            // It was taken away, or is being: the next listing tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Outcome::Again,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && ready.is_last => {
                Ok(Sidecar::Reason(format!("it cannot be read: {error}")))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Outcome::MayGrow,
            Err(error) => Err(format!("it cannot be read: {error}")),
        };
        match sidecar {
            // A verdict stands; the files that have changed since are other ones.
            Ok(_) if print.is_some() && self.print(&files).await.is_some_and(|now| Some(now) != print) => {
                tracing::warn!(folder = %self.root.display(), name = ready.names[0], "changed while it was decided; it is read again");
                Outcome::Again
            }
            Ok(sidecar) => self.deliver(ready, sidecar).await,
            Err(why) => {
                tracing::warn!(folder = %self.root.display(), name = ready.names[0], why, "waits, and is tried again");
                Outcome::Again
            }
        }
    }

    /// What it is, and its print when it was read.
    async fn read(&self, ready: &Ready, files: &[PathBuf]) -> io::Result<(Read, Option<u64>)> {
        let _reader = self.readers.acquire().await;
        let (root, wanted) = (self.root.clone(), self.intake.wanted().to_vec());
        // Of a series each file was found to be a slice.
        let is_alone = !ready.is_series && files.iter().all(|file| file.components().count() == 1);
        let volumes = if is_alone || ready.is_series { 2 } else { VOLUMES };
        let most = volumes * self.agent.settings.max_volume_bytes + BESIDE_BYTES;
        let mode = read::Mode { most, alone: is_alone, settled: ready.is_settled };
        let (is_last, files) = (ready.is_last, files.to_vec());
        blocking(move || {
            let print = listing::print(&root, &files);
            let read = match read::read(&root, &files, mode, &wanted)? {
                Read::MayGrow(why) if is_last => read::give_up(&root, &files, most, why, &wanted)?,
                other => other,
            };
            if listing::print(&root, &files) == print {
                return Ok((read, print));
            }
            Ok((Read::MayGrow("it changed while it was read".to_owned()), None))
        })
        .await
    }

    async fn print(&self, files: &[PathBuf]) -> Option<u64> {
        let (root, files) = (self.root.clone(), files.to_vec());
        blocking(move || Ok(listing::print(&root, &files))).await.ok().flatten()
    }

    /// Verdicts of all scans, or why there are none; the error is one that may pass.
    async fn decide(&self, ready: &Ready, scans: Vec<Scan>, notes: Vec<String>) -> Result<Sidecar, String> {
        let received = Instant::now();
        let mut following = Vec::new();
        for Scan { id, series, sha256 } in scans {
            let (scan, mut remarks) = match self.intake.scan(id, &self.origin(ready), &series) {
                Ok(made) => made,
                Err(error) => return Ok(Sidecar::Reason(error.to_string())),
            };
            remarks.extend(notes.iter().cloned());
            match self.agent.take(scan, &[], self.agent.settings.max_volume_bytes, received) {
                Ok(admission) => following.push((admission, series, sha256, remarks)),
                Err(invalid) if invalid.code == RejectCode::Overloaded => return Err(invalid.to_string()),
                Err(invalid) => return Ok(Sidecar::Reason(invalid.to_string())),
            }
        }
        let mut verdicts = Vec::new();
        for (admission, series, sha256, remarks) in following {
            let mut object = json::row(admission.row().await?.row());
            object["series_uid"] = json!(series.uid);
            object["files"] = json!(series.files);
            object["sha256"] = json!(sha256);
            object["notes"] = json!(remarks);
            verdicts.push(object);
        }
        let is_folder = !ready.is_series && self.root.join(&ready.names[0]).is_dir();
        match verdicts.pop() {
            Some(only) if !is_folder => Ok(Sidecar::Verdict(only)),
            last => {
                verdicts.extend(last);
                Ok(Sidecar::Verdict(Value::Array(verdicts)))
            }
        }
    }

    /// A scan that is no whole volume is UNDECIDED, and that is kept before its files are moved.
    /// It is named by its series: a part of its files would have another SHA-256, but is no other scan.
    async fn decide_broken(&self, ready: &Ready, info: &ImageInfo, why: &str) -> Result<(), String> {
        let id = &info.series;
        let now = self.agent.clock.now();
        match self.intake.broken(id, &self.origin(ready), &info.attributes, info.acquired, now) {
            Ok(meta) => match self.agent.decide_broken(meta, why.to_owned()) {
                Some(admission) => admission.row().await.map(drop),
                None => Err("its verdict cannot be read now".into()),
            },
            // Nobody's scan has no row.
            Err(error) => {
                tracing::warn!(series = id, %error, "no row");
                Ok(())
            }
        }
    }

    async fn finish(&self, ready: &Ready, sha256: String) -> Outcome {
        let (root, name) = (self.root.clone(), ready.names[0].clone());
        match blocking(move || deliver::finish(&root, &name, &sha256)).await {
            Ok(()) => Outcome::Moved,
            Err(_) => Outcome::Again,
        }
    }

    async fn deliver(&self, ready: &Ready, sidecar: Sidecar) -> Outcome {
        let (root, names) = (self.root.clone(), ready.names.clone());
        match blocking(move || deliver::deliver(&root, &names, &sidecar)).await {
            Ok(()) => Outcome::Moved,
            Err(error) => {
                tracing::warn!(folder = %self.root.display(), name = ready.names[0], %error, "decided, but not moved yet");
                Outcome::Again
            }
        }
    }

    fn origin(&self, ready: &Ready) -> ImageOrigin {
        let folder = Some(self.root.display().to_string());
        ImageOrigin { folder, file_name: ready.names.first().cloned(), ..ImageOrigin::default() }
    }
}

/// Work for a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_whose_work_panics_are_tried_again() {
        assert!(matches!(or_again(async { panic!("on this file") }).await, Outcome::Again));
        assert!(matches!(or_again(async { Outcome::Moved }).await, Outcome::Moved));
    }
}
