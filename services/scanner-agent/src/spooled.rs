//! What is on disk, and how it is read: `spool.v1` has the messages.

use bytes::Bytes;
use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{Row, Scan};
use ovomesh_api::pb::spool::v1::Spooled;
use ovomesh_api::time;
use prost::Message as _;
use tokio::time::Instant;

use crate::deadline;

/// A scan for the spool.
pub fn write_scan(scan: Scan, received_at: Timestamp, at: Instant) -> Bytes {
    let (received_at, deadline) = (time::to_pb(received_at), deadline::write(at));
    let spooled = Spooled { scan: Some(scan), received_at: Some(received_at), deadline: Some(deadline) };
    spooled.encode_to_vec().into()
}

/// A scan from the spool, when it was received, and its deadline.
pub fn read_scan(bytes: Bytes) -> Result<(Scan, Timestamp, Instant), String> {
    let spooled = Spooled::decode(bytes).map_err(|error| error.to_string())?;
    let received_at = spooled.received_at.ok_or("it does not say when it came")?;
    let received_at = time::from_pb("received_at", received_at).map_err(|error| error.to_string())?;
    let at = deadline::read(&spooled.deadline.unwrap_or_default());
    Ok((spooled.scan.ok_or("it holds no scan")?, received_at, at))
}

/// A row for the spool.
pub fn write_row(row: &Row) -> Bytes {
    row.encode_to_vec().into()
}

/// A row from the spool.
pub fn read_row(bytes: Bytes) -> Result<Row, String> {
    Row::decode(bytes).map_err(|error| error.to_string())
}
