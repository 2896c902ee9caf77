//! The memory of one process.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use falco_event::AlertId;

use super::{Bounds, Past};
use crate::ports::{Clock, Lost, Memory, Mono};

/// A [`Memory`] that lives and ends with the process: its limits hold for this process alone.
pub struct LocalMemory {
    clock: Arc<dyn Clock>,
    past: Mutex<Past>,
}

impl LocalMemory {
    /// An empty past that takes its time from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_bounds(clock, Bounds::default())
    }

    /// The same, which remembers no more than this.
    #[must_use]
    pub fn with_bounds(clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self {
            clock,
            past: Mutex::new(Past::with_bounds(bounds)),
        }
    }
}

impl std::fmt::Debug for LocalMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalMemory").finish_non_exhaustive()
    }
}

#[async_trait]
impl Memory for LocalMemory {
    async fn update(&self, f: &mut (dyn for<'p> FnMut(&'p mut Past, Mono) + Send)) -> Result<(), Lost> {
        // No step panics, and one that did would still have to be followed by others: a past is better than none.
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut past, self.clock.mono());
        Ok(())
    }

    fn scope(&self) -> &'static str {
        "this process alone"
    }

    fn may_remember(&self, alert: AlertId) -> bool {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.acts_for(alert).next().is_some()
    }
}
