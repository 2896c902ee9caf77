//! An alert written anew.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::alert::Alert;

/// Writes the alert anew, from what was read: Falco's names in Falco's order, the time with nine digits and `Z`, the
/// priority in Falco's spelling. To pass an alert on as it was, use [`Alert::as_bytes`].
impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let texts = [
            ("hostname", self.hostname()),
            ("message", self.message()),
            ("output", self.output()),
        ];
        for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            map.serialize_entry(name, text)?;
        }
        map.serialize_entry("output_fields", self.fields())?;
        map.serialize_entry("priority", &self.priority())?;
        map.serialize_entry("rule", self.rule())?;
        if let Some(source) = self.source() {
            map.serialize_entry("source", source)?;
        }
        if let Some(tags) = self.tag_list() {
            map.serialize_entry("tags", &tags)?;
        }
        map.serialize_entry("time", &format!("{:.9}", self.time()))?;
        for (name, value) in self.others() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
