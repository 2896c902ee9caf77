//! Locating the members of one alert in its text.

use crate::fields::Entry;
use crate::json::{Scanner, Str, Syntax, unescape};
use crate::value::{Slot, Span};

/// Room for the fields of a usual alert.
const FIRST_FIELDS: usize = 32;

/// Room for what a usual alert unescapes, so that it is found once.
const FIRST_ROOM: usize = 1000;

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
    /// The names of the fields are not known to stand in order, each once.
    pub(crate) unordered: bool,
    pub(crate) others: Vec<Entry>,
    pub(crate) meant: String,
    pub(crate) items: Vec<Slot>,
}

impl Draft {
    /// Reads the object at the cursor.
    pub(crate) fn read(scan: &mut Scanner<'_>) -> Result<Self, Syntax> {
        let mut draft = Self::default();
        scan.object(|scan, key| draft.member(scan, key))?;
        Ok(draft)
    }

    fn member(&mut self, scan: &mut Scanner<'_>, key: Str) -> Result<(), Syntax> {
        if key.escaped {
            let mut name = String::new();
            unescape(scan.slice(key.inside.clone()), &mut name);
            return self.named_member(scan, name.as_bytes(), key);
        }
        self.named_member(scan, scan.slice(key.inside.clone()), key)
    }

    fn named_member(&mut self, scan: &mut Scanner<'_>, name: &[u8], key: Str) -> Result<(), Syntax> {
        scan.token();
        let at = scan.at();
        if name.eq_ignore_ascii_case(b"output_fields") {
            return self.output_fields(scan, at);
        }
        let slot = self.value(scan)?;
        if let Some(member) = self.named(name) {
            *member = Some(Member { slot, at });
        } else {
            let name = self.text(scan, key);
            self.others.push(Entry { name, value: slot });
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
            _ if name.iter().any(u8::is_ascii_uppercase) => return self.named(&name.to_ascii_lowercase()),
            _ => return None,
        })
    }

    fn output_fields(&mut self, scan: &mut Scanner<'_>, at: usize) -> Result<(), Syntax> {
        self.fields.clear();
        self.fields.reserve(FIRST_FIELDS);
        self.no_fields = None;
        if scan.token() != Some(b'{') {
            let slot = self.value(scan)?;
            self.no_fields = Some(Member { slot, at });
            return Ok(());
        }
        let mut last: &[u8] = &[];
        self.unordered = false;
        scan.object(|scan, key| {
            let bytes = scan.slice(key.inside.clone());
            self.unordered |= key.escaped || bytes <= last;
            last = bytes;
            let name = self.text(scan, key);
            let value = self.value(scan)?;
            self.fields.push(Entry { name, value });
            Ok(())
        })
    }

    fn value(&mut self, scan: &mut Scanner<'_>) -> Result<Slot, Syntax> {
        if scan.take(b'"') {
            let string = scan.opened()?;
            return Ok(Slot::String(self.text(scan, string)));
        }
        Ok(match scan.token() {
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
        self.items.reserve(8);
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
        self.meant.reserve(FIRST_ROOM.saturating_sub(start));
        unescape(scan.slice(string.inside), &mut self.meant);
        Span::meant(start..self.meant.len())
    }
}
