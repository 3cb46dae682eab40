//! Whether what the database acknowledges is durable, as far as it can be found out.

use std::collections::HashMap;

use scylla::client::session::Session;

use super::config::{CqlConfig, Level};
use super::schema::ask;

/// What is known, in one line, and whether it is worth a warning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Durability {
    pub text: String,
    pub safe: bool,
}

/// Looks at the keyspace, and at a node's settings when one node decides.
pub(super) async fn look(session: &Session, config: &CqlConfig) -> Result<Durability, String> {
    let question = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = ask::<(HashMap<String, String>,)>(session, question, (&config.keyspace,)).await?;
    let replication = found.into_iter().next().map(|(map,)| map).unwrap_or_default();
    let copies = copies(&replication, config.datacenter.as_deref());
    // Cassandra 4 and later have a table of it; ScyllaDB has none.
    let settings = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
    let sync = match ask::<(Option<String>,)>(session, settings, ()).await {
        Ok(rows) => rows.into_iter().find_map(|(value,)| value),
        Err(_) => None,
    };
    Ok(judge(copies, config.consistency, sync.as_deref()))
}

/// Copies in the datacenter that is asked, or in the one with the fewest.
fn copies(replication: &HashMap<String, String>, datacenter: Option<&str>) -> u32 {
    let number = |text: &String| text.split('/').next()?.parse().ok();
    match datacenter.and_then(|name| replication.get(name)) {
        Some(text) => number(text).unwrap_or(0),
        None => replication.values().filter_map(number).min().unwrap_or(0),
    }
}

fn judge(copies: u32, level: Level, sync: Option<&str>) -> Durability {
    let one = matches!(level, Level::One | Level::LocalOne) || copies <= 1;
    let (safe, why) = match sync.map(str::to_lowercase).as_deref() {
        _ if !one => (true, "a node that is lost takes no acknowledged row with it".to_owned()),
        Some("group" | "batch") => (true, format!("commitlog_sync is {}", sync.unwrap_or_default())),
        Some(other) => (
            false,
            format!(
                "with commitlog_sync {other} a crash of one node loses acknowledged rows; set it to group"
            ),
        ),
        None => (false, "a crash of one node may lose acknowledged rows; keep three copies".to_owned()),
    };
    let acknowledged = if one { "one" } else { "most" };
    Durability { text: format!("{copies} copies, acknowledged by {acknowledged} of them: {why}"), safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_is_safe_only_when_it_is_synced_before_it_is_acknowledged() {
        let safe = |copies, level, sync| judge(copies, level, sync).safe;
        assert!(safe(3, Level::LocalQuorum, None) && safe(3, Level::Quorum, Some("PERIODIC")));
        assert!(!safe(1, Level::LocalQuorum, Some("PERIODIC")) && !safe(1, Level::LocalQuorum, None));
        assert!(!safe(3, Level::One, Some("periodic")));
        assert!(safe(1, Level::Quorum, Some("GROUP")) && safe(1, Level::Quorum, Some("batch")));
    }

    #[test]
    fn copies_are_those_of_the_datacenter_that_is_asked() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let two = map(&[("class", "NetworkTopologyStrategy"), ("east", "3"), ("west", "1")]);
        assert_eq!((copies(&two, Some("east")), copies(&two, None)), (3, 1));
        assert_eq!(
            copies(&map(&[("class", "SimpleStrategy"), ("replication_factor", "2")]), Some("east")),
            2
        );
    }
}
