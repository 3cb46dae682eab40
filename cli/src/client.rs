//! Connections to the services, and their errors in words that say what to do.

use std::time::Duration;

use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::scanner::v1::scanner_service_client::ScannerServiceClient;
use ovomesh_mesh::explain;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Status};

use crate::Global;
use crate::exit::Failure;

/// Largest message either way: four times the largest usual volume (the library's own limit of 4 MiB is below one).
pub(crate) const MESSAGE_BYTES: usize = 16 << 20;
/// Longest wait for an answer to a question.
pub(crate) const QUESTION: Duration = Duration::from_secs(10);

/// A connection of its own to `url`: for a session of scans, or a few questions.
pub(crate) async fn connect(global: &Global, url: &Uri) -> anyhow::Result<Channel> {
    global.tls.connector()?.connect(url).await.map_err(|error| {
        let (to, cause) = (name(url), explain(&error));
        Failure::NoServer(format!(
            "cannot reach {to}: {cause}; is it running? `ovomesh status` asks every service"
        ))
        .into()
    })
}

/// A URL without the slash that nobody typed.
pub(crate) fn name(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

/// A client for a session of scans.
pub(crate) async fn scanner(global: &Global) -> anyhow::Result<ScannerServiceClient<Channel>> {
    let channel = connect(global, &global.gateway).await?;
    Ok(ScannerServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}

/// A client for questions.
pub(crate) async fn query(global: &Global) -> anyhow::Result<QueryServiceClient<Channel>> {
    let channel = connect(global, &global.query).await?;
    Ok(QueryServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}

/// A question with the limit of [`QUESTION`].
pub(crate) fn question<T>(body: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(body);
    request.set_timeout(QUESTION);
    request
}

/// A service's refusal, for people and with its exit code.
pub(crate) fn refused(url: &Uri, status: &Status) -> anyhow::Error {
    let (url, said) = (name(url), status.message());
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
