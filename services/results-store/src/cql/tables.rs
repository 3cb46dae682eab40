//! The prepared statements, and what they are bound to.

use std::sync::atomic::{AtomicBool, Ordering};

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;

use super::explain;

/// Rows in one page from the database, also the most that a reader takes at once.
const PAGE: i32 = 1_000;

/// A connection, and every statement of this service prepared on it.
pub(super) struct Tables {
    pub session: Session,
    pub put_line: PreparedStatement,
    pub put_hour: PreparedStatement,
    pub put_egg: PreparedStatement,
    pub put_egg_hour: PreparedStatement,
    pub put_scan: PreparedStatement,
    pub put_pulse: PreparedStatement,
    /// Where the scans of an id are, with their pictures.
    pub find_scans: PreparedStatement,
    /// Where a scan is: to know whether a row that was found elsewhere still stands.
    pub locate_scan: PreparedStatement,
    /// Where the scans of some ids are.
    pub locate_scans: PreparedStatement,
    pub get_row: PreparedStatement,
    /// The first site behind this one that has an egg of this name.
    pub next_site: PreparedStatement,
    /// The hours of an egg of a site, newest first.
    pub list_egg_hours: PreparedStatement,
    /// Rows of an egg's hour that are of one moment, behind a scan.
    pub list_egg_moment: PreparedStatement,
    /// Rows of an egg's hour before a moment.
    pub list_egg: PreparedStatement,
    pub list_hours: PreparedStatement,
    pub list_line: PreparedStatement,
    pub list_lines: PreparedStatement,
    /// The tables of an older release, as long as not all of their rows are in the new ones.
    pub old: Option<Old>,
}

