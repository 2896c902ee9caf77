//! Compiles the right side of an operator for the type of its left side.

use super::kind::Kind;
use super::literal::{self, Unfit};
use super::predicate::Predicate;
use super::problem::Problem;
use super::tree::{At, Op};

/// The right side of an operator.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    One(&'a At<&'a str>),
    Any(&'a [At<&'a str>]),
}

/// The question that an operator and its right side put to a value of this kind.
pub(crate) fn question(op: Op, kind: Kind, asked: Asked<'_>) -> Result<Predicate, Vec<Problem>> {
    match asked {
        Asked::One(text) => one(op, kind, text).map_err(|problem| vec![problem]),
        Asked::Any(texts) => any(op, kind, texts),
    }
}

fn one(op: Op, kind: Kind, text: &At<&str>) -> Result<Predicate, Problem> {
    let literal = match kind {
        Kind::Text | Kind::Buffer => return on_text(op, kind, text),
        Kind::Any => return by_value(op, text),
        Kind::Whole { signed, bits } => {
            number(op, text.value, signed, bits).map(|right| Predicate::Whole(op, right))
        }
        // Falco reads the right side as a whole number, whatever the field holds
        Kind::Double => literal::whole(text.value, true, 64).map(|right| Predicate::Whole(op, right)),
        Kind::Port => literal::port(text.value).map(|right| Predicate::Whole(op, right)),
        Kind::Bool => literal::boolean(text.value).map(|right| Predicate::Bool(op, right)),
        Kind::Address => literal::address(text.value).map(|right| Predicate::Address(op, right)),
        Kind::Network => literal::network(text.value).map(|right| Predicate::Network(op, right)),
        Kind::Priority => literal::priority(text.value).map(|right| Predicate::Priority(op, right)),
    };
    literal.map_err(|unfit| problem(unfit, text))
}

/// A bound may lie beyond what the field can hold: what it says is still plain.
fn number(op: Op, text: &str, signed: bool, bits: u8) -> Result<i128, Unfit> {
    let order = matches!(op, Op::Lt | Op::Le | Op::Gt | Op::Ge);
    literal::whole(text, signed, bits).or_else(|unfit| match literal::whole(text, true, 64) {
        Ok(number) if order => Ok(number),
        _ => Err(unfit),
    })
}

fn problem(unfit: Unfit, text: &At<&str>) -> Problem {
    Problem::new(text.span.clone(), unfit.why)
        .expected(unfit.expected)
        .nearest(unfit.nearest)
}

fn on_text(op: Op, kind: Kind, text: &At<&str>) -> Result<Predicate, Problem> {
    let right = literal::text(text.value, kind).map_err(|unfit| problem(unfit, text))?;
    if op != Op::Regex {
        return Ok(Predicate::Text(op, right));
    }
    let compiled = super::regex::compile(&right);
    compiled.map(Predicate::Regex).map_err(|why| {
        Problem::new(text.span.clone(), format!("not a regular expression: {why}"))
            .expected("a POSIX extended regular expression")
    })
}

fn by_value(op: Op, text: &At<&str>) -> Result<Predicate, Problem> {
    let number = Kind::INT
        .one()
        .operators()
        .contains(&op)
        .then(|| literal::whole(text.value, true, 64).ok())
        .flatten();
    let boolean = Kind::Bool
        .one()
        .operators()
        .contains(&op)
        .then(|| literal::boolean(text.value).ok())
        .flatten();
    Ok(Predicate::ByValue {
        text: Box::new(on_text(op, Kind::Text, text)?),
        whole: number.map(|number| Box::new(Predicate::Whole(op, number))),
        boolean: boolean.map(|boolean| Box::new(Predicate::Bool(op, boolean))),
    })
}

fn any(op: Op, kind: Kind, texts: &[At<&str>]) -> Result<Predicate, Vec<Problem>> {
    Ok(match kind {
        Kind::Text | Kind::Buffer => {
            let all = read(texts, |text| literal::text(text, kind))?;
            if op == Op::Pmatch {
                Predicate::PathIn(all.into())
            } else {
                Predicate::TextIn(sorted(all))
            }
        }
        Kind::Whole { signed, bits } => {
            Predicate::WholeIn(sorted(read(texts, |text| literal::whole(text, signed, bits))?))
        }
        Kind::Double => Predicate::WholeIn(sorted(read(texts, |text| literal::whole(text, true, 64))?)),
        Kind::Port => Predicate::WholeIn(sorted(read(texts, literal::port)?)),
        Kind::Bool => Predicate::BoolIn(sorted(read(texts, literal::boolean)?)),
        Kind::Address => Predicate::AddressIn(sorted(read(texts, literal::address)?)),
        Kind::Network => Predicate::NetworkIn(sorted(read(texts, literal::network)?)),
        Kind::Priority => Predicate::PriorityIn(sorted(read(texts, literal::priority)?)),
        Kind::Any => any_by_value(op, texts)?,
    })
}

fn any_by_value(op: Op, texts: &[At<&str>]) -> Result<Predicate, Vec<Problem>> {
    let numbers = texts
        .iter()
        .filter_map(|text| literal::whole(text.value, true, 64).ok())
        .collect();
    let booleans = texts
        .iter()
        .filter_map(|text| literal::boolean(text.value).ok())
        .collect();
    Ok(Predicate::ByValue {
        text: Box::new(any(op, Kind::Text, texts)?),
        whole: (op != Op::Pmatch).then(|| Box::new(Predicate::WholeIn(sorted(numbers)))),
        boolean: (op != Op::Pmatch).then(|| Box::new(Predicate::BoolIn(sorted(booleans)))),
    })
}

/// Every item, or every item's mistake.
fn read<T>(texts: &[At<&str>], parse: impl Fn(&str) -> Result<T, Unfit>) -> Result<Vec<T>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        match parse(text.value) {
            Ok(value) => values.push(value),
            Err(unfit) => problems.push(problem(unfit, text)),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into()
}
