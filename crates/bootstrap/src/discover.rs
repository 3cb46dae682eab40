//! Where the replicas of a stage are, as a flag says it: a list, a DNS name, or a Service of Kubernetes.

#[cfg(feature = "kubernetes")]
mod endpoints;
#[cfg(feature = "kubernetes")]
mod slices;

use std::collections::HashSet;

use http::Uri;
use ovomesh_mesh::Discover;
use ovomesh_mesh::discover::{self, Discovery};

/// What a text on a flag may be: for `--help` and errors.
const KUBERNETES: &str = "kubernetes:///";

/// Replicas from any of the sources.
pub enum Replicas {
    /// A list or a DNS name.
    Plain(Discovery),
    /// A Service of Kubernetes.
    #[cfg(feature = "kubernetes")]
    Slices(slices::Slices),
}

impl Discover for Replicas {
    async fn next(&mut self) -> Option<HashSet<Uri>> {
        match self {
            Self::Plain(plain) => plain.next().await,
            #[cfg(feature = "kubernetes")]
            Self::Slices(slices) => slices.next().await,
        }
    }
}

/// Reads `http://a:1,http://b:2` as a list, `dns:///name:port` as a name that is looked up again and again, and
/// `kubernetes:///service[.namespace]:port` as a Service whose EndpointSlices are watched; its port is a name or a number.
/// Kubernetes is asked as the pod's account, or as `$KUBECONFIG` says.
///
/// # Errors
/// When it is none of them, or this program is not on Kubernetes or was built without the feature `kubernetes`.
pub async fn replicas(text: &str) -> anyhow::Result<Replicas> {
    match text.trim().strip_prefix(KUBERNETES) {
        None => Ok(Replicas::Plain(discover::parse(text)?)),
        Some(service) => of_service(service).await,
    }
}

#[cfg(feature = "kubernetes")]
async fn of_service(service: &str) -> anyhow::Result<Replicas> {
    use anyhow::Context as _;
    let service = endpoints::Service::parse(service)
        .with_context(|| format!("`{KUBERNETES}{service}`: write {KUBERNETES}service[.namespace]:port"))?;
    let client = kube::Client::try_default().await.context("finding Kubernetes")?;
    Ok(Replicas::Slices(slices::Slices::watch(&client, service)))
}

#[cfg(not(feature = "kubernetes"))]
#[allow(clippy::unused_async, reason = "the other one awaits")]
async fn of_service(service: &str) -> anyhow::Result<Replicas> {
    anyhow::bail!(
        "`{KUBERNETES}{service}`: this program was built without Kubernetes; build it with `--features kubernetes`"
    )
}

#[cfg(feature = "kubernetes")]
/// The replicas behind a Service, for a program that has a client already.
pub fn of(client: &kube::Client, namespace: &str, service: &str, port: &str) -> Replicas {
    let service = endpoints::Service {
        name: service.to_owned(),
        namespace: Some(namespace.to_owned()),
        port: port.to_owned(),
    };
    Replicas::Slices(slices::Slices::watch(client, service))
}
