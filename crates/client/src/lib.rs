//! The client of ovomesh for scanners and for programs that ask.
//!
//! - [`Scanner`] speaks `scanner.v1`: it sends scans to an agent or a gateway and reports the outcome of each exactly
//!   once. It stays within the server's credit, and after a break it connects again with back-off and sends again what
//!   has no answer.
//! - [`Query`] speaks `query.v1`: questions with a deadline and a retry, and [`Watch`], the live feed, which continues
//!   where it broke.
//!
//! Nothing runs in the background: [`Scanner::next`] and [`Watch::next`] do the work while they are awaited, and lose
//! nothing when they are not, so that both fit into `tokio::select!`. All that they hold has a limit in their config.
//!
//! ```no_run
//! use ovomesh_client::pb::scan::v1::{Place, Scan, Volume};
//! use ovomesh_client::pb::scanner::v1::{Hello, Line};
//! use ovomesh_client::{Event, Scanner, ScannerConfig};
//!
//! # async fn run(mut belt: tokio::sync::mpsc::Receiver<(String, Vec<u8>)>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ScannerConfig::new("http://127.0.0.1:7700".parse()?);
//! config.hello = Hello {
//!     lines: vec![Line { site: "north".into(), line: "1".into() }],
//!     ..Hello::default()
//! };
//! let mut scanner = Scanner::connect(config).await?;
//! loop {
//!     tokio::select! {
//!         egg = belt.recv(), if !scanner.is_finishing() => match egg {
//!             Some((scan_id, samples)) => scanner.send(Scan {
//!                 scan_id,
//!                 place: Some(Place { site: "north".into(), line: "1".into(), ..Place::default() }),
//!                 volume: Some(Volume {
//!                     columns: 64, rows: 64, slices: 16,
//!                     spacing_x_mm: 1.0, spacing_y_mm: 1.0, spacing_z_mm: 2.8,
//!                     samples: samples.into(),
//!                     ..Volume::default()
//!                 }),
//!                 ..Scan::default()
//!             })?,
//!             None => scanner.finish(),
//!         },
//!         event = scanner.next() => match event? {
//!             Some(Event::Verdict(verdict)) => println!("{}: {:?}", verdict.scan_id, verdict.call()),
//!             Some(Event::Rejected(rejected)) => eprintln!("{}", rejected.message),
//!             Some(Event::Broken(error)) => eprintln!("{error}; connecting again"),
//!             Some(_) => {}
//!             None => return Ok(()),
//!         },
//!     }
//! }
//! # }
//! ```
//!
//! `examples/scanner.rs` and `examples/watch.rs` are whole programs.

mod error;
mod flight;
mod query;
mod scanner;
mod session;
mod watch;

pub use error::Error;
pub use ovomesh_api::{Call, Reason, Row, ScanKey, Verdict, pb};
pub use ovomesh_mesh::Connector;
pub use query::{Page, Query};
pub use scanner::{Event, Keep, Scanner, ScannerConfig, SendError};
pub use watch::{Watch, WatchEvent};
