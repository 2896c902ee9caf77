//! Why each response matches an alert or not, and what it would do.

use std::fmt;

use falco_event::{Alert, AlertId, ReadError, Timestamp, read_all};
use serde::Serialize;

use super::Policies;
use super::model::{Action, Mode, Policy, Response};
use crate::condition::{Explained, Verdict};
use crate::facts::Facts;
use crate::record::escape;

/// What a response would do with an alert, before its guards are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Would {
    /// Nothing: the condition does not hold.
    Nothing,
    /// These actions, if no guard stops it.
    Do(Vec<String>),
    /// Record these actions and take none: it observes, whatever turns out of the pod.
    Observe(Vec<String>),
    /// It depends on what the cluster says of the pod.
    Ask(Vec<String>),
}

/// One response and one alert.
///
/// Its `Display` is for people: the response, its condition with every part marked, and what would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The name of the policy.
    pub policy: String,
    /// The name of the response.
    pub response: String,
    /// The condition, every part judged.
    pub condition: Explained,
    /// What would be done.
    pub would: Would,
}

/// One alert and every response.
///
/// Its `Display` names the alert and shows each [`Explanation`], with a blank line behind it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AlertExplained {
    /// The id of the alert.
    pub id: AlertId,
    /// The rule of the alert.
    pub rule: String,
    /// The time of the alert.
    pub time: Timestamp,
    /// In the order of the documents.
    pub responses: Vec<Explanation>,
}

impl fmt::Display for AlertExplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "alert {} [{}] at {}", self.id, escape(&self.rule), self.time)?;
        self.responses
            .iter()
            .try_for_each(|response| writeln!(f, "{response}"))
    }
}

impl Policies {
    /// Explains a text with one alert or many, in any form that [`read_all`] takes. A bad one is an error in its place.
    ///
    /// The pods are not looked up.
    pub fn explain_all(&self, alerts: &[u8]) -> impl Iterator<Item = Result<AlertExplained, ReadError>> {
        read_all(alerts).map(|alert| {
            let alert = alert?;
            Ok(AlertExplained {
                id: alert.id(),
                rule: alert.rule().to_owned(),
                time: alert.time(),
                responses: self.explain(&alert, None),
            })
        })
    }

    /// Explains every response, also those that name other rules, in the order of the documents.
    ///
    /// Without facts the pod was not looked up, and what needs it is unknown.
    #[must_use]
    pub fn explain(&self, alert: &Alert, facts: Option<&Facts>) -> Vec<Explanation> {
        let responses = |policy: &Policy| {
            policy
                .responses
                .iter()
                .map(|response| explain(policy, response, alert, facts))
                .collect::<Vec<_>>()
        };
        self.policies.iter().flat_map(responses).collect()
    }
}

fn explain(policy: &Policy, response: &Response, alert: &Alert, facts: Option<&Facts>) -> Explanation {
    let condition = response.when.explain(alert, facts);
    let actions = || {
        response
            .actions
            .iter()
            .map(|step| step.action.to_string())
            .collect()
    };
    let would = match condition.verdict {
        Verdict::False | Verdict::Missing => Would::Nothing,
        Verdict::Unknown | Verdict::True if response.mode == Mode::Observe => Would::Observe(actions()),
        Verdict::Unknown => Would::Ask(actions()),
        Verdict::True => Would::Do(actions()),
    };
    Explanation {
        policy: policy.name.clone(),
        response: response.name.clone(),
        condition,
        would,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}/{}", self.policy, self.response)?;
        for line in self.condition.to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  => ")?;
        match &self.would {
            Would::Nothing => writeln!(f, "nothing: the condition does not hold"),
            Would::Do(actions) => writeln!(f, "{}, unless a guard stops it", actions.join(", then ")),
            Would::Observe(actions) => writeln!(
                f,
                "nothing but a record, as it observes; enforced: {}",
                actions.join(", then ")
            ),
            Would::Ask(actions) => {
                let actions = actions.join(", then ");
                writeln!(
                    f,
                    "{actions}, if what is unknown turns out so and no guard stops it"
                )
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { grace_period_seconds } => {
                write!(f, "delete the pod with {grace_period_seconds} s of grace")
            }
            Self::Evict { grace_period_seconds } => {
                write!(f, "evict the pod with {grace_period_seconds} s of grace")
            }
            Self::Label { labels } => keys(f, "label the pod", labels.keys()),
            Self::Annotate { annotations } => keys(f, "annotate the pod", annotations.keys()),
            Self::Record => f.write_str("record the alert"),
        }
    }
}

fn keys<'a>(f: &mut fmt::Formatter<'_>, what: &str, keys: impl Iterator<Item = &'a String>) -> fmt::Result {
    let keys: Vec<_> = keys.map(|key| format!("`{key}`")).collect();
    write!(f, "{what}: {}", keys.join(", "))
}
