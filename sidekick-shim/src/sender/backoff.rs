//! How long a sink that takes nothing is left alone.

use std::time::Duration;

use tokio::time::Instant;

use super::CONCURRENCY;
use crate::retry::pause;

/// After how many failures in a row, of whichever alerts, a sink is left alone: one of every place.
const IN_A_ROW: u32 = CONCURRENCY;

/// The longest that a sink is left alone. An alert made now waits no longer for a sink that is back, and one request in
/// a second or two is no load.
const LONGEST: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// It is left alone until then; and then one try shows whether it is back.
    until: Option<Instant>,
    probing: bool,
    /// It has refused what it was asked since it last took something.
    pub(super) paused: bool,
}

/// Whether a try may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Yes,
    /// One try, to see.
    Probe,
    /// Not before then, or not before that try has ended.
    Not(Option<Instant>),
}

/// What a success ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Was {
    pub(super) closed: bool,
    pub(super) paused: bool,
}

impl Backoff {
    pub(super) fn leave(&self, now: Instant) -> Leave {
        match self.until {
            None => Leave::Yes,
            Some(_) if self.probing => Leave::Not(None),
            Some(until) if now < until => Leave::Not(Some(until)),
            Some(_) => Leave::Probe,
        }
    }

    pub(super) fn probing(&mut self) {
        self.probing = true;
    }

    /// The try to see showed nothing.
    pub(super) fn unprobed(&mut self) {
        self.probing = false;
    }

    pub(super) fn success(&mut self) -> Was {
        let was = Was {
            closed: self.until.is_some(),
            paused: self.paused,
        };
        *self = Self::default();
        was
    }

    /// A try failed; with `pauses` in a way that every other will. Whether that is new.
    pub(super) fn failure(
        &mut self,
        now: Instant,
        pauses: bool,
        jitter: f64,
        asked: Option<Duration>,
    ) -> bool {
        let new = pauses && !self.paused;
        self.paused |= pauses;
        // Those that were in flight when it was closed make it no longer.
        if self.until.is_some_and(|until| now < until) && !self.probing {
            return new;
        }
        self.probing = false;
        self.failures = self.failures.saturating_add(1);
        let row = if pauses { 1 } else { IN_A_ROW };
        if self.failures >= row {
            let tries = self.failures - row + 1;
            let asked = asked.unwrap_or_default().min(LONGEST);
            self.until = Some(now + pause(tries, jitter, None).min(LONGEST).max(asked));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(backoff: &Backoff, now: Instant) -> Option<u128> {
        backoff.until.map(|until| (until - now).as_millis())
    }

    #[test]
    fn a_wrong_configuration_is_seen_while_it_is_left_alone() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..IN_A_ROW {
            backoff.failure(now, false, 1.0, None);
        }
        let left_alone = millis(&backoff, now);
        assert!(backoff.failure(now, true, 1.0, None));
        assert!(!backoff.failure(now, true, 1.0, None));
        assert_eq!(millis(&backoff, now), left_alone);
        assert!(backoff.success().paused);
    }

    #[test]
    fn failures_in_a_row_leave_it_alone_for_longer_and_longer() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let mut pauses = Vec::new();
        for number in 1..=IN_A_ROW + 7 {
            assert!(!matches!(backoff.leave(now), Leave::Not(_)), "{number}");
            if backoff.leave(now) == Leave::Probe {
                backoff.probing();
                assert_eq!(backoff.leave(now), Leave::Not(None));
            }
            assert!(!backoff.failure(now, false, 1.0, None));
            pauses.extend(millis(&backoff, now));
            now = backoff.until.unwrap_or(now);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        assert_eq!(
            backoff.success(),
            Was {
                closed: true,
                paused: false
            }
        );
        assert_eq!(backoff.leave(now), Leave::Yes);
    }

    #[test]
    fn any_success_begins_the_row_anew() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..100 {
            for _ in 1..IN_A_ROW {
                backoff.failure(now, false, 1.0, None);
            }
            assert_eq!(backoff.leave(now), Leave::Yes);
            backoff.success();
        }
    }

    #[test]
    fn a_wrong_configuration_pauses_at_once_and_is_said_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert!(backoff.failure(now, true, 1.0, None));
        assert_eq!(
            backoff.leave(now),
            Leave::Not(Some(now + Duration::from_millis(100)))
        );
        let later = now + LONGEST;
        backoff.probing();
        assert!(!backoff.failure(later, true, 1.0, None));
        assert_eq!(
            backoff.success(),
            Was {
                closed: true,
                paused: true
            }
        );
        assert!(backoff.failure(later, true, 1.0, None));
    }

    #[test]
    fn what_was_in_flight_when_it_closed_says_nothing_new() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..IN_A_ROW {
            backoff.failure(now, false, 1.0, None);
        }
        for _ in 0..IN_A_ROW {
            backoff.failure(now, false, 1.0, None);
        }
        assert_eq!(millis(&backoff, now), Some(100));
    }
}
