//! Limits of what all peers of a server, and each of them, may have at once: connections, streams, bytes.
//!
//! One peer never has all of it, so that one that takes whatever it can leaves a part to others.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Fault;

/// Who is at the other end of a connection: an IPv4 address, or the first 64 bits of an IPv6 address, which are one
/// customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

/// So many of one kind. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: &'static str,
    all: u64,
    each: u64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    by_peer: HashMap<Peer, u64>,
}

/// What a peer has taken; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    quota: Quota,
    peer: Peer,
    units: u64,
}

/// There is not enough left. Its `Display` says whose limit was reached and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Full {
    what: &'static str,
    /// Of all peers together, where it is none.
    peer: Option<Peer>,
    most: u64,
    /// What is left of it.
    pub left: u64,
}

impl Peer {
    /// At this address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    /// The peer that a call came from, as its server noted it; this machine where none did, as in a test.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().copied().unwrap_or(Self(Ipv4Addr::LOCALHOST.into()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Quota {
    /// `all` units, of which one peer may have `each`. `what` is the plural of their name.
    #[must_use]
    pub fn new(what: &'static str, all: u64, each: u64) -> Self {
        Self(Arc::new(Inner { what, all, each, taken: Mutex::default() }))
    }

    /// `all` units, of which one peer may have three quarters.
    #[must_use]
    pub fn shared(what: &'static str, all: u64) -> Self {
        Self::new(what, all, (all * 3 / 4).max(1))
    }

    /// One unit.
    ///
    /// # Errors
    /// The peer has as many as it may have, or all of them are taken.
    pub fn one(&self, peer: Peer) -> Result<Share, Full> {
        self.take(peer, 1)
    }

    /// So many units.
    ///
    /// # Errors
    /// See [`Quota::one`].
    pub fn take(&self, peer: Peer, units: u64) -> Result<Share, Full> {
        self.take_within(peer, units..=units)
    }

    /// As many of these units as there are.
    ///
    /// # Errors
    /// There are fewer than the least of them.
    pub fn take_within(&self, peer: Peer, units: RangeInclusive<u64>) -> Result<Share, Full> {
        let Inner { what, all, each, taken } = &*self.0;
        let mut taken = taken.lock();
        let left = all - taken.all;
        let left_of_peer = each.saturating_sub(taken.by_peer.get(&peer).copied().unwrap_or_default());
        let (least, most) = units.into_inner();
        if left < least {
            return Err(Full { what, peer: None, most: *all, left });
        }
        if left_of_peer < least {
            return Err(Full { what, peer: Some(peer), most: *each, left: left_of_peer });
        }
        let units = most.min(left).min(left_of_peer);
        taken.all += units;
        *taken.by_peer.entry(peer).or_default() += units;
        Ok(Share { quota: self.clone(), peer, units })
    }

    /// Units of all.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.all
    }

    /// Units that are taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.taken.lock().all
    }
}

impl Share {
    /// How many units it is.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Takes this many more of the same, or as many of them as there are; false when there are fewer than the least.
    pub fn grow(&mut self, more: RangeInclusive<u64>) -> bool {
        let Ok(mut more) = self.quota.take_within(self.peer, more) else { return false };
        self.units += std::mem::take(&mut more.units);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.quota.0.taken.lock();
        taken.all -= self.units;
        if let Some(of_peer) = taken.by_peer.get_mut(&self.peer) {
            *of_peer -= self.units;
            if *of_peer == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, peer, most, left } = self;
        match peer {
            Some(peer) => write!(
                f,
                "{left} of the {most} {what} that one address may have are left for {peer}: close some, or call another \
                 server"
            ),
            None => write!(f, "{left} of this server's {most} {what} are left: call another one, or later"),
        }
    }
}

impl From<Full> for tonic::Status {
    fn from(full: Full) -> Self {
        Fault::NoRoom.status(full.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> Peer {
        Peer::at([10, 0, 0, n].into())
    }

    #[test]
    fn one_peer_never_has_all_and_what_was_taken_comes_back() {
        let quota = Quota::new("streams", 10, 4);
        let mut greedy: Vec<_> = (0..4).map(|_| quota.one(peer(1)).unwrap()).collect();
        let refused = quota.one(peer(1)).unwrap_err().to_string();
        assert!(
            refused.contains("0 of the 4 streams that one address may have are left for 10.0.0.1"),
            "{refused}"
        );
        let _others: Vec<_> = (2..8).map(|n| quota.one(peer(n)).unwrap()).collect();
        let refused = quota.one(peer(9)).unwrap_err().to_string();
        assert!(refused.contains("0 of this server's 10 streams"), "{refused}");
        greedy.pop();
        quota.one(peer(9)).unwrap();
        drop(greedy);
        assert_eq!(quota.0.taken.lock().by_peer.len(), 6, "a peer that left is forgotten");
    }

    #[test]
    fn a_share_is_as_large_as_there_is_room_for_and_grows() {
        let quota = Quota::new("bytes", 100, 80);
        let first = quota.take_within(peer(1), 10..=60).unwrap();
        let mut second = quota.take_within(peer(2), 10..=60).unwrap();
        assert_eq!((first.units(), second.units()), (60, 40));
        assert_eq!(quota.take(peer(3), 10).unwrap_err().left, 0);
        assert!(!second.grow(10..=20));
        drop(first);
        assert!(second.grow(10..=20));
        assert_eq!((second.units(), quota.taken()), (60, 60));
        drop(second);
        assert_eq!(quota.taken(), 0);
    }

    #[test]
    fn all_addresses_of_one_customer_are_one_peer() {
        let v6 = |text: &str| Peer::at(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), peer(1));
    }
}
