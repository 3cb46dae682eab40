//! The live feed of decisions, over all breaks.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::time::Duration;

use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{WatchRequest, WatchResponse};
use ovomesh_api::{Row, ScanKey};
use ovomesh_mesh::Backoff;
use tokio::time::{Instant, Sleep};
use tonic::Streaming;

use crate::error::{Error, name};
use crate::query::Query;

/// Limit of opening a feed, its first message included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A feed that cannot be opened again for this long has ended: longer than any restart takes.
const GIVE_UP: Duration = Duration::from_secs(300);
/// Rows that are remembered, so that a repeat is recognised: more than a query service sends again after a break.
const REMEMBERED: usize = 16_384;

/// What [`Watch::next`] reports.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// The feed is live: at first, and after each break.
    Live,
    /// Decisions that were stored, without previews. Each is given once: a row that the feed repeats is left out. A scan
    /// is given again only when another decision has replaced the first, as may happen to a scanner without an agent.
    Rows(Vec<Row>),
    /// At least this many decisions are missing here, before the filter: read them with
    /// [`Query::list_scans`](crate::Query::list_scans).
    Lagged(u64),
    /// The feed broke. It is opened again where it broke.
    Broken(Error),
}

/// A live feed. [`Watch::next`] does all the work: call it in a loop.
pub struct Watch {
    query: Query,
    request: WatchRequest,
    state: State,
    recent: Recent,
    backoff: Backoff,
    /// Tries to open it since the last message.
    tries: u32,
    heard: Instant,
    events: VecDeque<WatchEvent>,
    /// The first message of a feed, which says that it is live.
    first: Option<WatchResponse>,
}

enum State {
    Resting(Pin<Box<Sleep>>),
    Opening(Pin<Box<dyn Future<Output = Result<Feed, Error>> + Send>>),
    Open(Box<Streaming<WatchResponse>>),
}

/// A feed and its first message.
type Feed = (Box<Streaming<WatchResponse>>, WatchResponse);

impl Watch {
    pub(crate) async fn open(query: Query, request: WatchRequest) -> Result<Self, Error> {
        let (feed, first) = open(query.clone(), request.clone()).await?;
        let (recent, backoff, heard) = (Recent::default(), Backoff::default(), Instant::now());
        let events = VecDeque::from([WatchEvent::Live]);
        let (state, first) = (State::Open(feed), Some(first));
        Ok(Self { query, request, state, recent, backoff, tries: 0, heard, events, first })
    }

    /// Where to continue after the last event that was returned, also in another process: the request's `resume_token`.
    #[must_use]
    pub fn resume_token(&self) -> &str {
        &self.request.resume_token
    }

    /// The next event; opens the feed again after a break. Nothing is lost when its future is dropped.
    ///
    /// # Errors
    /// When the service refuses the feed for good, or cannot be reached for five minutes.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if let Some(first) = self.first.take() {
                let event = self.take(first)?;
                self.events.extend(event);
                continue;
            }
            match &mut self.state {
                State::Resting(rest) => {
                    rest.as_mut().await;
                    self.state = State::Opening(Box::pin(open(self.query.clone(), self.request.clone())));
                }
                State::Opening(opening) => match opening.await {
                    Ok((feed, first)) => {
                        self.state = State::Open(feed);
                        self.first = Some(first);
                        return Ok(WatchEvent::Live);
                    }
                    Err(error) => self.broke(error)?,
                },
                State::Open(feed) => match feed.message().await {
                    Ok(Some(message)) => {
                        if let Some(event) = self.take(message)? {
                            return Ok(event);
                        }
                    }
                    Ok(None) => self.broke(Error::Ended { server: name(&self.query.server) })?,
                    Err(status) => self.broke(Error::status(&self.query.server, status))?,
                },
            }
        }
    }

    fn take(&mut self, message: WatchResponse) -> Result<Option<WatchEvent>, Error> {
        self.heard = Instant::now();
        self.tries = 0;
        self.backoff.reset();
        if !message.resume_token.is_empty() {
            self.request.resume_token = message.resume_token;
        }
        Ok(match message.message {
            Some(Message::Rows(found)) => {
                let mut rows = self.query.read(&found.rows)?;
                rows.retain(|row| self.recent.is_new(row));
                (!rows.is_empty()).then_some(WatchEvent::Rows(rows))
            }
            Some(Message::Lagged(lagged)) => Some(WatchEvent::Lagged(lagged.rows)),
            // A message of a later version of the contract.
            None => None,
        })
    }

    fn broke(&mut self, error: Error) -> Result<(), Error> {
        self.tries += 1;
        self.state = State::Resting(Box::pin(tokio::time::sleep(self.backoff.next_wait())));
        if error.is_final() {
            return Err(error);
        }
        if self.heard.elapsed() >= GIVE_UP {
            return Err(Error::GaveUp { tries: self.tries, last: Box::new(error) });
        }
        self.events.push_back(WatchEvent::Broken(error));
        Ok(())
    }
}

/// Opens a feed and waits until it is live.
async fn open(query: Query, request: WatchRequest) -> Result<Feed, Error> {
    let server = query.server.clone();
    let late = Error::Late { server: name(&server), limit: OPEN_TIMEOUT };
    let mut client = query.client;
    let opening = async {
        let failed = |status| Error::status(&server, status);
        let mut feed = client.watch(request).await.map_err(failed)?.into_inner();
        let first = feed.message().await.map_err(failed)?;
        let first = first.ok_or_else(|| Error::Ended { server: name(&server) })?;
        Ok((Box::new(feed), first))
    };
    tokio::time::timeout(OPEN_TIMEOUT, opening).await.unwrap_or(Err(late))
}

/// Rows of the last minutes, by what they say.
#[derive(Default)]
struct Recent {
    rows: HashMap<ScanKey, u64>,
    order: VecDeque<ScanKey>,
}

impl Recent {
    /// Whether this row was not returned before, or differs from what was.
    fn is_new(&mut self, row: &Row) -> bool {
        let key = row.key();
        let says = fingerprint(row);
        match self.rows.insert(key.clone(), says) {
            Some(before) => before != says,
            None => {
                self.order.push_back(key);
                if self.order.len() > REMEMBERED
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.rows.remove(&oldest);
                }
                true
            }
        }
    }
}

/// What a row says. Every repeat of one is identical but for `stored_at`.
fn fingerprint(row: &Row) -> u64 {
    let mut hasher = DefaultHasher::new();
    Row { stored_at: None, ..row.clone() }.encode().hash(&mut hasher);
    hasher.finish()
}
