//! The contract of ovomesh: code generated from `proto/`, and the domain types made from it once, at the door.
//!
//! No I/O. What has passed [`Scan::parse`] needs no further checks: agents and gateways share this one validator.

pub mod advice;
mod cut;
pub mod ids;
pub mod intake;
mod invalid;
pub mod json;
pub mod line;
pub mod pb;
pub mod policy;
pub mod row;
pub mod scan;
pub mod spooled;
pub mod stages;
pub mod texts;
pub mod time;
mod tray;
pub mod verdict;
pub mod volume;

pub use advice::Advisor;
pub use cut::CutScan;
pub use ids::{EggId, Line, LineId, ScanId, ScanKey, Site};
pub use invalid::{Invalid, VALUE_BYTES, shorten_to, thousands};
pub use line::{LineBook, LineConfig};
pub use ovomesh_mesh::Fault;
pub use policy::Policy;
pub use row::{EncodedRow, Row};
pub use scan::{Image, Place, Scan, ScanMeta};
pub use spooled::{RecordedRow, Settled, Spooled};
pub use tray::Tray;
pub use verdict::{Call, Reason, Verdict};
pub use volume::{MAX_VOLUME_BYTES, SampleFormat, Volume};
