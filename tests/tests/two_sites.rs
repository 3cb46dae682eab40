//! Two hatcheries behind one agent number their scans alike: whatever dies, every scan of both is stored once and right, every
//! scanner receives the answers about its own scans, and every sorter its own eggs.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::query::v1::{GetScanRequest, ListScansRequest};
use ovomesh_api::pb::scan::v1::{DecidedBy, Place, Purpose, Row, Scan, Verdict, Volume};
use ovomesh_api::pb::scanner::v1::Line;
use ovomesh_api::pb::sorter::v1::Start;
use ovomesh_api::pb::spool::v1::{Deadline, Recorded, Spooled};
use ovomesh_api::{Reason, ScanId};
use ovomesh_phantom::Class;
use ovomesh_spool::{Limits, Spool, State, inspect};
use ovomesh_testkit::{Fleet, Shape};
use ovomesh_tests::edge::Edge;
use ovomesh_tests::{
    Answer, LIMIT, OlderGateway, Session, Sorter, fleet, phantom, programs, query, scan, start, volume,
};
use prost::Message as _;
use tonic::transport::Channel;

const AGENT: &str = "scanner-agent-1";
const SITES: [&str; 2] = ["north", "south"];
/// Scans of each site.
const COUNT: usize = 24;

/// A budget that outlives every outage of these tests.
const PATIENT: &str = "default: { budget_ms: 60000 }";

/// What one scanner received, by scan id.
#[derive(Default)]
struct Answers {
    accepted: BTreeSet<String>,
    verdicts: HashMap<String, Verdict>,
    committed: BTreeSet<String>,
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        let is_new = match answer {
            Answer::Accepted(id) => self.accepted.insert(id),
            Answer::Verdict(verdict) => self.verdicts.insert(verdict.scan_id.clone(), *verdict).is_none(),
            Answer::Committed(id) => self.committed.insert(id),
            other => panic!("{other:?}"),
        };
        assert!(is_new, "an answer came twice");
    }
}

fn ids() -> BTreeSet<String> {
    (1..=COUNT).map(|n| n.to_string()).collect()
}

/// Every third scan has the same image at both sites, as of a calibration object.
fn image(site: &str, id: &str) -> Volume {
    let is_same = id.parse::<usize>().unwrap().is_multiple_of(3);
    if site == "north" || is_same { volume() } else { phantom(Class::Male, 12) }
}

fn egg(site: &str, id: &str) -> Scan {
    let place = Place { site: site.into(), line: "1".into(), tray_run: "t".into(), slot: 1 };
    Scan {
        egg_id: format!("{site}-egg-{id}"),
        place: Some(place),
        purpose: Purpose::Production.into(),
        volume: Some(image(site, id)),
        ..scan(id)
    }
}

async fn session(agent: &str) -> Session {
    Session::open(agent).await.0
}

/// Sends all scans of a site and reads answers until `is_enough`.
async fn send(session: &mut Session, site: &str, is_enough: fn(&Answers) -> bool) -> Answers {
    let mut answers = Answers::default();
    for id in ids() {
        session.scan(egg(site, &id)).await;
    }
    while !is_enough(&answers) {
        answers.add(session.answer().await);
        assert_eq!(session.site, site, "the answer names the site");
    }
    answers
}

fn all_accepted(answers: &Answers) -> bool {
    answers.accepted.len() == COUNT
}

fn all_decided(answers: &Answers) -> bool {
    answers.verdicts.len() == COUNT
}

fn all_committed(answers: &Answers) -> bool {
    all_decided(answers) && answers.committed.len() == COUNT
}

/// Both scanners at the same time.
async fn send_both(agent: &str, is_enough: fn(&Answers) -> bool) -> [Answers; 2] {
    let (mut north, mut south) = (session(agent).await, session(agent).await);
    let [a, b] = SITES;
    tokio::join!(send(&mut north, a, is_enough), send(&mut south, b, is_enough)).into()
}

/// Waits until every scan of a site is stored; compares its row with what was sent and answered.
async fn all_stored(mut query: QueryServiceClient<Channel>, site: &str, answers: &Answers) {
    for id in ids() {
        let row = stored(&mut query, site, &id).await;
        let sent = egg(site, &id);
        assert_eq!((row.egg_id.as_str(), row.place), (sent.egg_id.as_str(), sent.place), "{site} {id}");
        assert_eq!(Some(row.volume_crc32c), sent.volume.unwrap().crc32c, "{site} {id}");
        if let Some(verdict) = answers.verdicts.get(&id) {
            assert_eq!(row.verdict.as_ref(), Some(verdict), "{site} {id} is stored as it was answered");
        }
    }
    let line = ListScansRequest { site: site.into(), line: "1".into(), ..Default::default() };
    let rows = query.list_scans(line).await.unwrap().into_inner().rows;
    let stored: Vec<String> = rows.iter().map(|row| ovomesh_tests::stored(row).scan_id).collect();
    assert_eq!((stored.len(), stored.into_iter().collect()), (COUNT, ids()), "{site}: each once");
}

