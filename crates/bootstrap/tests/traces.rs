//! Traces of real processes, received over OTLP by this one.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{LIMIT, minimal};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use ovomesh_testkit::{get, wait_until};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

/// Spans with the names of their services.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for part in request.into_inner().resource_spans {
            let attributes = part.resource.unwrap_or_default().attributes;
            let name = attributes.into_iter().find(|a| a.key == "service.name").and_then(|a| a.value?.value);
            let Some(Value::StringValue(name)) = name else { panic!("a service without a name") };
            let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().extend(spans.map(|span| (name.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector and its endpoint.
async fn collector() -> (Collector, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (collector, endpoint) = (Collector::default(), format!("http://{}", listener.local_addr().unwrap()));
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio_util::task::TaskTracker::new().spawn(server.serve_with_incoming(incoming));
    (collector, endpoint)
}

/// Has two services take part in one scan, the second by what the first one says, and ends them.
fn one_scan(endpoint: &str, flags: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let flags: Vec<_> = ["--otlp-endpoint", endpoint].into_iter().chain(flags.iter().copied()).collect();
    let mut first = minimal("first", &flags, folder.path());
    let mut second = minimal("second", &flags, folder.path());
    let entered = get(first.address(), "/trace/new").unwrap().1;
    let joined =
        get(second.address(), &format!("/trace/{entered}")).map(|(_, body)| body).unwrap_or_default();
    for process in [&mut first, &mut second] {
        assert!(process.terminate().unwrap().success(), "{}", process.log());
    }
    (entered, joined)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_two_services() {
    let (collector, endpoint) = collector().await;
    let asked = endpoint.clone();
    let scan = move || one_scan(&asked, &["--trace-ratio", "1"]);
    let (entered, _) = tokio::task::spawn_blocking(scan).await.unwrap();
    // What was open at SIGTERM is sent before the process ends: nothing to wait for but the last message.
    let both = || (collector.0.lock().len() == 2).then_some(());
    wait_until("two spans", LIMIT, both).unwrap();
    let spans = collector.0.lock();
    let (root, child) = match &spans[..] {
        [a, b] if a.0 == "first" => (a, b),
        [a, b] => (b, a),
        other => panic!("{other:?}"),
    };
    assert_eq!((root.0.as_str(), child.0.as_str()), ("first", "second"));
    assert_eq!((root.1.name.as_str(), child.1.name.as_str()), ("scan", "work"));
    assert_eq!(root.1.trace_id, child.1.trace_id);
    assert_eq!(child.1.parent_span_id, root.1.span_id);
    assert!(root.1.parent_span_id.is_empty());
    let trace: String = root.1.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(entered.contains(&trace), "{entered} is of trace {trace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_not_sampled_is_traced_nowhere() {
    let (collector, endpoint) = collector().await;
    let scan = move || one_scan(&endpoint, &["--trace-ratio", "0"]);
    let (entered, joined) = tokio::task::spawn_blocking(scan).await.unwrap();
    assert_eq!(BTreeSet::from([entered, joined]), BTreeSet::from([String::new()]));
    assert!(collector.0.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_delays_no_end() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let scan = move || one_scan(&endpoint, &["--trace-ratio", "1"]);
    tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(scan)).await.expect("it ends").unwrap();
}
