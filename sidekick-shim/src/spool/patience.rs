//! How long the answers to one peer are held back for want of room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// A slow answer is the only thing that slows Falco down, and it holds up all of Falco's outputs; at 2 s Falco complains.
pub(crate) const DELAY: Duration = Duration::from_secs(1);

/// How long a peer is not held back before it may be again.
const REST: Duration = Duration::from_secs(10);

/// How many peers are told apart; further ones share what is left of one patience. As many as there are connections.
const PEERS: usize = 512;

/// What is left of one peer's patience: at most 1 s of delay in any 10 s. By its address and not by its connection, since
/// a Falco can come with a new one for every alert. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    peers: Arc<Mutex<HashMap<Peer, State>>>,
    peer: Peer,
    none: bool,
}

/// None is everyone whose address says nothing.
type Peer = Option<IpAddr>;

/// Of one who was held back not long ago; who was not has all of it left.
#[derive(Debug)]
struct State {
    left: Duration,
    tried: Instant,
}

impl Patience {
    /// The patience of a peer, beside this one.
    pub(crate) fn of(&self, peer: IpAddr) -> Self {
        Self {
            peers: Arc::clone(&self.peers),
            peer: Some(peer.to_canonical()),
            none: false,
        }
    }

    /// For what must not wait.
    pub(crate) fn none() -> Self {
        Self {
            none: true,
            ..Self::default()
        }
    }

    /// Waits for something; false when there is no patience left.
    pub(crate) async fn wait(&self, what: impl Future<Output = ()>) -> bool {
        if self.none {
            return false;
        }
        let begun = Instant::now();
        let (peer, left) = self.begin(begun);
        if left.is_zero() {
            return false;
        }
        let came = timeout(left, what).await.is_ok();
        let now = Instant::now();
        let mut peers = self.peers();
        let state = peers.entry(peer).or_insert(State { left, tried: now });
        state.left = state.left.saturating_sub(now - begun);
        state.tried = now;
        if !came {
            state.left = Duration::ZERO;
        }
        came
    }

    /// Whose patience it takes, and what is left of it.
    fn begin(&self, now: Instant) -> (Peer, Duration) {
        let mut peers = self.peers();
        peers.retain(|_, state| now < state.tried + REST);
        let has_place = peers.len() < PEERS || peers.contains_key(&self.peer);
        let peer = self.peer.filter(|_| has_place);
        let fresh = State {
            left: DELAY,
            tried: now,
        };
        (peer, peers.entry(peer).or_insert(fresh).left)
    }

    fn peers(&self) -> std::sync::MutexGuard<'_, HashMap<Peer, State>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_a_second_in_any_ten() {
        let all = Patience::default();
        let start = Instant::now();
        let mut delays = Vec::new();
        // Something that never comes, asked for ten times a second, for a minute, on a new connection each time.
        while start.elapsed() < Duration::from_secs(60) {
            let begun = start.elapsed();
            assert!(!of(&all, 1).wait(std::future::pending()).await);
            delays.push((begun, start.elapsed()));
            sleep(Duration::from_millis(100)).await;
        }
        let within = |from: Duration| -> Duration {
            let to = from + REST;
            let parts = delays
                .iter()
                .map(|(begun, end)| (*end).min(to).saturating_sub((*begun).max(from)));
            parts.sum()
        };
        let most = (0..500)
            .map(|tenth| within(Duration::from_millis(100 * tenth)))
            .max();
        assert_eq!(most, Some(DELAY));
        let all: Duration = delays.iter().map(|(begun, end)| *end - *begun).sum();
        assert_eq!(all.as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_time_costs_what_it_took() {
        let patience = Patience::default();
        assert!(patience.wait(sleep(Duration::from_millis(700))).await);
        assert!(!patience.wait(sleep(Duration::from_millis(700))).await);
        assert!(!patience.wait(std::future::ready(())).await);
        sleep(REST).await;
        assert!(patience.wait(sleep(Duration::from_millis(700))).await);
    }

    fn of(all: &Patience, peer: u32) -> Patience {
        all.of(IpAddr::from(peer.to_be_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_peer_has_its_own() {
        let all = Patience::default();
        assert!(!of(&all, 1).wait(std::future::pending()).await);
        assert!(!of(&all, 1).wait(std::future::ready(())).await);
        assert!(of(&all, 2).wait(std::future::ready(())).await);
        assert!(all.wait(std::future::ready(())).await);
        let mapped = all.of("::ffff:0.0.0.1".parse().unwrap());
        assert!(!mapped.wait(std::future::ready(())).await);
    }

    #[tokio::test(start_paused = true)]
    async fn peers_without_number_share_one_until_others_are_forgotten() {
        let all = Patience::default();
        for peer in 0..5000 {
            of(&all, peer).wait(std::future::ready(())).await;
        }
        assert_eq!(all.peers().len(), PEERS + 1);
        assert!(!of(&all, 6000).wait(std::future::pending()).await);
        assert!(!of(&all, 6001).wait(std::future::ready(())).await);
        sleep(REST).await;
        assert!(of(&all, 6001).wait(std::future::ready(())).await);
        assert_eq!(all.peers().len(), 1);
    }
}
