//! ScannerLines, watched: a change counts for the next scan.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use ovomesh_api::LineBook;
use ovomesh_bootstrap::WatchBackoff;
use ovomesh_mesh::Lifecycle;
use ovomesh_resources::ScannerLine;
use tokio::sync::watch;

use super::Lines;

/// Follows the ScannerLines of `namespace`, which come before the lines of `file`. Comes back when all are read: a gateway
/// that does not know them yet would judge scans of a quarantined line.
///
/// # Errors
/// This program is not on Kubernetes, or it is told to end first.
pub async fn watched(file: LineBook, namespace: &str, lifecycle: &Lifecycle) -> anyhow::Result<Lines> {
    let client = Client::try_default().await.context("finding Kubernetes")?;
    let api: Api<ScannerLine> = Api::namespaced(client, namespace);
    let (book, mut known) = watch::channel(None);
    lifecycle.spawn("lines", follow(api, file.clone(), book, lifecycle.clone()));
    tracing::info!(namespace, "reading ScannerLines");
    known.wait_for(Option::is_some).await.context("ended before the ScannerLines were read")?;
    let (latest, lines) = watch::channel(known.borrow_and_update().clone().unwrap_or(file));
    // The option is unwrapped once here, not for each scan.
    lifecycle.spawn("lines", async move {
        while known.changed().await.is_ok() {
            if let Some(book) = known.borrow_and_update().clone() {
                latest.send_replace(book);
            }
        }
    });
    Ok(Lines(lines))
}

async fn follow(
    api: Api<ScannerLine>,
    file: LineBook,
    book: watch::Sender<Option<LineBook>>,
    lifecycle: Lifecycle,
) {
    let mut events = pin!(watcher(api, watcher::Config::default()).backoff(WatchBackoff::default()));
    let mut known = Known::default();
    loop {
        let event = tokio::select! {
            // Scans in flight are decided by what was known.
            () = lifecycle.drain.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                if known.take(event) {
                    book.send_replace(Some(known.book(&file)));
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "watching ScannerLines failed; lines stay as they are");
            }
            None => return,
        }
    }
}

/// Lines by the names of their resources. During a relist the old ones hold until the new ones are whole.
#[derive(Default)]
struct Known {
    lines: BTreeMap<String, ScannerLine>,
    gathering: Option<BTreeMap<String, ScannerLine>>,
}

impl Known {
    /// Takes an event in; whether something may have changed.
    fn take(&mut self, event: watcher::Event<ScannerLine>) -> bool {
        match event {
            watcher::Event::Init => self.gathering = Some(BTreeMap::new()),
            watcher::Event::InitApply(line) => {
                self.gathering.get_or_insert_default().insert(line.name_any(), line);
            }
            watcher::Event::InitDone => {
                self.lines = self.gathering.take().unwrap_or_default();
                return true;
            }
            watcher::Event::Apply(line) => {
                let before = self.lines.insert(line.name_any(), line.clone());
                // Its status is the operator's word, not ours.
                return before.is_none_or(|before| before.spec != line.spec);
            }
            watcher::Event::Delete(line) => return self.lines.remove(&line.name_any()).is_some(),
        }
        false
    }

    /// Of two about one line the older counts. One that is out of range counts as if it were not there; the operator tells.
    fn book(&self, file: &LineBook) -> LineBook {
        let mut lines: Vec<_> = self.lines.values().collect();
        lines.sort_by(|a, b| b.precedence().cmp(&a.precedence()));
        let mut book = file.clone();
        for line in lines {
            let spec = &line.spec;
            if let Err(error) = book.put(&spec.site, &spec.line, spec.config.clone()) {
                tracing::debug!(%error, "a ScannerLine is not obeyed");
            }
        }
        book
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::LineId;

    use super::*;

    fn line(name: &str, day: &str, yaml: &str) -> ScannerLine {
        let text = format!(
            "metadata: {{name: {name}, creationTimestamp: 2026-01-{day}T00:00:00Z}}\nspec: {{site: n, line: '1', {yaml}}}"
        );
        serde_norway::from_str(&format!("apiVersion: ovomesh.dev/v1alpha1\nkind: ScannerLine\n{text}"))
            .unwrap()
    }

    fn owner(known: &Known) -> String {
        let file = LineBook::from_yaml("lines: [{site: n, line: '1', owner: file}]").unwrap();
        known.book(&file).get(&LineId::parse("n", "1").unwrap()).owner.clone()
    }

    #[test]
    fn the_older_of_two_valid_resources_comes_before_the_file() {
        let mut known = Known::default();
        assert_eq!(owner(&known), "file");
        assert!(known.take(watcher::Event::Apply(line("b", "02", "owner: second"))));
        assert!(known.take(watcher::Event::Apply(line("c", "01", "owner: first"))));
        assert!(known.take(watcher::Event::Apply(line("a", "03", "owner: third"))));
        assert_eq!(owner(&known), "first");
        assert!(known.take(watcher::Event::Apply(line("c", "01", "owner: first, budget_ms: 1"))));
        assert_eq!(owner(&known), "second", "what is out of range does not count");
        known.take(watcher::Event::Init);
        assert_eq!(owner(&known), "second", "a relist takes nothing away before it is whole");
        assert!(known.take(watcher::Event::InitDone));
        assert_eq!(owner(&known), "file");
    }

    #[test]
    fn a_status_that_is_told_changes_nothing() {
        let mut known = Known::default();
        let mut told = line("a", "01", "quarantined: true");
        assert!(known.take(watcher::Event::Apply(told.clone())));
        told.status = Some(ovomesh_resources::ScannerLineStatus::default());
        assert!(!known.take(watcher::Event::Apply(told)));
    }
}
