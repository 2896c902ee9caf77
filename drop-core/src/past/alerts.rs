//! The alerts that were handled or are being handled.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use falco_event::AlertId;

use super::{Past, Since};
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
    claims: BTreeMap<AlertId, Held>,
    /// The claims by when they can be taken over.
    ends: BTreeSet<(Mono, AlertId)>,
    handled: HashSet<AlertId>,
    /// The handled ones, the oldest first.
    order: VecDeque<AlertId>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    number: u64,
    until: Mono,
}

impl Past {
    /// Claims an alert for one delivery. A claim that is older than `within` is taken over: its engine has died. But not
    /// while an act for the alert is in flight: what comes of that belongs to the alert's outcome.
    pub fn claim(&mut self, alert: AlertId, within: Duration, now: Mono) -> Claimed {
        if self.is_handled(alert) {
            return Claimed::Handled;
        }
        let held = self.alerts.claims.get(&alert);
        if held.is_some_and(|held| now < held.until) || self.acts_for(alert).any(|act| act.is_in_flight(now))
        {
            return Claimed::InFlight;
        }
        self.alerts.forget_the_dead(self.bounds.alerts, now);
        let number = self.alerts.hold(alert, now.plus(within));
        Claimed::Yours(Claim {
            alert,
            since: self.present(now),
            number,
        })
    }

    /// Whether no other delivery has taken over: only then may an act be opened under the claim.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        let held = self.alerts.claims.get(&claim.alert);
        held.is_some_and(|held| held.number == claim.number)
    }

    /// Ends a claim: the alert is handled, or may be sent again. False where another delivery has taken over.
    pub fn release(&mut self, claim: Claim, handled: bool) -> bool {
        if !self.holds(&claim) {
            return false;
        }
        self.alerts.let_go(claim.alert);
        if handled {
            self.alerts.remember(claim.alert, self.bounds.alerts);
        }
        true
    }

    /// Whether an alert was handled, and is still remembered.
    #[must_use]
    pub fn is_handled(&self, alert: AlertId) -> bool {
        self.alerts.handled.contains(&alert)
    }
}

impl Alerts {
    fn hold(&mut self, alert: AlertId, until: Mono) -> u64 {
        self.let_go(alert);
        self.next += 1;
        let number = self.next;
        self.claims.insert(alert, Held { number, until });
        self.ends.insert((until, alert));
        number
    }

    fn let_go(&mut self, alert: AlertId) {
        if let Some(held) = self.claims.remove(&alert) {
            self.ends.remove(&(held.until, alert));
        }
    }

    /// An engine that dies leaves its claim, and the sender may never send again: of too many the oldest goes.
    fn forget_the_dead(&mut self, most: usize, now: Mono) {
        if self.claims.len() >= most
            && let Some((until, alert)) = self.ends.first().copied()
            && until <= now
        {
            self.let_go(alert);
        }
    }

    fn remember(&mut self, alert: AlertId, most: usize) {
        if self.handled.insert(alert) {
            self.order.push_back(alert);
        }
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.handled.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    fn claim(past: &mut Past, number: u32, now: Mono) -> Claimed {
        past.claim(format!("{number:032x}").parse().unwrap(), WITHIN, now)
    }

    #[test]
    fn claims_of_engines_that_died_are_forgotten_where_there_are_too_many() {
        let bounds = Bounds {
            alerts: 3,
            ..Bounds::default()
        };
        let mut past = Past::with_bounds(bounds);
        for number in 0..100 {
            let now = Mono::default().plus(WITHIN * number);
            assert!(matches!(claim(&mut past, number, now), Claimed::Yours(_)));
        }
        assert_eq!((past.alerts.claims.len(), past.alerts.ends.len()), (3, 3));
    }

    #[test]
    fn claims_that_live_are_kept_however_many_there_are() {
        let bounds = Bounds {
            alerts: 3,
            ..Bounds::default()
        };
        let mut past = Past::with_bounds(bounds);
        let now = Mono::default();
        for number in 0..10 {
            claim(&mut past, number, now);
        }
        for number in 0..10 {
            assert_eq!(claim(&mut past, number, now), Claimed::InFlight);
        }
    }
}
