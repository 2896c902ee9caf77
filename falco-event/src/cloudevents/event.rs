//! An alert as cloudevents-sdk's `Event`, and back.

use std::time::SystemTime;

use cloudevents::event::{AttributesReader, AttributesWriter};
use cloudevents::{Data, Event};

use super::refusal::Refusal;
use super::send::{extensions, subject};
use super::{SOURCE, TYPE};
use crate::alert::Alert;
use crate::excerpt::excerpt;

/// The data are JSON where a JSON value keeps all that the alert says, else the bytes: `Data::Json` rounds numbers
/// beyond 64 bits, and cannot hold half a surrogate pair.
impl From<&Alert> for Event {
    fn from(alert: &Alert) -> Self {
        let mut event = Self::default();
        event.set_id(alert.id().to_string());
        event.set_type(TYPE);
        event.set_source(SOURCE);
        event.set_time(Some(SystemTime::from(alert.time())));
        event.set_subject(subject(alert));
        for (name, value) in extensions(alert) {
            event.set_extension(name, value.into_owned());
        }
        event.set_data("application/json", data(alert));
        event
    }
}

fn data(alert: &Alert) -> Data {
    let bytes = alert.as_bytes();
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let kept = value
        .filter(|value| Alert::from_slice(value.to_string().as_bytes()).is_ok_and(|a| a.says_same(alert)));
    kept.map_or_else(|| Data::Binary(bytes.to_vec()), Data::Json)
}

/// Reads an alert back from an event of its type.
impl TryFrom<&Event> for Alert {
    type Error = Refusal;

    fn try_from(event: &Event) -> Result<Self, Refusal> {
        if event.ty() != TYPE {
            return Err(Refusal::OtherType {
                found: excerpt(event.ty()),
            });
        }
        let read = match event.data() {
            None => Self::from_slice(b""),
            Some(Data::Json(json)) => Self::from_slice(json.to_string().as_bytes()),
            Some(Data::String(text)) => Self::from_slice(text.as_bytes()),
            Some(Data::Binary(bytes)) => Self::from_slice(bytes),
        };
        read.map_err(Refusal::Data)
    }
}
