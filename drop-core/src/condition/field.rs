//! From a field's name to where its values come from and what type they have.

use std::ops::Range;

use falco_event::{FieldType, field_type};

use super::kind::{Kind, Type};
use super::nearest::nearest;
use super::problem::{Problem, Shown};
use super::scope::Scope;
use super::source::{PodField, Source};
use super::traits::{Traits, ends};
use super::tree::Field;

/// A field that is known.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) source: Source,
    pub(crate) of: Type,
    pub(crate) traits: Option<Traits>,
}

/// The fields of the envelope and of the pod, and whether they take an argument.
const OWN: &[(&str, bool)] = &[
    ("alert.rule", false),
    ("alert.priority", false),
    ("alert.source", false),
    ("alert.hostname", false),
    ("alert.tags", false),
    ("alert.output", false),
    ("alert.time", false),
    ("alert.field", true),
    ("pod.namespace", false),
    ("pod.name", false),
    ("pod.node", false),
    ("pod.owner.kind", false),
    ("pod.owner.name", false),
    ("pod.serviceaccount", false),
    ("pod.priorityclass", false),
    ("pod.label", true),
    ("pod.annotation", true),
    ("ns.label", true),
];

pub(crate) fn resolve(field: &Field, span: &Range<usize>, scope: &Scope) -> Result<Resolved, Problem> {
    if let Some((name, takes_arg)) = OWN.iter().find(|(name, _)| *name == field.name) {
        return own(name, *takes_arg, field.arg.as_deref(), scope)
            .map_err(|why| Problem::new(span.clone(), why));
    }
    let key = field.to_string();
    if let Some(of) = scope.declared(&key).or_else(|| scope.declared(&field.name)) {
        return Ok(Resolved {
            source: Source::Key(key.into()),
            of,
            traits: None,
        });
    }
    output(field, key).map_err(|why| match why {
        Unfit::Unknown => unknown(field, span, scope),
        Unfit::Because(why) => Problem::new(span.clone(), why),
    })
}

fn own(name: &str, takes_arg: bool, arg: Option<&str>, scope: &Scope) -> Result<Resolved, String> {
    let arg = match (takes_arg, arg) {
        (true, Some(arg)) => arg,
        (false, None) => "",
        (true, None) => return Err(format!("`{name}` needs an argument: `{name}[\"key\"]`")),
        (false, Some(_)) => return Err(format!("`{name}` takes no argument")),
    };
    let pod = |field: PodField| (Source::Pod(field), Kind::Text.one());
    let (source, of) = match name {
        "alert.rule" => (Source::Rule, Kind::Text.one()),
        "alert.priority" => (Source::Priority, Kind::Priority.one()),
        "alert.source" => (Source::Origin, Kind::Text.one()),
        "alert.hostname" => (Source::Hostname, Kind::Text.one()),
        "alert.tags" => (Source::Tags, Kind::Text.list()),
        "alert.output" => (Source::Output, Kind::Text.one()),
        "alert.time" => (Source::Time, Kind::INT.one()),
        "alert.field" => (Source::Key(arg.into()), any_key(arg, scope)),
        "pod.namespace" => pod(PodField::Namespace),
        "pod.name" => pod(PodField::Name),
        "pod.node" => pod(PodField::Node),
        "pod.owner.kind" => pod(PodField::OwnerKind),
        "pod.owner.name" => pod(PodField::OwnerName),
        "pod.serviceaccount" => pod(PodField::ServiceAccount),
        "pod.priorityclass" => pod(PodField::PriorityClass),
        "pod.label" => pod(PodField::Label(arg.into())),
        "pod.annotation" => pod(PodField::Annotation(arg.into())),
        _ => pod(PodField::NamespaceLabel(arg.into())),
    };
    Ok(Resolved {
        source,
        of,
        traits: None,
    })
}

/// The type of a key as declared, as Falco has it, or of no fixed type.
fn any_key(key: &str, scope: &Scope) -> Type {
    let falco =
        || field_type(key).map(|falco| typed(falco, Traits::of(key.split('[').next().unwrap_or(key))));
    scope.declared(key).or_else(falco).unwrap_or(Kind::Any.one())
}

enum Unfit {
    Unknown,
    Because(String),
}

fn output(field: &Field, key: String) -> Result<Resolved, Unfit> {
    let traits = Traits::of(&field.name);
    let falco = if traits.has('?') {
        Some(FieldType::String)
    } else {
        field_type(&field.name)
    };
    let falco = falco.ok_or(Unfit::Unknown)?;
    let dotted = field.name.starts_with("evt.arg.") || field.name.starts_with("evt.rawarg.");
    match &field.arg {
        None if traits.has('r') && !dotted => {
            return Err(Unfit::Because(format!(
                "`{0}` needs an argument: `{0}[…]`",
                field.name
            )));
        }
        Some(_) if !traits.has('?') && (dotted || field_type(&format!("{}[0]", field.name)).is_none()) => {
            return Err(Unfit::Because(format!("`{}` takes no argument", field.name)));
        }
        _ => {}
    }
    let source = match ends(&field.name) {
        Some(keys) => Source::Ends { keys, whole: false },
        None if traits.has('a') && field.arg.is_none() => Source::EveryIndex(key.into()),
        None => Source::Key(key.into()),
    };
    Ok(Resolved {
        source,
        of: typed(falco, traits),
        traits: Some(traits),
    })
}

fn typed(falco: FieldType, traits: Traits) -> Type {
    let of = Type::of(falco);
    let special = [
        ('?', Kind::Any),
        ('B', Kind::Buffer),
        ('N', Kind::Network),
        ('P', Kind::Port),
    ];
    let kind = match special.into_iter().find(|(letter, _)| traits.has(*letter)) {
        Some((_, kind)) => kind,
        None => narrowed(of.kind, traits),
    };
    Type { kind, ..of }
}

/// Whole numbers of less than 64 bits.
fn narrowed(kind: Kind, traits: Traits) -> Kind {
    let bits = if traits.has('2') { 16 } else { 32 };
    if let (Kind::Whole { signed, .. }, true) = (kind, traits.has('2') || traits.has('4')) {
        return Kind::Whole { signed, bits };
    }
    kind
}

fn unknown(field: &Field, span: &Range<usize>, scope: &Scope) -> Problem {
    let own = nearest(
        &field.name,
        OWN.iter().map(|(name, _)| *name).chain(FieldType::names()),
    );
    let declared = nearest(&field.name, scope.declared_names());
    let problem = Problem::new(span.clone(), format!("no such field: {}", Shown(&field.name)));
    problem.nearest(declared.or(own)).expected(
        "a field of Falco, its plugins, the envelope or the pod, or one that `spec.fields` declares",
    )
}
