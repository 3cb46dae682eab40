//! A connection to the database, as the flags say.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;

use super::config::CqlConfig;
use super::explain;
use super::retry::OnceElsewhere;

/// A node that does not take a connection within this time is away.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest that a statement may take, both tries together. The database itself gives up after 2 s (writes).
const REQUEST: Duration = Duration::from_secs(5);
/// How a node is found that hangs without being dead: asked each two seconds, and given up two seconds later.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// Connects; an error says in plain words why not.
pub(super) async fn connect(config: &CqlConfig) -> Result<Session, String> {
    let mut balance = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &config.datacenter {
        balance = balance.prefer_datacenter(datacenter.clone()).permit_dc_failover(false);
    }
    let profile = ExecutionProfile::builder()
        .consistency(config.consistency.into())
        .request_timeout(Some(REQUEST))
        .retry_policy(Arc::new(OnceElsewhere))
        .load_balancing_policy(balance.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(CONNECT)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .keyspaces_to_fetch([&config.keyspace]);
    if let Some((user, password)) = config.login().map_err(|error| format!("{error:#}"))? {
        builder = builder.user(user, password);
    }
    let tls = config.tls().map_err(|error| format!("{error:#}"))?;
    builder.tls_context(tls).build().await.map_err(|error| explain::connecting(&error))
}
