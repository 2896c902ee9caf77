//! What stands on one side of an operator: a field, a text, or what transformers make of them.

use std::borrow::Cow;

use super::getopt::{self, Found};
use super::kind::Type;
use super::predicate::as_text;
use super::source::{Context, Datum, Presence, Source};

/// One side of an operator.
#[derive(Debug, Clone)]
pub(crate) enum Reader {
    Field(Source, Type),
    /// A text in a transformer's arguments.
    Text(Box<str>),
    Call(Box<Call>),
}

/// A transformer and what it reads.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// One value for each value.
    Each(Each, Reader),
    /// How many values.
    Count(Reader),
    Join {
        separator: Reader,
        items: Box<[Reader]>,
    },
    Concat(Box<[Reader]>),
    Getopt {
        args: Box<[Reader]>,
        options: Reader,
        only: Option<Box<str>>,
    },
}

/// A transformer of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Each {
    Lower,
    Upper,
    Base64,
    Basename,
    Length,
}

impl Reader {
    /// Calls `take` for each value.
    pub(crate) fn each<'a>(&'a self, cx: Context<'a>, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
        match self {
            Self::Field(source, of) => source.each(cx, *of, take),
            Self::Text(text) => {
                take(Datum::Text(Cow::Borrowed(text)));
                Presence::Present
            }
            Self::Call(call) => call.each(cx, take),
        }
    }

    /// Calls `take` for each field that it reads.
    pub(crate) fn sources(&self, take: &mut dyn FnMut(&Source)) {
        match self {
            Self::Field(source, _) => take(source),
            Self::Text(_) => {}
            Self::Call(call) => match &**call {
                Call::Each(_, of) | Call::Count(of) => of.sources(take),
                Call::Join {
                    separator: first,
                    items,
                }
                | Call::Getopt {
                    args: items,
                    options: first,
                    ..
                } => {
                    items.iter().for_each(|item| item.sources(take));
                    first.sources(take);
                }
                Call::Concat(items) => items.iter().for_each(|item| item.sources(take)),
            },
        }
    }
}

impl Call {
    fn each<'a>(&'a self, cx: Context<'a>, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
        match self {
            Self::Each(what, of) => transform_each(*what, of, cx, take),
            Self::Count(of) => {
                let mut count = 0_i128;
                let presence = of.each(cx, &mut |_| count += 1);
                give(presence, Datum::Whole(count), take)
            }
            Self::Join { separator, items } => {
                let (presence, separator) = text(separator, cx);
                let (items_presence, items) = texts(items, cx);
                let joined = items.join(separator.as_deref().unwrap_or_default());
                give(worst(presence, items_presence), Datum::Text(joined.into()), take)
            }
            Self::Concat(items) => {
                let (presence, items) = texts(items, cx);
                give(presence, Datum::Text(items.concat().into()), take)
            }
            Self::Getopt { args, options, only } => {
                let (presence, options) = text(options, cx);
                let (args_presence, args) = texts(args, cx);
                let found = options_of(&args, options.as_deref().unwrap_or_default(), only.as_deref());
                let presence = match worst(presence, args_presence) {
                    Presence::Present => Presence::when(!found.is_empty()),
                    absent @ (Presence::Missing | Presence::Unknown) => absent,
                };
                found.into_iter().for_each(|text| give_text(presence, text, take));
                presence
            }
        }
    }
}

/// A value that is made of values which must all be there.
fn give<'a>(presence: Presence, datum: Datum<'a>, take: &mut dyn FnMut(Datum<'a>)) -> Presence {
    if presence == Presence::Present {
        take(datum);
    }
    presence
}

fn give_text<'a>(presence: Presence, text: String, take: &mut dyn FnMut(Datum<'a>)) {
    give(presence, Datum::Text(Cow::Owned(text)), take);
}

/// Of what is made of several values: missing where one is missing, whatever the unknown ones are.
pub(crate) fn worst(a: Presence, b: Presence) -> Presence {
    match (a, b) {
        (Presence::Missing, _) | (_, Presence::Missing) => Presence::Missing,
        (Presence::Unknown, _) | (_, Presence::Unknown) => Presence::Unknown,
        (Presence::Present, Presence::Present) => Presence::Present,
    }
}

