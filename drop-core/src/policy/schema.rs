//! The JSON Schema of a policy, for editors.

use serde_json::{Map, Value, json};

use super::actions::{DEFAULT_GRACE_PERIOD_SECONDS, KINDS};
use super::document::{
    API_VERSION, BREACHES, KIND, LIMIT, METADATA, MODES, PROTECT, RESPONSE, ROOT, SCOPES, SPEC,
};
use crate::condition::declarable_types;

/// The JSON Schema (draft 2020-12) of a policy.
///
/// It is made of the keys and words that the reader knows. It says less than the reader: conditions are text to it.
#[must_use]
pub fn schema() -> Value {
    let mut root = object(ROOT, &["apiVersion", "kind", "metadata", "spec"], root_key);
    if let Value::Object(root) = &mut root {
        root.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        root.insert("title".to_owned(), json!(KIND));
        root.insert(
            "description".to_owned(),
            json!("What falco-drop does about an alert of Falco, and within which limits."),
        );
    }
    root
}

/// An object of these keys and no others. A key without a meaning is a mistake in this file, which a test finds.
fn object(keys: &[&str], required: &[&str], of: fn(&str) -> Option<Value>) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), of(key)?)))
        .collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn words<T>(words: &[(&str, T)]) -> Vec<String> {
    words.iter().map(|(word, _)| (*word).to_owned()).collect()
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), json!(description));
    }
    schema
}

fn name() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" })
}

fn duration() -> Value {
    json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" })
}

fn map_of(values: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

fn root_key(key: &str) -> Option<Value> {
    Some(match key {
        "apiVersion" => json!({ "const": API_VERSION }),
        "kind" => json!({ "const": KIND }),
        "metadata" => object(METADATA, &["name"], |key| Some(metadata_key(key))),
        "spec" => object(SPEC, &["responses"], spec_key),
        "status" => described(json!({ "type": "object" }), "Written by the cluster, not read."),
        _ => return None,
    })
}

fn metadata_key(key: &str) -> Value {
    match key {
        "name" => {
            json!({ "type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" })
        }
        "labels" | "annotations" => map_of(&json!({ "type": "string" })),
        _ => described(json!({}), "Written by the cluster, not read."),
    }
}

fn spec_key(key: &str) -> Option<Value> {
    let text = json!({ "type": "string" });
    Some(match key {
        "mode" => described(
            json!({ "enum": words(MODES), "default": "observe" }),
            "observe: decide and record, touch nothing.",
        ),
        "namespaces" => described(
            json!({ "type": "array", "minItems": 1, "items": name() }),
            "Where this policy may act; absent: wherever it is not protected.",
        ),
        "maxAlertAge" => described(duration(), "An alert older than this is skipped; 5m if absent."),
        "lists" => described(
            map_of(&json!({ "type": "array", "items": { "type": ["string", "number", "boolean"] } })),
            "Items by the name of a list.",
        ),
        "macros" => described(map_of(&text), "Conditions by the name of a macro."),
        "fields" => described(
            map_of(&json!({ "enum": declarable_types() })),
            "Types of fields that Falco's tables do not know.",
        ),
        "responses" => {
            json!({ "type": "array", "minItems": 1, "items": object(RESPONSE, &["name", "when", "do"], response_key) })
        }
        "protect" => described(object(PROTECT, &[], protect_key), "What no policy may touch."),
        "limits" => described(
            limits(),
            "Over all responses; absent: 5 pods of a workload per 10m, 30 of the policy per 1m; []: none.",
        ),
        _ => return None,
    })
}

fn response_key(key: &str) -> Option<Value> {
    Some(match key {
        "name" => name(),
        "mode" => described(
            json!({ "enum": words(MODES) }),
            "The more careful of this and the policy's counts.",
        ),
        "when" => described(
            json!({ "type": "string", "minLength": 1 }),
            "A condition in Falco's language.",
        ),
        "minAvailable" => described(
            json!({ "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+%?$" }] }),
            "Pods of the owner, or their share of its desired replicas, that are ready after the act.",
        ),
        "limits" => described(limits(), "In addition to the policy's."),
        "do" => {
            json!({ "type": "array", "minItems": 1, "items": { "oneOf": KINDS.iter().filter_map(|kind| action(kind)).collect::<Vec<_>>() } })
        }
        _ => return None,
    })
}

fn limits() -> Value {
    json!({ "type": "array", "items": object(LIMIT, &["scope", "max", "per"], limit_key) })
}

fn limit_key(key: &str) -> Option<Value> {
    Some(match key {
        "scope" => json!({ "enum": words(SCOPES) }),
        "max" => described(json!({ "type": "integer", "minimum": 1 }), "Distinct pods."),
        "per" => duration(),
        "onBreach" => json!({ "enum": words(BREACHES), "default": "skip" }),
        _ => return None,
    })
}

fn protect_key(key: &str) -> Option<Value> {
    let text = json!({ "type": "string" });
    Some(match key {
        "namespaces" => json!({ "type": "array", "items": name() }),
        "namespaceSelector" => {
            json!({ "type": "object", "additionalProperties": false, "required": ["matchLabels"], "properties": { "matchLabels": map_of(&text) } })
        }
        "workloads" => {
            json!({ "type": "array", "items": object(&["namespace", "kind", "name"], &["namespace", "kind", "name"], |key| {
            Some(if key == "kind" { json!({ "type": "string", "pattern": "^[A-Z][A-Za-z0-9]*$" }) } else { json!({ "type": "string" }) })
        }) })
        }
        _ => return None,
    })
}

fn action(kind: &str) -> Option<Value> {
    let goes_on = json!({ "type": "boolean", "default": false });
    let grace = json!({ "type": "integer", "minimum": 0, "default": DEFAULT_GRACE_PERIOD_SECONDS });
    let values = map_of(&json!({ "type": ["string", "null"] }));
    let (properties, required) = match kind {
        "delete" | "evict" => (
            json!({ "gracePeriodSeconds": grace, "continueOnError": goes_on }),
            vec![],
        ),
        "label" => (
            json!({ "labels": values, "continueOnError": goes_on }),
            vec!["labels"],
        ),
        "annotate" => (
            json!({ "annotations": values, "continueOnError": goes_on }),
            vec!["annotations"],
        ),
        "record" => (json!({}), vec![]),
        _ => return None,
    };
    let body = json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    Some(
        json!({ "type": "object", "additionalProperties": false, "required": [kind], "properties": { kind: body } }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_read_has_a_meaning() {
        let missing = |keys: &[&'static str], of: fn(&str) -> Option<Value>| {
            keys.iter()
                .copied()
                .filter(|key| of(key).is_none())
                .collect::<Vec<_>>()
        };
        let all = [
            missing(ROOT, root_key),
            missing(SPEC, spec_key),
            missing(RESPONSE, response_key),
            missing(LIMIT, limit_key),
            missing(PROTECT, protect_key),
            missing(&KINDS, action),
        ];
        assert!(all.iter().all(Vec::is_empty), "{all:?}");
    }
}
