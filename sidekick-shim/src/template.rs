//! Falcosidekick's templated fields: of Go's text/template as much as a field needs, `index`, `or` and `.name`.

use falco_event::{Fields, Value};

/// The longest template in bytes.
const MAX_BYTES: usize = 4096;

/// How deep parentheses nest.
const MAX_DEPTH: usize = 8;

/// What is taken, for messages.
const EXPECTED: &str = "text and actions such as {{ index . \"k8s.ns.name\" }}, \
                        {{ or (index . \"a.b\") .name \"text\" }}; no other function of Go's templates is read";

/// A text with values of an alert's output fields in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Expression),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Field(String),
    Text(String),
    /// The first that says something, else the last.
    Or(Vec<Self>),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| EXPECTED.to_owned())
    }

    /// The text for an alert; `more` are fields that it will have, over its own.
    pub(crate) fn render(&self, fields: &Fields, more: &[(String, String)]) -> String {
        let of = |name: &str| {
            let set = more.iter().find(|(field, _)| field == name);
            set.map(|(_, value)| Value::String(value))
                .or_else(|| fields.raw(name))
        };
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Value(expression) => show(expression.value(&of), &mut text),
            }
        }
        text
    }
}

impl Expression {
    fn value<'a>(&'a self, of: &dyn Fn(&str) -> Option<Value<'a>>) -> Option<Value<'a>> {
        match self {
            Self::Field(name) => of(name),
            Self::Text(text) => Some(Value::String(text)),
            Self::Or(all) => {
                let first = all.iter().map(|one| one.value(of)).find(says_something);
                first.unwrap_or_else(|| all.last().and_then(|last| last.value(of)))
            }
        }
    }
}

/// As Go has it; numbers are text to falcosidekick, so 0 says something.
fn says_something(value: &Option<Value<'_>>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false) | Value::String("")) => false,
        Some(Value::List(list)) => !list.is_empty(),
        Some(Value::Object(json)) => json.trim_matches(['{', '}']).trim() != "",
        Some(Value::Bool(true) | Value::Number(_) | Value::String(_)) => true,
    }
}

/// As Go prints it, `<no value>` for what is not there too: receivers may look for it.
fn show(value: Option<Value<'_>>, text: &mut String) {
    match value {
        None | Some(Value::Null) => text.push_str("<no value>"),
        Some(Value::Bool(truth)) => text.push_str(if truth { "true" } else { "false" }),
        Some(Value::Number(number)) => text.push_str(number.as_str()),
        Some(Value::String(string)) => text.push_str(string),
        Some(Value::Object(json)) => text.push_str(json),
        Some(Value::List(list)) => {
            text.push('[');
            for (item, number) in list.iter().zip(0..) {
                if number > 0 {
                    text.push(' ');
                }
                if item == Value::Null {
                    text.push_str("<nil>");
                } else {
                    show(Some(item), text);
                }
            }
            text.push(']');
        }
    }
}

fn parse(text: &str) -> Option<Template> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once("{{") {
        let (action, after) = action(after)?;
        let trimmed = action.strip_prefix("- ");
        let plain = if trimmed.is_some() {
            plain.trim_end()
        } else {
            plain
        };
        let action = trimmed.unwrap_or(action);
        let trimmed = action.strip_suffix(" -");
        rest = if trimmed.is_some() {
            after.trim_start()
        } else {
            after
        };
        parts.push(Part::Text(plain.to_owned()));
        parts.push(Part::Value(expression(trimmed.unwrap_or(action))?));
    }
    parts.push(Part::Text(rest.to_owned()));
    parts.retain(|part| *part != Part::Text(String::new()));
    Some(Template(parts))
}

/// What stands before the `}}` that is in no string, and what behind it.
fn action(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) => {
                if c == open && !escaped {
                    quote = None;
                }
                escaped = open == '"' && c == '\\' && !escaped;
            }
            None if matches!(c, '"' | '`') => quote = Some(c),
            None if text.get(at..)?.starts_with("}}") => return Some((text.get(..at)?, text.get(at + 2..)?)),
            None => {}
        }
    }
    None
}

#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
}

