//! A steady stream of eggs through the agents of a fleet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Place;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::book::Book;
use crate::eggs::Eggs;
use crate::gate;
use crate::scanner::Scanner;

/// Site of all lines.
pub const SITE: &str = "chaos";

/// From one look at what scanners hold to the next.
const LOOK: Duration = Duration::from_millis(20);

/// One scanner and one sorter at each agent.
pub struct Load {
    /// What they are told.
    pub book: Arc<Book>,
    /// How many lines.
    pub lines: usize,
    held_most: Arc<AtomicUsize>,
    stop: CancellationToken,
    scanners: JoinSet<()>,
    /// Sorters and whoever watches: they end with the load.
    others: JoinSet<()>,
}

impl Load {
    /// Begins; `rate` scans a second over all agents. `name` begins every scan's id.
    pub fn start(agents: &[String], rate: f64, name: &str, eggs: &Eggs) -> Self {
        let mut load = Self {
            book: Arc::default(),
            lines: agents.len(),
            held_most: Arc::default(),
            stop: CancellationToken::new(),
            scanners: JoinSet::new(),
            others: JoinSet::new(),
        };
        let mut all_held = Vec::new();
        for (line, agent) in agents.iter().enumerate() {
            // Each run has lines of its own, so that its rows can be told from those of other runs.
            let place = Place { site: SITE.into(), line: format!("{name}-{line}"), ..Place::default() };
            let held = Arc::new(AtomicUsize::new(0));
            all_held.push(held.clone());
            let scanner = Scanner {
                agent: agent.clone(),
                place: place.clone(),
                line,
                rate: rate / agents.len() as f64,
                name: format!("{name}-{line}"),
                eggs: eggs.clone(),
                book: load.book.clone(),
                held,
                stop: load.stop.clone(),
            };
            load.scanners.spawn(scanner.run());
            load.others.spawn(gate::follow(agent.clone(), place, load.book.clone()));
        }
        let most = load.held_most.clone();
        load.others.spawn(async move {
            loop {
                most.fetch_max(all_held.iter().map(|held| held.load(Relaxed)).sum(), Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        load
    }

    /// No more eggs; comes back when agents have all of them.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        // A scanner ends by itself; if one panicked, its scans show as lost.
        while self.scanners.join_next().await.is_some() {}
    }

    /// Most scans that scanners held at once because no agent had taken them: a blocked conveyor shows here.
    pub fn held_most(&self) -> usize {
        self.held_most.load(Relaxed)
    }
}
