//! The body of a request: an alert in the form in which its sink wants it.

use std::sync::Arc;

use falco_event::cloudevents::{Keys, Sender};
use falco_event::{Alert, Timestamp};

use crate::config::Format;
use crate::follow::Followed;

/// How the alerts of one sink are wrapped; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) format: Format,
    pub(crate) events: Sender,
    /// What events are signed with.
    pub(crate) keys: Option<Arc<Followed<Keys>>>,
}

impl Envelope {
    /// The same for the same alert at every try, while the key is the same.
    pub(crate) fn body(&self, alert: &Alert, received: Timestamp) -> Vec<u8> {
        match (self.format, &self.keys) {
            (Format::Falco, _) => alert.as_bytes().to_vec(),
            (Format::CloudEvents, None) => self.events.structured(alert, received),
            (Format::CloudEvents, Some(keys)) => self.events.signed(alert, received, &keys.now()),
        }
    }
}
