//! A scanner: sends scans, over all breaks, until each has its outcome.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use http::Uri;
use ovomesh_api::pb::scan::v1::{Rejected, Scan, Verdict};
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::{Advice, Hello, Welcome};
use ovomesh_mesh::{Backoff, Connector};
use tokio::time::{Instant, Sleep};

use crate::error::Error;
use crate::flight::{Credit, Flight, Next};
use crate::session::{Session, Step};

/// Where a scanner connects, who it is, and its limits. Every field has a default but the servers.
#[derive(Clone, Debug)]
pub struct ScannerConfig {
    /// Agents or gateways. One is used at a time, the next one after a break.
    pub servers: Vec<Uri>,
    /// How connections are made, TLS included.
    pub connector: Connector,
    /// The device and its lines. The version of the contract is set by the client.
    pub hello: Hello,
    /// How long a scan is kept here.
    pub keep: Keep,
    /// Scans that may be unanswered at once, within what the server allows. Default: what the server allows.
    pub max_unanswered: u32,
    /// Bytes of their volumes. One scan may always be, however large. Default 64 MiB.
    pub max_unanswered_bytes: u64,
    /// Scans that may wait to be sent; those that a break has to send again are not counted out. Default 256.
    pub max_waiting: usize,
    /// Bytes of their volumes. Default 256 MiB.
    pub max_waiting_bytes: u64,
    /// A scan for which the server has no room is sent again for this long after [`Scanner::send`], and then Rejected.
    /// Default 2 s: later its egg has passed.
    pub retry_overloaded: Duration,
    /// Limit of connection, handshake and Welcome together. Default 10 s.
    pub open_timeout: Duration,
    /// A session is given up, and another one opened, when no answer arrives for this long while scans are unanswered.
    /// Default 60 s: far more than any budget.
    pub answer_timeout: Duration,
    /// After [`Scanner::finish`], Committed is waited for this long after the last answer. Default 10 s.
    pub commit_timeout: Duration,
    /// Sessions in a row that broke or could not be opened without one answer, after which the client gives up.
    /// Default: none; a scanner on a line tries for ever, at most every 2 s.
    pub max_tries: Option<u32>,
}

impl ScannerConfig {
    /// A scanner of one server, with defaults for all else.
    #[must_use]
    pub fn new(server: Uri) -> Self {
        Self {
            servers: vec![server],
            connector: Connector::default(),
            hello: Hello::default(),
            keep: Keep::default(),
            max_unanswered: u32::MAX,
            max_unanswered_bytes: 64 << 20,
            max_waiting: 256,
            max_waiting_bytes: 256 << 20,
            retry_overloaded: Duration::from_secs(2),
            open_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            commit_timeout: Duration::from_secs(10),
            max_tries: None,
        }
    }
}

/// How long a scan is kept, and so sent again after a break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Until its verdict is here.
    #[default]
    UntilVerdict,
    /// Until it is Accepted, for a scanner whose sorter follows the line on its own: an accepted scan is on an agent's disk.
    /// Gateways send no Accepted: there it is kept until its verdict.
    UntilAccepted,
}

/// What [`Scanner::next`] reports.
///
/// Each scan has exactly one outcome: `Verdict` or `Rejected`. A `Verdict` is followed by exactly one of `Committed` and
/// `Unconfirmed`. With [`Keep::UntilAccepted`], `Accepted` and then `Unconfirmed` is an outcome too.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session is open: at first, and after each break.
    Opened(Welcome),
    /// The session broke, or could not be opened. What has no answer is sent again on the next one.
    Broken(Error),
    /// The scan was handed to the transport: at first, and again after a break.
    Sent {
        /// The scan.
        scan_id: String,
    },
    /// The scan is on the agent's disk. This event may be repeated after a break.
    Accepted {
        /// The scan.
        scan_id: String,
    },
    /// The decision.
    Verdict(Box<Verdict>),
    /// The scan cannot be taken; `message` says what to do.
    Rejected(Box<Rejected>),
    /// The verdict is stored.
    Committed {
        /// The scan.
        scan_id: String,
    },
    /// The session broke before the server said that the verdict is stored. An agent stores it all the same. A gateway
    /// that died may not have: where that matters, ask by [`Query`](crate::Query), or send the scan again.
    Unconfirmed {
        /// The scan.
        scan_id: String,
    },
    /// How fast the scanner should go, before anything is refused.
    Advice(Advice),
    /// An answer to a scan that has had this answer, or was never sent: a fault of the server, worth a line in the log.
    Unexpected {
        /// The scan, as the server named it.
        scan_id: String,
        /// The message, such as `Verdict`.
        answer: &'static str,
    },
}