impl Tables {
    /// Prepares all of them in `keyspace`.
    pub async fn prepare(session: Session, keyspace: &str, is_migrating: bool) -> Result<Self, String> {
        let prepare = async |text: &str| prepare(&session, keyspace, text).await;
        Ok(Self {
            put_line: prepare(
                "INSERT INTO KEYSPACE.scans_by_line (site, line, hour, acquired_at, nanos, scan_id, egg_id, tray_run, \
                 slot, call, p_female, row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            put_hour: prepare("INSERT INTO KEYSPACE.hours_by_line (site, line, hour) VALUES (?, ?, ?)").await?,
            put_egg: prepare(
                "INSERT INTO KEYSPACE.scans_by_egg_and_hour (egg_id, site, hour, acquired_at, nanos, scan_id, row) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            put_egg_hour: prepare("INSERT INTO KEYSPACE.hours_by_egg (egg_id, site, hour) VALUES (?, ?, ?)")
                .await?,
            put_scan: prepare(
                "INSERT INTO KEYSPACE.scans_by_id_and_site (scan_id, site, line, hour, acquired_at, nanos, egg_id, \
                 preview) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            put_pulse: prepare("INSERT INTO KEYSPACE.writers (instance, release, at) VALUES (?, ?, ?)").await?,
            find_scans: prepare(
                "SELECT site, line, hour, acquired_at, nanos, egg_id, preview FROM KEYSPACE.scans_by_id_and_site \
                 WHERE scan_id = ?",
            )
            .await?,
            locate_scan: prepare(
                "SELECT site, line, acquired_at, nanos, egg_id FROM KEYSPACE.scans_by_id_and_site \
                 WHERE scan_id = ? AND site = ?",
            )
            .await?,
            locate_scans: prepare(
                "SELECT scan_id, site, line, hour, acquired_at, nanos FROM KEYSPACE.scans_by_id_and_site \
                 WHERE scan_id IN ?",
            )
            .await?,
            get_row: prepare(
                "SELECT row FROM KEYSPACE.scans_by_line WHERE site = ? AND line = ? AND hour = ? AND acquired_at = ? \
                 AND nanos = ? AND scan_id = ?",
            )
            .await?,
            next_site: prepare(
                "SELECT site FROM KEYSPACE.hours_by_egg WHERE egg_id = ? AND site > ? LIMIT 1",
            )
            .await?,
            list_egg_hours: prepare(
                "SELECT hour FROM KEYSPACE.hours_by_egg WHERE egg_id = ? AND site = ? AND hour <= ? LIMIT ?",
            )
            .await?,
            list_egg_moment: prepare(
                "SELECT acquired_at, nanos, scan_id, row FROM KEYSPACE.scans_by_egg_and_hour \
                 WHERE egg_id = ? AND site = ? AND hour = ? AND acquired_at = ? AND nanos = ? AND scan_id > ? LIMIT ?",
            )
            .await?,
            list_egg: prepare(
                "SELECT acquired_at, nanos, scan_id, row FROM KEYSPACE.scans_by_egg_and_hour \
                 WHERE egg_id = ? AND site = ? AND hour = ? AND (acquired_at, nanos) < (?, ?) LIMIT ?",
            )
            .await?,
            list_hours: prepare(
                "SELECT hour FROM KEYSPACE.hours_by_line WHERE site = ? AND line = ? AND hour >= ? AND hour <= ? \
                 LIMIT ?",
            )
            .await?,
            list_line: prepare(
                "SELECT acquired_at, nanos, scan_id, row FROM KEYSPACE.scans_by_line \
                 WHERE site = ? AND line = ? AND hour = ? AND (acquired_at, nanos, scan_id) >= (?, ?, ?) \
                 AND (acquired_at, nanos, scan_id) < (?, ?, ?) LIMIT ?",
            )
            .await?,
            list_lines: prepare("SELECT DISTINCT site, line FROM KEYSPACE.hours_by_line").await?,
            old: match is_migrating {
                true => Some(Old::prepare(&session, keyspace).await?),
                false => None,
            },
            session,
        })
    }

    /// The tables of an older release, while they have to be asked too.
    pub fn old(&self) -> Option<&Old> {
        self.old.as_ref().filter(|old| !old.is_done.load(Ordering::Relaxed))
    }
}

/// Tables of a release that knew scans and eggs by their id alone, and the statements that bring their rows over.
pub(super) struct Old {
    /// All is in the new tables.
    pub is_done: AtomicBool,
    pub find_scan: PreparedStatement,
    pub locate_scans: PreparedStatement,
    pub list_egg: PreparedStatement,
    /// Rows of a part of all lines, with when they were written and how long they are kept.
    pub rows: PreparedStatement,
    pub pulses: PreparedStatement,
    pub put_egg: PreparedStatement,
    pub put_egg_hour: PreparedStatement,
    pub put_scan: PreparedStatement,
    pub progress: PreparedStatement,
    pub put_progress: PreparedStatement,
}

impl Old {
    async fn prepare(session: &Session, keyspace: &str) -> Result<Self, String> {
        let prepare = async |text: &str| prepare(session, keyspace, text).await;
        Ok(Self {
            is_done: AtomicBool::new(false),
            find_scan: prepare(
                "SELECT site, line, hour, acquired_at, nanos, egg_id, preview FROM KEYSPACE.scans_by_id \
                 WHERE scan_id = ?",
            )
            .await?,
            locate_scans: prepare(
                "SELECT scan_id, site, line, hour, acquired_at, nanos FROM KEYSPACE.scans_by_id WHERE scan_id IN ?",
            )
            .await?,
            list_egg: prepare(
                "SELECT acquired_at, nanos, scan_id, row FROM KEYSPACE.scans_by_egg WHERE egg_id = ?",
            )
            .await?,
            rows: prepare(
                "SELECT site, line, acquired_at, nanos, scan_id, row, writetime(row), ttl(row) \
                 FROM KEYSPACE.scans_by_line WHERE token(site, line, hour) >= ? AND token(site, line, hour) <= ?",
            )
            .await?,
            pulses: prepare("SELECT at FROM KEYSPACE.pulse").await?,
            put_egg: prepare(
                "INSERT INTO KEYSPACE.scans_by_egg_and_hour (egg_id, site, hour, acquired_at, nanos, scan_id, row) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            put_egg_hour: prepare(
                "INSERT INTO KEYSPACE.hours_by_egg (egg_id, site, hour) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            put_scan: prepare(
                "INSERT INTO KEYSPACE.scans_by_id_and_site (scan_id, site, line, hour, acquired_at, nanos, egg_id, \
                 preview) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            progress: prepare("SELECT round, part, at FROM KEYSPACE.migrations WHERE name = 'sites'").await?,
            put_progress: prepare(
                "INSERT INTO KEYSPACE.migrations (name, round, part, at) VALUES ('sites', ?, ?, ?)",
            )
            .await?,
        })
    }
}

async fn prepare(session: &Session, keyspace: &str, text: &str) -> Result<PreparedStatement, String> {
    let text = text.replace("KEYSPACE", keyspace);
    let mut statement = session.prepare(text).await.map_err(|error| explain::preparing(&error))?;
    // Writes too: their keys and values are all in them, and so is their time.
    statement.set_is_idempotent(true);
    statement.set_page_size(PAGE);
    Ok(statement)
}
