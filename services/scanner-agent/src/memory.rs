//! The agent's stated memory. What comes from strangers takes its room before it takes memory: a quarter of all is for images
//! that are arriving, and waits for nothing but their senders; the rest is for work that always ends. So each of the two
//! comes back, and neither waits for the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Part of the memory for images that are arriving.
const ARRIVING_PART: u64 = 4;
/// An image that is arriving waits for this long for room: other senders may need it for longer than its own waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rooms are counted in units of this many bytes.
const UNIT: u64 = 1 << 10;

/// Room that is shared out.
#[derive(Debug)]
pub struct Memory {
    bytes: u64,
    arriving: Part,
    working: Part,
}

#[derive(Debug)]
struct Part {
    free: Arc<Semaphore>,
    units: u32,
}

/// Some of it; given back when dropped.
#[derive(Debug, Default)]
pub struct Room(Option<OwnedSemaphorePermit>);

impl Memory {
    /// Shares out this many bytes.
    pub fn new(bytes: u64) -> Self {
        let arriving = bytes / ARRIVING_PART;
        Self { bytes, arriving: Part::new(arriving), working: Part::new(bytes - arriving) }
    }

    /// Room for an image that is arriving, or why there is none.
    pub async fn arriving(&self, bytes: u64) -> Result<Room, String> {
        match tokio::time::timeout(PATIENCE, self.arriving.take(bytes)).await {
            Ok(room) => Ok(room),
            Err(_) => Err(format!("the agent's {} MiB of memory are taken; send it later", self.bytes >> 20)),
        }
    }

    /// Room for a message that is arriving, once there is some: its sender is not read meanwhile.
    pub async fn message(&self, bytes: u64) -> Room {
        self.arriving.take(bytes).await
    }

    /// Room for work that always ends, once there is some. What needs more than all has all.
    pub async fn working(&self, bytes: u64) -> Room {
        self.working.take(bytes).await
    }
}

impl Part {
    fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    async fn take(&self, bytes: u64) -> Room {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        // It is never closed.
        Room(self.free.clone().acquire_many_owned(units).await.ok())
    }
}

impl Room {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |permit| permit.num_permits() as u64 * UNIT)
    }

    /// Adds more of the same part.
    pub fn add(&mut self, more: Self) {
        match (&mut self.0, more.0) {
            (Some(own), Some(more)) => own.merge(more),
            (own, more) => *own = own.take().or(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn what_arrives_is_refused_when_no_room_comes_back_and_says_what_to_do() {
        let memory = Memory::new(16 * MIB);
        let mut first = memory.arriving(3 * MIB).await.unwrap();
        first.add(memory.arriving(MIB).await.unwrap());
        assert_eq!(first.bytes(), 4 * MIB);
        let refusal = memory.arriving(1).await.unwrap_err();
        assert!(refusal.contains("16 MiB") && refusal.contains("send it later"), "{refusal}");
        drop(first);
        assert!(memory.arriving(4 * MIB).await.is_ok());
    }

    #[tokio::test]
    async fn work_waits_for_room_and_never_for_what_arrives() {
        let memory = Memory::new(16 * MIB);
        let _arriving = memory.arriving(4 * MIB).await.unwrap();
        let all = memory.working(100 * MIB).await;
        assert_eq!(all.bytes(), 12 * MIB);
        assert!(memory.working(1).now_or_never().is_none());
        drop(all);
        assert!(memory.working(12 * MIB).now_or_never().is_some());
    }
}
