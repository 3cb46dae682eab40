//! What the driver's errors mean, in plain words, and what to do.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};

/// Why no connection could be made.
pub(super) fn connecting(error: &NewSessionError) -> String {
    match error {
        NewSessionError::FailedToResolveAnyHostname(names) => {
            format!("no address is known for {}; check --cql and the name server", names.join(", "))
        }
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(error)) => pool(error),
        other => other.to_string(),
    }
}

/// Why a statement failed.
pub(super) fn executing(error: &ExecutionError) -> String {
    match error {
        ExecutionError::ConnectionPoolError(error) => pool(error),
        ExecutionError::LastAttemptError(error) => attempt(error),
        ExecutionError::PrepareError(error) => preparing(error),
        ExecutionError::RequestTimeout(limit) => format!("no answer within {} s", limit.as_secs()),
        ExecutionError::EmptyPlan => "no node of the database is known to be up".into(),
        other => other.to_string(),
    }
}

/// Why a statement could not be prepared.
pub(super) fn preparing(error: &PrepareError) -> String {
    match error {
        PrepareError::ConnectionPoolError(error) => pool(error),
        PrepareError::AllAttemptsFailed { first_attempt } => attempt(first_attempt),
        other => other.to_string(),
    }
}

fn attempt(error: &RequestAttemptError) -> String {
    match error {
        RequestAttemptError::DbError(error, text) => answer(error, text),
        RequestAttemptError::BrokenConnectionError(error) => format!("the connection broke: {error}"),
        other => other.to_string(),
    }
}

fn pool(error: &ConnectionPoolError) -> String {
    match error {
        ConnectionPoolError::Broken { last_connection_error } => connection(last_connection_error),
        other => other.to_string(),
    }
}

fn connection(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectTimeout => "no node accepted a connection in time".into(),
        ConnectionError::IoError(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            format!(
                "the TLS handshake failed ({error}); check --cql-ca, and that the certificate names the address"
            )
        }
        ConnectionError::IoError(error) => format!("no node accepts a connection ({error})"),
        ConnectionError::ConnectionSetupRequestError(error) => match error.get_error() {
            ConnectionSetupRequestErrorKind::DbError(error, text) => answer(error, text),
            ConnectionSetupRequestErrorKind::MissingAuthentication => {
                "the database requires a password; set --cql-user and --cql-password-file".into()
            }
            ConnectionSetupRequestErrorKind::BrokenConnection(_) => {
                format!("a node ends the connection at once ({error}); does it require TLS (--cql-ca)?")
            }
            other => other.to_string(),
        },
        ConnectionError::BrokenConnection(error) => {
            format!("a node ends the connection at once ({error}); does it require TLS (--cql-ca)?")
        }
        other => other.to_string(),
    }
}

/// An error that the database answered.
fn answer(error: &DbError, text: &str) -> String {
    match error {
        DbError::AuthenticationError => {
            format!(
                "the database refuses user and password ({text}); check --cql-user and --cql-password-file"
            )
        }
        DbError::Unauthorized => {
            format!("the user may not do this ({text}); grant it, or use another --cql-user")
        }
        DbError::Unavailable { consistency, required, alive } => {
            format!("{alive} of the {required} replicas that {consistency} needs are up")
        }
        DbError::WriteTimeout { consistency, received, required, .. } => {
            format!("{received} of the {required} replicas that {consistency} needs have written in time")
        }
        DbError::ReadTimeout { consistency, received, required, .. } => {
            format!("{received} of the {required} replicas that {consistency} needs have answered in time")
        }
        DbError::Overloaded => "a node says that it is overloaded".into(),
        _ if text.is_empty() => error.to_string(),
        _ => text.to_owned(),
    }
}
