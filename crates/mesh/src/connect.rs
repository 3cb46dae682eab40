//! From a URI to an HTTP/2 connection with windows that fit volumes.

use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// How connections to replicas are made. One connection is made for each stream, so that a dead one takes nothing
/// else with it.
#[derive(Clone, Debug)]
pub struct Connector {
    /// TLS to every replica, whatever the scheme of its URI. None: plain text.
    pub tls: Option<ClientTlsConfig>,
    /// Limit of TCP connect and TLS handshake together. Default 2 s.
    pub connect_timeout: Duration,
    /// How often a ping asks whether the peer is there, idle or not. Default 1 s.
    pub keepalive_interval: Duration,
    /// A peer that answers no ping for so long is dead. Default 4 s: with the interval 5 s, because a busy core is not
    /// death.
    pub keepalive_timeout: Duration,
    /// HTTP/2 window of a stream for what the peer sends, in bytes. Default 4 MiB: 32 messages of 128 KiB.
    pub stream_window: u32,
    /// HTTP/2 window of the connection for what the peer sends, in bytes. Default 8 MiB.
    pub connection_window: u32,
    /// Largest HTTP/2 frame that the peer may send, in bytes, 16 KiB to 16 MiB. Default 1 MiB: fewer frames a message.
    pub max_frame: u32,
}

impl Default for Connector {
    fn default() -> Self {
        Self {
            tls: None,
            connect_timeout: Duration::from_secs(2),
            keepalive_interval: Duration::from_secs(1),
            keepalive_timeout: Duration::from_secs(4),
            stream_window: 4 << 20,
            connection_window: 8 << 20,
            max_frame: 1 << 20,
        }
    }
}

impl Connector {
    /// Makes one connection.
    ///
    /// # Errors
    /// When the address is refused, the handshake fails or the time is over.
    pub async fn connect(&self, uri: &Uri) -> Result<Channel, tonic::transport::Error> {
        self.endpoint(uri)?.connect().await
    }

    /// A connection that is made at its first call, and again whenever it broke: for unary calls.
    ///
    /// # Errors
    /// When TLS cannot be configured.
    pub fn lazy(&self, uri: &Uri) -> Result<Channel, tonic::transport::Error> {
        Ok(self.endpoint(uri)?.connect_lazy())
    }

    fn endpoint(&self, uri: &Uri) -> Result<Endpoint, tonic::transport::Error> {
        let mut endpoint = Endpoint::from(self.with_scheme(uri))
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_adaptive_window(false)
            .initial_stream_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.max_frame)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.clone())?;
        }
        Ok(endpoint)
    }

    /// Tonic speaks TLS only to `https`; discovery need not know whether the mesh does.
    fn with_scheme(&self, uri: &Uri) -> Uri {
        let mut parts = uri.clone().into_parts();
        if self.tls.is_some() {
            parts.scheme = Some(Scheme::HTTPS);
        }
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }
}