/// Why [`Scanner::send`] did not take a scan, which is given back.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Too many scans wait: slow down, or poll [`Scanner::next`], which sends them.
    #[error("{0} scans wait to be sent, which is the limit; call next(), which sends them, and try again")]
    Full(usize, Box<Scan>),
    /// A scan of this id has no outcome, or no Committed, yet: ids must differ.
    #[error("scan {} was sent before and is not done; give each scan an id of its own", .0.scan_id)]
    InFlight(Box<Scan>),
    /// [`Scanner::finish`] was called.
    #[error("the scanner has finished: open another one")]
    Finished(Box<Scan>),
}

/// A scanner's client. [`Scanner::next`] does all the work: call it in a loop.
pub struct Scanner {
    config: ScannerConfig,
    state: State,
    flight: Flight,
    events: VecDeque<Event>,
    backoff: Backoff,
    /// Sessions in a row that broke, or were not opened, without an answer.
    tries: u32,
    /// Index of the next server.
    server: usize,
    /// When something last arrived, or a scan was sent after a time without any.
    heard: Instant,
    /// Nothing is sent before this time: the server has no room.
    hold: Instant,
    no_room: Backoff,
    is_finishing: bool,
}

enum State {
    Resting(Pin<Box<Sleep>>),
    Opening(Pin<Box<dyn Future<Output = Result<Session, Error>> + Send>>),
    Open(Box<Session>),
}

impl Scanner {
    /// Opens the first session.
    ///
    /// # Errors
    /// When that fails: a wrong address must not look like patience. From then on breaks are events.
    ///
    /// # Panics
    /// When the config names no server.
    pub async fn connect(config: ScannerConfig) -> Result<Self, Error> {
        assert!(!config.servers.is_empty(), "the config names a server");
        let session = opening(&config, 0).await?;
        let now = Instant::now();
        let mut scanner = Self {
            config,
            state: State::Open(Box::new(session)),
            flight: Flight::default(),
            events: VecDeque::new(),
            backoff: Backoff::default(),
            tries: 0,
            server: 1,
            heard: now,
            hold: now,
            no_room: Backoff::new(Duration::from_millis(20), Duration::from_millis(200)),
            is_finishing: false,
        };
        scanner.report_opened();
        Ok(scanner)
    }

    /// Takes a scan; [`Scanner::next`] sends it. Its `budget` counts from now.
    ///
    /// # Errors
    /// When too many wait, when its id is in flight, or after [`Scanner::finish`]. The scan is given back.
    pub fn send(&mut self, scan: Scan) -> Result<(), SendError> {
        if self.is_finishing {
            return Err(SendError::Finished(Box::new(scan)));
        }
        let waiting = self.flight.waiting();
        if waiting >= self.config.max_waiting
            || waiting > 0 && self.flight.waiting_bytes() >= self.config.max_waiting_bytes
        {
            return Err(SendError::Full(waiting, Box::new(scan)));
        }
        if self.flight.has(&scan.scan_id) {
            return Err(SendError::InFlight(Box::new(scan)));
        }
        self.flight.push(scan, Instant::now());
        Ok(())
    }

