//! `ovomesh simulate`: scanners with phantoms, an open-loop load.
//!
//! [`plan`] fixes what is sent when; [`generate`] makes the scans ahead; [`pace`] says when each is due; a [`scanner`] for
//! each scanner sends them and books the answers in the [`ledger`]; [`live`] and [`report`] show the results.

mod accuracy;
mod content;
mod draws;
mod drive;
mod flags;
mod generate;
mod latency;
mod ledger;
mod live;
mod pace;
mod plan;
mod report;
mod scanner;
mod summary;

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;
use ovomesh_api::pb::scanner::v1::Line;
use ovomesh_phantom::{Class, Library, Scanner, seed_of};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use content::ScanContent;
use draws::Draws;
pub use flags::Args;
pub(crate) use flags::{Anatomy, Size, positive, share, shares};
use generate::Generator;
use ledger::Ledger;
use live::Live;
use report::Report;
use scanner::Run;

use crate::terminal::Progress;
use crate::{Global, Out, client};

pub(crate) async fn run(args: Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let load = args.load()?;
    find_server(&args, global).await?;
    let library = Arc::new(make_library(&args, out)?);
    let plan = Arc::new(load.plan());
    let content = Arc::new(content(&args, &library));
    let scanner = Scanner::with_snr(args.snr);
    let (generator, supplies) =
        Generator::start(plan.clone(), content.clone(), library, scanner, args.scanners, args.at_once())?;
    let run = Arc::new(Run {
        global: global.clone(),
        budget: args.budget(),
        ledger: Mutex::new(Ledger::new(plan.clone(), content.clone())),
        finish: CancellationToken::new(),
        plan,
        content: content.clone(),
    });
    let live = (!args.quiet).then(|| Live::new(out.width));
    let interrupted = drive::drive(&run, supplies, live, out).await?;
    let cost = generator.cost();
    let report = Report::new(args.settings(&content.run), interrupted, &run.ledger(), cost);
    if let Some(file) = &args.report {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    if out.is_json() {
        out.json(&report)?;
    } else {
        out.line(format!("\n{}", summary::text(&report, out.colour, out.width)))?;
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opens and ends a session, so that a missing server is reported before the phantoms are made, which may take long.
async fn find_server(args: &Args, global: &Global) -> anyhow::Result<()> {
    let line = Line { site: args.site.to_string(), line: "line-1".into() };
    let bytes = args.size.grid().bytes() as u64;
    let hello = crate::scanner::hello("simulator", "look".into(), bytes, vec![line]);
    let config = client::scanner(global, hello)?;
    ovomesh_client::Scanner::connect(config).await.map(drop).map_err(client::failure)
}

/// Makes the distinct phantoms on all cores.
fn make_library(args: &Args, out: &mut Out) -> anyhow::Result<Library> {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let progress = match args.quiet {
        true => Progress::hidden(),
        false => Progress::new("making phantoms", args.distinct.get().into()),
    };
    let count = args.distinct.get() as usize;
    let library = Library::generate(
        &args.phantoms(),
        &args.size.grid(),
        args.shares,
        count,
        Draws::Eggs.seed(args.seed),
        threads,
        |_| progress.add(1),
    );
    progress.end();
    if !args.quiet {
        let took = began.elapsed().as_secs_f64();
        out.remark(format!("made {count} phantoms of {} in {took:.1} s", args.size.name()))?;
    }
    Ok(library)
}

fn content(args: &Args, library: &Library) -> ScanContent {
    let now = Timestamp::now().as_nanosecond();
    // A run that is started again with the same seed sends other scans: their ids must differ.
    let run = format!("{:016x}", seed_of(args.seed, now as u64));
    ScanContent {
        run,
        seed: args.seed,
        site: args.site.to_string(),
        lines: args.lines(),
        tray: args.tray.get(),
        purpose: args.purpose.code(),
        encoding: args.encoding.code(),
        grid: *library.grid(),
        warmup: args.warmup(),
        classes: (0..library.len()).map(|egg| library.truth(egg).class).collect::<Vec<Class>>(),
    }
}
