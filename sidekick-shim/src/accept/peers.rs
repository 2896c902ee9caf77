//! How many connections each peer has open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Counts = HashMap<IpAddr, usize>;

/// Gives no peer all the places.
#[derive(Debug)]
pub(super) struct Peers {
    /// How many connections a peer has open at once.
    most: usize,
    open: Arc<Mutex<Counts>>,
}

/// One connection's place; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    peer: IpAddr,
    open: Arc<Mutex<Counts>>,
}

impl Peers {
    /// A quarter of all places for each.
    pub(super) fn sharing(places: usize) -> Self {
        Self {
            most: places.div_ceil(4),
            open: Arc::default(),
        }
    }

    /// A place for one more connection of this peer; none if it has all of its own.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let mut counts = locked(&self.open);
        let count = counts.entry(peer).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            peer,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = locked(&self.open);
        let left = counts.get(&self.peer).map_or(0, |count| count - 1);
        if left == 0 {
            counts.remove(&self.peer);
        } else {
            counts.insert(self.peer, left);
        }
    }
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_a_quarter_and_gives_back_what_it_had() {
        let peers = Peers::sharing(8);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|peer| peer.parse().unwrap());
        let places = [peers.admit(one).unwrap(), peers.admit(one).unwrap()];
        assert!(peers.admit(one).is_none());
        assert!(peers.admit("::ffff:10.0.0.1".parse().unwrap()).is_none());
        let others = peers.admit(other).unwrap();
        let [first, second] = places;
        drop(first);
        drop(peers.admit(one).unwrap());
        drop((second, others));
        assert!(locked(&peers.open).is_empty());
    }
}
