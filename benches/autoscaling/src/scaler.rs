//! What an autoscaler is to the simulation.

use crate::fleet::FleetState;

/// What an autoscaler may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Now, in seconds.
    pub now: f64,
    /// The fleet.
    pub seen: FleetState,
    /// When scans came until now.
    pub arrived: &'a [f64],
}

impl View<'_> {
    /// Scans a second over the last so many seconds.
    pub fn rate(&self, window: f64) -> f64 {
        let before = self.arrived.partition_point(|&at| at <= self.now - window);
        (self.arrived.len() - before) as f64 / window
    }
}

/// Says how many replicas there are to be.
pub trait Scaler {
    /// When it looks next, in seconds.
    fn next(&self) -> f64;
    /// It looks. None: as it is.
    fn look(&mut self, view: &View<'_>) -> Option<u32>;
    /// Replicas that are ready at the begin, if the trace has so many.
    fn begins_with(&self, replicas: u32) -> u32 {
        replicas
    }
    /// How long it takes from a look until pods are created, in seconds.
    fn takes(&self) -> f64;
}

/// A pool that stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(pub u32);

impl Scaler for Fixed {
    fn begins_with(&self, _: u32) -> u32 {
        self.0
    }

    fn next(&self) -> f64 {
        f64::INFINITY
    }

    fn look(&mut self, _: &View<'_>) -> Option<u32> {
        None
    }

    fn takes(&self) -> f64 {
        0.0
    }
}
