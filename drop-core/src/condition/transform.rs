//! Types and compiles transformers.

use std::ops::Range;

use super::compile::{Compiler, Side};
use super::kind::{Kind, Type};
use super::problem::Problem;
use super::reader::{Call as Compiled, Each, Reader};
use super::tree::{At, Call, CallArg, Function, Operand};

/// Compiles a transformer.
pub(crate) fn call(compiler: Compiler<'_>, call: &Call, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    let function = call.function;
    if call.arg.is_some() && function != Function::Getopt {
        return Err(vec![Problem::new(
            span.clone(),
            format!("`{function}` takes no argument behind its parenthesis"),
        )]);
    }
    match function {
        Function::Tolower => each(compiler, call, span, Each::Lower),
        Function::Toupper => each(compiler, call, span, Each::Upper),
        Function::B64 => each(compiler, call, span, Each::Base64),
        Function::Basename => each(compiler, call, span, Each::Basename),
        Function::Len => len(compiler, call, span),
        Function::Join => join(compiler, call, span),
        Function::Concat => concat(compiler, call, span),
        Function::Getopt => getopt(compiler, call, span),
    }
}

fn done(call: Compiled, of: Type) -> Side {
    Side {
        reader: Reader::Call(Box::new(call)),
        of,
        left_only: false,
        plain_only: false,
    }
}

fn refuse<T>(span: &Range<usize>, why: impl Into<String>) -> Result<T, Vec<Problem>> {
    Err(vec![Problem::new(span.clone(), why)])
}

fn each(compiler: Compiler<'_>, call: &Call, span: &Range<usize>, what: Each) -> Result<Side, Vec<Problem>> {
    let side = only(compiler, call, span)?;
    if side.of.kind != Kind::Text
        && side.of.kind != Kind::Any
        && !(side.of.kind == Kind::Buffer && matches!(what, Each::Base64))
    {
        return refuse(
            span,
            format!("`{}` takes text, and this is {}", call.function, side.of.name()),
        );
    }
    Ok(done(
        Compiled::Each(what, side.reader),
        Type {
            kind: Kind::Text,
            list: side.of.list,
        },
    ))
}

fn len(compiler: Compiler<'_>, call: &Call, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    let side = only(compiler, call, span)?;
    if side.of.list {
        return Ok(done(Compiled::Count(side.reader), Kind::UINT.one()));
    }
    match side.of.kind {
        Kind::Text | Kind::Buffer | Kind::Any => {
            Ok(done(Compiled::Each(Each::Length, side.reader), Kind::UINT.one()))
        }
        Kind::Whole { .. }
        | Kind::Double
        | Kind::Bool
        | Kind::Port
        | Kind::Address
        | Kind::Network
        | Kind::Priority => refuse(
            span,
            format!("`len` takes text or a list, and this is {}", side.of.name()),
        ),
    }
}

/// The one argument: a field or another transformer.
fn only(compiler: Compiler<'_>, call: &Call, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    match call.args.as_slice() {
        [
            At {
                value: CallArg::Operand(operand),
                span,
            },
        ] => transformed(compiler, operand, span),
        [_] => refuse(
            span,
            format!("`{}` takes a field or a transformer", call.function),
        ),
        _ => refuse(span, format!("`{}` takes one argument", call.function)),
    }
}

fn transformed(compiler: Compiler<'_>, operand: &Operand, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    let side = compiler.side(operand, span)?;
    if side.plain_only {
        return refuse(span, "this field cannot be transformed");
    }
    Ok(side)
}

fn join(compiler: Compiler<'_>, call: &Call, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    let [separator, items] = call.args.as_slice() else {
        return refuse(span, "`join` takes a separator and a list");
    };
    let (separator, items) = (one_text(compiler, separator)?, list(compiler, items)?);
    Ok(done(Compiled::Join { separator, items }, Kind::Text.one()))
}

fn concat(compiler: Compiler<'_>, call: &Call, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    if call.args.len() < 2 {
        return refuse(span, "`concat` takes two texts or more");
    }
    let items = call
        .args
        .iter()
        .map(|arg| one_text(compiler, arg))
        .collect::<Result<_, _>>()?;
    Ok(done(Compiled::Concat(items), Kind::Text.one()))
}

fn getopt(compiler: Compiler<'_>, call: &Call, span: &Range<usize>) -> Result<Side, Vec<Problem>> {
    let [args, options] = call.args.as_slice() else {
        return refuse(span, "`getopt` takes a list of arguments and the options");
    };
    let (args, options) = (list(compiler, args)?, one_text(compiler, options)?);
    if call.arg.as_ref().is_some_and(|only| only.chars().count() != 1) {
        return refuse(span, "`getopt(…)[x]` takes one letter");
    }
    let only = call.arg.as_deref().map(Into::into);
    let of = Type {
        kind: Kind::Text,
        list: call.arg.is_none(),
    };
    Ok(done(Compiled::Getopt { args, options, only }, of))
}

fn one_text(compiler: Compiler<'_>, arg: &At<CallArg>) -> Result<Reader, Vec<Problem>> {
    match &arg.value {
        CallArg::Text(text) => Ok(Reader::Text(text.as_str().into())),
        CallArg::Operand(operand) => {
            let side = transformed(compiler, operand, &arg.span)?;
            let text = matches!(
                side.of,
                Type {
                    kind: Kind::Text | Kind::Any,
                    list: false
                }
            );
            if text {
                Ok(side.reader)
            } else {
                refuse(
                    &arg.span,
                    format!("text is expected here, and this is {}", side.of.name()),
                )
            }
        }
        CallArg::Number(_) | CallArg::List(_) => {
            refuse(&arg.span, "text in quotes or a field is expected here")
        }
    }
}

/// A list in parentheses, or a field that is a list.
fn list(compiler: Compiler<'_>, arg: &At<CallArg>) -> Result<Box<[Reader]>, Vec<Problem>> {
    match &arg.value {
        CallArg::List(items) => items.iter().map(|item| list_item(compiler, item)).collect(),
        CallArg::Operand(operand) => {
            let side = transformed(compiler, operand, &arg.span)?;
            if side.of.list {
                Ok([side.reader].into())
            } else {
                refuse(&arg.span, "a list is expected here")
            }
        }
        CallArg::Number(_) | CallArg::Text(_) => refuse(&arg.span, "a list is expected here"),
    }
}

fn list_item(compiler: Compiler<'_>, item: &At<CallArg>) -> Result<Reader, Vec<Problem>> {
    match &item.value {
        CallArg::Number(text) | CallArg::Text(text) => Ok(Reader::Text(text.as_str().into())),
        CallArg::Operand(operand) => Ok(transformed(compiler, operand, &item.span)?.reader),
        CallArg::List(_) => refuse(&item.span, "a list cannot stand in a list"),
    }
}
