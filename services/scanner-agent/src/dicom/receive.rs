//! The way of an image: read whole, kept on disk, and with the others of its series handed to the agent.
//!
//! An image is answered with success when it is on disk; the last one of its series when the whole scan is in the spool.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::RejectCode;
use ovomesh_api::{Invalid, ScanId, ScanKey};
use ovomesh_imaging::dicom;
use ovomesh_intake::{ImageOrigin, Intake};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::series::{About, Gathered, Image, Limits, Refusal, Table};
use super::staging::Staging;
use super::status::Status;
use crate::agent::{Admission, Agent};

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
    staging: Arc<Staging>,
    table: Mutex<Table>,
    readers: Semaphore,
}

/// An image as it came.
pub struct Incoming {
    /// SOPInstanceUID, as its command says.
    pub instance: String,
    /// How it came.
    pub origin: ImageOrigin,
    /// The DICOM file.
    pub file: Vec<u8>,
}

impl Receiver {
    /// Over the images that are on disk.
    pub fn new(agent: Arc<Agent>, intake: Intake, staging: Staging, limits: Limits) -> Self {
        let (table, readers) = (Mutex::new(Table::new(limits)), Semaphore::new(READERS));
        Self { agent, intake, staging: Arc::new(staging), table, readers }
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
                let incoming =
                    Incoming { instance: image.instance, origin: image.origin, file: image.file.into() };
                let Ok((looked, _)) = self.look(incoming, image.at).await else { continue };
                scan = self.key(&series, &looked.about);
                let whole = self.table.lock().add(Image { bytes, ..looked });
                if let Some(whole) = whole {
                    self.hand_on(whole).await;
                }
            }
            self.aborted(&series);
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
            Ok(true) => {}
            // It is on disk already; whoever sends it again has lost the answer, and its series lives on.
            Ok(false) => {
                let whole = self.table.lock().add(image);
                return (self.done(whole).await, series);
            }
            Err(refusal @ Refusal::Busy(_)) => return (Status::out_of_resources(refusal.to_string()), None),
            Err(refusal @ Refusal::TooLarge(..)) => {
                let why = refusal.to_string();
                self.table.lock().refuse(&image.series, &image.instance, &why, now);
                return (Status::cannot_understand(why), series);
            }
        }
        let staging = self.staging.clone();
        let (name, instance, origin) =
            (image.series.clone(), image.instance.clone(), image.about.origin.clone());
        let kept = blocking(move || staging.append(&name, &instance, &origin, file)).await;
        if let Err(error) = kept.and_then(|kept| kept) {
            tracing::error!(series = image.series, %error, "an image was not kept");
            return (Status::out_of_resources(format!("not kept: {error}; send it later")), series);
        }
        let whole = self.table.lock().add(image);
        (self.done(whole).await, series)
    }

    /// An association was released that had sent images of a series.
    pub async fn released(&self, series: &str) {
        let whole = self.table.lock().released(series);
        self.done(whole).await;
    }

    /// An association broke that had sent images of a series.
    pub fn aborted(&self, series: &str) {
        self.table.lock().aborted(series, Instant::now());
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
        let Incoming { instance, origin, file } = incoming;
        let wanted = self.intake.wanted().to_vec();
        let name = instance.clone();
        let _reader = self.readers.acquire().await;
        let looked = blocking(move || (dicom::inspect(&name, &file, &wanted), file)).await;
        let (looked, file) = looked.map_err(|error| (Status::out_of_resources(error.to_string()), None))?;
        let looked = match looked {
            Ok(looked) => looked,
            Err(unusable) => {
                tracing::warn!(series = unusable.series, error = %unusable.error, "an image cannot be used");
                metrics::counter!("ovomesh_agent_images_refused_total").increment(1);
                let why = unusable.error.to_string();
                if let Some(series) = &unusable.series {
                    self.table.lock().refuse(series, &instance, &why, at);
                }
                // Its name is known to whoever sent it.
                let why = why.strip_prefix(&format!("{instance}: ")).unwrap_or(&why).to_owned();
                return Err((Status::cannot_understand(why), unusable.series));
            }
        };
        if looked.series.len() > UID_BYTES || ScanId::parse(&looked.series).is_err() {
            return Err((
                Status::cannot_understand("SeriesInstanceUID: 1 to 64 digits and dots are possible"),
                None,
            ));
        }
        if !looked.instance.is_empty() && looked.instance != instance {
            let why = format!("it is instance {}, not the one announced", looked.instance);
            return Err((Status::mismatch(why), None));
        }
        if let Err(error) = self.intake.check(&origin, &looked.attributes) {
            tracing::warn!(series = looked.series, %error, "an image of no line");
            return Err((Status::not_authorized(error.to_string()), None));
        }
        let about = About { origin, attributes: looked.attributes, acquired: looked.acquired };
        let (series, expected, bytes) = (looked.series, looked.expected, file.len() as u64);
        Ok((Image { series, instance, bytes, expected, about, at }, file))
    }

    /// Hands a series to the agent and lets its images go when that has it. Whatever happens in between, a series that is
    /// handed on again is the same scan.
    pub async fn hand_on(&self, gathered: Gathered) -> Status {
        // Back in the table unless the agent has it, also when this panics or is given up.
        let mut handing = Handing { receiver: self, gathered, is_done: false };
        match self.handed_on(&handing.gathered).await {
            Ok(status) => {
                self.staging.remove(&handing.gathered.series);
                handing.is_done = true;
                status
            }
            Err(why) => {
                let series = &handing.gathered.series;
                tracing::error!(series, why, "a series waits on disk, and is tried again");
                Status::out_of_resources(why)
            }
        }
    }

    async fn handed_on(&self, gathered: &Gathered) -> Result<Status, String> {
        let (admission, status) = match &gathered.missing {
            Some(why) => self.decide_broken(gathered, why.clone())?,
            None => self.scan(gathered).await?,
        };
        if let Some(mut admission) = admission {
            admission.kept().await?;
        }
        Ok(status)
    }

    /// The scan of a whole series. The error is one that may pass.
    async fn scan(&self, gathered: &Gathered) -> Result<(Option<Admission>, Status), String> {
        let (staging, name) = (self.staging.clone(), gathered.series.clone());
        let wanted = self.intake.wanted().to_vec();
        let read = blocking(move || {
            let images = staging.read(&name)?;
            let files = images.iter().map(|image| (image.instance.as_str(), &image.file[..]));
            io::Result::Ok(dicom::read(files, &wanted).pop())
        });
        let read = read.await.and_then(|read| read).map_err(|error| error.to_string())?;
        let series = match read {
            Some(Ok(series)) => series,
            Some(Err(error)) => return self.decide_broken(gathered, error.to_string()),
            // Another one has handed it on in between.
            None => return Ok((None, Status::SUCCESS)),
        };
        let scan = self.intake.scan(gathered.series.clone(), &gathered.about.origin, &series);
        let (scan, notes) = match scan {
            Ok(scan) => scan,
            Err(error) => return self.decide_broken(gathered, error.to_string()),
        };
        if !notes.is_empty() {
            tracing::info!(series = gathered.series, ?notes, "taken with remarks");
        }
        match self.agent.take(scan, &[], self.agent.settings.max_volume_bytes, gathered.at) {
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

/// A series on its way to the agent.
struct Handing<'a> {
    receiver: &'a Receiver,
    gathered: Gathered,
    is_done: bool,
}

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.receiver.table.lock().put_back(self.gathered.clone(), Instant::now() + TRY_AGAIN);
        }
    }
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

    #[tokio::test]
    async fn a_series_whose_handing_on_is_given_up_is_handed_on_again() {
        let folder = tempfile::tempdir().unwrap();
        let limits = ovomesh_spool::Limits { scan_bytes: 1 << 20, verdict_bytes: 1 << 20 };
        let (spool, left) = Spool::open(folder.path(), limits).unwrap();
        let settings = Settings {
            lines: LineBook::default(),
            max_volume_bytes: 1 << 20,
            failed: folder.path().join("failed"),
        };
        let agent = Agent::new(settings, spool, left, Lifecycle::new());
        let staging = Staging::open(&folder.path().join("dicom"), 1 << 20).unwrap();
        let intake = Intake::new(LineBook::default()).unwrap();
        let limits = Limits { series: 1, images: 1, bytes: 1 << 20, idle: TRY_AGAIN, again: TRY_AGAIN };
        let receiver = Receiver::new(agent, intake, staging, limits);
        let (about, at) = (About::default(), Instant::now());
        let (series, instance) = ("1.2".to_owned(), "1.2.3".to_owned());
        let image = Image { series, instance, bytes: 1, expected: Some(1), about, at };
        let whole = receiver.table.lock().add(image).unwrap();
        assert!(!receiver.table.lock().has("1.2"));
        // Given up while it reads, as when its task panics.
        assert!(receiver.hand_on(whole).now_or_never().is_none());
        assert!(receiver.table.lock().has("1.2"));
    }
}
