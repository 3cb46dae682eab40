use super::*;
use proptest::prelude::*;

const BUCKETS: [usize; 5] = [1, 2, 4, 8, 16];
const LIMIT: usize = 24;

const PATIENCE: Duration = Duration::from_millis(5);

fn former() -> Former<Call> {
    Former::new(Policy { buckets: BUCKETS.to_vec(), limit: LIMIT, patience: PATIENCE })
}

#[derive(Debug, Clone, PartialEq)]
struct Call {
    id: usize,
    deadline: Option<Instant>,
    alone: bool,
}

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn put(former: &mut Former<Call>, id: usize, deadline: Option<Instant>, alone: bool, now: Instant) -> bool {
    former.push(Call { id, deadline, alone }, deadline, alone, now).is_ok()
}

/// What the only worker would get.
fn take(former: &mut Former<Call>, now: Instant) -> Option<Batch<Call>> {
    match former.next(now, false, |_| true) {
        Next::Batch(batch) => Some(batch),
        Next::Idle => None,
        Next::Leave(_) => panic!("no other worker computes, so it cannot be left to one"),
    }
}

fn ids(calls: &[Call]) -> Vec<usize> {
    calls.iter().map(|call| call.id).collect()
}

#[test]
fn the_earliest_deadline_goes_first_and_no_deadline_last() {
    let now = Instant::now();
    let mut former = former();
    put(&mut former, 0, None, false, now);
    put(&mut former, 1, Some(at(now, 50)), false, now);
    put(&mut former, 2, Some(at(now, 20)), false, now);
    put(&mut former, 3, Some(at(now, 50)), false, now);
    let batch = take(&mut former, now).expect("four calls wait");
    assert_eq!(ids(&batch.calls), [2, 1, 3, 0]);
    assert_eq!(batch.bucket, 4);
}

#[test]
fn a_batch_is_padded_up_to_the_next_bucket() {
    let now = Instant::now();
    for (calls, bucket) in [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (16, 16), (20, 16)] {
        let mut former = former();
        for id in 0..calls {
            put(&mut former, id, None, false, now);
        }
        let batch = take(&mut former, now).expect("calls wait");
        assert_eq!((batch.calls.len(), batch.bucket), (calls.min(16), bucket));
    }
}

#[test]
fn an_expired_call_is_answered_and_never_started() {
    let now = Instant::now();
    let mut former = former();
    put(&mut former, 0, Some(at(now, 10)), false, now);
    put(&mut former, 1, Some(at(now, 90)), false, now);
    let batch = take(&mut former, at(now, 10)).expect("both leave the queue");
    assert_eq!(ids(&batch.expired), [0]);
    assert_eq!(ids(&batch.calls), [1]);
}

#[test]
fn a_call_that_must_be_alone_shares_with_nobody() {
    let now = Instant::now();
    let mut former = former();
    put(&mut former, 0, Some(at(now, 10)), false, now);
    put(&mut former, 1, Some(at(now, 20)), true, now);
    put(&mut former, 2, Some(at(now, 30)), false, now);
    let batches: Vec<_> =
        std::iter::from_fn(|| take(&mut former, now)).map(|batch| ids(&batch.calls)).collect();
    assert_eq!(batches, [vec![0], vec![1], vec![2]]);
}

#[test]
fn a_call_that_nobody_waits_for_costs_nothing() {
    let now = Instant::now();
    let mut former = former();
    put(&mut former, 0, None, false, now);
    assert!(matches!(former.next(now, false, |_| false), Next::Idle));
    assert!(former.is_empty());
}

#[test]
fn a_second_worker_leaves_few_calls_to_the_first_but_not_for_long() {
    let now = Instant::now();
    let mut former = former();
    let second = |former: &mut Former<Call>, now| former.next(now, true, |_| true);
    put(&mut former, 0, Some(at(now, 500)), false, now);
    put(&mut former, 1, None, false, at(now, 1));
    assert!(matches!(second(&mut former, at(now, 1)), Next::Leave(until) if until == now + PATIENCE));
    assert!(matches!(second(&mut former, now + PATIENCE), Next::Batch(batch) if batch.calls.len() == 2));
}

