//! Resolves and types a condition whose names are replaced.

use std::ops::Range;

use super::field::{Resolved, resolve};
use super::kind::{Kind, Type};
use super::problem::Problem;
use super::program::{Ask, Program, Test as Compiled};
use super::questions::{Asked, question};
use super::reader::Reader;
use super::scope::Scope;
use super::source::Source;
use super::transform;
use super::tree::{At, Check, Expr, Field, Modifier, Node, Op, Operand, Right, Test};

/// The program of an expression; none if it has mistakes, which are added to the problems.
pub(crate) fn compile(expr: &Expr, scope: &Scope, problems: &mut Vec<Problem>) -> Option<Program> {
    match &expr.value {
        Node::Or(parts) => all(parts, scope, problems).map(Program::Or),
        Node::And(parts) => all(parts, scope, problems).map(Program::And),
        Node::Not(inner) => compile(inner, scope, problems).map(|inner| Program::Not(Box::new(inner))),
        Node::Test(test) => match (Compiler { scope }).test(test) {
            Ok(test) => Some(Program::Test(Box::new(test))),
            Err(mut found) => {
                problems.append(&mut found);
                None
            }
        },
        // the name means nothing, or its macro has mistakes: that was reported
        Node::Macro(_) => None,
    }
}

fn all(parts: &[Expr], scope: &Scope, problems: &mut Vec<Problem>) -> Option<Box<[Program]>> {
    // every part is compiled, so that every mistake is found
    let compiled: Vec<_> = parts.iter().map(|part| compile(part, scope, problems)).collect();
    compiled.into_iter().collect()
}

/// What stands on a side, resolved.
pub(crate) struct Side {
    pub(crate) reader: Reader,
    pub(crate) of: Type,
    /// Falco refuses it on the right side.
    pub(crate) left_only: bool,
    /// Falco refuses it in a transformer.
    pub(crate) plain_only: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Compiler<'a> {
    pub(crate) scope: &'a Scope,
}

impl Compiler<'_> {
    fn test(self, test: &Test) -> Result<Compiled, Vec<Problem>> {
        let side = self.side(&test.left.value, &test.left.span)?;
        let Check::Compare { op, modifier, right } = &test.check else {
            return Ok(Compiled {
                left: side.reader,
                all: false,
                ask: Ask::Exists,
            });
        };
        allowed(op, side.of, test.left.span.start)?;
        let ask = match &right.value {
            Right::Operand(operand) => self.other_field(op, &side, operand, &right.span)?,
            value @ (Right::Value(_) | Right::List(_) | Right::Named(_) | Right::Priority(_)) => literals(
                op,
                *modifier,
                side.of,
                &At::new(right.span.clone(), value.clone()),
            )?,
        };
        let every = matches!(side.of, Type { list: true, .. }) && op.value == Op::In;
        Ok(compiled(side.reader, op.value, every, ask))
    }

    /// A field or transformer.
    pub(crate) fn side(self, operand: &Operand, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
        match operand {
            Operand::Field(field) => self.field(field, span),
            Operand::Val(_, Some(_)) => Err(vec![Problem::new(
                span.clone(),
                "`val(…)` takes no argument behind its parenthesis",
            )]),
            Operand::Val(field, None) => self.field(field, span),
            Operand::Call(call) => transform::call(self, call, span),
        }
    }

    fn field(self, field: &Field, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
        let Resolved { source, of, traits } = resolve(field, span, self.scope)?;
        let has = |letter| traits.is_some_and(|traits| traits.has(letter));
        Ok(Side {
            reader: Reader::Field(source, of),
            of,
            left_only: has('L'),
            plain_only: has('T'),
        })
    }

    fn other_field(
        self,
        op: &At<Op>,
        left: &Side,
        right: &Operand,
        span: &Range<usize>,
    ) -> Result<Ask, Vec<Problem>> {
        let side = self.side(right, span)?;
        let refuse = |why: String| Err(vec![Problem::new(span.clone(), why)]);
        if side.left_only {
            return refuse("this field can only stand on the left side".to_owned());
        }
        if op.value == Op::Regex || left.of.kind == Kind::Network {
            return refuse(format!(
                "`{op}` of {} takes no other field on its right side",
                left.of.name()
            ));
        }
        if left.of.list != side.of.list || !left.of.kind.compares_with(side.of.kind) {
            return refuse(format!(
                "the left side is {} and the right side is {}",
                left.of.name(),
                side.of.name()
            ));
        }
        Ok(Ask::Field(op.value, side.reader))
    }
}

