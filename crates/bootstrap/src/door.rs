//! The door: each connection is looked at before anything is spent on it.
//!
//! A caller that says nothing, speaks TLS to a plain-text port or plain text to a TLS port receives an error that says so, or at least the
//! log is, instead of leaving both sides with a broken pipe.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use ovomesh_mesh::{Peer, Quota};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::{Connection, Wire};
use crate::warn_seldom;

/// How long a caller may take to its first byte, and how long for a TLS handshake: connections that are only held
/// open must not add up.
const OPENING: Duration = Duration::from_secs(10);
/// Connections that may be opening at once, at some KiB each: so many that silent callers do not soon keep others out.
/// More wait in the kernel's queue.
const OPENING_AT_ONCE: usize = 4_096;
/// Connections of a port at once, at some 20 KiB each before their first call. Behind one address there may be a whole
/// site, or a proxy with thousands of agents.
const CONNECTIONS: u64 = 4_096;
/// Pause after the system refused a connection, which it does when file descriptors run out.
const REFUSED: Duration = Duration::from_millis(100);
/// How long a farewell may take, and how much of what the caller still sends is read for it.
const FAREWELL: (Duration, u64) = (Duration::from_secs(1), 64 << 10);

/// First byte of every TLS connection.
const HANDSHAKE: u8 = 0x16;
const NEEDS_TLS: &str = "this port speaks TLS: call it with https:// and the authority's certificate";

/// Plain-text connections of `listener`.
pub(crate) fn plain(listener: TcpListener) -> impl Stream<Item = io::Result<Wire<TcpStream>>> {
    connections(listener, |stream| async {
        let (stream, first) = first_byte(stream).await?;
        if first == HANDSHAKE {
            warn_seldom!(peer = %peer(&stream), "a caller speaks TLS to this plain-text port: it should call http://, or this server needs --tls-cert and --tls-key");
            return None;
        }
        Some(stream)
    })
}

/// TLS connections of `listener`.
pub(crate) fn tls(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
) -> impl Stream<Item = io::Result<Wire<TlsStream<TcpStream>>>> {
    let acceptor = TlsAcceptor::from(config);
    connections(listener, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let (stream, first) = first_byte(stream).await?;
            let peer = peer(&stream);
            if first != HANDSHAKE {
                warn_seldom!(%peer, "a caller speaks plain text to this TLS port");
                // It may hang up first.
                let _ = tokio::time::timeout(FAREWELL.0, say_needs_tls(stream, first)).await;
                return None;
            }
            match tokio::time::timeout(OPENING, acceptor.accept(stream).into_fallible()).await {
                Ok(Ok(stream)) => Some(stream),
                Ok(Err((error, stream))) => {
                    warn_seldom!(%peer, %error, "a TLS handshake failed");
                    // The alert that says why is on its way.
                    let _ = tokio::time::timeout(FAREWELL.0, leave(stream)).await;
                    None
                }
                Err(_) => {
                    warn_seldom!(%peer, "a TLS handshake took longer than {} s", OPENING.as_secs());
                    None
                }
            }
        }
    })
}

/// Accepts for ever within the limits of connections, opens several at once, and gives those that `open` lets in.
fn connections<T, F>(
    listener: TcpListener,
    open: impl Fn(TcpStream) -> F + Send + 'static,
) -> impl Stream<Item = io::Result<Wire<T>>>
where
    T: Send + 'static,
    F: Future<Output = Option<T>> + Send + 'static,
{
    let places = Quota::shared("connections", CONNECTIONS);
    let state = (listener, JoinSet::new(), open, places);
    futures::stream::unfold(state, |(listener, mut opening, open, places)| async move {
        loop {
            tokio::select! {
                accepted = listener.accept(), if opening.len() < OPENING_AT_ONCE => match accepted {
                    Ok((stream, address)) => {
                        let peer = Peer::at(address.ip());
                        match places.one(peer) {
                            Ok(place) => {
                                let (opened, connection) = (open(stream), Connection::new(peer, place));
                                opening.spawn(async move { Some(Wire::new(opened.await?, connection)) });
                            }
                            Err(full) => warn_seldom!(%full, "a connection was refused"),
                        }
                    }
                    Err(error) if passes(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted; is the limit of open files too low?");
                        tokio::time::sleep(REFUSED).await;
                    }
                },
                Some(opened) = opening.join_next() => {
                    if let Ok(Some(stream)) = opened {
                        return Some((Ok(stream), (listener, opening, open, places)));
                    }
                }
            }
        }
    })
}

/// Errors of one connection, not of the listener.
fn passes(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted)
}

/// Waits for the first byte and leaves it there. None: the caller left, or said nothing.
async fn first_byte(stream: TcpStream) -> Option<(TcpStream, u8)> {
    // Small messages must not wait for each other's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    match tokio::time::timeout(OPENING, stream.peek(&mut first)).await {
        Ok(Ok(1)) => Some((stream, first[0])),
        _ => None,
    }
}

fn peer(stream: &TcpStream) -> String {
    stream.peer_addr().map_or_else(|_| "gone".into(), |peer| peer.to_string())
}

/// Tells a plain-text caller what is wrong in the protocol that it seems to speak.
async fn say_needs_tls(mut stream: TcpStream, first: u8) -> io::Result<()> {
    // HTTP/2 begins with "PRI"; HTTP/1 has methods that begin with P, but none that programs call us with.
    let answer = if first == b'P' { http2_farewell() } else { http1_farewell() };
    stream.write_all(&answer).await?;
    leave(stream).await
}

/// Closes a connection so that the last words arrive: with something unread it would be reset and they would be lost.
async fn leave(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(FAREWELL.1), &mut tokio::io::sink()).await?;
    Ok(())
}

fn http1_farewell() -> Vec<u8> {
    let length = NEEDS_TLS.len() + 1;
    format!("HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{NEEDS_TLS}\n").into_bytes()
}

/// Empty SETTINGS, then GOAWAY with the reason INADEQUATE_SECURITY and a text (RFC 9113, 6.5 and 6.8).
fn http2_farewell() -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: u8 = 7;
    const INADEQUATE_SECURITY: u8 = 12;
    let length = u8::try_from(8 + NEEDS_TLS.len()).expect("a sentence is short");
    let mut frames = SETTINGS.to_vec();
    frames.extend([0, 0, length, GOAWAY, 0, 0, 0, 0, 0]);
    // Last stream 0: nothing was processed.
    frames.extend([0, 0, 0, 0, 0, 0, 0, INADEQUATE_SECURITY]);
    frames.extend(NEEDS_TLS.as_bytes());
    frames
}
