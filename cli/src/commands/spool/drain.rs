//! `ovomesh spool drain`: stores what a spool still holds, when its agent will not start again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ovomesh_api::pb::gateway::v1::connect_request::Message as Up;
use ovomesh_api::pb::gateway::v1::connect_response::Message as Down;
use ovomesh_api::pb::gateway::v1::gateway_service_client::GatewayServiceClient;
use ovomesh_api::pb::gateway::v1::{ConnectRequest, Hello};
use ovomesh_api::time::Given;
use ovomesh_api::{
    LineBook, LineConfig, RecordedRow, Row, Scan, ScanKey, Settled, Spooled, Verdict, pb, thousands,
};
use ovomesh_bootstrap::configuration;
use ovomesh_intake::Intake;
use ovomesh_mesh::Backoff;
use ovomesh_spool::{Entry, Limits, Released, Spool, SpoolContents};
use prost::Message as _;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::images::{self, Series};
use crate::exit::Failure;
use crate::terminal::Progress;
use crate::{Global, Out, client};

/// A gateway that stores nothing for this long is no help.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows on their way, however many the gateway would take.
const IN_FLIGHT: usize = 256;

/// What is left of a spool, and what became of the rest.
struct Drain<'a> {
    spool: Spool,
    waiting: VecDeque<Released>,
    /// Without an answer, by how the answer will name the scan: its site (none from a gateway of version 0.1) and its id.
    sent: HashMap<(String, String), Released>,
    done: Done,
    progress: Progress,
    global: &'a Global,
}

/// What became of a spool.
#[derive(Debug, Default)]
struct Done {
    stored: u64,
    /// Of these, UNDECIDED because they had no verdict.
    undecided: u64,
    refused: u64,
    unreadable: u64,
    /// Whose verdicts could not be written down, so that they could not be stored.
    unwritten: u64,
    /// Series of images whose line is not known.
    images: u64,
}

