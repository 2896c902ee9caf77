//! Why a condition holds of an alert, or does not.

use std::fmt;

use falco_event::Alert;
use serde::Serialize;

use super::Condition;
use super::program::{Program, Truth};
use super::source::{Context, Presence};
use super::tree::{Check, Expr, Node};
use crate::facts::Facts;

/// What a part of a condition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It does not, because the alert or the pod lacks the field.
    Missing,
    /// It rests on what was not read of the cluster.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::True => "true",
            Self::False => "false",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        })
    }
}

/// A condition, or a part of one, and what it came to. Every part is judged, also those that settle nothing any more.
///
/// Its `Display` is a line for each part, the parts of a part indented below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The part as text; of `and`, `or` and `not` that word.
    pub text: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Its own parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

impl Condition {
    /// Judges every part of the condition. Facts as in [`Condition::eval`].
    ///
    /// ```
    /// use drop_core::condition::{Condition, Scope, Verdict};
    /// use falco_event::Alert;
    /// let condition = Condition::compile("alert.rule = Shell and proc.name = sh", &Scope::default())
    ///     .map_err(|mut problems| problems.remove(0))?;
    /// let alert = Alert::from_slice(br#"{"time":"2026-01-02T03:04:05Z","rule":"Shell","priority":"Notice"}"#)?;
    /// let why = condition.explain(&alert, None);
    /// assert_eq!(why.parts[1].verdict, Verdict::Missing);
    /// assert_eq!(why.to_string(), "false    and\ntrue       alert.rule = Shell\nmissing    proc.name = sh\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, alert: &Alert, facts: Option<&Facts>) -> Explained {
        part(&self.0.tree, &self.0.program, Context { alert, facts })
    }
}

fn part(expr: &Expr, program: &Program, cx: Context<'_>) -> Explained {
    let truth = program.eval(cx);
    let joined = |word: &str, parts: &[Expr], programs: &[Program]| {
        let parts = parts
            .iter()
            .zip(programs)
            .map(|(expr, program)| part(expr, program, cx))
            .collect();
        Explained {
            text: word.to_owned(),
            verdict: verdict(truth),
            parts,
        }
    };
    match (&expr.value, program) {
        (Node::And(parts), Program::And(programs)) => joined("and", parts, programs),
        (Node::Or(parts), Program::Or(programs)) => joined("or", parts, programs),
        (Node::Not(inner), Program::Not(program)) => {
            joined("not", std::slice::from_ref(inner), std::slice::from_ref(program))
        }
        (Node::Test(test), Program::Test(program)) => {
            let (truth, presence) = program.eval(cx);
            // `exists` is a question about what is missing: its answer is no
            let missing = presence == Presence::Missing && test.check != Check::Exists;
            let verdict = if missing { Verdict::Missing } else { verdict(truth) };
            Explained {
                text: expr.to_string(),
                verdict,
                parts: Vec::new(),
            }
        }
        _ => Explained {
            text: expr.to_string(),
            verdict: verdict(truth),
            parts: Vec::new(),
        },
    }
}

fn verdict(truth: Truth) -> Verdict {
    match truth {
        Truth::True => Verdict::True,
        Truth::False => Verdict::False,
        Truth::Unknown => Verdict::Unknown,
    }
}

impl Explained {
    fn lines(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        writeln!(
            f,
            "{:8} {:indent$}{}",
            self.verdict,
            "",
            self.text,
            indent = depth * 2
        )?;
        self.parts.iter().try_for_each(|part| part.lines(f, depth + 1))
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines(f, 0)
    }
}
