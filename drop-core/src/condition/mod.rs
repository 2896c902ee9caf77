//! Falco's condition language over an alert and the live pod.
//!
//! A condition is text, then a [syntax tree](tree), then a [`Condition`]: its lists and macros replaced, its fields
//! resolved and typed. It is judged in three values: what rests on a fact that was not read of the cluster is
//! [`Truth::Unknown`]. A field that the alert does not carry is not unknown but missing, and every comparison with it
//! is false, as in Falco.

mod compile;
mod dangers;
mod expand;
mod explain;
mod field;
mod getopt;
mod glob;
mod implication;
mod kind;
mod literal;
mod nearest;
mod parse;
mod predicate;
mod print;
mod problem;
mod program;
mod questions;
mod quote;
mod reader;
mod regex;
mod rules;
mod scope;
mod source;
mod syntax_error;
mod traits;
mod transform;
pub mod tree;
mod values;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use falco_event::Alert;

use crate::facts::{Facts, Wants};

pub use explain::{Explained, Verdict};
pub use parse::{MAX_DEPTH, MAX_LENGTH};
pub use problem::Problem;
pub use program::Truth;
pub use scope::Scope;

pub(crate) use implication::Implication;
pub(crate) use nearest::nearest;
pub(crate) use problem::Shown;
pub(crate) use scope::{check_list_name, check_macro_name};

/// Reads a condition's syntax. Names are not looked up.
///
/// ```
/// let tree = drop_core::condition::parse("proc.name in (sh, 'bash') and not in_trusted")?;
/// assert_eq!(tree.to_string(), r#"proc.name in (sh, "bash") and not in_trusted"#);
/// # Ok::<(), drop_core::condition::Problem>(())
/// ```
///
/// # Errors
/// What is wrong with the syntax, or that the text is longer than [`MAX_LENGTH`] or nested deeper than [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<tree::Expr, Problem> {
    parse::parse(text)
}

/// The words for the types of declared fields.
pub(crate) fn declarable_types() -> Vec<&'static str> {
    kind::DECLARABLE.iter().map(|(word, _)| *word).collect()
}

/// The items of the list of this name, lists among them replaced.
pub(crate) fn expand_items(
    items: &[tree::At<tree::Literal>],
    of: &str,
    scope: &Scope,
    problems: &mut Vec<Problem>,
) -> Vec<tree::At<tree::Literal>> {
    expand::items_of(items, of, scope, problems)
}

/// The macros that an expression names.
pub(crate) fn macros_in(expr: &tree::Expr) -> BTreeSet<String> {
    match &expr.value {
        tree::Node::Or(parts) | tree::Node::And(parts) => parts.iter().flat_map(macros_in).collect(),
        tree::Node::Not(inner) => macros_in(inner),
        tree::Node::Test(_) => BTreeSet::new(),
        tree::Node::Macro(name) => [name.clone()].into(),
    }
}

/// A condition, ready to be judged. Clones share it.
///
/// ```
/// use drop_core::condition::{Condition, Scope, Truth};
/// use falco_event::Alert;
///
/// let condition = Condition::compile("alert.priority >= Warning and proc.name = sh", &Scope::default())
///     .map_err(|mut problems| problems.remove(0))?;
/// let alert = Alert::from_slice(
///     br#"{"time":"2026-01-02T03:04:05Z","rule":"Shell","priority":"Critical","output_fields":{"proc.name":"sh"}}"#,
/// )?;
/// assert_eq!(condition.eval(&alert, None), Truth::True);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    tree: tree::Expr,
    program: program::Program,
    wants: Wants,
    annotations: BTreeSet<String>,
    rules: Option<BTreeSet<String>>,
}

impl Condition {
    /// Reads a condition and resolves its names in a scope.
    ///
    /// # Errors
    /// All its mistakes; at least one.
    pub fn compile(text: &str, scope: &Scope) -> Result<Self, Vec<Problem>> {
        let tree = parse::parse(text)?;
        let mut problems = Vec::new();
        let tree = expand::expand(&tree, scope, &mut problems);
        let program = compile::compile(&tree, scope, &mut problems);
        match program {
            Some(program) if problems.is_empty() => Self::of(tree, program).map_err(Into::into),
            _ => Err(problems),
        }
    }

    fn of(tree: tree::Expr, program: program::Program) -> Result<Self, Problem> {
        let rules = rules::rules(&tree);
        if rules.as_ref().is_some_and(BTreeSet::is_empty) {
            let problem = Problem::new(
                tree.span,
                "the condition can never hold: no alert is of two rules, or of none",
            );
            return Err(problem.expected("`or` between the rules, or one list of them"));
        }
        let (mut wants, mut annotations) = (Wants::default(), BTreeSet::new());
        program.sources(&mut |source| {
            wants = std::mem::take(&mut wants).union(source.wants());
            annotations.extend(source.annotation().map(ToOwned::to_owned));
        });
        Ok(Self(Arc::new(Compiled {
            wants,
            annotations,
            rules,
            tree,
            program,
        })))
    }

    /// Judges the condition. Without facts, the pod was not looked up yet: what needs it is unknown, what does not is settled.
    #[must_use]
    pub fn eval(&self, alert: &Alert, facts: Option<&Facts>) -> Truth {
        self.0.program.eval(source::Context { alert, facts })
    }

    /// The facts beyond the pod itself that it may read.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.0.wants.clone()
    }

    /// The pod's annotations that it may read.
    #[must_use]
    pub fn annotations(&self) -> &BTreeSet<String> {
        &self.0.annotations
    }

    /// The only values of `alert.rule` under which it can be true; none: it can be true under any.
    #[must_use]
    pub fn rules(&self) -> Option<&BTreeSet<String>> {
        self.0.rules.as_ref()
    }

    /// What is legal in it and rarely meant: `not` and `!=` over a field that may be missing, a field that no rule
    /// prints, a value that looks like something else. The scope is the one it was compiled in.
    #[must_use]
    pub fn dangers(&self, scope: &Scope) -> Vec<Problem> {
        dangers::dangers(&self.0.tree, scope)
    }

    /// What it is of every alert, if that can be told.
    #[must_use]
    pub fn always(&self) -> Option<bool> {
        implication::always(&self.0.tree)
    }

    /// Whether the other holds wherever this does; `false` where that cannot be told.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        const STEPS: usize = 10_000;
        self.implies_within(other, &mut implication::Implication { left: STEPS })
    }

    pub(crate) fn implies_within(&self, other: &Self, steps: &mut implication::Implication) -> bool {
        steps.holds(&self.0.tree, &other.0.tree)
    }

    /// Its syntax tree, lists and macros replaced.
    #[must_use]
    pub fn tree(&self) -> &tree::Expr {
        &self.0.tree
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.tree.fmt(f)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.0.tree)
    }
}
