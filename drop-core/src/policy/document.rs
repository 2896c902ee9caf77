//! From a YAML document to a policy.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use falco_event::Namespace;

use super::diagnostics::Mistake;
use super::model::{Limit, Mode, OnBreach, Policy, Protect, Scope};
use super::names::Names;
use super::protection::protect;
use super::quantities::{duration, label_name};
use super::reader::{Map, Reader};
use super::response::{limits, responses};
use super::yaml::{Value, Yaml};
use crate::condition::Shown;

/// The `apiVersion` of a policy.
pub const API_VERSION: &str = "falco-drop.dev/v1alpha1";

/// The `kind` of a policy.
pub const KIND: &str = "DropPolicy";

/// An alert older than this is skipped, unless the policy says otherwise.
pub const DEFAULT_MAX_ALERT_AGE: Duration = Duration::from_secs(5 * 60);

/// The limits of a policy that names none: 5 pods of a workload in 10 minutes, 30 of the policy in one.
pub const DEFAULT_LIMITS: [Limit; 2] = [
    Limit {
        scope: Scope::Workload,
        max: at_least_one(5),
        per: Duration::from_secs(10 * 60),
        on_breach: OnBreach::Skip,
    },
    Limit {
        scope: Scope::Policy,
        max: at_least_one(30),
        per: Duration::from_secs(60),
        on_breach: OnBreach::Skip,
    },
];

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

pub(super) const ROOT: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
/// `name` is read, labels and annotations are the user's, and the rest is what an API server adds.
pub(super) const METADATA: &[&str] = &[
    "name",
    "labels",
    "annotations",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "finalizers",
    "ownerReferences",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];
pub(super) const SPEC: &[&str] = &[
    "mode",
    "namespaces",
    "maxAlertAge",
    "lists",
    "macros",
    "fields",
    "responses",
    "protect",
    "limits",
];
pub(super) const RESPONSE: &[&str] = &["name", "mode", "when", "minAvailable", "limits", "do"];
pub(super) const PROTECT: &[&str] = &["namespaces", "namespaceSelector", "workloads"];
pub(super) const LIMIT: &[&str] = &["scope", "max", "per", "onBreach"];
pub(super) const MODES: &[(&str, Mode)] = &[("observe", Mode::Observe), ("enforce", Mode::Enforce)];
pub(super) const SCOPES: &[(&str, Scope)] = &[
    ("workload", Scope::Workload),
    ("response", Scope::Response),
    ("namespace", Scope::Namespace),
    ("policy", Scope::Policy),
    ("cluster", Scope::Cluster),
];
pub(super) const BREACHES: &[(&str, OnBreach)] = &[("skip", OnBreach::Skip), ("disarm", OnBreach::Disarm)];

/// A policy and where its parts stand, for what is said of them later.
pub(crate) struct Read {
    pub(crate) policy: Policy,
    pub(crate) places: Places,
}

/// Where the parts of a policy stand in its file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// The names that its conditions were compiled with.
    pub(crate) names: crate::condition::Scope,
    pub(crate) limits: Vec<Range<usize>>,
    pub(crate) no_limits: Option<Range<usize>>,
    pub(crate) selectors: Vec<Range<usize>>,
    pub(crate) namespaces: Vec<Range<usize>>,
    pub(crate) responses: Vec<ResponsePlaces>,
}

/// Where the parts of a response stand.
#[derive(Debug, Clone)]
pub(crate) struct ResponsePlaces {
    pub(crate) name: Range<usize>,
    pub(crate) when: Yaml,
    pub(crate) limits: Vec<Range<usize>>,
    pub(crate) actions: Vec<Range<usize>>,
}

/// The name of a document and where it stands.
pub(crate) type Named = (String, Range<usize>);

/// Reads one document; none if it has mistakes, which the reader holds then. Its name is told whatever else is wrong.
pub(crate) fn read(reader: &mut Reader<'_>, yaml: &Yaml, names: &mut Vec<Named>) -> Option<Read> {
    let before = reader.mistakes.len();
    if let Some(kind) = config_map(yaml) {
        let mistake = Mistake::new(kind.span.clone(), "a ConfigMap is no policy");
        reader.wrong(mistake.expected("the texts under its `data`, each as a file"));
        return None;
    }
    let root = reader.map(yaml, "a policy", ROOT)?;
    exactly(reader, &root, "apiVersion", API_VERSION);
    exactly(reader, &root, "kind", KIND);
    let name = reader
        .required(&root, "metadata", "the policy")
        .and_then(|metadata| self::metadata(reader, metadata));
    names.extend(name.clone());
    let spec = reader
        .required(&root, "spec", "the policy")
        .and_then(|spec| self::spec(reader, spec));
    let ((name, _), mut read) = (name?, spec?);
    read.policy.name = name;
    (reader.mistakes.len() == before).then_some(read)
}

