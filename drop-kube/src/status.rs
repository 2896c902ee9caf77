//! What an answer of the API server that is not a success means for the caller.

use std::time::Duration;

use bytes::Bytes;
use drop_core::ports::ApiError;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::request::Object;

/// Characters of a server's message that an error keeps: enough to read, too few to flood a log.
const MESSAGE_CHARS: usize = 400;

/// A failed try: what to tell the caller, whether the change may have been made, and whether to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: ApiError,
    /// The request was sent, and no answer says that it was refused.
    pub(crate) maybe_happened: bool,
    pub(crate) again: Again,
}

/// Whether the same request is worth another try within its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The answer will be the same.
    No,
    /// After the usual pause.
    Soon,
    /// Not before the server said (`Retry-After`).
    After(Duration),
}

impl Failure {
    /// Refused, and the same request would be refused again.
    pub(crate) fn refused(why: ApiError) -> Self {
        Self {
            why,
            maybe_happened: false,
            again: Again::No,
        }
    }

    fn not_now(why: ApiError, maybe_happened: bool, again: Again) -> Self {
        Self {
            why,
            maybe_happened,
            again,
        }
    }
}

/// `meta/v1` `Status`, as far as it decides anything.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    kind: Option<String>,
    message: Option<String>,
    reason: Option<String>,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    name: Option<String>,
    /// The resource, for all that it is called.
    kind: Option<String>,
    causes: Option<Vec<Cause>>,
    #[serde(rename = "retryAfterSeconds")]
    retry_after_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: Option<String>,
    message: Option<String>,
    field: Option<String>,
}

impl Status {
    /// The body as a `Status`, or an empty one: a proxy's error page decides nothing.
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice::<Self>(body)
            .ok()
            .filter(|status| status.kind.as_deref() == Some("Status"))
            .unwrap_or_default()
    }

    fn causes(&self) -> &[Cause] {
        self.details
            .as_ref()
            .and_then(|details| details.causes.as_deref())
            .unwrap_or_default()
    }

    /// This object is not there, as opposed to *there is nothing at this path*, which a proxy or an API server without
    /// that group says, and to the absence of another object.
    fn is_absence_of(&self, asked: &Object<'_>) -> bool {
        let is_it = |details: &Details| {
            let kind = details.kind.as_deref().filter(|kind| !kind.is_empty());
            details.name.as_deref() == Some(asked.name) && kind.is_none_or(|kind| kind == asked.resource)
        };
        self.reason.as_deref() == Some("NotFound") && self.details.as_ref().is_some_and(is_it)
    }

    /// A disruption budget has nothing left, as opposed to *this one was just changed, ask again in 10 s*.
    fn budget(&self) -> Option<&Cause> {
        let passes = |details: &Details| details.retry_after_seconds.is_some_and(|seconds| seconds > 0);
        self.causes()
            .iter()
            .find(|cause| cause.reason.as_deref() == Some("DisruptionBudget"))
            .filter(|_| !self.details.as_ref().is_some_and(passes))
    }

    /// Two budgets on one pod: answered with 500, and never otherwise.
    fn is_two_budgets(&self) -> bool {
        self.message
            .as_deref()
            .is_some_and(|message| message.contains("more than one PodDisruptionBudget"))
    }

    /// The object has grown to what etcd takes: no change of it, a deletion with a grace neither, is ever written.
    fn is_too_large(&self) -> bool {
        self.message
            .as_deref()
            .is_some_and(|message| message == "etcdserver: request is too large")
    }

    /// A patch that names another UID than the pod's: answered with 422.
    fn is_other_uid(&self) -> bool {
        self.causes()
            .iter()
            .any(|cause| cause.field.as_deref() == Some("metadata.uid"))
    }
}

/// What this answer means to who asked for this object, or for none. A status of success is none of its business.
pub(crate) fn failure(
    code: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    asked: Option<&Object<'_>>,
) -> Failure {
    let status = Status::read(body);
    let text = text(code, &status);
    match code.as_u16() {
        401 | 403 => Failure::refused(ApiError::Forbidden(text)),
        404 if asked.is_some_and(|asked| status.is_absence_of(asked)) => Failure::refused(ApiError::NotFound),
        // The list's continue token is too old: the list begins anew, which is for its caller to do.
        404 | 410 => Failure::not_now(ApiError::Unavailable(text), false, Again::No),
        409 => Failure::refused(ApiError::Conflict(text)),
        422 if status.is_other_uid() => Failure::refused(ApiError::Conflict(text)),
        408 => Failure::not_now(ApiError::TimedOut(text), true, again(headers)),
        429 => too_many(headers, &status, text),
        400..=499 => Failure::refused(ApiError::Invalid(text)),
        500 if status.is_two_budgets() => Failure::refused(ApiError::Budget(text)),
        500 if status.is_too_large() => Failure::refused(ApiError::Invalid(text)),
        500..=599 => Failure::not_now(ApiError::Unavailable(text), true, again(headers)),
        _ => Failure::not_now(ApiError::Unavailable(text), true, Again::No),
    }
}

