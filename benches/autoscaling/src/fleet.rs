//! The fleet: scans that wait, the earliest deadline first, and replicas that take them in batches.
//!
//! What is as in the real mesh: a scan that cannot be done in time is not begun, expired scans leave the queue, a batch
//! takes what waits (16 at most), a scan in flight on a replica that died goes back to the queue. What is simpler: all
//! gateways share one queue, a replica works on one batch at a time, and the two batches that the real pool sends ahead
//! of the work wait in the queue.

use std::collections::{BTreeMap, VecDeque};

/// Budget of a scan in seconds: the default of a line, less 50 ms for the way and the preprocessing.
pub const BUDGET: f64 = 1.95;
/// Largest batch.
pub const BATCH: usize = 16;
/// Work of a batch in seconds: a part that each batch costs, and one for each scan. A full batch takes 320 ms, so a
/// replica does 50 scans/s at most and 26/s one by one, much as the real one (`cargo xtask bench inference`: four times
/// as much in full batches) when it is slowed down to 50/s.
pub const BATCH_WORK: f64 = 0.02;
/// See [`BATCH_WORK`].
pub const SCAN_WORK: f64 = 0.01875;
/// Scans a second of one replica with full batches.
pub const CAPACITY: f64 = BATCH as f64 / (BATCH_WORK + SCAN_WORK * BATCH as f64);

/// How long replicas take to start, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    /// The fastest.
    pub from: f64,
    /// The slowest.
    pub to: f64,
    /// Which of all draws.
    pub seed: u64,
}

impl Starts {
    /// The start of the n-th use of a slot. It depends on nothing else, so that all autoscalers meet the same starts.
    pub fn delay(&self, slot: u32, uses: u32) -> f64 {
        // SplitMix64, Steele, Lea and Flood 2014: one step is a good hash.
        let mut z = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (u64::from(slot) << 32 | u64::from(uses));
        z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        self.from + (self.to - self.from) * unit
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }
}

/// What a replica does.
#[derive(Clone, Debug, PartialEq)]
enum Does {
    Starts { ready_at: f64 },
    Waits,
    Works { batch: Vec<f64>, began: f64 },
}

/// A pod.
#[derive(Clone, Debug)]
struct Pod {
    slot: u32,
    created: f64,
    does: Does,
    /// It ends after its batch.
    drains: bool,
}

/// Something that will happen to a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Due {
    /// It is ready.
    Ready(u64),
    /// Its batch is done.
    Done(u64),
}

/// What can be seen of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FleetState {
    /// Scans that came.
    pub arrived: u64,
    /// Scans that were answered in time.
    pub completed: u64,
    /// Seconds of work of all replicas.
    pub busy: f64,
    /// Scans in the queue and in work that are in time.
    pub backlog: u64,
    /// Replicas asked for.
    pub wanted: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those that are not.
    pub starting: u32,
}

/// The state of it all.
#[derive(Clone, Debug)]
pub struct Fleet {
    starts: Starts,
    pods: BTreeMap<u64, Pod>,
    idle: Vec<u64>,
    uses: BTreeMap<u32, u32>,
    created: u64,
    /// Arrival times, the earliest first.
    queue: VecDeque<f64>,
    arrived: u64,
    completed: u64,
    busy: f64,
    wanted: u32,
    counted_from: f64,
    /// Scans that came after `counted_from` and were not answered in time.
    pub late: u64,
    /// Seconds of pods after `counted_from`, from creation to end.
    pub pod_seconds: f64,
}

impl Fleet {
    /// So many replicas are ready. What is late or costs before `counted_from` is not counted.
    pub fn new(starts: Starts, replicas: u32, counted_from: f64) -> Self {
        let mut fleet = Self {
            starts,
            pods: BTreeMap::new(),
            idle: Vec::new(),
            uses: BTreeMap::new(),
            created: 0,
            queue: VecDeque::new(),
            arrived: 0,
            completed: 0,
            busy: 0.0,
            wanted: replicas,
            counted_from,
            late: 0,
            pod_seconds: 0.0,
        };
        for _ in 0..replicas {
            let Due::Ready(id) = fleet.create(0.0).1 else { continue };
            fleet.ready(id);
        }
        fleet
    }

    /// Replicas asked for.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// What can be seen now.
    pub fn seen(&mut self, now: f64) -> FleetState {
        self.expire(now, 1);
        let starting =
            self.pods.values().filter(|pod| matches!(pod.does, Does::Starts { .. })).count() as u32;
        let there = self.pods.values().filter(|pod| !pod.drains).count() as u32;
        let in_work: usize = self.pods.values().map(Pod::in_work).sum();
        FleetState {
            arrived: self.arrived,
            completed: self.completed,
            busy: self.busy,
            backlog: (self.queue.len() + in_work) as u64,
            wanted: self.wanted,
            ready: there - starting,
            starting,
        }
    }

    /// A scan comes.
    pub fn arrive(&mut self, now: f64, due: &mut Vec<(f64, Due)>) {
        self.arrived += 1;
        self.queue.push_back(now);
        self.dispatch(now, due);
    }

    /// Something that was due happens.
    pub fn happen(&mut self, now: f64, what: Due, due: &mut Vec<(f64, Due)>) {
        match what {
            // It may have been taken away, or have crashed meanwhile.
            Due::Ready(id) => {
                let is = |pod: &Pod| pod.does == Does::Starts { ready_at: now };
                if self.pods.get(&id).is_some_and(is) {
                    self.ready(id);
                }
            }
            Due::Done(id) => self.done(now, id),
        }
        self.dispatch(now, due);
    }

