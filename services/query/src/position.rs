//! Where a watcher is in the feeds of all stores.

use std::collections::BTreeMap;

use ovomesh_api::Invalid;

/// What all tokens of one feed begin with: part of the store's contract.
const FEED: usize = 8;
/// Longest position in bytes: some twenty stores.
const LONGEST: usize = 512;

type Feed = [u8; FEED];

/// One token of each feed. Tokens of one feed begin with the same 8 bytes and grow as bytes; those of different feeds
/// cannot be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<Feed, Vec<u8>>);

/// The feed of a token; `None` for what is none.
pub fn feed(token: &[u8]) -> Option<Feed> {
    token.first_chunk().copied()
}

impl Position {
    /// The position after these tokens.
    pub fn of<'a>(tokens: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut position = Self::default();
        tokens.into_iter().for_each(|token| position.set(token));
        position
    }

    /// Goes on to a token in its feed.
    pub fn set(&mut self, token: &[u8]) {
        if let Some(feed) = feed(token) {
            self.0.insert(feed, token.to_vec());
        }
    }

    /// The token in a feed.
    pub fn get(&self, feed: &Feed) -> Option<&[u8]> {
        self.0.get(feed).map(Vec::as_slice)
    }

    /// Whether it is at `other` or behind it in each of the other's feeds.
    pub fn covers(&self, other: &Self) -> bool {
        self.first_missing(other).is_none()
    }

    /// A token of `other` that it has not reached.
    pub fn first_missing<'a>(&self, other: &'a Self) -> Option<&'a [u8]> {
        let missing = |token: &&Vec<u8>| {
            let own = feed(token).and_then(|feed| self.get(&feed));
            own.is_none_or(|own| own.len() != token.len() || own < token.as_slice())
        };
        other.0.values().find(missing).map(Vec::as_slice)
    }

    /// Whether it has a feed of which `known` says no.
    pub fn has_unknown(&self, known: impl Fn(&Feed) -> bool) -> bool {
        self.0.keys().any(|feed| !known(feed))
    }

    /// As bytes: the length of each token, and the token.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 17);
        for token in self.0.values() {
            // Longer ones are not taken in.
            bytes.push(u8::try_from(token.len()).unwrap_or(0));
            bytes.extend(token);
        }
        bytes
    }

    pub fn decode(field: &'static str, bytes: &[u8]) -> Result<Self, Invalid> {
        let wrong = || Invalid::field(field, "something else", "a token that this service gave, or empty");
        let (mut position, mut rest) = (Self::default(), bytes);
        while let Some((length, tail)) = rest.split_first() {
            let (token, tail) = tail.split_at_checked(usize::from(*length)).ok_or_else(wrong)?;
            feed(token).ok_or_else(wrong)?;
            position.set(token);
            rest = tail;
        }
        if bytes.len() > LONGEST { Err(wrong()) } else { Ok(position) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The token after `n` rows of feed `feed`.
    fn token(feed: u64, n: u64) -> Vec<u8> {
        [feed.to_be_bytes(), n.to_be_bytes()].concat()
    }

    fn at(tokens: &[(u64, u64)]) -> Position {
        let mut position = Position::default();
        tokens.iter().for_each(|(feed, n)| position.set(&token(*feed, *n)));
        position
    }

    #[test]
    fn a_position_covers_what_it_has_reached_in_every_feed() {
        let here = at(&[(1, 10), (2, 20)]);
        for reached in [at(&[]), at(&[(1, 10)]), at(&[(1, 9), (2, 20)])] {
            assert!(here.covers(&reached), "{reached:?}");
        }
        for ahead in [at(&[(1, 11)]), at(&[(1, 1), (3, 0)])] {
            assert!(!here.covers(&ahead), "{ahead:?}");
        }
        assert_eq!(here.first_missing(&at(&[(1, 1), (2, 21)])), Some(token(2, 21).as_slice()));
    }

    #[test]
    fn positions_survive_as_bytes_and_nonsense_is_named() {
        let here = at(&[(1, 10), (u64::MAX, 20)]);
        assert_eq!(Position::decode("resume_token", &here.encode()).unwrap(), here);
        let nonsense = [&[0][..], &[5, 1, 2, 3, 4, 5], &[17, 1], &here.encode()[1..], &[16; 17].repeat(31)];
        for bytes in nonsense {
            assert_eq!(
                Position::decode("resume_token", bytes).unwrap_err().field,
                "resume_token",
                "{bytes:?}"
            );
        }
    }
}
