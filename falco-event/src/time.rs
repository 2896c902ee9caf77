//! The spellings of an alert's time.

use jiff::Timestamp;

use crate::json::{ALERT_LEVELS, Scanner, Syntax};

/// What a time may look like, for messages.
pub(crate) const EXPECTED: &str = "an RFC 3339 time, or an object of `seconds` and `nanos`";

/// RFC 3339 with any offset: Falco's nine digits and `Z`, falcosidekick's with trailing zeros cut, Python's
/// `+00:00` with microseconds, `+0000`. After a `Z` an offset has no meaning and is not looked at: a fixture that
/// falcosidekick's documents spread has `Z+2`.
pub(crate) fn from_text(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return of_four_digits(time);
    }
    let (utc, offset) = text.split_once('Z')?;
    let meaningless = offset.starts_with(['+', '-']) && offset.bytes().skip(1).all(|b| b.is_ascii_digit());
    if meaningless {
        format!("{utc}Z").parse().ok().and_then(of_four_digits)
    } else {
        None
    }
}

/// `{"seconds":1570094449,"nanos":620298462}`, as clients of Falco's gRPC write it; numbers may be in quotes.
pub(crate) fn from_object(json: &[u8]) -> Option<Timestamp> {
    let (mut seconds, mut nanos) = (None, 0);
    let mut scan = Scanner::new(json, ALERT_LEVELS);
    let read = scan.object(|scan, key| {
        let name = scan.slice(key.inside);
        let value = scan.skip()?;
        let text = std::str::from_utf8(scan.slice(value))
            .unwrap_or_default()
            .trim_matches('"');
        match name {
            b"seconds" => seconds = text.parse::<i64>().ok(),
            b"nanos" => nanos = text.parse::<i32>().unwrap_or(-1),
            _ => {}
        }
        Ok::<(), Syntax>(())
    });
    read.ok()?;
    let nanos = (0..1_000_000_000).contains(&nanos).then_some(nanos)?;
    Timestamp::new(seconds?, nanos).ok().and_then(of_four_digits)
}

/// RFC 3339 has no year before 0, and an event could not have such a time. The last year is 9999 in any case.
fn of_four_digits(time: Timestamp) -> Option<Timestamp> {
    const YEAR_0: i64 = -62_167_219_200;
    (time.as_second() >= YEAR_0).then_some(time)
}
