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
use ovomesh_imaging::dicom::{ImageHeader, Series, Unusable};
use ovomesh_intake::{Error, ImageOrigin, Intake};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::deliver::{self, Sidecar};
use super::ignore::Ignored;
use super::listing::{self, Listing};
use super::read::{self, Found, Read, Scan};
use super::readiness::{Outcome, Readiness, Ready, Rules};
use super::watch::{self, FolderEvents};
use crate::agent::{Admission, Agent};
use crate::images::{Images, room_to_read};
use crate::memory::Room;

/// How often the folder is listed when nothing is told.
const LIST: Duration = Duration::from_secs(2);
/// How often while something waits to become ready.
const LIST_WAITING: Duration = Duration::from_millis(250);
/// Events that come together are one pass.
const TOGETHER: Duration = Duration::from_millis(10);
/// Units that are read at once: they are in memory then.
const READERS: usize = 2;
/// Volumes in one folder that is dropped.
const VOLUMES: usize = 8;

/// A folder and what its scans need.
#[derive(Clone)]
pub struct Folder {
    root: PathBuf,
    intake: Arc<Intake>,
    images: Images,
    agent: Arc<Agent>,
    readers: Arc<Semaphore>,
    ignored: Arc<Ignored>,
}

impl Folder {
    /// A folder that need not be there yet.
    pub fn new(
        root: PathBuf,
        intake: Arc<Intake>,
        images: Images,
        agent: Arc<Agent>,
        ignored: Arc<Ignored>,
    ) -> Self {
        Self { root, intake, images, agent, readers: Arc::new(Semaphore::new(READERS)), ignored }
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
        let (read, print, room) = match self.read(ready, &files).await {
            Ok((read, print, room)) => (Ok(read), print, room),
            Err(error) => (Err(error), None, Room::default()),
        };
        let decided = match read {
            Ok(Read::Hollow) => {
                tracing::info!(folder = %self.root.display(), name = ready.names[0], "ends with zeros, left alone for a while");
                return Outcome::Hollow;
            }
            Ok(Read::MayGrow(why)) if !ready.is_last => return self.may_grow(ready, &why),
            Ok(Read::Slice(slice)) => {
                let complete =
                    self.intake.complete(&self.origin(ready), &slice.header.attributes).unwrap_or_default();
                return Outcome::Slice(slice.header.series, complete.images().or(slice.expected));
            }
            Ok(Read::Decided(sha256)) => return self.finish(ready, sha256).await,
            Ok(Read::Nothing(why) | Read::MayGrow(why)) => Ok(Decided::All(Sidecar::Reason(why))),
            Ok(Read::Found(found, notes)) => self.decide(ready, found, notes, room).await,
            // It was taken away, or is being: the next listing tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Outcome::Again,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && ready.is_last => {
                Ok(Decided::All(Sidecar::Reason(format!("it cannot be read: {error}"))))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Outcome::MayGrow,
            Err(error) => Err(format!("it cannot be read: {error}")),
        };
        match decided {
            // A verdict stands; the files that have changed since are other ones.
            Ok(_) if print.is_some() && self.print(&files).await.is_some_and(|now| Some(now) != print) => {
                tracing::warn!(folder = %self.root.display(), name = ready.names[0], "changed while it was decided; it is read again");
                Outcome::Again
            }
            Ok(Decided::Part(why)) => self.may_grow(ready, &why),
            Ok(Decided::All(sidecar)) => self.deliver(ready, sidecar).await,
            Err(why) => {
                tracing::warn!(folder = %self.root.display(), name = ready.names[0], why, "waits, and is tried again");
                Outcome::Again
            }
        }
    }

    /// What it is, and its print when it was read.
    async fn read(&self, ready: &Ready, files: &[PathBuf]) -> io::Result<(Read, Option<u64>, Room)> {
        let _reader = self.readers.acquire().await;
        let root = self.root.clone();
        // Of a series each file was found to be a slice.
        let is_alone = !ready.is_series && files.iter().all(|file| file.components().count() == 1);
        let images = self.images.clone();
        let images = if is_alone || ready.is_series { images } else { images.of_volumes(VOLUMES) };
        let most = images.limits.samples_bytes() as u64;
        let (folder, all) = (root.clone(), files.to_vec());
        let bytes = blocking(move || Ok(listing::bytes(&folder, &all))).await?.min(most);
        // They may be compressed.
        let room = self.agent.memory.working(room_to_read(bytes, most)).await;
        let mode = read::Mode { most, alone: is_alone, settled: ready.is_settled };
        let files = files.to_vec();
        blocking(move || {
            let print = listing::print(&root, &files);
            let read = read::read(&root, &files, mode, &images.reader())?;
            if listing::print(&root, &files) == print {
                return Ok((read, print, room));
            }
            Ok((Read::MayGrow("it changed while it was read".to_owned()), None, room))
        })
        .await
    }

    async fn print(&self, files: &[PathBuf]) -> Option<u64> {
        let (root, files) = (self.root.clone(), files.to_vec());
        blocking(move || Ok(listing::print(&root, &files))).await.ok().flatten()
    }

    fn may_grow(&self, ready: &Ready, why: &str) -> Outcome {
        tracing::info!(folder = %self.root.display(), name = ready.names[0], why, "not whole yet, left alone");
        Outcome::MayGrow
    }

