//! The body of a call: its messages pass on one at a time, those that are not taken as an empty message.
//!
//! A caller that begins a message and then falls silent: its call is closed, so that the room for the message is free
//! again. Between messages it may be silent for as long as it likes; a conveyor stands still at times.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::framing::{Framing, Piece};
use super::skip::Skip;
use super::{Gate, Room, Why};

/// A message that was begun continues within this time. The slowest line that can carry scans at all sends a piece of one
/// every second.
const SILENCE: Duration = Duration::from_secs(10);
/// A message that was begun is whole within this time, however busily its pieces arrive: 140 KiB a second for the largest
/// volume, and its verdict would be late by far anyway.
const WHOLE: Duration = Duration::from_secs(30);
/// What stands for a message that was skipped: an empty one.
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

/// A body whose rest the server waits for.
pub(super) struct Watched {
    body: Body,
    gate: Gate,
    framing: Framing,
    /// Arrived, and not passed on.
    data: Bytes,
    /// The message that is being skipped.
    skip: Option<Skip>,
    /// The beginning of a message, its length, and the room that it waits for.
    waiting: Option<(Bytes, u64, Room)>,
    /// Set while a message is not whole and nothing arrives.
    silence: Option<Pin<Box<Sleep>>>,
    /// How long the server has waited for the rest of this message, and since when it waits again.
    waited: (Duration, Option<Instant>),
}

impl Watched {
    pub(super) fn new(body: Body, gate: Gate) -> Self {
        let (framing, data) = (Framing::default(), Bytes::new());
        let (skip, waiting, silence, waited) = Default::default();
        Self { body, gate, framing, data, skip, waiting, silence, waited }
    }

