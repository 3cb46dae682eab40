//! The way of an image: read whole, kept on disk, and with the others of its series handed to the agent.
//!
//! An image is answered with success when it is on disk; the last one of its series when the whole scan is in the spool.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ovomesh_api::intake::Complete;
use ovomesh_api::pb::scan::v1::RejectCode;
use ovomesh_api::{Invalid, ScanId, ScanKey};
use ovomesh_imaging::dicom::{ImageHeader, ImageInfo, Series, most_sample_bytes};
use ovomesh_intake::{ImageOrigin, Intake};
use parking_lot::Mutex;
use scopeguard::ScopeGuard;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::series::{About, AssociationId, Gathered, Image, Limits, Refusal, Standing, Table};
use super::staging::Staging;
use super::status::Status;
use crate::agent::{Admission, Agent};
use crate::images::{Images, room_to_read};
use crate::memory::{Memory, Room};

/// Longest UID (PS3.5 9.1).
const UID_BYTES: usize = 64;
/// Images that are read at once: the conveyor's core is not theirs alone.
const READERS: usize = 2;
/// Pause before a series for which there was no room is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Takes images of all associations.
pub struct Receiver {
    agent: Arc<Agent>,
    intake: Intake,
    images: Images,
    staging: Arc<Staging>,
    table: Mutex<Table>,
    readers: Semaphore,
    /// The last association that was opened.
    newest: AtomicU64,
}

/// An image as it came.
pub struct Incoming {
    /// The association that it came by; none after a restart.
    pub association: Option<AssociationId>,
    /// SOPInstanceUID, as its command says.
    pub instance: String,
    /// How it came.
    pub origin: ImageOrigin,
    /// The DICOM file.
    pub file: Vec<u8>,
}

impl Receiver {
    /// Over the images that are on disk.
    pub fn new(agent: Arc<Agent>, intake: Intake, images: Images, staging: Staging, limits: Limits) -> Self {
        let (table, readers) = (Mutex::new(Table::new(limits)), Semaphore::new(READERS));
        let newest = AtomicU64::new(0);
        Self { agent, intake, images, staging: Arc::new(staging), table, readers, newest }
    }

    /// The memory for what arrives.
    pub fn memory(&self) -> &Memory {
        &self.agent.memory
    }

    /// An association was opened.
    pub fn opened(&self) -> AssociationId {
        self.newest.fetch_add(1, Relaxed) + 1
    }

    /// Takes up what was there when the agent last ended.
    pub async fn resume(&self) -> io::Result<()> {
        for series in self.staging.series()? {
            let (staging, name) = (self.staging.clone(), series.clone());
            let images = blocking(move || staging.read(&name)).await??;
            tracing::info!(series, images = images.len(), "a series goes on that was being put together");
            // Nobody was told that a torn image is kept.
            let is_torn = images.is_empty();
            let mut scan = None;
            for image in images {
                let bytes = image.file.len() as u64;
                let (instance, origin, file) = (image.instance, image.origin, image.file.into());
                let incoming = Incoming { association: None, instance, origin, file };
                let Ok((looked, _)) = self.look(incoming, image.at).await else { continue };
                scan = self.key(&series, &looked.about);
                let whole = self.table.lock().add(Image { bytes, ..looked });
                if let Some(whole) = whole {
                    self.hand_on(whole).await;
                }
            }
            self.aborted(&series, 0);
            if self.table.lock().has(&series) {
                continue;
            }
            if is_torn || scan.is_some_and(|scan| self.agent.known(&scan).is_some()) {
                self.staging.remove(&series);
            } else {
                let failed = &self.agent.settings.failed;
                tracing::error!(series, folder = %failed.display(), "images that can be used no more are set aside");
                self.staging.set_aside(&series, failed)?;
            }
        }
        Ok(())
    }

    /// Takes an image, and says how that ended, and of which series it is.
    pub async fn take(&self, incoming: Incoming) -> (Status, Option<String>) {
        let now = Instant::now();
        let (image, file) = match self.look(incoming, now).await {
            Ok(looked) => looked,
            Err((status, series)) => return (status, series),
        };
        let series = Some(image.series.clone());
        let admitted = self.table.lock().admits(&image);
        match admitted {
            Ok(Standing::New) => {}
            // It is on disk already; whoever sends it again has lost the answer, and its series lives on.
            Ok(Standing::Repeat) => {
                let whole = self.table.lock().add(image);
                return (self.done(whole).await, series);
            }
            Ok(Standing::Decided) => return (Status::SUCCESS, series),
            Ok(Standing::Other) => return (self.other(image, file).await, series),
            Err(refusal @ Refusal::Busy(_)) => return (Status::out_of_resources(refusal.to_string()), None),
            Err(refusal @ Refusal::TooLarge(..)) => {
                let why = refusal.to_string();
                let Image { series: name, instance, about, association, .. } = image;
                self.table.lock().refuse(&name, &instance, &why, Some(about), association, now);
                return (Status::cannot_understand(why), series);
            }
        }
        if let Err(status) = self.keep(&image, file).await {
            return (status, series);
        }
        let whole = self.table.lock().add(image);
        (self.done(whole).await, series)
    }

