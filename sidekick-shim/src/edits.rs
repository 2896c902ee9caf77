//! What falcosidekick's keys have done to an alert before it is kept: fields and tags added, brackets replaced.

use falco_event::{Alert, Edit};

use crate::template::Template;

/// What to change in every alert. Nothing, unless it is configured: then Falco's bytes are passed on as they are.
///
/// The changes are made when an alert comes in, so that every try and every sink gets the same bytes, and each depends
/// on nothing but the alert and the configuration, so that an alert that Falco sends twice is the same alert twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) templates: Vec<(String, Template)>,
    pub(crate) tags: Vec<String>,
    /// What stands for `[` in the names of output fields; `]` is left out.
    pub(crate) brackets: Option<String>,
}

impl Edits {
    /// The alert as it goes on.
    pub(crate) fn apply(&self, alert: Alert) -> Alert {
        if *self == Self::default() {
            return alert;
        }
        let mut edit = Edit::default();
        for (name, text) in &self.fields {
            edit = edit.field(name, text.as_str());
        }
        for (name, template) in &self.templates {
            edit = edit.field(name, template.render(alert.fields(), &self.fields));
        }
        for tag in &self.tags {
            edit = edit.tag(tag);
        }
        if let Some(replacer) = &self.brackets {
            edit = edit.rename(|name| {
                let has = name.contains('[');
                has.then(|| name.replace('[', replacer).replace(']', ""))
            });
        }
        alert.edited(&edit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = r#"{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{"evt.time":1743606903434319636,"proc.aname[2]":"sshd"},"tags":["a"], "new":1e400}"#;

    fn apply(edits: &Edits) -> String {
        let alert = Alert::from_slice(ALERT.as_bytes()).unwrap();
        String::from_utf8(edits.apply(alert).as_bytes().to_vec()).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn nothing_configured_is_the_same_bytes() {
        assert_eq!(apply(&Edits::default()), ALERT);
    }

    #[test]
    fn fields_templates_tags_and_brackets_change_two_members_and_no_more() {
        let template = Template::parse(r#"{{ or .absent (index . "proc.aname[2]") }}-{{ .env }}"#).unwrap();
        let edits = Edits {
            fields: vec![pair("env", "prod")],
            templates: vec![("who".to_owned(), template)],
            tags: vec!["b".to_owned()],
            brackets: Some("_".to_owned()),
        };
        let expected = r#"{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{"evt.time":1743606903434319636,"proc.aname_2":"sshd","env":"prod","who":"sshd-prod"},"tags":["a","b"], "new":1e400}"#;
        assert_eq!(apply(&edits), expected);
    }

    #[test]
    fn the_same_alert_twice_is_the_same_alert_twice() {
        let edits = Edits {
            fields: vec![pair("k8s.ns.name", "shop"), pair("k8s.pod.name", "web-0")],
            ..Edits::default()
        };
        let alert = Alert::from_slice(ALERT.as_bytes()).unwrap();
        let [one, other] = [edits.apply(alert.clone()), edits.apply(alert.clone())];
        assert_eq!((one.as_bytes(), one.id()), (other.as_bytes(), other.id()));
        // The id is that of what goes on: whoever receives it makes the same of it.
        assert_eq!(one.id(), Alert::from_slice(one.as_bytes()).unwrap().id());
        assert_ne!(one.id(), alert.id());
    }
}
