//! Quotes and escapes of Falco's conditions.

use std::fmt::{self, Write as _};

/// What is wrong with an escape, and where: bytes into the quoted text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadEscape {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

const KNOWN: &str = "unknown escape; known are `\\b \\f \\n \\r \\t \\\\ \\/ \\xHH` and the quote itself";

/// The text that a quoted text stands for. `quoted` holds both quotes.
pub(crate) fn unquote(quoted: &str) -> Result<String, BadEscape> {
    let mut chars = quoted.char_indices();
    let quote = chars.next().map_or('"', |(_, c)| c);
    let mut bytes = Vec::with_capacity(quoted.len());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => bytes.push(escape(&mut chars, quote).map_err(|why| BadEscape { at, why })?),
            _ if chars.as_str().is_empty() => break, // the closing quote
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    let why = "the escapes make no valid UTF-8, which an alert's text always is";
    String::from_utf8(bytes).map_err(|_| BadEscape { at: 0, why })
}

fn escape(chars: &mut std::str::CharIndices<'_>, quote: char) -> Result<u8, &'static str> {
    match chars.next().map(|(_, c)| c) {
        Some('b') => Ok(0x08),
        Some('f') => Ok(0x0c),
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('\\' | ' ') => Ok(b'\\'), // `\ ` is a backslash in Falco, for old rules
        Some('/') => Ok(b'/'),
        Some('"') if quote == '"' => Ok(b'"'),
        Some('\'') if quote == '\'' => Ok(b'\''),
        Some('x') => hex(chars).ok_or("`\\x` takes two hexadecimal digits"),
        _ => Err(KNOWN),
    }
}

fn hex(chars: &mut std::str::CharIndices<'_>) -> Option<u8> {
    let mut digit = || chars.next().and_then(|(_, c)| c.to_digit(16));
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

/// Whether a text can stand unquoted as a value.
pub(crate) fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| {
            matches!(c, '(' | ')' | '"' | '\'' | '=' | ',' | '\x0b' | '\x0c') || is_blank(c)
        })
}

/// Whether a text can stand unquoted between brackets.
pub(crate) fn is_bare_arg(text: &str) -> bool {
    let unfit = |c: char| {
        matches!(
            c,
            '[' | ']' | '"' | '\'' | '\x0b' | '\x0c' | ' ' | '\t' | '\n' | '\r'
        )
    };
    !text.is_empty() && !text.contains(unfit)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x08')
}

/// A text in quotes, so that [`unquote`] gives it back.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut chars = self.0.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' => f.write_str("\\\"")?,
                // A quote after any backslash does not close, so a backslash there takes its number.
                '\\' if matches!(chars.peek(), None | Some('"')) => f.write_str("\\x5c")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_falco() {
        let cases = [
            (r#""""#, Ok("")),
            (r#""a b""#, Ok("a b")),
            (r#""\b\f\n\r\t\\\/\"""#, Ok("\x08\x0c\n\r\t\\/\"")),
            (r"'it\'s'", Ok("it's")),
            (r#"'say "x"'"#, Ok("say \"x\"")),
            (r#""a\ b""#, Ok("a\\b")),
            (r#""\x41\x7a""#, Ok("Az")),
            (r#""\xc3\xa9""#, Ok("é")),
            (r#"'mixed \"'"#, Err(7)),
            (r#""\q""#, Err(1)),
            (r#""a\x4""#, Err(2)),
            (r#""\xff""#, Err(0)),
        ];
        for (quoted, want) in cases {
            let got = unquote(quoted);
            assert_eq!(got.as_deref().map_err(|bad| bad.at), want, "{quoted}");
        }
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for text in [
            "",
            "a",
            "\\",
            "\\\"",
            "\"\\",
            "a\\n",
            "\0\x7f",
            "é\u{1f600}",
            "it's",
            "\\\\",
            "\\ ",
        ] {
            assert_eq!(
                unquote(&Quoted(text).to_string()).as_deref(),
                Ok(text),
                "{text:?}"
            );
        }
    }
}
