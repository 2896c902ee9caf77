//! A syntax tree as text in Falco's syntax, which parses to the same tree.

use std::fmt::{self, Display, Formatter};

use super::quote::{Quoted, is_bare, is_bare_arg};
use super::tree::{At, Call, CallArg, Check, Expr, Field, Literal, Node, Op, Operand, Right, Test};

impl<T: Display> Display for At<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => joined(f, parts, " or ", |part| matches!(part, Self::Or(_))),
            Self::And(parts) => joined(f, parts, " and ", |part| {
                matches!(part, Self::Or(_) | Self::And(_))
            }),
            Self::Not(inner) => {
                let grouped = matches!(inner.value, Self::Or(_) | Self::And(_) | Self::Not(_));
                f.write_str("not ")?;
                part(f, inner, grouped)
            }
            Self::Test(test) => test.fmt(f),
            Self::Macro(name) => f.write_str(name),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], joint: &str, grouped: fn(&Node) -> bool) -> fmt::Result {
    for (i, inner) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(joint)?;
        }
        part(f, inner, grouped(&inner.value))?;
    }
    Ok(())
}

fn part(f: &mut Formatter<'_>, inner: &Expr, grouped: bool) -> fmt::Result {
    if grouped {
        write!(f, "({inner})")
    } else {
        inner.fmt(f)
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.check {
            Check::Exists => write!(f, "{} exists", self.left),
            Check::Compare { op, modifier, right } => {
                write!(f, "{} {op} ", self.left)?;
                if let Some(modifier) = modifier {
                    write!(f, "{modifier} ")?;
                }
                match &right.value {
                    // a number after an ordering operator is no bare text: it stands as it was written
                    Right::Value(literal) if is_order(op.value) => f.write_str(&literal.text),
                    Right::Value(_)
                    | Right::List(_)
                    | Right::Named(_)
                    | Right::Operand(_)
                    | Right::Priority(_) => right.fmt(f),
                }
            }
        }
    }
}

fn is_order(op: Op) -> bool {
    matches!(op, Op::Lt | Op::Le | Op::Gt | Op::Ge)
}

impl Display for Right {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(literal) => literal.fmt(f),
            Self::List(items) => list(f, items),
            Self::Named(name) | Self::Priority(name) => f.write_str(name),
            Self::Operand(operand) => operand.fmt(f),
        }
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[At<T>]) -> fmt::Result {
    f.write_str("(")?;
    comma(f, items)?;
    f.write_str(")")
}

fn comma<T: Display>(f: &mut Formatter<'_>, items: &[At<T>]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.quoted || !is_bare(&self.text) {
            Quoted(&self.text).fmt(f)
        } else {
            f.write_str(&self.text)
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Val(field, arg) => write!(f, "val({field}){}", Arg(arg.as_deref())),
            Self::Call(call) => call.fmt(f),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, Arg(self.arg.as_deref()))
    }
}

/// `[arg]`, in quotes where it needs them: so Falco spells the keys of an alert's fields.
struct Arg<'a>(Option<&'a str>);

impl Display for Arg<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(arg) if is_bare_arg(arg) => write!(f, "[{arg}]"),
            Some(arg) => write!(f, "[{}]", Quoted(arg)),
            None => Ok(()),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        comma(f, &self.args)?;
        write!(f, "){}", Arg(self.arg.as_deref()))
    }
}

impl Display for CallArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => Quoted(text).fmt(f),
            Self::List(items) => list(f, items),
            Self::Operand(operand) => operand.fmt(f),
        }
    }
}
