//! Tables as releases up to 0.1.0 made and wrote them: scans and eggs are known by their id alone.

use ovomesh_api::pb::scan::v1::Row;
use prost::Message as _;
use scylla::client::session::Session;
use scylla::value::CqlTimestamp;

/// What the only step of the schema was.
const TABLES: [&str; 6] = [
    "CREATE TABLE KEYSPACE.scans_by_line (site text, line text, hour timestamp, acquired_at timestamp, nanos int, \
     scan_id text, egg_id text, tray_run text, slot int, call text, p_female float, row blob, \
     PRIMARY KEY ((site, line, hour), acquired_at, nanos, scan_id)) WITH default_time_to_live = 34560000",
    "CREATE TABLE KEYSPACE.hours_by_line (site text, line text, hour timestamp, PRIMARY KEY ((site, line), hour)) \
     WITH default_time_to_live = 34646400",
    "CREATE TABLE KEYSPACE.scans_by_egg (egg_id text, acquired_at timestamp, nanos int, scan_id text, row blob, \
     PRIMARY KEY (egg_id, acquired_at, nanos, scan_id)) \
     WITH CLUSTERING ORDER BY (acquired_at DESC, nanos DESC, scan_id ASC) AND default_time_to_live = 34560000",
    "CREATE TABLE KEYSPACE.scans_by_id (scan_id text PRIMARY KEY, site text, line text, hour timestamp, \
     acquired_at timestamp, nanos int, egg_id text, preview blob) WITH default_time_to_live = 34560000",
    "CREATE TABLE KEYSPACE.pulse (instance text PRIMARY KEY, at timestamp) WITH default_time_to_live = 86400",
    "CREATE TABLE KEYSPACE.schema_versions (version int PRIMARY KEY, done_at timestamp)",
];

/// A results-store of that release.
pub struct OldCql {
    pub session: Session,
    pub keyspace: String,
}

impl OldCql {
    /// Makes keyspace and tables.
    pub async fn create(session: Session, keyspace: &str) -> Self {
        let old = Self { session, keyspace: keyspace.to_owned() };
        let replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}";
        old.run(&format!("create keyspace KEYSPACE WITH replication = {replication}")).await;
        for table in TABLES {
            old.run(table).await;
        }
        old.run("INSERT INTO KEYSPACE.schema_versions (version, done_at) VALUES (1, toTimestamp(now()))")
            .await;
        old
    }

    /// Writes rows, one after the other.
    pub async fn write(&self, rows: &[Row]) {
        let statements = [
            "INSERT INTO KEYSPACE.scans_by_line (site, line, hour, acquired_at, nanos, scan_id, egg_id, row) \
             VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
            "INSERT INTO KEYSPACE.hours_by_line (site, line, hour) VALUES (?, ?, ?)",
            "INSERT INTO KEYSPACE.scans_by_egg (egg_id, acquired_at, nanos, scan_id, row) VALUES (?, ?, 0, ?, ?)",
            "INSERT INTO KEYSPACE.scans_by_id (scan_id, site, line, hour, acquired_at, nanos, egg_id, preview) \
             VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
        ];
        let mut prepared = Vec::new();
        for statement in statements {
            prepared.push(self.session.prepare(self.fill(statement)).await.unwrap());
        }
        for row in rows {
            let place = row.place.as_ref().unwrap();
            let (site, line, id, egg) = (&place.site, &place.line, &row.scan_id, &row.egg_id);
            let at = CqlTimestamp(row.acquired_at.unwrap().seconds * 1_000);
            let hour = CqlTimestamp(at.0 / 3_600_000 * 3_600_000);
            let bytes = Row { preview: None, ..row.clone() }.encode_to_vec();
            let preview = row.preview.as_ref().map(prost::Message::encode_to_vec);
            let preview = scylla::value::MaybeUnset::from_option(preview);
            let run = |n: usize| &prepared[n];
            self.session.execute_unpaged(run(0), (site, line, hour, at, id, egg, &bytes)).await.unwrap();
            self.session.execute_unpaged(run(1), (site, line, hour)).await.unwrap();
            if !egg.is_empty() {
                self.session.execute_unpaged(run(2), (egg, at, id, &bytes)).await.unwrap();
            }
            self.session.execute_unpaged(run(3), (id, site, line, hour, at, egg, preview)).await.unwrap();
        }
    }

    /// It writes rows just now.
    pub async fn pulse(&self) {
        self.run("INSERT INTO KEYSPACE.pulse (instance, at) VALUES ('old', toTimestamp(now()))").await;
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> i64 {
        let question = self.fill(&format!("SELECT count(*) FROM KEYSPACE.{table}"));
        let rows = self.session.query_unpaged(question, ()).await.unwrap().into_rows_result().unwrap();
        rows.single_row::<(i64,)>().unwrap().0
    }

    async fn run(&self, statement: &str) {
        self.session.query_unpaged(self.fill(statement), ()).await.unwrap();
    }

    fn fill(&self, statement: &str) -> String {
        statement.replace("KEYSPACE", &self.keyspace)
    }
}