    /// Another image came under the SOPInstanceUID of one that is there: nobody knows which one is right, so its series has
    /// no verdict. The first such image is kept, so that this is known after a restart too.
    async fn other(&self, image: Image, file: Vec<u8>) -> Status {
        let why = "another image came before with this SOPInstanceUID; give it one of its own";
        let Image { series, instance, .. } = &image;
        tracing::warn!(series, instance, "two images that differ have one SOPInstanceUID");
        metrics::counter!("ovomesh_agent_images_refused_total").increment(1);
        let is_first = {
            let table = self.table.lock();
            table.has(series) && !table.has_conflict(series)
        };
        if is_first {
            if let Err(status) = self.keep(&image, file).await {
                return status;
            }
            let whole = self.table.lock().add(image);
            self.done(whole).await;
        }
        Status::duplicate(why)
    }

    /// Puts an image on disk.
    async fn keep(&self, image: &Image, file: Vec<u8>) -> Result<(), Status> {
        let staging = self.staging.clone();
        let (name, instance, origin) =
            (image.series.clone(), image.instance.clone(), image.about.origin.clone());
        let kept = blocking(move || staging.append(&name, &instance, &origin, file)).await;
        kept.and_then(|kept| kept).map_err(|error| {
            tracing::error!(series = image.series, %error, "an image was not kept");
            Status::out_of_resources(format!("not kept: {error}; send it later"))
        })
    }

    /// An association was released that had sent images of a series.
    pub async fn released(&self, series: &str, association: AssociationId) {
        let whole = self.table.lock().released(series, association, Instant::now());
        self.done(whole).await;
    }

    /// An association broke that had sent images of a series.
    pub fn aborted(&self, series: &str, association: AssociationId) {
        self.table.lock().aborted(series, association, self.newest.load(Relaxed), Instant::now());
    }

    /// Series whose time has come.
    pub fn due(&self) -> Vec<Gathered> {
        self.table.lock().due(Instant::now())
    }

    /// Series that are being put together, and bytes of their images with their limit.
    pub fn pending(&self) -> (usize, (u64, u64)) {
        (self.table.lock().len(), self.staging.bytes())
    }

    async fn done(&self, whole: Option<Gathered>) -> Status {
        match whole {
            Some(whole) => self.hand_on(whole).await,
            None => Status::SUCCESS,
        }
    }

    /// Reads an image whole; gives its file back.
    async fn look(
        &self,
        incoming: Incoming,
        at: Instant,
    ) -> Result<(Image, Vec<u8>), (Status, Option<String>)> {
        let Incoming { association, instance, origin, file } = incoming;
        let name = instance.clone();
        let sample_bytes = most_sample_bytes(&file, self.images.limits);
        let _reader = self.readers.acquire().await;
        let _room = self.memory().working(room_to_read(file.len() as u64, sample_bytes as u64)).await;
        let images = self.images.clone();
        let looked = blocking(move || (images.reader().inspect(&name, &file), file)).await;
        let (looked, file) = looked.map_err(|error| (Status::out_of_resources(error.to_string()), None))?;
        let (series, header) = match &looked {
            Ok(info) => (Some(info.header.series.as_str()), Some(&info.header)),
            Err(unusable) => (unusable.series.as_deref(), unusable.header.as_deref()),
        };
        if series.is_some_and(|series| series.len() > UID_BYTES || ScanId::parse(series).is_err()) {
            let why = "SeriesInstanceUID: 1 to 64 digits and dots are possible";
            return Err((Status::cannot_understand(why), None));
        }
        let complete = header.map(|header| self.check(&instance, &origin, header)).transpose();
        let complete = complete.map_err(|status| (status, None))?.unwrap_or_default();
        match looked {
            Ok(info) => {
                let ImageInfo { header, frames, sample_bytes, expected, acquisition, digest } = info;
                let ImageHeader { series, attributes, acquired, .. } = header;
                let about = About { origin, attributes, acquired };
                let bytes = file.len() as u64;
                let image = Image {
                    series,
                    instance,
                    digest,
                    bytes,
                    sample_bytes: sample_bytes as u64,
                    frames,
                    expected,
                    acquisition,
                    complete,
                    about,
                    association,
                    at,
                };
                Ok((image, file))
            }
            Err(unusable) => {
                tracing::warn!(series = unusable.series, error = %unusable.error, "an image cannot be used");
                metrics::counter!("ovomesh_agent_images_refused_total").increment(1);
                let why = unusable.error.to_string();
                if let Some(series) = &unusable.series {
                    let about = unusable.header.map(|header| {
                        let ImageHeader { attributes, acquired, .. } = *header;
                        About { origin, attributes, acquired }
                    });
                    self.table.lock().refuse(series, &instance, &why, about, association, at);
                }
                // Its name is known to whoever sent it.
                let why = why.strip_prefix(&format!("{instance}: ")).unwrap_or(&why).to_owned();
                Err((Status::cannot_understand(why), unusable.series.map(String::from)))
            }
        }
    }

