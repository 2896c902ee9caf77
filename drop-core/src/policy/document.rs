//! From a YAML document to a policy.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use falco_event::{Namespace, PodName};

use super::actions;
use super::diagnostics::Mistake;
use super::model::{LabelSelector, Limit, Mode, OnBreach, Policy, Protect, Response, Scope, Workload};
use super::names::Names;
use super::quantities::{duration, label_name, label_value, min_available, qualified_key};
use super::reader::{Map, Reader};
use super::yaml::Yaml;
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
    pub(crate) name: Range<usize>,
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

/// Reads one document; none if it has mistakes, which the reader holds then.
pub(crate) fn read(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Read> {
    let before = reader.mistakes.len();
    let root = reader.map(yaml, "a policy", ROOT)?;
    exactly(reader, &root, "apiVersion", API_VERSION);
    exactly(reader, &root, "kind", KIND);
    let name = reader
        .required(&root, "metadata", "the policy")
        .and_then(|metadata| self::metadata(reader, metadata));
    let spec = reader
        .required(&root, "spec", "the policy")
        .and_then(|spec| self::spec(reader, spec));
    let ((name, at), mut read) = (name?, spec?);
    read.policy.name = name;
    read.places.name = at;
    (reader.mistakes.len() == before).then_some(read)
}

fn exactly(reader: &mut Reader<'_>, root: &Map<'_>, key: &str, want: &'static str) {
    if let Some(found) = reader.required(root, key, "the policy") {
        reader.word(found, key, &[(want, ())]);
    }
}

fn metadata(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<(String, Range<usize>)> {
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
        Some(list) => self::limits(reader, list, &mut places.limits, &mut places.no_limits),
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

const DURATION: &str = "a duration such as `5m`, `1h30m`, `30s` or `500ms`";

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
fn each<T, C: FromIterator<T>>(
    reader: &mut Reader<'_>,
    items: &[Yaml],
    mut read: impl FnMut(&mut Reader<'_>, &Yaml) -> Option<T>,
) -> Option<C> {
    let all: Vec<Option<T>> = items.iter().map(|item| read(reader, item)).collect();
    all.into_iter().collect()
}

fn responses(
    reader: &mut Reader<'_>,
    yaml: &Yaml,
    mode: Mode,
    names: &Names,
    places: &mut Places,
) -> Option<Vec<Response>> {
    let items = reader.list(yaml, "responses")?;
    if items.is_empty() {
        reader.wrong(
            Mistake::new(yaml.span.clone(), "the policy has no response").expected("one response or more"),
        );
    }
    let mut seen = BTreeSet::new();
    each(reader, items, |reader, item| {
        let (response, place) = response(reader, item, mode, names)?;
        if !seen.insert(response.name.clone()) {
            reader.wrong(Mistake::new(
                place.name.clone(),
                format!("two responses are named `{}`", response.name),
            ));
        }
        places.responses.push(place);
        Some(response)
    })
}

fn response(
    reader: &mut Reader<'_>,
    yaml: &Yaml,
    of_policy: Mode,
    names: &Names,
) -> Option<(Response, ResponsePlaces)> {
    let map = reader.map(yaml, "a response", RESPONSE)?;
    let name = reader.required(&map, "name", "the response");
    let name_text = name
        .and_then(|name| reader.parsed(name, "lower-case letters, digits and `-`, at most 63", label_name));
    let mode = map
        .get("mode")
        .map_or(Some(Mode::Enforce), |mode| reader.word(mode, "mode", MODES));
    let when_yaml = reader.required(&map, "when", "the response");
    let when = when_yaml.and_then(|when| names.condition(reader, when));
    let min_available = match map.get("minAvailable") {
        Some(yaml) => Some(self::available(reader, yaml)?),
        None => None,
    };
    let mut limit_places = Vec::new();
    let limits = map.get("limits").map_or_else(
        || Some(Vec::new()),
        |list| limits(reader, list, &mut limit_places, &mut None),
    );
    let actions = reader
        .required(&map, "do", "the response")
        .and_then(|list| actions::read(reader, list));
    let (actions, action_places) = actions?;
    let places = ResponsePlaces {
        name: name?.span.clone(),
        when: when_yaml?.clone(),
        limits: limit_places,
        actions: action_places,
    };
    let response = Response {
        name: name_text?,
        mode: of_policy.and(mode?),
        when: when?,
        min_available,
        limits: limits?,
        actions,
    };
    Some((response, places))
}

fn available(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<super::model::MinAvailable> {
    let what = "a number of pods, or a share such as `50%`";
    match yaml.plain().or_else(|| yaml.text()) {
        Some(text) => min_available(text)
            .map_err(|why| reader.wrong(Mistake::new(yaml.span.clone(), why).expected(what)))
            .ok(),
        None => reader.unfit(yaml, what),
    }
}

fn limits(
    reader: &mut Reader<'_>,
    yaml: &Yaml,
    places: &mut Vec<Range<usize>>,
    none: &mut Option<Range<usize>>,
) -> Option<Vec<Limit>> {
    let items = reader.list(yaml, "limits")?;
    if items.is_empty() {
        *none = Some(yaml.span.clone());
    }
    places.extend(items.iter().map(|item| item.span.clone()));
    each(reader, items, limit)
}

fn limit(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<Limit> {
    let map = reader.map(yaml, "a limit", LIMIT)?;
    let scope = reader
        .required(&map, "scope", "the limit")
        .and_then(|scope| reader.word(scope, "scope", SCOPES));
    let max = reader
        .required(&map, "max", "the limit")
        .and_then(|max| reader.number(max, 1, u32::MAX, "pods"));
    let per = reader
        .required(&map, "per", "the limit")
        .and_then(|per| reader.parsed(per, DURATION, duration));
    let on_breach = map.get("onBreach").map_or(Some(OnBreach::Skip), |word| {
        reader.word(word, "onBreach", BREACHES)
    });
    Some(Limit {
        scope: scope?,
        max: NonZeroU32::new(max?)?,
        per: per?,
        on_breach: on_breach?,
    })
}

fn protect(reader: &mut Reader<'_>, yaml: &Yaml, places: &mut Places) -> Option<Protect> {
    let map = reader.map(yaml, "`protect`", PROTECT)?;
    let mut protect = Protect::default();
    if let Some(list) = map.get("namespaces") {
        let items = reader.list(list, "namespaces")?;
        protect.namespaces = each(reader, items, |reader, item| {
            reader.parsed(item, "a namespace", str::parse::<Namespace>)
        })?;
    }
    if let Some(selector) = map.get("namespaceSelector") {
        places.selectors.push(selector.span.clone());
        protect
            .namespace_selectors
            .push(self::selector(reader, selector)?);
    }
    if let Some(list) = map.get("workloads") {
        let items = reader.list(list, "workloads")?;
        protect.workloads = each(reader, items, workload)?;
    }
    Some(protect)
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
