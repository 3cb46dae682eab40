//! A pool in one line, for `ovomesh status`.

use ovomesh_mesh::{Phase, Stage, StreamPool};

/// Such as `1 of 2 ready, 14 in flight, 3 waiting`.
pub fn describe<S: Stage>(pool: &StreamPool<S>) -> (String, String) {
    let state = pool.state();
    let ready = state.replicas.iter().filter(|r| matches!(r.phase, Phase::Ready | Phase::Slow)).count();
    let in_flight: u64 = state.replicas.iter().map(|r| r.outstanding).sum();
    let text =
        format!("{ready} of {} ready, {in_flight} in flight, {} waiting", state.replicas.len(), state.queued);
    (S::NAME.to_owned(), text)
}
