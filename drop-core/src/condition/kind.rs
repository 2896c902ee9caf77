//! The types of fields, and which operators go with which.

use falco_event::FieldType;

use super::tree::Op;

/// What one value of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A whole number of so many bits.
    Whole {
        signed: bool,
        bits: u8,
    },
    Double,
    Bool,
    /// A port: a number, or the name of a service.
    Port,
    Address,
    /// An address that is compared with networks.
    Network,
    /// Text that stands for bytes.
    Buffer,
    Priority,
    /// Whatever the alert holds.
    Any,
}

/// The type of a field or of what a transformer makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) kind: Kind,
    pub(crate) list: bool,
}

impl Kind {
    pub(crate) const INT: Self = Self::Whole {
        signed: true,
        bits: 64,
    };
    pub(crate) const UINT: Self = Self::Whole {
        signed: false,
        bits: 64,
    };

    pub(crate) fn one(self) -> Type {
        Type {
            kind: self,
            list: false,
        }
    }

    pub(crate) fn list(self) -> Type {
        Type {
            kind: self,
            list: true,
        }
    }

    /// Whether two fields of these kinds can be compared with each other.
    pub(crate) fn compares_with(self, other: Self) -> bool {
        let whole = |kind| matches!(kind, Self::Whole { .. } | Self::Port);
        self == other || whole(self) && whole(other)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Whole { .. } => "a whole number",
            Self::Double => "a number",
            Self::Bool => "`true` or `false`",
            Self::Port => "a port",
            Self::Address => "an IP address",
            Self::Network => "an IP address for networks",
            Self::Buffer => "a byte buffer",
            Self::Priority => "a priority",
            Self::Any => "of no known type",
        }
    }
}

impl Type {
    pub(crate) fn of(falco: FieldType) -> Self {
        match falco {
            FieldType::Integer | FieldType::Time => Kind::INT.one(),
            FieldType::Unsigned => Kind::UINT.one(),
            FieldType::Double => Kind::Double.one(),
            FieldType::Bool => Kind::Bool.one(),
            FieldType::Ip => Kind::Address.one(),
            FieldType::List(_) => Kind::Text.list(),
            // a type that this crate does not know yet is read as text, which every value has
            FieldType::String | _ => Kind::Text.one(),
        }
    }

    /// What it is, for messages.
    pub(crate) fn name(self) -> &'static str {
        if self.list { "a list" } else { self.kind.name() }
    }

    /// The operators that go with it, beside `exists`.
    pub(crate) fn operators(self) -> &'static [Op] {
        use Op::{
            Contains, Endswith, Eq, Ge, Glob, Gt, Icontains, Iglob, In, Intersects, Le, Lt, Ne, Pmatch,
            Regex, Startswith,
        };
        if self.list {
            return &[In, Intersects];
        }
        match self.kind {
            Kind::Text | Kind::Any => &[
                Eq, Ne, Lt, Le, Gt, Ge, Contains, Icontains, Startswith, Endswith, Glob, Iglob, Regex, In,
                Intersects, Pmatch,
            ],
            Kind::Whole { .. } | Kind::Double | Kind::Port | Kind::Priority => {
                &[Eq, Ne, Lt, Le, Gt, Ge, In, Intersects]
            }
            Kind::Bool | Kind::Address | Kind::Network => &[Eq, Ne, In, Intersects],
            Kind::Buffer => &[Eq, Ne, Contains, Startswith, Endswith, In, Intersects],
        }
    }
}

/// The types that a policy can give a field of its own. The first word for a type is the one that is printed.
pub(crate) const DECLARABLE: &[(&str, Type)] = &[
    (
        "string",
        Type {
            kind: Kind::Text,
            list: false,
        },
    ),
    (
        "int",
        Type {
            kind: Kind::INT,
            list: false,
        },
    ),
    (
        "uint",
        Type {
            kind: Kind::UINT,
            list: false,
        },
    ),
    (
        "double",
        Type {
            kind: Kind::Double,
            list: false,
        },
    ),
    (
        "bool",
        Type {
            kind: Kind::Bool,
            list: false,
        },
    ),
    (
        "ip",
        Type {
            kind: Kind::Address,
            list: false,
        },
    ),
    (
        "time",
        Type {
            kind: Kind::INT,
            list: false,
        },
    ),
    (
        "string list",
        Type {
            kind: Kind::Text,
            list: true,
        },
    ),
];
