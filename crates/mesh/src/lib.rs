//! A call over shared streams.
//!
//! A gRPC stream is one HTTP/2 request: once opened, no proxy moves it, so with plain streams a new replica gets no
//! work and a stuck one keeps its share. Unary calls would balance, but pay headers, routing and a task for each
//! message. [`StreamPool`] gives both: it is a [`tower::Service`] whose answers come over long-lived bidirectional
//! streams, one to each live replica, and each *message* is balanced. [`StageServer`] is the other half.
//!
//! What holds, whatever replicas do:
//! - each call ends exactly once, with an answer or a [`CallError`];
//! - at its deadline a call ends; if it waits then, it is never sent, and a server never starts one that came late;
//! - earliest deadline first, to the replica with the fewest bytes outstanding, within the credit that it gave;
//! - a call that was with a replica when it died is sent again alone, once; see `src/balance/mod.rs` for why a
//!   poisonous call kills two replicas at most and no innocent call with them;
//! - queues, credit, retries and waits have limits, all in [`PoolConfig`], [`ServerConfig`] and [`Connector`];
//! - the reader of a stream never waits for a queue, a permit or a writer.
//!
//! A stage is added with [`stage!`], which names its two message types. Programs that carry large bodies should use
//! an allocator that keeps memory, such as jemalloc: glibc's default costs more than the hop (`examples/hop`).

mod backoff;
mod balance;
mod call;
mod config;
mod connect;
pub mod discover;
mod due;
mod explain;
mod fault;
mod lifecycle;
mod phase;
mod pool;
mod quota;
mod server;
mod stage;

pub use backoff::Backoff;
pub use call::{CallError, Limit, Reply, Request};
pub use config::PoolConfig;
pub use connect::Connector;
pub use discover::Discover;
pub use due::Due;
pub use explain::explain;
pub use fault::Fault;
pub use lifecycle::Lifecycle;
pub use phase::Phase;
pub use pool::{Pending, PoolState, ReplicaState, StreamPool};
pub use quota::{Full, Peer, Quota, Share};
pub use server::{Done, Load, ResponseStream, ServerConfig, StageError, StageServer, Work};
pub use stage::{Frame, Stage};

/// Generated from `ovomesh.mesh.v1`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("ovomesh.mesh.v1");
    /// Encoded descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mesh.bin"));
}
