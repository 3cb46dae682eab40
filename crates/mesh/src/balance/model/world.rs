//! A world for the balancer: replicas that it can talk to, callers that wait, and the laws that must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::PoolConfig;
use crate::balance::{
    Action, Balancer, CallId, Credit, End, Ending, Epoch, MsgId, Refusal, Refused, ReplicaId, Write,
};

/// What a caller asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) bytes: u64,
    pub(super) deadline: Option<Instant>,
    pub(super) poison: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Ended(End),
    Cancelled,
}

/// A replica as it really is.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) epoch: Option<Epoch>,
    pub(super) credit: Option<Credit>,
    /// What it received and has not answered, in order of receipt.
    pub(super) inbox: Vec<Received>,
    /// Its HTTP/2 window is full: nothing is written.
    pub(super) stalled: bool,
    pub(super) half_closed: bool,
    pub(super) leaving: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) msg: MsgId,
    pub(super) call: u32,
    pub(super) alone: bool,
}

pub(super) struct World {
    pub(super) balancer: Balancer<u32>,
    pub(super) config: PoolConfig,
    pub(super) now: Instant,
    pub(super) servers: BTreeMap<ReplicaId, Server>,
    pub(super) asked: Vec<Asked>,
    ids: BTreeMap<u32, CallId>,
    pub(super) outcomes: BTreeMap<u32, Outcome>,
    /// Replicas that each poison killed.
    pub(super) killed: BTreeMap<u32, u32>,
    written: BTreeSet<u64>,
    /// Calls that a replica said were too late; its clock decides.
    late: BTreeSet<u32>,
    most_credit: usize,
}

