//! YAML with the place of every part, and no more of YAML than a policy needs: no tags, no anchors, no aliases.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};

use super::diagnostics::Mistake;

/// The longest file, in bytes.
pub(crate) const MAX_LENGTH: usize = 4 << 20;

/// The deepest nesting.
const MAX_DEPTH: usize = 32;

/// A part of a document and where it stands, in bytes of the file.
#[derive(Debug, Clone)]
pub(crate) struct Yaml {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What a part is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar {
        text: String,
        style: Style,
    },
    List(Vec<Yaml>),
    /// Keys in the order of the file; one may be there twice.
    Map(Vec<(Yaml, Yaml)>),
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: a number, `true` and `null` mean themselves.
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Block,
}

impl Yaml {
    /// The text of a scalar in quotes, of a block, or of one without quotes that is no number, no truth value and not null.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, style } if *style != Style::Plain || is_text(text) => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text of a scalar without quotes.
    pub(crate) fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar {
                text,
                style: Style::Plain,
            } => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.plain()
            .is_some_and(|text| matches!(text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar { .. } if self.is_null() => "nothing",
            Value::Scalar { .. } if self.text().is_some() => "text",
            Value::Scalar { text, .. }
                if matches!(
                    text.as_str(),
                    "true" | "false" | "True" | "False" | "TRUE" | "FALSE"
                ) =>
            {
                "a truth value"
            }
            Value::Scalar { .. } => "a number",
        }
    }

    /// Where in the file a byte of a scalar's text stands.
    ///
    /// Text and file are walked side by side: what the file has more is indentation, quotes, escapes and line ends.
    pub(crate) fn place(&self, file: &str, at: usize) -> usize {
        let Value::Scalar { text, style } = &self.value else {
            return self.span.start;
        };
        let source = file.get(self.span.clone()).unwrap_or_default();
        let mut offset = usize::from(matches!(style, Style::SingleQuoted | Style::DoubleQuoted));
        for c in text
            .get(..at)
            .unwrap_or(text)
            .chars()
            .filter(|c| !c.is_whitespace())
        {
            offset += next(source.get(offset..).unwrap_or_default(), c, *style);
        }
        let rest = source.get(offset..).unwrap_or_default();
        let fold = |c: char| {
            c.is_whitespace() || *style == Style::DoubleQuoted && c == '\\' && rest.contains("\\\n")
        };
        let blanks = rest.len() - rest.trim_start_matches(fold).len();
        let in_blank = text
            .get(at..)
            .is_some_and(|rest| rest.starts_with(char::is_whitespace));
        self.span.start + offset + if in_blank { 0 } else { blanks }
    }
}

/// How far it is to behind the next such character.
fn next(source: &str, want: char, style: Style) -> usize {
    let mut chars = source.char_indices();
    while let Some((at, c)) = chars.next() {
        if style == Style::DoubleQuoted && c == '\\' {
            let Some((at, escaped)) = chars.next() else { break };
            if escaped == want && !escaped.is_alphanumeric() {
                return at + escaped.len_utf8();
            }
        } else if c == want {
            return at + c.len_utf8();
        }
    }
    0
}

fn is_text(plain: &str) -> bool {
    let word = matches!(
        plain,
        "" | "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE"
    );
    !word && plain.parse::<f64>().is_err() && !is_based(plain)
}

