//! Of each ScannerLine: whether gateways can obey it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Client, ResourceExt as _};
use ovomesh_api::LineBook;
use ovomesh_bootstrap::WatchBackoff;
use ovomesh_resources::{ScannerLine, ScannerLineStatus, set_condition};
use serde_json::json;

use crate::MANAGER;
use crate::leader::Leader;

/// How often lines are looked at. A change of meaning is all that is written.
const EVERY: Duration = Duration::from_secs(2);
/// Most that is written in one look: 1,000 new lines are told in about two minutes, without a storm.
const WRITES: usize = 16;

/// Tells for ever.
pub async fn tell(client: &Client, namespace: &str, leader: &Leader) {
    let api: Api<ScannerLine> = Api::namespaced(client.clone(), namespace);
    let (lines, writer) = reflector::store();
    let watching = watcher(api.clone(), watcher::Config::default());
    let watching = watching.backoff(WatchBackoff::default()).reflect(writer);
    let watching = watching.for_each(|event| {
        if let Err(error) = event {
            tracing::warn!(%error, "watching lines failed and is tried again");
        }
        std::future::ready(())
    });
    let telling = async {
        loop {
            tokio::time::sleep(EVERY).await;
            if !leader.leads() {
                continue;
            }
            for (name, status) in news(&lines.state(), &Time(jiff::Timestamp::now())).into_iter().take(WRITES)
            {
                let patch = json!({
                    "apiVersion": "ovomesh.dev/v1alpha1", "kind": "ScannerLine",
                    "metadata": {"name": name}, "status": status,
                });
                crate::count_write();
                let ours = PatchParams::apply(MANAGER).force();
                if let Err(error) = api.patch_status(&name, &ours, &Patch::Apply(&patch)).await {
                    tracing::warn!(line = name, %error, "the status of a line could not be told");
                    break;
                }
            }
        }
    };
    tokio::join!(watching, telling);
}

/// The statuses that are not what they should be.
fn news(lines: &[Arc<ScannerLine>], now: &Time) -> Vec<(String, ScannerLineStatus)> {
    // Of two about one line the older counts, then the first by name: as gateways have it.
    let mut first: BTreeMap<(&str, &str), &ScannerLine> = BTreeMap::new();
    for line in lines {
        let key = (line.spec.site.as_str(), line.spec.line.as_str());
        let kept = first.entry(key).or_insert(line);
        if line.precedence() < kept.precedence() {
            *kept = line;
        }
    }
    lines.iter().filter_map(|line| news_of(line, &first, now)).collect()
}

fn news_of(
    line: &ScannerLine,
    first: &BTreeMap<(&str, &str), &ScannerLine>,
    now: &Time,
) -> Option<(String, ScannerLineStatus)> {
    let generation = line.metadata.generation.unwrap_or_default();
    let mut status = line.status.clone().unwrap_or_default();
    let old_generation = std::mem::replace(&mut status.observed_generation, generation);
    let counts = first.get(&(line.spec.site.as_str(), line.spec.line.as_str()));
    let valid = LineBook::default().put(&line.spec.site, &line.spec.line, line.spec.config.clone());
    let (is, reason, message) = match (valid, counts) {
        (Err(why), _) => (false, "Invalid", format!("{why}; gateways do not obey it")),
        (Ok(()), Some(other)) if other.name_any() != line.name_any() => (
            false,
            "Duplicate",
            format!("ScannerLine {} is about the same line and counts", other.name_any()),
        ),
        (Ok(()), _) if line.spec.config.quarantined => {
            (true, "Quarantined", "scans are stored as UNDECIDED(quarantined)".into())
        }
        (Ok(()), _) => (true, "Obeyed", "gateways obey it".into()),
    };
    let changed =
        set_condition(&mut status.conditions, ("Accepted", is), (reason, &message), generation, now);
    (changed || old_generation != generation).then(|| (line.name_any(), status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, spec: serde_json::Value, at: &str) -> Arc<ScannerLine> {
        let mut line = ScannerLine::new(name, serde_json::from_value(spec).unwrap());
        line.metadata.creation_timestamp = Some(Time(at.parse().unwrap()));
        line.metadata.generation = Some(1);
        Arc::new(line)
    }

    #[test]
    fn each_line_is_told_once_whether_it_is_obeyed() {
        let now = Time(jiff::Timestamp::UNIX_EPOCH);
        let mut lines = vec![
            line("b", json!({"site": "n", "line": "1"}), "2026-01-01T00:00:00Z"),
            line("a", json!({"site": "n", "line": "1"}), "2026-01-02T00:00:00Z"),
            line("c", json!({"site": "n", "line": "2", "budget_ms": 3}), "2026-01-01T00:00:00Z"),
        ];
        let told = news(&lines, &now);
        let reasons: Vec<_> =
            told.iter().map(|(name, s)| (name.as_str(), s.conditions[0].reason.as_str())).collect();
        assert_eq!(reasons, [("b", "Obeyed"), ("a", "Duplicate"), ("c", "Invalid")]);
        assert!(told[2].1.conditions[0].message.contains("budget_ms is 3"));
        for (line, (_, status)) in lines.iter_mut().zip(told) {
            Arc::make_mut(line).status = Some(status);
        }
        assert!(news(&lines, &now).is_empty(), "what is told is not told again");
    }
}
