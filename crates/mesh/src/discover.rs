//! Who the replicas are.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use http::Uri;

/// A source of the set of replicas.
pub trait Discover: Send + 'static {
    /// Waits for the set to change and yields all of it: at first what it is now. None: it will never change again.
    /// Cancelling the future must lose no change.
    fn next(&mut self) -> impl Future<Output = Option<HashSet<Uri>>> + Send;
}

/// A set that never changes.
#[derive(Clone, Debug)]
pub struct Fixed {
    uris: Option<HashSet<Uri>>,
}

/// A set that never changes.
pub fn fixed(uris: impl IntoIterator<Item = Uri>) -> Fixed {
    Fixed { uris: Some(uris.into_iter().collect()) }
}

impl Discover for Fixed {
    async fn next(&mut self) -> Option<HashSet<Uri>> {
        self.uris.take()
    }
}

/// Limit of one DNS lookup: the resolver's own limits may add up to far more.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// All addresses of a name, asked again and again.
#[derive(Clone, Debug)]
pub struct Dns {
    host: String,
    port: u16,
    every: Duration,
    known: Option<HashSet<Uri>>,
}

/// All addresses of a name (a headless service, for example), looked up again each `every`. A lookup that fails or
/// finds nothing changes nothing: an outage of DNS must not take away replicas that work.
pub fn dns(host: impl Into<String>, port: u16, every: Duration) -> Dns {
    Dns { host: host.into(), port, every, known: None }
}

impl Dns {
    async fn lookup(&self) -> Option<HashSet<Uri>> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(Ok(addresses)) => addresses.filter_map(|a| format!("http://{a}").parse().ok()).collect(),
            Ok(Err(error)) => {
                tracing::warn!(host = self.host, port = self.port, %error, "lookup failed; replicas stay as they are");
                HashSet::new()
            }
            Err(_) => {
                tracing::warn!(host = self.host, "no answer from DNS in 5 s; replicas stay as they are");
                HashSet::new()
            }
        };
        (!found.is_empty()).then_some(found)
    }
}

impl Discover for Dns {
    async fn next(&mut self) -> Option<HashSet<Uri>> {
        let mut wait = self.known.is_some();
        loop {
            if wait {
                tokio::time::sleep(self.every).await;
            }
            wait = true;
            let found = self.lookup().await;
            if found.is_some() && found != self.known {
                self.known.clone_from(&found);
                return found;
            }
        }
    }
}

/// How often `dns:///` looks a name up.
const DNS_EVERY: Duration = Duration::from_secs(5);

/// What [`parse`] makes of a text.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// A list.
    Fixed(Fixed),
    /// A name.
    Dns(Dns),
}

impl Discover for Discovery {
    async fn next(&mut self) -> Option<HashSet<Uri>> {
        match self {
            Self::Fixed(fixed) => fixed.next().await,
            Self::Dns(dns) => dns.next().await,
        }
    }
}

/// A text that names no replicas.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no replicas: {why}; write http://host:port[,http://host:port...] or dns:///name:port"
)]
pub struct DiscoveryError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Reads `http://a:1,http://b:2` as a list and `dns:///name:port` as a name that is looked up every 5 s.
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str) -> Result<Discovery, DiscoveryError> {
    let wrong = |why| DiscoveryError { text: text.to_owned(), why };
    if let Some(name) = text.trim().strip_prefix("dns:///") {
        let (host, port) = name.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        let port = port.parse().map_err(|_| wrong("the port is no number from 0 to 65535"))?;
        let host = host.trim_matches(['[', ']']);
        return match host {
            "" => Err(wrong("the name is missing")),
            _ => Ok(Discovery::Dns(dns(host, port, DNS_EVERY))),
        };
    }
    let mut uris = HashSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let uri: Uri = part.parse().map_err(|_| wrong("one of them is no URI"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("one of them does not begin with http:// or https://"));
        }
        if uri.port().is_none() {
            return Err(wrong("one of them has no port"));
        }
        uris.insert(uri);
    }
    if uris.is_empty() {
        return Err(wrong("it is empty"));
    }
    Ok(Discovery::Fixed(Fixed { uris: Some(uris) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_is_yielded_once_and_never_changes() {
        let mut list = parse(" http://a:1, http://b:2,http://a:1").unwrap();
        let expected: HashSet<Uri> = ["http://a:1", "http://b:2"].map(|uri| uri.parse().unwrap()).into();
        assert_eq!(list.next().await, Some(expected));
        assert_eq!(list.next().await, None);
    }

    #[tokio::test]
    async fn a_name_yields_its_addresses() {
        let mut name = parse("dns:///localhost:7720").unwrap();
        let found = name.next().await.unwrap();
        assert!(found.contains(&"http://127.0.0.1:7720".parse::<Uri>().unwrap()), "{found:?}");
    }

    #[test]
    fn what_names_no_replicas_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "it is empty"),
            (" , ", "it is empty"),
            ("a:1", "http://"),
            ("ftp://a:1", "http://"),
            ("http://a", "no port"),
            ("dns:///a", "the port is missing"),
            ("dns:///a:70000", "0 to 65535"),
            ("dns:///:1", "the name is missing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
