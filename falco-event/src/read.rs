//! From the body of a request to alerts.

use crate::alert::Alert;
use crate::draft::Draft;
use crate::envelope::{Envelope, Flaw};
use crate::error::{Fault, Place, ReadError};
use crate::json::{ALERT_LEVELS, Scanner, Syntax};

/// Spans count 31 bits, and a text that is not UTF-8 grows to three times its length.
const MAX_LEN: usize = 512 << 20;

/// Reads the alert that starts `bytes`, and says how long it is.
///
/// What is JSON but no alert has a length too, so that what follows it can be read.
fn read_first(bytes: &[u8]) -> (usize, Result<Alert, Flaw>) {
    let mut scan = Scanner::new(bytes, ALERT_LEVELS);
    match Draft::read(&mut scan) {
        Err(syntax) => (0, Err(Flaw::syntax(bytes, syntax))),
        Ok(draft) => (
            scan.at(),
            Envelope::new(bytes.get(..scan.at()).unwrap_or_default(), draft).map(Alert::from),
        ),
    }
}

fn after_bom(body: &[u8]) -> usize {
    if body.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 }
}

pub(crate) fn read_one(body: &[u8]) -> Result<Alert, ReadError> {
    let refuse = |at, fault| Err(ReadError::new(body, at, fault));
    if body.len() > MAX_LEN {
        return refuse(0, Fault::TooLong);
    }
    let Some(start) = next_token(body, after_bom(body)) else {
        return refuse(body.len(), Fault::Empty);
    };
    let (length, read) = read_first(body.get(start..).unwrap_or_default());
    let alert = read.map_err(|flaw| ReadError::new(body, start + flaw.at, flaw.fault))?;
    match next_token(body, start + length) {
        Some(at) => refuse(at, Fault::Trailing),
        None => Ok(alert),
    }
}

fn next_token(body: &[u8], from: usize) -> Option<usize> {
    let mut scan = Scanner::new(body.get(from..).unwrap_or_default(), ALERT_LEVELS);
    scan.token().map(|_| from + scan.at())
}

/// Reads every alert of a body: one, several one after the other, one a line, or in an array.
///
/// There is always at least one item: a body without an alert is one error. What is JSON but no alert is an error in
/// its place, and the rest is read. After what is not JSON, reading goes on at the next line that begins with `{`, even
/// if that line was taken for a part of what was not JSON.
///
/// ```
/// let body = br#"{"rule":"a","priority":"Notice","time":"2026-01-01T00:00:00Z"}
/// {"rule":"b"}
/// {"rule":"c","priority":"Notice","time":"2026-01-01T00:00:00Z"}"#;
/// let read: Vec<_> = falco_event::read_all(body).collect();
/// assert_eq!(read.len(), 3);
/// assert_eq!(read[1].as_ref().unwrap_err().line(), 2);
/// ```
pub fn read_all(body: &[u8]) -> ReadAll<'_> {
    ReadAll {
        body,
        at: after_bom(body),
        place: Place::START,
        in_array: None,
        any: false,
    }
}

/// The alerts of a body; see [`read_all`].
#[derive(Debug, Clone)]
pub struct ReadAll<'a> {
    body: &'a [u8],
    at: usize,
    /// Where the last item began.
    place: Place,
    /// Inside an array; whether an item was just read.
    in_array: Option<bool>,
    any: bool,
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
    fn error(&self, at: usize, fault: Fault) -> ReadError {
        self.place.on_to(self.body, at).error(fault)
    }

    fn item(&mut self) -> Option<Result<Alert, ReadError>> {
        if self.body.len() > MAX_LEN {
            self.body = &[];
            return Some(Err(Place::START.error(Fault::TooLong)));
        }
        while let Some(at) = next_token(self.body, self.at) {
            self.at = at;
            match (self.body.get(at), self.in_array) {
                (Some(b'['), None) => self.in_array = Some(false),
                (Some(b','), Some(true)) => self.in_array = Some(false),
                (Some(b']'), Some(_)) => self.in_array = None,
                (_, after_item) => return Some(self.object(at, after_item == Some(true))),
            }
            self.at += 1;
        }
        self.end()
    }

    fn end(&mut self) -> Option<Result<Alert, ReadError>> {
        self.in_array.take()?;
        let fault = Fault::Syntax {
            expected: "`]` at the end of the array",
            found: String::new(),
        };
        Some(Err(self.error(self.body.len(), fault)))
    }

    /// What stands at `at`, which should be an alert.
    fn object(&mut self, at: usize, after_item: bool) -> Result<Alert, ReadError> {
        self.place = self.place.on_to(self.body, at);
        let rest = self.body.get(at..).unwrap_or_default();
        let is_object = rest.starts_with(b"{");
        let (length, read) = match is_object {
            _ if after_item => (
                0,
                Err(Flaw::syntax(
                    rest,
                    Syntax {
                        at: 0,
                        expected: "`,` or `]`",
                    },
                )),
            ),
            true => read_first(rest),
            false => no_object(rest),
        };
        let no_comma = after_item && is_object;
        match &read {
            Err(_) if length == 0 && !no_comma => self.at = self.next_line(at),
            Ok(_) | Err(_) => self.at = at + length,
        }
        self.in_array = self.in_array.map(|_| length > 0);
        read.map_err(|flaw| self.error(at + flaw.at, flaw.fault))
    }

    /// The first line after `start` that begins with `{`; else the end.
    fn next_line(&self, start: usize) -> usize {
        let mut at = start + 1;
        while let Some(newline) = self
            .body
            .get(at..)
            .and_then(|rest| rest.iter().position(|&b| b == b'\n'))
        {
            let Some(token) = next_token(self.body, at + newline) else {
                break;
            };
            if self.body.get(token) == Some(&b'{') {
                return token;
            }
            at = token;
        }
        self.body.len()
    }
}

/// A value that is no object has a length too, and what follows it is read; what is no value has none.
fn no_object(bytes: &[u8]) -> (usize, Result<Alert, Flaw>) {
    let read = Scanner::new(bytes, ALERT_LEVELS).skip();
    let length = read.as_ref().map_or(0, |range| range.end);
    let expected = Syntax {
        at: 0,
        expected: "an alert, a JSON object",
    };
    (length, Err(Flaw::syntax(bytes, read.err().unwrap_or(expected))))
}
