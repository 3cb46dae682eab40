//! A scanner: scans a synthetic egg, sends it, and prints its verdict.
//!
//! `cargo run -p ovomesh-client --example scanner -- --gateway http://127.0.0.1:7700`

use std::error::Error;
use std::time::UNIX_EPOCH;

use clap::Parser;
use http::Uri;
use ovomesh_client::pb::scan::v1::{Place, Purpose, Scan, Verdict, Volume};
use ovomesh_client::pb::scanner::v1::{Hello, Line, Scanner as Device};
use ovomesh_client::{Event, Scanner, ScannerConfig};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, rng};

/// Sends one scan.
#[derive(Parser)]
pub struct Args {
    /// An agent or a gateway
    #[arg(long, default_value = "http://127.0.0.1:7700")]
    gateway: Uri,
    /// The egg's number; equal numbers are equal eggs
    #[arg(long, default_value_t = 7)]
    egg: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let verdict = run(Args::parse()).await?;
    println!("{}: {:?}, P(female) {:?}", verdict.scan_id, verdict.call(), verdict.p_female);
    Ok(())
}

/// Sends the egg, and waits until its verdict is stored.
pub async fn run(args: Args) -> Result<Verdict, Box<dyn Error>> {
    let (site, line) = ("example".to_owned(), "1".to_owned());
    let mut config = ScannerConfig::new(args.gateway);
    config.hello = Hello {
        scanner: Some(Device { vendor: "you".into(), model: "example".into(), ..Device::default() }),
        lines: vec![Line { site: site.clone(), line: line.clone() }],
        ..Hello::default()
    };
    let mut scanner = Scanner::connect(config).await?;
    scanner.send(Scan {
        // Unique in its site for as long as rows are kept; a retry of any kind carries the same id.
        scan_id: format!("example-{}", UNIX_EPOCH.elapsed()?.as_nanos()),
        place: Some(Place { site, line, tray_run: "tray-1".into(), slot: 1 }),
        purpose: Purpose::Test.into(),
        volume: Some(acquire(args.egg)),
        ..Scan::default()
    })?;
    // One scan is all. A scanner on a line goes on sending, and takes the events of all its scans in this loop.
    scanner.finish();
    let mut decided = None;
    while let Some(event) = scanner.next().await? {
        match event {
            Event::Verdict(verdict) => decided = Some(*verdict),
            Event::Rejected(rejected) => return Err(rejected.message.into()),
            Event::Broken(error) => eprintln!("{error}; connecting again"),
            _ => {}
        }
    }
    decided.ok_or_else(|| "no verdict".into())
}

/// What a scanner would measure: 16-bit samples, x fastest, then y, then z.
fn acquire(egg: u64) -> Volume {
    let grid = Grid::STANDARD;
    let clean = Phantom::new(&Profile::nominal(), Class::Female, egg).render(&grid);
    let samples = ovomesh_phantom::Scanner::with_snr(30.0).acquire(&clean, &mut rng(egg));
    let [spacing_x_mm, spacing_y_mm, spacing_z_mm] = grid.spacing_mm;
    Volume {
        columns: grid.columns as u32,
        rows: grid.rows as u32,
        slices: grid.slices as u32,
        spacing_x_mm,
        spacing_y_mm,
        spacing_z_mm,
        samples: samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>().into(),
        ..Volume::default()
    }
}
