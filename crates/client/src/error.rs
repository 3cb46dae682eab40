//! What can go wrong, and what to do about it.

use std::time::Duration;

use http::Uri;
use ovomesh_api::pb::scan::v1::Rejected;
use ovomesh_mesh::explain;
use tonic::{Code, Status};

/// Why a session, a question or a feed failed. Each message names the server.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No connection: is the server running, and is this its address?
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The server.
        server: String,
        /// What the system said.
        cause: String,
    },
    /// The server did not answer in time: it may be overloaded, or hang.
    #[error("{server} did not answer within {} s", .limit.as_secs_f64())]
    Late {
        /// The server.
        server: String,
        /// How long it had.
        limit: Duration,
    },
    /// The server answered with an error; its message says what to do, `docs/errors.md` lists the codes.
    #[error("{server}: {}", explain(.status.as_ref()))]
    Status {
        /// The server.
        server: String,
        /// The error.
        status: Box<Status>,
    },
    /// The server did not take the Hello: correct what the message names.
    #[error("{server} refused Hello: {}", .rejected.message)]
    HelloRefused {
        /// The server.
        server: String,
        /// Its answer.
        rejected: Box<Rejected>,
    },
    /// The server ended the stream. A session does that when it restarts: the client connects again.
    #[error("{server} ended the stream")]
    Ended {
        /// The server.
        server: String,
    },
    /// The peer does not speak this contract: is it another service's port?
    #[error("{server} does not speak this contract: {what}")]
    Violation {
        /// The server.
        server: String,
        /// What it did.
        what: &'static str,
    },
    /// The client gave up, as its config says.
    #[error("gave up after {tries} tries: {last}")]
    GaveUp {
        /// Tries in a row without an answer.
        tries: u32,
        /// Why the last one failed.
        last: Box<Error>,
    },
}

impl Error {
    pub(crate) fn status(server: &Uri, status: Status) -> Self {
        Self::Status { server: name(server), status: Box::new(status) }
    }

    /// Whether the same would fail again, however often it is tried.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::Unimplemented
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::NotFound
                    | Code::FailedPrecondition
                    | Code::DataLoss
            ),
            Self::HelloRefused { rejected, .. } => !rejected.retryable,
            Self::Violation { .. } | Self::GaveUp { .. } => true,
            Self::Unreachable { .. } | Self::Late { .. } | Self::Ended { .. } => false,
        }
    }

    /// The server's code, if it answered with one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Status { status, .. } => Some(status.code()),
            Self::GaveUp { last, .. } => last.code(),
            _ => None,
        }
    }
}

/// A URL without the slash that nobody typed.
pub(crate) fn name(server: &Uri) -> String {
    server.to_string().trim_end_matches('/').to_owned()
}
