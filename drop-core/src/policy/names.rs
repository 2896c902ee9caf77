//! The lists, macros and fields of a policy, in whatever order they stand.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::Mistake;
use super::reader::{Map, Reader};
use super::yaml::{Style, Value, Yaml};
use crate::condition::{self, Condition, Scope, Shown, tree};

/// The names of a policy.
pub(crate) struct Names {
    pub(crate) scope: Scope,
}

impl Names {
    /// Reads `fields`, `lists` and `macros`. What has mistakes is known as a name, so that its uses are no mistakes too.
    pub(crate) fn read(reader: &mut Reader<'_>, spec: &Map<'_>) -> Self {
        let mut scope = Scope::default();
        if let Some(fields) = spec.get("fields") {
            self::fields(reader, fields, &mut scope);
        }
        if let Some(lists) = spec.get("lists") {
            self::lists(reader, lists, &mut scope);
        }
        if let Some(macros) = spec.get("macros") {
            self::macros(reader, macros, &mut scope);
        }
        Self { scope }
    }

    /// A condition of a response; its mistakes are placed in the file.
    pub(crate) fn condition(&self, reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Condition> {
        let text = condition_text(reader, yaml)?;
        match Condition::compile(text, &self.scope) {
            Ok(condition) => Some(condition),
            Err(problems) => {
                problems
                    .into_iter()
                    .for_each(|problem| reader.wrong(placed(reader.text, yaml, problem)));
                None
            }
        }
    }
}

fn condition_text<'y>(reader: &mut Reader<'_>, yaml: &'y Yaml) -> Option<&'y str> {
    reader.text(yaml, "a condition")
}

/// A condition's mistake where it stands in the file.
pub(crate) fn placed(file: &str, yaml: &Yaml, problem: condition::Problem) -> Mistake {
    let start = yaml.place(file, problem.span.start);
    let end = if problem.span.is_empty() {
        start
    } else {
        yaml.place(file, problem.span.end - 1) + 1
    };
    Mistake {
        span: start..end.max(start),
        ..problem.into()
    }
}

fn fields(reader: &mut Reader<'_>, yaml: &Yaml, scope: &mut Scope) {
    for ((key, name), value) in reader.pairs(yaml, "fields").unwrap_or_default() {
        let Some(of) = reader.text(value, "the type of a field") else {
            continue;
        };
        if let Err(problem) = scope.add_field(name, of) {
            let at = if problem.message.starts_with("no such type") {
                &value.span
            } else {
                &key.span
            };
            reader.wrong(Mistake {
                span: at.clone(),
                ..problem.into()
            });
        }
    }
}

/// Lists may name each other in any order, but not in a circle.
fn lists(reader: &mut Reader<'_>, yaml: &Yaml, scope: &mut Scope) {
    let mut read = BTreeMap::new();
    for ((key, name), value) in reader.pairs(yaml, "lists").unwrap_or_default() {
        if let Err(problem) = condition::check_list_name(name) {
            reader.wrong(Mistake {
                span: key.span.clone(),
                ..problem.into()
            });
            continue;
        }
        let items = list_items(reader, value);
        read.insert(name, (key, items));
    }
    let uses = |items: &Vec<tree::At<tree::Literal>>| {
        items
            .iter()
            .filter(|item| !item.value.quoted)
            .map(|item| item.value.text.clone())
            .collect()
    };
    let uses: BTreeMap<&str, BTreeSet<String>> = read
        .iter()
        .map(|(name, (_, items))| (*name, uses(items)))
        .collect();
    // known before any is replaced, so that a slip in an item is seen whatever the order
    for name in read.keys() {
        scope.put_list(name, Vec::new());
    }
    let (order, circle) = in_order(&uses);
    for name in circle {
        let at = read.get(name).map_or(0..0, |(key, _)| key.span.clone());
        reader.wrong(Mistake::new(
            at,
            format!("the list {} stands for itself", Shown(name)),
        ));
    }
    for name in order {
        let Some((_, items)) = read.get(name) else {
            continue;
        };
        let mut problems = Vec::new();
        let items = condition::expand_items(items, name, scope, &mut problems);
        problems
            .into_iter()
            .for_each(|problem| reader.wrong(problem.into()));
        scope.put_list(name, items);
    }
}

fn list_items(reader: &mut Reader<'_>, yaml: &Yaml) -> Vec<tree::At<tree::Literal>> {
    let Some(items) = reader.list(yaml, "the items of a list") else {
        return Vec::new();
    };
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        // a number is the text of its digits, as in Falco
        let Value::Scalar { text, style } = &item.value else {
            reader.unfit::<()>(item, "one text");
            continue;
        };
        if item.is_null() {
            reader.unfit::<()>(item, "one text");
            continue;
        }
        out.push(tree::At {
            span: item.span.clone(),
            value: tree::Literal {
                text: text.clone(),
                quoted: *style != Style::Plain,
            },
        });
    }
    out
}

/// Macros too may name each other in any order.
fn macros(reader: &mut Reader<'_>, yaml: &Yaml, scope: &mut Scope) {
    let mut read = BTreeMap::new();
    for ((key, name), value) in reader.pairs(yaml, "macros").unwrap_or_default() {
        let taken = scope
            .names()
            .contains(name)
            .then(|| condition::Problem::taken(name));
        if let Some(problem) = condition::check_macro_name(name).err().or(taken) {
            reader.wrong(Mistake {
                span: key.span.clone(),
                ..problem.into()
            });
            continue;
        }
        scope.break_macro(name);
        let Some(text) = condition_text(reader, value) else {
            continue;
        };
        match condition::parse(text) {
            Ok(tree) => {
                read.insert(name, (key, value, tree));
            }
            Err(problem) => reader.wrong(placed(reader.text, value, problem)),
        }
    }
    let uses: BTreeMap<&str, BTreeSet<String>> = read
        .iter()
        .map(|(name, (_, _, tree))| (*name, condition::macros_in(tree)))
        .collect();
    let (order, circle) = in_order(&uses);
    for name in circle {
        let at = read.get(name).map_or(0..0, |(key, ..)| key.span.clone());
        reader.wrong(Mistake::new(
            at,
            format!("the macro {} stands for itself", Shown(name)),
        ));
    }
    for name in order {
        let Some((_, value, tree)) = read.get(name) else {
            continue;
        };
        let problems = scope.define_macro(name, tree);
        problems
            .into_iter()
            .for_each(|problem| reader.wrong(placed(reader.text, value, problem)));
    }
}

/// Names so that each stands behind those it uses, and those that are in a circle or use one that is.
fn in_order<'a>(uses: &BTreeMap<&'a str, BTreeSet<String>>) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut order: Vec<&str> = Vec::new();
    let mut left: Vec<&str> = uses.keys().copied().collect();
    loop {
        let ready = |name: &&str| {
            let uses_left = |used: &String| left.contains(&used.as_str());
            !uses.get(*name).is_some_and(|used| used.iter().any(uses_left))
        };
        let (done, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(ready);
        left = rest;
        if done.is_empty() {
            return (order, left);
        }
        order.extend(done);
    }
}
