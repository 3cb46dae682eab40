//! The flags of every subcommand.

use clap::Args;
use ovomesh_bootstrap::ClientTlsArgs;
use tonic::transport::Uri;

use crate::output::Format;

/// What all subcommands share. May stand before or after the subcommand.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where scans go: a gateway, or an agent at the edge
    #[arg(long, env = "OVOMESH_GATEWAY", value_name = "URL", default_value = "http://127.0.0.1:7700", value_parser = url)]
    pub gateway: Uri,
    /// Where questions go: the query service
    #[arg(long, env = "OVOMESH_QUERY", value_name = "URL", default_value = "http://127.0.0.1:7701", value_parser = url)]
    pub query: Uri,
    /// Output format: tables for people, or one JSON object per line for programs
    #[arg(long, env = "OVOMESH_OUTPUT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// How calls are secured.
    #[command(flatten)]
    pub tls: ClientTlsArgs,
}

/// A service's URL. A bare `host:port` is plain text.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = whole.parse().map_err(|error| format!("{error}; write it as http://HOST:PORT"))?;
    let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.port().is_some();
    if known { Ok(uri) } else { Err("it must be http://HOST:PORT or https://HOST:PORT".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_where_they_are_given() {
        assert_eq!(url("mesh:7700").unwrap().to_string(), "http://mesh:7700/");
        for wrong in ["ftp://a:1", "http://a", "http://a b:1", ""] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
