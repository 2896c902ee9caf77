//! What the policies want for one alert, before anyone asks the cluster.

use falco_event::Alert;

use crate::condition::Truth;
use crate::facts::Wants;
use crate::pod::Pod;
use crate::policy::{Policies, Policy, Response};

/// What the policies want for one alert: the responses that match, or may once the pod is known.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// The policies it was planned under.
    pub policies: &'a Policies,
    /// In document order.
    pub wanted: Vec<Wanted<'a>>,
}

/// One response that matches or may match.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Its policy.
    pub policy: &'a Policy,
    /// The response.
    pub response: &'a Response,
    /// Whether it matches by the alert alone: [`Truth::True`], or [`Truth::Unknown`] until the pod is known.
    pub holds: Truth,
}

/// Finds the responses that an alert calls for.
///
/// Total and deterministic: a field that is missing has Falco's meaning and is no error. Responses are found by
/// `alert.rule`, so the cost does not grow with the number of those that name other rules.
#[must_use]
pub fn plan<'a>(policies: &'a Policies, alert: &'a Alert) -> Plan<'a> {
    let wanted = policies
        .candidates(alert.rule())
        .filter_map(|(policy, response)| match response.when.eval(alert, None) {
            Truth::False => None,
            holds @ (Truth::True | Truth::Unknown) => Some(Wanted {
                policy,
                response,
                holds,
            }),
        })
        .collect();
    Plan {
        alert,
        policies,
        wanted,
    }
}

impl Plan<'_> {
    /// No response can match: nothing else is touched for this alert.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The facts about the pod that was found that conditions and guards of the planned responses will read.
    #[must_use]
    pub fn wants(&self, pod: &Pod) -> Wants {
        let host = self.alert.offender().node.as_ref();
        let guards = Wants {
            host: host.filter(|host| pod.node.as_ref() != Some(host)).cloned(),
            ..common_wants(self.policies, pod)
        };
        self.wanted
            .iter()
            .fold(guards, |all, wanted| all.union(wanted.wants()))
    }
}

impl Wanted<'_> {
    fn wants(&self) -> Wants {
        match self.holds {
            Truth::Unknown => self.response.when.wants().union(self.guard_wants()),
            Truth::True | Truth::False => self.guard_wants(),
        }
    }

    /// The facts that the guards of this response read, beside those of every response.
    #[must_use]
    pub fn guard_wants(&self) -> Wants {
        Wants {
            siblings: self.response.min_available.is_some(),
            budgets: self.response.heeds_budgets(),
            ..Wants::default()
        }
    }
}

/// The facts that the guards of every response read: what one policy protects no other touches, and a limit of one counts
/// the acts of all.
fn common_wants(policies: &Policies, pod: &Pod) -> Wants {
    let protect = policies.protect();
    Wants {
        namespace: !protect.namespace_selectors.is_empty(),
        owner: !protect.workloads.is_empty() || policies.counts_workloads(&pod.namespace),
        ..Wants::default()
    }
}
