//! Images, whichever way they come.

use std::sync::Arc;
use std::time::Duration;

use dicom_core::Tag;
use ovomesh_imaging::dicom::{Limits, Reader};
use ovomesh_intake::Intake;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::agent::Agent;
use crate::decoder::Decoder;
use crate::{dicom, folder};

/// Room for what is made of the headers of files: they are small, but each value of one takes more than its bytes.
const HEADERS_BYTES: u64 = 8 << 20;
/// Volumes in the images of one series: a second echo.
const VOLUMES: usize = 2;
/// Samples are in memory as those of an image, of a volume and of a scan.
const COPIES: u64 = 3;

/// What comes slowly is waited for this many times its longest pause.
const PAUSES: u32 = 2;

/// How long nothing more may come of something that comes in parts until it is whole: as `usual`, or longer when there
/// were longer pauses in it, but not for longer than `patience` for their sake.
pub fn quiet_after(longest_pause: Duration, usual: Duration, patience: Duration) -> Duration {
    usual.max((PAUSES * longest_pause).min(patience))
}

/// How images are read, on threads that may wait.
#[derive(Clone)]
pub struct Images {
    wanted: Arc<[Tag]>,
    /// Of what is read together.
    pub limits: Limits,
    decoder: Decoder,
}

impl Images {
    /// Of what is read together at most this many volumes.
    pub fn new(intake: &Intake, max_volume_bytes: u64, volumes: usize, decoder: Decoder) -> Self {
        let volume_bytes = usize::try_from(max_volume_bytes).unwrap_or(usize::MAX / 16);
        Self { wanted: intake.wanted().into(), limits: Limits { volume_bytes, volumes }, decoder }
    }

    /// The same for another number of volumes.
    #[must_use]
    pub fn of_volumes(self, volumes: usize) -> Self {
        Self { limits: Limits { volumes, ..self.limits }, ..self }
    }

    /// A reader. It must be used on a thread that may wait.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.wanted).within(self.limits).decoding_by(&self.decoder)
    }
}

/// The memory that it takes to read files of this many bytes with samples of this many.
pub fn room_to_read(file_bytes: u64, sample_bytes: u64) -> u64 {
    file_bytes + COPIES * sample_bytes + HEADERS_BYTES
}

/// Checks what is configured and opens it. The future takes images until the drain; it ends only with an error, or then.
pub async fn run(
    config: &Config,
    agent: Arc<Agent>,
    drain: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    let folders = folder::folders(&config.folders, &agent);
    // Whoever takes no images need not be able to tell whose they are.
    let intake = if config.dicom.is_some() || !folders.is_empty() {
        Some(Intake::new(agent.settings.lines.clone())?)
    } else {
        None
    };
    let decoder = Decoder::default();
    let images =
        |intake: &Intake| Images::new(intake, agent.settings.max_volume_bytes, VOLUMES, decoder.clone());
    let provider = match (&intake, &config.dicom) {
        (Some(intake), Some(dicom)) => {
            let reading = images(intake);
            Some(dicom::Provider::open(dicom, &config.spool, intake.clone(), reading, agent.clone()).await?)
        }
        _ => None,
    };
    let reading = intake.as_ref().map(images);
    let rules = config.folders.clone();
    Ok(async move {
        let by_dicom = async {
            match provider {
                Some(provider) => provider.run(drain.clone()).await,
                None => Ok(()),
            }
        };
        let as_files = async {
            if let Some((intake, reading)) = intake.zip(reading) {
                folder::run(&rules, intake, reading, agent, folders, drain.clone()).await?;
            }
            Ok(())
        };
        tokio::try_join!(by_dicom, as_files).map(drop)
    })
}
