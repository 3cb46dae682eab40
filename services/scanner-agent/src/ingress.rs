//! Images, whichever way they come.

use std::sync::Arc;

use ovomesh_intake::Intake;
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::desk::Desk;
use crate::dicom;

/// Checks what is configured and opens it. The future takes images until the drain; it ends only with an error, or then.
pub async fn run(
    args: &Args,
    desk: Arc<Desk>,
    drain: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    let provider = if args.dicom.dicom_listen.is_some() {
        let intake = Intake::new(desk.settings.lines.clone())?;
        dicom::Provider::open(&args.dicom, &args.spool, intake, desk).await?
    } else {
        None
    };
    Ok(async move {
        if let Some(provider) = provider {
            provider.run(drain).await?;
        }
        Ok(())
    })
}
