//! Falco's types of its fields.

use std::sync::LazyLock;

/// The type that Falco gives a field, as its JSON shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldType {
    /// Text; a JSON string.
    String,
    /// A signed integer.
    Integer,
    /// An unsigned integer; also ports, flags and durations in nanoseconds.
    Unsigned,
    /// A double.
    Double,
    /// A truth value.
    Bool,
    /// An IPv4 or IPv6 address; a JSON string.
    Ip,
    /// A point in time; a JSON integer of nanoseconds since 1970, even of `evt.time.iso8601`.
    Time,
    /// Several values; a JSON array.
    List(ElementType),
}

impl FieldType {
    /// The names of all fields that Falco's tables know, sorted; those that take an argument without it.
    ///
    /// ```
    /// assert!(falco_event::FieldType::names().any(|name| name == "proc.aname"));
    /// ```
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|field| field.name)
    }
}

/// The type of a list's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Text. Falco 0.44 and its plugins have lists of text only.
    String,
}

/// The fields of Falco's libraries (0.44) and of the official plugins, sorted by name, one a line: the name, its type
/// and, where it takes an argument, `[`.
const TABLE: &str = include_str!("fields.txt");

struct Field {
    name: &'static str,
    of: FieldType,
    takes_argument: bool,
}

static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| TABLE.lines().filter_map(Field::parse).collect());

impl Field {
    fn parse(line: &'static str) -> Option<Self> {
        let (name, code) = line.split_once(' ')?;
        let takes_argument = code.ends_with('[');
        let of = match code.trim_end_matches('[') {
            "s" => FieldType::String,
            "i" => FieldType::Integer,
            "u" => FieldType::Unsigned,
            "d" => FieldType::Double,
            "b" => FieldType::Bool,
            "a" => FieldType::Ip,
            "t" => FieldType::Time,
            "L" => FieldType::List(ElementType::String),
            _ => return None,
        };
        Some(Self {
            name,
            of,
            takes_argument,
        })
    }
}

/// The type that Falco gives the field of this name; none if its tables do not know it.
///
/// A name with an argument has the type of its base: `proc.aname[2]`, `k8s.pod.label[app]`, `evt.arg.flags`.
///
/// ```
/// use falco_event::{FieldType, field_type};
/// assert_eq!(field_type("user.loginuid"), Some(FieldType::Integer));
/// assert_eq!(field_type("proc.aname[2]"), Some(FieldType::String));
/// assert_eq!(field_type("acme.score"), None);
/// ```
#[must_use]
pub fn field_type(name: &str) -> Option<FieldType> {
    if let Some((base, _)) = name.split_once('[') {
        return find(base)
            .filter(|field| field.takes_argument)
            .map(|field| field.of);
    }
    if let Some(field) = find(name) {
        return Some(field.of);
    }
    let dots = name.rmatch_indices('.').filter_map(|(dot, _)| name.get(..dot));
    dots.filter_map(find)
        .find(|field| field.takes_argument)
        .map(|field| field.of)
}

fn find(name: &str) -> Option<&'static Field> {
    let place = FIELDS.binary_search_by(|field| field.name.cmp(name)).ok()?;
    FIELDS.get(place)
}
