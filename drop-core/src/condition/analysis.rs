//! What can be said of a condition without an alert: what it always is, what it implies, what is dangerous in it.

use std::collections::BTreeSet;

use falco_event::{Priority, field_type};

use super::problem::{Problem, Shown};
use super::regex::says_nothing;
use super::rules::rules;
use super::scope::Scope;
use super::tree::{CallArg, Check, Expr, Field, Function, Literal, Node, Op, Operand, Right, Test};

/// The output fields that Falco's and its plugins' shipped rules print, and those it suggests; without arguments.
const PRINTED: &str = include_str!("printed.txt");

/// What the expression is of every alert, if that can be told.
pub(crate) fn always(expr: &Expr) -> Option<bool> {
    match &expr.value {
        Node::And(parts) => settled(parts, false),
        Node::Or(parts) => settled(parts, true).or_else(|| complementary(parts).then_some(true)),
        Node::Not(inner) => always(inner).map(|truth| !truth),
        Node::Test(test) => always_test(test),
        Node::Macro(_) => None,
    }
}

/// Of parts of which one that is `by` settles the whole.
fn settled(parts: &[Expr], by: bool) -> Option<bool> {
    let all: Vec<_> = parts.iter().map(always).collect();
    if all.contains(&Some(by)) {
        return Some(by);
    }
    all.iter().all(|part| *part == Some(!by)).then_some(!by)
}

/// `x or not x`.
fn complementary(parts: &[Expr]) -> bool {
    let negated = |part: &Expr| matches!(&part.value, Node::Not(inner) if parts.contains(inner));
    parts.iter().any(negated)
}

fn always_test(test: &Test) -> Option<bool> {
    let there = field(&test.left.value).is_some_and(|field| is_always_there(&field.name));
    let Check::Compare { op, modifier, right } = &test.check else {
        return there.then_some(true);
    };
    match (&right.value, op.value) {
        (Right::List(items), Op::In | Op::Intersects | Op::Pmatch) if items.is_empty() => Some(false),
        (Right::List(items), _) if items.is_empty() && modifier.is_some() => Some(false),
        (Right::Priority(name), Op::Ge) => (name.parse() == Ok(Priority::Debug)).then_some(true),
        (Right::Priority(name), Op::Le) => (name.parse() == Ok(Priority::Emergency)).then_some(true),
        (Right::Value(literal), op) if there && fits_all(op, &literal.text) => Some(true),
        _ => None,
    }
}

/// Whether every text answers yes.
fn fits_all(op: Op, text: &str) -> bool {
    match op {
        Op::Glob | Op::Iglob => !text.is_empty() && text.chars().all(|c| c == '*'),
        Op::Regex => matches!(text, ".*" | "^.*$" | "^.*" | ".*$" | ".+"),
        Op::Contains | Op::Icontains | Op::Startswith | Op::Endswith | Op::Ne => text.is_empty(),
        Op::Eq
        | Op::Lt
        | Op::Le
        | Op::Gt
        | Op::Ge
        | Op::Bcontains
        | Op::Bstartswith
        | Op::In
        | Op::Intersects
        | Op::Pmatch => false,
    }
}

fn field(operand: &Operand) -> Option<&Field> {
    match operand {
        Operand::Field(field) | Operand::Val(field, _) => Some(field),
        Operand::Call(_) => None,
    }
}

fn is_always_there(name: &str) -> bool {
    matches!(
        name,
        "alert.rule" | "alert.priority" | "alert.time" | "pod.namespace" | "pod.name"
    )
}

/// Compares expressions, no longer than it may.
pub(crate) struct Implication {
    /// How many comparisons it may still make: the parts of both sides multiply.
    pub(crate) left: usize,
}

