//! What a scan is on disk: as it came, when, and how long there is for it.

use bytes::Bytes;
use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{Row, Scan};
use ovomesh_api::time;
use prost::Message as _;
use tokio::time::Instant;

use crate::deadline::Deadline;

/// A scan, when it was received, and until when it should be decided. Its fields are on disk: only ever add some.
#[derive(Clone, PartialEq, prost::Message)]
struct Spooled {
    #[prost(message, optional, tag = "1")]
    scan: Option<Scan>,
    #[prost(message, optional, tag = "2")]
    received_at: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "3")]
    deadline: Option<Deadline>,
}

/// A scan for the spool.
pub fn write_scan(scan: Scan, received_at: Timestamp, deadline: Instant) -> Bytes {
    let (received_at, deadline) = (time::to_pb(received_at), Deadline::write(deadline));
    let spooled = Spooled { scan: Some(scan), received_at: Some(received_at), deadline: Some(deadline) };
    spooled.encode_to_vec().into()
}

/// A scan from the spool, when it was received, and its deadline.
pub fn read_scan(bytes: Bytes) -> Result<(Scan, Timestamp, Instant), String> {
    let spooled = Spooled::decode(bytes).map_err(|error| error.to_string())?;
    let received_at = spooled.received_at.ok_or("it does not say when it came")?;
    let received_at = time::from_pb("received_at", received_at).map_err(|error| error.to_string())?;
    let deadline = spooled.deadline.unwrap_or_default().read();
    Ok((spooled.scan.ok_or("it holds no scan")?, received_at, deadline))
}

/// A row for the spool.
pub fn write_row(row: &Row) -> Bytes {
    row.encode_to_vec().into()
}

/// A row from the spool.
pub fn read_row(bytes: Bytes) -> Result<Row, String> {
    Row::decode(bytes).map_err(|error| error.to_string())
}