    /// So many replicas are asked for.
    pub fn scale(&mut self, now: f64, wanted: u32, due: &mut Vec<(f64, Due)>) {
        self.wanted = wanted;
        let mut there = self.pods.values().filter(|pod| !pod.drains).count() as u32;
        while there < wanted {
            due.push(self.create(now));
            there += 1;
        }
        while there > wanted {
            self.take_one_away(now);
            there -= 1;
        }
    }

    /// So many ready replicas die, and start again.
    pub fn crash(&mut self, now: f64, count: usize, due: &mut Vec<(f64, Due)>) {
        let ready = |pod: &Pod| !matches!(pod.does, Does::Starts { .. });
        let ids: Vec<u64> =
            self.pods.iter().filter(|(_, pod)| ready(pod)).map(|(&id, _)| id).take(count).collect();
        for id in ids {
            self.idle.retain(|&idle| idle != id);
            let Some(mut pod) = self.pods.remove(&id) else { continue };
            if let Does::Works { batch, began } = &pod.does {
                self.busy += now - began;
                self.queue.extend(batch);
                self.queue.make_contiguous().sort_by(f64::total_cmp);
            }
            // A container that starts anew is as slow as a new pod, and its pod stays. It gets a new number, so that what
            // was due of the old one is not taken for its own.
            let ready_at = now + self.next_start(pod.slot);
            pod.does = Does::Starts { ready_at };
            let id = self.number();
            self.pods.insert(id, pod);
            due.push((ready_at, Due::Ready(id)));
        }
        self.dispatch(now, due);
    }

    /// Nothing more happens: what waits and would be late by now is late, and pods are paid.
    pub fn end(&mut self, now: f64) {
        self.expire(now, 1);
        for id in self.pods.keys().copied().collect::<Vec<_>>() {
            self.remove(now, id);
        }
    }

    fn number(&mut self) -> u64 {
        self.created += 1;
        self.created
    }

    fn next_start(&mut self, slot: u32) -> f64 {
        let uses = self.uses.entry(slot).or_default();
        *uses += 1;
        self.starts.delay(slot, *uses - 1)
    }

    fn create(&mut self, now: f64) -> (f64, Due) {
        let taken: std::collections::BTreeSet<u32> = self.pods.values().map(|pod| pod.slot).collect();
        let slot = (0..).find(|slot| !taken.contains(slot)).unwrap_or(u32::MAX);
        let ready_at = now + self.next_start(slot);
        let id = self.number();
        self.pods.insert(id, Pod { slot, created: now, does: Does::Starts { ready_at }, drains: false });
        (ready_at, Due::Ready(id))
    }

    fn ready(&mut self, id: u64) {
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.does = Does::Waits;
            self.idle.push(id);
        }
    }

    fn done(&mut self, now: f64, id: u64) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let Does::Works { batch, began } = std::mem::replace(&mut pod.does, Does::Waits) else { return };
        self.busy += now - began;
        self.completed += batch.len() as u64;
        if pod.drains {
            self.remove(now, id);
        } else {
            self.idle.push(id);
        }
    }

    /// As a ReplicaSet does: what is not ready first, then the youngest.
    fn take_one_away(&mut self, now: f64) {
        let rank = |(id, pod): &(&u64, &Pod)| (matches!(pod.does, Does::Starts { .. }), **id);
        let Some((&id, pod)) = self.pods.iter().filter(|(_, pod)| !pod.drains).max_by_key(rank) else {
            return;
        };
        if matches!(pod.does, Does::Works { .. }) {
            if let Some(pod) = self.pods.get_mut(&id) {
                pod.drains = true;
            }
        } else {
            self.idle.retain(|&idle| idle != id);
            self.remove(now, id);
        }
    }

    fn remove(&mut self, now: f64, id: u64) {
        if let Some(pod) = self.pods.remove(&id) {
            self.pod_seconds += (now - pod.created.max(self.counted_from)).max(0.0);
        }
    }

    /// Drops what cannot be done in time in a batch of so many.
    fn expire(&mut self, now: f64, batch: usize) {
        while let Some(&arrived) = self.queue.front()
            && arrived + BUDGET < now + work(batch)
        {
            self.queue.pop_front();
            self.late += u64::from(arrived >= self.counted_from);
        }
    }

    fn dispatch(&mut self, now: f64, due: &mut Vec<(f64, Due)>) {
        while !self.idle.is_empty() && !self.queue.is_empty() {
            self.expire(now, self.queue.len().min(BATCH));
            let batch: Vec<f64> = self.queue.drain(..self.queue.len().min(BATCH)).collect();
            if batch.is_empty() {
                return;
            }
            let Some(id) = self.idle.pop() else { return };
            due.push((now + work(batch.len()), Due::Done(id)));
            if let Some(pod) = self.pods.get_mut(&id) {
                pod.does = Does::Works { batch, began: now };
            }
        }
    }
}

impl Pod {
    fn in_work(&self) -> usize {
        if let Does::Works { batch, .. } = &self.does { batch.len() } else { 0 }
    }
}

/// Seconds of work of a batch.
fn work(scans: usize) -> f64 {
    BATCH_WORK + SCAN_WORK * scans as f64
}
