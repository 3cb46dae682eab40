//! A row as query holds it: read once for filters, and encoded once for all callers.

use bytes::Bytes;
use ovomesh_api::pb::store::v1::SubscribeResponse;
use ovomesh_api::{EncodedRow, Fault, Row};
use tonic::Status;

#[derive(Debug, Clone)]
pub struct Stored {
    pub row: Row,
    /// As it is answered.
    pub answer: EncodedRow,
}

impl From<Row> for Stored {
    fn from(row: Row) -> Self {
        Self { answer: EncodedRow::from(&row), row }
    }
}

/// Reads a row of an answer.
///
/// # Errors
/// DATA_LOSS for bytes that are no row.
pub fn read(bytes: &Bytes) -> Result<Stored, Status> {
    let row = Row::decode(bytes)
        .map_err(|error| Fault::Damaged.status(format!("a stored row cannot be read: {error}")))?;
    Ok(row.into())
}

/// Reads the rows of an answer.
///
/// # Errors
/// DATA_LOSS when one of them is no row.
pub fn read_all(rows: &[Bytes]) -> Result<Vec<Stored>, Status> {
    rows.iter().map(read).collect()
}

/// A message of a store's feed.
#[derive(Debug)]
pub struct FeedPart {
    /// In the order of their commits.
    pub rows: Vec<Stored>,
    /// Where to continue after these.
    pub token: Bytes,
    /// Rows that are missing before these, at least.
    pub lagged: u64,
}

impl From<SubscribeResponse> for FeedPart {
    /// A row that cannot be read is one that is missing: the feed of all others continues.
    fn from(message: SubscribeResponse) -> Self {
        let SubscribeResponse { rows, token, mut lagged } = message;
        let readable = |bytes: &Bytes| match read(bytes) {
            Ok(stored) => Some(stored),
            Err(status) => {
                tracing::error!(error = status.message(), "a row of the feed was left out");
                lagged += 1;
                None
            }
        };
        let rows = rows.iter().filter_map(readable).collect();
        Self { rows, token, lagged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scan_id: &str) -> Row {
        Row { settled: true, ..Row::example("n", "1", scan_id) }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_told_as_missing() {
        let rows = vec![row("a").encode(), Bytes::from_static(b"\xff"), row("b").encode()];
        assert_eq!(read_all(&rows).unwrap_err().code(), tonic::Code::DataLoss);
        let part = FeedPart::from(SubscribeResponse { rows, lagged: 2, ..Default::default() });
        assert_eq!((part.rows.len(), part.lagged), (2, 3));
        let Stored { row, answer } = part.rows[1].clone();
        assert_eq!(answer.parse().unwrap(), Row { settled: false, ..row });
    }
}
