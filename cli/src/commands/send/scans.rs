//! From files to scans, on a thread of its own: reading and unpacking is work for a core.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use ovomesh_api::intake::{Axes, Zone};
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::pb::scanner::v1 as scanner;
use ovomesh_api::{EggId, Line, Site, time};
use ovomesh_imaging::Error;
use ovomesh_imaging::dicom::{self, Series, Unusable};
use ovomesh_intake::{acquired_at, volume, wire};
use tokio::sync::mpsc;

/// Scans that may wait to be sent: enough that reading and sending overlap.
const AHEAD: usize = 4;

/// What a scan needs that its files do not have.
#[derive(Clone, Debug)]
pub(crate) struct ScanSettings {
    pub(crate) site: Site,
    pub(crate) line: Line,
    pub(crate) batch: String,
    pub(crate) budget: Option<Duration>,
    pub(crate) purpose: pb::Purpose,
    pub(crate) axes: Axes,
    pub(crate) timezone: Option<Zone>,
}

/// A scan to send, and the files that it was read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    pub(crate) scan: pb::Scan,
    pub(crate) files: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// What was found in some files.
#[derive(Debug)]
pub(crate) enum Found {
    Scan(Box<Item>),
    /// An image, but no scan that could be computed, for this reason.
    Rejected(String),
    /// No image, for this reason.
    Nothing(String),
    /// This many files are done.
    Done(usize),
}

impl ScanSettings {
    pub(crate) fn hello(&self) -> scanner::Hello {
        let line = scanner::Line { site: self.site.to_string(), line: self.line.to_string() };
        crate::scanner::hello("files", format!("{}", std::process::id()), 0, vec![line])
    }

    fn item(&self, series: Series) -> Result<Item, Error> {
        let volume = volume(&series, self.axes, None)?;
        let Series { uid, egg_id, acquired, files, mut notes, .. } = series;
        let egg_id = egg_id.and_then(|id| match EggId::parse(&id) {
            Ok(id) => Some(id.to_string()),
            Err(why) => {
                notes.push(format!("the egg has no name: PatientID {id:?}: {why}"));
                None
            }
        });
        let scan = pb::Scan {
            scan_id: uid,
            egg_id: egg_id.unwrap_or_default(),
            place: Some(pb::Place {
                site: self.site.to_string(),
                line: self.line.to_string(),
                ..Default::default()
            }),
            batch_id: self.batch.clone(),
            acquired_at: acquired_at(acquired, self.timezone.as_ref(), Timestamp::now()),
            budget: self.budget.map(time::budget_to_pb),
            volume: Some(wire(&volume)),
            purpose: self.purpose.into(),
            ..Default::default()
        };
        Ok(Item { scan, files, notes })
    }
}

/// Reads the files folder by folder: those of one folder are in memory together, so that their series can be distinguished.
pub(crate) fn read(
    folders: Vec<Vec<PathBuf>>,
    settings: ScanSettings,
) -> anyhow::Result<mpsc::Receiver<Found>> {
    let (to, found) = mpsc::channel(AHEAD);
    let work = move || {
        let mut seen = HashSet::new();
        for files in folders {
            for result in dicom::read_files(&files, &[]) {
                // The sender has left: nothing more is needed.
                if to.blocking_send(checked(result, &files, &settings, &mut seen)).is_err() {
                    return;
                }
            }
            if to.blocking_send(Found::Done(files.len())).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("reader".into()).spawn(work).context("starting the reader's thread")?;
    Ok(found)
}

fn checked(
    result: Result<Series, Unusable>,
    files: &[PathBuf],
    settings: &ScanSettings,
    seen: &mut HashSet<String>,
) -> Found {
    let duplicate = |series: &Series| {
        Found::Nothing(format!(
            "{}: series {} is also in another folder; keep its files in one folder",
            series.files.first().map_or("", String::as_str),
            series.uid
        ))
    };
    let item = match result {
        Ok(series) if !seen.insert(series.uid.clone()) => return duplicate(&series),
        Ok(series) => settings.item(series),
        Err(unusable) => Err(unusable.error),
    };
    match item {
        Ok(item) => Found::Scan(Box::new(item)),
        Err(error) => {
            // Errors of a series name no file.
            let folder =
                files.first().and_then(|file| file.parent()).unwrap_or(Path::new("")).display().to_string();
            let is_image = !matches!(error, Error::Io { .. } | Error::NotDicom { .. });
            let error = error.to_string();
            let why = if error.starts_with(&folder) { error } else { format!("{folder}: {error}") };
            if is_image { Found::Rejected(why) } else { Found::Nothing(why) }
        }
    }
}
