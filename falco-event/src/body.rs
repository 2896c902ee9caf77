//! From the body of a request to alerts: all of them, whatever else is in it.

use crate::alert::Alert;
use crate::error::{Fault, Place, ReadError};
use crate::json::{ALERT_LEVELS, Scanner, Syntax};
use crate::read::{MAX_LEN, after_bom, next_token, read_first};

/// Reads every alert of a body: one, several one after the other, one a line, or in an array.
///
/// There is always at least one item: a body without an alert is one error. What is wrong is an error in its place, and
/// the rest is read:
/// - After JSON that is no alert, reading goes on behind it. So it does after a bracket or a comma that should not be
///   there, such as the comma after the last alert of an array, and where a comma is missing.
/// - After what is not JSON, reading goes on at the next line that begins with `{` or `[`, even if that line was taken
///   for a part of what was not JSON. The rest of its own line is lost with it: a line that is not JSON may quote an
///   alert that Falco never sent.
///
/// Not an error: one comma after an alert outside of an array, and what is amiss with the commas and the end of an array
/// in which something was not JSON.
///
/// The work grows with the length of the body, whatever is in it: no byte is looked at more than 125 times, because an
/// alert nests at most 120 levels.
///
/// ```
/// let body = br#"{"rule":"a","priority":"Notice","time":"2026-01-01T00:00:00Z"}
/// {"rule":"b"}
/// mumble
/// [{"rule":"c","priority":"Notice","time":"2026-01-01T00:00:00Z"}]"#;
/// let read: Vec<_> = falco_event::read_all(body).collect();
/// assert_eq!(read.len(), 4);
/// assert_eq!(read[1].as_ref().unwrap_err().line(), 2);
/// assert_eq!(read[2].as_ref().unwrap_err().line(), 3);
/// assert_eq!(read[3].as_ref().unwrap().rule(), "c");
/// ```
pub fn read_all(body: &[u8]) -> ReadAll<'_> {
    ReadAll {
        body,
        at: after_bom(body),
        place: Place::START,
        array: Array::Outside,
        before: Before::Nothing,
        any: false,
        looks: 0,
    }
}

/// The alerts of a body; see [`read_all`].
#[derive(Debug, Clone)]
pub struct ReadAll<'a> {
    body: &'a [u8],
    at: usize,
    /// Where the last item began.
    place: Place,
    array: Array,
    before: Before,
    any: bool,
    looks: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Array {
    Outside,
    Inside,
    /// Something in it was not an item: what follows may still be in it or not, so its commas and its end say nothing.
    Broken,
}

/// What stands before the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A value, which a comma may follow.
    Value,
    Comma,
}

impl Iterator for ReadAll<'_> {
    type Item = Result<Alert, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.item();
        let first = !std::mem::replace(&mut self.any, true);
        item.or_else(|| first.then(|| Err(self.error(self.body.len(), Fault::Empty))))
    }
}

