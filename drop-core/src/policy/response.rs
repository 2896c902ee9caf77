//! The responses of a policy and their limits.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;

use super::actions;
use super::diagnostics::Mistake;
use super::document::{BREACHES, DURATION, LIMIT, MODES, Places, RESPONSE, ResponsePlaces, SCOPES, each};
use super::model::{Limit, MinAvailable, Mode, OnBreach, Response};
use super::names::Names;
use super::quantities::{duration, label_name, min_available};
use super::reader::Reader;
use super::yaml::Yaml;

pub(super) fn responses(
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
        let (response, place) = response(reader, item, mode, names, &mut seen)?;
        places.responses.push(place);
        Some(response)
    })
}

fn response(
    reader: &mut Reader<'_>,
    yaml: &Yaml,
    of_policy: Mode,
    names: &Names,
    seen: &mut BTreeSet<String>,
) -> Option<(Response, ResponsePlaces)> {
    let map = reader.map(yaml, "a response", RESPONSE)?;
    let name = reader.required(&map, "name", "the response");
    let name_text = name.and_then(|name| self::name(reader, name, seen));
    let mode = map
        .get("mode")
        .map_or(Some(Mode::Enforce), |mode| reader.word(mode, "mode", MODES));
    let when_yaml = reader.required(&map, "when", "the response");
    let when = when_yaml.and_then(|when| names.condition(reader, when));
    let min_available = map
        .get("minAvailable")
        .map_or(Some(None), |yaml| available(reader, yaml).map(Some));
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
        min_available: min_available?,
        limits: limits?,
        actions,
    };
    Some((response, places))
}

/// A name that no other response of the policy has.
fn name(reader: &mut Reader<'_>, yaml: &Yaml, seen: &mut BTreeSet<String>) -> Option<String> {
    let name = reader.parsed(yaml, "lower-case letters, digits and `-`, at most 63", label_name)?;
    if !seen.insert(name.clone()) {
        reader.wrong(Mistake::new(
            yaml.span.clone(),
            format!("two responses are named `{name}`"),
        ));
    }
    Some(name)
}

fn available(reader: &mut Reader<'_>, yaml: &Yaml) -> Option<MinAvailable> {
    let what = "a number of pods, or a share such as `50%`";
    match yaml.plain().or_else(|| yaml.text()) {
        Some(text) => min_available(text)
            .map_err(|why| reader.wrong(Mistake::new(yaml.span.clone(), why).expected(what)))
            .ok(),
        None => reader.unfit(yaml, what),
    }
}

pub(super) fn limits(
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
