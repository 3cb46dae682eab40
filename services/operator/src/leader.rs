//! Which operator leads: the holder of a Lease, as long as it renews it.
//!
//! A Lease is changed by `replace` with the version that was read, so that of two who try only one succeeds. Clocks are
//! never compared: a Lease is over when it has not changed for its duration *as seen here*.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::time::Instant;

use crate::Config;

/// This operator among those that may lead.
pub struct Leader {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    leads: AtomicBool,
}

impl Leader {
    /// Leads nothing yet.
    pub fn new(client: &Client, namespace: &str, config: &Config) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            name: config.lease.clone(),
            identity: config.port.instance.clone(),
            duration: config.lease_duration,
            leads: AtomicBool::new(false),
        }
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.leads.load(Relaxed)
    }

    /// Waits until it leads.
    pub async fn elected(&self) {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            match self.try_to_lead(&mut seen).await {
                Ok(true) => {
                    tracing::info!(identity = self.identity, "leads");
                    self.leads.store(true, Relaxed);
                    return;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "asking for the lease failed, trying again"),
            }
            tokio::time::sleep(self.duration / 5).await;
        }
    }

    /// Renews the lease; comes back when another took it.
    ///
    /// While it cannot be renewed it stops leading before the lease is over for others, but goes on to watch: with the
    /// apiserver away nobody can lead, and whoever has seen the demand meanwhile decides best afterwards.
    pub async fn lost(&self) {
        let (pause, limit) = (self.duration / 5, self.duration * 2 / 3);
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(pause).await;
            match tokio::time::timeout(limit, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(%error, "renewing the lease failed, trying again"),
                Err(_) => tracing::warn!("no answer to the renewal of the lease"),
            }
            self.leads.store(renewed.elapsed() <= limit, Relaxed);
        }
        self.leads.store(false, Relaxed);
    }

    /// Lets the next one lead at once. Does nothing if it does not lead.
    pub async fn step_down(&self) {
        if !self.leads.swap(false, Relaxed) {
            return;
        }
        let give = async {
            let mut lease = self.api.get(&self.name).await?;
            if holder(&lease) == Some(&self.identity) {
                lease.spec.get_or_insert_default().holder_identity = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(self.duration / 3, give).await {
            tracing::warn!(%error, "the lease was not given back; it ends by itself");
        }
    }

    async fn try_to_lead(&self, seen: &mut Option<(Option<String>, Instant)>) -> Result<bool, Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..Default::default() };
            let lease = Lease { metadata, spec: Some(self.spec(0)) };
            return won(self.api.create(&PostParams::default(), &lease).await.map(drop));
        };
        let version = lease.metadata.resource_version.clone();
        if seen.as_ref().is_none_or(|(before, _)| *before != version) {
            *seen = Some((version, Instant::now()));
        }
        let unchanged = seen.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let theirs = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let over = unchanged > Duration::from_secs(u64::try_from(theirs).unwrap_or(0));
        let free = holder(&lease).is_none_or(|holder| holder.is_empty() || *holder == self.identity);
        if !free && !over {
            return Ok(false);
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        lease.spec = Some(self.spec(transitions + 1));
        won(self.api.replace(&self.name, &PostParams::default(), &lease).await.map(drop))
    }

    /// Whether it still holds the lease, which is then renewed.
    async fn renew(&self) -> Result<bool, Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(false) };
        if holder(&lease) != Some(&self.identity) {
            return Ok(false);
        }
        crate::count_write();
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(jiff::Timestamp::now()));
        won(self.api.replace(&self.name, &PostParams::default(), &lease).await.map(drop))
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..Default::default()
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}

/// A conflict means that another was faster.
fn won(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