    /// Takes no more scans: [`Scanner::next`] reports what is left, and then None.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// Whether [`Scanner::finish`] was called.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.is_finishing
    }

    /// Scans that wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.flight.waiting()
    }

    /// Scans sent and not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.flight.unanswered()
    }

    /// Verdicts whose Committed may still arrive.
    #[must_use]
    pub fn uncommitted(&self) -> usize {
        self.flight.uncommitted()
    }

    /// Connects, sends what waits, and returns the next event; None once all is reported after [`Scanner::finish`]. Nothing
    /// is lost when its future is dropped, as in `tokio::select!`.
    ///
    /// # Errors
    /// When the server refuses the session for good, or [`ScannerConfig::max_tries`] sessions in a row brought nothing.
    /// The next call tries again.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_finishing && self.is_done() {
                return Ok(None);
            }
            match &mut self.state {
                State::Resting(rest) => {
                    rest.as_mut().await;
                    self.state = State::Opening(Box::pin(opening(&self.config, self.server)));
                    self.server += 1;
                }
                State::Opening(opening) => match opening.await {
                    Ok(session) => {
                        self.state = State::Open(Box::new(session));
                        self.heard = Instant::now();
                        self.report_opened();
                    }
                    Err(error) => self.broke(error)?,
                },
                State::Open(session) => {
                    if self.is_finishing && self.flight.waiting() == 0 {
                        session.half_close();
                    }
                    self.work().await?;
                }
            }
        }
    }

    /// Ends without waiting for anything. Returns the scans that have no outcome, in their order.
    #[must_use]
    pub fn abandon(mut self) -> Vec<Scan> {
        self.flight.broke(self.config.keep);
        self.flight.into_waiting()
    }

    fn is_done(&self) -> bool {
        self.flight.waiting() + self.flight.unanswered() + self.flight.uncommitted() == 0
    }

    fn report_opened(&mut self) {
        if let State::Open(session) = &self.state {
            self.events.push_back(Event::Opened(session.welcome.clone()));
        }
    }

    /// One step of an open session.
    async fn work(&mut self) -> Result<(), Error> {
        let State::Open(session) = &mut self.state else { return Ok(()) };
        let now = Instant::now();
        let credit = Credit {
            messages: session.welcome.max_in_flight.clamp(1, self.config.max_unanswered.max(1)) as usize,
            bytes: self.config.max_unanswered_bytes,
            max_volume_bytes: session.welcome.max_volume_bytes,
        };
        let next = if now < self.hold { Next::Nothing } else { self.flight.next(credit) };
        let next = match next {
            Next::TooLarge(rejected) => {
                self.events.push_back(Event::Rejected(Box::new(rejected)));
                return Ok(());
            }
            Next::Send(timed) => Some(timed),
            Next::Nothing => None,
        };
        let is_answered = self.flight.waiting() + self.flight.unanswered() == 0;
        let limit = match (self.flight.unanswered(), is_answered && self.is_finishing) {
            (_, true) => Some(self.heard + self.config.commit_timeout),
            (0, false) => None,
            (_, false) => Some(self.heard + self.config.answer_timeout),
        };
        tokio::select! {
            biased;
            step = session.step(next) => match step {
                Step::Answer(Ok(answer)) => self.book(answer),
                Step::Answer(Err(error)) => self.broke(error)?,
                Step::Sent => self.sent(),
            },
            () = tokio::time::sleep_until(self.hold), if now < self.hold => {}
            () = tokio::time::sleep_until(limit.unwrap_or(now)), if limit.is_some() => {
                if is_answered {
                    self.events.extend(self.flight.give_up_commits());
                } else {
                    let server = crate::error::name(&session.server);
                    self.broke(Error::Late { server, limit: self.config.answer_timeout })?;
                }
            }
        }
        Ok(())
    }

    fn sent(&mut self) {
        if self.flight.unanswered() == 0 {
            self.heard = Instant::now();
        }
        self.events.extend(self.flight.sent().map(|scan_id| Event::Sent { scan_id }));
    }

    fn book(&mut self, answer: Option<Down>) {
        let now = Instant::now();
        self.heard = now;
        match answer {
            Some(Down::Accepted(accepted)) => {
                self.answered();
                self.events.push_back(self.flight.accepted(accepted.scan_id));
            }
            Some(Down::Verdict(verdict)) => {
                self.answered();
                self.no_room.reset();
                self.events.extend(self.flight.verdict(verdict).into_iter().flatten());
            }
            Some(Down::Rejected(rejected)) => {
                match self.flight.rejected(rejected, now, self.config.retry_overloaded) {
                    // It waits again, and all others behind it.
                    None => self.hold = now + self.no_room.next_wait(),
                    Some(event) => {
                        self.answered();
                        self.events.push_back(event);
                    }
                }
            }
            Some(Down::Committed(committed)) => {
                self.events.push_back(self.flight.committed(committed.scan_id));
            }
            Some(Down::Advice(advice)) => self.events.push_back(Event::Advice(advice)),
            // A second Welcome, an answer about a tray, which this client never sends, or a message of a later version.
            Some(Down::Welcome(_) | Down::TrayAccepted(_)) | None => {}
        }
    }

    /// The session is of use.
    fn answered(&mut self) {
        self.tries = 0;
        self.backoff.reset();
    }

    fn broke(&mut self, error: Error) -> Result<(), Error> {
        self.tries += 1;
        self.state = State::Resting(Box::pin(tokio::time::sleep(self.backoff.next_wait())));
        self.events.extend(self.flight.broke(self.config.keep));
        if error.is_final() {
            return Err(error);
        }
        if self.config.max_tries.is_some_and(|most| self.tries >= most) {
            return Err(Error::GaveUp { tries: self.tries, last: Box::new(error) });
        }
        self.events.push_front(Event::Broken(error));
        Ok(())
    }
}

/// Opens a session with one of the servers.
fn opening(
    config: &ScannerConfig,
    index: usize,
) -> impl Future<Output = Result<Session, Error>> + Send + use<> {
    let server = config.servers[index % config.servers.len()].clone();
    Session::open(server, config.connector.clone(), config.hello.clone(), config.open_timeout)
}
