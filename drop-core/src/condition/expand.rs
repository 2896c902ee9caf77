//! Puts what they stand for in the place of lists and macros, in the tree and not in the text.

use super::nearest::{is_near, nearest};
use super::problem::{Problem, Shown};
use super::scope::{Meaning, Scope};
use super::tree::{At, Check, Expr, Literal, Node, Right, Test};

/// The most parts and list items of a condition once its names are replaced. Macros of macros could fill the memory.
pub(crate) const MAX_PARTS: usize = 100_000;

/// The deepest nesting once macros are replaced.
pub(crate) const MAX_DEPTH: usize = 250;

/// The expression without names. A name that means nothing is a problem and stays.
pub(crate) fn expand(expr: &Expr, scope: &Scope, problems: &mut Vec<Problem>) -> Expr {
    let mut left = MAX_PARTS;
    let expanded = Expander {
        scope,
        problems,
        left: &mut left,
    }
    .expr(expr, 0);
    if left == 0 {
        let message = format!(
            "the condition is too large once its names are replaced: at most {MAX_PARTS} parts, {MAX_DEPTH} deep"
        );
        problems.push(Problem::new(expr.span.clone(), message));
    }
    expanded
}

struct Expander<'a> {
    scope: &'a Scope,
    problems: &'a mut Vec<Problem>,
    /// How many parts there may still be; 0 once there were too many.
    left: &'a mut usize,
}

impl Expander<'_> {
    fn expr(&mut self, expr: &Expr, depth: usize) -> Expr {
        if !self.take(1) || depth > MAX_DEPTH {
            *self.left = 0;
            return expr.clone();
        }
        let mut all = |parts: &[Expr]| parts.iter().map(|part| self.expr(part, depth + 1)).collect();
        let node = match &expr.value {
            Node::Or(parts) => Node::Or(all(parts)),
            Node::And(parts) => Node::And(all(parts)),
            Node::Not(inner) => Node::Not(Box::new(self.expr(inner, depth + 1))),
            Node::Test(test) => Node::Test(self.test(test)),
            Node::Macro(name) => return self.named(name, expr, depth),
        };
        At::new(expr.span.clone(), node)
    }

    fn take(&mut self, parts: usize) -> bool {
        *self.left = self.left.saturating_sub(parts);
        *self.left > 0
    }

    fn named(&mut self, name: &str, expr: &Expr, depth: usize) -> Expr {
        match self.scope.meaning(name) {
            Some(Meaning::Is(tree)) => self.placed(tree, expr, depth + 1),
            Some(Meaning::Broken) => expr.clone(),
            None => {
                self.problems.push(self.unknown_macro(name, expr));
                expr.clone()
            }
        }
    }

    /// A macro's expression as it stands where it is used: mistakes in it point there. Its parts are counted and
    /// measured again, for what is small in a macro may be large in sum.
    fn placed(&mut self, expr: &Expr, place: &Expr, depth: usize) -> Expr {
        if !self.take(1 + weight(&expr.value)) || depth > MAX_DEPTH {
            *self.left = 0;
            return place.clone();
        }
        let mut all = |parts: &[Expr]| {
            parts
                .iter()
                .map(|part| self.placed(part, place, depth + 1))
                .collect()
        };
        let node = match &expr.value {
            Node::Or(parts) => Node::Or(all(parts)),
            Node::And(parts) => Node::And(all(parts)),
            Node::Not(inner) => Node::Not(Box::new(self.placed(inner, place, depth + 1))),
            Node::Test(test) => Node::Test(test.clone()),
            Node::Macro(name) => Node::Macro(name.clone()),
        };
        At::new(place.span.clone(), node)
    }

    fn unknown_macro(&self, name: &str, expr: &Expr) -> Problem {
        let problem = if self.scope.list(name).is_some() {
            Problem::new(
                expr.span.clone(),
                format!(
                    "{} is a list, and stands alone where a condition should",
                    Shown(name)
                ),
            )
        } else {
            Problem::new(expr.span.clone(), format!("no such macro: {}", Shown(name)))
        };
        problem
            .nearest(nearest(name, self.scope.macro_names()))
            .expected("a field and an operator, or a macro of this policy")
    }

    fn test(&mut self, test: &Test) -> Test {
        let Check::Compare { op, modifier, right } = &test.check else {
            return test.clone();
        };
        let value = match &right.value {
            Right::List(items) => Right::List(self.items(items)),
            Right::Named(name) => Right::List(self.list(name, right)),
            Right::Value(literal) => {
                // one text cannot stand for several, so that only the name itself is a slip here
                if self.scope.names().contains(literal.text.as_str()) {
                    self.problems.extend(slip(literal, &right.span, "", self.scope));
                }
                right.value.clone()
            }
            Right::Operand(_) | Right::Priority(_) => right.value.clone(),
        };
        let right = At::new(right.span.clone(), value);
        Test {
            left: test.left.clone(),
            check: Check::Compare {
                op: op.clone(),
                modifier: *modifier,
                right,
            },
        }
    }

    fn items(&mut self, items: &[At<Literal>]) -> Vec<At<Literal>> {
        let items = self::items(items, self.scope, self.problems);
        self.take(items.len());
        items
    }

    fn list(&mut self, name: &str, place: &At<Right>) -> Vec<At<Literal>> {
        let Some(items) = self.scope.list(name) else {
            let problem = Problem::new(place.span.clone(), format!("no such list: {}", Shown(name)));
            self.problems.push(
                problem
                    .nearest(nearest(name, self.scope.list_names()))
                    .expected("a list of this policy or `(…)`"),
            );
            return Vec::new();
        };
        self.take(items.len());
        items
            .iter()
            .map(|item| At::new(place.span.clone(), item.value.clone()))
            .collect()
    }
}