fn expression(action: &str) -> Option<Expression> {
    let tokens = tokens(action)?;
    let mut tokens = tokens.into_iter().peekable();
    let whole = call(&mut tokens, MAX_DEPTH)?;
    tokens.next().is_none().then_some(whole)
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

fn call(tokens: &mut Tokens, depth: usize) -> Option<Expression> {
    let word = |token: &Token, word: &str| matches!(token, Token::Word(text) if text == word);
    match tokens.peek()? {
        token if word(token, "index") => {
            tokens.next();
            match (tokens.next()?, tokens.next()?) {
                (dot, Token::Text(name)) if word(&dot, ".") => Some(Expression::Field(name)),
                _ => None,
            }
        }
        token if word(token, "or") => {
            tokens.next();
            let mut all = Vec::new();
            while tokens.peek().is_some_and(|token| *token != Token::Close) {
                all.push(operand(tokens, depth)?);
            }
            (!all.is_empty()).then_some(Expression::Or(all))
        }
        _ => operand(tokens, depth),
    }
}

fn operand(tokens: &mut Tokens, depth: usize) -> Option<Expression> {
    match tokens.next()? {
        Token::Open => {
            let inside = call(tokens, depth.checked_sub(1)?)?;
            (tokens.next()? == Token::Close).then_some(inside)
        }
        Token::Text(text) => Some(Expression::Text(text)),
        Token::Word(word) => {
            let name = word.strip_prefix('.')?;
            let letter = |c: char| c.is_alphanumeric() || c == '_';
            let is_name = name.chars().all(letter) && !name.starts_with(|c: char| c.is_numeric());
            (is_name && !name.is_empty()).then(|| Expression::Field(name.to_owned()))
        }
        Token::Close => None,
    }
}

fn tokens(action: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' => {
                tokens.push(Token::Open);
                1
            }
            ')' => {
                tokens.push(Token::Close);
                1
            }
            '`' => {
                let (inside, _) = rest.get(1..)?.split_once('`')?;
                tokens.push(Token::Text(inside.to_owned()));
                inside.len() + 2
            }
            '"' => {
                // Go's escapes beyond JSON's are not read.
                let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                tokens.push(Token::Text(strings.next()?.ok()?));
                strings.byte_offset()
            }
            _ => {
                let word = rest.split([' ', '\t', '\n', '\r', '(', ')', '"', '`']).next()?;
                tokens.push(Token::Word(word.to_owned()));
                word.len()
            }
        };
        rest = rest.get(length..)?.trim_start();
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use falco_event::Alert;

    use super::*;

    fn render(template: &str) -> String {
        let alert = br#"{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":
            {"k8s.ns.name":"shop","n":18446744073709551616,"null":null,"empty":"","no":false,"list":["a",1,null],"o":{}}}"#;
        let alert = Alert::from_slice(alert).unwrap();
        let more = [
            ("custom".to_owned(), "c".to_owned()),
            ("n2".to_owned(), String::new()),
        ];
        Template::parse(template).unwrap().render(alert.fields(), &more)
    }

    #[test]
    fn values_are_shown_as_go_shows_them() {
        let cases = [
            ("plain", "plain"),
            ("", ""),
            (r#"{{ index . "k8s.ns.name" }}"#, "shop"),
            (
                r#"a {{index . `k8s.ns.name`}} b {{.n}}"#,
                "a shop b 18446744073709551616",
            ),
            ("a {{- .n -}} b", "a18446744073709551616b"),
            (
                "{{ .absent }}/{{ .null }}/{{ .empty }}/{{ .no }}",
                "<no value>/<no value>//false",
            ),
            ("{{ .list }} {{ .o }}", "[a 1 <nil>] {}"),
            (r#"{{ or (index . "absent") .null .empty .no .o "x" }}"#, "x"),
            (r#"{{ or .n "x" }}"#, "18446744073709551616"),
            ("{{ or .null .absent }}", "<no value>"),
            (r#"{{ or (or .null .custom) "x" }}"#, "c"),
            (r#"{{ "}}" }}{{ "a\"b" }}"#, "}}a\"b"),
            ("{{ .custom }}{{ .n2 }}", "c"),
        ];
        for (template, text) in cases {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn what_is_more_than_that_is_a_mistake() {
        let more = [
            "{{",
            "{{ }}",
            "{{ . }}",
            "{{ .a.b }}",
            "{{ .1 }}",
            "{{ index . }}",
            "{{ index . .a }}",
            "{{ index .a \"b\" }}",
            "{{ or }}",
            "{{ .a | printf }}",
            "{{ printf \"%s\" .a }}",
            "{{ if .a }}x{{ end }}",
            "{{ (.a }}",
            "{{ .a) }}",
            "{{ .a .b }}",
            "{{ \"a }}",
            "{{ $x }}",
        ];
        for template in more {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        let deep = format!("{{{{ {}.a{} }}}}", "(".repeat(100), ")".repeat(100));
        assert!(Template::parse(&deep).is_err());
        assert!(Template::parse(&"a".repeat(MAX_BYTES + 1)).is_err());
    }
}
