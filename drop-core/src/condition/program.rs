//! A compiled condition and its evaluation in three values.

use super::predicate::{Predicate, compare_data};
use super::reader::{Reader, worst};
use super::source::{Context, Datum, Presence, Source};
use super::tree::{Modifier, Op};
use super::values::Values;

/// So many right values are held against each left one as they are read.
const FEW: usize = 8;

/// What a condition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It rests on what was not read of the cluster.
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// A condition with its names resolved; of the same shape as its tree.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    Or(Box<[Self]>),
    And(Box<[Self]>),
    Not(Box<Self>),
    Test(Box<Test>),
}

/// A field or transformer and what is asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub(crate) left: Reader,
    /// All values of the left side must hold, and not one of them.
    pub(crate) all: bool,
    pub(crate) ask: Ask,
}

#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Exists,
    One(Predicate),
    Many(Modifier, Box<[Predicate]>),
    Field(Op, Reader),
}

impl Program {
    /// Kleene's logic: what is settled without the unknown is settled. Left to right, no further than needed.
    pub(crate) fn eval(&self, cx: Context<'_>) -> Truth {
        match self {
            Self::And(parts) => fold(parts, cx, Truth::False),
            Self::Or(parts) => fold(parts, cx, Truth::True),
            Self::Not(inner) => !inner.eval(cx),
            Self::Test(test) => test.eval(cx).0,
        }
    }

    /// Calls `take` for each field that it may read.
    pub(crate) fn sources(&self, take: &mut dyn FnMut(&Source)) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.sources(take)),
            Self::Not(inner) => inner.sources(take),
            Self::Test(test) => {
                test.left.sources(take);
                match &test.ask {
                    Ask::Field(_, right) => right.sources(take),
                    Ask::Exists | Ask::One(_) | Ask::Many(..) => {}
                }
            }
        }
    }
}

fn fold(parts: &[Program], cx: Context<'_>, settles: Truth) -> Truth {
    let mut truth = !settles;
    for part in parts {
        match part.eval(cx) {
            settled if settled == settles => return settles,
            Truth::Unknown => truth = Truth::Unknown,
            Truth::True | Truth::False => {}
        }
    }
    truth
}

impl Test {
    /// Also whether there was anything to ask.
    pub(crate) fn eval(&self, cx: Context<'_>) -> (Truth, Presence) {
        match &self.ask {
            Ask::Exists => match self.left.each(cx, &mut |_| {}) {
                Presence::Unknown => (Truth::Unknown, Presence::Unknown),
                presence @ (Presence::Missing | Presence::Present) => {
                    ((presence == Presence::Present).into(), presence)
                }
            },
            Ask::One(predicate) => self.holds(cx, predicate),
            Ask::Many(modifier, predicates) => self.count(cx, *modifier, predicates),
            Ask::Field(op, right) => self.compare(cx, *op, right),
        }
    }

    fn holds(&self, cx: Context<'_>, predicate: &Predicate) -> (Truth, Presence) {
        self.over(cx, Presence::Present, |left| predicate.holds(left))
    }

    fn count(&self, cx: Context<'_>, modifier: Modifier, predicates: &[Predicate]) -> (Truth, Presence) {
        let presence = self.left.each(cx, &mut |_| {});
        let holding = predicates
            .iter()
            .filter(|predicate| self.holds(cx, predicate).0 == Truth::True)
            .count();
        let enough = match modifier {
            Modifier::Oneof => holding == 1,
            Modifier::Anyof => holding > 0,
            Modifier::Allof => holding > 0 && holding == predicates.len(),
        };
        truth(presence, enough)
    }

    fn compare<'a>(&'a self, cx: Context<'a>, op: Op, right: &'a Reader) -> (Truth, Presence) {
        let (mut lefts, mut rights) = (0_usize, 0_usize);
        let other = right.each(cx, &mut |_| rights += 1);
        if rights > FEW {
            let mut all = Vec::with_capacity(rights);
            right.each(cx, &mut |value| all.push(value));
            let values = Values::new(op, all);
            let presence = self.left.each(cx, &mut |_| lefts += 1);
            if values.too_many(lefts) {
                return truth(worst(worst(presence, other), Presence::Unknown), false);
            }
            return self.over(cx, other, |left| values.any(left));
        }
        self.over(cx, other, |left| {
            let mut holds = false;
            right.each(cx, &mut |right| holds |= compare_data(op, left, &right));
            holds
        })
    }

    /// Asks of each left value whether it holds.
    fn over(
        &self,
        cx: Context<'_>,
        other: Presence,
        holds: impl Fn(&Datum<'_>) -> bool,
    ) -> (Truth, Presence) {
        let (mut any, mut all) = (false, true);
        let presence = self.left.each(cx, &mut |left| {
            let holds = holds(&left);
            any |= holds;
            all &= holds;
        });
        truth(worst(presence, other), if self.all { all } else { any })
    }
}

/// Every comparison with what is missing is false.
fn truth(presence: Presence, holds: bool) -> (Truth, Presence) {
    match presence {
        Presence::Missing => (Truth::False, presence),
        Presence::Unknown => (Truth::Unknown, presence),
        Presence::Present => (holds.into(), presence),
    }
}
