//! The environment, read variable by variable: mistakes and notes are collected on the way.

use falco_event::cloudevents::Overrides;
use http::Uri;

use crate::extensions;
use crate::mistake::{Mistake, Mistakes};
use crate::parse::{self, Parsed};

/// Keys of falcosidekick that an installation may have set and that have no effect here, yet.
const WITHOUT_EFFECT: &[&str] = &[
    "DEBUG",
    "CUSTOMFIELDS",
    "TEMPLATEDFIELDS",
    "CUSTOMTAGS",
    "BRACKETREPLACER",
    "OUTPUTFIELDFORMAT",
    "MUTUALTLSFILESPATH",
    "MUTUALTLSCLIENT_CERTFILE",
    "MUTUALTLSCLIENT_KEYFILE",
    "MUTUALTLSCLIENT_CACERTFILE",
    "TLSCLIENT_CACERTFILE",
    "TLSSERVER_DEPLOY",
    "TLSSERVER_CERTFILE",
    "TLSSERVER_KEYFILE",
    "TLSSERVER_CACERTFILE",
    "TLSSERVER_MUTUALTLS",
    "TLSSERVER_NOTLSPORT",
    "TLSSERVER_NOTLSPATHS",
    "CLOUDEVENTS_MINIMUMPRIORITY",
    "CLOUDEVENTS_MUTUALTLS",
    "CLOUDEVENTS_CHECKCERT",
    "CLOUDEVENTS_MAXCONCURRENTREQUESTS",
    "PROMETHEUS_EXTRALABELS",
    "STATSD_FORWARDER",
    "STATSD_NAMESPACE",
    "STATSD_TAGS",
    "DOGSTATSD_FORWARDER",
    "DOGSTATSD_NAMESPACE",
    "DOGSTATSD_TAGS",
    "OTLP_METRICS_ENDPOINT",
];

/// A reading of the environment.
pub(crate) struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
    notes: Vec<String>,
}

impl<'a> Variables<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            mistakes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The mistakes, if there are any; else the sink, which is there then, and the notes.
    pub(crate) fn end(mut self, sink: Option<Uri>) -> Result<(Uri, Vec<String>), Mistakes> {
        for name in WITHOUT_EFFECT {
            if self.text(name).is_some() {
                self.notes.push(format!(
                    "`{name}` is a key of falcosidekick that has no effect here yet"
                ));
            }
        }
        match sink {
            Some(sink) if self.mistakes.is_empty() => Ok((sink, self.notes)),
            Some(_) | None => Err(Mistakes::new(self.mistakes)),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// The value of a variable, `None` if it is not set or, with a mistake noted, if it cannot be used.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.mistakes
                    .push(Mistake::value(name, without_credentials(&text), expected));
                None
            }
        }
    }

    pub(crate) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    /// `K_SINK`, else `CLOUDEVENTS_ADDRESS`; one of them has to be there.
    pub(crate) fn sink(&mut self) -> Option<Uri> {
        let name = self.first_of(["K_SINK", "CLOUDEVENTS_ADDRESS"]);
        let Some(name) = name else {
            let expected = "the URL of the sink, in it or in `CLOUDEVENTS_ADDRESS`";
            self.mistakes.push(Mistake::missing("K_SINK", expected));
            return None;
        };
        self.optional(name, parse::url)
    }

    /// The extensions of both ways to name them; Knative's win.
    pub(crate) fn overrides(&mut self) -> Overrides {
        let falcosidekick = self.first_of(["CLOUDEVENTS_EXTENSIONS", "CLOUDEVENTS_EXTENSION"]);
        let mut overrides = falcosidekick
            .and_then(|name| self.optional(name, extensions::pairs))
            .unwrap_or_default();
        if let Some(knative) = self.optional("K_CE_OVERRIDES", extensions::json) {
            overrides = extensions::merged(&overrides, &knative);
        }
        overrides
    }

    /// The name of the variable that counts, of two with one meaning; a note if the other says something else.
    fn first_of(&mut self, [first, second]: [&'static str; 2]) -> Option<&'static str> {
        match (self.text(first), self.text(second)) {
            (Some(one), Some(other)) if one != other => {
                self.notes
                    .push(format!("`{second}` has no effect: `{first}` is set and wins"));
                Some(first)
            }
            (Some(_), _) => Some(first),
            (None, Some(_)) => Some(second),
            (None, None) => None,
        }
    }
}

/// A value to be shown: what precedes an `@` may be a password.
fn without_credentials(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => text.to_owned(),
    }
}
