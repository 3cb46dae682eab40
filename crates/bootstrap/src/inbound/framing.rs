//! Where messages begin and end in the bytes of a call.

use axum::body::Bytes;

/// Bytes before each message: whether it is compressed, and its length as a big-endian u32.
const PREFIX: usize = 5;

/// How far a sequence of gRPC messages has passed.
#[derive(Debug, Default)]
pub(super) struct Framing {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that have passed.
    begun: usize,
    /// Bytes of the message that have not.
    left: usize,
}

/// A piece of a sequence of messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A message begins: its five bytes before it, and its length.
    Begins(Bytes, u64),
    /// Bytes of the message that has begun.
    Inside(Bytes),
}

impl Framing {
    /// Takes the next piece off the front of `data`; `None` when more is needed. No piece reaches into a second message.
    pub(super) fn next(&mut self, data: &mut Bytes) -> Option<Piece> {
        if data.is_empty() {
            return None;
        }
        if self.left > 0 {
            let inside = data.split_to(self.left.min(data.len()));
            self.left -= inside.len();
            return Some(Piece::Inside(inside));
        }
        let passed = data.split_to((PREFIX - self.begun).min(data.len()));
        self.prefix[self.begun..][..passed.len()].copy_from_slice(&passed);
        self.begun += passed.len();
        if self.begun < PREFIX {
            return None;
        }
        let [_, length @ ..] = self.prefix;
        (self.begun, self.left) = (0, u32::from_be_bytes(length) as usize);
        Some(Piece::Begins(Bytes::copy_from_slice(&self.prefix), self.left as u64))
    }

    pub(super) fn is_inside_a_message(&self) -> bool {
        self.begun > 0 || self.left > 0
    }
}

#[cfg(test)]
mod tests {
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
            let (mut framing, mut passed, mut begun, mut again) =
                (Framing::default(), 0, Vec::new(), Vec::new());
            for piece in bytes.chunks(step) {
                let mut data = Bytes::copy_from_slice(piece);
                while let Some(piece) = framing.next(&mut data) {
                    match piece {
                        Piece::Begins(prefix, length) => {
                            begun.push(length);
                            again.extend(prefix);
                        }
                        Piece::Inside(data) => again.extend(data),
                    }
                }
                passed += piece.len();
                assert_eq!(
                    framing.is_inside_a_message(),
                    !ends.contains(&passed),
                    "{passed} in steps of {step}"
                );
            }
            assert_eq!(begun, lengths.map(u64::from), "in steps of {step}");
            assert_eq!(again, bytes, "in steps of {step}");
        }
    }
}
