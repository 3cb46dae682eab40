//! What the end-to-end tests share: one fleet for each test binary, scanners that speak to it, and scans to send.

#![allow(missing_docs, reason = "nothing but the tests uses this")]

mod answers;
pub mod dcmtk;
pub mod edge;
mod fleet;
mod link;
mod network;
mod older_gateway;
mod raw;
mod scans;
mod session;
pub mod soak;
mod sorter;

pub use answers::Answers;
pub use fleet::{fleet, programs, query, stored};
pub use link::Link;
pub use network::in_own_network;
pub use older_gateway::OlderGateway;
pub use ovomesh_bootstrap::install_provider;
pub use raw::{Opening, Raw, connect_from, framed};
pub use scans::{hello, phantom, place, scan, volume};
pub use session::{Answer, LIMIT, Session};
pub use sorter::{Sorter, start};