async fn stored(query: &mut QueryServiceClient<Channel>, site: &str, id: &str) -> Row {
    let begun = Instant::now();
    loop {
        let request = GetScanRequest { scan_id: id.into(), site: site.into() };
        match query.get_scan(request).await {
            Ok(found) => return ovomesh_tests::stored(&found.into_inner().row.unwrap()),
            Err(status) => assert!(begun.elapsed() < LIMIT, "{id} of {site} is not stored: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// No row was refused: none said something else than the stored one.
fn nothing_refused(spool: &Path) {
    assert!(!spool.join("failed").exists(), "{:?}", std::fs::read_dir(spool.join("failed")));
}

async fn sorter(agent: &str, site: &str) -> (Sorter, u32) {
    let line = Some(Line { site: site.into(), line: "1".into() });
    let (sorter, following) = Sorter::open(agent, Start { line, ..start() }).await.unwrap();
    (sorter, following.unacknowledged)
}

/// The next verdicts of a line, which must be those of all its eggs.
async fn released(sorter: &mut Sorter, site: &str, answers: &Answers) {
    let mut released = BTreeSet::new();
    for _ in 0..COUNT {
        let next = sorter.verdict().await;
        let verdict = next.verdict.unwrap();
        assert_eq!(next.egg_id, format!("{site}-egg-{}", verdict.scan_id));
        assert_eq!(Some(&verdict), answers.verdicts.get(&verdict.scan_id), "{site}");
        released.insert(verdict.scan_id);
    }
    assert_eq!(released, ids(), "{site}");
}

/// Waits until no verdict of a line waits for its sorter.
async fn all_acknowledged(agent: &str, site: &str) {
    let begun = Instant::now();
    while sorter(agent, site).await.1 > 0 {
        assert!(begun.elapsed() < LIMIT, "the acknowledgements of {site} do not count");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn edge(lines: &str) -> (Fleet, String) {
    let shape = Shape::default();
    std::fs::create_dir_all(&shape.folder).unwrap();
    let file = shape.folder.join("lines.yaml");
    std::fs::write(&file, lines).unwrap();
    let mut fleet = Fleet::start(&programs(), Shape { lines: Some(file), ..shape }).unwrap();
    fleet.add_agent(AGENT).unwrap();
    let url = fleet.get(AGENT).unwrap().url();
    (fleet, url)
}

#[tokio::test]
async fn two_sites_with_the_same_numbers_are_answered_sorted_and_stored_apart() {
    let (mut fleet, agent) = edge(PATIENT);
    let (mut north, _) = sorter(&agent, "north").await;
    let (mut south, _) = sorter(&agent, "south").await;
    let answers = send_both(&agent, all_committed).await;
    for ((sorter, site), answers) in [&mut north, &mut south].into_iter().zip(SITES).zip(&answers) {
        released(sorter, site, answers).await;
        all_stored(query(&fleet).await, site, answers).await;
    }
    // What the sorter of one site has done says nothing of the other's eggs, also after a kill.
    for id in ids() {
        north.actuated(&id).await;
    }
    all_acknowledged(&agent, "north").await;
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    assert_eq!(sorter(&agent, "north").await.1, 0);
    let (mut south, unacknowledged) = sorter(&agent, "south").await;
    assert_eq!(unacknowledged as usize, COUNT);
    released(&mut south, "south", &answers[1]).await;
    // A repeat gets the same answer.
    let again = send_both(&agent, all_committed).await;
    for (first, again) in answers.iter().zip(&again) {
        assert_eq!(first.verdicts, again.verdicts);
    }
    nothing_refused(&fleet.folder().join(AGENT));
}

#[tokio::test]
async fn one_session_carries_scans_of_both_sites_with_the_same_numbers() {
    for server in [AGENT, "scanner-gateway"] {
        let (fleet, _) = edge(PATIENT);
        let mut session = session(&fleet.get(server).unwrap().url()).await;
        let mut answers = HashMap::<String, Answers>::new();
        for id in ids() {
            for site in SITES {
                session.scan(egg(site, &id)).await;
            }
        }
        while answers.len() < 2 || !answers.values().all(all_committed) {
            let answer = session.answer().await;
            answers.entry(session.site.clone()).or_default().add(answer);
        }
        for site in SITES {
            all_stored(query(&fleet).await, site, &answers[site]).await;
        }
    }
}

#[tokio::test]
async fn accepted_scans_of_both_sites_survive_a_gateway_outage_and_a_kill_of_the_agent() {
    let (mut fleet, agent) = edge(PATIENT);
    fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
    send_both(&agent, all_accepted).await;
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    fleet.restart("scanner-gateway").unwrap();
    let answers = send_both(&agent, all_committed).await;
    for (site, answers) in SITES.into_iter().zip(&answers) {
        assert!(answers.verdicts.values().all(|verdict| verdict.decided_by() == DecidedBy::Mesh));
        all_stored(query(&fleet).await, site, answers).await;
    }
    nothing_refused(&fleet.folder().join(AGENT));
}

#[tokio::test]
async fn verdicts_of_both_sites_survive_a_store_outage_and_a_kill_of_the_agent() {
    let (mut fleet, agent) = edge(PATIENT);
    fleet.get_mut("results-store").unwrap().kill().unwrap();
    let answers = send_both(&agent, all_decided).await;
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    let mut again = Vec::new();
    for (site, answers) in SITES.into_iter().zip(&answers) {
        let (mut sorter, unacknowledged) = sorter(&agent, site).await;
        assert_eq!(unacknowledged as usize, COUNT);
        released(&mut sorter, site, answers).await;
        again.push(answers);
    }
    fleet.restart("results-store").unwrap();
    for (site, answers) in SITES.into_iter().zip(again) {
        all_stored(query(&fleet).await, site, answers).await;
    }
    nothing_refused(&fleet.folder().join(AGENT));
}

#[tokio::test]
async fn through_a_gateway_that_names_no_site_no_two_scans_of_one_number_are_outstanding() {
    let gateway = OlderGateway::start(&fleet().gateway().unwrap()).await;
    let agent = Edge::start_at(&gateway.url, "older", PATIENT, &[]);
    let answers = send_both(&agent.url(), all_committed).await;
    assert_eq!(gateway.clashes(), Vec::<String>::new());
    for (site, answers) in SITES.into_iter().zip(&answers) {
        all_stored(query(fleet()).await, site, answers).await;
    }
    nothing_refused(&agent.folder.join("spool"));
}

#[tokio::test]
async fn a_spool_of_two_sites_whose_agent_never_comes_back_is_stored_by_hand_through_any_gateway() {
    for is_older in [true, false] {
        let (mut fleet, agent) = edge(PATIENT);
        fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
        send_both(&agent, all_accepted).await;
        fleet.get_mut(AGENT).unwrap().kill().unwrap();
        fleet.restart("scanner-gateway").unwrap();
        let gateway = fleet.get("scanner-gateway").unwrap().url();
        let older = OlderGateway::start(&gateway).await;
        let mut command = programs().command("ovomesh").unwrap();
        command.args(["--output", "json", "spool", "drain", "--gateway"]);
        command.arg(if is_older { &older.url } else { &gateway }).arg(fleet.folder().join(AGENT));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let done: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&done["stored"], &done["undecided"]), (&(2 * COUNT).into(), &(2 * COUNT).into()));
        assert_eq!(older.clashes(), Vec::<String>::new());
        for site in SITES {
            all_stored(query(&fleet).await, site, &Answers::default()).await;
        }
    }
}

/// A spool as agents of version 0.1 wrote it, and those after it until the site became part of the key.
struct OldSpool(Spool);

impl OldSpool {
    fn open(folder: &Path) -> Self {
        let limits = Limits { scan_bytes: 1 << 30, verdict_bytes: 1 << 30 };
        Self(Spool::open(folder, limits).unwrap().0)
    }

    async fn scan(&self, id: &str, deadline: Option<Deadline>) {
        let received_at = Some(prost_types::Timestamp::from(std::time::SystemTime::now()));
        let scan = Some(Scan { acquired_at: received_at, ..egg("north", id) });
        let (clock_correction_us, acquired_here) = (Some(0), true);
        let spooled =
            Spooled { scan, received_at, deadline, clock_correction_us, acquired_here, ..Spooled::default() };
        self.0.accept(id, spooled.encode_to_vec().into()).await.unwrap();
    }

    /// Records a verdict; with its time, as only agents after version 0.1 did.
    async fn verdict(&self, id: &str, at: Option<Deadline>, is_committed: bool) -> Verdict {
        let sent = egg("north", id);
        let verdict = ovomesh_api::Verdict::undecided(Reason::Expired, "of an older agent");
        let verdict = verdict.to_pb(&ScanId::parse(id).unwrap());
        let now = Some(prost_types::Timestamp::from(std::time::SystemTime::now()));
        let row = Row {
            scan_id: id.into(),
            egg_id: sent.egg_id,
            place: sent.place,
            purpose: sent.purpose,
            acquired_at: now,
            received_at: now,
            volume_crc32c: sent.volume.unwrap().crc32c.unwrap(),
            verdict: Some(verdict.clone()),
            ..Row::default()
        };
        let recorded: Bytes = [row.encode_to_vec(), Recorded { at }.encode_to_vec()].concat().into();
        let mut released = self.0.release(id, recorded).await.unwrap();
        if is_committed {
            self.0.committed(&mut released).await.unwrap();
        }
        verdict
    }
}

/// A moment of this boot, from now.
fn in_seconds(seconds: u64) -> Deadline {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    Deadline { boot_id, at_ms: (uptime * 1_000.0) as u64 + seconds * 1_000 }
}

#[tokio::test]
async fn a_spool_without_sites_in_its_keys_is_read_and_the_other_site_is_no_part_of_it() {
    let (mut fleet, agent) = edge(PATIENT);
    let spool = fleet.folder().join(AGENT);
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    let old = OldSpool::open(&spool);
    // 3 waits for a verdict and keeps the file alive in which the other scans are; the time of 1 and 2 is over.
    old.scan("1", None).await;
    old.scan("2", Some(Deadline::default())).await;
    old.scan("3", Some(in_seconds(60))).await;
    let mut answers = Answers::default();
    for (id, at, is_committed) in [
        ("4", None, false),
        ("5", Some(in_seconds(0)), false),
        ("6", None, true),
        ("7", Some(in_seconds(0)), true),
    ] {
        answers.verdicts.insert(id.into(), old.verdict(id, at, is_committed).await);
    }
    // A sorter has acted on one of them.
    old.0.actuated("5").await.unwrap();
    drop(old);

    // Without a gateway: 1 and 2 are decided by the agent, nothing is stored, and the agent is killed again and again.
    fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
    for _ in 0..3 {
        fleet.restart(AGENT).unwrap();
        let (mut sorter, _) = sorter(&agent, "north").await;
        let mut waiting = BTreeSet::new();
        while waiting.len() < 3 {
            let next = sorter.verdict().await.verdict.unwrap();
            assert!(waiting.insert(next.scan_id.clone()), "{} came twice", next.scan_id);
            let before = answers.verdicts.insert(next.scan_id.clone(), next.clone());
            assert!(before.is_none_or(|before| before == next), "{} has another verdict", next.scan_id);
        }
        assert_eq!(waiting, ["1", "2", "7"].map(str::to_owned).into());
        fleet.get_mut(AGENT).unwrap().kill().unwrap();
        let records = inspect(&spool).unwrap().records;
        let verdicts = records.iter().filter(|record| record.state != State::Undecided);
        assert_eq!(verdicts.count(), 6, "one for each of 1, 2, 4, 5, 6, 7: {records:?}");
    }
    fleet.restart(AGENT).unwrap();
    let mut south = session(&agent).await;
    let accepted = send(&mut south, "south", all_accepted).await;
    assert_eq!(accepted.verdicts.len(), 0, "no verdict of north's is one of south's");
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    fleet.restart("scanner-gateway").unwrap();

    let south = send(&mut session(&agent).await, "south", all_committed).await;
    all_stored(query(&fleet).await, "south", &south).await;
    let mut query = query(&fleet).await;
    for id in ["1", "2", "3", "4", "5"] {
        let row = stored(&mut query, "north", id).await;
        assert_eq!(row.egg_id, format!("north-egg-{id}"));
        if let Some(verdict) = answers.verdicts.get(id) {
            assert_eq!(row.verdict.as_ref(), Some(verdict), "{id}");
        }
    }
    // A repeat of what was stored before is answered from the spool.
    let mut north = session(&agent).await;
    for id in ["6", "7"] {
        north.scan(egg("north", id)).await;
        assert_eq!(Some(&north.verdict().await), answers.verdicts.get(id));
    }
    nothing_refused(&spool);
}