    /// The beginning of the message that waits for room, when it is there; nothing when it is to be skipped.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some((_, _, room)) = &mut self.waiting else { return Poll::Ready(None) };
        let room = ready!(room.as_mut().poll(context));
        let waited = self.waiting.take();
        Poll::Ready(waited.and_then(|(prefix, length, _)| match room {
            Ok(room) => {
                self.gate.holds(room);
                Some(prefix)
            }
            Err(why) => {
                self.skip = Some(Skip::new(Why::NoRoom(why), length));
                None
            }
        }))
    }

    /// What can be passed on of the data that arrived, at most to the end of a message, or to one that needs room.
    fn next_piece(&mut self) -> Option<Bytes> {
        while let Some(piece) = self.framing.next(&mut self.data) {
            match (piece, &mut self.skip) {
                (Piece::Begins(prefix, length), _) => match self.gate.begins(length) {
                    Ok(None) => return Some(prefix),
                    Ok(Some(room)) => {
                        self.waiting = Some((prefix, length, room));
                        return None;
                    }
                    Err(why) => self.skip = Some(Skip::new(why, length)),
                },
                (Piece::Inside(data), None) => return Some(data),
                (Piece::Inside(data), Some(skip)) => skip.pass(&data),
            }
            if !self.framing.is_inside_a_message()
                && let Some(skip) = self.skip.take()
            {
                self.gate.skipped(skip.end());
                return Some(EMPTY);
            }
        }
        None
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(since) = self.waited.1.take() {
            // The service may not have read for longer: that is no fault of the peer.
            self.waited.0 += since.elapsed().min(SILENCE);
        }
        loop {
            if !self.framing.is_inside_a_message() {
                self.waited.0 = Duration::ZERO;
            }
            let begun = ready!(self.poll_room(context));
            if let Some(piece) = begun.or_else(|| self.next_piece()) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.waiting.is_some() {
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.silence = None;
                    match frame.into_data() {
                        Ok(data) if self.gate.is_open() => {
                            let mut passing = data.clone();
                            while self.framing.next(&mut passing).is_some() {}
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        Ok(data) => self.data = data,
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into_inner()))),
                Poll::Ready(None) if self.skip.is_some() => {
                    let status = Status::internal("the stream ended within a message");
                    return Poll::Ready(Some(Err(status.into())));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.framing.is_inside_a_message() => {
                    if self.waited.0 >= WHOLE {
                        return Poll::Ready(Some(Err(incomplete("did not become whole", WHOLE).into())));
                    }
                    let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
                    if silence.as_mut().poll(context).is_ready() {
                        let status = incomplete("nothing more of it arrived", SILENCE);
                        return Poll::Ready(Some(Err(status.into())));
                    }
                    self.waited.1 = Some(Instant::now());
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.skip.is_none() && self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn incomplete(what: &str, limit: Duration) -> Status {
    let limit = limit.as_secs();
    Status::deadline_exceeded(format!(
        "a message is incomplete and {what} for {limit} s, so the stream is closed; send messages whole"
    ))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::stream;
    use tonic::Code;

    use crate::inbound::Hold;

    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![7; length as usize]);
        bytes
    }

    /// The body that sends these bytes in pieces of `step`, for a service that takes messages up to `limit`.
    fn body(sent: &[u8], step: usize, limit: u64) -> (Gate, Watched) {
        let pieces: Vec<_> = sent.chunks(step).map(Bytes::copy_from_slice).collect();
        let gate = Gate::default();
        gate.0.lock().limit = Some(limit);
        let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, BoxError>)));
        (gate.clone(), Watched::new(body, gate))
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_passed_on_as_an_empty_one_in_its_place() {
        let sent = [message(3), message(10_000), message(0), message(10), message(11)].concat();
        for step in [1, 6, 1_000, 20_000] {
            let (gate, body) = body(&sent, step, 10);
            let (mut passed, mut skipped) = (Vec::new(), Vec::new());
            let mut data = Body::new(body).into_data_stream();
            while let Some(piece) = data.next().await {
                passed.extend(piece.unwrap());
                skipped.extend(gate.0.lock().skipped.take().map(|skipped| (passed.len(), skipped.bytes)));
            }
            let expected = [message(3), message(0), message(0), message(10), message(0)].concat();
            assert_eq!(passed, expected, "in steps of {step}");
            assert_eq!(skipped, [(13, 10_000), (38, 11)], "in steps of {step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_for_its_room_however_long_and_one_that_gets_none_is_skipped() {
        let hour = Duration::from_secs(3_600);
        let rooms = move |length| -> Room {
            Box::pin(async move {
                tokio::time::sleep(hour).await;
                if length == 60_000 { Err("none".into()) } else { Ok(Box::new(length) as Hold) }
            })
        };
        let sent = [message(50_000), message(60_000), message(3)].concat();
        let (gate, body) = body(&sent, 1_000, 100_000);
        gate.0.lock().rooms = Some(Box::new(rooms));
        let (mut passed, mut held, mut skipped, begun) = (Vec::new(), Vec::new(), Vec::new(), Instant::now());
        let mut data = Body::new(body).into_data_stream();
        while let Some(piece) = data.next().await {
            passed.extend(piece.unwrap());
            let mut state = gate.0.lock();
            held.extend(state.room.take().and_then(|room| room.downcast::<u64>().ok()));
            skipped.extend(state.skipped.take());
        }
        assert_eq!(passed, [message(50_000), message(0), message(3)].concat());
        assert_eq!(held, [Box::new(50_000)]);
        assert_eq!(
            (skipped.len(), skipped[0].bytes, &skipped[0].why),
            (1, 60_000, &Why::NoRoom("none".into()))
        );
        assert_eq!(begun.elapsed(), 2 * hour);
    }

    #[tokio::test]
    async fn a_stream_that_ends_within_a_message_that_is_skipped_is_broken() {
        let (_, body) = body(&message(100)[..50], 50, 10);
        let error = Body::new(body).into_data_stream().next().await.unwrap().unwrap_err();
        assert!(error.into_inner().to_string().contains("within a message"));
    }

    /// The body that sends these bytes and then nothing for ever, read to its error.
    async fn read(sent: Vec<u8>) -> BoxError {
        let bytes = stream::iter([Ok::<_, BoxError>(Bytes::from(sent))]).chain(stream::pending());
        let body = Body::new(Watched::new(Body::from_stream(bytes), Gate::default()));
        let mut data = body.into_data_stream();
        loop {
            match data.next().await.expect("the body does not end") {
                Ok(_) => {}
                Err(error) => return error.into_inner(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_within_a_message_ends_the_call_and_says_why() {
        let mut sent = message(10);
        sent.extend(&message(100)[..50]);
        let error = read(sent).await;
        let status = error.downcast::<Status>().expect("a gRPC status");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(status.message().contains("10 s"), "{status:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_each_half_second_ends_the_call_after_half_a_minute() {
        let begun = Instant::now();
        let bytes = stream::iter(message(1_000)).then(|byte| async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok::<_, BoxError>(Bytes::from(vec![byte]))
        });
        let body = Body::new(Watched::new(Body::from_stream(bytes), Gate::default()));
        let mut data = body.into_data_stream();
        let error = loop {
            if let Err(error) = data.next().await.expect("the body does not end") {
                break error.into_inner();
            }
        };
        let status = error.downcast::<Status>().expect("a gRPC status");
        assert!(status.message().contains("did not become whole for 30 s"), "{status:?}");
        assert!((30..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_read_for_a_while_blames_no_peer() {
        let whole = message(100);
        let (first, rest) = whole.split_at(50);
        let rest = Bytes::copy_from_slice(rest);
        let bytes = stream::iter([Ok::<_, BoxError>(Bytes::copy_from_slice(first))])
            .chain(stream::pending().take_until(tokio::time::sleep(Duration::from_millis(1))))
            .chain(stream::iter([Ok(rest)]));
        let mut data = Body::new(Watched::new(Body::from_stream(bytes), Gate::default())).into_data_stream();
        assert_eq!(data.next().await.unwrap().unwrap().len(), 50);
        assert!(futures::poll!(data.next()).is_pending());
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(data.next().await.unwrap().unwrap().len(), 55);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_messages_is_no_fault() {
        let hour = Duration::from_secs(3600);
        assert!(
            tokio::time::timeout(hour, read(message(10))).await.is_err(),
            "nothing arrived, and no error"
        );
    }
}