/// Where it says that it is a ConfigMap: what people edit in a cluster. None of its keys is a policy's.
fn config_map(yaml: &Yaml) -> Option<&Yaml> {
    let Value::Map(pairs) = &yaml.value else {
        return None;
    };
    let kind = pairs.iter().find(|(key, _)| key.text() == Some("kind"));
    kind.map(|(_, kind)| kind)
        .filter(|kind| kind.text() == Some("ConfigMap"))
}

fn exactly(reader: &mut Reader<'_>, root: &Map<'_>, key: &str, want: &'static str) {
    if let Some(found) = reader.required(root, key, "the policy") {
        reader.word(found, key, &[(want, ())]);
    }
}

fn metadata(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Named> {
    let metadata = reader.map(yaml, "`metadata`", METADATA)?;
    for key in ["labels", "annotations"] {
        for (_, value) in metadata
            .get(key)
            .and_then(|map| reader.pairs(map, key))
            .unwrap_or_default()
        {
            reader.text(value, "text");
        }
    }
    let name = reader.required(&metadata, "name", "`metadata`")?;
    let text = reader.parsed(
        name,
        "lower-case letters, digits, `-` and `.`, at most 253",
        |text| {
            let parts = text.split('.').all(|part| label_name(part).is_ok());
            if parts && text.len() <= 253 {
                Ok(text.to_owned())
            } else {
                Err(format!("{} cannot be a name", Shown(text)))
            }
        },
    )?;
    Some((text, name.span.clone()))
}

fn spec(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Read> {
    let spec = reader.map(yaml, "`spec`", SPEC)?;
    let mut places = Places::default();
    let mode = spec
        .get("mode")
        .and_then(|mode| reader.word(mode, "mode", MODES))
        .unwrap_or_default();
    let age = spec
        .get("maxAlertAge")
        .and_then(|age| reader.parsed(age, DURATION, duration));
    let namespaces = spec
        .get("namespaces")
        .and_then(|list| namespaces(reader, list, &mut places));
    let names = Names::read(reader, &spec);
    let limits = match spec.get("limits") {
        Some(list) => limits(reader, list, &mut places.limits, &mut places.no_limits),
        None => Some(DEFAULT_LIMITS.to_vec()),
    };
    let protect = spec.get("protect").map_or_else(
        || Some(Protect::default()),
        |yaml| protect(reader, yaml, &mut places),
    );
    let responses = reader
        .required(&spec, "responses", "`spec`")
        .and_then(|list| responses(reader, list, mode, &names, &mut places));
    places.names = names.scope;
    let policy = Policy {
        name: String::new(),
        namespaces,
        max_alert_age: age.unwrap_or(DEFAULT_MAX_ALERT_AGE),
        responses: responses?,
        protect: protect?,
        limits: limits?,
    };
    Some(Read { policy, places })
}

pub(super) const DURATION: &str = "a duration such as `5m`, `1h30m`, `30s` or `500ms`";

fn namespaces(reader: &mut Reader<'_>, yaml: &Yaml, places: &mut Places) -> Option<BTreeSet<Namespace>> {
    let items = reader.list(yaml, "namespaces")?;
    if items.is_empty() {
        let mistake = Mistake::new(yaml.span.clone(), "an empty list allows no namespace");
        reader.wrong(mistake.expected("namespaces; without the key all that are not protected are allowed"));
    }
    places.namespaces = items.iter().map(|item| item.span.clone()).collect();
    each(reader, items, |reader, item| {
        reader.parsed(item, "a namespace", str::parse::<Namespace>)
    })
}

/// Every item, each read for its mistakes.
pub(super) fn each<T, C: FromIterator<T>>(
    reader: &mut Reader<'_>,
    items: &[Yaml],
    mut read: impl FnMut(&mut Reader<'_>, &Yaml) -> Option<T>,
) -> Option<C> {
    let all: Vec<Option<T>> = items.iter().map(|item| read(reader, item)).collect();
    all.into_iter().collect()
}
