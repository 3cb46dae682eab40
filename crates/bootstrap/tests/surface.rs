//! What every port answers, and how it takes its leave.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::Ordering;

use common::{LIMIT, Running, serve};
use ovomesh_bootstrap::PortConfig;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_bootstrap::status::pb::{GetStatusRequest, GetStatusResponse};
use ovomesh_testkit::get;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;

async fn channel(running: &Running) -> Channel {
    Endpoint::from_shared(format!("http://{}", running.address)).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn health_follows_the_service_and_ends_with_the_drain() {
    let running = serve(PortConfig::default()).await;
    let mut health = HealthClient::new(channel(&running).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || -> Option<ServingStatus> {
        let message = timeout(LIMIT, watch.message()).await.expect("health is told in time");
        message.unwrap().map(|answer| answer.status())
    };
    assert_eq!(next().await, Some(Serving));
    running.ready.0.store(false, Ordering::Relaxed);
    assert_eq!(next().await, Some(NotServing), "a service that is not ready");
    running.ready.0.store(true, Ordering::Relaxed);
    assert_eq!(next().await, Some(Serving));
    let check = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(check.status(), Serving);
    running.lifecycle.drain.cancel();
    assert_eq!(next().await, Some(NotServing), "a service that drains");
    assert_eq!(next().await, None, "a watch does not keep the server");
    timeout(LIMIT, running.served).await.expect("the drain ends").unwrap().unwrap();
}

macro_rules! services {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version as pb;
        let ask = pb::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(pb::server_reflection_request::MessageRequest::ListServices(String::new())),
        };
        let mut client = pb::server_reflection_client::ServerReflectionClient::new($channel);
        let mut answers =
            client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
        match answers.message().await.unwrap().unwrap().message_response.unwrap() {
            pb::server_reflection_response::MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_what_is_served_and_nothing_else() {
    let running = serve(PortConfig::default()).await;
    let channel = channel(&running).await;
    for (version, mut found) in
        [("v1", services!(v1, channel.clone())), ("v1alpha", services!(v1alpha, channel.clone()))]
    {
        found.sort();
        let own = format!("grpc.reflection.{version}.ServerReflection");
        assert_eq!(found, ["grpc.health.v1.Health", &own, "ovomesh.status.v1.StatusService"]);
    }
}

#[tokio::test]
async fn health_knows_the_services_of_its_port_by_name() {
    let running = serve(PortConfig::default()).await;
    let mut health = HealthClient::new(channel(&running).await);
    let mut check = async |service: &str| {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
    };
    assert_eq!(check("ovomesh.status.v1.StatusService").await, Ok(Serving));
    assert_eq!(check("ovomesh.query.v1.QueryService").await, Err(Code::NotFound));
    running.ready.0.store(false, Ordering::Relaxed);
    // Whether it is ready is looked at a few times a second.
    timeout(LIMIT, async { while check("ovomesh.status.v1.StatusService").await != Ok(NotServing) {} })
        .await
        .expect("health follows the service");
}

#[tokio::test]
async fn a_call_of_a_service_that_is_elsewhere_learns_where() {
    let running = serve(PortConfig::default()).await;
    let mut client = tonic::client::Grpc::new(channel(&running).await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GetStatusRequest, GetStatusResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/ovomesh.query.v1.QueryService/GetEgg");
    let status = client.unary(tonic::Request::new(GetStatusRequest {}), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("is served by query, port 7701"), "{status:?}");
}

#[tokio::test]
async fn status_tells_what_the_service_knows_and_what_it_is() {
    let running = serve(PortConfig { instance: "a-1".into(), ..PortConfig::default() }).await;
    let mut client = StatusServiceClient::new(channel(&running).await);
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.service.as_str(), status.instance.as_str()), ("tested", "a-1"));
    assert_eq!((status.ready, status.backlog, status.oldest_unanswered_ms), (true, 3, 1_500));
    assert!(!status.version.is_empty() && status.started_at.is_some());
}

#[tokio::test]
async fn pages_are_there_for_plain_http() {
    let running = serve(PortConfig::default()).await;
    metrics::counter!("ovomesh_surface_test_total").increment(7);
    let address = running.address;
    let page = move |path| async move {
        tokio::task::spawn_blocking(move || get(address, path).unwrap()).await.unwrap()
    };
    let (code, text) = page("/metrics").await;
    assert!(code == 200 && text.contains("ovomesh_surface_test_total 7"), "{code}: {text}");
    assert_eq!(page("/healthz").await.0, 200);
    assert_eq!(page("/readyz").await.0, 200);
    running.ready.0.store(false, Ordering::Relaxed);
    assert_eq!(page("/readyz").await.0, 503);
    assert_eq!(page("/healthz").await.0, 200, "it is alive all the same");
}
