//! How long the answers of one connection are held back for want of room.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// A slow answer is the only thing that slows Falco down, and it holds up all of Falco's outputs; at 2 s Falco complains.
pub(crate) const DELAY: Duration = Duration::from_secs(1);

/// How long a connection is not held back before it may be again.
const REST: Duration = Duration::from_secs(10);

/// What is left of one connection's patience: at most 1 s of delay in any 10 s.
#[derive(Debug)]
pub(crate) struct Patience(Mutex<State>);

#[derive(Debug)]
struct State {
    left: Duration,
    tried: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self(Mutex::new(State {
            left: DELAY,
            tried: None,
        }))
    }
}

impl Patience {
    /// Waits for something; false when there is no patience left.
    pub(crate) async fn wait(&self, what: impl Future<Output = ()>) -> bool {
        let begun = Instant::now();
        let left = self.left(begun);
        if left.is_zero() {
            return false;
        }
        let came = timeout(left, what).await.is_ok();
        let now = Instant::now();
        let mut state = self.state();
        state.left = state.left.saturating_sub(now - begun);
        state.tried = Some(now);
        if !came {
            state.left = Duration::ZERO;
        }
        came
    }

    fn left(&self, now: Instant) -> Duration {
        let mut state = self.state();
        if state.tried.is_some_and(|tried| now >= tried + REST) {
            state.left = DELAY;
        }
        state.left
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_a_second_in_any_ten() {
        let patience = Patience::default();
        let start = Instant::now();
        let mut delays = Vec::new();
        // Something that never comes, asked for ten times a second, for a minute.
        while start.elapsed() < Duration::from_secs(60) {
            let begun = start.elapsed();
            assert!(!patience.wait(std::future::pending()).await);
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
}
