//! When an alert happened, as seen from the moment it is judged.

use std::time::Duration;

use falco_event::{Alert, Timestamp};
use serde::{Deserialize, Serialize};

/// How far two clocks of a cluster may be apart. The one constant for skew.
pub const SKEW: Duration = Duration::from_secs(2);

/// An alert that is further ahead than two clocks may be waits until it is not; one that is further ahead than this has a
/// wrong time.
pub const AHEAD: Duration = Duration::from_secs(60);

/// `creationTimestamp` has whole seconds.
pub const CREATION_RESOLUTION: Duration = Duration::from_secs(1);

/// How long after an alert its container may be missing in the pod's status: the kubelet looks once a second, and
/// a busy one reports late.
pub const STATUS_LAG: Duration = Duration::from_secs(15);

/// The times of one delivery that the decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// What the alert says of itself.
    pub alert: Timestamp,
    /// When it happened at the latest: the alert's own time, or when it was first received, if that is earlier.
    /// A post-dated alert that waited in a spool would otherwise hit the pod that came after.
    pub happened: Timestamp,
    /// When it is judged.
    pub now: Timestamp,
}

impl Moment {
    /// The moment of judging an alert that was first received at `received`, where that is known.
    #[must_use]
    pub fn of(alert: &Alert, received: Option<Timestamp>, now: Timestamp) -> Self {
        let said = alert.time();
        Self {
            alert: said,
            happened: received.map_or(said, |at| at.min(said)),
            now,
        }
    }

    /// How long ago it happened; zero where it is in the future.
    #[must_use]
    pub fn age(&self) -> Duration {
        between(self.happened, self.now)
    }

    /// How far the alert's own time lies ahead; zero where it does not.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        between(self.now, self.alert)
    }
}

/// From one time to a later one; zero where it is not later.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
