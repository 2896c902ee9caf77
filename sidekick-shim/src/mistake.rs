//! What is wrong with a configuration.

use std::fmt;

use crate::printable::Printable;

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    name: &'static str,
    value: Option<String>,
    expected: String,
}

impl Mistake {
    pub(crate) fn value(name: &'static str, value: String, expected: impl Into<String>) -> Self {
        Self {
            name,
            value: Some(value),
            expected: expected.into(),
        }
    }

    pub(crate) fn missing(name: &'static str, expected: impl Into<String>) -> Self {
        Self {
            name,
            value: None,
            expected: expected.into(),
        }
    }

    /// The variable's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            value,
            expected,
        } = self;
        match value {
            Some(value) => write!(f, "`{name}` is `{}`, expected {expected}", Printable(value)),
            None => write!(f, "`{name}` is not set, expected {expected}"),
        }
    }
}

/// Everything that is wrong with a configuration; at least one mistake. Displayed on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn new(mistakes: Vec<Mistake>) -> Self {
        Self(mistakes)
    }

    /// The mistakes, in the order of the variables' documentation.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.iter().map(Mistake::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for Mistakes {}
