//! Images by DICOM: a C-STORE and C-ECHO provider for MR images. `docs/edge.md` says how a scanner is connected.
//!
//! [`association`] serves one sender; [`message`] and [`command`] are what is said; [`receive`] is the way of an image,
//! which waits in [`staging`] until [`series`] knows that its series is whole.

mod association;
mod command;
mod file;
mod message;
mod receive;
mod series;
mod staging;
mod status;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dicom_ul::pdu::{
    AssociationRJ, AssociationRJResult, AssociationRJServiceProviderPresentationReason as Reason,
    AssociationRJSource, Pdu, write_pdu,
};
use ovomesh_intake::Intake;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::association::Access;
use self::receive::Receiver;
use self::series::Limits;
use self::staging::Staging;
use crate::agent::Agent;
use crate::images::Images;

/// Series that are being put together: eight senders, and many that were left half.
const SERIES: usize = 64;
/// Images of a series: several echoes of the deepest volume.
const IMAGES: usize = 2_048;
/// How often it is looked whether a series has waited long enough.
const LOOK: Duration = Duration::from_millis(100);
/// A sender that is refused reads that within this time.
const REFUSAL: Duration = Duration::from_secs(2);

/// Where images are taken by DICOM, and how many.
#[derive(Clone, Debug)]
pub struct DicomConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// AE title that it answers to, beside those that lines are called by.
    pub ae: String,
    /// Associations at once; one more is refused as congestion.
    pub associations: usize,
    /// A series that states no number of images is whole after this time without one.
    pub idle: Duration,
    /// A series that is not whole may be completed for this time.
    pub again: Duration,
    /// Most that series which are not whole yet may take on disk, in bytes.
    pub staging_bytes: u64,
}

impl DicomConfig {
    /// At this address, with the defaults of the flags.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            ae: "OVOMESH".into(),
            associations: 8,
            idle: Duration::from_secs(1),
            again: Duration::from_secs(10),
            staging_bytes: 256 << 20,
        }
    }
}

/// A provider that listens.
pub struct Provider {
    listener: TcpListener,
    receiver: Arc<Receiver>,
    access: Access,
    associations: usize,
    image_bytes: usize,
}

impl Provider {
    /// Listens, with the images that were left in `spool`.
    pub async fn open(
        config: &DicomConfig,
        spool: &Path,
        intake: Intake,
        images: Images,
        agent: Arc<Agent>,
    ) -> anyhow::Result<Self> {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("--dicom-listen {listen}"))?;
        let folder = spool.join(ovomesh_spool::images::FOLDER);
        let staging = Staging::open(&folder, config.staging_bytes)
            .with_context(|| format!("opening {}", folder.display()))?;
        let image_bytes = images.limits.file_bytes();
        let limits = Limits {
            series: SERIES,
            images: IMAGES,
            bytes: images.limits.samples_bytes() as u64,
            idle: config.idle,
            again: config.again,
        };
        let lines = Arc::new(intake.book().clone());
        let own = std::iter::once(config.ae.as_str()).chain(lines.called_aes()).map(str::to_owned).collect();
        let access = Access { own, lines };
        tracing::info!(address = %listener.local_addr()?, own = ?access.own, "taking images by DICOM");
        let receiver = Arc::new(Receiver::new(agent, intake, images, staging, limits));
        Ok(Self { listener, receiver, access, associations: config.associations, image_bytes })
    }

    /// Serves until the drain.
    pub async fn run(self, drain: CancellationToken) -> anyhow::Result<()> {
        self.receiver.resume().await?;
        let (mut associations, mut handing, mut refusing) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) if associations.len() < self.associations => {
                        let (access, receiver) = (self.access.clone(), self.receiver.clone());
                        let (most, drain) = (self.image_bytes, drain.clone());
                        associations.spawn(async move {
                            association::serve(socket, access, &receiver, most, drain).await;
                        });
                    }
                    Ok((socket, peer)) => {
                        tracing::warn!(%peer, limit = self.associations, "refused: as many associations as there may be");
                        // Whoever floods is cut off without a word.
                        if refusing.len() < self.associations {
                            refusing.spawn(tokio::time::timeout(REFUSAL, refuse(socket)));
                        }
                    }
                    // Out of sockets: there may be one when an association ends.
                    Err(error) => {
                        tracing::error!(%error, "cannot accept");
                        tokio::time::sleep(LOOK).await;
                    }
                },
                Some(_) = associations.join_next(), if !associations.is_empty() => {}
                Some(_) = handing.join_next(), if !handing.is_empty() => {}
                Some(_) = refusing.join_next(), if !refusing.is_empty() => {}
                _ = look.tick() => {
                    for series in self.receiver.due() {
                        let receiver = self.receiver.clone();
                        handing.spawn(async move { receiver.hand_on(series).await });
                    }
                    let (series, (bytes, _)) = self.receiver.pending();
                    metrics::gauge!("ovomesh_agent_dicom_series").set(series as f64);
                    metrics::gauge!("ovomesh_agent_dicom_staged_bytes").set(bytes as f64);
                }
            }
        }
        // What is on disk goes on after a restart.
        while associations.join_next().await.is_some() {}
        Ok(())
    }
}

/// Answers an association request with temporary congestion (PS3.8 9.3.4), so that the sender tries again.
async fn refuse(mut socket: TcpStream) -> std::io::Result<()> {
    // What is asked for does not matter, but must be read before it can be answered.
    socket.readable().await?;
    let association_rj = AssociationRJ {
        result: AssociationRJResult::Transient,
        source: AssociationRJSource::ServiceProviderPresentation(Reason::TemporaryCongestion),
    };
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationRJ(association_rj)).map_err(std::io::Error::other)?;
    let mut asked = [0; 4096];
    // Left unread, it would reset the connection before the answer arrives.
    let _ = socket.try_read(&mut asked);
    socket.write_all(&bytes).await?;
    socket.shutdown().await?;
    while !matches!(socket.readable().await.and_then(|()| socket.try_read(&mut asked)), Ok(0)) {}
    Ok(())
}
