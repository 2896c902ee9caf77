//! What one value is asked.

use std::borrow::Cow;
use std::net::IpAddr;

use falco_event::Priority;
use ipnet::IpNet;
use regex::Regex;

use super::glob;
use super::source::{Datum, whole};
use super::tree::Op;

/// A question to one value, its right side read and compiled.
#[derive(Debug, Clone)]
pub(crate) enum Predicate {
    /// An operator on text that needs no preparation.
    Text(Op, Box<str>),
    Regex(Regex),
    /// Sorted.
    TextIn(Box<[Box<str>]>),
    /// The path begins with one of them.
    PathIn(Box<[Box<str>]>),
    Whole(Op, i128),
    /// Sorted.
    WholeIn(Box<[i128]>),
    Bool(Op, bool),
    BoolIn(Box<[bool]>),
    Address(Op, IpAddr),
    AddressIn(Box<[IpAddr]>),
    Network(Op, IpNet),
    NetworkIn(Box<[IpNet]>),
    Priority(Op, Priority),
    PriorityIn(Box<[Priority]>),
    /// For a field of no fixed type: by what the value is.
    ByValue {
        text: Box<Self>,
        whole: Option<Box<Self>>,
        boolean: Option<Box<Self>>,
    },
}

impl Predicate {
    pub(crate) fn holds(&self, datum: &Datum<'_>) -> bool {
        match (self, datum) {
            (Self::ByValue { text, whole, boolean }, _) => {
                by_value(datum, text, whole.as_deref(), boolean.as_deref())
            }
            (Self::Text(op, right), Datum::Text(left)) => compare_text(*op, left, right),
            (Self::Regex(regex), Datum::Text(left)) => regex.is_match(left),
            (Self::TextIn(all), Datum::Text(left)) => all.binary_search_by(|item| (**item).cmp(left)).is_ok(),
            (Self::PathIn(all), Datum::Text(left)) => {
                all.iter().any(|pattern| glob::path_begins(pattern, left))
            }
            (Self::Whole(op, right), Datum::Whole(left)) => compare(*op, left, right),
            (Self::Whole(op, right), Datum::Double(left)) => compare(*op, left, &to_double(*right)),
            (Self::WholeIn(all), Datum::Whole(left)) => all.binary_search(left).is_ok(),
            (Self::WholeIn(all), Datum::Double(left)) => {
                all.iter().any(|right| compare(Op::Eq, left, &to_double(*right)))
            }
            (Self::Bool(op, right), Datum::Bool(left)) => compare(*op, left, right),
            (Self::BoolIn(all), Datum::Bool(left)) => all.contains(left),
            (Self::Address(op, right), Datum::Address(left)) => compare(*op, left, right),
            (Self::AddressIn(all), Datum::Address(left)) => all.contains(left),
            (Self::Network(op, right), Datum::Address(left)) => right.contains(left) == (*op != Op::Ne),
            (Self::NetworkIn(all), Datum::Address(left)) => all.iter().any(|network| network.contains(left)),
            // the more severe is the greater, though Falco's numbers run the other way
            (Self::Priority(op, right), Datum::Priority(left)) => compare(*op, right, left),
            (Self::PriorityIn(all), Datum::Priority(left)) => all.contains(left),
            _ => false,
        }
    }
}

/// A text is compared as a number where the right side is ordered: internal alerts have their numbers in quotes.
fn by_value(
    datum: &Datum<'_>,
    text: &Predicate,
    number: Option<&Predicate>,
    boolean: Option<&Predicate>,
) -> bool {
    match datum {
        Datum::Text(left) => match (text, number) {
            (Predicate::Text(Op::Lt | Op::Le | Op::Gt | Op::Ge, _), Some(number)) => {
                whole(left).is_some_and(|left| number.holds(&Datum::Whole(left)))
            }
            _ => text.holds(datum),
        },
        Datum::Whole(_) | Datum::Double(_) => number.is_some_and(|number| number.holds(datum)),
        Datum::Bool(_) => boolean.is_some_and(|boolean| boolean.holds(datum)),
        Datum::Address(_) | Datum::Priority(_) | Datum::Other => false,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only for a value that is a double itself"
)]
pub(crate) fn to_double(number: i128) -> f64 {
    number as f64
}

fn compare<T: PartialOrd>(op: Op, left: &T, right: &T) -> bool {
    match op {
        Op::Eq | Op::In | Op::Intersects => left == right,
        Op::Ne => left != right,
        Op::Lt => left < right,
        Op::Le => left <= right,
        Op::Gt => left > right,
        Op::Ge => left >= right,
        Op::Contains
        | Op::Icontains
        | Op::Bcontains
        | Op::Startswith
        | Op::Bstartswith
        | Op::Endswith
        | Op::Glob
        | Op::Iglob
        | Op::Regex
        | Op::Pmatch => false,
    }
}

fn compare_text(op: Op, left: &str, right: &str) -> bool {
    match op {
        Op::Contains => left.contains(right),
        Op::Icontains => contains_ignoring_case(left, right),
        Op::Startswith => left.starts_with(right),
        Op::Endswith => left.ends_with(right),
        Op::Glob => glob::matches(right, left, false),
        Op::Iglob => glob::matches(right, left, true),
        Op::Pmatch => glob::path_begins(right, left),
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::In | Op::Intersects => {
            compare(op, &left, &right)
        }
        Op::Bcontains | Op::Bstartswith | Op::Regex => false,
    }
}

fn contains_ignoring_case(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    right.is_empty()
        || left
            .windows(right.len())
            .any(|window| window.eq_ignore_ascii_case(right))
}

/// Compares the values of two fields.
pub(crate) fn compare_data(op: Op, left: &Datum<'_>, right: &Datum<'_>) -> bool {
    match (left, right) {
        (Datum::Text(left), Datum::Text(right)) => compare_text(op, left, right),
        (Datum::Whole(left), Datum::Whole(right)) => compare(op, left, right),
        (Datum::Double(left), Datum::Double(right)) => compare(op, left, right),
        (Datum::Whole(left), Datum::Double(right)) => compare(op, &to_double(*left), right),
        (Datum::Double(left), Datum::Whole(right)) => compare(op, left, &to_double(*right)),
        (Datum::Bool(left), Datum::Bool(right)) => compare(op, left, right),
        (Datum::Address(left), Datum::Address(right)) => compare(op, left, right),
        (Datum::Priority(left), Datum::Priority(right)) => compare(op, right, left),
        _ => false,
    }
}

/// A value as text, for transformers that make text of values.
pub(crate) fn as_text(datum: Datum<'_>) -> Option<Cow<'_, str>> {
    match datum {
        Datum::Text(text) => Some(text),
        Datum::Whole(number) => Some(Cow::Owned(number.to_string())),
        Datum::Double(number) => Some(Cow::Owned(number.to_string())),
        Datum::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        Datum::Address(address) => Some(Cow::Owned(address.to_string())),
        Datum::Priority(priority) => Some(Cow::Borrowed(priority.as_str())),
        Datum::Other => None,
    }
}
