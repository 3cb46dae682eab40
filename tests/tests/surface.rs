//! What anybody can ask any port: health, reflection of both versions, status, metrics; and the example client.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_bootstrap::status::pb::{GetStatusRequest, GetStatusResponse};
use ovomesh_testkit::get;
use ovomesh_tests::{LIMIT, Session, fleet, programs, query, scan, stored};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap()
}

/// The services that each kind of process exists for.
const OWN: [(&str, &[&str]); 5] = [
    (
        "scanner-gateway",
        &[
            "ovomesh.gateway.v1.GatewayService",
            "ovomesh.load.v1.LoadService",
            "ovomesh.scanner.v1.ScannerService",
        ],
    ),
    ("preprocess-1", &["ovomesh.preprocess.v1.PreprocessService"]),
    ("inference-1", &["ovomesh.inference.v1.InferenceService"]),
    ("results-store", &["ovomesh.store.v1.StoreService"]),
    ("query", &["ovomesh.query.v1.QueryService"]),
];

macro_rules! reflected {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new($channel);
        let mut answers =
            client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
        match answers.message().await.unwrap().unwrap().message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

/// Waits until the health service says so: it looks a few times a second whether its service is ready.
async fn serving(name: &str, channel: Channel) {
    let begun = std::time::Instant::now();
    let mut client = HealthClient::new(channel);
    loop {
        let health = client.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        if health.status() == ServingStatus::Serving {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{name} is {:?} after {LIMIT:?}", health.status());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_port_has_health_reflection_status_and_metrics() {
    for (name, own) in OWN {
        let process = fleet().get(name).unwrap();
        let channel = channel(&process.url()).await;
        serving(name, channel.clone()).await;
        for services in [reflected!(v1, channel.clone()), reflected!(v1alpha, channel.clone())] {
            let ours = services.iter().map(String::as_str).filter(|name| name.starts_with("ovomesh."));
            let expected = own.iter().copied().chain(["ovomesh.status.v1.StatusService"]);
            assert_eq!(
                BTreeSet::from_iter(ours),
                BTreeSet::from_iter(expected),
                "{name} lists what it serves"
            );
        }
        let mut health = HealthClient::new(channel.clone());
        for service in own {
            let request = HealthCheckRequest { service: (*service).into() };
            let answer = health.check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        }
        let status =
            StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await.unwrap().into_inner();
        assert!(status.ready && status.instance == name && !status.version.is_empty(), "{status:?}");
        let (code, metrics) = get(process.address(), "/metrics").unwrap();
        assert!(code == 200 && metrics.is_ascii(), "{name}");
    }
}

#[tokio::test]
async fn a_port_says_where_each_service_is_that_it_does_not_serve() {
    let files = FileDescriptorSet::decode(ovomesh_api::pb::DESCRIPTORS).unwrap().file;
    let names = files
        .iter()
        .flat_map(|file| file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())));
    let preprocess = "ovomesh.preprocess.v1.PreprocessService";
    let names: Vec<_> = names.filter(|name| name != preprocess).collect();
    assert!(names.len() >= 7, "{names:?}");
    let mut client = Grpc::new(channel(&fleet().get("preprocess-1").unwrap().url()).await);
    for name in names {
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetStatusRequest, GetStatusResponse>::default();
        let path = format!("/{name}/Method").parse().unwrap();
        let status = client.unary(tonic::Request::new(GetStatusRequest {}), path, codec).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(status.message().contains(&format!("{name} is served by ")), "{status:?}");
    }
}

#[tokio::test]
async fn ovomesh_status_shows_every_service_and_one_that_is_away() {
    let urls = OWN.map(|(name, _)| fleet().get(name).unwrap().url()).join(",");
    let output = programs()
        .command("ovomesh")
        .unwrap()
        .args(["status", "--service", &format!("{urls},http://127.0.0.1:1")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for (name, _) in OWN {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(text.contains("127.0.0.1:1"), "{text}");
}

#[tokio::test]
async fn a_stored_scan_is_found_shown_and_listed() {
    let (mut session, _) = Session::open(&fleet().gateway().unwrap()).await;
    session.scan(scan("to-be-found")).await;
    session.verdict().await;
    while !matches!(session.answer().await, ovomesh_tests::Answer::Committed(id) if id == "to-be-found") {}
    let mut query = query(fleet()).await;
    let request = ovomesh_api::pb::query::v1::GetEggRequest {
        egg_id: "egg-of-to-be-found".into(),
        ..Default::default()
    };
    let rows = query.get_egg(request).await.unwrap().into_inner().rows;
    assert_eq!(rows.iter().map(|row| stored(row).scan_id).collect::<Vec<_>>(), ["to-be-found"]);
    let ask = |words: &[&str]| {
        let mut command = programs().command("ovomesh").unwrap();
        let output = command.args(["--query", &fleet().query().unwrap()]).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for words in [
        &["show", "to-be-found"][..],
        &["get", "egg-of-to-be-found"],
        &["list", "--site", "test", "--line", "1"],
    ] {
        assert!(ask(words).contains("to-be-found"), "{words:?}");
    }
}

#[tokio::test]
async fn the_example_scanner_gets_its_verdict() {
    // Without the environment that `cargo xtask test` makes, the machine's own Python must have grpcio.
    let python = std::env::var("OVOMESH_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let example = ovomesh_testkit::repository().join("examples/python/scanner.py");
    let address = fleet().get("scanner-gateway").unwrap().address().to_string();
    let output = Command::new(python).arg(example).args(["--gateway", &address]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("verdict") && text.contains("CALL_"), "{text}");
}
