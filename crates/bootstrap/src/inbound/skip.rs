//! A message that is read and thrown away, all but its ends.

use std::collections::VecDeque;

use super::{Skipped, Why};

/// Kept of the beginning: the fields that say whose message it is are before its samples.
const HEAD: usize = 4 << 10;
/// Kept of the end: the fields after the samples.
const TAIL: usize = 1 << 10;

/// A message on its way past.
#[derive(Debug)]
pub(super) struct Skip {
    why: Why,
    bytes: u64,
    head: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Skip {
    pub(super) fn new(why: Why, bytes: u64) -> Self {
        Self { why, bytes, head: Vec::new(), tail: VecDeque::new() }
    }

    /// More of it.
    pub(super) fn pass(&mut self, data: &[u8]) {
        let missing = HEAD - self.head.len();
        self.head.extend(&data[..missing.min(data.len())]);
        let last = &data[data.len().saturating_sub(TAIL)..];
        let too_many = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..too_many);
        self.tail.extend(last);
    }

    /// It is past.
    pub(super) fn end(self) -> Skipped {
        Skipped { why: self.why, bytes: self.bytes, head: self.head, tail: self.tail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_however_the_message_is_cut() {
        let message: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
        for step in [1, 7, 1_000, 4_096, 20_000] {
            let mut skip = Skip::new(Why::TooLarge(10), 20_000);
            message.chunks(step).for_each(|piece| skip.pass(piece));
            let skipped = skip.end();
            assert_eq!(skipped.head, message[..HEAD], "in steps of {step}");
            assert_eq!(skipped.tail, message[message.len() - TAIL..], "in steps of {step}");
        }
    }

    #[test]
    fn a_short_message_is_both_its_ends() {
        let mut skip = Skip::new(Why::TooLarge(1), 3);
        skip.pass(&[1, 2]);
        skip.pass(&[3]);
        let skipped = skip.end();
        assert_eq!((skipped.head, skipped.tail), (vec![1, 2, 3], vec![1, 2, 3]));
    }
}
