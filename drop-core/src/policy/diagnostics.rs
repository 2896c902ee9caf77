//! What is wrong with a policy, shown where it stands.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::condition::Problem;

/// A file as diagnostics show it.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A mistake in a file whose name is not at hand.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) nearest: Option<String>,
}

impl Mistake {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            expected: None,
            nearest: None,
        }
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

impl From<Problem> for Mistake {
    fn from(problem: Problem) -> Self {
        let Problem {
            span,
            message,
            expected,
            nearest,
        } = problem;
        Self {
            span,
            message,
            expected,
            nearest,
        }
    }
}

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, and does something that is rarely meant.
    Warning,
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would have been right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The nearest right spelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    #[serde(skip)]
    span: Range<usize>,
    #[serde(skip)]
    source: Arc<File>,
}

impl Diagnostic {
    pub(crate) fn new(severity: Severity, source: &Arc<File>, mistake: Mistake) -> Self {
        let Mistake {
            span,
            message,
            expected,
            nearest,
        } = mistake;
        let span = within(&source.text, span);
        let before = source.text.get(..span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            severity,
            file: source.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message,
            expected,
            nearest,
            span,
            source: Arc::clone(source),
        }
    }

    fn level(&self) -> Level<'static> {
        match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        }
    }

    fn report(&self) -> Group<'_> {
        let label = self
            .expected
            .as_ref()
            .map(|expected| format!("expected {expected}"));
        let annotation = AnnotationKind::Primary
            .span(self.span.clone())
            .label(label.unwrap_or_default());
        let snippet = Snippet::source(self.source.text.as_str())
            .path(self.file.as_str())
            .annotation(annotation);
        let group = self.level().primary_title(self.message.as_str()).element(snippet);
        match &self.nearest {
            Some(nearest) => group.element(Level::HELP.message(format!("did you mean `{nearest}`?"))),
            None => group,
        }
    }
}

/// The span inside the text, on the borders of characters and on one line.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let mut end = span.end.clamp(start, start + line);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// The place, the message, what was expected and the nearest right thing, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// All that is wrong with a set of policies.
///
/// Its `Display` shows each diagnostic with its line, without colours; it is for people. Programs read the parts of
/// each [`Diagnostic`], or its serialized form.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(crate) fn new(mut all: Vec<Diagnostic>) -> Self {
        // in the order of the text, as a person mends them; the files keep their order
        let mut files: Vec<String> = Vec::new();
        for diagnostic in &all {
            if !files.contains(&diagnostic.file) {
                files.push(diagnostic.file.clone());
            }
        }
        all.sort_by_key(|one| (files.iter().position(|file| *file == one.file), one.span.start));
        Self(all)
    }

    /// Each of them, in the order of the files and in that of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is an error among them, and not only warnings.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|one| one.severity == Severity::Error)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = Renderer::plain();
        for (number, one) in self.0.iter().enumerate() {
            let before = if number > 0 { "\n" } else { "" };
            writeln!(f, "{before}{}", renderer.render(&[one.report()]))?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
