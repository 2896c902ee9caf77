//! How much room there is, and who was promised some.

use std::sync::MutexGuard;

use super::{Ledger, State};
use crate::spool::store::{Count, LEVELS};

/// Why an alert has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Short {
    /// The spool is full.
    Full,
    /// The disk cannot be written.
    Unwritable,
}

impl Ledger {
    /// What can be told of it, for metrics and logs.
    pub(crate) fn count(&self) -> Count {
        let mut all = Count::default();
        self.state().counts.iter().for_each(|count| all.add(*count));
        all
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.state().writable
    }

    /// Room for alerts that take so many bytes. It is given back by [`Self::keep_promise`].
    pub(crate) fn promise(&self, bytes: u64) -> Result<(), Short> {
        let mut state = self.state();
        if !state.writable {
            return Err(Short::Unwritable);
        }
        if state.free(self.bound) < bytes {
            return Err(Short::Full);
        }
        state.promised = state.promised.saturating_add(bytes);
        Ok(())
    }

    /// Alerts were written that had so many bytes of room, and so much is there now: nobody is promised the same room
    /// between.
    pub(crate) fn keep_promise(&self, bytes: u64, counts: [Count; LEVELS]) {
        let mut state = self.state();
        state.promised = state.promised.saturating_sub(bytes);
        self.count_anew(state, counts);
    }

    /// How many bytes are missing for alerts that were promised nothing, when so many are used.
    pub(crate) fn missing(&self, bytes: u64, used: u64) -> u64 {
        let all = bytes.saturating_add(used).saturating_add(self.state().promised);
        all.saturating_sub(self.state().bound(self.bound))
    }

    /// How many are missing by what was configured alone, however much the disk has.
    pub(crate) fn beyond(&self, bytes: u64, used: u64) -> u64 {
        let all = bytes.saturating_add(used).saturating_add(self.state().promised);
        all.saturating_sub(self.bound)
    }

    /// There is no more room on the disk than what is used, less some; or there is again. So much as that is never denied
    /// for it: whether so little can be written is seen when it is.
    pub(crate) fn limit(&self, less: Option<u64>) {
        let mut state = self.state();
        let used = state.used();
        let most = used.min(state.bound(self.bound));
        state.limit = less.map(|less| most.saturating_sub(less).max(less));
        drop(state);
        if less.is_none() {
            self.room.notify_waiters();
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.state().limit.is_some()
    }

    pub(crate) fn set_counts(&self, counts: [Count; LEVELS]) {
        self.count_anew(self.state(), counts);
    }

    fn count_anew(&self, mut state: MutexGuard<'_, State>, counts: [Count; LEVELS]) {
        let bytes = |counts: &[Count; LEVELS]| counts.iter().map(|count| count.on_disk()).sum::<u64>();
        let less = bytes(&counts) < bytes(&state.counts);
        state.counts = counts;
        drop(state);
        if less {
            self.room.notify_waiters();
        }
    }

    /// Whether that is new.
    pub(crate) fn set_writable(&self, writable: bool) -> bool {
        let was = std::mem::replace(&mut self.state().writable, writable);
        if writable && !was {
            self.room.notify_waiters();
        }
        was != writable
    }
}

impl State {
    fn used(&self) -> u64 {
        self.counts.iter().map(|count| count.on_disk()).sum()
    }

    /// What alerts may take on the disk.
    pub(super) fn bound(&self, bound: u64) -> u64 {
        self.limit.map_or(bound, |limit| limit.min(bound))
    }

    fn free(&self, bound: u64) -> u64 {
        let free = self.bound(bound).saturating_sub(self.used());
        free.saturating_sub(self.promised)
    }
}
