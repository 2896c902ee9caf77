//! The record: what was decided about an alert and why, what was done, and how it ended.
//!
//! It serialises to stable JSON, one object a record, with the member `record` naming its kind and `version` its form.

use std::fmt;
use std::time::Duration;

use falco_event::{Alert, AlertId, Priority, Timestamp};
use serde::{Deserialize, Serialize};

use crate::decide::Judgement;
use crate::facts::Facts;
use crate::identity::Identity;
use crate::outcome::{Ending, Outcome};
use crate::past::ActId;
use crate::policy::{Action, Mode};
use crate::ports::{ApplyError, Target, Way};

/// The form of the JSON; it grows by members and changes by number.
pub const VERSION: u32 = 1;

/// Characters of an alert's output in the line for people: Falco's own outputs are shorter.
const MAX_OUTPUT: usize = 2_048;

/// And of the name of its rule.
const MAX_RULE: usize = 256;

/// What a [`Journal`](crate::ports::Journal) is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// One delivery of an alert came to its end. A retryable one is followed by another under the same id.
    Decided(Box<Decided>),
    /// An act on a pod was looked at again: a second record under the id of its alert.
    Closed(Closed),
}

/// What became of one delivery of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// [`VERSION`].
    pub version: u32,
    /// The alert's identity, the same on every delivery.
    pub id: AlertId,
    /// The alert.
    pub alert: Summary,
    /// When it was first received, as its event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// The hash of the policies that it was judged under.
    pub policies: String,
    /// Who shares the memory: limits, disarming and handled alerts hold among them and no others.
    #[serde(default)]
    pub memory: String,
    /// Which way the pod was looked for; none where nothing was looked for, or the cluster did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The pod that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Every fact that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// How each clue of the alert fits the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Every response that matches, in order, as far as it came.
    pub responses: Vec<Answered>,
    /// The alert's outcome, over all its deliveries.
    pub outcome: Outcome,
    /// When each step was done.
    pub times: Times,
}

/// The alert, as far as a reader of records needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Falco's rule.
    pub rule: String,
    /// Its priority.
    pub priority: Priority,
    /// Its time.
    pub time: Timestamp,
    /// The event source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The host of the Falco that raised it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl Summary {
    fn of(alert: &Alert) -> Self {
        Self {
            rule: alert.rule().to_owned(),
            priority: alert.priority(),
            time: alert.time(),
            source: alert.source().map(str::to_owned),
            hostname: alert.hostname().map(str::to_owned),
            output: alert.output().map(str::to_owned),
        }
    }
}

/// One response and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The judgement, with the verdicts of the past joined to it.
    pub judgement: Judgement,
    /// The act that was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<ActId>,
    /// Each action that was tried, with its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// What came of it.
    pub result: Outcome,
}

/// One action and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The action.
    pub action: Action,
    /// Why it failed; none where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It failed, and may have been made all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maybe_happened: bool,
}

impl Tried {
    pub(crate) fn new(action: &Action, answer: &Result<(), ApplyError>) -> Self {
        let failed = answer.as_ref().err();
        Self {
            action: action.clone(),
            error: failed.map(|error| error.why.to_string()),
            maybe_happened: failed.is_some_and(|error| error.maybe_happened),
        }
    }
}

/// When each step of a delivery was done, in nanoseconds after its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// The arrival, by the wall clock.
    pub arrived: Timestamp,
    /// Planned.
    pub planned: u64,
    /// The pod found, or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// Decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<u64>,
    /// The first change handed to the cluster's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acting: Option<u64>,
    /// The last change answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted: Option<u64>,
    /// The outcome formed.
    pub ended: u64,
}

/// How an act on a pod ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// [`VERSION`].
    pub version: u32,
    /// The identity of the alert that the act answers.
    pub id: AlertId,
    /// The act.
    pub act: ActId,
    /// The policy's name.
    pub policy: String,
    /// The response's name.
    pub response: String,
    /// The pod.
    pub target: Target,
    /// How it ended.
    pub ending: Ending,
    /// Nanoseconds from the opening of the act to this.
    pub took: u64,
}

impl Decided {
    pub(crate) fn new(
        alert: &Alert,
        received: Option<Timestamp>,
        policies: &str,
        memory: &str,
        arrived: Timestamp,
    ) -> Self {
        let times = Times {
            arrived,
            planned: 0,
            found: None,
            decided: None,
            acting: None,
            acted: None,
            ended: 0,
        };
        Self {
            version: VERSION,
            id: alert.id(),
            alert: Summary::of(alert),
            received,
            policies: policies.to_owned(),
            memory: memory.to_owned(),
            way: None,
            target: None,
            facts: None,
            identity: None,
            responses: Vec::new(),
            outcome: Outcome::Ignored,
            times,
        }
    }

    /// The response that decided: the one that acted, else the first that would have; none where the outcome is another.
    fn deciding(&self) -> Option<&Answered> {
        if !matches!(self.outcome, Outcome::Acted { .. } | Outcome::Observed) {
            return None;
        }
        let acted = |answered: &&Answered| matches!(answered.result, Outcome::Acted { .. });
        let observed = |answered: &&Answered| matches!(answered.result, Outcome::Observed);
        self.responses
            .iter()
            .find(acted)
            .or_else(|| self.responses.iter().find(observed))
    }
}

/// The line for people: `[rule] deleted pod from namespace because output`, with control characters escaped. Where nothing
/// was done, the output is no reason for it.
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", escape(cut(&self.alert.rule, MAX_RULE)))?;
        match (&self.target, self.deciding()) {
            (Some(target), Some(answered)) => {
                write!(f, "{} {} from {}", verb(answered), target.name, target.namespace)?;
            }
            (Some(target), None) => write!(
                f,
                "{}: {} in {}",
                escape(&self.outcome.to_string()),
                target.name,
                target.namespace
            )?,
            (None, _) => f.write_str(&escape(&self.outcome.to_string()))?,
        }
        let because = match self.deciding() {
            Some(_) => " because",
            None => "; the alert:",
        };
        match &self.alert.output {
            Some(output) => write!(f, "{because} {}", escape(cut(output, MAX_OUTPUT))),
            None => Ok(()),
        }
    }
}

/// The line is for people, and the record has it all.
fn cut(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

fn verb(answered: &Answered) -> String {
    let made = answered
        .tried
        .iter()
        .filter(|tried| tried.error.is_none() || tried.maybe_happened);
    let planned = answered.judgement.actions.iter().map(|step| &step.action);
    let main = made
        .map(|tried| &tried.action)
        .max_by_key(|action| action.is_terminal());
    let main = main.or_else(|| planned.max_by_key(|action| action.is_terminal()));
    let done = match main {
        Some(Action::Delete { .. }) => "deleted",
        Some(Action::Evict { .. }) => "evicted",
        Some(Action::Label { .. }) => "labelled",
        Some(Action::Annotate { .. }) => "annotated",
        Some(Action::Record) | None => "recorded",
    };
    match (&answered.result, answered.judgement.mode) {
        (Outcome::Acted { certain: false }, _) => format!("may have {done}"),
        (Outcome::Acted { .. }, Mode::Enforce) | (_, Mode::Enforce) => done.to_owned(),
        (_, Mode::Observe) => format!("would have {done}"),
    }
}

/// A text of an alert as it may stand in a log: no control characters, and none that turns the line around.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a terminal may obey a character instead of showing it: controls, and what changes the direction of a line.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
