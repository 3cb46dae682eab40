//! Prints decisions as they are stored.
//!
//! `cargo run -p ovomesh-client --example watch -- --query http://127.0.0.1:7701`

use std::error::Error;

use clap::Parser;
use http::Uri;
use ovomesh_client::pb::query::v1::WatchRequest;
use ovomesh_client::{Connector, Query, Row, Watch, WatchEvent};

/// Follows the live feed.
#[derive(Parser)]
pub struct Args {
    /// The query service
    #[arg(long, default_value = "http://127.0.0.1:7701")]
    query: Uri,
    /// Only this hatchery
    #[arg(long, default_value = "")]
    site: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut feed = open(Args::parse()).await?;
    loop {
        for row in next(&mut feed).await? {
            println!("{}: {}", row.key(), row.verdict.call.name());
        }
    }
}

/// Opens the feed from now on. With `resume_token` it would continue where another one was.
pub async fn open(args: Args) -> Result<Watch, Box<dyn Error>> {
    let query = Query::connect(args.query, &Connector::default()).await?;
    Ok(query.watch(WatchRequest { site: args.site, ..WatchRequest::default() }).await?)
}

/// The next decisions. Each comes once, also when the feed breaks in between.
pub async fn next(feed: &mut Watch) -> Result<Vec<Row>, Box<dyn Error>> {
    loop {
        match feed.next().await? {
            WatchEvent::Live => {}
            WatchEvent::Rows(rows) => return Ok(rows),
            WatchEvent::Lagged(rows) => eprintln!("at least {rows} decisions are missing here; list them"),
            WatchEvent::Broken(error) => eprintln!("{error}; connecting again"),
        }
    }
}
