//! Series of images that are not whole, in a spool whose agent will not start again: each was acknowledged image by image, so
//! its egg gets the verdict that its agent would have given it when no more arrived.

use std::collections::HashSet;
use std::path::Path;

use jiff::Timestamp;
use ovomesh_api::pb::spool::v1::Image;
use ovomesh_api::{LineConfig, Reason, Verdict};
use ovomesh_imaging::dicom;
use ovomesh_intake::{ImageOrigin, Intake};
use ovomesh_spool::{Released, Spool, images};
use prost::Message as _;

pub(super) enum Series {
    /// UNDECIDED, and written down.
    Undecided(Released),
    /// It holds nothing that was acknowledged, or its scan has a verdict or a record of its own; it is removed.
    Done,
}

/// Decides one series of the folder `images`. `known`: scans that the spool holds otherwise.
pub(super) async fn decide(
    spool: &Spool,
    folder: &Path,
    series: &str,
    known: &HashSet<String>,
    intake: &Intake,
) -> anyhow::Result<Series> {
    let read = if known.contains(series) { Vec::new() } else { images::read(folder, series)? };
    if read.is_empty() {
        std::fs::remove_file(images::path(folder, series))?;
        return Ok(Series::Done);
    }
    let mut first = None;
    let mut last_error = None;
    let (mut arrived, mut expected) = (0, None);
    for (instance, record) in read {
        let image = Image::decode(&record[..])?;
        match dicom::inspect(&instance, &image.file, intake.wanted()) {
            Ok(info) => {
                arrived += 1;
                expected = expected.max(info.expected);
                first.get_or_insert((image, info));
            }
            Err(unusable) => last_error = Some(unusable.error),
        }
    }
    let Some((image, info)) = first else {
        anyhow::bail!("{}", last_error.map_or_else(|| "no image".into(), |error| error.to_string()));
    };
    let by = ImageOrigin {
        calling_ae: Some(image.calling_ae),
        called_ae: Some(image.called_ae),
        ..ImageOrigin::default()
    };
    let header = &info.header;
    let mut meta = intake.broken(series, &by, &header.attributes, header.acquired, Timestamp::now())?;
    // It arrived earlier, and nothing says when.
    meta.clock_suspect = true;
    let verdict = match expected {
        Some(expected) if arrived >= expected => Verdict::timed_out(),
        _ => Verdict::undecided(Reason::Rejected, &missing(arrived, expected)),
    };
    // The gateway sets the fields of the line's configuration.
    let row = meta.row(&LineConfig::default(), verdict, None);
    let released = spool.release(&row.key().record(rand::random()), row.encode()).await?;
    std::fs::remove_file(images::path(folder, series))?;
    Ok(Series::Undecided(released))
}

fn missing(arrived: usize, expected: Option<usize>) -> String {
    match expected {
        Some(expected) => {
            format!("missing slices: {arrived} of {expected} images arrived before the agent ended")
        }
        None => format!("missing slices: the agent ended after {arrived} images"),
    }
}
