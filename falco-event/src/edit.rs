//! Changes to an alert's output fields and tags that leave all the rest of its text as it was.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::alert::Alert;
use crate::json::{ALERT_LEVELS, Scanner, Str, Syntax, unescape};

/// What to change in the text of an alert: its `output_fields` and its `tags`, and nothing else.
///
/// ```
/// use falco_event::{Alert, Edit};
/// let alert = Alert::from_slice(
///     br#"{"rule":"r", "priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{"n":1.10},"tags":["a"]}"#,
/// )?;
/// let edit = Edit::default().field("cluster", "prod").tag("a").tag("b");
/// assert_eq!(
///     alert.edited(&edit).as_bytes(),
///     br#"{"rule":"r", "priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{"n":1.10,"cluster":"prod"},"tags":["a","b"]}"#,
/// );
/// # Ok::<(), falco_event::ReadError>(())
/// ```
#[derive(Default)]
pub struct Edit<'a> {
    fields: Vec<(&'a str, String)>,
    tags: Vec<&'a str>,
    rename: Option<Rename<'a>>,
}

type Rename<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("fields", &self.fields)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

impl<'a> Edit<'a> {
    /// Also sets an output field to a text, over what it had.
    #[must_use]
    pub fn field(mut self, name: &'a str, text: impl Into<String>) -> Self {
        self.fields.push((name, text.into()));
        self
    }

    /// Also adds a tag at the end, unless it is there.
    #[must_use]
    pub fn tag(mut self, tag: &'a str) -> Self {
        self.tags.push(tag);
        self
    }

    /// Gives every output field, those set here too, another name where `rename` has one. Of two that come to one name
    /// the later counts.
    #[must_use]
    pub fn rename(mut self, rename: impl Fn(&str) -> Option<String> + 'a) -> Self {
        self.rename = Some(Box::new(rename));
        self
    }
}

impl Alert {
    /// This alert with its output fields and tags changed. The values of other fields, and everything outside of both
    /// members, stay byte for byte; the same edit of the same bytes is the same bytes.
    #[must_use]
    pub fn edited(&self, edit: &Edit<'_>) -> Self {
        // What was read once is JSON, and stays it.
        edited(self.as_bytes(), edit)
            .ok()
            .and_then(|bytes| Self::from_slice(&bytes).ok())
            .unwrap_or_else(|| self.clone())
    }
}

/// Where the two members stand, and where another could be added.
#[derive(Default)]
struct Found {
    fields: Option<Range<usize>>,
    tags: Option<Range<usize>>,
    end: usize,
}

impl Found {
    fn read(bytes: &[u8]) -> Result<Self, Syntax> {
        let mut found = Self::default();
        let mut scan = Scanner::new(bytes, ALERT_LEVELS);
        scan.object(|scan, key| {
            let name = text(scan, &key).to_ascii_lowercase();
            let value = scan.skip()?;
            match name.as_str() {
                "output_fields" => found.fields = Some(value),
                "tags" => found.tags = Some(value),
                _ => {}
            }
            Ok::<(), Syntax>(())
        })?;
        found.end = scan.at().saturating_sub(1);
        Ok(found)
    }
}

fn edited(bytes: &[u8], edit: &Edit<'_>) -> Result<Vec<u8>, Syntax> {
    let found = Found::read(bytes)?;
    let value = |range: &Option<Range<usize>>| {
        range
            .clone()
            .and_then(|range| bytes.get(range))
            .unwrap_or(b"null")
    };
    let mut changes = Vec::new();
    if !edit.fields.is_empty() || edit.rename.is_some() {
        changes.push((
            &found.fields,
            "output_fields",
            fields(value(&found.fields), edit)?,
        ));
    }
    if !edit.tags.is_empty() {
        changes.push((&found.tags, "tags", tags(value(&found.tags), &edit.tags)?));
    }
    changes.sort_by_key(|(range, _, _)| range.as_ref().map_or(found.end, |range| range.start));
    let (mut whole, mut at) = (Vec::with_capacity(bytes.len() + 256), 0);
    for (range, name, new) in changes {
        let range = match range {
            Some(range) => range.clone(),
            None => found.end..found.end,
        };
        whole.extend_from_slice(bytes.get(at..range.start).unwrap_or_default());
        if range.is_empty() {
            whole.extend_from_slice(format!(",\"{name}\":").as_bytes());
        }
        whole.extend_from_slice(&new);
        at = range.end;
    }
    whole.extend_from_slice(bytes.get(at..).unwrap_or_default());
    Ok(whole)
}

