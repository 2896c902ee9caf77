//! Reads the parts of a document and gathers every mistake.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

use crate::condition::{Shown, nearest};

use super::diagnostics::Mistake;
use super::yaml::{Value, Yaml};

/// A file's text and the mistakes found in it so far.
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a str,
    pub(crate) mistakes: Vec<Mistake>,
}

/// A map whose keys are known.
pub(crate) struct Map<'y> {
    pub(crate) span: Range<usize>,
    entries: BTreeMap<&'static str, &'y Yaml>,
}

impl<'y> Map<'y> {
    pub(crate) fn get(&self, key: &str) -> Option<&'y Yaml> {
        self.entries.get(key).copied()
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            mistakes: Vec::new(),
        }
    }

    pub(crate) fn wrong(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Says that another kind of value stands here.
    pub(crate) fn unfit<T>(&mut self, yaml: &Yaml, expected: impl Display) -> Option<T> {
        self.wrong(
            Mistake::new(yaml.span.clone(), format!("unexpected {}", yaml.name()))
                .expected(expected.to_string()),
        );
        None
    }

    /// A map of these keys and no others.
    pub(crate) fn map<'y>(&mut self, yaml: &'y Yaml, what: &str, known: &[&'static str]) -> Option<Map<'y>> {
        let mut entries = BTreeMap::new();
        for (key, value) in self.pairs(yaml, what)? {
            let Some(known_key) = known.iter().find(|known| **known == key.1) else {
                self.unknown_key(key.0, key.1, what, known);
                continue;
            };
            entries.insert(*known_key, value);
        }
        Some(Map {
            span: yaml.span.clone(),
            entries,
        })
    }

    fn unknown_key(&mut self, key: &Yaml, text: &str, what: &str, known: &[&str]) {
        let mistake = Mistake::new(
            key.span.clone(),
            format!("no such key in {what}: {}", Shown(text)),
        );
        let words: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
        self.wrong(
            mistake
                .expected(words.join(", "))
                .nearest(nearest(text, known.iter().copied())),
        );
    }

    /// The entries of a map of any keys, each key once.
    pub(crate) fn pairs<'y>(
        &mut self,
        yaml: &'y Yaml,
        what: &str,
    ) -> Option<Vec<((&'y Yaml, &'y str), &'y Yaml)>> {
        let Value::Map(pairs) = &yaml.value else {
            return self.unfit(yaml, format!("{what}: a map"));
        };
        let mut seen: Vec<((&Yaml, &str), &Yaml)> = Vec::with_capacity(pairs.len());
        let mut keys = std::collections::BTreeSet::new();
        for (key, value) in pairs {
            let text = match &key.value {
                Value::Scalar { text, .. } => text.as_str(),
                Value::List(_) | Value::Map(_) => {
                    self.unfit::<()>(key, "a key");
                    continue;
                }
            };
            if keys.insert(text) {
                seen.push(((key, text), value));
            } else {
                self.wrong(Mistake::new(
                    key.span.clone(),
                    format!("the key {} is there twice", Shown(text)),
                ));
            }
        }
        Some(seen)
    }

    /// What a key must be there for.
    pub(crate) fn required<'y>(&mut self, map: &Map<'y>, key: &str, what: &str) -> Option<&'y Yaml> {
        let found = map.get(key);
        if found.is_none() {
            self.wrong(Mistake::new(map.span.clone(), format!("{what} has no `{key}`")));
        }
        found
    }

    pub(crate) fn list<'y>(&mut self, yaml: &'y Yaml, what: &str) -> Option<&'y [Yaml]> {
        match &yaml.value {
            Value::List(items) => Some(items),
            Value::Scalar { .. } | Value::Map(_) => self.unfit(yaml, format!("{what}: a list")),
        }
    }

    pub(crate) fn text<'y>(&mut self, yaml: &'y Yaml, what: &str) -> Option<&'y str> {
        let text = yaml.text();
        if text.is_none() {
            let quote = if matches!(yaml.name(), "a number" | "a truth value") {
                ", in quotes"
            } else {
                ""
            };
            self.unfit::<()>(yaml, format!("{what}{quote}"));
        }
        text
    }

    pub(crate) fn number(&mut self, yaml: &Yaml, low: u32, high: u32, what: &str) -> Option<u32> {
        let number = yaml
            .plain()
            .and_then(|text| text.parse::<u32>().ok())
            .filter(|number| (low..=high).contains(number));
        if number.is_none() {
            let found = match yaml.plain().filter(|_| yaml.name() == "a number") {
                Some(text) => Shown(text).to_string(),
                None => yaml.name().to_owned(),
            };
            let bounds = if high == u32::MAX {
                format!("{low} or more")
            } else {
                format!("{low} to {high}")
            };
            let mistake = Mistake::new(yaml.span.clone(), format!("unexpected {found}"));
            self.wrong(mistake.expected(format!("{what}: a whole number, {bounds}")));
        }
        number
    }

    pub(crate) fn boolean(&mut self, yaml: &Yaml, what: &str) -> Option<bool> {
        match yaml.plain() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => self.unfit(yaml, format!("{what}: `true` or `false`")),
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        yaml: &Yaml,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let all = || {
            words
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let Some(text) = yaml.text() else {
            return self.unfit(yaml, format!("{what}: {}", all()));
        };
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let mistake = Mistake::new(yaml.span.clone(), format!("no such {what}: {}", Shown(text)));
            self.wrong(
                mistake
                    .expected(all())
                    .nearest(nearest(text, words.iter().map(|(word, _)| *word))),
            );
        }
        found
    }

    /// A text that a parser accepts, or its error.
    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        yaml: &Yaml,
        what: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(yaml, what)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(Mistake::new(yaml.span.clone(), error.to_string()).expected(what));
                None
            }
        }
    }
}
