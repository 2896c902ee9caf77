//! From text to alerts.

use std::ops::Range;

use crate::alert::{Alert, Envelope};
use crate::error::{Fault, ReadError};
use crate::excerpt::excerpt;
use crate::fields::Entry;
use crate::json::{Scanner, Str, Syntax, unescape};
use crate::value::{Slot, Span};

/// Spans count 31 bits.
const MAX_LEN: usize = (1 << 31) - 1;

/// A value of the envelope, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) slot: Slot,
    pub(crate) at: usize,
}

/// The members of one alert, located but not yet judged.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) rule: Option<Member>,
    pub(crate) priority: Option<Member>,
    pub(crate) time: Option<Member>,
    pub(crate) source: Option<Member>,
    pub(crate) hostname: Option<Member>,
    pub(crate) output: Option<Member>,
    pub(crate) message: Option<Member>,
    pub(crate) tags: Option<Member>,
    /// `output_fields` where it is not an object.
    pub(crate) no_fields: Option<Member>,
    pub(crate) fields: Vec<Entry>,
    pub(crate) others: Vec<Entry>,
    pub(crate) meant: String,
    pub(crate) items: Vec<Slot>,
}

/// A fault and where it is, counted from the start of the alert.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) at: usize,
    pub(crate) fault: Fault,
}

impl Draft {
    /// Reads the object at the cursor.
    pub(crate) fn read(scan: &mut Scanner<'_>) -> Result<Self, Syntax> {
        let mut draft = Self {
            fields: Vec::with_capacity(32),
            ..Self::default()
        };
        scan.object(|scan, key| draft.member(scan, key))?;
        Ok(draft)
    }

    fn member(&mut self, scan: &mut Scanner<'_>, key: Str) -> Result<(), Syntax> {
        let name = scan.slice(key.inside.clone());
        let at = {
            scan.token();
            scan.at()
        };
        if name.eq_ignore_ascii_case(b"output_fields") {
            return self.output_fields(scan, at);
        }
        let slot = self.value(scan)?;
        match self.named(name) {
            Some(member) => *member = Some(Member { slot, at }),
            None => {
                let name = self.text(scan, key);
                self.others.push(Entry { name, value: slot });
            }
        }
        Ok(())
    }

    /// Where a member of the envelope goes. Names are read in any case, as falcosidekick reads them.
    fn named(&mut self, name: &[u8]) -> Option<&mut Option<Member>> {
        Some(match name {
            b"output" => &mut self.output,
            b"priority" => &mut self.priority,
            b"rule" => &mut self.rule,
            b"time" => &mut self.time,
            b"source" => &mut self.source,
            b"tags" => &mut self.tags,
            b"hostname" => &mut self.hostname,
            b"message" => &mut self.message,
            b"output_fields" => &mut self.no_fields,
            _ if name.iter().any(u8::is_ascii_uppercase) => return self.named(&name.to_ascii_lowercase()),
            _ => return None,
        })
    }

    fn output_fields(&mut self, scan: &mut Scanner<'_>, at: usize) -> Result<(), Syntax> {
        self.fields.clear();
        self.no_fields = None;
        if scan.token() != Some(b'{') {
            let slot = self.value(scan)?;
            self.no_fields = Some(Member { slot, at });
            return Ok(());
        }
        scan.object(|scan, key| {
            let name = self.text(scan, key);
            let value = self.value(scan)?;
            self.fields.push(Entry { name, value });
            Ok(())
        })
    }

    fn value(&mut self, scan: &mut Scanner<'_>) -> Result<Slot, Syntax> {
        Ok(match scan.token() {
            Some(b'"') => {
                let string = scan.string("a string")?;
                Slot::String(self.text(scan, string))
            }
            Some(b'[') => self.list(scan)?,
            Some(b'{') => Slot::Object(Span::written(scan.skip()?)),
            Some(b'n') => scan.literal("null").map(|()| Slot::Null)?,
            Some(b't') => scan.literal("true").map(|()| Slot::Bool(true))?,
            Some(b'f') => scan.literal("false").map(|()| Slot::Bool(false))?,
            Some(_) | None => Slot::Number(Span::written(scan.skip()?)),
        })
    }

    /// The items of a list are neighbours. They are put in their place at once, until one of them is a list itself,
    /// whose items must come first.
    fn list(&mut self, scan: &mut Scanner<'_>) -> Result<Slot, Syntax> {
        let start = self.items.len();
        let mut aside: Option<Vec<Slot>> = None;
        scan.array(|scan| {
            if scan.token() == Some(b'[') && aside.is_none() {
                aside = Some(self.items.split_off(start));
            }
            let item = self.value(scan)?;
            aside.as_mut().unwrap_or(&mut self.items).push(item);
            Ok::<(), Syntax>(())
        })?;
        let first = aside.as_ref().map_or(start, |_| self.items.len());
        self.items.append(&mut aside.unwrap_or_default());
        Ok(Slot::List(Span::written(first..self.items.len())))
    }

    fn text(&mut self, scan: &Scanner<'_>, string: Str) -> Span {
        if !string.escaped {
            return Span::written(string.inside);
        }
        let start = self.meant.len();
        unescape(scan.slice(string.inside), &mut self.meant);
        Span::meant(start..self.meant.len())
    }
}