/// The members of an object: names and values as JSON text, each name once.
#[derive(Default)]
struct Members<'a> {
    places: HashMap<String, usize>,
    list: Vec<(Vec<u8>, Cow<'a, [u8]>)>,
}

impl<'a> Members<'a> {
    fn set(&mut self, name: String, written: Option<&[u8]>, value: Cow<'a, [u8]>) {
        let written = written.map_or_else(|| json(&name), <[u8]>::to_vec);
        match self.places.get(&name).and_then(|place| self.list.get_mut(*place)) {
            Some(member) => member.1 = value,
            None => {
                self.places.insert(name, self.list.len());
                self.list.push((written, value));
            }
        }
    }
}

fn fields(object: &[u8], edit: &Edit<'_>) -> Result<Vec<u8>, Syntax> {
    let mut members = Members::default();
    let renamed = |name: &str| edit.rename.as_ref().and_then(|rename| rename(name));
    let mut scan = Scanner::new(object, ALERT_LEVELS);
    if scan.token() == Some(b'{') {
        scan.object(|scan, key| {
            let name = text(scan, &key);
            let written = scan.slice(key.inside.start.saturating_sub(1)..key.inside.end + 1);
            let range = scan.skip()?;
            let value = scan.slice(range).into();
            match renamed(&name) {
                Some(other) => members.set(other, None, value),
                None => members.set(name, Some(written), value),
            }
            Ok::<(), Syntax>(())
        })?;
    }
    for (name, value) in &edit.fields {
        let name = renamed(name).unwrap_or_else(|| (*name).to_owned());
        members.set(name, None, json(value).into());
    }
    let members = members
        .list
        .iter()
        .map(|(name, value)| [name, &b":"[..], value].concat());
    let members: Vec<_> = members.collect();
    Ok([&b"{"[..], &members.join(&b','), b"}"].concat())
}

fn tags(array: &[u8], more: &[&str]) -> Result<Vec<u8>, Syntax> {
    let mut there: Vec<String> = Vec::new();
    let mut scan = Scanner::new(array, ALERT_LEVELS);
    let is_array = scan.token() == Some(b'[');
    if is_array {
        scan.array(|scan| {
            let tag = scan.string("a tag")?;
            there.push(text(scan, &tag));
            Ok::<(), Syntax>(())
        })?;
    }
    let mut whole = if is_array { array.to_vec() } else { b"[]".to_vec() };
    whole.pop();
    for tag in more {
        if !there.iter().any(|other| other == tag) {
            if !there.is_empty() {
                whole.push(b',');
            }
            whole.extend_from_slice(&json(tag));
            there.push((*tag).to_owned());
        }
    }
    whole.push(b']');
    Ok(whole)
}

fn text(scan: &Scanner<'_>, string: &Str) -> String {
    let mut text = String::new();
    unescape(scan.slice(string.inside.clone()), &mut text);
    text
}

