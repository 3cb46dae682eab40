//! The kinds of errors, and one table that maps each to gRPC, to HTTP and to whether a retry can help. `docs/errors.md`
//! has the same table for people.

use ovomesh_mesh::StageError;
use tonic::{Code, Status};

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request breaks the contract; sending the same again changes nothing.
    Invalid,
    /// What was asked for is not there.
    NotFound,
    /// The request is not allowed as things stand: it came at a wrong moment, or what it names is not the only one.
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

/// The table: gRPC code, HTTP status, and whether the same request may succeed later or elsewhere.
const TABLE: [(Fault, Code, u16, bool); 10] = [
    (Fault::Invalid, Code::InvalidArgument, 400, false),
    (Fault::NotFound, Code::NotFound, 404, false),
    (Fault::OutOfOrder, Code::FailedPrecondition, 409, false),
    (Fault::NoRoom, Code::ResourceExhausted, 429, true),
    (Fault::Expired, Code::DeadlineExceeded, 504, false),
    (Fault::CutOff, Code::Aborted, 499, true),
    (Fault::Unavailable, Code::Unavailable, 503, true),
    (Fault::Damaged, Code::DataLoss, 500, false),
    (Fault::NotHere, Code::Unimplemented, 501, false),
    (Fault::Broken, Code::Internal, 500, true),
];

impl Fault {
    fn row(self) -> (Code, u16, bool) {
        let row = TABLE.iter().find(|(fault, ..)| *fault == self);
        let &(_, code, http, again) = row.expect("every fault has a row");
        (code, http, again)
    }

    /// The code of a gRPC status.
    pub fn code(self) -> Code {
        self.row().0
    }

    /// The status of an HTTP answer.
    pub fn http(self) -> u16 {
        self.row().1
    }

    /// Whether the same request may succeed later, or at another replica.
    pub fn is_retryable(self) -> bool {
        self.row().2
    }

    /// The kind of a status that came from elsewhere. What our own services never say is [`Fault::Broken`].
    pub fn of(code: Code) -> Self {
        TABLE.iter().find(|(_, known, ..)| *known == code).map_or(Self::Broken, |(fault, ..)| *fault)
    }

    /// A gRPC status of this kind.
    pub fn status(self, message: impl Into<String>) -> Status {
        Status::new(self.code(), message)
    }

    /// The failure of one call on a stage's stream.
    pub fn stage_error(self, message: impl Into<String>) -> StageError {
        StageError { code: self.code(), message: message.into(), retryable: self.is_retryable() }
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
        for (_, code, http, again) in TABLE {
            let name = name(code);
            let row = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/errors.md has no row for {name}"));
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert_eq!(cells[2..4], [http.to_string().as_str(), if again { "yes" } else { "no" }], "{name}");
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
