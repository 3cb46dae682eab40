//! Images, whichever way they come.

use std::sync::Arc;
use std::time::Duration;

use ovomesh_intake::Intake;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::agent::Agent;
use crate::{dicom, folder};

/// What comes slowly is waited for this many times its longest pause.
const PAUSES: u32 = 2;

/// How long nothing more may come of something that comes in parts until it is whole: as `usual`, or longer when there
/// were longer pauses in it, but not for longer than `patience` for their sake.
pub fn quiet_after(longest_pause: Duration, usual: Duration, patience: Duration) -> Duration {
    usual.max((PAUSES * longest_pause).min(patience))
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
    let provider = match (&intake, &config.dicom) {
        (Some(intake), Some(dicom)) => {
            Some(dicom::Provider::open(dicom, &config.spool, intake.clone(), agent.clone()).await?)
        }
        _ => None,
    };
    let rules = config.folders.clone();
    Ok(async move {
        let by_dicom = async {
            match provider {
                Some(provider) => provider.run(drain.clone()).await,
                None => Ok(()),
            }
        };
        let as_files = async {
            if let Some(intake) = intake {
                folder::run(&rules, intake, agent, folders, drain.clone()).await?;
            }
            Ok(())
        };
        tokio::try_join!(by_dicom, as_files).map(drop)
    })
}
