//! Selectors: of a controller, as the query parameter of a list; of a disruption budget, held against a pod's labels.

use std::collections::BTreeMap;

use crate::wire::{LabelSelector, Requirement, Selector};

/// The selector in the API server's query form; none where it selects nothing that can be said.
///
/// An empty selector would select every pod of the namespace: no controller has one.
pub(crate) fn query(selector: &Selector) -> Option<String> {
    let terms = match selector {
        Selector::Plain(labels) => labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        Selector::Label(selector) => label_terms(selector)?,
    };
    if terms.is_empty() {
        None
    } else {
        Some(terms.join(","))
    }
}

fn label_terms(selector: &LabelSelector) -> Option<Vec<String>> {
    let labels = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| Some(format!("{key}={value}")));
    let expressions = selector.match_expressions.iter().flatten().map(requirement);
    labels.chain(expressions).collect()
}

fn requirement(requirement: &Requirement) -> Option<String> {
    let Requirement {
        key,
        operator,
        values,
    } = requirement;
    let values = values.as_deref().unwrap_or_default().join(",");
    match operator.as_str() {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.clone()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

/// Whether the selector selects these labels; an empty one selects all. None where it asks what is not known here.
pub(crate) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<bool> {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let mut all = equal;
    for requirement in selector.match_expressions.iter().flatten() {
        all &= meets(requirement, labels.get(&requirement.key))?;
    }
    Some(all)
}

fn meets(requirement: &Requirement, label: Option<&String>) -> Option<bool> {
    let named = || {
        requirement
            .values
            .iter()
            .flatten()
            .any(|value| Some(value) == label)
    };
    match requirement.operator.as_str() {
        "In" => Some(named()),
        "NotIn" => Some(!named()),
        "Exists" => Some(label.is_some()),
        "DoesNotExist" => Some(label.is_none()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: serde_json::Value) -> Option<String> {
        query(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn each_form_of_a_selector_is_said() {
        let labels = serde_json::json!({"matchLabels": {"app": "web", "tier": "front"}});
        assert_eq!(said(labels).as_deref(), Some("app=web,tier=front"));
        let expressions = serde_json::json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "NotIn", "values": ["z"]},
            {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"}]});
        assert_eq!(
            said(expressions).as_deref(),
            Some("app=web,a in (x,y),b notin (z),c,!d")
        );
        assert_eq!(
            said(serde_json::json!({"app": "old"})).as_deref(),
            Some("app=old"),
            "a ReplicationController's"
        );
    }

    #[test]
    fn a_selector_is_held_against_labels_as_the_api_server_does() {
        let labels: BTreeMap<_, _> = [("app", "web"), ("tier", "front")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let term = |key: &str, operator: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, expected) in [
            (serde_json::json!({}), Some(true)),
            (serde_json::json!({"matchLabels": {"app": "web"}}), Some(true)),
            (
                serde_json::json!({"matchLabels": {"app": "web", "tier": "back"}}),
                Some(false),
            ),
            (
                serde_json::json!({"matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["front"]}]}),
                Some(false),
            ),
            (term("app", "In", &["api", "web"]), Some(true)),
            (term("app", "In", &["api"]), Some(false)),
            (term("gone", "In", &["web"]), Some(false)),
            (term("app", "NotIn", &["api"]), Some(true)),
            (term("app", "NotIn", &["web"]), Some(false)),
            (term("gone", "NotIn", &["web"]), Some(true)),
            (term("app", "Exists", &[]), Some(true)),
            (term("gone", "Exists", &[]), Some(false)),
            (term("gone", "DoesNotExist", &[]), Some(true)),
            (term("app", "DoesNotExist", &[]), Some(false)),
            (term("app", "Near", &[]), None),
        ] {
            let text = selector.to_string();
            assert_eq!(
                selects(&serde_json::from_value(selector).unwrap(), &labels),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_would_select_everything_or_is_not_known_is_none() {
        assert_eq!(said(serde_json::json!({})), None);
        assert_eq!(
            said(serde_json::json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})),
            None
        );
    }
}
