//! How old an alert is, whatever is done to the wall clock.

use std::time::Duration;

use falco_event::Timestamp;
use tokio::time::Instant;

/// The wall clock as it would be had nobody set it since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            wall: Timestamp::now(),
            start: Instant::now(),
        }
    }

    /// The age now of what the wall clock, then, said to be received at this time.
    pub(crate) fn age(&self, received: Timestamp) -> Duration {
        let unset = self.wall.saturating_add(self.start.elapsed());
        age(received, Timestamp::now(), unset.unwrap_or(self.wall))
    }
}

/// The clock may have been set before or after the time was taken. One of the two ages is right then and the other is
/// too large or too small: the smaller is never too large, so that nothing is given up early. None is negative.
fn age(received: Timestamp, wall: Timestamp, unset: Timestamp) -> Duration {
    let age = |now: Timestamp| Duration::try_from(now.duration_since(received)).unwrap_or_default();
    age(wall).min(age(unset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_never_taken_for_older_than_it_is() {
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        // When the clock was set, by how much, and what an alert's age is 100 s after it came.
        let cases = [
            ("never", at(0), at(100), at(100), 100),
            ("back, before it came", at(-3600), at(-3500), at(100), 100),
            ("back, after it came", at(0), at(-3500), at(100), 0),
            ("forward, before it came", at(3600), at(3700), at(100), 0),
            ("forward, after it came", at(0), at(3700), at(100), 100),
            ("back, in another process", at(0), at(-3500), at(-3500), 0),
        ];
        for (name, received, wall, unset, seconds) in cases {
            assert_eq!(age(received, wall, unset), Duration::from_secs(seconds), "{name}");
        }
    }
}
