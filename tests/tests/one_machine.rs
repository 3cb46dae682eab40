//! `ovomeshd`: all services in one process, and its data after any kind of end.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use ovomesh_api::pb::query::v1::GetScanRequest;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_testkit::Process;
use ovomesh_tests::{Answer, Session, programs, scan};
use tonic::transport::Endpoint;

fn start(folder: &Path, query: std::net::SocketAddr) -> Process {
    let mut command = programs().command("ovomeshd").unwrap();
    let models = programs().model_flags().join(" ");
    command
        .args(["--listen", "127.0.0.1:0", "--query-listen", &query.to_string(), "--data"])
        .arg(folder.join("data"))
        .arg(format!("--inference-flags={models}"));
    let mut process = Process::start("ovomeshd", command, folder).unwrap();
    process.ready().unwrap();
    process
}

#[tokio::test]
async fn what_was_committed_is_there_after_kill_minus_nine() {
    let folder = std::env::temp_dir().join(format!("ovomesh-one-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let query = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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
        let found = query.get_scan(GetScanRequest { scan_id: id.clone() }).await;
        assert_eq!(found.unwrap().into_inner().row.unwrap().scan_id, id);
    }
}
