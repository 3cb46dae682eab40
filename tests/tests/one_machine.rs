//! `ovomeshd`: all services in one process, and its data after any kind of end.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ovomesh_api::pb::query::v1::GetScanRequest;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_bootstrap::status::pb::GetStatusRequest;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_testkit::Process;
use ovomesh_tests::{Answer, Session, programs, scan, stored};
use tonic::transport::Endpoint;

/// The variables that the help of a program names.
fn variables(program: &str) -> BTreeSet<String> {
    let help = programs().command(program).unwrap().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    // A line may be wrapped anywhere but in a word.
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("OVOMESH_")).map(str::to_owned).collect()
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A model is loaded within this time, also on a machine that has much else to do.
const LOADED: Duration = Duration::from_secs(240);

fn start(folder: &Path, query: SocketAddr) -> Process {
    let mut command = programs().command("ovomeshd").unwrap();
    command
        .args(["--listen", "127.0.0.1:0", "--query-listen", &query.to_string(), "--data"])
        .arg(folder.join("data"))
        .args(["--keep-days", "30", "--keep-gib", "2"])
        .args(programs().model_flags());
    let mut process = Process::start("ovomeshd", command, folder).unwrap();
    process.ready().unwrap();
    process
}

#[test]
fn it_obeys_the_variables_that_its_help_names_and_no_others() {
    let own = variables("ovomeshd");
    let services = ["scanner-agent", "scanner-gateway", "preprocess", "inference", "results-store", "query"];
    let others = services.iter().flat_map(|service| variables(&format!("ovomesh-{service}")));
    let others: BTreeSet<_> = others.filter(|name| !own.contains(name)).collect();
    assert!(others.contains("OVOMESH_CQL") && others.contains("OVOMESH_BATCHES"), "{others:?}");
    let folder = tempfile::tempdir().unwrap();
    let query = free();
    let mut command = programs().command("ovomeshd").unwrap();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
    command.args(programs().model_flags());
    command.envs(others.iter().map(|name| (name, "\u{1}nonsense")));
    command.env("OVOMESH_QUERY_LISTEN", query.to_string());
    let mut process = Process::start("ovomeshd", command, folder.path()).unwrap();
    process.ready().unwrap();
    assert_eq!(ovomesh_testkit::get(query, "/healthz").unwrap().0, 200);
}

#[test]
fn outside_the_repository_its_model_is_found_beside_the_program() {
    let program = PathBuf::from(programs().command("ovomeshd").unwrap().get_program());
    // A link costs nothing, but must be on the same disk.
    let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
    let installed = folder.path().join("installed");
    std::fs::create_dir(&installed).unwrap();
    std::fs::hard_link(&program, installed.join("ovomeshd")).unwrap();
    std::os::unix::fs::symlink(programs().models(), installed.join("models")).unwrap();
    let mut command = Command::new(installed.join("ovomeshd"));
    command.args(["--listen", "127.0.0.1:0", "--query-listen", "127.0.0.1:0", "--data", "data"]);
    command.current_dir(folder.path()).env_remove("OVOMESH_MODELS");
    let mut process = Process::start("ovomeshd", command, folder.path()).unwrap();
    process.ready().unwrap();
}

#[test]
fn status_shows_all_its_services_and_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let query = free();
    let mut process = start(folder.path(), query);
    let entrance = process.url();
    let status = |arguments: &[&str]| {
        let mut command = programs().command("ovomesh").unwrap();
        command.args(["--gateway", &entrance, "--query", &format!("http://{query}")]);
        command.args(arguments).arg("status").output().unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Its model is loaded while the entrance is ready already.
    let well = ovomesh_testkit::wait_until("status succeeds", LOADED, || {
        Some(status(&[])).filter(|output| output.status.success())
    });
    let well = text(&well.unwrap_or_else(|_| panic!("{}", text(&status(&[]).stdout))).stdout);
    for service in ["scanner-gateway", "query", "results-store", "preprocess", "inference"] {
        assert_eq!(
            well.lines().filter(|line| line.starts_with(service) && line.contains(" yes ")).count(),
            1,
            "{well}"
        );
    }
    assert!(!well.contains("unreachable") && well.contains("egg-pose/"), "{well}");
    let json = text(&status(&["--output", "json"]).stdout);
    assert_eq!(json.lines().filter(|line| line.contains("\"ready\":true")).count(), 5, "{json}");
    process.kill().unwrap();
    assert_eq!(status(&[]).status.code(), Some(4), "no server");
}

#[tokio::test]
async fn its_status_says_how_much_disk_its_store_uses() {
    let folder = tempfile::tempdir().unwrap();
    let query = free();
    let _process = start(folder.path(), query);
    let channel = Endpoint::from_shared(format!("http://{query}")).unwrap().connect().await.unwrap();
    let mut status = StatusServiceClient::new(channel);
    let answer = status.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    let store = answer.same_process.iter().find(|other| other.service == "results-store");
    let answer = store.expect("it is in the same process");
    assert!(answer.details["disk used"].ends_with(" of 2.00 GiB"), "{answer:?}");
    assert!(answer.details.contains_key("rows kept since"), "{answer:?}");
}

#[tokio::test]
async fn what_was_committed_is_there_after_kill_minus_nine() {
    let folder = std::env::temp_dir().join(format!("ovomesh-one-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let query = free();
    let mut committed = Vec::new();
    for round in 0..3 {
        let mut process = start(&folder, query);
        let (mut session, _) = Session::open(&process.url()).await;
        for n in 0..30 {
            session.scan(scan(&format!("round-{round}-{n}"))).await;
        }
        // Killed at another point of its work each time.
        while committed.len() < 10 * (round + 1) {
            if let Answer::Committed(id) = session.answer().await {
                committed.push(id);
            }
        }
        process.kill().unwrap();
    }
    let _process = start(&folder, query);
    let channel = Endpoint::from_shared(format!("http://{query}")).unwrap().connect().await.unwrap();
    let mut query = QueryServiceClient::new(channel);
    for id in committed {
        let found = query.get_scan(GetScanRequest { scan_id: id.clone(), ..Default::default() }).await;
        assert_eq!(stored(&found.unwrap().into_inner().row.unwrap()).scan_id, id);
    }
}
