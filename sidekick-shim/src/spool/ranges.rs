//! A set of numbers that are mostly in a row: a million of them take the room of the gaps between them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Numbers, as ranges that neither meet nor overlap: the first of each to its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<i64> {
        self.0.first_key_value().map(|(first, _)| *first)
    }

    pub(crate) fn last(&self) -> Option<i64> {
        self.0.last_key_value().map(|(_, last)| *last)
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> u64 {
        let lengths = self
            .0
            .iter()
            .map(|(first, last)| last.saturating_sub(*first).unsigned_abs() + 1);
        lengths.sum()
    }

    /// Takes out the first so many.
    pub(crate) fn take(&mut self, most: u64) -> Self {
        let (mut left, mut taken) = (most, Self::default());
        while left > 0
            && let Some((&first, &last)) = self.0.first_key_value()
        {
            let end = last.min(first.saturating_add_unsigned(left - 1));
            left = left.saturating_sub(first.abs_diff(end) + 1);
            self.remove_all(first..=end);
            taken.insert_all(first..=end);
        }
        taken
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RangeInclusive<i64>> {
        self.0.iter().map(|(first, last)| *first..=*last)
    }

    pub(crate) fn contains(&self, number: i64) -> bool {
        let before = self.0.range(..=number).next_back();
        before.is_some_and(|(_, last)| *last >= number)
    }

    /// What of these numbers is there.
    pub(crate) fn overlaps<'a>(
        &'a self,
        numbers: &RangeInclusive<i64>,
    ) -> impl Iterator<Item = RangeInclusive<i64>> + use<'a> {
        let (first, last) = (*numbers.start(), *numbers.end());
        let from = self
            .0
            .range(..=first)
            .next_back()
            .map_or(first, |(before, _)| *before);
        // A range that is empty overlaps nothing, and cannot be asked for.
        let ranges = (first <= last).then(|| self.0.range(from..=last));
        let ranges = ranges.into_iter().flatten();
        ranges
            .filter(move |(_, end)| **end >= first)
            .map(move |(&begin, &end)| begin.max(first)..=end.min(last))
    }

    pub(crate) fn insert(&mut self, number: i64) {
        // Nearly always it is the next one.
        if let Some(mut last) = self.0.last_entry()
            && last.get().checked_add(1) == Some(number)
        {
            *last.get_mut() = number;
            return;
        }
        self.insert_all(number..=number);
    }

    pub(crate) fn insert_all(&mut self, numbers: RangeInclusive<i64>) {
        let (mut first, mut last) = numbers.into_inner();
        if first > last {
            return;
        }
        // What it overlaps or meets becomes a part of it.
        while let Some((before, end)) = self.0.range(..=last.saturating_add(1)).next_back() {
            let (before, end) = (*before, *end);
            if end < first.saturating_sub(1) {
                break;
            }
            first = first.min(before);
            last = last.max(end);
            self.0.remove(&before);
        }
        self.0.insert(first, last);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, number: i64) -> bool {
        // Very often it is the newest.
        if let Some(mut last) = self.0.last_entry()
            && *last.get() == number
            && *last.key() < number
        {
            *last.get_mut() = number - 1;
            return true;
        }
        let there = self.contains(number);
        if there {
            self.remove_all(number..=number);
        }
        there
    }

    pub(crate) fn remove_all(&mut self, numbers: RangeInclusive<i64>) {
        let (first, last) = numbers.into_inner();
        while let Some((before, end)) = self.0.range(..=last).next_back() {
            let (before, end) = (*before, *end);
            if end < first {
                break;
            }
            self.0.remove(&before);
            if before < first {
                self.0.insert(before, first.saturating_sub(1));
            }
            if end > last {
                self.0.insert(last.saturating_add(1), end);
            }
        }
    }
}

impl FromIterator<RangeInclusive<i64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<i64>>>(ranges: I) -> Self {
        let mut all = Self::default();
        for range in ranges {
            all.insert_all(range);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn listed(ranges: &Ranges) -> Vec<(i64, i64)> {
        ranges.iter().map(RangeInclusive::into_inner).collect()
    }

    #[test]
    fn what_meets_becomes_one_range() {
        let mut ranges = Ranges::default();
        for number in [1, 3, 2, 7, 5] {
            ranges.insert(number);
        }
        assert_eq!(listed(&ranges), [(1, 3), (5, 5), (7, 7)]);
        ranges.insert_all(2..=6);
        assert_eq!(listed(&ranges), [(1, 7)]);
        assert!(ranges.remove(4) && !ranges.remove(4));
        assert_eq!(listed(&ranges), [(1, 3), (5, 7)]);
        ranges.remove_all(3..=5);
        assert_eq!(listed(&ranges), [(1, 2), (6, 7)]);
        assert_eq!(
            (ranges.first(), ranges.last(), ranges.len()),
            (Some(1), Some(7), 4)
        );
    }

    #[test]
    fn it_is_a_set() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for _ in 0..60 {
                let first = random.i64(0..40);
                let numbers = first..=first + random.i64(0..6);
                if random.bool() {
                    set.extend(numbers.clone());
                    ranges.insert_all(numbers);
                } else {
                    set.retain(|number| !numbers.contains(number));
                    ranges.remove_all(numbers);
                }
                let all: Vec<_> = ranges.iter().flatten().collect();
                assert_eq!(all, Vec::from_iter(set.iter().copied()));
                assert!((0..50).all(|number| ranges.contains(number) == set.contains(&number)));
                assert_eq!(ranges.len(), set.len() as u64);
                let gaps = listed(&ranges).windows(2).all(|two| two[0].1 + 1 < two[1].0);
                assert!(gaps, "{ranges:?}");
            }
        }
    }

    #[test]
    fn the_first_so_many_are_taken_out() {
        let mut ranges = Ranges::from_iter([1..=3, 10..=20]);
        assert_eq!(ranges.take(5).iter().collect::<Vec<_>>(), [1..=3, 10..=11]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [12..=20]);
        assert_eq!(ranges.take(u64::MAX).len(), 9);
        assert!(ranges.is_empty() && ranges.take(1).is_empty());
    }
}
