//! What is mostly no alert.

use proptest::prelude::*;

/// Any JSON as text, with blanks between: scalars, and arrays and objects to a depth of 8, of about 64 values. Numbers
/// go beyond all machine types; of strings one in four is spelled with escapes, half surrogate pairs too.
pub fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(8, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec((blank(), inner.clone()), 0..8).prop_map(|items| {
                let items: Vec<_> = items
                    .into_iter()
                    .map(|(blank, item)| format!("{blank}{item}"))
                    .collect();
                format!("[{}]", items.join(","))
            }),
            prop::collection::vec((string(), blank(), inner), 0..8).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &[(String, &'static str, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, blank, value)| format!("{name}{blank}:{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Bodies of a request, a third each: any bytes; none to three JSON documents, one after the other; pieces of alerts in
/// any order with other bytes between.
pub fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..3);
    let pieces = prop::collection::vec(prop_oneof![6 => piece, 1 => noise], 0..40);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec((json(), blank()), 0..4).prop_map(|parts| parts
            .into_iter()
            .map(|(json, blank)| json + blank)
            .collect::<String>()
            .into_bytes()),
        pieces.prop_map(|pieces| pieces.concat()),
    ]
}

const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\"",
    "\\",
    "null",
    "1e400",
    "\u{feff}",
    "\"rule\":",
    "\"priority\":",
    "\"time\":",
    "\"output_fields\":",
    "\"tags\":",
    "\"r\"",
    "\"Notice\"",
    "\"2026-01-01T00:00:00Z\"",
    "{\"seconds\":1,\"nanos\":2}",
    "\"\\ud800\"",
    "\"k8s.pod.name\":\"a\"",
    "{\"rule\":\"r\",\"priority\":\"Notice\",\"time\":\"2026-01-01T00:00:00Z\"}",
];

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        number(),
        string()
    ]
}

/// A number of JSON, as text.
pub(super) fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,4})?",
    ]
}

/// A string of JSON with its quotes.
pub(super) fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        1 => "\"([a-z<>.]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud[89ab][0-9a-f]{2}){0,12}\"",
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " ", "\n", "\t \r\n"])
}
