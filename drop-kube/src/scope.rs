//! The pods of one namespace, or of all, as a watch tells.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drop_core::ports::ApiError;
use falco_event::Namespace;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::reach::{Kept, covers};
use crate::store::Store;
use crate::touched::Touched;
use crate::{convert, wire};

/// The pods of a namespace, or of all.
#[derive(Debug)]
pub(crate) struct Scope {
    /// None is the whole cluster.
    pub(crate) namespace: Option<Namespace>,
    state: Mutex<State>,
    /// Annotations are asked for that its pods lack.
    gained: Notify,
    signals: Arc<Signals>,
}

/// What all scopes of an index tell.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Counts pods that went.
    pub(crate) gone: watch::Sender<u64>,
    /// Counts changes of a scope's warmth.
    pub(crate) turns: watch::Sender<u64>,
    pub(crate) touched: Touched,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) warmth: Warmth,
    /// When its watch said something last.
    heard: Option<Instant>,
    /// The annotations that are kept of a pod.
    kept: Arc<Kept>,
    /// They are more than when the list began that its pods are of.
    gained: bool,
    /// It was warm since its watch was refused last.
    proven: bool,
}

/// Whether what a scope has is what the API server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// Yes, but for what is on its way.
    Warm,
    /// Not yet, or not any more, and why.
    Cold(String),
    /// The right to list or watch pods is missing.
    Forbidden(String),
}

impl Default for Warmth {
    fn default() -> Self {
        Self::Cold("the first list of pods is not there yet".to_owned())
    }
}

impl State {
    /// Whether its watch has said nothing for so long. The connection may be dead, or nothing may have happened.
    pub(crate) fn is_quiet(&self, believed: Duration) -> bool {
        self.heard.is_none_or(|heard| heard.elapsed() >= believed)
    }
}

impl Scope {
    pub(crate) fn new(namespace: Option<Namespace>, kept: Arc<Kept>, signals: Arc<Signals>) -> Self {
        let state = State {
            kept,
            ..State::default()
        };
        Self {
            namespace,
            state: Mutex::new(state),
            gained: Notify::new(),
            signals,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether pods of this namespace are among its own.
    pub(crate) fn has(&self, namespace: &Namespace) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
    }

    /// From now on these annotations are kept. Where that is more than before, it is cold until its pods are listed
    /// again.
    pub(crate) fn keep(&self, kept: Arc<Kept>) {
        let mut state = self.lock();
        let enough = covers(&state.kept, &kept);
        state.kept = kept;
        if enough {
            return;
        }
        state.gained = true;
        if state.warmth == Warmth::Warm {
            self.turn(state, Warmth::Cold("other annotations are asked for".to_owned()));
        } else {
            drop(state);
        }
        self.gained.notify_one();
    }

    /// Resolves when its pods have to be listed again.
    pub(crate) async fn stale(&self) {
        while !self.lock().gained {
            self.gained.notified().await;
        }
    }

    /// It has every pod, and a watch of them is open and has told what was missed. False where they have to be listed again all the same.
    pub(crate) fn warm(&self) -> bool {
        let mut state = self.lock();
        if state.gained {
            return false;
        }
        (state.heard, state.proven) = (Some(Instant::now()), true);
        self.turn(state, Warmth::Warm);
        true
    }

    /// Its watch said something.
    pub(crate) fn hear(&self) {
        self.lock().heard = Some(Instant::now());
    }

    /// It cannot tell, and why.
    pub(crate) fn cold(&self, why: &str) {
        self.set(Warmth::Cold(why.to_owned()));
    }

    /// Its watch was refused. Where that is the first time since it was warm, it keeps what it has and is cold: a token
    /// that is being changed, or an API server that starts, refuses for a moment. Returns whether it is.
    pub(crate) fn refused_once(&self, why: &ApiError) -> bool {
        let mut state = self.lock();
        let is_first = std::mem::take(&mut state.proven);
        if is_first {
            self.turn(state, Warmth::Cold(why.to_string()));
        }
        is_first
    }

    /// It must not tell. What it has would only take up memory. Returns whether that is new.
    pub(crate) fn forbidden(&self, why: &ApiError) -> bool {
        let mut state = self.lock();
        state.store = Store::default();
        let is_new = !matches!(state.warmth, Warmth::Forbidden(_));
        self.turn(state, Warmth::Forbidden(why.to_string()));
        is_new
    }

    fn set(&self, warmth: Warmth) {
        self.turn(self.lock(), warmth);
    }

    fn turn(&self, mut state: MutexGuard<'_, State>, warmth: Warmth) {
        if state.warmth != warmth {
            state.warmth = warmth;
            drop(state);
            self.signals
                .turns
                .send_modify(|turns| *turns = turns.wrapping_add(1));
        }
    }

    pub(crate) fn begin_list(&self) {
        let mut state = self.lock();
        state.gained = false;
        state.store.begin_list();
    }

    pub(crate) fn end_list(&self) {
        let gone = self.lock().store.end_list();
        gone.iter().for_each(|uid| self.signals.touched.went(uid));
        self.tell(!gone.is_empty());
    }

    pub(crate) fn put(&self, sent: wire::Pod) {
        match convert::pod(sent) {
            Ok(mut pod) => {
                let mut state = self.lock();
                if let Some(kept) = &*state.kept {
                    pod.annotations.retain(|key, _| kept.contains(key));
                }
                state.store.put(pod);
            }
            Err(odd) => tracing::warn!(%odd, "a pod is left out of the index"),
        }
    }

    pub(crate) fn remove(&self, sent: &wire::Pod) {
        if let Some(uid) = convert::uid(&sent.metadata) {
            let gone = self.lock().store.remove(&uid);
            self.signals.touched.went(&uid);
            self.tell(gone);
        }
    }

    fn tell(&self, gone: bool) {
        if gone {
            self.signals.gone.send_modify(|gone| *gone = gone.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(keys: &[&str]) -> Arc<Kept> {
        Arc::new(Some(keys.iter().map(|&key| key.to_owned()).collect()))
    }

    fn scope(keys: &[&str]) -> Scope {
        Scope::new(None, kept(keys), Arc::default())
    }

    fn warmth(scope: &Scope) -> Warmth {
        scope.lock().warmth.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_quiet_when_it_has_said_nothing_for_so_long() {
        let scope = scope(&[]);
        let believed = Duration::from_secs(10);
        let is_quiet = || scope.lock().is_quiet(believed);
        assert!(is_quiet(), "it has never said anything");
        scope.begin_list();
        scope.warm();
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!is_quiet());
        scope.hear();
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!is_quiet());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(is_quiet());
    }

    #[test]
    fn other_annotations_make_it_cold_until_it_has_been_listed_again() {
        let scope = scope(&["a"]);
        scope.begin_list();
        assert!(scope.warm());
        scope.keep(kept(&[]));
        assert_eq!(warmth(&scope), Warmth::Warm, "it has more than is asked for");
        scope.keep(kept(&["a"]));
        let cold = Warmth::Cold("other annotations are asked for".into());
        assert_eq!(warmth(&scope), cold, "what came meanwhile lacks it");
        assert!(!scope.warm(), "a list that had begun before does not do");
        scope.begin_list();
        scope.keep(kept(&["a", "b"]));
        assert!(!scope.warm(), "nor one that began before the last of them");
        scope.begin_list();
        assert!(scope.warm());
    }
}
