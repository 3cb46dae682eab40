//! Which gRPC services a port serves, and where the others of ovomesh are.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tonic::Status;

use crate::is_grpc;

/// Every gRPC service of ovomesh that is not on all ports: its full name, the program that serves it, and the port by default.
const ELSEWHERE: [(&str, &str, u16); 9] = [
    ("ovomesh.gateway.v1.GatewayService", "scanner-gateway", 7700),
    ("ovomesh.inference.v1.InferenceService", "inference", 7720),
    ("ovomesh.load.v1.LoadService", "scanner-gateway", 7700),
    ("ovomesh.preprocess.v1.PreprocessService", "preprocess", 7710),
    ("ovomesh.query.v1.QueryService", "query", 7701),
    ("ovomesh.scanner.v1.ScannerService", "scanner-gateway", 7700),
    ("ovomesh.scanner.v1.ScannerService", "scanner-agent", 7690),
    ("ovomesh.sorter.v1.SorterService", "scanner-agent", 7690),
    ("ovomesh.store.v1.StoreService", "results-store", 7702),
];

/// The names of the services that a port serves, for health, reflection and callers of another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served(Vec<&'static str>);

impl Served {
    pub(crate) fn add(&mut self, name: &'static str) {
        self.0.push(name);
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

/// Answers a call of a service that the port of `here` does not serve.
pub(crate) fn unimplemented(here: &str, request: &Request) -> Response {
    if is_grpc(request) {
        Status::unimplemented(explain(here, request.uri().path())).into_http::<axum::body::Body>()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// Where the method at `path`, such as `/ovomesh.query.v1.QueryService/GetEgg`, is served.
fn explain(here: &str, path: &str) -> String {
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let places: Vec<_> = ELSEWHERE
        .iter()
        .filter(|(name, ..)| *name == service)
        .map(|(_, program, port)| format!("{program}, port {port}"))
        .collect();
    if places.is_empty() {
        return format!("ovomesh has no service {service}; reflection lists what {here} serves");
    }
    format!("{service} is served by {} (by default), not by {here}", places.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_another_program_is_pointed_to() {
        assert_eq!(
            explain("scanner-gateway", "/ovomesh.query.v1.QueryService/GetEgg"),
            "ovomesh.query.v1.QueryService is served by query, port 7701 (by default), not by scanner-gateway"
        );
        let scanners = explain("query", "/ovomesh.scanner.v1.ScannerService/Connect");
        assert!(scanners.contains("scanner-gateway, port 7700 or scanner-agent, port 7690"), "{scanners}");
        for path in ["/a.B/C", "/", ""] {
            assert!(explain("query", path).contains("ovomesh has no service"), "{path}");
        }
    }
}
