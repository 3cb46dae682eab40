//! Exit codes: what a script can know without reading.

use std::process::ExitCode;

/// The codes, for `--help`; `docs/errors.md` has the same.
pub(crate) const CODES: &str = "\
Exit codes:
  0  success
  1  failure: something was lost, refused or not ready, or the command could not finish
  2  the command line is wrong
  3  not found: there is no such scan, egg, site or line
  4  no server: it cannot be reached, or it is not ready";

/// A failure that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Flags that cannot be obeyed.
    #[error("{0}")]
    Usage(String),
    /// Nothing is stored under this name.
    #[error("{0}")]
    NotFound(String),
    /// No server answers, or none that can.
    #[error("{0}")]
    NoServer(String),
}

/// The exit code of an error.
#[must_use]
pub fn code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => ExitCode::from(2),
        Some(Failure::NotFound(_)) => ExitCode::from(3),
        Some(Failure::NoServer(_)) => ExitCode::from(4),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_keeps_its_code_whatever_stands_around_it() {
        let missing = Err::<(), _>(Failure::NotFound("no scan".into()));
        let error = missing.context("looking").unwrap_err();
        assert_eq!((code(&error), format!("{error:#}").as_str()), (ExitCode::from(3), "looking: no scan"));
        assert_eq!(code(&anyhow::anyhow!("anything else")), ExitCode::FAILURE);
    }
}
