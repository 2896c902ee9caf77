//! The values of a right side that has many of them: a tenant writes lists into the manifests that alerts tell of, and two
//! long ones held against each other value by value would keep a thread busy for minutes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::predicate::{compare_data, to_double};
use super::source::Datum;
use super::tree::Op;

/// How many comparisons one question may take where nothing shortens it.
const PAIRS: usize = 1 << 20;

/// Values to hold others against.
pub(crate) enum Values<'a> {
    /// For operators that ask for equality.
    Sorted(Box<Sorted<'a>>),
    Listed(Op, Vec<Datum<'a>>),
}

/// By their kinds, each in order.
#[derive(Default)]
pub(crate) struct Sorted<'a> {
    texts: BTreeSet<Cow<'a, str>>,
    wholes: BTreeSet<i128>,
    /// Without NaN, which equals nothing; of a whole number what it is as a double.
    doubles: Vec<f64>,
    wholes_as_doubles: Vec<f64>,
    addresses: BTreeSet<IpAddr>,
    /// Of these there are few kinds.
    others: Vec<Datum<'a>>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(op: Op, all: Vec<Datum<'a>>) -> Self {
        match op {
            Op::Eq | Op::In | Op::Intersects => Self::Sorted(Box::new(Sorted::new(all))),
            Op::Ne
            | Op::Lt
            | Op::Le
            | Op::Gt
            | Op::Ge
            | Op::Contains
            | Op::Icontains
            | Op::Bcontains
            | Op::Startswith
            | Op::Bstartswith
            | Op::Endswith
            | Op::Glob
            | Op::Iglob
            | Op::Regex
            | Op::Pmatch => Self::Listed(op, all),
        }
    }

    /// Whether so many left values are too many to be asked.
    pub(crate) fn too_many(&self, lefts: usize) -> bool {
        match self {
            Self::Sorted(_) => false,
            Self::Listed(_, rights) => rights.len().saturating_mul(lefts) > PAIRS,
        }
    }

    /// Whether a left value holds against one of them.
    pub(crate) fn any(&self, left: &Datum<'_>) -> bool {
        match self {
            Self::Sorted(sorted) => sorted.has(left),
            Self::Listed(op, rights) => rights.iter().any(|right| compare_data(*op, left, right)),
        }
    }
}

impl<'a> Sorted<'a> {
    fn new(all: Vec<Datum<'a>>) -> Self {
        let mut sorted = Self::default();
        for value in all {
            match value {
                Datum::Text(text) => drop(sorted.texts.insert(text)),
                Datum::Whole(number) => drop(sorted.wholes.insert(number)),
                // Both zeros are one.
                Datum::Double(number) if !number.is_nan() => sorted.doubles.push(number + 0.0),
                Datum::Address(address) => drop(sorted.addresses.insert(address)),
                Datum::Bool(_) | Datum::Priority(_) if !sorted.others.contains(&value) => {
                    sorted.others.push(value);
                }
                Datum::Double(_) | Datum::Bool(_) | Datum::Priority(_) | Datum::Other => {}
            }
        }
        sorted.doubles.sort_by(f64::total_cmp);
        sorted.wholes_as_doubles = sorted.wholes.iter().map(|whole| to_double(*whole)).collect();
        sorted
    }

    fn has(&self, left: &Datum<'_>) -> bool {
        let among = |doubles: &[f64], number: f64| {
            doubles
                .binary_search_by(|other| other.total_cmp(&(number + 0.0)))
                .is_ok()
        };
        match left {
            Datum::Text(text) => self.texts.contains(&**text),
            Datum::Whole(number) => self.wholes.contains(number) || among(&self.doubles, to_double(*number)),
            Datum::Double(number) => among(&self.doubles, *number) || among(&self.wholes_as_doubles, *number),
            Datum::Address(address) => self.addresses.contains(address),
            Datum::Bool(_) | Datum::Priority(_) => self.others.contains(left),
            Datum::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use falco_event::Priority;
    use proptest::prelude::*;

    use super::*;

    fn datum() -> impl Strategy<Value = Datum<'static>> {
        prop_oneof![
            "[ab]{0,2}".prop_map(|text| Datum::Text(text.into())),
            (-3..3_i128).prop_map(Datum::Whole),
            prop_oneof![
                Just(f64::NAN),
                Just(0.0),
                Just(-0.0),
                Just(1.0),
                Just(-2.0),
                Just(0.5),
                Just(f64::INFINITY)
            ]
            .prop_map(Datum::Double),
            any::<bool>().prop_map(Datum::Bool),
            (0..3_u8).prop_map(|last| Datum::Address([10, 0, 0, last].into())),
            prop_oneof![Just(Priority::Debug), Just(Priority::Alert)].prop_map(Datum::Priority),
            Just(Datum::Other),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_value_is_found_where_a_comparison_with_one_of_them_holds(
            left in datum(),
            rights in prop::collection::vec(datum(), 0..12),
        ) {
            for op in [Op::Eq, Op::In, Op::Intersects, Op::Ne, Op::Lt, Op::Contains] {
                let expected = rights.iter().any(|right| compare_data(op, &left, right));
                prop_assert_eq!(Values::new(op, rights.clone()).any(&left), expected);
            }
        }
    }

    #[test]
    fn only_what_nothing_shortens_can_be_too_much() {
        let many = || vec![Datum::Whole(1); 2_000];
        assert!(Values::new(Op::Lt, many()).too_many(2_000));
        assert!(!Values::new(Op::Lt, many()).too_many(500));
        assert!(!Values::new(Op::Intersects, many()).too_many(usize::MAX));
    }
}
