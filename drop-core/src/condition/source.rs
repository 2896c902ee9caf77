//! Where the values of a field come from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use falco_event::{Alert, Priority, Value};

use super::kind::{Kind, Type};
use crate::facts::{Facts, Known, Wants};
use crate::pod::Owner;

/// What a condition is judged over.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) alert: &'a Alert,
    pub(crate) facts: Option<&'a Facts>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum<'a> {
    Text(Cow<'a, str>),
    Whole(i128),
    Double(f64),
    Bool(bool),
    Address(IpAddr),
    Priority(Priority),
    /// It is there, but it is not of the field's type: no comparison with it is true.
    Other,
}

/// Whether a field has values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is absent, `null`, `<NA>` or an empty list.
    Missing,
    /// What it needs of the cluster was not read.
    Unknown,
    Present,
}

impl Presence {
    pub(crate) fn when(present: bool) -> Self {
        if present { Self::Present } else { Self::Missing }
    }
}

/// Where a field's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Rule,
    Priority,
    Origin,
    Hostname,
    Output,
    Time,
    Tags,
    Pod(PodField),
    /// An output field by its whole key.
    Key(Box<str>),
    /// `proc.aname` without an index: the bare key, and every key with one.
    EveryIndex(Box<str>),
    /// Either end of a connection. `whole`: both ends must be there, else it is missing.
    Ends {
        keys: &'static [&'static str],
        whole: bool,
    },
}

/// A field of the live pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodField {
    Namespace,
    Name,
    Node,
    OwnerKind,
    OwnerName,
    ServiceAccount,
    PriorityClass,
    Label(Box<str>),
    Annotation(Box<str>),
    NamespaceLabel(Box<str>),
}

impl Source {
    pub(crate) fn wants(&self) -> Wants {
        match self {
            Self::Pod(PodField::NamespaceLabel(_)) => Wants {
                namespace: true,
                ..Wants::default()
            },
            Self::Pod(PodField::OwnerKind | PodField::OwnerName) => Wants {
                owner: true,
                ..Wants::default()
            },
            Self::Rule
            | Self::Priority
            | Self::Origin
            | Self::Hostname
            | Self::Output
            | Self::Time
            | Self::Tags
            | Self::Pod(_)
            | Self::Key(_)
            | Self::EveryIndex(_)
            | Self::Ends { .. } => Wants::default(),
        }
    }

    /// The key of the pod's annotation that it is.
    pub(crate) fn annotation(&self) -> Option<&str> {
        if let Self::Pod(PodField::Annotation(key)) = self {
            Some(key)
        } else {
            None
        }
    }

    /// Calls `take` for each value.
    pub(crate) fn each<'a>(&'a self, cx: Context<'a>, of: Type, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
        let alert = cx.alert;
        match self {
            Self::Rule => text(Some(alert.rule()), take),
            Self::Priority => one(Datum::Priority(alert.priority()), take),
            Self::Origin => text(alert.source(), take),
            Self::Hostname => text(alert.hostname(), take),
            Self::Output => text(alert.output(), take),
            Self::Time => one(Datum::Whole(alert.time().as_nanosecond()), take),
            Self::Tags => many(alert.tags().map(|tag| Datum::Text(Cow::Borrowed(tag))), take),
            Self::Pod(field) => match cx.facts {
                Some(facts) => field.read(facts, take),
                None => Presence::Unknown,
            },
            Self::Key(key) => output(alert, key, of, take),
            Self::EveryIndex(base) => every_index(alert, base, of, take),
            Self::Ends { keys, whole } => {
                if *whole && !both_ends(alert, keys) {
                    return Presence::Missing;
                }
                let mut present = false;
                for key in *keys {
                    present |= output(alert, key, of, take) == Presence::Present;
                }
                Presence::when(present)
            }
        }
    }
}

fn one<'a>(datum: Datum<'a>, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    take(datum);
    Presence::Present
}

fn text<'a>(text: Option<&'a str>, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    match text {
        Some("<NA>") | None => Presence::Missing,
        Some(text) => one(Datum::Text(Cow::Borrowed(text)), take),
    }
}

fn many<'a>(data: impl Iterator<Item = Datum<'a>>, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    let mut present = false;
    for datum in data {
        present = true;
        take(datum);
    }
    Presence::when(present)
}

