//! Regular expressions in the POSIX extended syntax that Falco's engine (RE2) reads, on Rust's engine.

use regex::{Regex, RegexBuilder};

/// The largest compiled expression, in bytes: enough for what people write, no way to fill the memory.
const SIZE_LIMIT: usize = 1 << 20;

/// An expression that matches a text from end to end, or why it is none.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern)?;
    RegexBuilder::new(&format!("\\A(?:{translated})\\z"))
        .multi_line(true) // RE2's POSIX mode: `^` and `$` match at lines
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| why(&error))
}

fn why(error: &regex::Error) -> String {
    let text = error.to_string();
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return "the expression is too large".to_owned();
    }
    // the last line says what is wrong, those before it draw our translation
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Refuses what POSIX has not, and escapes what Rust's syntax has beyond it.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars();
    let mut repeated = false;
    while let Some(c) = rest.next() {
        let quantifier = matches!(c, '*' | '+' | '?') || c == '{' && is_repeat(rest.as_str());
        if quantifier && repeated && c == '?' {
            return Err(
                "`*?`, `+?` and `??` are not POSIX: every repetition takes as much as it can".to_owned(),
            );
        }
        repeated = quantifier;
        match c {
            '\\' => escape(&mut rest, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '(' if rest.as_str().starts_with('?') => return Err("groups with `(?` are not POSIX".to_owned()),
            '{' if quantifier => repeat(&mut rest, &mut out),
            '{' | '}' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn is_repeat(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else {
        return false;
    };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && number(low) && number(high)
}

fn repeat(rest: &mut std::str::Chars<'_>, out: &mut String) {
    out.push('{');
    for c in rest.by_ref() {
        out.push(c);
        if c == '}' {
            return;
        }
    }
}

fn escape(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), String> {
    match rest.next() {
        None => Err("a `\\` at the end escapes nothing".to_owned()),
        Some(c @ ('a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x')) => {
            out.extend(['\\', c]);
            Ok(())
        }
        Some(c) if c.is_ascii_alphanumeric() => Err(format!(
            "`\\{c}` is not POSIX: write a class such as `[[:digit:]]`, `[[:alnum:]_]` or `[[:space:]]`"
        )),
        Some(c) => {
            if c.is_ascii_punctuation() {
                out.push('\\');
            }
            out.push(c);
            Ok(())
        }
    }
}

/// Behind `[`: copies the class, its inner `[`, `&`, `~` and `-` escaped, which Rust's syntax would read as set operations.
fn class(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if rest.as_str().starts_with('^') {
        out.extend(rest.next());
    }
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(());
            }
            '[' if rest.as_str().starts_with(':') => named(rest, out)?,
            '[' | ']' | '&' | '~' => out.extend(['\\', c]),
            '-' if rest.as_str().starts_with(['-', ']']) || first => out.push_str("\\-"),
            '\\' => escape(rest, out)?,
            c => out.push(c),
        }
        first = false;
    }
    Err("a `[` is not closed".to_owned())
}

const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

fn named(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), String> {
    let (name, after) = rest.as_str().split_once(":]").ok_or("a `[:` is not closed")?;
    if !CLASSES.contains(&name.trim_start_matches([':', '^'])) {
        return Err(format!(
            "no such class: `[:{}:]`",
            name.trim_start_matches(':').escape_debug()
        ));
    }
    out.push('[');
    out.push_str(name);
    out.push_str(":]");
    *rest = after.chars();
    Ok(())
}

/// What in a pattern says nothing, because an expression is matched from end to end: Falco warns of it.
pub(crate) fn says_nothing(pattern: &str) -> bool {
    let starts = ["^", ".*", ".+", ".?"]
        .iter()
        .any(|start| pattern.starts_with(start));
    let ends = ["$", ".*", ".+", ".?"].iter().any(|end| pattern.ends_with(end));
    starts || ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_from_end_to_end() {
        let cases = [
            ("^[s]{1}ysca[l]{2}$", "syscall", true),
            ("yscal.*", "syscall", false),
            ("syscal.*", "syscall", true),
            ("a|b", "ab", false),
            ("a|b", "b", true),
            ("[[:digit:]]+", "42", true),
            ("[a&&b]+", "&a", true),
            ("[a[b]+", "[", true),
            ("[]x]+", "]", true),
            ("[a-]+", "a-", true),
            ("a{,2}", "a{,2}", true),
            ("a{2}", "aa", true),
            ("\\.\\/", "./", true),
            ("/home/.*/dev", "/home/a/b/dev", true),
            ("a.b", "a\nb", false),
        ];
        for (pattern, text, want) in cases {
            let regex = compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            assert_eq!(regex.is_match(text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_not_posix_is_refused() {
        for pattern in [
            "\\d+",
            "\\bx",
            "(?i)a",
            "a*?",
            "(",
            "[a",
            "*a**",
            "a\\",
            "(a{1000}){1000}",
            "[[:nope:]]",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        assert_eq!(compile("(a").unwrap_err(), "unclosed group");
    }
}