impl Implication {
    /// Whether the second holds wherever the first does; `false` where that cannot be told.
    pub(crate) fn holds(&mut self, first: &Expr, second: &Expr) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return false;
        }
        if first == second || always(second) == Some(true) || always(first) == Some(false) {
            return true;
        }
        match (&first.value, &second.value) {
            (Node::Or(parts), _) => parts.iter().all(|part| self.holds(part, second)),
            (_, Node::And(parts)) => parts.iter().all(|part| self.holds(first, part)),
            (Node::And(parts), _) if parts.iter().any(|part| self.holds(part, second)) => true,
            (_, Node::Or(parts)) => parts.iter().any(|part| self.holds(first, part)),
            (Node::Test(first), Node::Test(second)) => test_implies(first, second),
            (Node::Not(first), Node::Not(second)) => self.holds(second, first),
            _ => by_rules(first, second),
        }
    }
}

/// Both name rules only, the first no others than the second.
fn by_rules(first: &Expr, second: &Expr) -> bool {
    let only_rules = matches!(&second.value, Node::Test(test) if field(&test.left.value).is_some_and(|field| field.name == "alert.rule"));
    match (rules(first), rules(second)) {
        (Some(first), Some(second)) => only_rules && first.is_subset(&second),
        _ => false,
    }
}

fn test_implies(first: &Test, second: &Test) -> bool {
    if first.left != second.left {
        return false;
    }
    let (Some(first), Some(second)) = (said(first), said(second)) else {
        // whatever compares true is there
        return second.check == Check::Exists;
    };
    match (first, second) {
        (Said::In(first), Said::In(second)) => first.is_subset(&second),
        (Said::In(first), Said::Differs(text)) => !first.contains(text),
        (Said::AtLeast(first), Said::AtLeast(second)) => first <= second,
        _ => false,
    }
}

/// What simple tests say.
enum Said<'a> {
    In(BTreeSet<&'a str>),
    Differs(&'a str),
    AtLeast(Priority),
}

fn said(test: &Test) -> Option<Said<'_>> {
    let Check::Compare {
        op,
        modifier: None,
        right,
    } = &test.check
    else {
        return None;
    };
    match (op.value, &right.value) {
        (Op::Eq, Right::Value(literal)) => Some(Said::In([literal.text.as_str()].into())),
        (Op::In, Right::List(items)) => Some(Said::In(
            items.iter().map(|item| item.value.text.as_str()).collect(),
        )),
        (Op::Ne, Right::Value(literal)) => Some(Said::Differs(&literal.text)),
        (Op::Ge, Right::Priority(name)) => name.parse().ok().map(Said::AtLeast),
        _ => None,
    }
}

/// What is legal in a condition and rarely meant.
pub(crate) fn dangers(expr: &Expr, scope: &Scope) -> Vec<Problem> {
    let mut dangers = Dangers {
        scope,
        found: Vec::new(),
    };
    dangers.expr(expr, false, &mut Vec::new());
    dangers.found.dedup();
    dangers.found
}

struct Dangers<'a> {
    scope: &'a Scope,
    found: Vec<Problem>,
}

