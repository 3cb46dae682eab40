//! What gRPC and batching add to a scan's inference: CPU of a served model beside that of the same model called directly.
//!
//! `cargo xtask bench inference` (or `cargo run --release -p ovomesh-inference --example overhead`) asks a process of its
//! own for scores, with a fixed number of calls in flight, and computes in this one in the largest batches that those
//! calls allow. Ratios within one run: the machine is the same for both.

#![allow(clippy::unwrap_used, reason = "an example")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use ovomesh_api::pb::preprocess::v1::PreparedVolume;
use ovomesh_api::stages::Infer;
use ovomesh_imaging::{Header, Scratch, VolumeView, prepare};
use ovomesh_inference::{Args as Serve, Config, NAME, run};
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_model::device::DeviceChoice;
use ovomesh_model::model::{Model, Precision};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};
use ovomesh_testkit::{Process, Usage};
use serde::Serialize;
use tch::{Kind, Tensor};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Calls in flight, and the batch size that they allow.
const LOADS: [(usize, usize); 4] = [(1, 1), (4, 4), (16, 16), (48, 16)];

/// Measures what serving adds to a model.
#[derive(Parser)]
struct Args {
    /// How long to measure each load, twice
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
    /// Folder of models
    #[arg(long, default_value = "models", value_name = "DIR")]
    models: PathBuf,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Figures {
    in_flight: usize,
    scans_per_s: f64,
    served_us: f64,
    direct_us: f64,
    direct_batch: usize,
    added_us: f64,
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let args = Serve::parse_from(std::env::args().skip(1));
        let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
        return Ok(ovomesh_bootstrap::main(NAME, &server, &telemetry, || Config::try_from(args), run)?);
    }
    let args = Args::parse();
    let samples = prepared()?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--models"]).arg(&args.models);
    let mut server = Process::start(NAME, command, folder.path())?;
    server.ready()?;
    let direct = Direct::new(&args, &samples)?;
    let time = Duration::from_secs(args.seconds);
    let mut all = Vec::new();
    println!("CPU microseconds a scan\nin flight   scans/s   served   direct (batch)   added");
    for (in_flight, direct_batch) in LOADS {
        let before = server.usage().cpu;
        let calls = ovomesh_bootstrap::runtime(1)?.block_on(load(&server.url(), &samples, in_flight, time));
        let served_us = (server.usage().cpu - before).as_secs_f64() * 1e6 / calls as f64;
        let direct_us = direct.cost(direct_batch, time)?;
        let scans_per_s = calls as f64 / time.as_secs_f64();
        let added_us = served_us - direct_us;
        println!(
            "{in_flight:>9}   {scans_per_s:>7.0}   {served_us:>6.0}   {direct_us:>6.0} ({direct_batch:>5})   {added_us:>5.0}"
        );
        all.push(Figures { in_flight, scans_per_s, served_us, direct_us, direct_batch, added_us });
    }
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// What preprocess sends.
fn prepared() -> anyhow::Result<Bytes> {
    let clean = Phantom::new(&Profile::nominal(), Class::Female, 1).render(&Grid::STANDARD);
    let mut scan = vec![0; Grid::STANDARD.bytes()];
    Scanner::with_snr(30.0).acquire_into(&clean, &mut rng(1), &mut scan);
    let volume = VolumeView::new(Header::new([64, 64, 16], [1.0, 1.0, 2.8]), &scan)?;
    Ok(prepare(&volume, &mut Scratch::default()).samples.into())
}

/// Calls that were answered, with so many in flight all the time.
async fn load(url: &str, samples: &Bytes, in_flight: usize, time: Duration) -> u64 {
    let pool = StreamPool::<Infer>::start(
        PoolConfig::default(),
        Connector::default(),
        discover::fixed([url.parse().unwrap()]),
        &Lifecycle::new(),
    );
    let end = Instant::now() + time;
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (pool, samples) = (pool.clone(), samples.clone());
        callers.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                let body = PreparedVolume { samples: samples.clone(), ..Default::default() };
                pool.call(Request { body, deadline: None, traceparent: String::new() }).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    callers.join_all().await.into_iter().sum()
}

/// The model in this process, on one thread.
struct Direct<'a> {
    model: Model,
    samples: &'a [u8],
}

impl<'a> Direct<'a> {
    fn new(args: &Args, samples: &'a [u8]) -> anyhow::Result<Self> {
        tch::set_num_threads(1);
        let (id, device) = (Config::default().model, DeviceChoice::Cpu.open()?);
        Ok(Self { model: Model::load(&args.models, &id, device, Precision::Auto)?, samples })
    }

    /// CPU microseconds a scan in batches of this size.
    fn cost(&self, batch: usize, time: Duration) -> anyhow::Result<f64> {
        let _no_grad = tch::no_grad_guard();
        let [z, y, x] = self.model.manifest.input.map(|samples| samples as i64);
        let input =
            Tensor::from_data_size(&self.samples.repeat(batch), &[batch as i64, z, y, x], Kind::Uint8);
        // libtorch profiles on the first run and compiles on the second.
        for _ in 0..3 {
            self.model.run(&input, batch)?;
        }
        let (begun, before, mut scans) = (Instant::now(), Usage::of(std::process::id()).cpu, 0);
        while begun.elapsed() < time {
            self.model.run(&input, batch)?;
            scans += batch;
        }
        Ok((Usage::of(std::process::id()).cpu - before).as_secs_f64() * 1e6 / scans as f64)
    }
}
