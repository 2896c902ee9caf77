//! The configuration file: YAML with the place of every part. No tags, anchors and aliases: a setting says itself.

use granit_parser::{Event, Marker, Parser, ScalarStyle};

/// The longest file in bytes: a configuration has a few KiB.
const MAX_BYTES: usize = 1 << 20;

/// The deepest nesting.
const MAX_DEPTH: usize = 16;

/// Where something stands; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// The text of a scalar as it is written: `1.10` stays `1.10`.
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; a key may be there twice.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

/// What is not read, where, and why.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) why: String,
}

impl From<&Marker> for Place {
    fn from(marker: &Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

fn fault<T>(place: Place, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        place,
        why: why.into(),
    })
}

/// The one document of a file; an empty file is `Null`.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let start = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return fault(start, format!("the file is longer than {MAX_BYTES} bytes"));
    }
    let mut whole: Option<Node> = None;
    let mut open: Vec<Open> = Vec::new();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| Fault {
            place: error.marker().into(),
            why: format!("not YAML: {}", error.info()),
        })?;
        let Some(node) = step(&mut open, event, (&span.start).into())? else {
            continue;
        };
        if whole.is_some() {
            return fault(node.place, "a second document: one is read");
        }
        whole = Some(node);
    }
    Ok(whole.unwrap_or(Node {
        place: start,
        value: Value::Null,
    }))
}

/// A list or map whose end has not come: its parts, in a map keys and values by turns.
struct Open {
    place: Place,
    parts: Vec<Node>,
    is_map: bool,
}

/// Takes one step; a whole document is handed back.
fn step(open: &mut Vec<Open>, event: Event<'_>, place: Place) -> Result<Option<Node>, Fault> {
    let is_map = match event {
        Event::Scalar(_, _, _, Some(_))
        | Event::SequenceStart(_, _, Some(_))
        | Event::MappingStart(_, _, Some(_)) => return fault(place, "a tag means nothing here"),
        Event::Scalar(text, style, 0, None) => {
            let value = if style == ScalarStyle::Plain && is_null(&text) {
                Value::Null
            } else {
                Value::Text(text.into_owned())
            };
            return attach(open, Node { place, value });
        }
        Event::SequenceEnd | Event::MappingEnd => return close(open),
        Event::SequenceStart(_, 0, None) => false,
        Event::MappingStart(_, 0, None) => true,
        Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
            return fault(place, "anchors and aliases are not read here");
        }
        Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd | _ => {
            return Ok(None);
        }
    };
    if open.len() == MAX_DEPTH {
        return fault(place, format!("nested more than {MAX_DEPTH} deep"));
    }
    open.push(Open {
        place,
        parts: Vec::new(),
        is_map,
    });
    Ok(None)
}

fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

fn attach(open: &mut [Open], node: Node) -> Result<Option<Node>, Fault> {
    match open.last_mut() {
        Some(parent) => {
            parent.parts.push(node);
            Ok(None)
        }
        None => Ok(Some(node)),
    }
}

fn close(open: &mut Vec<Open>) -> Result<Option<Node>, Fault> {
    let Some(Open { place, parts, is_map }) = open.pop() else {
        return Ok(None);
    };
    let value = if is_map {
        Value::Map(pairs(parts)?)
    } else {
        Value::List(parts)
    };
    attach(open, Node { place, value })
}

fn pairs(parts: Vec<Node>) -> Result<Vec<(Key, Node)>, Fault> {
    let mut parts = parts.into_iter();
    let mut pairs = Vec::new();
    while let (Some(Node { place, value }), Some(node)) = (parts.next(), parts.next()) {
        let Value::Text(name) = value else {
            return fault(place, "a key is text");
        };
        pairs.push((Key { place, name }, node));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> (usize, usize, String) {
        let Fault { place, why } = read(text).unwrap_err();
        (place.line, place.column, why)
    }

    #[test]
    fn every_part_has_its_place_and_its_text() {
        let Value::Map(pairs) = read("a: 1.10\nb:\n  - 'x'\n  - ~\n").unwrap().value else {
            panic!()
        };
        let [(a, one), (b, list)] = &pairs[..] else {
            panic!()
        };
        assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
        assert_eq!((b.place.line, b.place.column), (2, 1));
        assert_eq!((one.place.line, one.place.column), (1, 4));
        assert!(matches!(&one.value, Value::Text(text) if text == "1.10"));
        let Value::List(items) = &list.value else { panic!() };
        assert_eq!((items[0].place.line, items[0].place.column), (3, 5));
        assert!(matches!(items[1].value, Value::Null));
        assert!(matches!(read("").unwrap().value, Value::Null));
    }

    #[test]
    fn what_is_not_read_is_said_with_its_place() {
        assert_eq!(why("a: [1\nb: 2").0, 2);
        assert_eq!(
            why("a: 1\n---\nb: 2"),
            (3, 1, "a second document: one is read".to_owned())
        );
        assert_eq!(why("a: !!str 1").2, "a tag means nothing here");
        assert_eq!(why("a: &x 1").2, "anchors and aliases are not read here");
        assert_eq!(why("[1]: 2").2, "a key is text");
        assert_eq!(
            why(&["[".repeat(100), "]".repeat(100)].concat()).2,
            "nested more than 16 deep"
        );
        assert_eq!(
            why(&"a".repeat(MAX_BYTES + 1)).2,
            "the file is longer than 1048576 bytes"
        );
    }
}