    /// Checks that an image is the one that was announced, and of a line, which says when its series is whole.
    fn check(&self, instance: &str, origin: &ImageOrigin, header: &ImageHeader) -> Result<Complete, Status> {
        if !header.instance.is_empty() && header.instance != instance {
            return Err(Status::mismatch(format!(
                "it is instance {}, not the one announced",
                header.instance
            )));
        }
        self.intake.complete(origin, &header.attributes).map_err(|error| {
            tracing::warn!(series = header.series, %error, "an image of no line");
            Status::not_authorized(error.to_string())
        })
    }

    /// Hands a series to the agent and lets its images go when that has it. Whatever happens in between, a series that is
    /// handed on again is the same scan.
    pub async fn hand_on(&self, gathered: Gathered) -> Status {
        // Back in the table unless the agent has it, also when this panics or is given up.
        let gathered = scopeguard::guard(gathered, |gathered| {
            self.table.lock().put_back(gathered, Instant::now() + TRY_AGAIN);
        });
        match self.handed_on(&gathered).await {
            Ok(Handed::On(status)) => {
                self.staging.remove(&gathered.series);
                self.table.lock().is_decided(ScopeGuard::into_inner(gathered));
                status
            }
            Ok(Handed::Waits(why)) => {
                tracing::info!(series = gathered.series, why, "no whole volume yet; more images may come");
                self.table.lock().wait_for_more(ScopeGuard::into_inner(gathered), why);
                Status::SUCCESS
            }
            Err(why) => {
                tracing::error!(series = gathered.series, why, "a series waits on disk, and is tried again");
                Status::out_of_resources(why)
            }
        }
    }

    async fn handed_on(&self, gathered: &Gathered) -> Result<Handed, String> {
        let _room = self.memory().working(gathered.room()).await;
        let (admission, status) = match &gathered.missing {
            Some(why) => self.decide_broken(gathered, why.clone())?,
            None => match self.read(gathered).await? {
                Some(Ok(series)) => self.scan(gathered, &series)?,
                Some(Err(why)) if gathered.may_grow => return Ok(Handed::Waits(why)),
                Some(Err(why)) => self.decide_broken(gathered, why)?,
                // Another one has handed it on in between.
                None => (None, Status::SUCCESS),
            },
        };
        if let Some(mut admission) = admission {
            admission.kept().await?;
        }
        Ok(Handed::On(status))
    }

    /// The series of the images on disk, or why they make none; the outer error is one that may pass.
    async fn read(&self, gathered: &Gathered) -> Result<Option<Result<Series, String>>, String> {
        let (staging, name) = (self.staging.clone(), gathered.series.clone());
        let reading = self.images.clone();
        let read = blocking(move || {
            let images = staging.read(&name)?;
            let files = images.iter().map(|image| (image.instance.as_str(), &image.file[..]));
            io::Result::Ok(reading.reader().read(files).pop())
        });
        let read = read.await.and_then(|read| read).map_err(|error| error.to_string())?;
        // The table has counted its images: what they state may be the number of several series.
        let counted = |series| Series { stated: None, ..series };
        Ok(read.map(|read| read.map(counted).map_err(|unusable| unusable.error.to_string())))
    }

    /// The scan of a whole series. The error is one that may pass.
    fn scan(&self, gathered: &Gathered, series: &Series) -> Result<(Option<Admission>, Status), String> {
        let now = self.agent.clock.now();
        let scan = self.intake.scan(gathered.series.clone(), &gathered.about.origin, series, now);
        let (scan, notes) = match scan {
            Ok(scan) => scan,
            Err(error) => return self.decide_broken(gathered, error.to_string()),
        };
        if !notes.is_empty() {
            tracing::info!(series = gathered.series, ?notes, "taken with remarks");
        }
        match self.agent.take(scan, &[], self.agent.settings.max_volume_bytes, gathered.at, Room::default()) {
            Ok(admission) => Ok((Some(admission), Status::SUCCESS)),
            Err(invalid) => self.refused(gathered, &invalid),
        }
    }

