//! What is legal in a condition and rarely meant.

use falco_event::field_type;

use super::implication::{field, is_always_there};
use super::problem::{Problem, Shown};
use super::regex::says_nothing;
use super::scope::Scope;
use super::tree::{CallArg, Check, Expr, Function, Literal, Node, Op, Operand, Right, Test};

/// The output fields that Falco's and its plugins' shipped rules print, and those it suggests; without arguments.
const PRINTED: &str = include_str!("printed.txt");

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
