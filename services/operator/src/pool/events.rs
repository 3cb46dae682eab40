//! What a user reads in `kubectl describe` and `kubectl get events`.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use ovomesh_resources::InferencePool;

use crate::MANAGER;

/// Tells events.
pub struct Events(Recorder);

impl Events {
    pub fn new(client: &Client, instance: String) -> Self {
        let reporter = Reporter { controller: MANAGER.into(), instance: Some(instance) };
        Self(Recorder::new(client.clone(), reporter))
    }

    /// Tells one. That it could not be told is logged and changes nothing.
    pub async fn tell(&self, pool: &InferencePool, kind: EventType, reason: &str, note: String) {
        let event = Event {
            type_: kind,
            reason: reason.into(),
            note: Some(note),
            action: "Scale".into(),
            secondary: None,
        };
        crate::count_write();
        if let Err(error) = self.0.publish(&event, &pool.object_ref(&())).await {
            tracing::warn!(reason, %error, "an event could not be told");
        }
    }
}
