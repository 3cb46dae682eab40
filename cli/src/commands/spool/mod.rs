//! `ovomesh spool`: what an agent's spool holds, while no agent has it open.

mod drain;
mod images;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use ovomesh_api::{ScanKey, thousands};
use ovomesh_spool::{Inspected, Lost, State, inspect};
use serde_json::json;

use crate::table::{Column, Field, render};
use crate::{Global, Out};

const EXAMPLES: &str = "\
Examples:
  ovomesh spool ls /var/lib/ovomesh/spool       each scan: undecided, unsettled, settled
  ovomesh spool verify /var/lib/ovomesh/spool   check every record; fails when one is damaged
  ovomesh spool drain DIR --gateway http://mesh:7700   store what is left when the agent cannot
  ovomesh --output json spool ls DIR | jq 'select(.state == \"UNSETTLED\") | .scan_id'

Stop the agent first: only one process can open a spool. ls and verify change nothing. An agent that starts on the spool
continues with undecided and unsettled scans, and cuts off torn records.";

/// What to do with a spool.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// List the scans and their states
    Ls {
        /// The folder that the agent has as --spool
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Store what is left through --gateway, without the agent; undecided scans become UNDECIDED
    Drain {
        /// The folder that the agent had as --spool, or a copy of it
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The agent's lines file (an empty file if it had none). Needed only when the spool holds incomplete series: the
        /// file says which line they belong to, and they become UNDECIDED
        #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
        lines: Option<PathBuf>,
    },
    /// Check every record against its checksum
    Verify {
        /// The folder that the agent has as --spool
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Ls { folder } => {
            let inspected = open(folder)?;
            if out.is_json() {
                for record in &inspected.records {
                    let (site, scan_id) = names(&record.id);
                    out.json(&json!({ "site": site, "scan_id": scan_id, "state": name(record.state), "bytes": record.bytes, "file": record.path }))?;
                }
            } else {
                out.line(table(&inspected, out.colour, out.width))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Drain { folder, lines } => drain::run(folder, lines.as_deref(), global, out).await,
        What::Verify { folder } => {
            let inspected = open(folder)?;
            for lost in &inspected.lost {
                if out.is_json() {
                    let (site, scan_id) = lost.id.as_deref().map(names).unzip();
                    out.json(&json!({ "site": site.flatten(), "scan_id": scan_id, "file": lost.path, "from": lost.at.start, "to": lost.at.end, "torn": lost.is_torn_tail }))?;
                } else {
                    out.line(damage(lost))?;
                }
            }
            out.remark(summary(&inspected))?;
            // A torn tail is no fault: it was never acknowledged.
            let damaged = inspected.lost.iter().any(|lost| !lost.is_torn_tail);
            Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

fn open(folder: &std::path::Path) -> anyhow::Result<Inspected> {
    inspect(folder).with_context(|| format!("reading the spool {}", folder.display()))
}

fn table(inspected: &Inspected, colour: bool, width: Option<usize>) -> String {
    let columns =
        [Column::Text("SCAN"), Column::Text("STATE"), Column::Number("BYTES"), Column::Text("FILE")];
    let rows = inspected.records.iter().map(|record| {
        let file = record.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [
            scan(&record.id).into(),
            name(record.state).into(),
            Field::from(thousands(record.bytes)),
            file.into(),
        ]
    });
    render(&columns, rows, colour, width)
}

fn damage(lost: &Lost) -> String {
    let whose = lost.id.as_deref().map_or_else(|| "a scan whose id is lost too".into(), scan);
    let what =
        if lost.is_torn_tail { "torn while it was written, and never acknowledged" } else { "damaged" };
    format!("{whose}: {what} ({}, bytes {} to {})", lost.path.display(), lost.at.start, lost.at.end)
}

fn summary(inspected: &Inspected) -> String {
    let count = |state| inspected.records.iter().filter(|record| record.state == state).count() as u64;
    let (undecided, unsettled, settled) =
        (count(State::Undecided), count(State::Unsettled), count(State::Settled));
    let torn = inspected.lost.iter().filter(|lost| lost.is_torn_tail).count();
    format!(
        "{} bytes: {} undecided, {} unsettled, {} settled; {} damaged, {torn} torn",
        thousands(inspected.bytes),
        thousands(undecided),
        thousands(unsettled),
        thousands(settled),
        inspected.lost.len() - torn
    )
}

/// Site and id of a record. Agents of version 0.1 wrote the id alone.
fn names(record: &str) -> (Option<String>, String) {
    match ScanKey::from_record(record) {
        Some(ScanKey { site, scan_id }) => (Some(site.to_string()), scan_id.to_string()),
        None => (None, record.to_owned()),
    }
}

/// The scan of a record as it is shown.
fn scan(record: &str) -> String {
    ScanKey::from_record(record).map_or_else(|| record.to_owned(), |key| key.to_string())
}

fn name(state: State) -> &'static str {
    match state {
        State::Undecided => "UNDECIDED",
        State::Unsettled => "UNSETTLED",
        State::Settled => "SETTLED",
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_spool::RecordInfo;

    use super::*;

    #[test]
    fn a_key_has_a_site_unless_an_old_agent_wrote_it() {
        let north = (Some("north".to_owned()), "7".to_owned());
        for record in ["north/7", "north/7/00000000000000ff"] {
            assert_eq!((names(record), scan(record)), (north.clone(), "north/7".to_owned()));
        }
        assert_eq!((names("7"), scan("7")), ((None, "7".to_owned()), "7".to_owned()));
    }

    #[test]
    fn a_spool_reads_like_this() {
        let record = |id: &str, state, bytes| RecordInfo {
            id: id.into(),
            state,
            bytes,
            path: "/s/0000000001.log".into(),
        };
        let lost =
            Lost { path: "/s/0000000002.log".into(), at: 10..40, id: Some("c".into()), is_torn_tail: false };
        let inspected = Inspected {
            records: vec![record("a", State::Undecided, 131_200), record("b", State::Settled, 1_900)],
            lost: vec![lost],
            bytes: 133_500,
        };
        assert_eq!(
            table(&inspected, false, None),
            "\
SCAN  STATE        BYTES  FILE
a     UNDECIDED  131,200  0000000001.log
b     SETTLED      1,900  0000000001.log"
        );
        assert_eq!(damage(&inspected.lost[0]), "c: damaged (/s/0000000002.log, bytes 10 to 40)");
        assert_eq!(
            summary(&inspected),
            "133,500 bytes: 1 undecided, 0 unsettled, 1 settled; 1 damaged, 0 torn"
        );
    }
}
