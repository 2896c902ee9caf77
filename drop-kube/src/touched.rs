//! Pods that changes were sent to, for as long as a watch can be behind.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use falco_event::PodUid;
use tokio::time::Instant;

/// Longer than a watch can be behind without being found out.
const BEHIND: Duration = Duration::from_secs(180);
/// At so many, or twice as many as were left the last time, those that are past are forgotten.
const SWEEP: usize = 1_024;

/// What an index has of these pods proves nothing: whether a change whose answer was lost was made is told by the API
/// server alone.
#[derive(Debug, Default)]
pub(crate) struct Touched(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: HashMap<PodUid, Instant>,
    sweep_at: usize,
}

impl Touched {
    /// A change to the pod is about to be sent.
    pub(crate) fn add(&self, uid: PodUid) {
        let mut state = self.lock();
        state.since.insert(uid, Instant::now());
        if state.since.len() > state.sweep_at.max(SWEEP) {
            state.since.retain(|_, since| since.elapsed() < BEHIND);
            state.sweep_at = state.since.len().saturating_mul(2);
        }
    }

    /// Whether what an index has of the pod may be older than such a change.
    pub(crate) fn has(&self, uid: &PodUid) -> bool {
        let state = self.lock();
        state.since.get(uid).is_some_and(|since| since.elapsed() < BEHIND)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: usize) -> PodUid {
        format!("u-{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_touched_until_a_watch_cannot_be_behind_any_more() {
        let touched = Touched::default();
        assert!(!touched.has(&uid(0)));
        touched.add(uid(0));
        tokio::time::advance(BEHIND - Duration::from_secs(1)).await;
        assert!(touched.has(&uid(0)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!touched.has(&uid(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_past_is_forgotten_and_nothing_else() {
        let touched = Touched::default();
        (0..SWEEP).for_each(|number| touched.add(uid(number)));
        tokio::time::advance(BEHIND).await;
        (SWEEP..SWEEP * 2).for_each(|number| touched.add(uid(number)));
        assert_eq!(touched.lock().since.len(), SWEEP);
        assert!((SWEEP..SWEEP * 2).all(|number| touched.has(&uid(number))));
    }
}
