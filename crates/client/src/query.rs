//! Questions about stored decisions.

use std::time::Duration;

use http::Uri;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::query::v1::{
    GetEggRequest, GetScanRequest, ListLinesRequest, ListLinesResponse, ListScansRequest, WatchRequest,
};
use ovomesh_api::{EncodedRow, Row};
use ovomesh_mesh::{Backoff, Connector, explain};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::error::{Error, name};
use crate::watch::Watch;

/// Largest answer: 1,000 rows with previews are about 3 MiB.
const ANSWER_BYTES: usize = 16 << 20;
/// Limit of one question with all its tries.
const DEADLINE: Duration = Duration::from_secs(10);
/// Tries of one question. Questions change nothing, so each may be asked again.
const TRIES: u32 = 3;

/// A page of the scans of a line or an egg.
#[derive(Clone, Debug)]
pub struct Page {
    /// Of a line in order of `acquired_at`, of an egg newest first; then in order of scan id. Without previews.
    pub rows: Vec<Row>,
    /// Token of the next page; empty when this was the last.
    pub next_page_token: String,
}

fn read(answer: &EncodedRow) -> Result<Row, &'static str> {
    answer.parse().map_err(|_| "a row that it sent cannot be read")
}

/// A client of the query service, cheap to clone. It connects again when its connection broke.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) server: Uri,
    pub(crate) client: QueryServiceClient<Channel>,
    deadline: Duration,
}

impl Query {
    /// Connects to a query service.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn connect(server: Uri, connector: &Connector) -> Result<Self, Error> {
        let channel = connector
            .connect(&server)
            .await
            .map_err(|error| Error::Unreachable { server: name(&server), cause: explain(&error) })?;
        let client = QueryServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
        Ok(Self { server, client, deadline: DEADLINE })
    }

    /// The same client with another limit for one question and all its tries. Default 10 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// One page of the scans of an egg, newest first.
    ///
    /// # Errors
    /// `NotFound` when there is none, `FailedPrecondition` when several sites have an egg of this name.
    pub async fn get_egg(&self, question: GetEggRequest) -> Result<Page, Error> {
        let answer = self.ask(question, async |mut client, question| client.get_egg(question).await).await?;
        Ok(Page { rows: self.read(&answer.rows)?, next_page_token: answer.next_page_token })
    }

    /// One scan, with its picture.
    ///
    /// # Errors
    /// `NotFound` when there is none, `FailedPrecondition` when several sites have a scan of this id.
    pub async fn get_scan(&self, question: GetScanRequest) -> Result<Row, Error> {
        let answer = self.ask(question, async |mut client, question| client.get_scan(question).await).await?;
        read(&answer.row.unwrap_or_default()).map_err(|what| self.violation(what))
    }

    /// One page of a line's scans.
    ///
    /// # Errors
    /// When the question is invalid, or the service or its store do not answer in time.
    pub async fn list_scans(&self, question: ListScansRequest) -> Result<Page, Error> {
        let answer =
            self.ask(question, async |mut client, question| client.list_scans(question).await).await?;
        Ok(Page { rows: self.read(&answer.rows)?, next_page_token: answer.next_page_token })
    }

    /// Which lines have stored scans.
    ///
    /// # Errors
    /// When the service or its store do not answer in time.
    pub async fn list_lines(&self, question: ListLinesRequest) -> Result<ListLinesResponse, Error> {
        self.ask(question, async |mut client, question| client.list_lines(question).await).await
    }

    /// The live feed, from now or from the request's token.
    ///
    /// # Errors
    /// When it cannot be opened. Later breaks are events.
    pub async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        Watch::open(self.clone(), request).await
    }

    pub(crate) fn read(&self, answers: &[EncodedRow]) -> Result<Vec<Row>, Error> {
        answers.iter().map(read).collect::<Result<_, _>>().map_err(|what| self.violation(what))
    }

    fn violation(&self, what: &'static str) -> Error {
        Error::Violation { server: name(&self.server), what }
    }

    async fn ask<Q: Clone, A>(
        &self,
        question: Q,
        ask: impl AsyncFn(QueryServiceClient<Channel>, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, Error> {
        let late = || Error::Late { server: name(&self.server), limit: self.deadline };
        let (end, mut backoff, mut tries) = (Instant::now() + self.deadline, Backoff::default(), 0);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut request = Request::new(question.clone());
            // The service stops working on it then, too.
            request.set_timeout(left);
            let answer = tokio::time::timeout(left, ask(self.client.clone(), request)).await;
            tries += 1;
            match answer {
                Err(_) => return Err(late()),
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if status.code() == Code::Unavailable && tries < TRIES => {
                    let wait = backoff.next_wait();
                    if Instant::now() + wait >= end {
                        return Err(Error::status(&self.server, status));
                    }
                    tokio::time::sleep(wait).await;
                }
                Ok(Err(status)) => return Err(Error::status(&self.server, status)),
            }
        }
    }
}
