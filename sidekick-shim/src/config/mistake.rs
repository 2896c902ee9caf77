//! What is wrong with a configuration.

use std::fmt;

use super::keys;
use crate::printable::Printable;

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    name: String,
    /// File, line and column, where it is not a variable.
    place: Option<String>,
    what: String,
    /// It is nearly the name of this key, as far as letters go.
    meant: Option<String>,
    is_missing: bool,
}

impl Mistake {
    pub(crate) fn value(name: &Name, value: &str, expected: impl fmt::Display) -> Self {
        let what = format!("is `{}`, expected {expected}", Printable(value));
        Self::new(name, what)
    }

    pub(crate) fn missing(name: &str, expected: &str) -> Self {
        let what = format!("is not set, expected {expected}");
        Self {
            is_missing: true,
            ..Self::new(&Name::variable(name), what)
        }
    }

    /// A name that is none, `kind` of what, and nearly this one.
    pub(crate) fn slip(name: &Name, kind: &str, meant: &str) -> Self {
        let what = format!("is no {kind}, did you mean `{meant}`?");
        Self {
            meant: Some(keys::normal(meant)),
            ..Self::new(name, what)
        }
    }

    pub(crate) fn new(name: &Name, what: impl Into<String>) -> Self {
        Self {
            name: name.name.clone(),
            place: name.place.clone(),
            what: what.into(),
            meant: None,
            is_missing: false,
        }
    }

    /// Whether a setting with one of these words in its key may have been meant: by a slip, or in a file that is none.
    pub(crate) fn may_mean(&self, words: &[&str]) -> bool {
        let meant = |meant: &String| words.iter().any(|word| meant.contains(word));
        self.name.is_empty() || self.meant.as_ref().is_some_and(meant)
    }

    /// The name of the variable, or the key of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.name.is_empty() {
            write!(f, "`{}` ", Printable(&self.name))?;
        }
        f.write_str(&self.what)
    }
}

/// What a setting is called, and where it stands in the file if it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) place: Option<String>,
}

impl Name {
    pub(crate) fn variable(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: None,
        }
    }
}

/// Everything that is wrong with a configuration; at least one mistake. Displayed on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// `whole`, unless there are mistakes. What may be there under a name that is a slip is not missing.
    pub(crate) fn or<T>(mut mistakes: Vec<Mistake>, whole: T) -> Result<T, Self> {
        if mistakes
            .iter()
            .any(|mistake| mistake.may_mean(&["cloudevents", "ksink", "shim.sinks"]))
        {
            mistakes.retain(|mistake| !mistake.is_missing);
        }
        if mistakes.is_empty() {
            Ok(whole)
        } else {
            Err(Self(mistakes))
        }
    }

    /// The mistakes, in the order of the settings' documentation.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.iter().map(Mistake::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for Mistakes {}
