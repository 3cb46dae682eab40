//! Clients of the services, and their errors in words that say what to do.

use ovomesh_api::pb::scanner::v1::Hello;
use ovomesh_client::{Error, Query, ScannerConfig};
use ovomesh_mesh::explain;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Status};

use crate::Global;
use crate::exit::Failure;

/// A connection to a service that is asked by no client of ours.
pub(crate) async fn connect(global: &Global, url: &Uri) -> anyhow::Result<Channel> {
    let connecting = global.tls.connector()?.connect(url).await;
    connecting
        .map_err(|error| unreachable(&format!("cannot reach {}: {}", name(url), explain(&error))).into())
}

/// A URL without the slash that nobody typed.
pub(crate) fn name(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

/// A scanner's config, for the server and with the TLS of this command line.
pub(crate) fn scanner(global: &Global, hello: Hello) -> anyhow::Result<ScannerConfig> {
    let connector = global.tls.connector()?;
    Ok(ScannerConfig { connector, hello, ..ScannerConfig::new(global.gateway.clone()) })
}

/// A client for questions.
pub(crate) async fn query(global: &Global) -> anyhow::Result<Query> {
    Query::connect(global.query.clone(), &global.tls.connector()?).await.map_err(failure)
}

/// What went wrong, for people and with its exit code.
pub(crate) fn failure(error: Error) -> anyhow::Error {
    match error {
        Error::Status { server, status } => refused(&server, &status),
        Error::Unreachable { .. } => unreachable(&error).into(),
        Error::Late { .. } | Error::Ended { .. } | Error::GaveUp { .. } => {
            Failure::NoServer(error.to_string()).into()
        }
        Error::HelloRefused { .. } | Error::Violation { .. } => error.into(),
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> Failure {
    Failure::NoServer(format!("{error}; is it running? `ovomesh status` asks every service"))
}

/// A service's refusal, for people and with its exit code.
pub(crate) fn refused(url: &str, status: &Status) -> anyhow::Error {
    let said = status.message();
    let failure = match status.code() {
        Code::NotFound => Failure::NotFound(said.to_owned()),
        // Several sites have it.
        Code::FailedPrecondition => Failure::Usage(format!("{said} (--site)")),
        Code::InvalidArgument => Failure::Usage(format!("{url} did not accept this: {said}")),
        Code::Unimplemented => {
            Failure::NoServer(format!("{url} does not offer this; is it the port of another service? {said}"))
        }
        Code::Unavailable => {
            Failure::NoServer(format!("{url} is not available: {said}; `ovomesh status` shows more"))
        }
        // What a question's own limit becomes.
        Code::DeadlineExceeded | Code::Cancelled => {
            Failure::NoServer(format!("{url} did not answer in time: {said}; `ovomesh status` shows more"))
        }
        code => return anyhow::anyhow!("{url}: {said} ({code:?})"),
    };
    failure.into()
}
