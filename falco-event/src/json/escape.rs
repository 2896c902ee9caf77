//! From the inside of a JSON string to the text it means.

use super::scan::plain;

/// Appends the text that `inside` means. A surrogate without its other half, which is no character, becomes U+FFFD
/// as in Go's reader; so does what is not UTF-8. `inside` has passed the scanner.
pub(crate) fn unescape(inside: &[u8], text: &mut String) {
    text.reserve(inside.len());
    let mut rest = inside;
    loop {
        let (plain, escape) = rest.split_at_checked(plain(rest)).unwrap_or((rest, &[]));
        push(plain, text);
        if escape.is_empty() {
            return;
        }
        let (character, length) = escaped_character(escape);
        text.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
}

fn push(bytes: &[u8], text: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(valid) => text.push_str(valid),
        Err(_) => text.push_str(&String::from_utf8_lossy(bytes)),
    }
}

/// The character that an escape at the start of `bytes` means, and how many bytes it takes.
fn escaped_character(bytes: &[u8]) -> (char, usize) {
    match bytes.get(1) {
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => utf16(bytes),
        Some(&same) => (char::from(same), 2),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn utf16(bytes: &[u8]) -> (char, usize) {
    let first = unit(bytes).unwrap_or_default();
    let pair = unit(bytes.get(6..).unwrap_or_default()).map(|second| [first, second]);
    if let Some(Ok(character)) = pair.and_then(|pair| char::decode_utf16(pair).next())
        && character.len_utf16() == 2
    {
        return (character, 12);
    }
    (
        char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
        6,
    )
}

/// The UTF-16 unit of a `\uXXXX` at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