    fn refused(&self, gathered: &Gathered, invalid: &Invalid) -> Result<(Option<Admission>, Status), String> {
        match invalid.code {
            RejectCode::Overloaded => Err(invalid.to_string()),
            RejectCode::IdReused => {
                let series = &gathered.series;
                let known = self.key(series, &gathered.about).and_then(|scan| self.agent.known(&scan));
                if known.is_some_and(|known| known.was_broken()) {
                    tracing::warn!(
                        series,
                        "came whole after it was decided for its missing slices; that stands"
                    );
                    return Ok((None, Status::SUCCESS));
                }
                tracing::error!(series, "came again with other images, which were not taken");
                Ok((None, Status::duplicate("this series came before with other images")))
            }
            _ => self.decide_broken(gathered, invalid.to_string()),
        }
    }

    /// The egg of a series that is no volume gets its UNDECIDED.
    fn decide_broken(&self, gathered: &Gathered, why: String) -> Result<(Option<Admission>, Status), String> {
        let Gathered { series, about, .. } = gathered;
        let now = self.agent.clock.now();
        match self.intake.broken(series, &about.origin, &about.attributes, about.acquired, now) {
            Ok(meta) if self.agent.known(&meta.key()).is_some() => {
                tracing::info!(series, why, "images of a series that is decided already; that stands");
                Ok((None, Status::SUCCESS))
            }
            Ok(meta) => {
                tracing::warn!(series, why, "no whole volume: UNDECIDED");
                let status = Status::cannot_understand(why.clone());
                Ok((self.agent.decide_broken(meta, why), status))
            }
            Err(error) => {
                tracing::error!(series, why, %error, "images of no line; they are dropped");
                Ok((None, Status::not_authorized(error.to_string())))
            }
        }
    }

    /// The scan that a series is, when a line takes its images.
    fn key(&self, series: &str, about: &About) -> Option<ScanKey> {
        self.intake.key(series, &about.origin, &about.attributes).ok()
    }
}

/// What became of a series.
enum Handed {
    /// The agent has it, or knew it.
    On(Status),
    /// It is no volume yet.
    Waits(String),
}

/// Work for a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use ovomesh_api::LineBook;
    use ovomesh_mesh::Lifecycle;
    use ovomesh_spool::Spool;

    use super::*;
    use crate::agent::Settings;
    use crate::decoder::Decoder;

    /// One thread for work that may wait, so that a test can hold it.
    #[test]
    fn a_series_whose_handing_on_is_given_up_is_handed_on_again() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_time().build();
        runtime.unwrap().block_on(is_handed_on_again());
    }

    async fn is_handed_on_again() {
        let folder = tempfile::tempdir().unwrap();
        let limits = ovomesh_spool::Limits { scan_bytes: 1 << 20, verdict_bytes: 1 << 20 };
        let (spool, left) = Spool::open(folder.path(), limits).unwrap();
        let settings = Settings {
            lines: LineBook::default(),
            max_volume_bytes: 1 << 20,
            memory_bytes: 32 << 20,
            failed: folder.path().join("failed"),
        };
        let agent = Agent::new(settings, spool, left, Lifecycle::new());
        let staging = Staging::open(&folder.path().join("dicom"), 1 << 20).unwrap();
        let intake = Intake::new(LineBook::default()).unwrap();
        let limits = Limits { series: 1, images: 1, bytes: 1 << 20, idle: TRY_AGAIN, again: TRY_AGAIN };
        let images = Images::new(&intake, 1 << 20, 2, Decoder::default());
        let receiver = Receiver::new(agent, intake, images, staging, limits);
        let (about, at) = (About::default(), Instant::now());
        let (series, instance) = ("1.2".to_owned(), "1.2.3".to_owned());
        let image = Image {
            series,
            instance,
            digest: 1,
            bytes: 1,
            sample_bytes: 1,
            frames: 4,
            expected: Some(1),
            acquisition: None,
            complete: Complete::Count,
            about,
            association: None,
            at,
        };
        let whole = receiver.table.lock().add(image).unwrap();
        assert!(!receiver.table.lock().has("1.2"));
        // Given up while it waits to be read, as when its task panics.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv());
        assert!(receiver.hand_on(whole).now_or_never().is_none());
        assert!(receiver.table.lock().has("1.2"));
        drop(release);
        assert!(holding.await.unwrap().is_err());
    }
}
