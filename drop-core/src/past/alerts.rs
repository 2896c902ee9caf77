//! The alerts that were handled or are being handled.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use falco_event::AlertId;

use super::{MAX_ALERTS, Past, Since};
use crate::ports::Mono;

/// The right to handle an alert, until another delivery takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The alert.
    pub alert: AlertId,
    /// When it was claimed: every read of this delivery is later.
    pub since: Since,
    number: u64,
}

/// What claiming an alert came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// It is this delivery's to handle.
    Yours(Claim),
    /// Another delivery of the same alert is being handled.
    InFlight,
    /// It was handled before.
    Handled,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Alerts {
    next: u64,
    by_id: BTreeMap<AlertId, State>,
    handled: VecDeque<AlertId>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Claimed { number: u64, until: Mono },
    Handled,
}

impl Past {
    /// Claims an alert for one delivery. A claim that is older than `within` is taken over: its engine has died. But not
    /// while an act for the alert is in flight: what comes of that belongs to the alert's outcome.
    pub fn claim(&mut self, alert: AlertId, within: Duration, now: Mono) -> Claimed {
        match self.alerts.by_id.get(&alert) {
            Some(State::Handled) => return Claimed::Handled,
            Some(State::Claimed { until, .. }) if now < *until => return Claimed::InFlight,
            Some(State::Claimed { .. }) | None => {}
        }
        if self.acts_for(alert).any(|act| act.is_in_flight(now)) {
            return Claimed::InFlight;
        }
        self.alerts.next += 1;
        let number = self.alerts.next;
        self.alerts.by_id.insert(
            alert,
            State::Claimed {
                number,
                until: now.plus(within),
            },
        );
        Claimed::Yours(Claim {
            alert,
            since: self.present(now),
            number,
        })
    }

    /// Whether no other delivery has taken over: only then may an act be opened under the claim.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        match self.alerts.by_id.get(&claim.alert) {
            Some(State::Claimed { number, .. }) => *number == claim.number,
            Some(State::Handled) | None => false,
        }
    }

    /// Ends a claim: the alert is handled, or may be sent again. False where another delivery has taken over.
    pub fn release(&mut self, claim: Claim, handled: bool) -> bool {
        if !self.holds(&claim) {
            return false;
        }
        let alerts = &mut self.alerts;
        if !handled {
            alerts.by_id.remove(&claim.alert);
            return true;
        }
        alerts.by_id.insert(claim.alert, State::Handled);
        alerts.handled.push_back(claim.alert);
        if alerts.handled.len() > MAX_ALERTS
            && let Some(oldest) = alerts.handled.pop_front()
        {
            alerts.by_id.remove(&oldest);
        }
        true
    }

    /// Whether an alert was handled, and is still remembered.
    #[must_use]
    pub fn is_handled(&self, alert: AlertId) -> bool {
        matches!(self.alerts.by_id.get(&alert), Some(State::Handled))
    }
}
