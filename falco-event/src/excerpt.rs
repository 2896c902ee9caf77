//! Text from outside, made fit for a message: escaped, on one line, and short.

/// How many characters of an input a message repeats.
const SHOWN: usize = 64;

/// `input` escaped and cut after 64 characters. What is in an alert is an attacker's to choose.
pub(crate) fn excerpt(input: &str) -> String {
    let mut shown: String = input.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if input.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
