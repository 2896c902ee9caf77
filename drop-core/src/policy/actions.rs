//! The actions of a response.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostics::Mistake;
use super::model::{Action, Step};
use super::quantities::{label_value, qualified_key};
use super::reader::{Map, Reader};
use super::yaml::Yaml;
use crate::condition::{Shown, nearest};

/// Between SIGTERM and SIGKILL, unless the action says otherwise: the least that lets the kubelet confirm the end.
pub const DEFAULT_GRACE_PERIOD_SECONDS: u32 = 1;

pub(super) const KINDS: [&str; 5] = ["delete", "evict", "label", "annotate", "record"];

/// The actions and where each stands.
pub(crate) fn read(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<(Vec<Step>, Vec<Range<usize>>)> {
    let items = reader.list(yaml, "actions")?;
    if items.is_empty() {
        reader.wrong(
            Mistake::new(yaml.span.clone(), "the response does nothing")
                .expected("one action or more; `record: {}` changes nothing"),
        );
    }
    let steps: Vec<Option<Step>> = items.iter().map(|item| step(reader, item)).collect();
    unreachable(reader, items, &steps);
    let steps = steps.into_iter().collect::<Option<_>>()?;
    Some((steps, items.iter().map(|item| item.span.clone()).collect()))
}

/// What stands behind an action that ends the pod is never reached, unless that may fail.
fn unreachable(reader: &mut Reader<'_>, items: &[Yaml], steps: &[Option<Step>]) {
    let ends = |step: &Step| step.action.is_terminal() && !step.continue_on_error;
    let end = steps.iter().position(|step| step.as_ref().is_some_and(ends));
    for item in items.iter().skip(end.map_or(usize::MAX, |end| end + 1)) {
        let mistake = Mistake::new(
            item.span.clone(),
            "this action is never reached: the one before ends the pod",
        );
        reader.wrong(mistake.expected("the action that ends the pod as the last"));
    }
}

fn step(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Step> {
    let pairs = reader.pairs(yaml, "an action")?;
    let [((key, kind), body)] = pairs.as_slice() else {
        reader.wrong(
            Mistake::new(yaml.span.clone(), "an action has one name")
                .expected("one of `delete`, `evict`, `label`, `annotate`, `record`"),
        );
        return None;
    };
    match *kind {
        "delete" => graced(reader, body, "`delete`", |seconds| Action::Delete {
            grace_period_seconds: seconds,
        }),
        "evict" => graced(reader, body, "`evict`", |seconds| Action::Evict {
            grace_period_seconds: seconds,
        }),
        "label" => {
            let (labels, continue_on_error) = keyed(reader, body, "`label`", "labels", true)?;
            Some(Step {
                action: Action::Label { labels },
                continue_on_error,
            })
        }
        "annotate" => {
            let (annotations, continue_on_error) = keyed(reader, body, "`annotate`", "annotations", false)?;
            Some(Step {
                action: Action::Annotate { annotations },
                continue_on_error,
            })
        }
        "record" => {
            reader.map(body, "`record`", &[])?;
            Some(Step {
                action: Action::Record,
                continue_on_error: false,
            })
        }
        other => {
            let mistake = Mistake::new(key.span.clone(), format!("no such action: {}", Shown(other)));
            reader.wrong(
                mistake
                    .expected(KINDS.map(|kind| format!("`{kind}`")).join(", "))
                    .nearest(nearest(other, KINDS)),
            );
            None
        }
    }
}

fn graced(reader: &mut Reader<'_>, body: &Yaml, what: &str, action: fn(u32) -> Action) -> Option<Step> {
    let map = reader.map(body, what, &["gracePeriodSeconds", "continueOnError"])?;
    let seconds = match map.get("gracePeriodSeconds") {
        Some(seconds) => reader.number(seconds, 0, i32::MAX.unsigned_abs(), "seconds"),
        None => Some(DEFAULT_GRACE_PERIOD_SECONDS),
    };
    let continue_on_error = goes_on(reader, &map)?;
    Some(Step {
        action: action(seconds?),
        continue_on_error,
    })
}

fn goes_on(reader: &mut Reader<'_>, map: &Map<'_>) -> Option<bool> {
    map.get("continueOnError")
        .map_or(Some(false), |yaml| reader.boolean(yaml, "continueOnError"))
}

/// Labels or annotations by key (null removes one), and whether the response goes on without them.
fn keyed(
    reader: &mut Reader<'_>,
    body: &Yaml,
    what: &str,
    key: &'static str,
    of_labels: bool,
) -> Option<(BTreeMap<String, Option<String>>, bool)> {
    let map = reader.map(body, what, &[key, "continueOnError"])?;
    let continue_on_error = goes_on(reader, &map);
    let entries = reader.required(&map, key, what)?;
    let pairs = reader.pairs(entries, key)?;
    if pairs.is_empty() {
        reader.wrong(
            Mistake::new(entries.span.clone(), format!("{what} changes nothing")).expected("one key or more"),
        );
    }
    let entries: Vec<_> = pairs
        .into_iter()
        .map(|((key, text), value)| entry(reader, key, text, value, of_labels))
        .collect();
    Some((entries.into_iter().collect::<Option<_>>()?, continue_on_error?))
}

fn entry(
    reader: &mut Reader<'_>,
    key: &Yaml,
    text: &str,
    value: &Yaml,
    of_labels: bool,
) -> Option<(String, Option<String>)> {
    let key = qualified_key(text)
        .map_err(|why| reader.wrong(Mistake::new(key.span.clone(), why)))
        .ok();
    let value = match value {
        value if value.is_null() => Some(None),
        value if of_labels => reader
            .parsed(value, "the value of a label, or null to remove it", label_value)
            .map(Some),
        value => reader
            .text(value, "the value of an annotation, or null to remove it")
            .map(|text| Some(text.to_owned())),
    };
    Some((key?, value?))
}