fn is_based(plain: &str) -> bool {
    let digits = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0o"));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The documents of a file that say anything.
pub(crate) fn read(file: &str) -> Result<Vec<Yaml>, Mistake> {
    if file.len() > MAX_LENGTH {
        return Err(Mistake::new(
            0..0,
            format!("the file is too long: {} bytes, at most {MAX_LENGTH}", file.len()),
        ));
    }
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for next in Parser::new_from_str(file) {
        let (event, span) = next.map_err(|error| syntax(file, &error))?;
        let span = span.byte_range().unwrap_or(0..0);
        if let Some(done) = step(&mut open, event, span)? {
            documents.push(done);
        }
    }
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

/// A list or map whose end has not come. The last key of a map may wait for its value.
struct Open {
    start: usize,
    items: Vec<Yaml>,
    is_map: bool,
}

fn step(open: &mut Vec<Open>, event: Event<'_>, span: Range<usize>) -> Result<Option<Yaml>, Mistake> {
    let tagged = |span: &Range<usize>| Err(Mistake::new(span.clone(), "a tag means nothing in a policy"));
    let (is_map, anchor) = match event {
        Event::Scalar(_, _, _, Some(_))
        | Event::SequenceStart(_, _, Some(_))
        | Event::MappingStart(_, _, Some(_)) => return tagged(&span),
        Event::Scalar(text, style, 0, None) => {
            let value = Value::Scalar {
                text: text.into_owned(),
                style: self::style(style),
            };
            return Ok(attach(open, Yaml { span, value }));
        }
        Event::SequenceEnd | Event::MappingEnd => return Ok(close(open, span.end)),
        Event::SequenceStart(_, anchor, None) => (false, anchor),
        Event::MappingStart(_, anchor, None) => (true, anchor),
        Event::Alias(_) | Event::Scalar(..) => (false, 1),
        Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd | _ => {
            return Ok(None);
        }
    };
    if anchor != 0 {
        let mistake = Mistake::new(span, "anchors and aliases are not read in a policy");
        return Err(mistake.expected("the text itself, or a list or macro of the policy"));
    }
    if open.len() == MAX_DEPTH {
        return Err(Mistake::new(
            span,
            format!("the document is nested more than {MAX_DEPTH} deep"),
        ));
    }
    open.push(Open {
        start: span.start,
        items: Vec::new(),
        is_map,
    });
    Ok(None)
}

fn style(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

/// Puts a part where it belongs; a whole document is handed back.
fn attach(open: &mut [Open], part: Yaml) -> Option<Yaml> {
    match open.last_mut() {
        Some(parent) => {
            parent.items.push(part);
            None
        }
        None => Some(part),
    }
}

fn close(open: &mut Vec<Open>, end: usize) -> Option<Yaml> {
    let done = open.pop()?;
    let end = done
        .items
        .last()
        .map_or(end, |last| last.span.end.max(done.start));
    let value = if done.is_map {
        Value::Map(pairs(done.items))
    } else {
        Value::List(done.items)
    };
    attach(
        open,
        Yaml {
            span: done.start..end,
            value,
        },
    )
}

fn pairs(items: Vec<Yaml>) -> Vec<(Yaml, Yaml)> {
    let mut items = items.into_iter();
    let mut pairs = Vec::new();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

fn syntax(file: &str, error: &ScanError) -> Mistake {
    let at = error.marker().byte_offset().unwrap_or(file.len()).min(file.len());
    Mistake::new(at..at, format!("not YAML: {}", error.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(file: &str) -> Yaml {
        read(file).unwrap().pop().unwrap()
    }

    #[test]
    fn a_byte_of_a_text_is_found_in_the_file() {
        let files = [
            "a: foo bar",
            "a: |\n  foo\n   bar\n",
            "a: >-\n    foo\n    bar\n",
            "a: 'foo bar'",
            "a: \"foo \\\"x\\\" bar\"",
            "a: \"foo \\\n  bar\"",
            "a: foo\n  bar\n",
            "a: 'it''s é foo bar'",
        ];
        for file in files {
            let Value::Map(pairs) = only(file).value else {
                panic!("{file}")
            };
            let Value::Scalar { text, .. } = &pairs[0].1.value else {
                panic!("{file}")
            };
            let place = pairs[0].1.place(file, text.find("bar").unwrap());
            assert_eq!(place, file.find("bar").unwrap(), "{file:?}");
        }
    }

    #[test]
    fn what_a_policy_does_not_need_is_refused() {
        for (file, why) in [
            ("a: &x 1\nb: *x", "anchors"),
            ("a: !!str 1", "tag"),
            ("a: [", "not YAML"),
            ("a: \"x", "not YAML"),
        ] {
            assert!(read(file).unwrap_err().message.contains(why), "{file}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(&deep).is_err());
        let deep = "- ".repeat(100) + "x";
        assert!(read(&deep).unwrap_err().message.contains("deep"));
    }

    #[test]
    fn numbers_and_words_are_no_text() {
        for (file, name) in [
            ("1", "a number"),
            ("0x1f", "a number"),
            ("true", "a truth value"),
            ("a", "text"),
            ("'1'", "text"),
            ("{}", "a map"),
            ("[]", "a list"),
        ] {
            assert_eq!(only(file).name(), name, "{file}");
        }
        assert!(read("").unwrap().is_empty());
        assert!(read("# nothing\n---\n---\n").unwrap().is_empty());
    }
}