impl World {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self {
            balancer: Balancer::new(config.clone()),
            config,
            now: Instant::now(),
            servers: BTreeMap::new(),
            asked: Vec::new(),
            ids: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            killed: BTreeMap::new(),
            written: BTreeSet::new(),
            late: BTreeSet::new(),
            most_credit: 0,
        }
    }

    pub(super) fn add(&mut self) -> ReplicaId {
        let id = self.balancer.add();
        self.servers.insert(id, Server::default());
        id
    }

    pub(super) fn connect(&mut self, id: ReplicaId, credit: Credit) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.credit.is_some() {
            return;
        }
        let epoch = self.balancer.open(id);
        *server = Server { epoch, credit: Some(credit), leaving: server.leaving, ..Server::default() };
        let all = self.servers.values().filter_map(|server| server.credit);
        self.most_credit = self.most_credit.max(all.map(|credit| credit.messages as usize).sum());
        self.balancer.credit(id, credit, self.now);
        self.run_until_idle();
    }

    pub(super) fn grow(&mut self, id: ReplicaId) {
        let Some(credit) = self.servers.get_mut(&id).and_then(|server| server.credit.as_mut()) else {
            return;
        };
        *credit = Credit { messages: credit.messages + 1, bytes: credit.bytes + 100 };
        let credit = *credit;
        let all = self.servers.values().filter_map(|server| server.credit);
        self.most_credit = self.most_credit.max(all.map(|credit| credit.messages as usize).sum());
        self.balancer.credit(id, credit, self.now);
        self.run_until_idle();
    }

    pub(super) fn submit(&mut self, asked: Asked) -> u32 {
        let call = self.asked.len() as u32;
        self.asked.push(asked);
        let (messages, bytes) = self.balancer.queued();
        match self.balancer.submit(call, asked.bytes, asked.deadline, self.now) {
            Ok(id) => {
                assert!(messages < self.config.max_queued_messages, "taken although the queue was full");
                assert!(bytes + asked.bytes <= self.config.max_queued_bytes);
                self.ids.insert(call, id);
            }
            Err((payload, refused)) => {
                assert_eq!(payload, call);
                let full = messages >= self.config.max_queued_messages
                    || bytes + asked.bytes > self.config.max_queued_bytes;
                match refused {
                    Refused::Overloaded(_) => assert!(full, "refused although there was room"),
                    Refused::Expired => assert!(asked.deadline.is_some_and(|at| at <= self.now)),
                    Refused::Closed => panic!("never closed here"),
                }
                self.end(call, Outcome::Ended(End::Closed));
            }
        }
        self.run_until_idle();
        call
    }

    pub(super) fn cancel(&mut self, call: u32) {
        if !self.outcomes.contains_key(&call) {
            self.balancer.cancel(self.ids[&call], self.now);
            self.end(call, Outcome::Cancelled);
            self.run_until_idle();
        }
    }

    /// Answers any one of what a replica has.
    pub(super) fn answer(&mut self, id: ReplicaId, which: usize) {
        let Some(received) = self.pick(id, which) else { return };
        if self.asked[received.call as usize].poison {
            return self.crash(id, received.call);
        }
        if let Some(answered) = self.balancer.answered(id, received.msg, self.now) {
            assert_eq!(answered.payload, received.call);
            assert!(answered.attempts >= 1);
            self.end(received.call, Outcome::Answered);
        }
        self.run_until_idle();
    }

    pub(super) fn fail(&mut self, id: ReplicaId, which: usize, code: tonic::Code, retryable: bool) {
        let Some(received) = self.pick(id, which) else { return };
        if self.asked[received.call as usize].poison {
            return self.crash(id, received.call);
        }
        if code == tonic::Code::DeadlineExceeded {
            self.late.insert(received.call);
        }
        self.balancer.failed(id, received.msg, Refusal { code, message: String::new(), retryable }, self.now);
        self.run_until_idle();
    }

    fn pick(&mut self, id: ReplicaId, which: usize) -> Option<Received> {
        let inbox = &mut self.servers.get_mut(&id)?.inbox;
        (!inbox.is_empty()).then(|| inbox.remove(which % inbox.len()))
    }

    fn crash(&mut self, id: ReplicaId, poison: u32) {
        *self.killed.entry(poison).or_default() += 1;
        self.end_stream(id, Ending::Died);
    }

    pub(super) fn end_stream(&mut self, id: ReplicaId, ending: Ending) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.credit.is_some() {
            let leaving = server.leaving;
            *server = Server::default();
            self.balancer.ended(id, ending, self.now);
            self.run_until_idle();
            if leaving {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: ReplicaId) {
        self.balancer.forget(id, self.now);
        self.servers.remove(&id);
        self.run_until_idle();
    }

    pub(super) fn drain(&mut self, id: ReplicaId) {
        if self.servers.get(&id).is_some_and(|server| server.credit.is_some()) {
            self.balancer.drain(id, self.now);
            self.run_until_idle();
        }
    }

    pub(super) fn remove(&mut self, id: ReplicaId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.leaving = true;
        let connected = server.credit.is_some();
        self.balancer.remove(id, self.now);
        self.run_until_idle();
        if !connected {
            self.forget(id);
        }
    }

    /// Lets time pass, with every timer on its way.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.balancer.next_timer(self.now).filter(|at| *at <= until) {
            assert!(at >= self.now, "a timer in the past");
            self.now = at;
            self.balancer.tick(at);
            self.run_until_idle();
            assert!(self.balancer.next_timer(at).is_none_or(|next| next > at), "a timer that fires for ever");
        }
        self.now = until;
        self.run_until_idle();
    }

    /// Does what the balancer wants, and checks every law.
    pub(super) fn run_until_idle(&mut self) {
        loop {
            let actions: Vec<_> = self.balancer.actions().collect();
            for action in actions {
                match action {
                    Action::Finish { payload, end } => self.end(payload, Outcome::Ended(end)),
                    Action::Close(id) => {
                        let live =
                            self.servers[&id].inbox.iter().filter(|r| !self.outcomes.contains_key(&r.call));
                        assert_eq!(live.count(), 0, "half closed although somebody waits for it");
                        self.servers.get_mut(&id).expect("known").half_closed = true;
                    }
                    Action::Wake(_) | Action::Phase(..) => {}
                }
            }
            let ids: Vec<_> = self.servers.keys().copied().collect();
            if ids.into_iter().filter(|id| self.write(*id)).count() == 0 {
                break;
            }
        }
        self.check();
    }

    fn write(&mut self, id: ReplicaId) -> bool {
        let server = self.servers.get_mut(&id).expect("known");
        let (Some(epoch), false) = (server.epoch, server.stalled) else { return false };
        let Write::Message { msg, budget, alone, payload } = self.balancer.write(id, epoch, self.now) else {
            return false;
        };
        let call = *payload;
        let asked = self.asked[call as usize];
        assert!(!server.half_closed, "written to a stream that was half closed");
        assert!(!self.outcomes.contains_key(&call), "sent although it has ended");
        assert!(asked.deadline.is_none_or(|at| at > self.now), "sent after its deadline");
        assert_eq!(budget, asked.deadline.map(|at| at - self.now));
        assert!(self.written.insert(msg.0), "an id was used twice");
        server.inbox.push(Received { msg, call, alone });
        true
    }

    fn end(&mut self, call: u32, outcome: Outcome) {
        if let Outcome::Ended(End::Expired) = outcome {
            let over = self.asked[call as usize].deadline.is_some_and(|at| at <= self.now);
            assert!(over || self.late.contains(&call), "expired too early");
        }
        let before = self.outcomes.insert(call, outcome);
        assert_eq!(before, None, "ended twice");
    }

    fn check(&self) {
        self.balancer.check(self.now);
        let held = self.asked.len() - self.outcomes.len();
        assert!(held <= self.config.max_queued_messages + self.most_credit, "{held} calls are held");
        for server in self.servers.values() {
            let Some(credit) = server.credit else { continue };
            let bytes: u64 = server.inbox.iter().map(|r| self.asked[r.call as usize].bytes).sum();
            assert!(server.inbox.len() <= credit.messages as usize, "more messages than credit");
            assert!(server.inbox.len() <= 1 || bytes <= credit.bytes, "more bytes than credit");
            assert!(server.inbox.iter().filter(|r| r.alone).count() <= 1, "two suspects at one replica");
        }
        for (poison, killed) in &self.killed {
            assert!(*killed <= self.config.max_losses + 1, "call {poison} killed {killed} replicas");
        }
    }
}
