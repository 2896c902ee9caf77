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

/// JSON made fit for a message. Its quotes and backslashes stand as they are: they are escaped as JSON has it.
pub(crate) fn excerpt_json(json: &str) -> String {
    let shown = |character: char| match character {
        '"' | '\'' | '\\' => character.to_string(),
        other => other.escape_debug().to_string(),
    };
    let mut text: String = json.chars().take(SHOWN).map(shown).collect();
    if json.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}