fn json(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"rule":"r","priority":"Notice" , "time":"2026-01-01T00:00:00Z""#;

    /// What comes of these members, behind those that every alert has.
    fn edit(members: &str, edit: &Edit<'_>) -> String {
        let alert = Alert::from_slice(format!("{HEAD}{members}}}").as_bytes()).unwrap();
        let edited = String::from_utf8(alert.edited(edit).as_bytes().to_vec()).unwrap();
        edited.strip_prefix(HEAD).unwrap().to_owned()
    }

    #[test]
    fn an_edit_of_nothing_is_the_same_bytes() {
        let members = r#" ,"output_fields" : { "a": 1.10 } , "tags" :[ ]"#;
        assert_eq!(edit(members, &Edit::default()), format!("{members}}}"));
    }

    #[test]
    fn fields_are_set_over_what_is_there_and_the_rest_keeps_its_digits() {
        let set = Edit::default().field("b", "x\"y").field("k8s.ns.name", "shop");
        let cases = [
            (
                r#","output_fields":{"evt.time":1743606903434319636, "b":2,"c":1e400},"x":1"#,
                r#","output_fields":{"evt.time":1743606903434319636,"b":"x\"y","c":1e400,"k8s.ns.name":"shop"},"x":1}"#,
            ),
            (
                r#","output_fields":null"#,
                r#","output_fields":{"b":"x\"y","k8s.ns.name":"shop"}}"#,
            ),
            ("", r#","output_fields":{"b":"x\"y","k8s.ns.name":"shop"}}"#),
            (
                r#","OUTPUT_FIELDS":{"\u0062":1}"#,
                r#","OUTPUT_FIELDS":{"\u0062":"x\"y","k8s.ns.name":"shop"}}"#,
            ),
            (
                r#","output_fields":{"z":1},"output_fields":{}"#,
                r#","output_fields":{"z":1},"output_fields":{"b":"x\"y","k8s.ns.name":"shop"}}"#,
            ),
        ];
        for (members, expected) in cases {
            assert_eq!(edit(members, &set), expected, "{members}");
        }
    }

    #[test]
    fn tags_are_added_once() {
        let add = Edit::default().tag("a").tag("b").tag("b");
        let cases = [
            (
                r#","tags":["x", "a"],"y":{}"#,
                r#","tags":["x", "a","b"],"y":{}}"#,
            ),
            (r#","tags":[]"#, r#","tags":["a","b"]}"#),
            (r#","tags":null"#, r#","tags":["a","b"]}"#),
            ("", r#","tags":["a","b"]}"#),
        ];
        for (members, expected) in cases {
            assert_eq!(edit(members, &add), expected, "{members}");
        }
    }

    #[test]
    fn fields_get_other_names_and_of_two_of_one_name_the_later_counts() {
        let rename = Edit::default()
            .field("c[0]", "z")
            .rename(|name| name.contains('[').then(|| name.replace(['[', ']'], "_")));
        let members = r#","tags":[],"output_fields":{"a[2]":[1],"a_2_":2,"b":{}}"#;
        let expected = r#","tags":[],"output_fields":{"a_2_":2,"b":{},"c_0_":"z"}}"#;
        assert_eq!(edit(members, &rename), expected);
    }

    #[test]
    fn both_members_change_in_whichever_order_they_stand() {
        let both = Edit::default().tag("t").field("f", "v");
        for (members, expected) in [
            (
                r#","tags":[],"output_fields":{}"#,
                r#","tags":["t"],"output_fields":{"f":"v"}}"#,
            ),
            (
                r#","output_fields":{},"tags":[]"#,
                r#","output_fields":{"f":"v"},"tags":["t"]}"#,
            ),
            (r#","tags":[]"#, r#","tags":["t"],"output_fields":{"f":"v"}}"#),
            ("", r#","output_fields":{"f":"v"},"tags":["t"]}"#),
        ] {
            assert_eq!(edit(members, &both), expected, "{members}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_stay() {
        let text = b"{\"rule\":\"r\xff\",\"priority\":\"Notice\",\"time\":\"2026-01-01T00:00:00Z\",\"output_fields\":{\"a\xfe\":\"\xfd\",\"h\":\"\\ud800\"}}";
        let alert = Alert::from_slice(text).unwrap();
        let edited = alert.edited(&Edit::default().field("b", "c"));
        let expected = [&text[..text.len() - 2], b",\"b\":\"c\"}}"].concat();
        assert_eq!(edited.as_bytes(), expected);
    }
}