impl From<Problem> for Vec<Problem> {
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}

/// `!=` of a field for either end of a connection holds if both ends differ, so both must be known.
fn compiled(left: Reader, op: Op, every: bool, ask: Ask) -> Compiled {
    match left {
        Reader::Field(Source::Ends { keys, .. }, of) => {
            let differs = op == Op::Ne;
            Compiled {
                left: Reader::Field(Source::Ends { keys, whole: differs }, of),
                all: differs,
                ask,
            }
        }
        left @ (Reader::Field(..) | Reader::Text(_) | Reader::Call(_)) => Compiled {
            left,
            all: every,
            ask,
        },
    }
}

fn allowed(op: &At<Op>, of: Type, _left: usize) -> Result<(), Problem> {
    if matches!(op.value, Op::Bcontains | Op::Bstartswith) {
        let why = format!(
            "`{op}` compares bytes, and an alert carries none: Falco prints buffers as text or in base64, cut at 1 KiB"
        );
        return Err(Problem::new(op.span.clone(), why).expected("`contains` or `startswith` on the text"));
    }
    let operators = of.operators();
    if operators.contains(&op.value) {
        return Ok(());
    }
    let words: Vec<_> = operators.iter().map(|op| format!("`{op}`")).collect();
    let problem = Problem::new(op.span.clone(), format!("`{op}` does not go with {}", of.name()));
    Err(problem.expected(format!("`exists`, {}", words.join(", "))))
}

/// The right side is one value, a list or a priority.
fn literals(
    op: &At<Op>,
    modifier: Option<Modifier>,
    of: Type,
    right: &At<Right>,
) -> Result<Ask, Vec<Problem>> {
    match (&right.value, modifier) {
        (Right::Value(literal), _) => {
            not_ordered(op, of, right)?;
            let text = At::new(right.span.clone(), literal.text.as_str());
            Ok(Ask::One(question(op.value, of.kind, Asked::One(&text))?))
        }
        (Right::Priority(name), _) => {
            let text = At::new(right.span.clone(), name.as_str());
            Ok(Ask::One(question(op.value, of.kind, Asked::One(&text))?))
        }
        (Right::List(items), None) => {
            let texts: Vec<_> = items
                .iter()
                .map(|item| At::new(item.span.clone(), item.value.text.as_str()))
                .collect();
            Ok(Ask::One(question(op.value, of.kind, Asked::Any(&texts))?))
        }
        (Right::List(items), Some(modifier)) => {
            let ask = |item: &At<super::tree::Literal>| {
                let text = At::new(item.span.clone(), item.value.text.as_str());
                question(op.value, of.kind, Asked::One(&text))
            };
            let (good, bad): (Vec<_>, Vec<_>) = items.iter().map(ask).partition(Result::is_ok);
            let problems: Vec<_> = bad.into_iter().filter_map(Result::err).flatten().collect();
            if !problems.is_empty() {
                return Err(problems);
            }
            Ok(Ask::Many(
                modifier,
                good.into_iter().filter_map(Result::ok).collect(),
            ))
        }
        // an unknown list was reported where names are replaced
        (Right::Named(_) | Right::Operand(_), _) => Err(Vec::new()),
    }
}

/// After an ordering operator the grammar takes numbers; a priority is no number.
fn not_ordered(op: &At<Op>, of: Type, right: &At<Right>) -> Result<(), Problem> {
    if of.kind == Kind::Priority && matches!(op.value, Op::Lt | Op::Le | Op::Gt | Op::Ge) {
        return Err(
            Problem::new(right.span.clone(), "a priority is compared by its name")
                .expected("a priority such as `Warning`"),
        );
    }
    Ok(())
}
