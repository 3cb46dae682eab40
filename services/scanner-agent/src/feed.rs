//! What was released lately on each line, for its sorter: in the order of recording, with what was acknowledged.
//!
//! Only names are kept here; what they name is on disk, or on its way to the store.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Purpose;
use ovomesh_api::{LineId, Row, ScanKey};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a verdict is told to a sorter that was away: twice the longest budget. Later its egg is past every gate.
pub const FRESH: Duration = Duration::from_secs(120);
/// Verdicts kept for a line: those of 2 minutes, five times as fast as the fastest line.
const KEPT: usize = 4_096;
/// From so many lines on, those are forgotten on which nothing happens.
const LINES: usize = 256;

/// The last verdicts of every line.
#[derive(Debug, Default)]
pub struct Feed {
    lines: Mutex<HashMap<LineId, Recent>>,
}

#[derive(Debug)]
struct Recent {
    /// Of the first in `releases`.
    first: u64,
    releases: VecDeque<Release>,
    /// Number of the next one to come.
    next: watch::Sender<u64>,
}

#[derive(Debug)]
struct Release {
    key: ScanKey,
    at: Instant,
    acknowledged: bool,
    /// Where its egg went; `None` also when an agent before this one was told.
    lane: Option<String>,
}

/// A follower's place in a line.
#[derive(Debug)]
pub struct Cursor {
    line: LineId,
    next: u64,
    news: watch::Receiver<u64>,
}

/// What a follower meets.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This scan's verdict, and since when it is recorded.
    Released(ScanKey, Instant),
    /// So many were forgotten before they could be told.
    Lagged(u64),
}

/// What became of an acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It counts, or repeats what counts.
    Yes,
    /// No verdict of this scan was released on this line, as far back as is kept.
    UnknownScan,
    /// Its egg went into this lane before, and that stands.
    OtherLane(String),
}

impl Feed {
    /// A row was recorded at this time.
    pub fn released(&self, row: &Row, at: Instant) {
        let Some(line) = line_of(row) else { return };
        let mut lines = self.lines.lock();
        let recent = of(&mut lines, line.clone());
        recent.releases.push_back(Release { key: row.key(), at, acknowledged: false, lane: None });
        recent.forget();
        recent.next.send_replace(recent.first + recent.releases.len() as u64);
    }

    /// Begins to follow a line: with what nobody acknowledged, or with what comes from now on. Tells how many that are.
    pub fn follow(&self, line: LineId, from_now: bool) -> (Cursor, usize) {
        let mut lines = self.lines.lock();
        let recent = of(&mut lines, line.clone());
        recent.forget();
        let end = recent.first + recent.releases.len() as u64;
        let waiting =
            if from_now { 0 } else { recent.releases.iter().filter(|release| !release.acknowledged).count() };
        let next = if from_now { end } else { recent.first };
        (Cursor { line, next, news: recent.next.subscribe() }, waiting)
    }

