//! Says in words what the parser expected.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of the grammar's rules have no name of their own in a message"
)]

use pest::error::{Error, ErrorVariant, InputLocation};

use super::nearest::nearest;
use super::parse::Rule;
use super::problem::{Problem, Shown};
use super::tree::Op;

pub(crate) fn explain(text: &str, error: &Error<Rule>) -> Problem {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let found = word_at(text, at);
    let rules = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => &[],
    };
    let message = match found {
        "" if rules.contains(&Rule::close) => "the condition ends too early: a `(` is not closed".to_owned(),
        "" => "the condition ends too early".to_owned(),
        "\"" | "'" if is_open_quote(text, at) => "this quote is not closed".to_owned(),
        found => format!("unexpected {}", Shown(found)),
    };
    let expected = expected(rules);
    let problem = Problem::new(at..at + found.len(), message).nearest(guess(found, rules));
    if expected.is_empty() {
        problem
    } else {
        problem.expected(expected)
    }
}

/// Whether a quote has no end behind it; one that follows a backslash is none.
fn is_open_quote(text: &str, at: usize) -> bool {
    let quoted = text.get(at..).unwrap_or_default().as_bytes();
    let ends = |pair: &[u8]| matches!(pair, [before, end] if Some(end) == quoted.first() && *before != b'\\');
    !quoted.windows(2).any(ends)
}

/// The word at a place, or the one character that stands there.
fn word_at(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_sign = |c: char| matches!(c, '=' | '!' | '<' | '>' | '&' | '|');
    for belongs in [&is_word as &dyn Fn(char) -> bool, &is_sign] {
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        if end > 0 {
            return rest.get(..end).unwrap_or_default();
        }
    }
    let end = rest.chars().next().map_or(0, char::len_utf8);
    rest.get(..end).unwrap_or_default()
}

/// In the order of the table, each once.
fn expected(rules: &[Rule]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for rule in rules {
        let word = name(*rule);
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    match words.split_last() {
        Some((&"`(`", [])) => "a blank, or `(`".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// What a rule is called in a message; nothing for what always stands beside a better word.
fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::or => "`or`",
        Rule::and => "`and`",
        Rule::EOI => "the end",
        Rule::close => "`)`",
        Rule::end_arg => "`]`",
        Rule::exists => "`exists`",
        Rule::order_op
        | Rule::equal_op
        | Rule::word_op
        | Rule::list_op
        | Rule::ordering
        | Rule::modified
        | Rule::comparison
        | Rule::membership => "an operator",
        Rule::or_expr | Rule::and_expr | Rule::not_expr | Rule::test | Rule::priority_test => "a condition",
        Rule::comma => "`,`",
        Rule::quoted | Rule::bare => "a value",
        Rule::hex | Rule::number => "a number",
        Rule::list | Rule::list_name | Rule::any_name => "a list",
        Rule::val => "`val(…)`",
        Rule::transformer | Rule::tname => "a transformer",
        Rule::field | Rule::field_name => "a field",
        Rule::macro_name => "a macro",
        Rule::group => "`(`",
        Rule::priority => "a priority",
        Rule::arg_bare => "an argument",
        Rule::tlist => "a list of values",
        _ => "",
    }
}

/// What was probably meant by a word that stands where an operator or a joining word should.
fn guess(found: &str, rules: &[Rule]) -> Option<&'static str> {
    match found {
        "&&" | "&" => return Some("and"),
        "||" | "|" => return Some("or"),
        "!" => return Some("not"),
        "===" | "=~" => return Some(if found == "===" { "=" } else { "regex" }),
        _ => {}
    }
    let operator = rules
        .contains(&Rule::exists)
        .then(|| Op::ALL.iter().map(|op| op.as_str()).chain(["exists"]));
    let joint = rules.contains(&Rule::and).then_some(["and", "or"]);
    nearest(
        found,
        operator.into_iter().flatten().chain(joint.into_iter().flatten()),
    )
}
