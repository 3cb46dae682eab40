//! The two contracts of a gateway, `scanner.v1` and `gateway.v1`, as one conversation.

use ovomesh_api::pb::scan::v1::{Preview, Rejected, Row, Scan, Verdict};
use ovomesh_api::pb::scanner::v1::{Advice, Committed, Line, TrayAccepted};
use ovomesh_api::pb::{gateway::v1 as gateway, scanner::v1 as scanner};
use ovomesh_api::{Invalid, Tray, thousands, time};

use crate::memory::MAX_IN_FLIGHT;

/// Version of both contracts.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a peer can say.
#[derive(Debug)]
pub enum FromPeer {
    /// It introduces itself.
    Hello(Hello),
    /// A scan to decide.
    Scan(Box<Scan>),
    /// A row to store.
    Settled(Result<Box<Row>, Invalid>),
    /// A tray that enters its scanner, or has left it.
    Tray(Tray),
    /// Something that needs no answer.
    Note,
    /// A message without content, or of a later version.
    Unknown,
}

/// An introduction.
#[derive(Debug)]
pub struct Hello {
    /// Who, for the log.
    pub name: String,
    /// 0: as much as the server takes.
    pub max_volume_bytes: u64,
    /// Must be [`PROTOCOL_VERSION`].
    pub protocol_version: u32,
    /// Empty: any.
    pub lines: Vec<Line>,
}

/// What a gateway can say.
#[derive(Debug)]
pub enum ToPeer {
    /// The session is open, with this much room.
    Welcome { bytes: u64, settled: u32, max_volume_bytes: u64 },
    /// A decision, and the picture if there is one.
    Verdict(Box<Verdict>, Option<Preview>),
    /// The row is durable.
    Committed(String),
    /// The scan could not be taken.
    Rejected(Rejected),
    /// The row can never be stored.
    Refused(String, String),
    /// A tray was understood.
    TrayAccepted(TrayAccepted),
    /// How fast the line should go.
    Advice(Advice),
    /// Finish and connect elsewhere.
    Drain { grace_ms: u32 },
}

/// One contract.
pub trait Dialect: Send + 'static {
    /// Its messages from the peer.
    type Request: Send + 'static;
    /// Its messages to the peer.
    type Response: Send + 'static;
    /// Whether the peer is an agent: it remembers what it released, settles its rows, and keeps to its credit.
    const IS_AGENT: bool;
    /// Reads a message.
    fn up(request: Self::Request) -> FromPeer;
    /// Writes a message about a scan of this site (empty: about none); `None` when this contract has no words for it.
    fn down(down: ToPeer, site: String) -> Option<Self::Response>;
}

/// `scanner.v1`: a scanner that speaks to the gateway directly.
pub struct Scanner;

impl Dialect for Scanner {
    type Request = scanner::ConnectRequest;
    type Response = scanner::ConnectResponse;
    const IS_AGENT: bool = false;

    fn up(request: Self::Request) -> FromPeer {
        use scanner::connect_request::Message;
        match request.message {
            Some(Message::Hello(hello)) => {
                let scanner::Scanner { vendor, model, serial, .. } = hello.scanner.unwrap_or_default();
                FromPeer::Hello(Hello {
                    name: format!("{vendor} {model} {serial}"),
                    max_volume_bytes: hello.max_volume_bytes,
                    protocol_version: hello.protocol_version,
                    lines: hello.lines,
                })
            }
            Some(Message::Scan(scan)) => FromPeer::Scan(Box::new(scan)),
            Some(Message::TrayOpened(opened)) => FromPeer::Tray(opened.into()),
            Some(Message::TrayClosed(closed)) => FromPeer::Tray(closed.into()),
            None => FromPeer::Unknown,
        }
    }

    fn down(down: ToPeer, site: String) -> Option<Self::Response> {
        use scanner::connect_response::Message;
        let message = match down {
            ToPeer::Welcome { max_volume_bytes, .. } => Message::Welcome(scanner::Welcome {
                server_time: Some(time::to_pb(jiff::Timestamp::now())),
                max_in_flight: MAX_IN_FLIGHT,
                max_volume_bytes,
                server_version: env!("CARGO_PKG_VERSION").into(),
            }),
            ToPeer::Verdict(verdict, _) => Message::Verdict(*verdict),
            ToPeer::Committed(scan_id) => Message::Committed(Committed { scan_id }),
            ToPeer::Rejected(rejected) => Message::Rejected(rejected),
            ToPeer::TrayAccepted(accepted) => Message::TrayAccepted(accepted),
            ToPeer::Advice(advice) => Message::Advice(advice),
            ToPeer::Refused(..) | ToPeer::Drain { .. } => return None,
        };
        Some(scanner::ConnectResponse { message: Some(message), site })
    }
}

/// `gateway.v1`: an agent at the edge.
pub struct Agent;

impl Dialect for Agent {
    type Request = gateway::ConnectRequest;
    type Response = gateway::ConnectResponse;
    const IS_AGENT: bool = true;

    fn up(request: Self::Request) -> FromPeer {
        use gateway::connect_request::Message;
        match request.message {
            Some(Message::Hello(hello)) => FromPeer::Hello(Hello {
                name: format!("agent {} {}", hello.agent, hello.software),
                max_volume_bytes: hello.max_volume_bytes,
                protocol_version: hello.protocol_version,
                lines: hello.lines,
            }),
            Some(Message::Scan(scan)) => FromPeer::Scan(Box::new(scan)),
            Some(Message::Settled(settled)) => FromPeer::Settled(settled.decode_row().map(Box::new)),
            Some(Message::SpoolStatus(status)) => {
                let (used, limit) = (thousands(status.volume_bytes), thousands(status.volume_limit_bytes));
                tracing::debug!(used, limit, unsettled = status.unsettled, "spool of an agent");
                FromPeer::Note
            }
            None => FromPeer::Unknown,
        }
    }

    fn down(down: ToPeer, site: String) -> Option<Self::Response> {
        use gateway::connect_response::Message;
        let message = match down {
            ToPeer::Welcome { bytes, settled, max_volume_bytes } => Message::Welcome(gateway::Welcome {
                server_time: Some(time::to_pb(jiff::Timestamp::now())),
                scan_credit: MAX_IN_FLIGHT,
                scan_credit_bytes: bytes,
                settled_credit: settled,
                max_volume_bytes,
                server_version: env!("CARGO_PKG_VERSION").into(),
                names_sites: true,
            }),
            ToPeer::Verdict(verdict, preview) => {
                Message::Decided(gateway::Decided { verdict: Some(*verdict), preview })
            }
            ToPeer::Committed(scan_id) => Message::Committed(Committed { scan_id }),
            ToPeer::Rejected(rejected) => Message::Rejected(rejected),
            ToPeer::Refused(scan_id, message) => Message::Refused(gateway::Refused { scan_id, message }),
            ToPeer::Advice(_) | ToPeer::TrayAccepted(_) => return None,
            ToPeer::Drain { grace_ms } => Message::Drain(gateway::Drain { grace_ms }),
        };
        Some(gateway::ConnectResponse { message: Some(message), site })
    }
}