impl ReadAll<'_> {
    /// How often a byte was looked at so far, all bytes together. Hidden: no part of the API.
    #[doc(hidden)]
    #[must_use]
    pub fn looks(&self) -> usize {
        self.looks
    }

    fn error(&self, at: usize, fault: Fault) -> ReadError {
        self.place.on_to(self.body, at).error(fault)
    }

    fn item(&mut self) -> Option<Result<Alert, ReadError>> {
        if self.body.len() > MAX_LEN {
            self.body = &[];
            return Some(Err(Place::START.error(Fault::TooLong)));
        }
        while let Some(at) = next_token(self.body, self.at) {
            self.go_to(at);
            let token = self.body.get(at).copied().unwrap_or_default();
            if !self.separates(token) {
                self.place = self.place.on_to(self.body, at);
                return Some(self.thing(token));
            }
            self.go_to(at + 1);
        }
        self.end()
    }

    fn go_to(&mut self, at: usize) {
        self.looks += at - self.at;
        self.at = at;
    }

    /// Whether the token is a bracket or a comma that may stand here.
    fn separates(&mut self, token: u8) -> bool {
        let (array, before) = match (token, self.array, self.before) {
            (b'[', Array::Outside | Array::Broken, _) => (Array::Inside, Before::Nothing),
            (b']', Array::Inside, Before::Nothing | Before::Value) => (Array::Outside, Before::Value),
            (b']' | b',', Array::Broken, _) => (Array::Broken, Before::Comma),
            (b',', array, Before::Value) => (array, Before::Comma),
            _ => return false,
        };
        (self.array, self.before) = (array, before);
        true
    }

    fn end(&mut self) -> Option<Result<Alert, ReadError>> {
        let open = std::mem::replace(&mut self.array, Array::Outside) == Array::Inside;
        let fault = Fault::Syntax {
            expected: "`]` at the end of the array",
            found: String::new(),
        };
        open.then(|| Err(self.error(self.body.len(), fault)))
    }

    /// What stands at the cursor, which should be an alert.
    fn thing(&mut self, token: u8) -> Result<Alert, ReadError> {
        let follows = self.array == Array::Inside && self.before == Before::Value;
        match token {
            b'{' if follows => {
                self.before = Before::Comma;
                Err(self.unexpected(AFTER_ITEM))
            }
            b'{' => self.object(),
            b'[' | b']' | b'}' | b',' => Err(self.stray(token, if follows { AFTER_ITEM } else { ALERT })),
            _ => self.no_object(if follows { AFTER_ITEM } else { ALERT }),
        }
    }

    fn unexpected(&self, expected: &'static str) -> ReadError {
        let rest = self.body.get(self.at..).unwrap_or_default();
        self.error(self.at, Fault::syntax(rest, Syntax { at: 0, expected }))
    }

    /// A bracket or a comma where none can be. It costs itself only. An array in an array is read like the rest.
    fn stray(&mut self, token: u8, expected: &'static str) -> ReadError {
        let error = self.unexpected(expected);
        (self.array, self.before) = match (token, self.array) {
            (b'[', _) => (Array::Broken, Before::Nothing),
            (b']', _) => (Array::Outside, Before::Value),
            (b',', array) => (array, Before::Comma),
            (_, array) => (array, Before::Value),
        };
        self.go_to(self.at + 1);
        error
    }

    fn object(&mut self) -> Result<Alert, ReadError> {
        let start = self.at;
        let (length, read) = read_first(self.body.get(start..).unwrap_or_default());
        match &read {
            Err(flaw) if length == 0 => self.give_up(flaw.at),
            Ok(_) | Err(_) => self.pass(length),
        }
        read.map_err(|flaw| self.error(start + flaw.at, flaw.fault))
    }

    /// A value that is no object, or no value at all.
    fn no_object(&mut self, expected: &'static str) -> Result<Alert, ReadError> {
        let error = self.unexpected(expected);
        let mut scan = Scanner::new(self.body.get(self.at..).unwrap_or_default(), ALERT_LEVELS);
        match scan.skip() {
            Ok(range) => self.pass(range.end),
            Err(_) => self.give_up(scan.at()),
        }
        Err(error)
    }

    fn pass(&mut self, length: usize) {
        self.before = Before::Value;
        self.go_to(self.at + length);
    }

    /// Goes on at the next line that begins with `{` or `[`, having looked at so many bytes; else at the end.
    fn give_up(&mut self, looked_at: usize) {
        self.looks += looked_at;
        self.before = Before::Nothing;
        if self.array == Array::Inside {
            self.array = Array::Broken;
        }
        let lines = std::iter::successors(line_after(self.body, self.at), |at| line_after(self.body, *at));
        let mut starts = lines.filter(|at| matches!(self.body.get(*at), Some(b'{' | b'[')));
        self.go_to(starts.next().unwrap_or(self.body.len()));
    }
}

const ALERT: &str = "an alert, a JSON object";
const AFTER_ITEM: &str = "`,` or `]`";

/// Where the first thing stands on a line after the one at `at`.
fn line_after(body: &[u8], at: usize) -> Option<usize> {
    let newline = body.get(at..)?.iter().position(|&b| b == b'\n')?;
    next_token(body, at + newline)
}
