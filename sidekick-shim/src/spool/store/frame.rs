//! How things stand in a file, one after the other: each with its length and a checksum, so that one that was written in
//! part, or changed since, is told from one that is whole.
//!
//! 24 bytes, all numbers little-endian: the length of the data (4), the CRC-32 of everything else in it (4), its number
//! (8), its value (8); and then the data.

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

/// The whole frames of these bytes, each with where it begins. One that is broken is passed over where its length leads
/// to a whole one; else it is the end.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let found = whole(bytes, at).or_else(|| whole(bytes, at + length(bytes, at)?));
        let (start, frame) = found?;
        at = start + size(frame.data.len());
        Some((start, frame))
    })
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
            let in_frame = ends.iter().filter(|end| **end <= bit / 8).count();
            let starts = [0, ends[0], ends[1]];
            let in_length = bit / 8 - starts[in_frame] < 4;
            let mut expected = vec![1, 2, 3];
            if in_length {
                // Where the next begins is not known.
                expected.truncate(in_frame);
            } else {
                expected.remove(in_frame);
            }
            assert_eq!(numbers(&bytes), expected, "{bit}");
        }
    }

    #[test]
    fn zeros_are_nothing() {
        assert!(numbers(&[0; 4096]).is_empty());
    }
}
