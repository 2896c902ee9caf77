//! The clock of this machine.

use std::time::Instant;

use drop_core::ports::{Clock, Mono};
use falco_event::Timestamp;

/// The wall clock and the monotonic clock of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn mono(&self) -> Mono {
        Mono::default().plus(self.start.elapsed())
    }
}
