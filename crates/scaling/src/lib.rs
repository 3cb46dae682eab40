//! How many replicas of inference are needed.
//!
//! [`decide`] is a pure function of a checked [`Spec`], what is seen now ([`Observation`]) and what was seen before
//! ([`History`]). It does no I/O and reads no clock: time is part of the observation. The operator calls it once a second
//! with what the gateways report; the simulator of `benches/autoscaling` calls the very same function.
//!
//! What it does, in the order in which it matters (`docs/scaling.md` tells why, with measurements):
//! 1. **Demand is the main signal**, not the queue: an egg that is late leaves the queue, so a queue cannot show for long
//!    that replicas are missing. Demand is the largest of
//!    - the rate of the last 60 s, or of the last seconds where those are beyond the noise, times the headroom;
//!    - the same, told forward to when a replica that is ordered now will be ready, where the rate surely grows;
//!    - what a burst needs to be through within the drain target, times the headroom;
//!    - the rate plus what has waited for longer than the drain target.
//! 2. Replicas = demand / what one replica can do, measured while scans wait and batches are full.
//! 3. **Up at once, down slowly**: the largest demand that was measured in the last `scale_down_after` counts, and a replica
//!    comes only once a tenth of the demand has no room, so that noise does not add and take away the same one.
//! 4. While two or more replicas are missing, or one for a burst, twice as many are ordered: starts differ much, and once
//!    enough are ready the others are taken back.
//! 5. **Never down by ignorance**: with a gateway unseen, or unseen within `scale_down_after`, nothing is taken away.

mod arrivals;
mod capacity;
mod decide;
mod decision;
mod history;
mod line;
mod observation;
mod peaks;
mod schedule;
mod spec;

pub use decide::{decide, ordered_twice};
pub use decision::{Decision, Driver, Reason};
pub use history::History;
pub use observation::{Gateway, Moment, Observation, PerStage, Replicas, Stage, StageLoad};
pub use schedule::{Window, days};
pub use spec::{Checked, Fallback, InvalidSpec, Spec};
