//! How things stand in a file, one after the other: each with its length and a checksum, so that one that was written in
//! part, or changed since, is told from one that is whole.
//!
//! 24 bytes, all numbers little-endian: the length of the data (4), the CRC-32 of everything else in it (4), its number
//! (8), its value (8); and then the data.

use std::ops::RangeInclusive;

/// How many bytes stand before the data.
pub(super) const HEAD: usize = 24;

/// How many bytes so much data takes.
pub(super) const fn size(data: usize) -> usize {
    data.saturating_add(HEAD)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// The number of an alert in its level, or the first of a range of them.
    pub(super) number: i64,
    /// When the alert was received, in microseconds since 1970; or the last of the range.
    pub(super) value: i64,
    pub(super) data: &'a [u8],
}

impl Frame<'_> {
    pub(super) fn put(self, into: &mut Vec<u8>) {
        // Nothing of 4 GiB ever comes here.
        let length = u32::try_from(self.data.len()).unwrap_or(u32::MAX).to_le_bytes();
        let (number, value) = (self.number.to_le_bytes(), self.value.to_le_bytes());
        let sum = checksum([&length, &number, &value, self.data]);
        for part in [&length[..], &sum.to_le_bytes(), &number, &value, self.data] {
            into.extend_from_slice(part);
        }
    }
}

fn checksum(parts: [&[u8]; 4]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    parts.iter().for_each(|part| sum.update(part));
    sum.finalize()
}

/// The whole frames of these bytes, each with where it begins. What is between them is broken, and passed over.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (start, frame) = whole(bytes, at).or_else(|| next(bytes, at + 1, &(i64::MIN..=i64::MAX)))?;
        at = start + size(frame.data.len());
        Some((start, frame))
    })
}

/// The same where each number is above the one before, and those behind what is broken are of these. Alerts have no zero
/// byte and such numbers have some, so that nothing inside an alert is taken for a frame.
pub(super) fn rising(bytes: &[u8], numbers: RangeInclusive<i64>) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let (mut at, (mut from, to)) = (0, numbers.into_inner());
    std::iter::from_fn(move || {
        let (start, frame) = whole(bytes, at).or_else(|| next(bytes, at + 1, &(from..=to)))?;
        at = start + size(frame.data.len());
        from = frame.number.saturating_add(1);
        Some((start, frame))
    })
}

/// The frame with which these bytes begin.
pub(super) fn first(bytes: &[u8]) -> Option<Frame<'_>> {
    whole(bytes, 0).map(|(_, frame)| frame)
}

/// The next whole frame from here on with one of these numbers. Where a broken one says that it ends is not believed: that
/// may be what is broken.
fn next<'a>(bytes: &'a [u8], from: usize, of: &RangeInclusive<i64>) -> Option<(usize, Frame<'a>)> {
    let heads = bytes.get(from..)?.windows(HEAD).zip(from..);
    let mut starts = heads.filter(|(head, _)| {
        let head = head.first_chunk().and_then(numbers);
        head.is_some_and(|(number, _)| of.contains(&number))
    });
    starts.find_map(|(_, at)| whole(bytes, at))
}

/// Whether these bytes begin with an alert of this number that was written to its end, be it that they changed since.
/// Where zeros are left of those in whose place it came it was not.
pub(super) fn was_whole(bytes: &[u8], number: i64) -> bool {
    let head = bytes.first_chunk().and_then(numbers);
    let is_it = head.is_some_and(|(found, _)| found == number);
    let data = length(bytes, 0).and_then(|length| bytes.get(HEAD..length));
    is_it && data.is_some_and(|data| !data.contains(&0))
}

/// How long the frame here says it is.
fn length(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..)?.first_chunk()?;
    Some(size(u32::from_le_bytes(*length) as usize))
}

/// The number and the value of the frame with this head; none where there cannot be one. Its data may have changed.
pub(super) fn numbers(head: &[u8; HEAD]) -> Option<(i64, i64)> {
    let (_, rest) = head.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk()?;
    Some((
        i64::from_le_bytes(*number),
        i64::from_le_bytes(*rest.first_chunk()?),
    ))
}

fn whole(bytes: &[u8], at: usize) -> Option<(usize, Frame<'_>)> {
    let all = bytes.get(at..)?.get(..length(bytes, at)?)?;
    let (length, rest) = all.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (value, data) = rest.split_first_chunk()?;
    let is_whole = checksum([length, number, value, data]) == u32::from_le_bytes(*sum);
    let frame = Frame {
        number: i64::from_le_bytes(*number),
        value: i64::from_le_bytes(*value),
        data,
    };
    is_whole.then_some((at, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (number, data) in [(1, &b"one"[..]), (2, b""), (3, b"three")] {
            Frame {
                number,
                value: -number,
                data,
            }
            .put(&mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn numbers(bytes: &[u8]) -> Vec<i64> {
        frames(bytes).map(|(_, frame)| frame.number).collect()
    }

    #[test]
    fn what_was_put_is_found() {
        let (bytes, ends) = three();
        let found: Vec<_> = frames(&bytes).collect();
        let last = Frame {
            number: 3,
            value: -3,
            data: b"three",
        };
        assert_eq!(found.last(), Some(&(ends[1], last)));
        assert_eq!(numbers(&bytes), [1, 2, 3]);
    }

    #[test]
    fn what_is_torn_costs_the_end_alone() {
        let (bytes, ends) = three();
        for torn in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= torn).count();
            assert_eq!(numbers(&bytes[..torn]).len(), whole, "{torn}");
        }
    }

    #[test]
    fn any_changed_bit_costs_one() {
        let (bytes, ends) = three();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut expected = vec![1, 2, 3];
            expected.remove(ends.iter().filter(|end| **end <= bit / 8).count());
            assert_eq!(numbers(&bytes), expected, "{bit}");
            let rising: Vec<_> = rising(&bytes, 1..=3).map(|(_, frame)| frame.number).collect();
            assert_eq!(rising, expected, "{bit}");
        }
    }

    #[test]
    fn a_length_that_leads_to_another_frame_costs_one() {
        let mut bytes = Vec::new();
        for number in 1..=9 {
            let (value, data) = (0, &[b'x'; 8][..]);
            Frame { number, value, data }.put(&mut bytes);
        }
        // Four further.
        bytes[size(8)] ^= 128;
        assert_eq!(numbers(&bytes), [1, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn behind_what_is_broken_only_a_number_that_can_be_there_is_one() {
        let (mut bytes, ends) = three();
        bytes[0] ^= 1;
        let found = |bytes: &[u8], of| {
            rising(bytes, of)
                .map(|(_, frame)| frame.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&bytes, 1..=3), [2, 3]);
        assert_eq!(found(&bytes, 3..=9), [3]);
        assert!(found(&bytes, 4..=9).is_empty());
        // The same ones once more: they are below those that were found.
        bytes.extend_from_within(ends[1]..);
        bytes[ends[2]] ^= 1;
        bytes.extend_from_within(ends[0]..ends[1]);
        assert_eq!(found(&bytes, 1..=9), [2, 3]);
    }

    #[test]
    fn zeros_are_nothing() {
        assert!(numbers(&[0; 4096]).is_empty());
    }
}
