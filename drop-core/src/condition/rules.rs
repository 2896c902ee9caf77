//! Which rules' alerts a condition can be true of.

use std::collections::BTreeSet;

use super::tree::{Check, Expr, Literal, Modifier, Node, Op, Operand, Right, Test};

/// The only values of `alert.rule` under which the expression can be true; none: it can be true under any.
pub(crate) fn rules(expr: &Expr) -> Option<BTreeSet<String>> {
    match &expr.value {
        Node::And(parts) => parts
            .iter()
            .filter_map(rules)
            .reduce(|a, b| a.intersection(&b).cloned().collect()),
        Node::Or(parts) => parts
            .iter()
            .map(rules)
            .reduce(|a, b| Some(a?.union(&b?).cloned().collect()))
            .flatten(),
        Node::Not(inner) => excluded(inner),
        Node::Test(test) => named(test, Op::Eq),
        Node::Macro(_) => None,
    }
}

/// Under which the expression can be false: `not alert.rule != "x"`, and De Morgan.
fn excluded(expr: &Expr) -> Option<BTreeSet<String>> {
    match &expr.value {
        Node::Or(parts) => parts
            .iter()
            .filter_map(excluded)
            .reduce(|a, b| a.intersection(&b).cloned().collect()),
        Node::And(parts) => parts
            .iter()
            .map(excluded)
            .reduce(|a, b| Some(a?.union(&b?).cloned().collect()))
            .flatten(),
        Node::Not(inner) => rules(inner),
        Node::Test(test) => named(test, Op::Ne),
        Node::Macro(_) => None,
    }
}

/// The rules that `alert.rule = …`, or with `!=` its negation, names.
fn named(test: &Test, sense: Op) -> Option<BTreeSet<String>> {
    let Operand::Field(field) = &test.left.value else {
        return None;
    };
    let Check::Compare { op, modifier, right } = &test.check else {
        return None;
    };
    if field.name != "alert.rule" {
        return None;
    }
    match (op.value, modifier, &right.value) {
        (op, None, Right::Value(literal)) if op == sense => Some([literal.text.clone()].into()),
        (Op::In | Op::Intersects, None, Right::List(items)) if sense == Op::Eq => Some(texts(items)),
        (Op::Eq, Some(Modifier::Anyof | Modifier::Oneof | Modifier::Allof), Right::List(items))
            if sense == Op::Eq =>
        {
            Some(texts(items))
        }
        _ => None,
    }
}

fn texts(items: &[super::tree::At<Literal>]) -> BTreeSet<String> {
    items.iter().map(|item| item.value.text.clone()).collect()
}
