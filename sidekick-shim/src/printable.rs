//! Text that came from outside, made fit for one line of a log.

use std::fmt::{self, Write};

/// How much of a text is shown. Falco's longest rule names have about 80 characters.
const SHOWN: usize = 160;

/// Shows a text with everything that is not printable escaped, and cut after 160 characters.
///
/// The rule's name and the rest of an alert are chosen by whoever writes the rules or, through fields, by the attacker:
/// a line break or a terminal's escape sequence in them must not reach a log as it is.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        for c in rest.by_ref().take(SHOWN) {
            match c {
                '"' | '\'' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        if rest.next().is_some() {
            f.write_str("...")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_break_a_line_or_drive_a_terminal() {
        let cases = [
            ("Terminal shell in container", "Terminal shell in container"),
            (r#"{"it's":1}"#, r#"{"it's":1}"#),
            ("a\nb\r", "a\\nb\\r"),
            ("a\\nb", "a\\\\nb"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{61c}txt", "\\u{61c}txt"),
            ("caf\u{e9}", "caf\u{e9}"),
        ];
        for (text, shown) in cases {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }

    #[test]
    fn cuts_a_long_text_between_characters() {
        let long = "\u{e9}".repeat(SHOWN + 1);
        assert_eq!(
            Printable(&long).to_string(),
            format!("{}...", "\u{e9}".repeat(SHOWN))
        );
    }
}
