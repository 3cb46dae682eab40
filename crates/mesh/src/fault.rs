//! The kinds of errors, and one table that maps each to gRPC, to HTTP, to whether a retry can help, and to words.
//! `docs/errors.md` has the same table for people.

use std::fmt;

use tonic::{Code, Status};

use crate::StageError;

/// The kind of an error. Its `Display` is a few words for a message that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request breaks the contract; sending the same again changes nothing.
    Invalid,
    /// What was asked for is not there.
    NotFound,
    /// The request is not allowed as things stand: it arrived at a wrong moment, or what it names is not the only one.
    OutOfOrder,
    /// There is no room for it now.
    NoRoom,
    /// Its time was over, or the caller fell silent.
    Expired,
    /// The peer read nothing, or the call was cut off.
    CutOff,
    /// The server is leaving, or what it needs does not answer.
    Unavailable,
    /// What is stored cannot be read.
    Damaged,
    /// This port does not serve it.
    NotHere,
    /// The mesh failed on it.
    Broken,
}

/// One row: the gRPC code, the HTTP status, whether the same request may succeed later or elsewhere, and the words.
type Row = (Fault, Code, u16, bool, &'static str);

/// The table.
const TABLE: [Row; 10] = [
    (Fault::Invalid, Code::InvalidArgument, 400, false, "the request breaks the contract"),
    (Fault::NotFound, Code::NotFound, 404, false, "what was asked for is not there"),
    (Fault::OutOfOrder, Code::FailedPrecondition, 409, false, "the request is not allowed as things stand"),
    (Fault::NoRoom, Code::ResourceExhausted, 429, true, "there is no room for it now"),
    (Fault::Expired, Code::DeadlineExceeded, 504, false, "its time is over"),
    (Fault::CutOff, Code::Aborted, 499, true, "the call was cut off"),
    (Fault::Unavailable, Code::Unavailable, 503, true, "the service, or what it needs, does not answer"),
    (Fault::Damaged, Code::DataLoss, 500, false, "what is stored cannot be read"),
    (Fault::NotHere, Code::Unimplemented, 501, false, "this port does not serve it"),
    (Fault::Broken, Code::Internal, 500, true, "the mesh failed on it"),
];

impl Fault {
    fn row(self) -> &'static Row {
        TABLE.iter().find(|(fault, ..)| *fault == self).expect("every fault has a row")
    }

    /// The code of a gRPC status.
    #[must_use]
    pub fn code(self) -> Code {
        self.row().1
    }

    /// The status of an HTTP answer.
    #[must_use]
    pub fn http(self) -> u16 {
        self.row().2
    }

    /// Whether the same request may succeed later, or at another replica.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.row().3
    }

    /// The kind of a status that another program sent. What our own services never say is [`Fault::Broken`].
    #[must_use]
    pub fn of(code: Code) -> Self {
        TABLE.iter().find(|(_, known, ..)| *known == code).map_or(Self::Broken, |(fault, ..)| *fault)
    }

    /// A gRPC status of this kind.
    pub fn status(self, message: impl Into<String>) -> Status {
        Status::new(self.code(), message)
    }

    /// How a stream ends whose next message could not be read, in words for its peer instead of the transport's.
    #[must_use]
    pub fn unreadable(status: Status) -> Status {
        match status.code() {
            Code::Internal => Self::Invalid.status(format!(
                "a message could not be parsed, so the stream is closed: {}; send the messages of ovomesh's proto files",
                status.message()
            )),
            Code::OutOfRange | Code::ResourceExhausted => Self::NoRoom.status(format!(
                "a message is too large, so the stream is closed: {}; see Welcome.max_volume_bytes",
                status.message()
            )),
            _ => status,
        }
    }

    /// The failure of one call on a stage's stream.
    pub fn stage_error(self, message: impl Into<String>) -> StageError {
        StageError { code: self.code(), message: message.into(), retryable: self.is_retryable() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_comes_back_from_it() {
        for (fault, code, ..) in TABLE {
            assert_eq!((fault.code(), Fault::of(code)), (code, fault));
        }
        assert_eq!(Fault::of(Code::PermissionDenied), Fault::Broken);
    }

    #[test]
    fn the_document_has_the_same_table() {
        let document = include_str!("../../../docs/errors.md");
        for (_, code, http, again, words) in TABLE {
            let name = name(code);
            let row = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/errors.md has no row for {name}"));
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert_eq!(
                cells[2..5],
                [http.to_string().as_str(), if again { "yes" } else { "no" }, words],
                "{name}"
            );
        }
    }

    /// The code as the specification of gRPC writes it.
    fn name(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }
}
