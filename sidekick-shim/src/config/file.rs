//! The settings of a file, by key.

use std::collections::BTreeMap;

use super::keys::{self, KNOWN, WITHOUT_EFFECT, normal};
use super::mistake::{Mistake, Name};
use super::yaml::{self, Key, Node, Place, Value};
use crate::printable::Printable;

/// A configuration file: what it is called in messages, and its text.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its text, YAML.
    pub text: &'a str,
}

/// The settings of a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    file: String,
    settings: BTreeMap<&'static str, (String, Node)>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) notes: Vec<String>,
}

impl Contents {
    pub(super) fn read(file: File<'_>) -> Self {
        let mut contents = Self {
            file: file.name.to_owned(),
            ..Self::default()
        };
        match yaml::read(file.text) {
            Err(fault) => contents.mistake("", fault.place, fault.why),
            Ok(Node {
                value: Value::Map(pairs),
                ..
            }) => contents.section("", pairs),
            Ok(Node {
                value: Value::Null, ..
            }) => {}
            Ok(Node { place, .. }) => contents.mistake("", place, "expected keys and values".to_owned()),
        }
        contents
    }

    /// What a key has in the file.
    pub(super) fn find(&self, key: &str) -> Option<(Name, &Node)> {
        let (name, node) = self.settings.get(key)?;
        Some((self.name(name, node.place), node))
    }

    pub(super) fn name(&self, key: &str, place: Place) -> Name {
        Name {
            name: key.to_owned(),
            place: Some(format!(
                "{}:{}:{}",
                Printable(&self.file),
                place.line,
                place.column
            )),
        }
    }

    pub(super) fn mistake(&mut self, name: &str, place: Place, what: String) {
        let name = self.name(name, place);
        self.mistakes.push(Mistake::new(&name, what));
    }

    fn section(&mut self, path: &str, pairs: Vec<(Key, Node)>) {
        let mut seen = Vec::new();
        for (key, node) in pairs {
            let full = if path.is_empty() {
                key.name.clone()
            } else {
                format!("{path}.{}", key.name)
            };
            if seen.contains(&normal(&key.name)) {
                self.mistake(&full, key.place, "is there twice".to_owned());
                continue;
            }
            seen.push(normal(&key.name));
            self.member(full, key.place, node);
        }
    }

    fn member(&mut self, full: String, place: Place, node: Node) {
        let normal = normal(&full);
        let is = |known: &&str| keys::normal(known) == normal;
        let within = |known: &str| keys::normal(known).starts_with(&format!("{normal}."));
        if let Some(known) = KNOWN.iter().copied().find(|known| is(known)) {
            if !matches!(node.value, Value::Null) {
                self.settings.insert(known, (full, node));
            }
        } else if let Some((known, why)) = WITHOUT_EFFECT.iter().find(|(known, _)| is(known)) {
            if says_something(&node.value) {
                self.notes.push(format!("`{known}` has no effect: {why}"));
            }
        } else if let Some((_, variables)) = keys::outputs().find(|(output, _)| *output == normal) {
            let on = variables
                .into_iter()
                .any(|variable| has(&full, &node.value, variable));
            if on {
                self.notes
                    .push(format!("`{full}` is an output of falcosidekick that is not here"));
            }
        } else if KNOWN.iter().any(|known| within(known)) || normal == "prometheus" {
            match node.value {
                Value::Map(pairs) => self.section(&full, pairs),
                Value::Null => {}
                Value::Text(_) | Value::List(_) => {
                    self.mistake(
                        &full,
                        node.place,
                        "is not a section, expected keys and values in it".to_owned(),
                    );
                }
            }
        } else {
            self.unknown(&full, place, &node);
        }
    }

    /// A section that is like none of ours is taken for an output that a later falcosidekick has.
    fn unknown(&mut self, full: &str, place: Place, node: &Node) {
        let sections = KNOWN
            .iter()
            .filter_map(|known| known.split_once('.'))
            .map(|(section, _)| section);
        let outputs = keys::outputs().map(|(output, _)| output);
        let known = KNOWN.iter().copied().chain(sections).chain(outputs);
        match keys::nearest(full, known) {
            Some(near) => self
                .mistakes
                .push(Mistake::slip(&self.name(full, place), "key", near)),
            None if !full.contains('.') && matches!(node.value, Value::Map(_)) => self.notes.push(format!(
                "`{}` is taken for an output of falcosidekick that is not here",
                Printable(full)
            )),
            None => self.mistake(
                full,
                place,
                "is no key of the shim or of falcosidekick".to_owned(),
            ),
        }
    }
}

/// Whether a part of the file is more than an example with nothing filled in.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Text(text) => !text.trim().is_empty(),
        Value::List(_) | Value::Map(_) => true,
    }
}

/// Whether what stands at a path sets a variable.
fn has(path: &str, value: &Value, variable: &str) -> bool {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .any(|(key, node)| has(&format!("{path}.{}", key.name), &node.value, variable)),
        Value::Null | Value::Text(_) | Value::List(_) => {
            says_something(value) && keys::variable(path) == variable
        }
    }
}