fn transform_each<'a>(
    what: Each,
    of: &'a Reader,
    cx: Context<'a>,
    take: &mut dyn FnMut(Datum<'a>),
) -> Presence {
    let mut made = false;
    let presence = of.each(cx, &mut |datum| {
        if let Some(datum) = transform(what, datum) {
            made = true;
            take(datum);
        }
    });
    match presence {
        Presence::Present => Presence::when(made),
        absent @ (Presence::Missing | Presence::Unknown) => absent,
    }
}

/// None where nothing can be made of the value: it is missing then.
fn transform(what: Each, datum: Datum<'_>) -> Option<Datum<'_>> {
    let Datum::Text(text) = datum else { return None };
    Some(match what {
        Each::Lower => Datum::Text(recased(
            text,
            |byte| byte.is_ascii_uppercase(),
            str::to_ascii_lowercase,
        )),
        Each::Upper => Datum::Text(recased(
            text,
            |byte| byte.is_ascii_lowercase(),
            str::to_ascii_uppercase,
        )),
        Each::Base64 => Datum::Text(Cow::Owned(String::from_utf8_lossy(&base64(&text)?).into_owned())),
        Each::Basename => Datum::Text(match text {
            Cow::Borrowed(text) => Cow::Borrowed(basename(text)),
            Cow::Owned(text) => Cow::Owned(basename(&text).to_owned()),
        }),
        Each::Length => Datum::Whole(i128::try_from(text.len()).ok()?),
    })
}

/// A text that has nothing to change stays where it is.
fn recased(text: Cow<'_, str>, changes: fn(u8) -> bool, change: fn(&str) -> String) -> Cow<'_, str> {
    if text.bytes().any(changes) {
        Cow::Owned(change(&text))
    } else {
        text
    }
}

fn basename(text: &str) -> &str {
    text.rsplit_once('/').map_or(text, |(_, name)| name)
}

/// Standard base64, its padding optional.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if padding > 2 || padding > 0 && !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in digits.bytes() {
        bits = (bits << 6 | sextet(byte)?) & 0xfff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// The one text of a reader.
fn text<'a>(reader: &'a Reader, cx: Context<'a>) -> (Presence, Option<Cow<'a, str>>) {
    let mut text = None;
    let presence = reader.each(cx, &mut |datum| text = as_text(datum));
    (presence, text)
}

/// All texts of several readers.
fn texts<'a>(readers: &'a [Reader], cx: Context<'a>) -> (Presence, Vec<Cow<'a, str>>) {
    let mut all = Vec::with_capacity(readers.len());
    let mut presence = Presence::Present;
    for reader in readers {
        presence = worst(presence, reader.each(cx, &mut |datum| all.extend(as_text(datum))));
    }
    (presence, all)
}

/// What Falco's `getopt` answers: letters and values in order, or the last value of one option.
fn options_of(args: &[Cow<'_, str>], options: &str, only: Option<&str>) -> Vec<String> {
    let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
    let mut out = Vec::new();
    getopt::read(&args, &getopt::Options::new(options), |found| {
        match (found, only) {
            (Found::Unknown, None) => out.push("?".to_owned()),
            (Found::Alone(letter), None) => out.push(letter.to_owned()),
            (Found::NoValue(_), None) => out.push(String::new()),
            (Found::Value(letter, value), None) => out.extend([letter.to_owned(), value.to_owned()]),
            (Found::Alone(letter), Some(only)) if letter == only => out = vec![letter.to_owned()],
            (Found::NoValue(letter), Some(only)) if letter == only => out = vec![String::new()],
            (Found::Value(letter, value), Some(only)) if letter == only => out = vec![value.to_owned()],
            (Found::Unknown | Found::Alone(_) | Found::NoValue(_) | Found::Value(..), Some(_)) => {}
        }
    });
    out
}
