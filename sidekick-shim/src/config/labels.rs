//! Which output fields are labels of falcosidekick's count of alerts: the custom and the templated ones, and those that
//! are named.

use super::settings::{Settings, parsed};
use crate::edits::Edits;
use crate::events::{LABELS, Label, MORE_LABELS};

pub(super) fn labels(settings: &mut Settings<'_>, edits: &Edits) -> Vec<Label> {
    let mut labels = Vec::new();
    let custom = edits.fields.iter().map(|(name, _)| name);
    for field in custom.chain(edits.templates.iter().map(|(name, _)| name)) {
        match label(field) {
            Ok(label) => add(settings, &mut labels, label),
            Err(expected) => settings.notes.push(format!(
                "the field `{field}` is no label of the metrics: a label has {expected}"
            )),
        }
    }
    for entry in settings.list("prometheus.extralabels") {
        let read = parsed(&entry.name, &entry.value, label);
        if let Some(label) = settings.take(read) {
            add(settings, &mut labels, label);
        }
    }
    labels
}

/// Falcosidekick does not start with two of a name.
fn add(settings: &mut Settings<'_>, labels: &mut Vec<Label>, label: Label) {
    if LABELS.contains(&&*label.name) || labels.iter().any(|other| other.name == label.name) {
        settings.notes.push(format!(
            "the field `{}` is no label of the metrics: there is a `{}` already",
            label.field, label.name
        ));
    } else if labels.len() == MORE_LABELS {
        settings.notes.push(format!(
            "the field `{}` is no label of the metrics: there are {MORE_LABELS} already",
            label.field
        ));
    } else {
        labels.push(label);
    }
}

/// Of such a name Prometheus makes a label, with `_` for dots.
fn label(field: &str) -> Result<Label, &'static str> {
    let name = field.replace('.', "_");
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // Prometheus keeps the others for itself.
    if begins && goes_on && !name.starts_with("__") {
        let field = field.to_owned();
        Ok(Label { name, field })
    } else {
        Err("a name of letters, digits, `_` and `.` that begins with no digit and no `__`")
    }
}
