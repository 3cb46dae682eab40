//! What an EndpointSlice says.

use std::collections::HashSet;
use std::net::IpAddr;

use http::Uri;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    /// None: the client's own.
    pub(super) namespace: Option<String>,
    /// A name or a number.
    pub(super) port: String,
}

impl Service {
    /// Reads `service[.namespace]:port`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, port) = text.rsplit_once(':').ok_or_else(|| anyhow::anyhow!("the port is missing"))?;
        let (name, namespace) = match name.split_once('.') {
            Some((name, namespace)) => (name, Some(namespace)),
            None => (name, None),
        };
        let named = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        anyhow::ensure!(named(name), "the service has no valid name");
        anyhow::ensure!(namespace.is_none_or(named), "the namespace has no valid name");
        anyhow::ensure!(named(port), "the port is neither a name nor a number");
        Ok(Self { name: name.to_owned(), namespace: namespace.map(str::to_owned), port: port.to_owned() })
    }

    /// The replicas that serve, those that terminate and still serve included: they say themselves that they drain, and
    /// what they have they finish.
    pub(super) fn replicas(&self, slice: &EndpointSlice) -> HashSet<Uri> {
        let Some(port) = self.port_of(slice) else { return HashSet::new() };
        let endpoints = slice.endpoints.iter().flatten();
        let serving = endpoints.filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            // Absent means unknown, which Kubernetes has readers take for true.
            conditions.and_then(|c| c.serving.or(c.ready)).unwrap_or(true)
        });
        // One address names the endpoint; the others are for dual stack.
        let addresses = serving.filter_map(|endpoint| endpoint.addresses.first()?.parse::<IpAddr>().ok());
        addresses
            .filter_map(|address| format!("http://{}", std::net::SocketAddr::new(address, port)).parse().ok())
            .collect()
    }

    fn port_of(&self, slice: &EndpointSlice) -> Option<u16> {
        let number = self.port.parse::<u16>().ok();
        let ports = slice.ports.iter().flatten();
        let found = ports.filter_map(|port| Some((port.name.as_deref(), u16::try_from(port.port?).ok()?)));
        found
            .into_iter()
            .find(|(name, at)| *name == Some(self.port.as_str()) || Some(*at) == number)
            .map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "it is written where it is used")]
    fn slice(endpoints: serde_json::Value) -> EndpointSlice {
        serde_json::from_value(serde_json::json!({
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "metrics", "port": 9000}, {"name": "grpc", "port": 7720}],
        }))
        .unwrap()
    }

    #[test]
    fn what_serves_is_a_replica_also_while_it_terminates() {
        let service = Service::parse("inference.mesh:grpc").unwrap();
        assert_eq!(service.namespace.as_deref(), Some("mesh"));
        let found = service.replicas(&slice(serde_json::json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": false}},
            {"addresses": ["10.0.0.4"]},
            {"addresses": ["fd00::5"], "conditions": {"ready": true}},
        ])));
        let expected = ["10.0.0.1:7720", "10.0.0.2:7720", "10.0.0.4:7720", "[fd00::5]:7720"]
            .map(|a| format!("http://{a}"));
        assert_eq!(found, expected.map(|uri| uri.parse().unwrap()).into());
        assert_eq!(
            Service { port: "7720".into(), ..service.clone() }
                .replicas(&slice(serde_json::json!([
                    {"addresses": ["10.0.0.1"]}
                ])))
                .len(),
            1
        );
        assert!(
            Service { port: "http".into(), ..service }
                .replicas(&slice(serde_json::json!([
                    {"addresses": ["10.0.0.1"]}
                ])))
                .is_empty()
        );
    }

    #[test]
    fn a_text_that_names_no_service_is_refused_with_the_reason() {
        for (text, why) in
            [("inference", "port"), (":grpc", "service"), ("a.:grpc", "namespace"), ("a:", "port")]
        {
            let error = Service::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