/// Why a scan has no verdict yet.
#[derive(Debug, thiserror::Error)]
enum Undecidable {
    #[error("the record cannot be read: {0}")]
    Unreadable(String),
    #[error("the verdict cannot be written to the spool: {0}")]
    Unwritten(#[from] ovomesh_spool::Error),
}

pub(super) async fn run(
    folder: &Path,
    lines: Option<&Path>,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<ExitCode> {
    // Whatever its agent was allowed: a verdict must be written down before it is stored, however full the spool is.
    let limits = Limits { scan_bytes: u64::MAX / 2, verdict_bytes: u64::MAX / 2 };
    anyhow::ensure!(folder.is_dir(), "there is no spool {}", folder.display());
    let (spool, left) = Spool::open(folder, limits).context("is the agent running? Stop it first")?;
    let mut done = Done::default();
    let mut waiting = decide_images(folder, lines, &spool, &left, &mut done, out).await?;
    waiting.extend(left.unsettled);
    for entry in &left.undecided {
        match decide(&spool, entry).await {
            Ok(released) => {
                waiting.push_back(released);
                done.undecided += 1;
            }
            Err(error) => {
                match error {
                    Undecidable::Unreadable(_) => done.unreadable += 1,
                    Undecidable::Unwritten(_) => done.unwritten += 1,
                }
                out.remark(format!("{}: {error}", entry.id))?;
            }
        }
    }
    let progress = Progress::new("verdicts stored", waiting.len() as u64);
    let mut drain = Drain { spool, waiting, sent: HashMap::new(), done, progress, global };
    drain.run(out).await?;
    drain.progress.end();
    report(&drain.done, out)?;
    Ok(if drain.done.left() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Verdicts for incomplete series that are not whole.
async fn decide_images(
    folder: &Path,
    lines: Option<&Path>,
    spool: &Spool,
    left: &SpoolContents,
    done: &mut Done,
    out: &mut Out,
) -> anyhow::Result<VecDeque<Released>> {
    let folder = folder.join(ovomesh_spool::images::FOLDER);
    let series = ovomesh_spool::images::series(&folder)
        .with_context(|| format!("listing the images in {}", folder.display()))?;
    let mut released = VecDeque::new();
    if series.is_empty() {
        return Ok(released);
    }
    if lines.is_none() {
        done.images = series.len() as u64;
        out.remark(format!(
            "{} holds {} incomplete series, and their line is not known: run this again with --lines and the agent's \
             lines file",
            folder.display(),
            series.len()
        ))?;
        return Ok(released);
    }
    let intake = Intake::new(configuration(lines, LineBook::from_yaml)?)?;
    let verdicts = left.unsettled.iter().chain(&left.settled).map(|released| &released.entry);
    // A series' UID is unique in the world: its site is not asked. Agents of version 0.1 wrote the UID alone.
    let uid = |entry: &Entry| {
        ScanKey::from_record(&entry.id).map_or(entry.id.clone(), |key| key.scan_id.to_string())
    };
    let known: HashSet<String> = verdicts.chain(&left.undecided).map(uid).collect();
    for id in series {
        match images::decide(spool, &folder, &id, &known, &intake).await {
            Ok(Series::Undecided(one)) => {
                released.push_back(one);
                done.undecided += 1;
            }
            Ok(Series::Done) => {}
            Err(error) => {
                done.images += 1;
                out.remark(format!("series {id}: {error:#}; the images stay in {}", folder.display()))?;
            }
        }
    }
    Ok(released)
}

/// The sorter has long done without a verdict: it is UNDECIDED, as its agent would have said.
async fn decide(spool: &Spool, entry: &Entry) -> Result<Released, Undecidable> {
    let unreadable = |error: &dyn std::fmt::Display| Undecidable::Unreadable(error.to_string());
    let bytes = spool.scan(entry).map_err(|error| unreadable(&error))?;
    let row = undecided_row(bytes).map_err(|error| unreadable(&error))?;
    let released = spool.release(&entry.id, row.encode()).await?;
    spool.decided(entry);
    Ok(released)
}

/// What is stored of a scan that nobody decided.
fn undecided_row(spooled: bytes::Bytes) -> anyhow::Result<Row> {
    let spooled = Spooled::parse(pb::spool::v1::Spooled::decode(spooled)?)?;
    let Scan { mut meta, .. } = Scan::parse(spooled.scan, u64::MAX, spooled.received_at)?;
    // Its agent had heard of no gateway's clock: nobody can vouch for its times.
    meta.clock_suspect |= spooled.clock_correction_us.is_none() || spooled.given == Given::Nonsense;
    // The gateway sets the fields of the line's configuration.
    Ok(meta.row(&LineConfig::default(), Verdict::timed_out(), None))
}

impl Done {
    /// What is still in the spool.
    fn left(&self) -> u64 {
        self.refused + self.unreadable + self.unwritten + self.images
    }
}

impl Drain<'_> {
    /// Stream after stream, until all is stored.
    async fn run(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let (mut backoff, mut last) = (Backoff::default(), Instant::now());
        while !self.waiting.is_empty() {
            let before = self.waiting.len();
            let ended = self.send(out).await;
            self.waiting.extend(self.sent.drain().map(|(_, released)| released));
            if self.waiting.len() < before {
                last = Instant::now();
                backoff.reset();
            }
            if let Err(error) = ended {
                if last.elapsed() >= PATIENCE {
                    let (patience, left) = (PATIENCE.as_secs(), thousands(self.waiting.len() as u64));
                    return Err(error.context(format!(
                        "nothing was stored for {patience} s; {left} verdicts are left in the spool: run this again"
                    )));
                }
                backoff.wait().await;
            }
        }
        Ok(())
    }

    /// Sends rows over one stream until all are stored, or it breaks.
    async fn send(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let gateway = &self.global.gateway;
        let channel = client::connect(self.global, gateway).await?;
        let (up, messages) = mpsc::channel(IN_FLIGHT + 1);
        let hello = Hello { agent: "ovomesh-spool-drain".into(), protocol_version: 1, ..Hello::default() };
        up.send(ConnectRequest { message: Some(Up::Hello(hello)) }).await?;
        let refused = |status| client::refused(&client::name(gateway), &status);
        let stream = GatewayServiceClient::new(channel).connect(ReceiverStream::new(messages)).await;
        let mut down = stream.map_err(refused)?.into_inner();
        let (mut credit, mut names_sites) = (None, false);
        loop {
            while self.sent.len() < credit.unwrap_or(0)
                && let Some(released) = self.waiting.pop_front()
            {
                let record = self.spool.verdict(&released).map_err(|error| error.to_string());
                match record.and_then(|record| RecordedRow::read(&record)) {
                    Ok(recorded) => {
                        let ScanKey { site, scan_id } = recorded.row().key();
                        let site = if names_sites { site.to_string() } else { String::new() };
                        let named = (site, scan_id.to_string());
                        if self.sent.contains_key(&named) {
                            // Its answer could not be distinguished from the other one's.
                            self.waiting.push_front(released);
                            break;
                        }
                        self.sent.insert(named, released);
                        let settled = Up::Settled(Settled { row: recorded.bytes().clone() });
                        up.send(ConnectRequest { message: Some(settled) }).await?;
                    }
                    Err(error) => {
                        self.done.unreadable += 1;
                        out.remark(format!("{}: cannot be read: {error}", released.entry.id))?;
                    }
                }
            }
            if credit.is_some() && self.sent.is_empty() && self.waiting.is_empty() {
                return Ok(());
            }
            let response = tokio::time::timeout(PATIENCE, down.message()).await;
            let response = response
                .map_err(|_| Failure::NoServer(format!("{} does not answer", client::name(gateway))))?;
            let response = response.map_err(refused)?.context("the gateway ended the stream")?;
            let site = response.site;
            match response.message {
                Some(Down::Welcome(welcome)) => {
                    credit = Some(IN_FLIGHT.min(welcome.settled_credit as usize));
                    names_sites = welcome.names_sites;
                }
                Some(Down::Committed(committed)) => self.stored(&(site, committed.scan_id)).await?,
                Some(Down::Refused(refused)) => {
                    self.sent.remove(&(site, refused.scan_id.clone()));
                    self.done.refused += 1;
                    out.remark(format!(
                        "{}: the store refused it permanently: {}",
                        refused.scan_id, refused.message
                    ))?;
                }
                Some(Down::Rejected(rejected)) => anyhow::bail!("{}", rejected.message),
                _ => {}
            }
        }
    }

    async fn stored(&mut self, named: &(String, String)) -> anyhow::Result<()> {
        if let Some(mut released) = self.sent.remove(named) {
            self.spool.committed(&mut released).await?;
            self.done.stored += 1;
            self.progress.add(1);
        }
        Ok(())
    }
}

fn report(done: &Done, out: &mut Out) -> anyhow::Result<()> {
    let Done { stored, undecided, refused, unreadable, unwritten, images } = done;
    if out.is_json() {
        return out.json(&json!({
            "stored": stored, "undecided": undecided, "refused": refused, "unreadable": unreadable,
            "unwritten": unwritten, "images": images,
        }));
    }
    let mut text = format!("{} verdicts stored", thousands(*stored));
    if *undecided > 0 {
        text +=
            &format!(", {} of them UNDECIDED because their scans were never decided", thousands(*undecided));
    }
    let left = [
        (*refused, "refused"),
        (*unreadable, "unreadable"),
        (*unwritten, "that could not be written (is the disk full?)"),
        (*images, "incomplete series"),
    ];
    let left: Vec<_> =
        left.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", thousands(*n))).collect();
    if !left.is_empty() {
        text += &format!("; still in the spool: {}", left.join(", "));
    }
    out.line(text)
}

#[cfg(test)]
mod tests {
    use ovomesh_api::volume::smallest;

    use super::*;
    use crate::Format;

    #[tokio::test]
    async fn a_spool_without_anything_to_store_needs_no_gateway_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let cli =
            crate::command().try_get_matches_from(["ovomesh", "status", "--gateway", "http://127.0.0.1:9"]);
        let global = <crate::Cli as clap::FromArgMatches>::from_arg_matches(&cli.unwrap()).unwrap().global;
        let mut out = Out::stdout(Format::Json);
        let limits = Limits { scan_bytes: 1 << 20, verdict_bytes: 1 << 20 };
        drop(Spool::open(folder.path(), limits).unwrap());
        assert_eq!(run(folder.path(), None, &global, &mut out).await.unwrap(), ExitCode::SUCCESS);
        let missing = run(&folder.path().join("nowhere"), None, &global, &mut out).await.unwrap_err();
        assert!(missing.to_string().contains("there is no spool"), "{missing:#}");
        let held = Spool::open(folder.path(), limits).unwrap();
        let in_use = run(folder.path(), None, &global, &mut out).await.unwrap_err();
        assert!(format!("{in_use:#}").contains("Stop it first"), "{in_use:#}");
        drop(held);
    }

    #[test]
    fn times_that_nobody_vouches_for_are_marked() {
        let place =
            ovomesh_api::pb::scan::v1::Place { site: "s".into(), line: "l".into(), ..Default::default() };
        let at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
        let scan = ovomesh_api::pb::scan::v1::Scan {
            scan_id: "a".into(),
            place: Some(place),
            volume: Some(smallest(0)),
            acquired_at: at,
            ..Default::default()
        };
        let row = |received_at, clock_correction_us| {
            let scan = Some(scan.clone());
            let spooled =
                pb::spool::v1::Spooled { scan, received_at, clock_correction_us, ..Default::default() };
            undecided_row(spooled.encode_to_vec().into())
        };
        assert!(row(at, None).unwrap().meta.clock_suspect, "its agent had heard of no gateway's clock");
        assert!(!row(at, Some(7)).unwrap().meta.clock_suspect);
        let replaced = pb::spool::v1::Spooled {
            scan: Some(scan.clone()),
            received_at: at,
            clock_correction_us: Some(7),
            acquired_here: true,
            acquired_at_replaced: true,
            ..Default::default()
        };
        let replaced = undecided_row(replaced.encode_to_vec().into()).unwrap();
        assert!(replaced.meta.clock_suspect, "its scanner gave an impossible time");
        let damaged = row(None, Some(7)).unwrap_err().to_string();
        assert!(damaged.contains("received_at is missing"), "it is not of 1970: {damaged}");
    }
}