impl Dangers<'_> {
    /// `there` are the fields that the parts around it say are there.
    fn expr<'e>(&mut self, expr: &'e Expr, negated: bool, there: &mut Vec<&'e Operand>) {
        match &expr.value {
            Node::And(parts) | Node::Or(parts) => {
                let before = there.len();
                // in `a and b` what either says is there is there for the other; under `not` that is `a or b`
                if matches!(expr.value, Node::And(_)) != negated {
                    there.extend(parts.iter().filter_map(|part| says_there(part, negated)));
                }
                parts.iter().for_each(|part| self.expr(part, negated, there));
                there.truncate(before);
            }
            Node::Not(inner) => self.expr(inner, !negated, there),
            Node::Test(test) => self.test(test, expr, negated, there),
            Node::Macro(_) => {}
        }
    }

    fn test(&mut self, test: &Test, expr: &Expr, negated: bool, there: &[&Operand]) {
        self.unprinted(&test.left.value, expr);
        let Check::Compare { op, right, .. } = &test.check else {
            return;
        };
        if let Right::Operand(operand) = &right.value {
            self.unprinted(operand, expr);
        }
        self.misread(op.value, &right.value, expr);
        if (negated || op.value == Op::Ne)
            && !there.contains(&&test.left.value)
            && self.may_be_missing(&test.left.value)
        {
            self.missing(test, expr, negated);
        }
    }

    fn missing(&mut self, test: &Test, expr: &Expr, negated: bool) {
        let left = &test.left;
        let message = if negated {
            format!(
                "this holds of every alert that lacks `{left}`, because `not` turns a comparison with what is missing true"
            )
        } else {
            format!(
                "this does not hold of an alert that lacks `{left}`: every comparison with what is missing is false"
            )
        };
        self.found.push(
            Problem::new(expr.span.clone(), message).expected(format!("`{left} exists and …` beside it")),
        );
    }

    fn may_be_missing(&self, operand: &Operand) -> bool {
        match operand {
            Operand::Field(field) | Operand::Val(field, _) => {
                !is_always_there(&field.name) && field.name != "alert.source"
            }
            Operand::Call(call) => call.args.iter().any(|arg| match &arg.value {
                CallArg::Operand(operand) => self.may_be_missing(operand),
                CallArg::List(_) => true,
                CallArg::Number(_) | CallArg::Text(_) => false,
            }),
        }
    }

    fn unprinted(&mut self, operand: &Operand, expr: &Expr) {
        let Some(field) = field(operand) else { return };
        let own = ["alert.", "pod.", "ns."]
            .iter()
            .any(|own| field.name.starts_with(own));
        let printed = PRINTED.lines().any(|line| line == field.name);
        let ends = super::traits::ends(&field.name).is_some();
        if own
            || printed
            || ends
            || self
                .scope
                .declared(&field.to_string())
                .or_else(|| self.scope.declared(&field.name))
                .is_some()
        {
            return;
        }
        let message = format!(
            "no rule that Falco ships prints `{field}`, and an alert carries only what its rule prints"
        );
        let problem = Problem::new(expr.span.clone(), message);
        self.found.push(problem.expected(format!(
            "a field that the rule prints, or `{field}` in Falco's `append_output`"
        )));
    }

    /// Values that look like something else, which Falco's compiler warns of.
    fn misread(&mut self, op: Op, right: &Right, expr: &Expr) {
        let literals: Vec<&Literal> = match right {
            Right::Value(literal) => vec![literal],
            Right::List(items) => items.iter().map(|item| &item.value).collect(),
            Right::Named(_) | Right::Operand(_) | Right::Priority(_) => Vec::new(),
        };
        for literal in literals {
            if op == Op::Regex && says_nothing(&literal.text) {
                let message = format!(
                    "an expression is matched from end to end: the end of {} says nothing or hides what is meant",
                    Shown(&literal.text)
                );
                self.found.push(
                    Problem::new(expr.span.clone(), message)
                        .expected("`contains`, `startswith` or `endswith` where those are meant"),
                );
            } else if let Some(inner) = looks_like_field(&literal.text) {
                let message = format!("{} is compared as a text, not as a field", Shown(&literal.text));
                self.found.push(
                    Problem::new(expr.span.clone(), message)
                        .expected(format!("`{inner}` without quotes, or another text")),
                );
            }
        }
    }
}

/// What a part of an `and` says is there: `exists`, or a comparison that holds, but for `!=`, which is in question itself.
fn says_there(part: &Expr, negated: bool) -> Option<&Operand> {
    match &part.value {
        Node::Test(test) if !negated && !is_ne(test) => Some(&test.left.value),
        Node::Not(inner) => says_there(inner, !negated),
        Node::Test(_) | Node::And(_) | Node::Or(_) | Node::Macro(_) => None,
    }
}

fn is_ne(test: &Test) -> bool {
    matches!(&test.check, Check::Compare { op, .. } if op.value == Op::Ne)
}

/// `proc.name`, or `tolower(proc.name)`, as a text.
fn looks_like_field(text: &str) -> Option<String> {
    if field_type(text).is_some() {
        return Some(format!("val({text})"));
    }
    let (name, inner) = text.strip_suffix(')')?.split_once('(')?;
    let known = Function::from_text(name).is_some() && field_type(inner).is_some();
    known.then(|| text.to_owned())
}
