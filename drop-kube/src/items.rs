//! The objects of a list, one by one as its bytes come: pods of a page are some 10 KiB each, and a page is never held.

use std::fmt;
use std::mem::take;

/// Bytes of one object, or of a list beside its objects, that are held: etcd takes some 1.5 MiB.
const LONGEST: usize = 8 << 20;

/// Cuts a list into its objects.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// The list without its objects.
    rest: Vec<u8>,
    /// What has come of an object that is not whole yet.
    item: Vec<u8>,
    /// Braces and brackets that are open.
    depth: usize,
    text: Text,
    /// The array of objects is open.
    is_within: bool,
}

/// Whether the next byte belongs to a string.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

/// What a byte is.
enum Step {
    /// Part of what is open.
    Part,
    /// It opens an array that is a member of the list itself.
    Array,
    /// The first of an object.
    First,
    /// The last of an object.
    Last,
    /// The end of the array of objects.
    End,
    Odd,
}

/// Why a list cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Odd(pub(crate) String);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Error> for Odd {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// Takes an object's JSON.
type Each<'a> = dyn FnMut(&[u8]) -> Result<(), Odd> + Send + 'a;

impl Items {
    /// Takes the next bytes, and hands over each object that is whole with them.
    pub(crate) fn feed(&mut self, data: &[u8], each: &mut Each<'_>) -> Result<(), Odd> {
        let mut from = 0;
        for (at, byte) in data.iter().enumerate() {
            match self.step(*byte) {
                Step::Part => {}
                Step::Array => {
                    self.rest.extend_from_slice(part(data, from, at + 1));
                    self.is_within = names_items(&self.rest);
                    from = at + 1;
                }
                // Between objects there is nothing that is worth keeping.
                Step::First | Step::End => from = at,
                Step::Last => {
                    self.whole(part(data, from, at + 1), each)?;
                    from = at + 1;
                }
                Step::Odd => return Err(Odd("its items are no objects".to_owned())),
            }
        }
        self.hold(part(data, from, data.len()))
    }

    /// The list without its objects, once every byte has been taken.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.rest
    }

    fn step(&mut self, byte: u8) -> Step {
        self.text = match (self.text, byte) {
            (Text::Inside, b'\\') => Text::Escaped,
            (Text::Inside, b'"') => Text::Outside,
            (Text::Inside | Text::Escaped, _) => Text::Inside,
            (Text::Outside, b'"') if !self.is_between() => Text::Inside,
            (Text::Outside, _) => return self.structure(byte),
        };
        Step::Part
    }

    fn structure(&mut self, byte: u8) -> Step {
        let is_between = self.is_between();
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        match byte {
            b'{' if is_between => Step::First,
            b']' if is_between => {
                self.is_within = false;
                Step::End
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' if is_between => Step::Part,
            _ if is_between => Step::Odd,
            b'}' if self.is_between() => Step::Last,
            b'[' if self.depth == 2 => Step::Array,
            _ => Step::Part,
        }
    }

    /// In the array of objects, and in none of them.
    fn is_between(&self) -> bool {
        self.is_within && self.depth == 2
    }

    fn whole(&mut self, end: &[u8], each: &mut Each<'_>) -> Result<(), Odd> {
        if self.item.is_empty() {
            return each(end);
        }
        self.item.extend_from_slice(end);
        let mut item = take(&mut self.item);
        each(&item)?;
        item.clear();
        self.item = item;
        Ok(())
    }

    fn hold(&mut self, data: &[u8]) -> Result<(), Odd> {
        if self.is_between() {
            return Ok(());
        }
        let into = if self.is_within {
            &mut self.item
        } else {
            &mut self.rest
        };
        into.extend_from_slice(data);
        if into.len() > LONGEST {
            return Err(Odd("it is too long".to_owned()));
        }
        Ok(())
    }
}

fn part(data: &[u8], from: usize, to: usize) -> &[u8] {
    data.get(from..to).unwrap_or_default()
}

/// Whether the array that opens with the last byte is the list's `items`.
fn names_items(list: &[u8]) -> bool {
    let key = list.strip_suffix(b"[").map(<[u8]>::trim_ascii_end);
    let key = key.and_then(|list| list.strip_suffix(b":"));
    key.is_some_and(|list| list.trim_ascii_end().ends_with(b"\"items\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The objects, and the list without them, of bytes that come so many at a time.
    fn cut(list: &str, step: usize) -> Result<(Vec<String>, String), Odd> {
        let (mut items, mut all) = (Items::default(), Vec::new());
        for data in list.as_bytes().chunks(step) {
            items.feed(data, &mut |item| {
                all.push(String::from_utf8(item.to_vec()).unwrap());
                Ok(())
            })?;
        }
        Ok((all, String::from_utf8(items.rest()).unwrap()))
    }

    #[test]
    fn a_list_is_cut_into_its_objects_however_its_bytes_come() {
        let (one, two) = (r#"{"a":[{"b":"]}\"\\"}],"items":[1]}"#, r#"{"c":{}}"#);
        let list = format!(
            r#"{{"metadata":{{"x":[1,"items"]}},"items" : [ {one},
            {two}] ,"after":["z"]}}"#
        );
        let rest = r#"{"metadata":{"x":[1,"items"]},"items" : [] ,"after":["z"]}"#;
        for step in 1..=list.len() {
            let (items, left) = cut(&list, step).unwrap();
            assert_eq!(
                (items, left.as_str()),
                (vec![one.to_owned(), two.to_owned()], rest),
                "{step}"
            );
        }
    }

    #[test]
    fn a_list_without_objects_is_left_as_it_is() {
        for list in [
            r#"{"items":[]}"#,
            r#"{"items":null}"#,
            r#"{"status":"Failure"}"#,
            "[]",
            "",
            "]}]",
        ] {
            assert_eq!(cut(list, 1), Ok((vec![], list.to_owned())));
        }
    }

    #[test]
    fn items_that_are_no_objects_are_refused() {
        for list in [
            r#"{"items":[1]}"#,
            r#"{"items":["a"]}"#,
            r#"{"items":[[]]}"#,
            r#"{"items":[}"#,
        ] {
            assert_eq!(
                cut(list, 3),
                Err(Odd("its items are no objects".into())),
                "{list}"
            );
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = "x".repeat(LONGEST * 2);
        let object = format!(r#"{{"items":[{{"a":"{long}"}}]}}"#);
        let beside = format!(r#"{{"a":"{long}"}}"#);
        for list in [object, beside] {
            let refused = cut(&list, 1 << 20).map(|_| "taken");
            assert_eq!(refused, Err(Odd("it is too long".into())));
        }
    }

    #[test]
    fn what_an_object_is_refused_for_ends_it() {
        let refused = Items::default().feed(br#"{"items":[{},{}]}"#, &mut |_| Err(Odd("no".into())));
        assert_eq!(refused, Err(Odd("no".into())));
    }
}
