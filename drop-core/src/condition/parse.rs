//! From text to the syntax tree.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the grammar has some fifty rules and every match here means one or two"
)]

use pest::Parser as _;
use pest::iterators::Pair;

use super::problem::Problem;
use super::quote::unquote;
use super::tree::{
    At, Call, CallArg, Check, Expr, Field, Function, Literal, Modifier, Node, Op, Operand, Right, Test,
};

mod generated {
    #[derive(pest_derive::Parser)]
    #[grammar = "condition/grammar.pest"]
    pub(crate) struct Grammar;
}
pub(crate) use generated::{Grammar, Rule};

/// The longest text of a condition, in bytes. Falco's longest rule has some 6,000.
pub const MAX_LENGTH: usize = 65_536;

/// The deepest nesting of parentheses in a text, as in Falco's parser.
pub const MAX_DEPTH: usize = 100;

type Pair_<'a> = Pair<'a, Rule>;

/// Reads a condition. Names are not looked up yet.
pub(crate) fn parse(text: &str) -> Result<Expr, Problem> {
    within_limits(text)?;
    let mut pairs =
        Grammar::parse(Rule::filter, text).map_err(|error| super::syntax_error::explain(text, &error))?;
    let filter = pairs.next().and_then(|filter| filter.into_inner().next());
    filter.map_or_else(|| Err(Problem::new(0..0, "the condition is empty")), expr)
}

/// Length and nesting are judged before the parser sees the text, so that none can exhaust the stack.
fn within_limits(text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(0..text.len(), "the condition is empty")
            .expected("a field, a transformer, a macro or `(`"));
    }
    if text.len() > MAX_LENGTH {
        let message = format!(
            "the condition is too long: {} bytes, at most {MAX_LENGTH}",
            text.len()
        );
        return Err(Problem::new(0..0, message));
    }
    match too_deep(text) {
        Some(at) => Err(Problem::new(
            at..at + 1,
            format!("parentheses are nested more than {MAX_DEPTH} deep"),
        )),
        None => Ok(()),
    }
}

fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut previous = b' ';
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open && previous != b'\\' => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') if depth == MAX_DEPTH => return Some(at),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        previous = byte;
    }
    None
}

fn expr(pair: Pair_<'_>) -> Result<Expr, Problem> {
    match pair.as_rule() {
        Rule::or_expr => joined(pair, Node::Or),
        Rule::and_expr => joined(pair, Node::And),
        Rule::not_expr => not(pair),
        Rule::macro_name => Ok(At::new(place(&pair), Node::Macro(pair.as_str().to_owned()))),
        Rule::test => test(pair),
        Rule::priority_test => priority_test(pair),
        // `group` and `not_group` only wrap one expression
        _ => only(pair).and_then(expr),
    }
}

fn joined(pair: Pair_<'_>, join: fn(Vec<Expr>) -> Node) -> Result<Expr, Problem> {
    let span = place(&pair);
    let parts = pair
        .into_inner()
        .filter(|part| !matches!(part.as_rule(), Rule::or | Rule::and));
    let mut parts = parts.map(expr).collect::<Result<Vec<_>, _>>()?;
    match parts.len() {
        1 => parts.pop().ok_or_else(internal),
        _ => Ok(At::new(span, join(parts))),
    }
}

/// An even number of `not` says nothing, as in Falco.
fn not(pair: Pair_<'_>) -> Result<Expr, Problem> {
    let span = place(&pair);
    let mut negated = false;
    for part in pair.into_inner() {
        if part.as_rule() == Rule::not {
            negated = !negated;
            continue;
        }
        negated ^= part.as_rule() == Rule::not_group;
        let inner = expr(part)?;
        return Ok(if negated {
            At::new(span, Node::Not(Box::new(inner)))
        } else {
            inner
        });
    }
    Err(internal())
}

fn test(pair: Pair_<'_>) -> Result<Expr, Problem> {
    let span = place(&pair);
    let mut parts = pair.into_inner();
    let left = parts.next().ok_or_else(internal).and_then(operand)?;
    let check = parts.next().ok_or_else(internal).and_then(check)?;
    Ok(At::new(span, Node::Test(Test { left, check })))
}

fn priority_test(pair: Pair_<'_>) -> Result<Expr, Problem> {
    let span = place(&pair);
    let mut parts = pair.into_inner();
    let mut next = || parts.next().ok_or_else(internal);
    let (field, op, name) = (next()?, next()?, next()?);
    let left = Operand::Field(Field {
        name: field.as_str().to_owned(),
        arg: None,
    });
    let right = At::new(place(&name), Right::Priority(name.as_str().to_owned()));
    let check = Check::Compare {
        op: operator(&op)?,
        modifier: None,
        right,
    };
    Ok(At::new(
        span,
        Node::Test(Test {
            left: At::new(place(&field), left),
            check,
        }),
    ))
}

