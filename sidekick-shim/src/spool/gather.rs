//! Alerts that are to be kept together: all that come in one turn of the runtime, and where the disk is waited for those
//! of several turns, so that it is waited for once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keeper::Keep;

/// What is to be kept now.
pub(crate) struct Together {
    pub(super) keeps: Vec<Keep>,
    /// The spool's thread has waited for them, and the senders are told by who brings them.
    pub(super) awaited: bool,
}

#[derive(Default)]
pub(crate) struct Gathered(Mutex<State>);

#[derive(Default)]
struct State {
    keeps: Vec<Keep>,
    /// Who was the first in this turn takes them at its end.
    is_led: bool,
    /// With so many the spool's thread is told; fewer it takes itself when it has waited long enough.
    awaited: usize,
}

impl Gathered {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these are the first in a turn of the runtime: then [`Self::take`] is called at its end.
    pub(super) fn add(&self, keep: Keep) -> bool {
        let mut state = self.state();
        state.keeps.push(keep);
        !std::mem::replace(&mut state.is_led, true)
    }

    /// What has come; nothing if more is awaited, or others have taken it.
    pub(super) fn take(&self) -> Option<Together> {
        let mut state = self.state();
        state.is_led = false;
        if state.keeps.len() < state.awaited || state.keeps.is_empty() {
            return None;
        }
        Some(Together {
            awaited: std::mem::take(&mut state.awaited) > 0,
            keeps: std::mem::take(&mut state.keeps),
        })
    }

    /// The spool's thread waits for so many, and calls [`Self::take_all`] if they do not come.
    pub(super) fn wait_for(&self, keeps: usize) {
        self.state().awaited = keeps;
    }

    /// What has come; no more is awaited.
    pub(super) fn take_all(&self) -> Together {
        let mut state = self.state();
        state.awaited = 0;
        Together {
            awaited: false,
            keeps: std::mem::take(&mut state.keeps),
        }
    }
}