/// List items with lists replaced.
pub(crate) fn items(items: &[At<Literal>], scope: &Scope, problems: &mut Vec<Problem>) -> Vec<At<Literal>> {
    items_of(items, "", scope, problems)
}

/// The items of a list, which may be nearly its own name.
pub(crate) fn items_of(
    items: &[At<Literal>],
    of: &str,
    scope: &Scope,
    problems: &mut Vec<Problem>,
) -> Vec<At<Literal>> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match scope.list(&item.value.text).filter(|_| !item.value.quoted) {
            Some(list) => out.extend(
                list.iter()
                    .map(|inner| At::new(item.span.clone(), inner.value.clone())),
            ),
            None => {
                problems.extend(slip(&item.value, &item.span, of, scope));
                out.push(item.clone());
            }
        }
    }
    out
}

/// An unquoted text that is the name of a list or macro, or nearly: it may be meant as one.
fn slip(literal: &Literal, span: &std::ops::Range<usize>, of: &str, scope: &Scope) -> Option<Problem> {
    if literal.quoted {
        return None;
    }
    let text = literal.text.as_str();
    let names = || {
        scope
            .list_names()
            .chain(scope.macro_names())
            .filter(|name| *name != of)
    };
    let name = names()
        .find(|name| *name == text)
        .or_else(|| names().find(|name| is_near(text, name)))?;
    let what = if scope.list(name).is_some() {
        "list"
    } else {
        "macro"
    };
    let message = match name == text {
        true => format!("{} is the name of a {what}, which cannot stand here", Shown(text)),
        false => format!("{} is nearly the name of the {what} `{name}`", Shown(text)),
    };
    let problem = Problem::new(span.clone(), message);
    Some(
        problem
            .expected(format!(
                "`\"{}\"` in quotes if the text is meant",
                text.escape_debug()
            ))
            .nearest((name != text).then_some(name)),
    )
}

/// How many list items stand in a test.
fn weight(node: &Node) -> usize {
    match node {
        Node::Test(Test {
            check: Check::Compare { right, .. },
            ..
        }) => match &right.value {
            Right::List(items) => items.len(),
            Right::Value(_) | Right::Named(_) | Right::Operand(_) | Right::Priority(_) => 0,
        },
        Node::Test(_) | Node::Or(_) | Node::And(_) | Node::Not(_) | Node::Macro(_) => 0,
    }
}