    /// The next one for a follower, as soon as there is one. Losing its future loses nothing.
    pub async fn next(&self, cursor: &mut Cursor) -> Next {
        loop {
            if let Some(next) = self.step(cursor) {
                return next;
            }
            let at = cursor.next;
            if cursor.news.wait_for(|next| *next > at).await.is_err() {
                // A line is not forgotten while it is followed.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Moves a cursor over one that can be told.
    fn step(&self, cursor: &mut Cursor) -> Option<Next> {
        let mut lines = self.lines.lock();
        let recent = lines.get_mut(&cursor.line)?;
        recent.forget();
        if cursor.next < recent.first {
            let lost = recent.first - cursor.next;
            cursor.next = recent.first;
            return Some(Next::Lagged(lost));
        }
        let from = usize::try_from(cursor.next - recent.first).unwrap_or(usize::MAX);
        for release in recent.releases.iter().skip(from) {
            cursor.next += 1;
            if !release.acknowledged {
                return Some(Next::Released(release.key.clone(), release.at));
            }
        }
        None
    }

    /// Whether a verdict was released on this line, as far back as is kept.
    pub fn has(&self, line: &LineId, key: &ScanKey) -> bool {
        self.lines
            .lock()
            .get(line)
            .is_some_and(|recent| recent.releases.iter().any(|release| release.key == *key))
    }

    /// Whether a verdict waits for its sorter.
    pub fn is_waiting(&self, line: &LineId, key: &ScanKey) -> bool {
        let lines = self.lines.lock();
        let waiting = |recent: &Recent| {
            recent.releases.iter().any(|release| release.key == *key && !release.acknowledged)
        };
        lines.get(line).is_some_and(waiting)
    }

    /// An egg went into a lane; `None`: which one is not known any more.
    pub fn acknowledge(&self, line: &LineId, key: &ScanKey, lane: Option<&str>) -> Acknowledged {
        let mut lines = self.lines.lock();
        let release = lines
            .get_mut(line)
            .and_then(|recent| recent.releases.iter_mut().rev().find(|release| release.key == *key));
        let Some(release) = release else { return Acknowledged::UnknownScan };
        release.acknowledged = true;
        match (&release.lane, lane) {
            (Some(first), Some(lane)) if first != lane => Acknowledged::OtherLane(first.clone()),
            (None, Some(lane)) => {
                release.lane = Some(lane.to_owned());
                Acknowledged::Yes
            }
            _ => Acknowledged::Yes,
        }
    }

    /// Lines on which a verdict was released, as far back as is kept.
    pub fn lines(&self) -> Vec<LineId> {
        let lines = self.lines.lock();
        let active = lines.iter().filter(|(_, recent)| !recent.releases.is_empty());
        active.map(|(line, _)| line.clone()).collect()
    }
}

/// Whose sorter hears of a row: nobody's of tests and calibrations.
pub fn line_of(row: &Row) -> Option<&LineId> {
    (row.meta.purpose == Purpose::Production).then_some(&row.meta.place.line_id)
}

fn of(lines: &mut HashMap<LineId, Recent>, line: LineId) -> &mut Recent {
    if lines.len() >= LINES && !lines.contains_key(&line) {
        lines.retain(|_, recent| {
            recent.forget();
            !recent.releases.is_empty() || recent.next.receiver_count() > 0
        });
    }
    lines.entry(line).or_insert_with(|| Recent {
        first: 0,
        releases: VecDeque::new(),
        next: watch::Sender::new(0),
    })
}

impl Recent {
    fn forget(&mut self) {
        while self.releases.len() > KEPT
            || self.releases.front().is_some_and(|release| release.at.elapsed() > FRESH)
        {
            self.releases.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn row(line: &str, id: &str, purpose: Purpose) -> Row {
        let mut row = Row::example("site", line, id);
        row.meta.purpose = purpose;
        row
    }

    fn line(name: &str) -> LineId {
        LineId::parse("site", name).expect("a line")
    }

    fn key(id: &str) -> ScanKey {
        ScanKey::parse("site", id).expect("a key")
    }

    fn released(feed: &Feed, line: &str, id: &str) {
        feed.released(&row(line, id, Purpose::Production), Instant::now());
    }

    /// What can be told at once.
    fn told(feed: &Feed, cursor: &mut Cursor) -> Vec<String> {
        let next = || match feed.next(cursor).now_or_never()? {
            Next::Released(key, _) => Some(key.scan_id.to_string()),
            Next::Lagged(count) => Some(format!("lagged {count}")),
        };
        std::iter::from_fn(next).collect()
    }

    #[tokio::test]
    async fn a_sorter_hears_its_own_line_in_order_and_no_tests() {
        let feed = Feed::default();
        let (mut cursor, waiting) = feed.follow(line("a"), false);
        assert_eq!(waiting, 0);
        released(&feed, "a", "1");
        released(&feed, "b", "2");
        feed.released(&row("a", "3", Purpose::Test), Instant::now());
        released(&feed, "a", "4");
        assert_eq!(told(&feed, &mut cursor), ["1", "4"]);
        released(&feed, "a", "5");
        assert_eq!(told(&feed, &mut cursor), ["5"]);
    }

    #[tokio::test]
    async fn what_was_not_acknowledged_is_told_again_to_a_sorter_that_was_away() {
        let feed = Feed::default();
        for id in ["1", "2", "3"] {
            released(&feed, "a", id);
        }
        assert!(feed.is_waiting(&line("a"), &key("2")) && !feed.is_waiting(&line("b"), &key("2")));
        assert_eq!(feed.acknowledge(&line("a"), &key("2"), Some("hatch")), Acknowledged::Yes);
        assert!(!feed.is_waiting(&line("a"), &key("2")));
        assert_eq!(feed.acknowledge(&line("a"), &key("unknown"), Some("hatch")), Acknowledged::UnknownScan);
        assert_eq!(feed.acknowledge(&line("b"), &key("2"), Some("hatch")), Acknowledged::UnknownScan);
        let (mut cursor, waiting) = feed.follow(line("a"), false);
        assert_eq!((waiting, told(&feed, &mut cursor)), (2, vec!["1".to_owned(), "3".to_owned()]));
        let (mut display, waiting) = feed.follow(line("a"), true);
        released(&feed, "a", "4");
        assert_eq!((waiting, told(&feed, &mut display)), (0, vec!["4".to_owned()]));
    }

    #[test]
    fn the_first_lane_of_an_egg_stands() {
        let feed = Feed::default();
        released(&feed, "a", "1");
        released(&feed, "a", "2");
        let sorted = |id, lane| feed.acknowledge(&line("a"), &key(id), lane);
        let other = Acknowledged::OtherLane("hatch".into());
        assert_eq!(sorted("1", Some("hatch")), Acknowledged::Yes);
        assert_eq!(sorted("1", Some("hatch")), Acknowledged::Yes, "a repeat");
        assert_eq!(sorted("1", Some("cull")), other);
        assert_eq!(sorted("1", Some("cull")), other, "a second try changes nothing");
        // As after a restart, which knows no lanes.
        assert_eq!(sorted("2", None), Acknowledged::Yes);
        assert_eq!(sorted("2", Some("cull")), Acknowledged::Yes);
    }

    #[tokio::test]
    async fn a_sorter_that_does_not_read_is_told_how_many_it_missed() {
        let feed = Feed::default();
        let (mut cursor, _) = feed.follow(line("a"), false);
        for n in 0..KEPT + 10 {
            released(&feed, "a", &n.to_string());
        }
        let told = told(&feed, &mut cursor);
        assert_eq!((told.len(), told[0].as_str(), told[1].as_str()), (KEPT + 1, "lagged 10", "10"));
    }

    #[tokio::test]
    async fn a_verdict_that_grows_old_before_it_can_be_told_is_left_out() {
        let feed = Feed::default();
        let Some(long_ago) = Instant::now().checked_sub(FRESH + Duration::from_secs(1)) else { return };
        let (mut cursor, _) = feed.follow(line("a"), false);
        for id in ["old", "fresh"] {
            released(&feed, "a", id);
        }
        feed.lines.lock().get_mut(&line("a")).expect("it is followed").releases[0].at = long_ago;
        assert_eq!(told(&feed, &mut cursor), ["lagged 1", "fresh"]);
    }

    #[test]
    fn an_egg_past_every_gate_is_forgotten_and_so_is_a_line_where_nothing_happens() {
        let feed = Feed::default();
        let Some(long_ago) = Instant::now().checked_sub(FRESH + Duration::from_secs(1)) else { return };
        for n in 0..LINES {
            feed.released(&row(&n.to_string(), "1", Purpose::Production), long_ago);
        }
        let (_followed, waiting) = feed.follow(line("7"), false);
        assert_eq!(waiting, 0);
        released(&feed, "new", "1");
        assert_eq!(feed.lines.lock().len(), 2, "the new one, and the one that is followed");
    }
}
