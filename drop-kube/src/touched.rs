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
/// server alone. But that a watch saw one go is the proof that is waited for.
#[derive(Debug, Default)]
pub(crate) struct Touched(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pods: HashMap<PodUid, Pod>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Pod {
    since: Instant,
    /// A watch saw it go.
    gone: bool,
}

impl Pod {
    fn is_past(&self) -> bool {
        self.since.elapsed() >= BEHIND
    }
}

impl Touched {
    /// A change to the pod is about to be sent.
    pub(crate) fn add(&self, uid: PodUid) {
        let mut state = self.lock();
        let since = Instant::now();
        let pod = state.pods.entry(uid).or_insert(Pod { since, gone: false });
        pod.since = since;
        if state.pods.len() > state.sweep_at.max(SWEEP) {
            state.pods.retain(|_, pod| !pod.is_past());
            state.sweep_at = state.pods.len().saturating_mul(2);
        }
    }

    /// A watch saw the pod go.
    pub(crate) fn went(&self, uid: &PodUid) {
        if let Some(pod) = self.lock().pods.get_mut(uid) {
            pod.gone = true;
        }
    }

    /// Whether a watch saw it go since a change was sent to it.
    pub(crate) fn is_gone(&self, uid: &PodUid) -> bool {
        self.lock().pods.get(uid).is_some_and(|pod| pod.gone)
    }

    /// Whether what an index has of the pod may be older than such a change.
    pub(crate) fn has(&self, uid: &PodUid) -> bool {
        self.lock().pods.get(uid).is_some_and(|pod| !pod.is_past())
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
        assert_eq!(touched.lock().pods.len(), SWEEP);
        assert!((SWEEP..SWEEP * 2).all(|number| touched.has(&uid(number))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_was_touched_is_seen_to_go_and_no_other() {
        let touched = Touched::default();
        touched.add(uid(0));
        assert!(!touched.is_gone(&uid(0)));
        touched.went(&uid(0));
        touched.went(&uid(1));
        assert!(touched.is_gone(&uid(0)) && !touched.is_gone(&uid(1)));
        touched.add(uid(0));
        assert!(touched.is_gone(&uid(0)), "it does not come back");
    }
}