    /// Decides each series by itself; the error is one that may pass.
    /// `room`: the memory of what was found.
    async fn decide(
        &self,
        ready: &Ready,
        found: Vec<Found>,
        notes: Vec<String>,
        room: Room,
    ) -> Result<Decided, String> {
        let received = Instant::now();
        let take = |found| self.take(ready, found, &notes, received);
        let mut taken = found.into_iter().map(take).collect::<Result<Vec<_>, String>>()?;
        for taken in &mut taken {
            if let Taken::Scan(scan) = taken {
                scan.admission.kept().await?;
            }
        }
        drop(room);
        let grows = taken.iter().find_map(|taken| match taken {
            Taken::Broken(broken) if broken.may_pass => Some(broken.why.clone()),
            _ => None,
        });
        if let Some(why) = grows.filter(|_| !ready.is_last) {
            return Ok(Decided::Part(why));
        }
        let (mut entries, mut reasons) = (Vec::new(), Vec::new());
        for taken in taken {
            match taken {
                Taken::Scan(taken) => {
                    let mut object = json::row(taken.admission.row().await?.row());
                    object["series_uid"] = json!(taken.series);
                    object["files"] = json!(taken.files);
                    object["sha256"] = json!(taken.sha256);
                    object["notes"] = json!(taken.notes);
                    entries.push(object);
                }
                Taken::Broken(broken) => {
                    let name = &ready.names[0];
                    tracing::warn!(folder = %self.root.display(), name, why = broken.why, "no verdict from its image");
                    entries.push(self.decide_broken(ready, &broken).await?);
                    reasons.push(broken.why);
                }
            }
        }
        let is_folder = !ready.is_series && self.root.join(&ready.names[0]).is_dir();
        Ok(Decided::All(if reasons.len() == entries.len() {
            Sidecar::Reason(reasons.join("; "))
        } else if is_folder || entries.len() > 1 {
            Sidecar::Verdict(Value::Array(entries))
        } else {
            Sidecar::Verdict(entries.remove(0))
        }))
    }

    /// Gives a series to the agent, if it can be decided. The error is one that may pass.
    fn take(
        &self,
        ready: &Ready,
        found: Found,
        notes: &[String],
        received: Instant,
    ) -> Result<Taken, String> {
        let scan = match found {
            Found::Scan(scan) => scan,
            Found::Unusable(unusable) => return Ok(Taken::Broken(unusable.into())),
        };
        let (origin, series) = (self.origin(ready), &scan.series);
        let broken = |why: String, may_pass| {
            let header = ImageHeader {
                series: series.uid.clone(),
                instance: String::new(),
                acquired: series.acquired,
                attributes: series.attributes.clone(),
            };
            Ok(Taken::Broken(Broken { why, header: Some(Box::new(header)), may_pass }))
        };
        // However it came before, and in however many parts: a series is one scan.
        let now = self.agent.clock.now();
        let (made, mut remarks) = match self.intake.scan(series.uid.clone(), &origin, series, now) {
            Ok(made) => made,
            Err(Error::Image(error)) => return broken(error.to_string(), read::may_pass(&error)),
            Err(error) => {
                return Ok(Taken::Broken(Broken { header: None, why: error.to_string(), may_pass: false }));
            }
        };
        remarks.extend(notes.iter().cloned());
        match self.agent.take(made, &[], self.agent.settings.max_volume_bytes, received, Room::default()) {
            Ok(admission) => {
                let Scan { series: Series { uid, files, .. }, sha256 } = *scan;
                Ok(Taken::Scan(TakenScan { admission, series: uid, files, sha256, notes: remarks }))
            }
            Err(invalid) if invalid.code == RejectCode::Overloaded => Err(invalid.to_string()),
            Err(invalid) if invalid.code == RejectCode::IdReused => {
                let why = format!("series {} is decided already, by other images; that stands", series.uid);
                Ok(Taken::Broken(Broken { header: None, why, may_pass: false }))
            }
            Err(invalid) => broken(invalid.to_string(), false),
        }
    }

    /// A series that is no whole volume is UNDECIDED, and that is kept before its files are moved. It is named by its
    /// UID: a part of its files is no other scan. Its entry in the list of verdicts.
    async fn decide_broken(&self, ready: &Ready, broken: &Broken) -> Result<Value, String> {
        let mut object = match broken.header.as_deref() {
            None => json!({}),
            Some(ImageHeader { series, attributes, acquired, .. }) => {
                let now = self.agent.clock.now();
                match self.intake.broken(series, &self.origin(ready), attributes, *acquired, now) {
                    Ok(meta) => match self.agent.decide_broken(meta, broken.why.clone()) {
                        Some(admission) => json::row(admission.row().await?.row()),
                        None => return Err("its verdict cannot be read now".into()),
                    },
                    // Nobody's scan has no row.
                    Err(error) => {
                        tracing::warn!(series, %error, "no row");
                        json!({})
                    }
                }
            }
        };
        object["series_uid"] = json!(broken.header.as_ref().map(|header| &header.series));
        object["error"] = json!(broken.why);
        Ok(object)
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

/// What became of the series of some files.
enum Decided {
    /// Each has its outcome.
    All(Sidecar),
    /// One of them is not whole yet, for this reason.
    Part(String),
}

/// What became of a series.
enum Taken {
    Scan(TakenScan),
    Broken(Broken),
}

struct TakenScan {
    admission: Admission,
    series: String,
    files: Vec<String>,
    sha256: Vec<String>,
    notes: Vec<String>,
}

struct Broken {
    why: String,
    /// Whose it is, if its egg is to have a row by it.
    header: Option<Box<ImageHeader>>,
    /// More of its images may come.
    may_pass: bool,
}

impl From<Unusable> for Broken {
    fn from(Unusable { header, error, .. }: Unusable) -> Self {
        Self { why: error.to_string(), header, may_pass: read::may_pass(&error) }
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
