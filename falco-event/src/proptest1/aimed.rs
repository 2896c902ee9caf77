//! Alerts in all their spellings.

use proptest::prelude::*;

use super::names::offender;
use super::wild::{json, number, string};
use crate::alert::Alert;
use crate::offender::Offender;

/// A member of an object: its name, and its value as JSON.
type Member = (String, String);

/// Alerts: what [`alert_text`] generates, read.
pub fn alert() -> impl Strategy<Value = Alert> {
    alert_text().prop_filter_map("an alert", |text| Alert::from_slice(text.as_bytes()).ok())
}

/// Alerts whose [`offender`](Alert::offender) is one of [`offender`]'s, which comes along.
pub fn alert_of() -> impl Strategy<Value = (Offender, Alert)> {
    let of = |offender: Offender| {
        let text = alert_text_of(&offender);
        text.prop_filter_map("an alert", move |text| {
            Some((offender.clone(), Alert::from_slice(text.as_bytes()).ok()?))
        })
    };
    offender().prop_flat_map(of)
}

/// The text of an alert. Offender: as [`offender`] says. Rule: half one of Falco's, half any text. Priority: any of
/// the eight, as Falco's word in two of four, in lower case, or as a number. Time: 2020 to 2030 in nanoseconds, a
/// quarter each as Falco, as falcosidekick, as Python (in microseconds) and as gRPC spells it. Source: one of
/// `syscall`, `syscalls`, empty, null and absent; where the offender has no node, in one of two a plugin's. Hostname:
/// the node, else absent. Output, message and tags are there in three of four, else absent, null or empty. Zero to
/// seven output fields besides the offender's, with Falco's name in four of six and any value; a name may come twice.
/// Members in Falco's order, in the order before Falco 0.39, or turned, a third each; members that are not Falco's in
/// one of four.
pub fn alert_text() -> impl Strategy<Value = String> {
    offender().prop_flat_map(|offender| alert_text_of(&offender))
}

/// As [`alert_text`], of a system call by this offender.
pub fn alert_text_of(offender: &Offender) -> impl Strategy<Value = String> + use<> {
    let source = offender.node.as_ref().map_or_else(source, |_| system_call());
    let hostname = offender.node.as_ref().map(|node| quoted(node.as_str()));
    let required = (rule(), priority(), time());
    let optional = (optional(string()), optional(string()), tags());
    let fields = (Just(fields_of(offender)), prop::collection::vec(field(), 0..8));
    (required, source, optional, fields, others(), any::<Order>()).prop_map(
        move |((rule, priority, time), source, (output, message, tags), (own, fields), others, order)| {
            let fields: Vec<_> = own.into_iter().chain(fields).collect();
            let members = [
                ("hostname", hostname.clone()),
                ("message", message),
                ("output", output),
                ("output_fields", Some(object(&fields, order.blank()))),
                ("priority", Some(priority)),
                ("rule", Some(rule)),
                ("source", source),
                ("tags", tags),
                ("time", Some(time)),
            ];
            let named = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?));
            let mut members: Vec<Member> = members.into_iter().filter_map(named).chain(others).collect();
            order.apply(&mut members);
            object(&members, order.blank())
        },
    )
}

/// The output fields that say who it was, as Falco sends them: names and values as JSON. Null where not known.
#[must_use]
pub fn fields_of(offender: &Offender) -> Vec<(String, String)> {
    let text = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), quoted);
    let container = if offender.host {
        Some("host")
    } else {
        offender.container.as_ref().map(AsRef::as_ref)
    };
    let mut fields = vec![
        ("container.id".to_owned(), text(container)),
        (
            "k8s.ns.name".to_owned(),
            text(offender.namespace.as_ref().map(AsRef::as_ref)),
        ),
        (
            "k8s.pod.name".to_owned(),
            text(offender.pod.as_ref().map(AsRef::as_ref)),
        ),
    ];
    fields.extend(
        offender
            .pod_uid
            .as_ref()
            .map(|uid| ("k8s.pod.uid".to_owned(), quoted(uid.as_ref()))),
    );
    fields
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn object(members: &[Member], blank: &str) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{}:{blank}{value}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(&format!(",{blank}")))
}

/// How the members of an envelope follow each other.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Falco since 0.39: by name, no blanks.
    ByName,
    /// Falco before: the fields last, blanks.
    FieldsLast,
    /// Whatever a sender does.
    Turned(usize),
}

