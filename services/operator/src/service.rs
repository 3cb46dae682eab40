//! How this operator is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::leader::Leader;

/// Its status: one that follows is as ready as the one that leads.
pub struct Service {
    /// Whether it leads.
    pub leader: Arc<Leader>,
    /// What it looks after.
    pub namespace: String,
}

impl ovomesh_bootstrap::Status for Service {
    fn details(&self) -> BTreeMap<String, String> {
        let role = if self.leader.leads() { "leads" } else { "follows" };
        [("role", role), ("namespace", &self.namespace)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}
