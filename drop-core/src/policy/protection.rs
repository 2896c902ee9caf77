//! What a policy protects.

use std::collections::BTreeSet;

use falco_event::{Namespace, PodName};

use super::diagnostics::Mistake;
use super::document::{PROTECT, Places, each};
use super::model::{LabelSelector, Protect, Workload};
use super::quantities::{label_value, qualified_key};
use super::reader::Reader;
use super::yaml::Yaml;
use crate::condition::Shown;

pub(super) fn protect(reader: &mut Reader<'_>, yaml: &Yaml, places: &mut Places) -> Option<Protect> {
    let map = reader.map(yaml, "`protect`", PROTECT)?;
    let namespaces = map
        .get("namespaces")
        .map_or_else(|| Some(BTreeSet::new()), |list| namespaces(reader, list));
    let selector = map.get("namespaceSelector").map(|selector| {
        places.selectors.push(selector.span.clone());
        self::selector(reader, selector)
    });
    let workloads = map.get("workloads").map_or_else(
        || Some(BTreeSet::new()),
        |list| {
            let items = reader.list(list, "workloads")?;
            each(reader, items, workload)
        },
    );
    Some(Protect {
        namespaces: namespaces?,
        namespace_selectors: selector.into_iter().collect::<Option<_>>()?,
        workloads: workloads?,
    })
}

fn namespaces(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<BTreeSet<Namespace>> {
    let items = reader.list(yaml, "namespaces")?;
    each(reader, items, |reader, item| {
        reader.parsed(item, "a namespace", str::parse::<Namespace>)
    })
}

fn selector(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<LabelSelector> {
    let map = reader.map(yaml, "`namespaceSelector`", &["matchLabels"])?;
    let labels = reader.required(&map, "matchLabels", "the selector")?;
    let pairs = reader.pairs(labels, "matchLabels")?;
    let all: Vec<_> = pairs
        .into_iter()
        .map(|((key, text), value)| {
            let key = qualified_key(text)
                .map_err(|why| reader.wrong(Mistake::new(key.span.clone(), why)))
                .ok();
            let value = reader.parsed(value, "the value of a label", label_value);
            Some((key?, value?))
        })
        .collect();
    Some(LabelSelector {
        match_labels: all.into_iter().collect::<Option<_>>()?,
    })
}

fn workload(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Workload> {
    let map = reader.map(yaml, "a workload", &["namespace", "kind", "name"])?;
    let namespace = reader
        .required(&map, "namespace", "the workload")
        .and_then(|yaml| reader.parsed(yaml, "a namespace", str::parse::<Namespace>));
    let kind = reader
        .required(&map, "kind", "the workload")
        .and_then(|yaml| reader.parsed(yaml, "a kind such as `Deployment`", kind));
    let name = reader
        .required(&map, "name", "the workload")
        .and_then(|yaml| reader.parsed(yaml, "a name", str::parse::<PodName>));
    Some(Workload {
        namespace: namespace?,
        kind: kind?,
        name: name?,
    })
}

/// Kinds begin with a capital: `deployment` would protect nothing.
fn kind(text: &str) -> Result<String, String> {
    let good =
        text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric());
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is no kind", Shown(text)))
    }
}