impl Arbitrary for Order {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![
            Just(Self::ByName),
            Just(Self::FieldsLast),
            (1_usize..9).prop_map(Self::Turned)
        ]
        .boxed()
    }
}

impl Order {
    fn blank(self) -> &'static str {
        match self {
            Self::ByName => "",
            Self::FieldsLast => " ",
            Self::Turned(_) => "\n\t",
        }
    }

    fn apply(self, members: &mut [Member]) {
        match self {
            Self::ByName => members.sort(),
            Self::FieldsLast => members.sort_by_key(|(name, _)| name == "output_fields"),
            Self::Turned(by) => members.rotate_left(by.min(members.len())),
        }
    }
}

fn rule() -> impl Strategy<Value = String> {
    let falco = [
        "Terminal shell in container",
        "Read sensitive file untrusted",
        "Drop and execute new binary in container",
    ];
    prop_oneof![
        prop::sample::select(falco.map(quoted).to_vec()),
        any::<String>()
            .prop_filter("a rule has a name", |rule| !rule.is_empty())
            .prop_map(|rule| quoted(&rule)),
    ]
}

fn priority() -> impl Strategy<Value = String> {
    let of = |priority: crate::Priority| {
        let word = priority.as_str();
        let number = priority.severity().to_string();
        prop::sample::select(vec![
            quoted(word),
            quoted(word),
            quoted(&word.to_lowercase()),
            number,
        ])
    };
    prop::sample::select(crate::Priority::ALL.to_vec()).prop_flat_map(of)
}

fn time() -> impl Strategy<Value = String> {
    let time = (1_577_836_800_i64..1_893_456_000, 0_i32..1_000_000_000);
    let spell = |(seconds, nanos)| {
        let time = jiff::Timestamp::new(seconds, nanos).unwrap_or_default();
        prop::sample::select(vec![
            format!("\"{time:.9}\""),
            format!("\"{time}\""),
            format!("\"{}+00:00\"", format!("{time:.6}").trim_end_matches('Z')),
            format!("{{\"seconds\":{seconds},\"nanos\":{nanos}}}"),
        ])
    };
    time.prop_flat_map(spell)
}

fn source() -> BoxedStrategy<Option<String>> {
    prop_oneof![
        system_call(),
        prop::sample::select(vec!["k8s_audit", "aws_cloudtrail", "okta", "github"])
            .prop_map(|s| Some(quoted(s))),
    ]
    .boxed()
}

fn system_call() -> BoxedStrategy<Option<String>> {
    let spelled = [
        Some("\"syscall\""),
        Some("\"syscalls\""),
        Some("\"\""),
        Some("null"),
        None,
    ];
    prop::sample::select(spelled.map(|source| source.map(str::to_owned)).to_vec()).boxed()
}

fn optional(value: impl Strategy<Value = String>) -> impl Strategy<Value = Option<String>> {
    let missing = prop::sample::select(vec![None, Some("null".to_owned()), Some("\"\"".to_owned())]);
    prop_oneof![3 => value.prop_map(Some), 1 => missing]
}

fn tags() -> impl Strategy<Value = Option<String>> {
    let tags = prop::collection::vec(
        prop_oneof![3 => "[a-z]{1,9}(_[a-z]{1,9})?".prop_map(|t| quoted(&t)), 1 => string()],
        0..6,
    );
    optional(tags.prop_map(|tags| format!("[{}]", tags.join(","))))
}

fn field() -> impl Strategy<Value = Member> {
    let falco = prop::sample::select(vec![
        "proc.name",
        "proc.aname[2]",
        "evt.time",
        "fd.name",
        "user.loginuid",
        "fd.sip",
    ]);
    let name = prop_oneof![4 => falco.prop_map(str::to_owned), 1 => "[a-z.]{0,12}", 1 => any::<String>()];
    let missing = prop::sample::select(vec!["null".to_owned(), "\"<NA>\"".to_owned(), "\"\"".to_owned()]);
    let value = prop_oneof![4 => string(), 3 => number(), 1 => missing, 1 => json()];
    (name, value).prop_filter("says nothing of the offender", |(name, _)| {
        !crate::offender::is_place(name)
    })
}

fn others() -> impl Strategy<Value = Vec<Member>> {
    let uuid = "[0-9a-f]{8}".prop_map(|uuid| ("uuid".to_owned(), quoted(&uuid)));
    let other = prop_oneof![uuid, ("x_[a-z]{1,5}", json())];
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(other, 1..3)]
}
