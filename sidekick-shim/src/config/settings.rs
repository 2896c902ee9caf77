//! Variables and file, read setting by setting: a variable wins over the file, and an empty one counts as not set.
//! Mistakes and notes are collected on the way.

use std::fmt::Display;

use super::file::Contents;
use super::keys::{self, WITHOUT_EFFECT, variable};
use super::mistake::{Mistake, Name};
use super::parse::{self, Parsed};
use super::yaml::{Node, Value};

/// A reading of the configuration.
pub(super) struct Settings<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    file: Contents,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) notes: Vec<String>,
}

/// An entry of a list or map: what it is called, its key (empty in a list), its value.
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) key: String,
    pub(super) value: String,
}

impl<'a> Settings<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>, mut file: Contents) -> Self {
        let mut settings = Self {
            lookup,
            mistakes: std::mem::take(&mut file.mistakes),
            notes: std::mem::take(&mut file.notes),
            file,
        };
        settings.note_what_has_no_effect();
        settings
    }

    fn note_what_has_no_effect(&mut self) {
        for (key, why) in WITHOUT_EFFECT {
            let name = variable(key);
            if self.variable(&name).is_some() {
                self.notes.push(format!("`{name}` has no effect: {why}"));
            }
        }
        for name in keys::outputs().flat_map(|(_, variables)| variables) {
            if self.variable(name).is_some() {
                self.notes.push(format!(
                    "`{name}` is of an output of falcosidekick that is not here"
                ));
            }
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// A line that says where a setting does what it is meant to, and does not with falcosidekick.
    pub(super) fn corrects(&mut self, name: &Name, what: &str) {
        self.notes.push(format!("`{}` {what}", name.name));
    }

    /// The text of a setting, with a mistake where the file has a list or a section for it.
    pub(super) fn text(&mut self, key: &str) -> Option<(Name, String)> {
        let name = variable(key);
        if let Some(text) = self.variable(&name) {
            return Some((Name::variable(&name), text));
        }
        let (name, node) = self.file.find(key)?;
        let text = scalar(&name, node);
        self.take(text)
            .map(|text| (name, text))
            .filter(|(_, text)| !text.is_empty())
    }

    /// Whether a setting is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.variable(&variable(key)).is_some() || self.in_file(key)
    }

    /// Whether it is in the file.
    pub(super) fn in_file(&self, key: &str) -> bool {
        self.file.find(key).is_some()
    }

    /// What was read, or nothing, with its mistake noted.
    pub(super) fn take<T>(&mut self, read: Result<T, Mistake>) -> Option<T> {
        read.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    /// The value of a setting; none if it is not set or, with a mistake noted, if it cannot be used.
    pub(super) fn optional<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let (name, text) = self.text(key)?;
        let parsed = parsed(&name, &text, parse);
        self.take(parsed)
    }

    pub(super) fn or<T>(&mut self, key: &str, default: T, parse: impl FnOnce(&str) -> Parsed<T>) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    pub(super) fn is_true(&mut self, key: &str) -> bool {
        self.or(key, false, parse::truth)
    }

    /// A list: of the file, or of text with commas.
    pub(super) fn list(&mut self, key: &str) -> Vec<Entry> {
        let in_file = self.variable(&variable(key)).is_none();
        if in_file
            && let Some((
                name,
                Node {
                    value: Value::List(items),
                    ..
                },
            )) = self.file.find(key)
        {
            let items: Vec<_> = items
                .iter()
                .map(|item| (self.file.name(&name.name, item.place), item))
                .map(|(name, item)| {
                    scalar(&name, item).map(|value| Entry {
                        name,
                        key: String::new(),
                        value,
                    })
                })
                .collect();
            return items.into_iter().filter_map(|item| self.take(item)).collect();
        }
        let Some((name, text)) = self.text(key) else {
            return Vec::new();
        };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let entry = |item: &str| Entry {
            name: name.clone(),
            key: String::new(),
            value: item.to_owned(),
        };
        items.map(entry).collect()
    }

    /// A map: of the file, and over it that of the variable, `key:value,key:value`. A value may hold colons, and an
    /// entry without one is a mistake: falcosidekick drops both in silence.
    pub(super) fn pairs(&mut self, key: &str) -> Vec<Entry> {
        let mut entries = self.pairs_of_file(key);
        let name = Name::variable(&variable(key));
        for pair in self.variable(&name.name).unwrap_or_default().split(',') {
            match pair.trim().split_once(':') {
                Some((key, value)) => {
                    let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                    if value.contains(':') {
                        self.corrects(
                            &name,
                            &format!("keeps `{key}`, whose value holds a colon; falcosidekick leaves it out"),
                        );
                    }
                    entries.retain(|entry| entry.key != key);
                    entries.push(Entry {
                        name: name.clone(),
                        key,
                        value,
                    });
                }
                None if pair.trim().is_empty() => {}
                None => self
                    .mistakes
                    .push(Mistake::value(&name, pair, "name:value,name:value")),
            }
        }
        entries
    }

    fn pairs_of_file(&mut self, key: &str) -> Vec<Entry> {
        let Some((name, node)) = self.file.find(key) else {
            return Vec::new();
        };
        let Value::Map(pairs) = &node.value else {
            let mistake = Mistake::new(&name, "is no section, expected names and values in it");
            self.mistakes.push(mistake);
            return Vec::new();
        };
        let read: Vec<_> = pairs
            .iter()
            .map(|(key, node)| {
                let name = self.file.name(&format!("{}.{}", name.name, key.name), key.place);
                let value = scalar(&name, node)?;
                let key = key.name.clone();
                Ok(Entry { name, key, value })
            })
            .collect();
        read.into_iter().filter_map(|entry| self.take(entry)).collect()
    }

    /// The name of the setting that counts, of two with one meaning; a note if the other says something else.
    pub(super) fn first_of<'k>(&mut self, [first, second]: [&'k str; 2]) -> Option<&'k str> {
        let both = self.has(first) && self.has(second);
        let (one, other) = (self.variable(&variable(first)), self.variable(&variable(second)));
        if both && (one.is_none() || one != other) {
            let (first, second) = (variable(first), variable(second));
            self.notes
                .push(format!("`{second}` has no effect: `{first}` is set and wins"));
        }
        [first, second].into_iter().find(|key| self.has(key))
    }

    /// The parts of a list of sections in the file.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Section> {
        let Some((name, node)) = self.file.find(key) else {
            return Vec::new();
        };
        let Value::List(items) = node.value.clone() else {
            self.mistakes
                .push(Mistake::new(&name, "is no list, expected one of sections"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (item, number) in items.into_iter().zip(1..) {
            let path = format!("{}[{number}]", name.name);
            let at = self.file.name(&path, item.place);
            match item.value {
                Value::Map(pairs) => {
                    let pairs = pairs.into_iter().map(|(key, node)| {
                        let name = self.file.name(&format!("{path}.{}", key.name), key.place);
                        (name, key.name, node)
                    });
                    sections.push(Section {
                        name: at,
                        pairs: pairs.collect(),
                    });
                }
                Value::Null | Value::Text(_) | Value::List(_) => {
                    self.mistakes
                        .push(Mistake::new(&at, "is no section, expected keys and values in it"));
                }
            }
        }
        sections
    }
}

/// One of a list of sections, of which keys are taken one by one.
pub(super) struct Section {
    pub(super) name: Name,
    pairs: Vec<(Name, String, Node)>,
}

impl Section {
    /// Takes the values of a key out of it: one, unless it is there twice.
    pub(super) fn take(&mut self, key: &str) -> Option<(Name, Node)> {
        let is = |other: &str| keys::normal(other) == keys::normal(key);
        let at = self.pairs.iter().position(|(_, name, _)| is(name))?;
        let (name, _, node) = self.pairs.remove(at);
        (!matches!(node.value, Value::Null)).then_some((name, node))
    }

    /// What nobody took: no keys, or there twice.
    pub(super) fn unknown(self, known: &[&str]) -> impl Iterator<Item = Mistake> {
        self.pairs.into_iter().map(|(name, key, _)| {
            let what = match keys::nearest(&key, known.iter().copied()) {
                Some(near) if keys::normal(near) == keys::normal(&key) => "is there twice".to_owned(),
                Some(near) => format!("is no key, did you mean `{near}`?"),
                None => format!("is no key, expected one of {}", known.join(", ")),
            };
            Mistake::new(&name, what)
        })
    }
}

/// The text of a part of the file.
pub(super) fn scalar(name: &Name, node: &Node) -> Result<String, Mistake> {
    match &node.value {
        Value::Text(text) => Ok(text.trim().to_owned()),
        Value::Null => Ok(String::new()),
        Value::List(_) | Value::Map(_) => Err(Mistake::new(name, "is a list or a section, expected text")),
    }
}

/// A value, or the mistake that it is.
pub(super) fn parsed<T, E: Display>(
    name: &Name,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Mistake> {
    parse(text).map_err(|expected| Mistake::value(name, &without_credentials(text), expected))
}

/// A value to be shown: what precedes an `@` may be a password.
fn without_credentials(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => text.to_owned(),
    }
}
