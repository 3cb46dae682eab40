//! A caller that begins a message and then falls silent: its call is closed, so that the room for the message is free
//! again. Between messages it may be silent for as long as it likes; a conveyor stands still at times.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;

/// A message that was begun continues within this time. The slowest line that can carry scans at all sends a piece of one
/// every second.
const SILENCE: Duration = Duration::from_secs(10);

/// Watches the messages of a gRPC call.
pub(crate) fn watch(request: Request) -> Request {
    if crate::is_grpc(&request) { request.map(|body| Body::new(Watched::new(body))) } else { request }
}

/// A body whose rest the server waits for.
struct Watched {
    body: Body,
    framing: Framing,
    /// Set while a message is not whole and nothing arrives.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(body: Body) -> Self {
        Self { body, framing: Framing::default(), silence: None }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence = None;
                if let Some(data) = frame.data_ref() {
                    self.framing.pass(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into_inner()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.framing.is_inside_a_message() => {
                let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
                ready!(silence.as_mut().poll(context));
                let limit = SILENCE.as_secs();
                Poll::Ready(Some(Err(Status::deadline_exceeded(format!(
                    "a message is incomplete and nothing more of it arrived for {limit} s, so the stream is closed; send messages whole"
                ))
                .into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes before each message: whether it is compressed, and its length as a big-endian u32.
const PREFIX: usize = 5;

/// How far a sequence of gRPC messages has passed.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that have passed.
    begun: usize,
    /// Bytes of the message that have not.
    left: usize,
}

impl Framing {
    fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(data.len());
                self.left -= passed;
                data = &data[passed..];
                continue;
            }
            let passed = (PREFIX - self.begun).min(data.len());
            self.prefix[self.begun..][..passed].copy_from_slice(&data[..passed]);
            self.begun += passed;
            data = &data[passed..];
            if self.begun == PREFIX {
                let [_, length @ ..] = self.prefix;
                (self.begun, self.left) = (0, u32::from_be_bytes(length) as usize);
            }
        }
    }

    fn is_inside_a_message(&self) -> bool {
        self.begun > 0 || self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::stream;
    use tonic::Code;

    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![7; length as usize]);
        bytes
    }

    #[test]
    fn the_framing_is_known_however_the_bytes_are_cut() {
        let lengths = [0_u32, 1, 300, 0, 5];
        let bytes: Vec<u8> = lengths.iter().flat_map(|&length| message(length)).collect();
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, &length| {
                *end += PREFIX + length as usize;
                Some(*end)
            })
            .collect();
        for step in 1..20 {
            let (mut framing, mut passed) = (Framing::default(), 0);
            for piece in bytes.chunks(step) {
                framing.pass(piece);
                passed += piece.len();
                assert_eq!(
                    framing.is_inside_a_message(),
                    !ends.contains(&passed),
                    "{passed} in steps of {step}"
                );
            }
        }
    }

    /// The body that sends these bytes and then nothing for ever, read to its error.
    async fn read(sent: Vec<u8>) -> BoxError {
        let bytes = stream::iter([Ok::<_, BoxError>(Bytes::from(sent))]).chain(stream::pending());
        let body = Body::new(Watched::new(Body::from_stream(bytes)));
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
    async fn silence_between_messages_is_no_fault() {
        let hour = Duration::from_secs(3600);
        assert!(
            tokio::time::timeout(hour, read(message(10))).await.is_err(),
            "nothing arrived, and no error"
        );
    }
}