fn check(pair: Pair_<'_>) -> Result<Check, Problem> {
    if pair.as_rule() == Rule::exists {
        return Ok(Check::Exists);
    }
    let mut parts = pair.into_inner().peekable();
    let op = parts.next().ok_or_else(internal).and_then(|op| operator(&op))?;
    let modifier = parts
        .next_if(|part| part.as_rule() == Rule::modifier)
        .and_then(|part| Modifier::from_text(part.as_str()));
    let right = parts.next().ok_or_else(internal).and_then(right)?;
    Ok(Check::Compare { op, modifier, right })
}

fn operator(pair: &Pair_<'_>) -> Result<At<Op>, Problem> {
    let text = if pair.as_str() == "==" { "=" } else { pair.as_str() };
    Op::from_text(text)
        .map(|op| At::new(place(pair), op))
        .ok_or_else(internal)
}

fn right(pair: Pair_<'_>) -> Result<At<Right>, Problem> {
    let span = place(&pair);
    let value = match pair.as_rule() {
        Rule::quoted | Rule::bare | Rule::hex | Rule::number => Right::Value(literal(&pair)?),
        Rule::list => Right::List(items(pair, |item| Ok(At::new(place(item), literal(item)?)))?),
        Rule::list_name | Rule::any_name => Right::Named(pair.as_str().to_owned()),
        _ => Right::Operand(operand(pair)?.value),
    };
    Ok(At::new(span, value))
}

fn items<T>(pair: Pair_<'_>, read: impl Fn(&Pair_<'_>) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    pair.into_inner()
        .filter(|item| !matches!(item.as_rule(), Rule::close | Rule::comma))
        .map(|item| read(&item))
        .collect()
}

fn literal(pair: &Pair_<'_>) -> Result<Literal, Problem> {
    let quoted = pair.as_rule() == Rule::quoted;
    Ok(Literal {
        text: if quoted {
            text(pair)?
        } else {
            pair.as_str().to_owned()
        },
        quoted,
    })
}

fn text(pair: &Pair_<'_>) -> Result<String, Problem> {
    unquote(pair.as_str()).map_err(|bad| {
        let span = pair.as_span();
        let at = span.start() + bad.at;
        Problem::new(at..(at + 2).min(span.end()), bad.why)
    })
}

fn operand(pair: Pair_<'_>) -> Result<At<Operand>, Problem> {
    let span = place(&pair);
    let operand = match pair.as_rule() {
        Rule::field => Operand::Field(field(pair)?),
        Rule::val => {
            let mut parts = pair.into_inner().filter(|part| part.as_rule() != Rule::close);
            let inner = parts.next().ok_or_else(internal).and_then(field)?;
            Operand::Val(inner, parts.next().map(arg).transpose()?)
        }
        _ => Operand::Call(call(pair)?),
    };
    Ok(At::new(span, operand))
}

fn field(pair: Pair_<'_>) -> Result<Field, Problem> {
    let mut parts = pair.into_inner();
    let name = parts.next().ok_or_else(internal)?.as_str().to_owned();
    Ok(Field {
        name,
        arg: parts.next().map(arg).transpose()?,
    })
}

fn arg(pair: Pair_<'_>) -> Result<String, Problem> {
    only(pair)
        .and_then(|inner| literal(&inner))
        .map(|literal| literal.text)
}

fn call(pair: Pair_<'_>) -> Result<Call, Problem> {
    let mut parts = pair.into_inner();
    let name = parts.next().ok_or_else(internal)?;
    let function = Function::from_text(name.as_str()).ok_or_else(internal)?;
    let mut call = Call {
        function,
        args: Vec::new(),
        arg: None,
    };
    for part in parts {
        match part.as_rule() {
            Rule::close | Rule::comma => {}
            Rule::arg => call.arg = Some(arg(part)?),
            _ => call.args.push(call_arg(part)?),
        }
    }
    Ok(call)
}

fn call_arg(pair: Pair_<'_>) -> Result<At<CallArg>, Problem> {
    let span = place(&pair);
    let value = match pair.as_rule() {
        Rule::hex | Rule::number => CallArg::Number(pair.as_str().to_owned()),
        Rule::quoted => CallArg::Text(text(&pair)?),
        Rule::tlist => CallArg::List(items(pair, |item| call_arg(item.clone()))?),
        _ => CallArg::Operand(operand(pair)?.value),
    };
    Ok(At::new(span, value))
}

fn only(pair: Pair_<'_>) -> Result<Pair_<'_>, Problem> {
    pair.into_inner().next().ok_or_else(internal)
}

/// Where a part stands. The rules of `or`, `and` and `not` take no blanks at their ends, so nothing is cut here.
fn place(pair: &Pair_<'_>) -> std::ops::Range<usize> {
    let span = pair.as_span();
    span.start()..span.end()
}

/// A shape that the grammar does not allow. It is an error and no panic, should the grammar ever change.
fn internal() -> Problem {
    Problem::new(0..0, "the grammar and its reader disagree")
}