/// The output field of this key. Absent, `null` and the text `<NA>` are missing; the empty text is not.
fn output<'a>(alert: &'a Alert, key: &str, of: Type, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    match alert.fields().raw(key) {
        None | Some(Value::Null | Value::String("<NA>")) => Presence::Missing,
        Some(Value::List(list)) if of.list => many(list.iter().map(|value| datum(value, of.kind)), take),
        Some(Value::List(list)) if list.is_empty() => Presence::Missing,
        Some(value) => one(datum(value, of.kind), take),
    }
}

fn every_index<'a>(alert: &'a Alert, base: &str, of: Type, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    let mut present = output(alert, base, of, take) == Presence::Present;
    for (name, _) in alert.fields().iter() {
        if name.strip_prefix(base).is_some_and(|rest| rest.starts_with('[')) {
            present |= output(alert, name, of, take) == Presence::Present;
        }
    }
    Presence::when(present)
}

/// One end, or the client's and the server's, or the local and the remote one.
fn both_ends(alert: &Alert, keys: &[&str]) -> bool {
    let there = |key: &&str| output(alert, key, Kind::Any.one(), &mut |_| {}) == Presence::Present;
    keys.chunks(2).any(|pair| pair.iter().all(there))
}

/// A JSON value as one of the field's type.
fn datum(value: Value<'_>, kind: Kind) -> Datum<'_> {
    match (kind, value) {
        (Kind::Text | Kind::Buffer | Kind::Any, Value::String(text)) => Datum::Text(Cow::Borrowed(text)),
        (Kind::Text | Kind::Buffer, Value::Number(number)) => Datum::Text(Cow::Borrowed(number.as_str())),
        (Kind::Text | Kind::Buffer, Value::Bool(value)) => {
            Datum::Text(Cow::Borrowed(if value { "true" } else { "false" }))
        }
        (Kind::Bool | Kind::Any, Value::Bool(value)) => Datum::Bool(value),
        (Kind::Bool, Value::String(text)) => text.parse().map_or(Datum::Other, Datum::Bool),
        (Kind::Address | Kind::Network, Value::String(text)) => {
            text.parse().map_or(Datum::Other, Datum::Address)
        }
        (Kind::Whole { .. } | Kind::Port | Kind::Double | Kind::Any, Value::Number(number)) => {
            let double = || number.as_f64().map_or(Datum::Other, Datum::Double);
            number.as_i128().map_or_else(double, Datum::Whole)
        }
        (Kind::Whole { .. } | Kind::Port | Kind::Double, Value::String(text)) => {
            whole(text).map_or(Datum::Other, Datum::Whole)
        }
        _ => Datum::Other,
    }
}

/// A number in a text: Falco prints some in hexadecimal, and internal alerts have theirs in quotes.
pub(crate) fn whole(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

impl PodField {
    fn read<'a>(&'a self, facts: &'a Facts, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
        let pod = &facts.pod;
        match self {
            Self::Namespace => text(Some(pod.namespace.as_str()), take),
            Self::Name => text(Some(pod.name.as_str()), take),
            Self::Node => text(pod.node.as_ref().map(AsRef::as_ref), take),
            Self::ServiceAccount => text(pod.service_account.as_deref(), take),
            Self::PriorityClass => text(pod.priority_class.as_deref(), take),
            Self::Label(key) => label(&pod.labels, key, take),
            Self::Annotation(key) => label(&pod.annotations, key, take),
            Self::OwnerKind => owner(facts, |owner| &owner.kind, take),
            Self::OwnerName => owner(facts, |owner| &owner.name, take),
            Self::NamespaceLabel(key) => match &facts.namespace {
                Known::Is(labels) => label(labels, key, take),
                Known::NotAsked | Known::Unknown(_) => Presence::Unknown,
            },
        }
    }
}

/// A label's value as it stands: `<NA>` is Falco's word and no cluster's.
fn label<'a>(labels: &'a BTreeMap<String, String>, key: &str, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    match labels.get(key) {
        Some(value) => one(Datum::Text(Cow::Borrowed(value)), take),
        None => Presence::Missing,
    }
}

/// A pod without a controller has no owner, whatever else was read.
fn owner<'a>(facts: &'a Facts, part: fn(&Owner) -> &String, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    match &facts.owner {
        Known::Is(owner) => text(owner.as_ref().map(|owner| part(owner).as_str()), take),
        Known::NotAsked | Known::Unknown(_) if facts.pod.controller.is_none() => Presence::Missing,
        Known::NotAsked | Known::Unknown(_) => Presence::Unknown,
    }
}
