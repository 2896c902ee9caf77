//! Extensions that an operator gives every event, in Knative's form and in falcosidekick's.

use std::collections::BTreeMap;

use falco_event::cloudevents::{Overrides, OverridesError, parse_overrides};
use serde_json::json;

use super::parse::Parsed;

/// Knative's `{"extensions":{"name":"value"}}`.
pub(super) fn json(text: &str) -> Parsed<Overrides> {
    parse_overrides(text).map_err(|error| expected(&error))
}

/// One of falcosidekick's, its name lower-cased as falcosidekick does.
pub(super) fn one(name: &str, value: &str) -> Parsed<Overrides> {
    let extensions = BTreeMap::from([(name.to_ascii_lowercase(), value.to_owned())]);
    checked(&extensions).map_err(|error| expected(&error))
}

/// The extensions of both; where both have one, that of `winner`.
pub(super) fn merged(overrides: &Overrides, winner: &Overrides) -> Overrides {
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
    fn names_are_lower_cased_and_checked() {
        assert_eq!(list(&one("Cluster", "prod").unwrap()), [("cluster", "prod")]);
        for (name, value) in [
            ("bad_name", "x"),
            ("source", "x"),
            ("id", "x"),
            ("", "x"),
            ("a", "b\u{7}"),
        ] {
            assert!(one(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn knatives_win() {
        let one = merged(&one("a", "1").unwrap(), &one("b", "1").unwrap());
        let other = json(r#"{"extensions":{"b":"2","c":"2"}}"#).unwrap();
        assert_eq!(list(&merged(&one, &other)), [("a", "1"), ("b", "2"), ("c", "2")]);
    }
}
