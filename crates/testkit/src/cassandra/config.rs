//! `cassandra.yaml` of a node that lives for a test. What is left out keeps Cassandra's built-in default.

use std::net::Ipv4Addr;
use std::path::Path;

use super::{CQL_PORT, Cluster, Commitlog};

/// The file for node `n` (from 1 on) in `folder`.
pub(super) fn yaml(cluster: &Cluster, n: usize, addresses: &[Ipv4Addr], folder: &Path) -> String {
    let address = addresses[n - 1];
    let folder = folder.display();
    let seeds = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let token = token(n, addresses.len());
    let commitlog = match cluster.commitlog {
        Commitlog::Group => "commitlog_sync: group\ncommitlog_sync_group_window: 5ms",
        Commitlog::Periodic => "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms",
    };
    let (authenticator, authorizer) = match cluster.password {
        true => ("PasswordAuthenticator", "CassandraAuthorizer"),
        false => ("AllowAllAuthenticator", "AllowAllAuthorizer"),
    };
    let tls = cluster.tls.as_deref().map(tls).unwrap_or_default();
    // Soon where there are several nodes: until a dead one is known as such, each write to it holds a thread for that
    // long. The only node is never dead to itself, but may be slow on a busy machine.
    let write_timeout = if addresses.len() > 1 { "2s" } else { "10s" };
    // One token a node, evenly spaced, needs no allocation; every node is a seed, so that any may start first.
    format!(
        r#"cluster_name: testkit
num_tokens: 1
initial_token: {token}
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
listen_address: {address}
rpc_address: {address}
start_native_transport: true
native_transport_port: {CQL_PORT}
native_transport_max_threads: 64
data_file_directories: [ "{folder}/data" ]
commitlog_directory: "{folder}/commitlog"
hints_directory: "{folder}/hints"
saved_caches_directory: "{folder}/saved_caches"
cdc_raw_directory: "{folder}/cdc_raw"
{commitlog}
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
storage_compatibility_mode: NONE
memtable_heap_space: 96MiB
memtable_offheap_space: 64MiB
memtable_allocation_type: heap_buffers
key_cache_size: 8MiB
counter_cache_size: 0MiB
file_cache_size: 32MiB
networking_cache_size: 32MiB
concurrent_reads: 8
concurrent_writes: 16
concurrent_counter_writes: 2
concurrent_compactors: 1
compaction_throughput: 32MiB/s
auto_snapshot: false
read_request_timeout: 10s
range_request_timeout: 20s
write_request_timeout: {write_timeout}
request_timeout: 20s
authenticator: {authenticator}
authorizer: {authorizer}
role_manager: CassandraRoleManager
{tls}"#
    )
}

fn tls(pem: &Path) -> String {
    format!(
        r#"client_encryption_options:
  enabled: true
  optional: false
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: "{}"
"#,
        pem.display()
    )
}

/// The n-th of `nodes` evenly spaced tokens, from the smallest on.
fn token(n: usize, nodes: usize) -> i128 {
    i128::from(i64::MIN) + 1 + (n as i128 - 1) * (1i128 << 64) / nodes as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_divide_the_ring_evenly() {
        let tokens: Vec<_> = (1..=3).map(|n| token(n, 3)).collect();
        assert_eq!(tokens[0], i128::from(i64::MIN) + 1);
        assert!(tokens.windows(2).all(|pair| (pair[1] - pair[0] - (1i128 << 64) / 3).abs() <= 1));
        assert!(tokens[2] <= i128::from(i64::MAX));
    }
}