/// Reads the alert that starts `bytes`, and says how long it is.
///
/// What is JSON but no alert has a length too, so that what follows it can be read.
fn read_first(bytes: &[u8]) -> (usize, Result<Alert, Flaw>) {
    let mut scan = Scanner::new(bytes);
    match Draft::read(&mut scan) {
        Err(syntax) => (0, Err(flaw(bytes, syntax))),
        Ok(draft) => (
            scan.at(),
            Envelope::new(bytes.get(..scan.at()).unwrap_or_default(), draft).map(Alert::from),
        ),
    }
}

fn flaw(bytes: &[u8], Syntax { at, expected }: Syntax) -> Flaw {
    let rest = bytes.get(at..bytes.len().min(at + 16)).unwrap_or_default();
    let found = excerpt(&String::from_utf8_lossy(rest));
    Flaw {
        at,
        fault: Fault::Syntax { expected, found },
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
    let mut scan = Scanner::new(body.get(from..).unwrap_or_default());
    scan.token().map(|_| from + scan.at())
}

/// Reads every alert of a body: one, several one after the other, one a line, or in an array.
///
/// There is always at least one item: a body without an alert is one error. What is JSON but no alert is an error in
/// its place, and the rest is read. After what is not JSON, reading goes on at the next line that begins with `{`.
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
        in_array: None,
        any: false,
    }
}

/// The alerts of a body; see [`read_all`].
#[derive(Debug, Clone)]
pub struct ReadAll<'a> {
    body: &'a [u8],
    at: usize,
    /// Inside an array; whether an item was just read.
    in_array: Option<bool>,
    any: bool,
}

impl Iterator for ReadAll<'_> {
    type Item = Result<Alert, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.item();
        self.any |= item.is_some();
        if item.is_none() && !self.any {
            self.any = true;
            return Some(Err(self.error(self.body.len(), Fault::Empty)));
        }
        item
    }
}

impl ReadAll<'_> {
    fn error(&self, at: usize, fault: Fault) -> ReadError {
        ReadError::new(self.body, at, fault)
    }

    fn item(&mut self) -> Option<Result<Alert, ReadError>> {
        if self.body.len() > MAX_LEN {
            return self.stop(0, Fault::TooLong);
        }
        loop {
            let Some(at) = next_token(self.body, self.at) else {
                return self.end();
            };
            self.at = at;
            match (self.body.get(at), self.in_array) {
                (Some(b'['), None) => self.in_array = Some(false),
                (Some(b','), Some(true)) => self.in_array = Some(false),
                (Some(b']'), Some(_)) => self.in_array = None,
                (Some(_), Some(true)) => return Some(self.resume(at, at, "`,` or `]`")),
                (Some(b'{'), _) => return Some(self.alert(at)),
                (Some(_), _) | (None, _) => return Some(self.other(at)),
            }
            self.at += 1;
        }
    }

    fn end(&mut self) -> Option<Result<Alert, ReadError>> {
        self.in_array.take()?;
        let fault = Fault::Syntax {
            expected: "`]` at the end of the array",
            found: String::new(),
        };
        Some(Err(self.error(self.body.len(), fault)))
    }

    fn stop(&mut self, at: usize, fault: Fault) -> Option<Result<Alert, ReadError>> {
        let error = self.error(at, fault);
        self.body = &[];
        self.any.then_some(()).map_or(Some(Err(error)), |()| None)
    }

    fn alert(&mut self, at: usize) -> Result<Alert, ReadError> {
        let (length, read) = read_first(self.body.get(at..).unwrap_or_default());
        let read = read.map_err(|flaw| self.error(at + flaw.at, flaw.fault));
        match &read {
            Err(error) if length == 0 => self.at = self.next_line(at, error.offset()),
            Ok(_) | Err(_) => self.after_item(at + length),
        }
        read
    }

    fn after_item(&mut self, at: usize) {
        self.at = at;
        self.in_array = self.in_array.map(|_| true);
    }

    /// A value that is no object, or no value.
    fn other(&mut self, at: usize) -> Result<Alert, ReadError> {
        let rest = self.body.get(at..).unwrap_or_default();
        let mut scan = Scanner::new(rest);
        match scan.skip() {
            Ok(Range { end, .. }) => {
                self.after_item(at + end);
                let syntax = Syntax {
                    at: 0,
                    expected: "an alert, a JSON object",
                };
                Err(self.error(at, flaw(rest, syntax).fault))
            }
            Err(syntax) => {
                let flaw = flaw(rest, syntax);
                self.at = self.next_line(at, at + flaw.at);
                Err(self.error(at + flaw.at, flaw.fault))
            }
        }
    }

    fn resume(&mut self, start: usize, at: usize, expected: &'static str) -> Result<Alert, ReadError> {
        let found = flaw(self.body, Syntax { at, expected });
        self.at = self.next_line(start, at);
        self.in_array = self.in_array.map(|_| false);
        Err(self.error(at, found.fault))
    }

    /// The first line that begins with `{`, from the line of `fault` on but after `start`; else the end.
    fn next_line(&self, start: usize, fault: usize) -> usize {
        let before = self.body.get(start + 1..fault).unwrap_or_default();
        let mut at = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(fault, |newline| start + 1 + newline);
        at = at.max(start + 1);
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
