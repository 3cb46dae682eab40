//! One replica: connect, open the stream, read it, and begin again when it ends.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::outbound::Outbound;
use super::shared::Shared;
use crate::balance::{Credit, Ending, MsgId, Refusal, ReplicaId};
use crate::proto::{control, envelope};
use crate::{Backoff, Connector, Frame, Stage, explain};

/// How long a server may take to end a stream that was half-closed with nothing outstanding, before it is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Room for what a status or a header adds to the largest message.
const MARGIN_BYTES: usize = 64 << 10;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("cannot connect: {}", explain(.0))]
    Connect(#[source] tonic::transport::Error),
    #[error("the stream was refused: {}", explain(&**.0))]
    Refused(Box<Status>),
    #[error("the stream was accepted, but its first message is not a credit of at least one message")]
    NoCredit,
    #[error("no credit within {0:?} after the stream was opened")]
    Late(Duration),
    #[error("the pool does not know this replica any more")]
    Forgotten,
}

/// A stream with its first credit.
struct Opened<S: Stage> {
    inbound: Streaming<S::ResponseFrame>,
    credit: Credit,
    closed: Arc<Notify>,
}

pub(super) async fn keep<S: Stage>(
    shared: Arc<Shared<S>>,
    id: ReplicaId,
    uri: Uri,
    connector: Arc<Connector>,
    leave: CancellationToken,
) {
    let mut backoff = Backoff::new(shared.config.reconnect_base, shared.config.reconnect_max);
    let mut failures = 0_u32;
    while !leave.is_cancelled() {
        let opened = tokio::select! {
            () = leave.cancelled() => break,
            opened = open(&shared, id, &uri, &connector) => opened,
        };
        match opened {
            Ok(opened) => {
                let since = Instant::now();
                failures = 0;
                shared.credit(id, opened.credit);
                let ending = Reader { shared: &shared, id, uri: &uri, drained: false }.read(opened).await;
                shared.ended(id, ending);
                // A server that dies of each call at once must not be called every 50 ms.
                if since.elapsed() >= shared.config.reconnect_max {
                    backoff.reset();
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                // The first tells that something is wrong, the others only that it still is.
                if failures.is_power_of_two() {
                    tracing::warn!(stage = S::NAME, endpoint = %uri, failures, %error, "no stream; trying again");
                } else {
                    tracing::debug!(stage = S::NAME, endpoint = %uri, failures, %error, "no stream");
                }
            }
        }
        tokio::select! {
            () = leave.cancelled() => break,
            () = backoff.wait() => {}
        }
    }
    shared.forget(id);
}

async fn open<S: Stage>(
    shared: &Arc<Shared<S>>,
    id: ReplicaId,
    uri: &Uri,
    connector: &Connector,
) -> Result<Opened<S>, OpenError> {
    let channel = connector.connect(uri).await.map_err(OpenError::Connect)?;
    let limit = shared.config.open_timeout;
    timeout(limit, greet(shared, id, channel)).await.unwrap_or(Err(OpenError::Late(limit)))
}

async fn greet<S: Stage>(
    shared: &Arc<Shared<S>>,
    id: ReplicaId,
    channel: tonic::transport::Channel,
) -> Result<Opened<S>, OpenError> {
    let refused = |status| OpenError::Refused(Box::new(status));
    let (epoch, closed) = shared.open(id).ok_or(OpenError::Forgotten)?;
    let limit = shared.config.max_message_bytes.saturating_add(MARGIN_BYTES);
    let mut client =
        tonic::client::Grpc::new(channel).max_encoding_message_size(limit).max_decoding_message_size(limit);
    client.ready().await.map_err(OpenError::Connect)?;
    let outbound = Request::new(Outbound::new(Arc::clone(shared), id, epoch));
    let codec = ProstCodec::<S::RequestFrame, S::ResponseFrame>::default();
    let path = PathAndQuery::from_static(S::PATH);
    let mut inbound = client.streaming(outbound, path, codec).await.map_err(refused)?.into_inner();
    let first = inbound.message().await.map_err(refused)?.and_then(|frame| frame.unpack().0?.kind);
    let Some(envelope::Kind::Control(crate::proto::Control { kind: Some(control::Kind::Credit(credit)) })) =
        first
    else {
        return Err(OpenError::NoCredit);
    };
    let credit = Credit { messages: credit.messages, bytes: credit.bytes };
    if credit.messages == 0 {
        return Err(OpenError::NoCredit);
    }
    Ok(Opened { inbound, credit, closed })
}

/// The only reader of a stream.
struct Reader<'a, S: Stage> {
    shared: &'a Shared<S>,
    id: ReplicaId,
    uri: &'a Uri,
    /// The server said that it will close.
    drained: bool,
}

impl<S: Stage> Reader<'_, S> {
    async fn read(mut self, opened: Opened<S>) -> Ending {
        let Opened { mut inbound, closed, .. } = opened;
        let half_closed = async {
            closed.notified().await;
            sleep(CLOSE_WAIT).await;
        };
        tokio::pin!(half_closed);
        loop {
            let message = tokio::select! {
                message = inbound.message() => message,
                () = &mut half_closed => return Ending::Orderly,
            };
            match message {
                Ok(Some(frame)) => {
                    if let Err(violation) = self.take(frame) {
                        let (stage, endpoint) = (S::NAME, self.uri);
                        tracing::error!(stage, %endpoint, violation, "the server broke the stream's rules; closing it");
                        return Ending::Died;
                    }
                }
                Ok(None) => return Ending::Orderly,
                Err(status) => return self.classify(&status),
            }
        }
    }

    /// A server that drains closes with UNAVAILABLE when its grace is over. The same code also stands for a
    /// connection that broke, so it counts as good order only after a Drain, and if it came from the server.
    fn classify(&self, status: &Status) -> Ending {
        let from_server = std::error::Error::source(status).is_none();
        if self.drained && from_server && status.code() == Code::Unavailable {
            return Ending::Orderly;
        }
        let (stage, endpoint, error) = (S::NAME, self.uri, explain(status));
        tracing::warn!(stage, %endpoint, error, "stream died; its calls are sent again, each alone");
        Ending::Died
    }

    fn take(&mut self, frame: S::ResponseFrame) -> Result<(), &'static str> {
        let (envelope, body) = frame.unpack();
        match envelope.and_then(|envelope| envelope.kind) {
            Some(envelope::Kind::Answer(answer)) => {
                let body = body.ok_or("an answer without a body")?;
                self.shared.answered(self.id, MsgId(answer.id), body, answer.queued_us, answer.worked_us);
            }
            Some(envelope::Kind::Failure(failure)) => {
                let code = Code::from_i32(i32::try_from(failure.code).unwrap_or_default());
                let refusal = Refusal { code, message: failure.message, retryable: failure.retryable };
                self.shared.failed(self.id, MsgId(failure.id), refusal);
            }
            Some(envelope::Kind::Control(control)) => match control.kind {
                Some(control::Kind::Credit(credit)) => {
                    self.shared.credit(self.id, Credit { messages: credit.messages, bytes: credit.bytes });
                }
                Some(control::Kind::Drain(drain)) => {
                    tracing::info!(stage = S::NAME, endpoint = %self.uri, grace_ms = drain.grace_ms, "server drains");
                    self.drained = true;
                    self.shared.drain(self.id);
                }
                // A control of a later version of the contract.
                None => {}
            },
            Some(envelope::Kind::Call(_)) => return Err("a call from the server"),
            None => return Err("a message without an envelope"),
        }
        Ok(())
    }
}
