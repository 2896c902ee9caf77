//! The nearest right spelling of a word.

/// The edits (a letter more, less, other, or two swapped) that make one word of another, if they are at most `limit`.
pub(crate) fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    // a letter takes up to four bytes
    let bytes = if a.is_ascii() && b.is_ascii() {
        limit
    } else {
        limit.saturating_mul(4)
    };
    if a.len().abs_diff(b.len()) > bytes {
        return None;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let swapped = j > 0 && i > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            row.push(cell(&before, &last, &row, (j, x == y, swapped)));
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|edits| *edits <= limit)
}

fn cell(before: &[usize], last: &[usize], row: &[usize], (j, same, swapped): (usize, bool, bool)) -> usize {
    let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
    let replaced = at(last, j) + usize::from(!same);
    let best = replaced.min(at(last, j + 1) + 1).min(at(row, j) + 1);
    if swapped {
        best.min(at(before, j - 1) + 1)
    } else {
        best
    }
}

/// The word that is nearest, if one is near: case apart, at most a third of the letters differ.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let lower = word.to_lowercase();
    let near = |known: &'a str| {
        let lower_known = known.to_lowercase();
        // the beginning of a word is near it, however long the word is
        let begins = lower.len() > 2 && lower_known.starts_with(&lower);
        let edits = distance(&lower, &lower_known, limit).or(begins.then_some(limit))?;
        Some((edits, known))
    };
    known
        .into_iter()
        .filter_map(near)
        .min_by_key(|(edits, known)| (*edits, known.len()))
        .map(|(_, known)| known)
}

/// Whether an unquoted item is so near a name (two edits at most, and not every letter) that it may be a slip.
pub(crate) fn is_near(word: &str, name: &str) -> bool {
    let shortest = word.chars().count().min(name.chars().count());
    distance(word, name, 2).is_some_and(|edits| edits < shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, want) in [
            ("", "", 0),
            ("a", "", 1),
            ("trusted", "trsuted", 1),
            ("abc", "cba", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b, 3), Some(want), "{a} {b}");
            assert_eq!(distance(b, a, 3), Some(want), "{b} {a}");
        }
        assert_eq!(distance("kitten", "sitting", 2), None);
    }

    #[test]
    fn the_nearest_is_near() {
        let known = ["proc.name", "proc.pname", "fd.name"];
        assert_eq!(nearest("proc.nmae", known), Some("proc.name"));
        assert_eq!(nearest("PROC.NAME", known), Some("proc.name"));
        assert_eq!(nearest("container.id", known), None);
    }

    #[test]
    fn short_items_are_not_near_everything() {
        assert!(is_near("trustd", "trusted"));
        assert!(is_near("trusted", "trusted"));
        assert!(!is_near("sh", "db"));
        assert!(!is_near("kube-system", "trusted"));
    }
}
