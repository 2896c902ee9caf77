//! A sink with all that posting to it needs.

use std::path::PathBuf;
use std::sync::Arc;

use falco_event::cloudevents::{Keys, Sender};

use crate::config::{Config, Mistake, Name};
use crate::envelope::Envelope;
use crate::follow::{Followed, Followers};
use crate::sink::HttpSink;

/// How a sink is reached, and the form in which it gets alerts.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) http: HttpSink,
    pub(crate) envelope: Envelope,
}

impl Destination {
    /// Every sink of a configuration, in its order. What their files have of mistakes is noted.
    pub(crate) fn all(config: &Config, followers: &mut Followers, mistakes: &mut Vec<Mistake>) -> Vec<Self> {
        let mut note = |name: &str, what: String| mistakes.push(Mistake::new(&Name::variable(name), what));
        let keys = config.signing_keys.clone().map(|path| keys(path, followers));
        let keys = keys.transpose().unwrap_or_else(|why| {
            note("SHIM_SIGNING_KEYS", format!("cannot be used: {why}"));
            None
        });
        let events = Sender::default().with_overrides(config.overrides.clone());
        let mut all = Vec::new();
        for sink in &config.sinks {
            match HttpSink::new(sink, config, followers) {
                Err(why) => note(&sink.name, format!("is a sink that cannot be used: {why}")),
                Ok(http) => all.push(Self {
                    http,
                    envelope: Envelope {
                        format: sink.format,
                        events: events.clone(),
                        keys: keys.clone(),
                    },
                }),
            }
        }
        all
    }
}

/// The keys of a file, as it is from then on.
fn keys(path: PathBuf, followers: &mut Followers) -> Result<Arc<Followed<Keys>>, String> {
    followers.follow(vec![path], |texts| {
        let text = texts.first().map(Vec::as_slice).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
        Keys::parse(text).map_err(|error| error.to_string())
    })
}
