//! The edge's log on disk: what was accepted stays until it is let go, whatever is killed or cut off.
//!
//! [`Spool`] is what an agent uses: two logs, of scans and of verdicts. [`frame`] is how a record lies in a file, and
//! [`header`] how the file begins; [`segment`] finds and cuts files; [`writer`] is the thread that writes and fsyncs in
//! groups; [`Log`] is all of that together. [`images`] is beside them: series that are not whole yet. It knows nothing of
//! scans: records have a kind, an id and bytes.

mod entry;
mod error;
pub mod frame;
mod header;
pub mod images;
mod inspect;
mod ledger;
mod log;
mod segment;
mod spool;
mod writer;

pub use entry::Entry;
pub use error::Error;
pub use inspect::{Inspected, RecordInfo, State, inspect};
pub use log::{Log, Lost, Options, Recovered};
pub use spool::{Limits, Released, Spool, SpoolContents};
