//! Once a second: each pool is looked at, decided, obeyed and told about.

mod apply;
mod events;
mod reconciler;

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use ovomesh_bootstrap::WatchBackoff;
use ovomesh_mesh::{Connector, Lifecycle};
use ovomesh_resources::InferencePool;
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::leader::Leader;
use apply::Applier;
use reconciler::PoolReconciler;

/// All pools of the namespace.
pub struct Pools {
    client: Client,
    namespace: String,
    connector: Connector,
    lifecycle: Lifecycle,
    applier: Applier,
}

impl Pools {
    /// Looks at nothing yet.
    pub fn new(client: &Client, namespace: &str, config: &Config, lifecycle: &Lifecycle) -> Self {
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            connector: config.connector.clone(),
            lifecycle: lifecycle.clone(),
            applier: Applier::new(client, namespace, config.port.instance.clone()),
        }
    }

    /// Looks after them for ever: watches what there is, and decides every `every`.
    pub async fn look_after(&self, every: Duration, leader: &Leader) {
        let (pools, watch_pools) = self.watch::<InferencePool>("");
        let (deployments, watch_deployments) = self.watch::<Deployment>("ovomesh.dev/pool");
        let decide = async {
            // Before both are known, a Deployment that is there would look as if it were not.
            let known = futures::future::try_join(pools.wait_until_ready(), deployments.wait_until_ready());
            if known.await.is_err() {
                tracing::error!("a watch ended before anything was known");
                return;
            }
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut kept: HashMap<String, PoolReconciler> = HashMap::new();
            loop {
                ticks.tick().await;
                self.tick(&pools, &deployments, &mut kept, leader).await;
            }
        };
        tokio::join!(watch_pools, watch_deployments, decide);
    }

    async fn tick(
        &self,
        pools: &Store<InferencePool>,
        deployments: &Store<Deployment>,
        kept: &mut HashMap<String, PoolReconciler>,
        leader: &Leader,
    ) {
        let all = pools.state();
        kept.retain(|uid, _| all.iter().any(|pool| pool.metadata.uid.as_ref() == Some(uid)));
        for pool in all.iter().filter(|pool| pool.metadata.deletion_timestamp.is_none()) {
            let Some(uid) = pool.uid() else { continue };
            let reconciler = kept.entry(uid).or_insert_with(|| self.reconciler(pool));
            if reconciler.service() != pool.spec.gateway_service {
                reconciler.follow(self.gateways(pool));
            }
            let key = ObjectRef::new(&pool.name_any()).within(&self.namespace);
            let deployment = deployments.get(&key);
            if let Err(error) =
                reconciler.reconcile(pool, deployment.as_deref(), &self.applier, leader.leads()).await
            {
                let pool = pool.name_any();
                tracing::warn!(
                    pool,
                    error = format!("{error:#}"),
                    "a look at a pool failed; it is looked at again"
                );
                metrics::counter!("ovomesh_operator_failed_looks_total").increment(1);
            }
        }
    }

    fn reconciler(&self, pool: &InferencePool) -> PoolReconciler {
        PoolReconciler::new(self.gateways(pool))
    }

    fn gateways(&self, pool: &InferencePool) -> reconciler::Followed {
        let service = pool.spec.gateway_service.clone();
        let at = (self.namespace.as_str(), service.as_str());
        let gateways = crate::gateways::Gateways::follow(&self.client, at, &self.connector, &self.lifecycle);
        reconciler::Followed { service, gateways }
    }

    /// A store of what there is, and the watch that fills it.
    fn watch<K>(&self, label: &str) -> (Store<K>, impl Future<Output = ()> + use<K>)
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let (store, writer) = reflector::store();
        let config = watcher::Config::default().labels(label);
        let stream = watcher(api, config).backoff(WatchBackoff::default()).reflect(writer);
        let watching = stream.for_each(|event| {
            if let Err(error) = event {
                let kind = K::kind(&());
                tracing::warn!(%kind, %error, "a watch failed and is tried again; what was seen last still counts");
            }
            std::future::ready(())
        });
        (store, watching)
    }
}
