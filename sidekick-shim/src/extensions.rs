//! Extensions that an operator gives every event, in Knative's form and in falcosidekick's.

use std::collections::BTreeMap;

use falco_event::cloudevents::{Overrides, OverridesError, parse_overrides};
use serde_json::json;

use crate::parse::Parsed;

/// Knative's `{"extensions":{"name":"value"}}`.
pub(crate) fn json(text: &str) -> Parsed<Overrides> {
    parse_overrides(text).map_err(|error| expected(&error))
}

/// Falcosidekick's `name:value,name:value`. Names are lower-cased, as falcosidekick does. A value may hold colons,
/// and an entry without one is a mistake: falcosidekick drops both in silence.
pub(crate) fn pairs(text: &str) -> Parsed<Overrides> {
    let mut extensions = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, value) = entry.split_once(':').ok_or("name:value,name:value")?;
        extensions.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    checked(&extensions).map_err(|error| expected(&error))
}

/// The extensions of both; where both have one, that of `winner`.
pub(crate) fn merged(overrides: &Overrides, winner: &Overrides) -> Overrides {
    let both = overrides.iter().chain(winner.iter());
    let extensions = both
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Both were checked, so what is in both together is too.
    checked(&extensions).unwrap_or_default()
}

fn checked(extensions: &BTreeMap<String, String>) -> Result<Overrides, OverridesError> {
    parse_overrides(&json!({ "extensions": extensions }).to_string())
}

fn expected(error: &OverridesError) -> String {
    format!("extensions that CloudEvents allows: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(overrides: &Overrides) -> Vec<(&str, &str)> {
        overrides.iter().collect()
    }

    #[test]
    fn pairs_keep_colons_in_values_and_lower_the_case_of_names() {
        let overrides = pairs("Cluster:prod, link:https://a/b ,empty:,").unwrap();
        assert_eq!(
            list(&overrides),
            [("cluster", "prod"), ("empty", ""), ("link", "https://a/b")]
        );
    }

    #[test]
    fn pairs_refuse_what_would_make_every_event_invalid() {
        for text in ["cluster", "bad_name:x", "source:x", "id:x", ":x", "a:b\u{7}"] {
            assert!(pairs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn knatives_win() {
        let one = pairs("a:1,b:1").unwrap();
        let other = json(r#"{"extensions":{"b":"2","c":"2"}}"#).unwrap();
        assert_eq!(list(&merged(&one, &other)), [("a", "1"), ("b", "2"), ("c", "2")]);
    }
}
