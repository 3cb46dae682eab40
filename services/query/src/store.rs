//! The results-store as query sees it: errors name its address, and no question waits for ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ovomesh_api::Fault;
use ovomesh_api::pb::store::v1::store_service_client::StoreServiceClient;
use ovomesh_api::pb::store::v1::{
    GetScanRequest, ListEggRequest, ListEggResponse, ListLineRequest, ListLineResponse, ListLinesRequest,
    ListLinesResponse, SubscribeRequest, SubscribeResponse,
};
use ovomesh_mesh::{Connector, explain};
use tonic::transport::{Channel, Uri};
use tonic::{Response, Status, Streaming};

use crate::stored::{self, Stored};

/// A page of a thousand rows has about 500 KB.
const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// The longest that a read may take: a page is read from disk in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A page of a line or an egg.
#[derive(Debug)]
pub struct Page {
    /// Of a line in order of acquired_at, of an egg newest first; then in order of scan_id.
    pub rows: Vec<Stored>,
    /// Token of the next page; empty when this was the last.
    pub next: Bytes,
}

/// A client of one results-store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    client: StoreServiceClient<Channel>,
    uri: Arc<Uri>,
}

impl Store {
    /// A client that connects at its first question, and again whenever the connection broke.
    pub fn new(connector: &Connector, uri: Uri) -> Result<Self, tonic::transport::Error> {
        let client =
            StoreServiceClient::new(connector.lazy(&uri)?).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { client, uri: Arc::new(uri) })
    }

    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// One scan; NOT_FOUND when there is none.
    pub async fn get_scan(&self, request: GetScanRequest) -> Result<Stored, Status> {
        let mut client = self.client.clone();
        stored::read(&self.answer(client.get_scan(request)).await?.row)
    }

    /// A page of the scans of an egg.
    pub async fn list_egg(&self, request: ListEggRequest) -> Result<Page, Status> {
        let mut client = self.client.clone();
        let ListEggResponse { rows, next_token } = self.answer(client.list_egg(request)).await?;
        Ok(Page { rows: stored::read_all(&rows)?, next: next_token })
    }

    /// A page of a line.
    pub async fn list_line(&self, request: ListLineRequest) -> Result<Page, Status> {
        let mut client = self.client.clone();
        let ListLineResponse { rows, next_token } = self.answer(client.list_line(request)).await?;
        Ok(Page { rows: stored::read_all(&rows)?, next: next_token })
    }

    /// The lines of a site, or of all.
    pub async fn list_lines(&self, site: String) -> Result<ListLinesResponse, Status> {
        let mut client = self.client.clone();
        self.answer(client.list_lines(ListLinesRequest { site })).await
    }

    /// The feed from a token on, or from now.
    pub async fn subscribe(&self, token: Vec<u8>) -> Result<Streaming<SubscribeResponse>, Status> {
        let mut client = self.client.clone();
        self.answer(client.subscribe(SubscribeRequest { token: token.into() })).await
    }

    async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(|status| self.explained(&status)),
            Err(_) => Err(Fault::Unavailable.status(format!(
                "results-store at {} did not answer within {} s; try again",
                self.uri,
                PATIENCE.as_secs()
            ))),
        }
    }

    /// What the caller receives: what is wrong with the question or the data as the store says it, all
    /// else as a store that does not answer, because that is nobody's fault but ours.
    pub fn explained(&self, status: &Status) -> Status {
        match Fault::of(status.code()) {
            fault @ (Fault::NotFound | Fault::Invalid | Fault::OutOfOrder | Fault::Damaged) => {
                fault.status(status.message())
            }
            _ => Fault::Unavailable.status(format!("results-store at {}: {}", self.uri, explain(status))),
        }
    }
}
