//! `ovomeshd`: every service in one process with the embedded store, for a hatchery with one machine.
//!
//! The services are the same as in a cluster and speak to each other over loopback, each through its own `run`; only
//! the gateway and query are meant to be reached from outside. They are started with configs that are made here, so no
//! flag or variable of a single service reaches them but those that `ovomeshd --help` names.

mod args;
mod config;

use std::sync::Arc;

use anyhow::Context as _;
use ovomesh_bootstrap::{Lifecycle, PortConfig};
use ovomesh_results_store::Embedded;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use args::Args;
pub use config::Config;

/// Name of the program.
pub const NAME: &str = "ovomeshd";

/// Serves scanners on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    // The stages outlive the gateway: what is in flight at a drain still needs them. They end with this function, also
    // when it fails: else a failed start would wait for them.
    let inner = Lifecycle { tasks: lifecycle.tasks.clone(), drain: CancellationToken::new() };
    let stages_end = inner.drain.clone().drop_guard();
    let (store, store_url) = loopback().await?;
    let (preprocess, preprocess_url) = loopback().await?;
    let (inference, inference_url) = loopback().await?;
    let query = TcpListener::bind(config.query_listen)
        .await
        .with_context(|| format!("--query-listen {}: is another program there?", config.query_listen))?;

    // Before the model is loaded, which takes seconds: a folder that cannot be used ends the start at once.
    let (data, keep) = (config.data, config.keep);
    let rows = tokio::task::spawn_blocking(move || Embedded::keeping(&data, &keep)).await??;

    // Certificates are for the entrances: inside, all is loopback.
    let port = PortConfig { tls: None, ..config.port.clone() };
    let preprocess_config =
        ovomesh_preprocess::Config { port: port.clone(), ..ovomesh_preprocess::Config::default() };
    let inference_config = ovomesh_inference::Config { port: port.clone(), ..config.inference };
    let query_config = ovomesh_query::Config {
        port: config.port.clone(),
        stores: vec![store_url.parse()?],
        ..ovomesh_query::Config::default()
    };
    let gateway_config = ovomesh_scanner_gateway::Config {
        port: config.port,
        store: store_url,
        preprocess: preprocess_url,
        inference: inference_url,
        lines: config.lines,
        ..ovomesh_scanner_gateway::Config::default()
    };

    let stages = async {
        tokio::try_join!(
            ovomesh_results_store::serve(Arc::new(rows), &port, store, &inner),
            ovomesh_preprocess::run(preprocess_config, preprocess, inner.clone()),
            ovomesh_inference::run(inference_config, inference, inner.clone()),
        )
    };
    let entrance = async {
        let served = tokio::try_join!(
            ovomesh_scanner_gateway::run(gateway_config, listener, lifecycle.clone()),
            ovomesh_query::run(query_config, query, lifecycle.clone()),
        );
        drop(stages_end);
        served
    };
    tokio::try_join!(stages, entrance).map(drop)
}

/// A free port of this machine, and its URL.
async fn loopback() -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}
