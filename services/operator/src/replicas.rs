//! What the Deployment of a pool is, and how long its replicas take to start.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use ovomesh_scaling::Replicas;
use tokio::time::Instant;

/// Until a start was seen: an image that is there, and a model that is pulled and warmed.
const START_GUESS: Duration = Duration::from_secs(30);

/// The replicas of a Deployment.
pub fn of(deployment: &Deployment) -> Replicas {
    let spec = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref();
    let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
    let [wanted, ready] = [spec, ready].map(|count| u32::try_from(count).unwrap_or(0));
    Replicas { wanted, ready, starting: wanted.saturating_sub(ready) }
}

/// How long replicas take from the order until they are ready.
#[derive(Debug, Default)]
pub struct Starts {
    ordered: Option<(Instant, u32)>,
    took: Option<Duration>,
}

impl Starts {
    /// More were ordered, so that there are to be `wanted`.
    pub fn ordered(&mut self, wanted: u32, now: Instant) {
        // The first order of several counts: the last one would make starts look shorter than they are.
        let since = self.ordered.map_or(now, |(since, _)| since);
        self.ordered = Some((since, wanted));
    }

    /// What there is now.
    pub fn see(&mut self, replicas: Replicas, now: Instant) {
        let Some((since, wanted)) = self.ordered else { return };
        if replicas.ready >= wanted {
            self.took = Some(now.saturating_duration_since(since));
            self.ordered = None;
        } else if replicas.wanted < wanted {
            // Fewer are wanted now: those will never be ready.
            self.ordered = None;
        }
    }

    /// As measured last, else a guess.
    pub fn take(&self) -> Duration {
        self.took.unwrap_or(START_GUESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(wanted: u32, ready: u32) -> Replicas {
        Replicas { wanted, ready, starting: wanted.saturating_sub(ready) }
    }

    #[test]
    fn a_start_is_measured_from_the_first_order_to_the_last_replica() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        assert_eq!(starts.take(), START_GUESS);
        starts.ordered(3, now);
        starts.ordered(5, now + Duration::from_secs(2));
        starts.see(with(5, 4), now + Duration::from_secs(40));
        assert_eq!(starts.take(), START_GUESS);
        starts.see(with(5, 5), now + Duration::from_secs(50));
        assert_eq!(starts.take(), Duration::from_secs(50));
    }

    #[test]
    fn an_order_that_was_taken_back_measures_nothing() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        starts.ordered(9, now);
        starts.see(with(2, 1), now + Duration::from_secs(5));
        starts.see(with(9, 9), now + Duration::from_secs(500));
        assert_eq!(starts.take(), START_GUESS);
    }

    #[test]
    fn a_deployment_without_a_status_has_nothing_ready() {
        let deployment = serde_json::from_value(serde_json::json!({
            "metadata": {}, "spec": {"replicas": 4, "selector": {}, "template": {}}
        }));
        assert_eq!(of(&deployment.unwrap()), with(4, 0));
    }
}
