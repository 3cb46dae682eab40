//! The request side of a stream. It asks for the next message when HTTP/2 has room for it, not before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::shared::Shared;
use crate::Stage;
use crate::balance::{Epoch, ReplicaId};

pub(super) struct Outbound<S: Stage> {
    shared: Arc<Shared<S>>,
    id: ReplicaId,
    epoch: Epoch,
}

impl<S: Stage> Outbound<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, id: ReplicaId, epoch: Epoch) -> Self {
        Self { shared, id, epoch }
    }
}

impl<S: Stage> Stream for Outbound<S> {
    type Item = S::RequestFrame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::RequestFrame>> {
        self.shared.next_frame(self.id, self.epoch, cx)
    }
}
