//! Changes to a pod's labels and annotations, with the API server's rules for what they may be.

use std::collections::BTreeMap;

use falco_event::{Namespace, PodName, PodUid};

use super::Labels;
use super::history::{Actor, Happened};
use super::world::World;
use crate::ports::ApiError;

/// Values by key; none removes the key.
pub(super) type Edits = BTreeMap<String, Option<String>>;

/// All annotations of an object together, keys and values (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

impl World {
    pub(super) fn label(
        &mut self,
        by: Actor,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        edits: &Edits,
    ) -> Result<(), ApiError> {
        let object = self.pods.get_mut(namespace, name).ok_or(ApiError::NotFound)?;
        object.check_uid(uid)?;
        let labels = edited(&object.shown.pod.labels, edits);
        check_labels(&labels)?;
        if labels != object.shown.pod.labels {
            object.shown.pod.labels = labels;
            let target = object.target();
            self.note(by, target.clone(), Happened::Labelled);
            self.wake(&target.uid);
        }
        Ok(())
    }

    pub(super) fn annotate(
        &mut self,
        by: Actor,
        namespace: &Namespace,
        name: &PodName,
        uid: Option<&PodUid>,
        edits: &Edits,
    ) -> Result<(), ApiError> {
        let object = self.pods.get_mut(namespace, name).ok_or(ApiError::NotFound)?;
        object.check_uid(uid)?;
        let annotations = edited(&object.shown.pod.annotations, edits);
        check_annotations(&annotations)?;
        if annotations != object.shown.pod.annotations {
            object.shown.pod.annotations = annotations;
            let target = object.target();
            self.note(by, target, Happened::Annotated);
        }
        Ok(())
    }
}

/// A merge patch: what is not named stays.
fn edited(before: &Labels, edits: &Edits) -> Labels {
    let mut after = before.clone();
    for (key, value) in edits {
        match value {
            Some(value) => after.insert(key.clone(), value.clone()),
            None => after.remove(key),
        };
    }
    after
}

fn check_labels(labels: &Labels) -> Result<(), ApiError> {
    for (key, value) in labels {
        check_key(key)?;
        if !(value.is_empty() || is_qualified(value)) {
            return Err(invalid("label value", value));
        }
    }
    Ok(())
}

fn check_annotations(annotations: &Labels) -> Result<(), ApiError> {
    let mut bytes = 0_usize;
    for (key, value) in annotations {
        check_key(key)?;
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
    }
    if bytes > MAX_ANNOTATION_BYTES {
        return Err(ApiError::Invalid(format!(
            "annotations of {bytes} bytes: expected at most {MAX_ANNOTATION_BYTES}"
        )));
    }
    Ok(())
}

/// A qualified name, with or without a DNS prefix.
fn check_key(key: &str) -> Result<(), ApiError> {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    // A pod's name is a DNS subdomain too, which is what a prefix has to be.
    let prefix_is_right = prefix.is_none_or(|prefix| PodName::try_from(prefix).is_ok());
    if prefix_is_right && is_qualified(name) {
        Ok(())
    } else {
        Err(invalid("key", key))
    }
}

/// 1 to 63 of letters, digits, `-`, `_` and `.`, a letter or digit at both ends.
fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.len() <= 63 && end(bytes.first()) && end(bytes.last()) && bytes.iter().all(inner)
}

fn invalid(what: &str, text: &str) -> ApiError {
    let shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    ApiError::Invalid(format!("`{shown}` is no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_those_of_kubernetes() {
        let long = "a".repeat(64);
        for (key, value, right) in [
            ("security", "hit", true),
            ("falco-drop.dev/protect", "true", true),
            ("empty", "", true),
            ("A_b.c", "x-Y_z.0", true),
            ("", "x", false),
            ("a/b/c", "x", false),
            ("/name", "x", false),
            ("Upper.dev/name", "x", false),
            ("-a", "x", false),
            (long.as_str(), "x", false),
            ("a", long.as_str(), false),
            ("a", "two words", false),
            ("a", "x-", false),
        ] {
            let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(check_labels(&labels).is_ok(), right, "{key:?}={value:?}");
        }
    }

    #[test]
    fn an_invalid_value_is_shown_escaped_and_short() {
        let error = invalid("label value", &format!("a\nb{}", "c".repeat(100)));
        let text = error.to_string();
        assert!(text.starts_with("refused as invalid: `a\\nbccc"), "{text}");
        assert!(text.len() < 120, "{text}");
    }

    #[test]
    fn annotations_are_bounded_together() {
        let fits = BTreeMap::from([("a".to_owned(), "x".repeat(MAX_ANNOTATION_BYTES - 1))]);
        assert_eq!(check_annotations(&fits), Ok(()));
        let over = BTreeMap::from([("a".to_owned(), "x".repeat(MAX_ANNOTATION_BYTES))]);
        assert!(check_annotations(&over).is_err());
    }
}
