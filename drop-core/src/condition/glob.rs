//! Shell patterns as `fnmatch(3)` without flags reads them, and path patterns made of them.
//!
//! `*` crosses `/` and leading dots. A pattern is read as it is matched: nothing is compiled, nothing is allocated.

/// Whether the whole text matches the pattern.
pub(crate) fn matches(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where to go on after the last `*`, with one more character given to it.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = p.strip_prefix('*') {
            retry = Some((rest, t));
            p = rest;
            continue;
        }
        match step(p, t, ignore_case) {
            Step::Done => return true,
            Step::Next(pattern, text) => (p, t) = (pattern, text),
            Step::Differs => {
                let Some((after, from)) = retry else { return false };
                let Some(shorter) = skip(from) else { return false };
                retry = Some((after, shorter));
                (p, t) = (after, shorter);
            }
        }
    }
}

enum Step<'p, 't> {
    Done,
    Next(&'p str, &'t str),
    Differs,
}

fn step<'p, 't>(pattern: &'p str, text: &'t str, ignore_case: bool) -> Step<'p, 't> {
    let mut p = pattern.chars();
    let mut t = text.chars();
    let (Some(want), got) = (p.next(), t.next()) else {
        return if text.is_empty() {
            Step::Done
        } else {
            Step::Differs
        };
    };
    let Some(got) = got else { return Step::Differs };
    let after = match want {
        '?' => Some(p.as_str()),
        '[' => {
            return class(p.as_str(), got, ignore_case).map_or_else(
                // an unclosed bracket stands for itself
                || {
                    if got == '[' {
                        Step::Next(p.as_str(), t.as_str())
                    } else {
                        Step::Differs
                    }
                },
                |(hit, rest)| {
                    if hit {
                        Step::Next(rest, t.as_str())
                    } else {
                        Step::Differs
                    }
                },
            );
        }
        '\\' => p
            .next()
            .filter(|literal| same(*literal, got, ignore_case))
            .map(|_| p.as_str()),
        literal => same(literal, got, ignore_case).then_some(p.as_str()),
    };
    after.map_or(Step::Differs, |rest| Step::Next(rest, t.as_str()))
}

fn skip(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().map(|_| chars.as_str())
}

fn same(a: char, b: char, ignore_case: bool) -> bool {
    a == b || ignore_case && a.eq_ignore_ascii_case(&b)
}

/// Reads `…]` behind an opening bracket: whether the character is in it, and what follows. None: it is not closed.
fn class(pattern: &str, got: char, ignore_case: bool) -> Option<(bool, &str)> {
    let negated = pattern.starts_with(['!', '^']);
    let mut rest = if negated { skip(pattern)? } else { pattern };
    let mut hit = false;
    let mut first = true;
    loop {
        if !first && rest.starts_with(']') {
            return Some((hit != negated, skip(rest)?));
        }
        first = false;
        if let Some((name, after)) = rest.strip_prefix("[:").and_then(|named| named.split_once(":]")) {
            hit |= named_class(name, got, ignore_case);
            rest = after;
            continue;
        }
        let (low, after) = class_char(rest)?;
        let (high, after) = range_end(after).unwrap_or((low, after));
        let within = |c: char| (low..=high).contains(&c);
        hit |= within(got)
            || ignore_case && (within(got.to_ascii_lowercase()) || within(got.to_ascii_uppercase()));
        rest = after;
    }
}

fn class_char(pattern: &str) -> Option<(char, &str)> {
    let mut chars = pattern.chars();
    let c = match chars.next()? {
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}

/// `-x` behind a character, unless the `-` is the last of the class.
fn range_end(pattern: &str) -> Option<(char, &str)> {
    let end = pattern.strip_prefix('-').filter(|end| !end.starts_with(']'))?;
    class_char(end)
}

fn named_class(name: &str, c: char, ignore_case: bool) -> bool {
    match name {
        "alpha" => c.is_ascii_alphabetic(),
        "digit" => c.is_ascii_digit(),
        "alnum" => c.is_ascii_alphanumeric(),
        "upper" => c.is_ascii_uppercase() || ignore_case && c.is_ascii_lowercase(),
        "lower" => c.is_ascii_lowercase() || ignore_case && c.is_ascii_uppercase(),
        "space" => c.is_ascii_whitespace() || c == '\x0b',
        "blank" => c == ' ' || c == '\t',
        "punct" => c.is_ascii_punctuation(),
        "print" => c.is_ascii_graphic() || c == ' ',
        "graph" => c.is_ascii_graphic(),
        "cntrl" => c.is_ascii_control(),
        "xdigit" => c.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Falco's `pmatch`: whether the path begins with the pattern, component by component; `*` does not cross `/`.
pub(crate) fn path_begins(pattern: &str, path: &str) -> bool {
    let mut path = path.split('/').filter(|part| !part.is_empty());
    pattern
        .split('/')
        .filter(|part| !part.is_empty())
        .all(|want| path.next().is_some_and(|got| component(want, got)))
}

fn component(pattern: &str, text: &str) -> bool {
    // without a wildcard Falco compares, so a backslash is one
    if pattern.contains(['*', '?', '[']) {
        matches(pattern, text, false)
    } else {
        pattern == text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_fnmatch() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", ".a/b", true),
            ("/var/*", "/var/run/x", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aéc", true),
            ("*.so*", "libc.so.6", true),
            ("a*b*c", "a__b__b_c", true),
            ("a*b*c", "a__b__b_d", false),
            ("[abc]x", "bx", true),
            ("[!abc]x", "bx", false),
            ("[^abc]x", "dx", true),
            ("[a-c]", "b", true),
            ("[a-]", "-", true),
            ("[]a]", "]", true),
            ("[!]a]", "]", false),
            ("[[:digit:]]*", "7z", true),
            ("[[:digit:]]*", "z7", false),
            ("[a", "[a", true),
            ("[a", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("a\\", "a\\", false),
            ("A*", "abc", false),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(matches(pattern, text, false), want, "{pattern} {text}");
        }
        assert!(matches("A[B-C]*", "abz", true));
        assert!(!matches("A[B-C]*", "adz", true));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "a*".repeat(2_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(4_000), false));
    }

    #[test]
    fn paths_begin_component_by_component() {
        let cases = [
            ("/opt/dir", "/opt/dir/subdir/file.txt", true),
            ("/opt/di", "/opt/dir", false),
            ("/opt/*", "/opt/dir/subdir", true),
            ("/opt/*/subdir2", "/opt/dir/subdir", false),
            ("/opt/di[r]/subdir", "/opt/dir/subdir/x", true),
            ("/opt/dir/subdir", "/opt/dir", false),
            ("//opt///dir/", "/opt/dir", true),
            ("/", "/opt", true),
            ("/", "", true),
            ("opt", "/opt/x", true),
        ];
        for (pattern, path, want) in cases {
            assert_eq!(path_begins(pattern, path), want, "{pattern} {path}");
        }
    }
}
