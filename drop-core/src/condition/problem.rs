//! What is wrong with a condition.

use std::fmt;
use std::ops::Range;

/// A mistake in a condition: where, what, what was expected, and what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, in bytes of the condition's text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would have been right.
    pub expected: Option<String>,
    /// The nearest right spelling.
    pub nearest: Option<String>,
}

impl Problem {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            expected: None,
            nearest: None,
        }
    }

    /// A name that something else has.
    pub(crate) fn taken(name: &str) -> Self {
        Self::new(0..name.len(), format!("the name {} is taken", Shown(name)))
    }

    pub(crate) fn expected(mut self, what: impl Into<String>) -> Self {
        self.expected = Some(what.into());
        self
    }

    pub(crate) fn nearest(mut self, right: Option<impl Into<String>>) -> Self {
        self.nearest = right.map(Into::into);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.span.start)?;
        if let Some(expected) = &self.expected {
            write!(f, ": expected {expected}")?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// A text of the user's, escaped so that it stays on one line, and cut at 80 characters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        f.write_str("`")?;
        for c in self.0.chars().take(LONGEST) {
            match c {
                '`' => f.write_str("\\`")?,
                '"' | '\'' => write!(f, "{c}")?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        f.write_str(if self.0.chars().nth(LONGEST).is_some() {
            "…`"
        } else {
            "`"
        })
    }
}
