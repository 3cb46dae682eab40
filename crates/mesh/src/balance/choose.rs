//! Which call goes to which replica.

use tokio::time::Instant;

use super::queue::{CallClass, Order};
use super::replica::Sent;
use super::{Action, Balancer, CallId, CallState, MsgId, ReplicaId};

/// The replicas that may take work in one round. Kept for its memory only.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// All that may take new work as far as health and speed go.
    allowed: Vec<ReplicaId>,
    /// Those of them that have credit and are not reserved in this round.
    open: Vec<ReplicaId>,
}

/// What became of one call in a round.
enum Outcome {
    Taken(ReplicaId),
    /// It waits for credit at this replica.
    Waits(ReplicaId),
    /// None may have it just now.
    Nowhere,
}

impl<P> Balancer<P> {
    /// Promises as many waiting calls as credit allows, earliest deadline first.
    ///
    /// A call that fits nowhere for lack of bytes reserves the replica where it will fit first for the rest of the
    /// round, so that small calls can't overtake a large one for ever, while the other replicas go on.
    pub(super) fn pump(&mut self, now: Instant) {
        if self.queue.is_empty() {
            return;
        }
        self.note_phases(now);
        self.survey(now);
        let (mut plain, mut suspect) = (None, None);
        while !self.field.open.is_empty() {
            let next_suspect =
                if self.suspects_blocked() { None } else { self.queue.next(CallClass::Suspect, suspect) };
            let (class, order) = match (self.queue.next(CallClass::Innocent, plain), next_suspect) {
                (Some(a), Some(b)) if b < a => (CallClass::Suspect, b),
                (Some(a), _) => (CallClass::Innocent, a),
                (None, Some(b)) => (CallClass::Suspect, b),
                (None, None) => return,
            };
            match class {
                CallClass::Innocent => plain = Some(order),
                CallClass::Suspect => suspect = Some(order),
            }
            match self.choose(order.call, class) {
                Outcome::Taken(replica) => self.promise(class, order, replica, now),
                Outcome::Waits(replica) => self.field.open.retain(|id| *id != replica),
                Outcome::Nowhere => {}
            }
        }
    }

    /// Finds out who may take work now.
    fn survey(&mut self, now: Instant) {
        let slow_after = self.config.slow_after;
        let Field { allowed, open } = &mut self.field;
        allowed.clear();
        open.clear();
        let accepting = || self.replicas.values().filter_map(|replica| replica.accepting(now));
        let all_slow = accepting().all(|link| link.slow(slow_after, now));
        for (&id, replica) in &self.replicas {
            if let Some(link) = replica.accepting(now)
                && (all_slow || !link.slow(slow_after, now))
            {
                allowed.push(id);
                if link.has_message_room() {
                    open.push(id);
                }
            }
        }
    }

    /// Tells which replicas are good for something else than before.
    pub(super) fn note_phases(&mut self, now: Instant) {
        for (&id, replica) in &mut self.replicas {
            let phase = replica.phase_at(self.config.slow_after, now);
            if phase != replica.phase {
                replica.phase = phase;
                self.actions.push(Action::Phase(id, phase));
            }
        }
    }

    /// Whether each replica that has credit has a suspect already.
    fn suspects_blocked(&self) -> bool {
        self.field.open.iter().all(|id| self.link(*id).is_none_or(super::replica::Link::has_suspect))
    }

    fn choose(&self, call: CallId, class: CallClass) -> Outcome {
        let Some(call) = self.calls.get(&call) else { return Outcome::Nowhere };
        let avoid = call.avoid.filter(|avoid| self.field.allowed.iter().any(|id| id != avoid));
        let mut best = None;
        for &id in self.field.open.iter().filter(|id| Some(**id) != avoid) {
            let Some(replica) = self.replicas.get(&id) else { continue };
            let Some(link) = replica.link.as_ref() else { continue };
            if class == CallClass::Suspect && link.has_suspect() {
                continue;
            }
            let load = (!link.has_room(call.bytes), link.bytes(), link.messages(), replica.used);
            if best.as_ref().is_none_or(|(least, _)| load < *least) {
                best = Some((load, id));
            }
        }
        match best {
            Some(((full, ..), id)) if full => Outcome::Waits(id),
            Some((_, id)) => Outcome::Taken(id),
            None => Outcome::Nowhere,
        }
    }

    fn promise(&mut self, class: CallClass, order: Order, id: ReplicaId, now: Instant) {
        let msg = MsgId(self.id());
        let (Some(call), Some(replica)) = (self.calls.get_mut(&order.call), self.replicas.get_mut(&id))
        else {
            return;
        };
        let Some(link) = replica.link.as_mut() else { return };
        self.queue.remove(class, order, call.bytes);
        call.state = CallState::With(id, msg);
        let sent = Sent {
            call: Some(order.call),
            bytes: call.bytes,
            since: now,
            written: false,
            suspect: class == CallClass::Suspect,
        };
        link.promise(order, msg, sent);
        replica.used = msg.0;
        // A replica on trial takes one call.
        if !link.has_message_room() || !replica.health.accepts(link.messages(), now) {
            self.field.open.retain(|open| *open != id);
        }
        self.actions.push(Action::Wake(id));
    }

    fn link(&self, id: ReplicaId) -> Option<&super::replica::Link> {
        self.replicas.get(&id)?.link.as_ref()
    }
}
