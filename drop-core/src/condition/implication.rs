//! What can be said of a condition without an alert: what it always is, and what it implies.

use std::collections::BTreeSet;

use falco_event::Priority;

use super::rules::rules;
use super::tree::{Check, Expr, Field, Node, Op, Operand, Right, Test};

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
        (Right::Priority(name), Op::Gt) => (name.parse() == Ok(Priority::Emergency)).then_some(false),
        (Right::Priority(name), Op::Lt) => (name.parse() == Ok(Priority::Debug)).then_some(false),
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

pub(crate) fn field(operand: &Operand) -> Option<&Field> {
    match operand {
        Operand::Field(field) | Operand::Val(field, _) => Some(field),
        Operand::Call(_) => None,
    }
}

pub(crate) fn is_always_there(name: &str) -> bool {
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
