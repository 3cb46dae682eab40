//! What the driver does about an error: it tries once more, on another node. All else is left to the sender of the row.

use scylla::errors::{DbError, RequestAttemptError};
use scylla::policies::retry::{RequestInfo, RetryDecision, RetryPolicy, RetrySession};

/// Once more, on the next node.
#[derive(Debug)]
pub(super) struct OnceElsewhere;

impl RetryPolicy for OnceElsewhere {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Tries { again: true })
    }
}

struct Tries {
    again: bool,
}

impl RetrySession for Tries {
    fn decide_should_retry(&mut self, info: RequestInfo<'_>) -> RetryDecision {
        // All our statements may be repeated.
        if std::mem::take(&mut self.again) && info.is_idempotent && elsewhere(info.error) {
            RetryDecision::RetryNextTarget(None)
        } else {
            RetryDecision::DontRetry
        }
    }

    fn reset(&mut self) {
        self.again = true;
    }
}

/// Whether another node may do better.
fn elsewhere(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::DbError(error, _) => matches!(
            error,
            DbError::Unavailable { .. }
                | DbError::Overloaded
                | DbError::IsBootstrapping
                | DbError::TruncateError
                | DbError::ReadTimeout { .. }
                | DbError::WriteTimeout { .. }
                | DbError::ReadFailure { .. }
                | DbError::WriteFailure { .. }
                | DbError::ServerError
        ),
        RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_node_is_asked_when_it_may_do_better() {
        let error = |error| RequestAttemptError::DbError(error, String::new());
        assert!(elsewhere(&error(DbError::Overloaded)));
        assert!(!elsewhere(&error(DbError::Invalid)) && !elsewhere(&error(DbError::Unauthorized)));
    }
}
