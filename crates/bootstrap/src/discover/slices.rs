//! The EndpointSlices of a Service, watched.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use http::Uri;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use ovomesh_mesh::Discover;

use super::endpoints::Service;
use crate::WatchBackoff;

type Events = Pin<Box<dyn Stream<Item = Result<watcher::Event<EndpointSlice>, watcher::Error>> + Send>>;

/// The replicas behind a Service. While the apiserver is away they stay as they are.
pub struct Slices {
    service: Service,
    events: Events,
    known: Known,
    /// What was yielded last.
    reported: Option<HashSet<Uri>>,
}

/// What each slice holds. During a relist the new truth is gathered beside the old one, which holds until it is whole.
#[derive(Default)]
struct Known {
    slices: BTreeMap<String, HashSet<Uri>>,
    gathering: Option<BTreeMap<String, HashSet<Uri>>>,
}

impl Slices {
    pub(super) fn watch(client: &Client, service: Service) -> Self {
        let api: Api<EndpointSlice> = match &service.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::default_namespaced(client.clone()),
        };
        let selector = format!("kubernetes.io/service-name={}", service.name);
        let config = watcher::Config::default().labels(&selector);
        let events = watcher(api, config).backoff(WatchBackoff::default()).boxed();
        Self { service, events, known: Known::default(), reported: None }
    }
}

impl Known {
    /// Takes an event in; whether what is known may have changed.
    fn take(&mut self, event: watcher::Event<EndpointSlice>, service: &Service) -> bool {
        match event {
            watcher::Event::Init => self.gathering = Some(BTreeMap::new()),
            watcher::Event::InitApply(slice) => {
                self.gathering.get_or_insert_default().insert(slice.name_any(), service.replicas(&slice));
            }
            watcher::Event::InitDone => {
                self.slices = self.gathering.take().unwrap_or_default();
                return true;
            }
            watcher::Event::Apply(slice) => {
                self.slices.insert(slice.name_any(), service.replicas(&slice));
                return true;
            }
            watcher::Event::Delete(slice) => {
                self.slices.remove(&slice.name_any());
                return true;
            }
        }
        false
    }

    fn replicas(&self) -> HashSet<Uri> {
        self.slices.values().flatten().cloned().collect()
    }
}

impl Discover for Slices {
    async fn next(&mut self) -> Option<HashSet<Uri>> {
        loop {
            let event = match self.events.next().await? {
                Ok(event) => event,
                Err(error) => {
                    let service = &self.service.name;
                    tracing::warn!(service, %error, "watching EndpointSlices failed; replicas stay as they are");
                    continue;
                }
            };
            if !self.known.take(event, &self.service) {
                continue;
            }
            let found = self.known.replicas();
            if self.reported.as_ref() != Some(&found) {
                self.reported = Some(found.clone());
                return Some(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str, address: &str) -> EndpointSlice {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name}, "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}], "ports": [{"name": "grpc", "port": 1}],
        }))
        .unwrap()
    }

    #[test]
    fn a_relist_takes_nothing_away_before_it_is_whole() {
        let service = Service::parse("inference:grpc").unwrap();
        let mut known = Known::default();
        known.take(watcher::Event::Init, &service);
        known.take(watcher::Event::InitApply(slice("a", "10.0.0.1")), &service);
        assert!(known.take(watcher::Event::InitDone, &service));
        assert!(known.take(watcher::Event::Apply(slice("b", "10.0.0.2")), &service));
        assert_eq!(known.replicas().len(), 2);
        // The watch expired: everything is listed again, and b has gone meanwhile.
        known.take(watcher::Event::Init, &service);
        known.take(watcher::Event::InitApply(slice("a", "10.0.0.1")), &service);
        assert_eq!(known.replicas().len(), 2);
        assert!(known.take(watcher::Event::InitDone, &service));
        assert_eq!(known.replicas().len(), 1);
        assert!(known.take(watcher::Event::Delete(slice("a", "10.0.0.1")), &service));
        assert!(known.replicas().is_empty());
    }
}