fn too_many(headers: &HeaderMap, status: &Status, text: String) -> Failure {
    match status.budget() {
        Some(cause) => Failure::refused(ApiError::Budget(cause.message.as_deref().map_or(text, clean))),
        None => Failure::not_now(ApiError::TooManyRequests(text), false, again(headers)),
    }
}

fn again(headers: &HeaderMap) -> Again {
    let seconds = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse::<u32>().ok());
    seconds.map_or(Again::Soon, |seconds| {
        Again::After(Duration::from_secs(u64::from(seconds)))
    })
}

fn text(code: StatusCode, status: &Status) -> String {
    match status.message.as_deref().map(clean) {
        Some(message) if !message.is_empty() => {
            format!("the API server answered {}: {message}", code.as_u16())
        }
        _ => format!("answered {} without a message of the API server", code.as_u16()),
    }
}

/// A message from outside on one line: control characters and what can turn the direction of text become spaces,
/// the rest is cut after [`MESSAGE_CHARS`].
pub(crate) fn clean(message: &str) -> String {
    let mut chars = message.trim().chars();
    let mut kept: String = chars
        .by_ref()
        .take(MESSAGE_CHARS)
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .collect();
    if chars.next().is_some() {
        kept.push('…');
    }
    kept
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: &str = r#"{"kind":"Status","message":"pods \"web-0\" not found","reason":"NotFound","details":{"name":"web-0","kind":"pods"},"code":404}"#;
    const WEB_0: Object<'_> = Object {
        resource: "pods",
        name: "web-0",
    };
    const OTHER: &str = r#"{"kind":"Status","message":"pods \"web-1\" not found","reason":"NotFound","details":{"name":"web-1","kind":"pods"},"code":404}"#;
    const NO_NAMESPACE: &str = r#"{"kind":"Status","message":"namespaces \"web-0\" not found","reason":"NotFound","details":{"name":"web-0","kind":"namespaces"},"code":404}"#;
    const NO_PATH: &str = r#"{"kind":"Status","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#;
    const BUDGET: &str = r#"{"kind":"Status","message":"Cannot evict pod as it would violate the pod's disruption budget.","reason":"TooManyRequests","details":{"causes":[{"reason":"DisruptionBudget","message":"The disruption budget web needs 2 healthy pods and has 2 currently"}]},"code":429}"#;
    const BUDGET_CHANGED: &str = r#"{"kind":"Status","message":"Cannot evict pod as it would violate the pod's disruption budget.","reason":"TooManyRequests","details":{"retryAfterSeconds":10,"causes":[{"reason":"DisruptionBudget","message":"The disruption budget web is still being processed by the server."}]},"code":429}"#;
    const TOO_LARGE: &str = r#"{"kind":"Status","message":"etcdserver: request is too large","code":500}"#;
    const TWO_BUDGETS: &str = r#"{"kind":"Status","message":"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.","code":500}"#;
    const OTHER_UID: &str = r#"{"kind":"Status","message":"Pod \"web-0\" is invalid: metadata.uid: Invalid value: \"0\": field is immutable","reason":"Invalid","details":{"causes":[{"reason":"FieldValueInvalid","field":"metadata.uid"}]},"code":422}"#;

    fn tell(code: u16, headers: &[(&str, &str)], body: &str) -> (String, bool, Again) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let failure = failure(
            StatusCode::from_u16(code).unwrap(),
            &map,
            &Bytes::from(body.to_owned()),
            Some(&WEB_0),
        );
        (failure.why.to_string(), failure.maybe_happened, failure.again)
    }

    #[test]
    fn each_status_says_what_to_do_next() {
        let plain = |code| format!("answered {code} without a message of the API server");
        #[rustfmt::skip]
        let table: Vec<(u16, &str, String, bool, Again)> = vec![
            (301, "", format!("unavailable: {}", plain(301)), true, Again::No),
            (400, "", format!("refused as invalid: {}", plain(400)), false, Again::No),
            (401, "", format!("forbidden: {}", plain(401)), false, Again::No),
            (403, "<html>", format!("forbidden: {}", plain(403)), false, Again::No),
            (404, ABSENT, "not found".into(), false, Again::No),
            (404, NO_PATH, "unavailable: the API server answered 404: the server could not find the requested resource".into(), false, Again::No),
            (404, OTHER, "unavailable: the API server answered 404: pods \"web-1\" not found".into(), false, Again::No),
            (404, NO_NAMESPACE, "unavailable: the API server answered 404: namespaces \"web-0\" not found".into(), false, Again::No),
            (404, "404 page not found", format!("unavailable: {}", plain(404)), false, Again::No),
            (405, "", format!("refused as invalid: {}", plain(405)), false, Again::No),
            (408, "", format!("timed out: {}", plain(408)), true, Again::Soon),
            (409, "", format!("conflict: {}", plain(409)), false, Again::No),
            (410, "", format!("unavailable: {}", plain(410)), false, Again::No),
            (413, "", format!("refused as invalid: {}", plain(413)), false, Again::No),
            (422, "", format!("refused as invalid: {}", plain(422)), false, Again::No),
            (422, OTHER_UID, "conflict: the API server answered 422: Pod \"web-0\" is invalid: metadata.uid: Invalid value: \"0\": field is immutable".into(), false, Again::No),
            (429, "", format!("too many requests: {}", plain(429)), false, Again::Soon),
            (429, BUDGET, "refused by a disruption budget: The disruption budget web needs 2 healthy pods and has 2 currently".into(), false, Again::No),
            (429, BUDGET_CHANGED, "too many requests: the API server answered 429: Cannot evict pod as it would violate the pod's disruption budget.".into(), false, Again::Soon),
            (500, "", format!("unavailable: {}", plain(500)), true, Again::Soon),
            (500, TOO_LARGE, "refused as invalid: the API server answered 500: etcdserver: request is too large".into(), false, Again::No),
            (500, TWO_BUDGETS, "refused by a disruption budget: the API server answered 500: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.".into(), false, Again::No),
            (502, "<html>", format!("unavailable: {}", plain(502)), true, Again::Soon),
            (503, "", format!("unavailable: {}", plain(503)), true, Again::Soon),
            (504, "", format!("unavailable: {}", plain(504)), true, Again::Soon),
            (599, "", format!("unavailable: {}", plain(599)), true, Again::Soon),
            (600, "", format!("unavailable: {}", plain(600)), true, Again::No),
        ];
        for (code, body, why, maybe_happened, again) in table {
            assert_eq!(
                tell(code, &[], body),
                (why, maybe_happened, again),
                "{code} {body}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_only_so() {
        assert_eq!(
            tell(429, &[("retry-after", "7")], "").2,
            Again::After(Duration::from_secs(7))
        );
        assert_eq!(
            tell(503, &[("retry-after", " 1 ")], "").2,
            Again::After(Duration::from_secs(1))
        );
        for odd in ["", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999"] {
            assert_eq!(tell(429, &[("retry-after", odd)], "").2, Again::Soon, "{odd}");
        }
        assert_eq!(
            tell(429, &[("retry-after", "7")], BUDGET).2,
            Again::No,
            "a budget's refusal is final"
        );
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        assert_eq!(clean("  a\nb\r\u{1b}[31mc\u{202e}d\t "), "a b  [31mc d");
        let long = clean(&"é".repeat(1_000));
        assert_eq!(long.chars().count(), MESSAGE_CHARS + 1);
        assert!(long.ends_with('…'));
        let (text, ..) = tell(
            403,
            &[],
            r#"{"kind":"Status","message":"no\n2026-11-24 INFO forged line"}"#,
        );
        assert_eq!(
            text,
            "forbidden: the API server answered 403: no 2026-11-24 INFO forged line"
        );
    }

    #[test]
    fn a_body_that_is_no_status_decides_nothing() {
        for body in [
            "",
            "null",
            "[]",
            "{",
            r#"{"kind":"Pod","message":"x"}"#,
            r#"{"kind":"Status","details":7}"#,
        ] {
            assert_eq!(
                tell(404, &[], body).0,
                "unavailable: answered 404 without a message of the API server",
                "{body}"
            );
        }
    }
}
