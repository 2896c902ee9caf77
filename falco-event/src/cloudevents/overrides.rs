//! Knative's `K_CE_OVERRIDES`: extensions that an operator adds to every event of a source.

use std::collections::BTreeMap;

use super::RECORDED_TIME;
use super::attributes::{CORE, bad_name, is_allowed};
use crate::excerpt::excerpt;

/// Extensions to set on every event, over those that it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides(pub(super) BTreeMap<String, String>);

/// Why `K_CE_OVERRIDES` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverridesError {
    /// It is not JSON of Knative's shape.
    #[error("not an object of extensions: expected `{{\"extensions\":{{\"name\":\"value\"}}}}`: {cause}")]
    Shape {
        /// What is wrong and where.
        cause: String,
    },
    /// A name that no extension can have.
    #[error("extension `{name}`: {why}")]
    Name {
        /// The name: escaped and short.
        name: String,
        /// What is wrong with it and what was expected.
        why: &'static str,
    },
    /// A value that no attribute can have.
    #[error("extension `{name}` is `{value}`: expected no control characters and no noncharacters")]
    Value {
        /// The name.
        name: String,
        /// The value: escaped and short.
        value: String,
    },
}

#[derive(serde::Deserialize)]
struct Shape {
    #[serde(default)]
    extensions: Option<BTreeMap<String, String>>,
}

/// Reads the value of `K_CE_OVERRIDES`. Empty is no override, which is what Knative sets where there is none.
///
/// ```
/// use falco_event::cloudevents::parse_overrides;
/// let overrides = parse_overrides(r#"{"extensions":{"cluster":"prod"}}"#)?;
/// assert_eq!(overrides.iter().collect::<Vec<_>>(), [("cluster", "prod")]);
/// assert_eq!(
///     parse_overrides(r#"{"extensions":{"Cluster":"prod"}}"#).unwrap_err().to_string(),
///     "extension `Cluster`: bad name: expected `a-z` and `0-9`"
/// );
/// # Ok::<(), falco_event::cloudevents::OverridesError>(())
/// ```
///
/// # Errors
/// It is not JSON of that shape, or a name or value is one that CloudEvents does not allow.
pub fn parse_overrides(json: &str) -> Result<Overrides, OverridesError> {
    if json.trim().is_empty() {
        return Ok(Overrides::default());
    }
    if !json.trim_start().starts_with('{') {
        return Err(OverridesError::Shape {
            cause: format!("found `{}`", excerpt(json)),
        });
    }
    let shape: Shape = serde_json::from_str(json).map_err(|cause| OverridesError::Shape {
        cause: excerpt(&cause.to_string()),
    })?;
    let extensions = shape.extensions.unwrap_or_default();
    for (name, value) in &extensions {
        check(name, value)?;
    }
    Ok(Overrides(extensions))
}

fn check(name: &str, value: &str) -> Result<(), OverridesError> {
    // Who receives an event decides by when it was recorded.
    let core = (CORE.contains(&name) || name == RECORDED_TIME)
        .then_some("an attribute that the sender sets: expected another name");
    if let Some(why) = bad_name(name).or(core) {
        return Err(OverridesError::Name {
            name: excerpt(name),
            why,
        });
    }
    if value.chars().all(is_allowed) {
        return Ok(());
    }
    Err(OverridesError::Value {
        name: name.to_owned(),
        value: excerpt(value),
    })
}

impl Overrides {
    /// The extensions by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
