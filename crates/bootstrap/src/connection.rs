//! One connection: whose it is, whether it is used, and a way to cut it off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use ovomesh_mesh::{Peer, Share};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

/// From its acceptance to its first call, whatever it sends meanwhile: connections that are only held open must not add up.
const FIRST_CALL: Duration = Duration::from_secs(20);
/// Without a call for this long a connection is closed. Sessions are calls, however quiet they are.
const IDLE: Duration = Duration::from_secs(300);

/// A connection to this process. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    calls: Mutex<Calls>,
    is_cut: AtomicBool,
    reader: AtomicWaker,
    peer: Peer,
    /// Its place among all connections.
    _place: Share,
}

#[derive(Debug)]
struct Calls {
    open: u32,
    /// When it is closed if no call begins.
    ends: Instant,
}

impl Connection {
    pub(crate) fn new(peer: Peer, place: Share) -> Self {
        let calls = Mutex::new(Calls { open: 0, ends: Instant::now() + FIRST_CALL });
        let (is_cut, reader) = (AtomicBool::new(false), AtomicWaker::new());
        Self(Arc::new(Inner { calls, is_cut, reader, peer, _place: place }))
    }

    /// The connection that a call came over; `None` when the call came over none, as in a test.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Ends it at once if it carries no other call: the only way to end a call whose answers the peer does not let out.
    /// Whether it did.
    pub fn cut_if_alone(&self) -> bool {
        let is_alone = self.0.calls.lock().open <= 1;
        if is_alone {
            self.0.is_cut.store(true, Relaxed);
            self.0.reader.wake();
        }
        is_alone
    }

    fn begin(&self) -> Call {
        self.0.calls.lock().open += 1;
        Call(self.clone())
    }

    fn ends(&self) -> Option<Instant> {
        let calls = self.0.calls.lock();
        (calls.open == 0).then_some(calls.ends)
    }
}

/// A call that is open.
struct Call(Connection);

impl Drop for Call {
    fn drop(&mut self) {
        let Connection(connection) = &self.0;
        let mut calls = connection.calls.lock();
        calls.open -= 1;
        calls.ends = Instant::now() + IDLE;
        // It reads on within that time.
        connection.reader.wake();
    }
}

/// Notes that its connection is used, until the answer has been sent.
pub(crate) async fn watch(mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().cloned();
    let call = connection.as_ref().map(Connection::begin);
    if let Some(Connection(connection)) = connection {
        request.extensions_mut().insert(connection.peer);
    }
    let response = next.run(request).await;
    match call {
        Some(call) => response.map(|body| Body::new(Answer { body, _call: call })),
        None => response,
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The bytes of a connection, to its end.
pub(crate) struct Wire<S> {
    stream: S,
    connection: Connection,
    limit: Pin<Box<Sleep>>,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, connection: Connection) -> Self {
        Self { stream, connection, limit: Box::pin(tokio::time::sleep(FIRST_CALL)) }
    }
}

impl<S> Connected for Wire<S> {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.0.reader.register(context.waker());
        if self.connection.0.is_cut.load(Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(ends) = self.connection.ends() {
            if self.limit.deadline() != ends {
                self.limit.as_mut().reset(ends);
            }
            // Before the bytes: whoever sends them one by one would otherwise never meet the limit.
            if self.limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_mesh::Quota;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn wire() -> (Connection, Wire<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        let peer = Peer::at([127, 0, 0, 1].into());
        let connection = Connection::new(peer, Quota::shared("connections", 1).one(peer).unwrap());
        (connection.clone(), Wire::new(ours, connection), theirs)
    }

    /// How a read of a peer ends that sends a byte each second, and after how many seconds.
    async fn ends(
        wire: &mut Wire<tokio::io::DuplexStream>,
        peer: &mut tokio::io::DuplexStream,
    ) -> (u64, io::ErrorKind) {
        let begun = Instant::now();
        let sending = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let _ = peer.write_all(b"P").await;
            }
        };
        let reading = async {
            loop {
                if let Err(error) = wire.read_u8().await {
                    break error.kind();
                }
            }
        };
        tokio::select! {
            kind = reading => (begun.elapsed().as_secs(), kind),
            () = sending => unreachable!(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_calls_is_closed_however_busily_it_sends() {
        let (_connection, mut wire, mut peer) = wire();
        assert_eq!(ends(&mut wire, &mut peer).await, (FIRST_CALL.as_secs(), io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_long_after_its_last_call_and_never_during_one() {
        let (connection, mut wire, mut peer) = wire();
        let call = connection.begin();
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, ends(&mut wire, &mut peer)).await.is_err());
        drop(call);
        assert_eq!(ends(&mut wire, &mut peer).await, (IDLE.as_secs(), io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_peer_is_silent_ends_long_after_its_last_call() {
        let (connection, mut wire, _peer) = wire();
        let call = connection.begin();
        let calling = async {
            tokio::time::sleep(Duration::from_secs(1_000)).await;
            drop(call);
        };
        let begun = Instant::now();
        let (read, ()) = tokio::join!(wire.read_u8(), calling);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 1_000 + IDLE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_cut_ends_while_it_is_being_read_unless_it_carries_another_call() {
        let (connection, mut wire, _peer) = wire();
        let (_call, other) = (connection.begin(), connection.begin());
        assert!(!connection.cut_if_alone());
        drop(other);
        let cutting = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(connection.cut_if_alone());
        };
        let (read, ()) = tokio::join!(wire.read_u8(), cutting);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
