//! All results-stores as query sees them: replicas on one database, of which any can be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ovomesh_api::Fault;
use ovomesh_api::pb::store::v1::{GetScanRequest, ListEggRequest, ListLineRequest, ListLinesResponse};
use ovomesh_mesh::Connector;
use tonic::Status;
use tonic::transport::Uri;

use crate::store::{Page, Store};
use crate::stored::Stored;

/// The stores. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    all: Arc<[Store]>,
    /// The one that answered last: a dead one is not asked first again.
    last: Arc<AtomicUsize>,
}

impl Stores {
    /// Clients of all of them.
    ///
    /// # Errors
    /// Names the URL that cannot be used.
    pub fn new(connector: &Connector, uris: &[Uri]) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let store = |uri: &Uri| Store::new(connector, uri.clone()).with_context(|| format!("--store {uri}"));
        let all = uris.iter().map(store).collect::<Result<_, _>>()?;
        Ok(Self { all, last: Arc::default() })
    }

    pub fn all(&self) -> &[Store] {
        &self.all
    }

    pub fn names(&self) -> String {
        self.all.iter().map(|store| store.uri().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// One scan; NOT_FOUND when there is none.
    pub async fn get_scan(&self, request: GetScanRequest) -> Result<Stored, Status> {
        self.any(|store| {
            let request = request.clone();
            async move { store.get_scan(request).await }
        })
        .await
    }

    /// A page of the scans of an egg.
    pub async fn list_egg(&self, request: ListEggRequest) -> Result<Page, Status> {
        self.any(|store| {
            let request = request.clone();
            async move { store.list_egg(request).await }
        })
        .await
    }

    /// A page of a line.
    pub async fn list_line(&self, request: ListLineRequest) -> Result<Page, Status> {
        self.any(|store| {
            let request = request.clone();
            async move { store.list_line(request).await }
        })
        .await
    }

    /// The lines of a site, or of all.
    pub async fn list_lines(&self, site: String) -> Result<ListLinesResponse, Status> {
        self.any(|store| {
            let site = site.clone();
            async move { store.list_lines(site).await }
        })
        .await
    }

    /// Asks one, and the next when that one does not answer.
    async fn any<T, F>(&self, ask: impl Fn(Store) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let (first, count) = (self.last.load(Ordering::Relaxed), self.all.len());
        let mut outcome = Err(Fault::Unavailable.status("no results-store is known"));
        for n in (first..first + count).map(|n| n % count) {
            outcome = ask(self.all[n].clone()).await;
            if !matches!(&outcome, Err(status) if Fault::of(status.code()) == Fault::Unavailable) {
                self.last.store(n, Ordering::Relaxed);
                break;
            }
        }
        outcome
    }
}