#[test]
fn a_second_worker_starts_at_once_on_what_is_many_urgent_or_alone() {
    let now = Instant::now();
    let plain = (None, false);
    let cases =
        [vec![plain; 8], vec![plain, (Some(at(now, 9)), false)], vec![(Some(at(now, 90)), true), plain]];
    for calls in cases {
        let mut former = former();
        for (id, &(deadline, alone)) in calls.iter().enumerate() {
            put(&mut former, id, deadline, alone, now);
        }
        assert!(matches!(former.next(now, true, |_| true), Next::Batch(_)), "{calls:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push { budget_ms: Option<u64>, alone: bool },
    Take { others_compute: bool },
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (proptest::option::of(0..40u64), proptest::bool::weighted(0.1))
            .prop_map(|(budget_ms, alone)| Step::Push { budget_ms, alone }),
        2 => proptest::bool::ANY.prop_map(|others_compute| Step::Take { others_compute }),
        1 => (0..15u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    /// Whatever comes in whatever order: each call that was taken leaves exactly once, the queue keeps its limit, no
    /// expired call is started, batches fit their bucket, and nobody overtakes an earlier deadline.
    #[test]
    fn every_call_leaves_once_and_by_the_rules(steps in proptest::collection::vec(step(), 1..200)) {
        let start = Instant::now();
        let mut now = start;
        let mut former = former();
        let mut taken = 0;
        let mut left = Vec::new();
        let end = (0..400).map(|_| Step::Take { others_compute: false });
        for step in steps.into_iter().chain(end) {
            match step {
                Step::Pass { ms } => now += Duration::from_millis(ms),
                Step::Push { budget_ms, alone } => {
                    let full = former.len() == LIMIT;
                    let was_put = put(&mut former, taken, budget_ms.map(|ms| at(now, ms)), alone, now);
                    prop_assert_eq!(was_put, !full);
                    taken += usize::from(was_put);
                }
                Step::Take { others_compute } => {
                    let waiting = former.len();
                    let batch = match former.next(now, others_compute, |_| true) {
                        Next::Batch(batch) => batch,
                        Next::Idle => {
                            prop_assert_eq!(waiting, 0);
                            continue;
                        }
                        Next::Leave(until) => {
                            prop_assert!(others_compute && waiting < 8 && until > now && until <= now + PATIENCE);
                            continue;
                        }
                    };
                    prop_assert_eq!(former.len(), waiting - batch.calls.len() - batch.expired.len());
                    prop_assert!(batch.expired.iter().all(|call| call.deadline.is_some_and(|deadline| deadline <= now)));
                    prop_assert!(batch.calls.iter().all(|call| call.deadline.is_none_or(|deadline| deadline > now)));
                    if !batch.calls.is_empty() {
                        prop_assert!(BUCKETS.contains(&batch.bucket) && batch.calls.len() <= batch.bucket);
                        prop_assert!(batch.calls.len() * 2 > batch.bucket, "the next smaller bucket was too small");
                    }
                    prop_assert!(batch.calls.len() == 1 || batch.calls.iter().all(|call| !call.alone));
                    let last = batch.calls.iter().map(urgency).max();
                    prop_assert!(former.waiting.iter().all(|waiting| last.is_none_or(|last| last < urgency(&waiting.call))));
                    left.extend(batch.calls.into_iter().chain(batch.expired).map(|call| call.id));
                }
            }
            prop_assert!(former.len() <= LIMIT);
        }
        left.sort_unstable();
        prop_assert_eq!(left, (0..taken).collect::<Vec<_>>());
    }
}

fn urgency(call: &Call) -> (bool, Option<Instant>, usize) {
    (call.deadline.is_none(), call.deadline, call.id)
}
