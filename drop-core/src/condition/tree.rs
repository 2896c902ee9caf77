//! The syntax tree of a condition, with the place of every part in its text.

use std::ops::Range;

/// A part of a condition and where it stands, in bytes of the condition's text.
///
/// Two parts are equal if they say the same: the place does not count.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// What stands there.
    pub value: T,
    /// Where.
    pub span: Range<usize>,
}

impl<T> At<T> {
    pub(crate) fn new(span: Range<usize>, value: T) -> Self {
        Self { value, span }
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

/// A condition, or a part of one that is true or false.
pub type Expr = At<Node>;

/// What an [`Expr`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// `a or b or c`: two or more.
    Or(Vec<Expr>),
    /// `a and b and c`: two or more.
    And(Vec<Expr>),
    /// `not a`.
    Not(Box<Expr>),
    /// A field or transformer and what is asked of it.
    Test(Test),
    /// The name of a macro.
    Macro(String),
}

/// A field or transformer and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What is looked at.
    pub left: At<Operand>,
    /// What is asked.
    pub check: Check,
}

/// What a [`Test`] asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `exists`.
    Exists,
    /// An operator and what stands on its right.
    Compare {
        /// The operator.
        op: At<Op>,
        /// How many of the right side must hold; none: there is one.
        modifier: Option<Modifier>,
        /// The right side.
        right: At<Right>,
    },
}

/// What stands on the right of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// One value.
    Value(Literal),
    /// `(a, "b", c)`.
    List(Vec<At<Literal>>),
    /// A list by its name.
    Named(String),
    /// Another field, in `val(…)` or in a transformer.
    Operand(Operand),
    /// A priority after an ordering operator, as written.
    Priority(String),
}

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its text, quotes and escapes removed.
    pub text: String,
    /// It stood in quotes, so it is not the name of a list.
    pub quoted: bool,
}

/// A field, or what a transformer makes of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A field.
    Field(Field),
    /// `val(field)`, right side only; the argument behind the parenthesis is grammar that Falco's compiler refuses.
    Val(Field, Option<String>),
    /// `transformer(…)`.
    Call(Call),
}

/// A field by name and argument: `proc.aname[2]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `proc.aname`.
    pub name: String,
    /// `2`.
    pub arg: Option<String>,
}

/// A transformer and what it is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which one.
    pub function: Function,
    /// One or more.
    pub args: Vec<At<CallArg>>,
    /// The argument behind the parenthesis: `getopt(…)[t]`.
    pub arg: Option<String>,
}

/// What a transformer is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallArg {
    /// A number as written.
    Number(String),
    /// A quoted text.
    Text(String),
    /// `(a.b, "c", 1)`.
    List(Vec<At<Self>>),
    /// A field or a transformer.
    Operand(Operand),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// An operator with a right side. `==` is read as `=`.
    Op {
        /// Equal.
        Eq = "=",
        /// Not equal; false where the field is missing.
        Ne = "!=",
        /// Less.
        Lt = "<",
        /// Less or equal.
        Le = "<=",
        /// Greater.
        Gt = ">",
        /// Greater or equal.
        Ge = ">=",
        /// Has the text in it.
        Contains = "contains",
        /// The same, ASCII case ignored.
        Icontains = "icontains",
        /// Has the bytes in it, given in hexadecimal.
        Bcontains = "bcontains",
        /// Begins with the text.
        Startswith = "startswith",
        /// Begins with the bytes, given in hexadecimal.
        Bstartswith = "bstartswith",
        /// Ends with the text.
        Endswith = "endswith",
        /// Matches the shell pattern; `*` crosses `/`.
        Glob = "glob",
        /// The same, ASCII case ignored.
        Iglob = "iglob",
        /// Matches the POSIX extended regular expression from end to end.
        Regex = "regex",
        /// Every value of the field is in the list.
        In = "in",
        /// Some value of the field is in the list.
        Intersects = "intersects",
        /// The path begins with one of the paths, component by component.
        Pmatch = "pmatch",
    }
}

words! {
    /// How many values of the right side must hold.
    Modifier {
        /// Exactly one.
        Oneof = "oneof",
        /// At least one.
        Anyof = "anyof",
        /// Every one, and there is one.
        Allof = "allof",
    }
}

words! {
    /// What can be made of fields before they are compared.
    Function {
        /// ASCII letters in lower case.
        Tolower = "tolower",
        /// ASCII letters in upper case.
        Toupper = "toupper",
        /// The text that the base64 text stands for; missing where it is none.
        B64 = "b64",
        /// What follows the last `/`.
        Basename = "basename",
        /// The number of bytes of a text, or of values of a list.
        Len = "len",
        /// The texts of a list with a separator between them.
        Join = "join",
        /// Texts one after another; missing where one is missing.
        Concat = "concat",
        /// Short options as `getopt(3)` reads them.
        Getopt = "getopt",
    }
}
