//! What a request gets: CloudEvents and bare Falco JSON in, a status out.
//!
//! 2xx means handled, and has an empty body: a Broker takes any other body for a broken reply and sends the event
//! again. What cannot be told yet is 503, so that the sender keeps the alert. What can never be read is 400, 413 or 415.

use std::sync::Arc;

use bytes::Bytes;
use drop_core::Outcome;
use drop_core::past::ScopeKey;
use drop_core::record::escape;
use falco_event::cloudevents::{Forged, Received, Refusal, receive};
use falco_event::{Alert, ReadError, Timestamp, read_all};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::body::{Unread, Whole};
use crate::host::Host;
use crate::keys::KeyFile;
use crate::metrics::MEDIA_TYPE;

/// Alerts of one body that are handled at a time: one sender must not take the places of all others.
const AT_A_TIME: usize = 64;

/// How many of the disarmed scopes are named.
const DISARMED: usize = 20;

/// After how many seconds a sender that honours it should try again.
const RETRY_SECONDS: &str = "1";

pub(crate) async fn answer(host: &Host, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, _) => post(host, request).await,
        (&Method::GET | &Method::HEAD, "/healthz") => empty(StatusCode::OK),
        (&Method::GET | &Method::HEAD, "/readyz") => ready(host).await,
        (&Method::GET, "/policies") => policies(host),
        (&Method::GET, "/metrics") => metrics(host).await,
        (&Method::OPTIONS, path) => allow(StatusCode::NO_CONTENT, path),
        (method, path) => not_allowed(host, method, path),
    }
}

/// For people: a probe reads the status alone.
async fn ready(host: &Host) -> Response<Full<Bytes>> {
    let (ready, disarmed) = (host.readiness().text(), disarmed(&host.disarmed().await));
    let scope = host.scope();
    let refused = match host.policies().refused {
        Some(_) => "the policy files as they are now are not in force: the log says why\n",
        None => "",
    };
    let keys = match host.keys().is_some_and(KeyFile::is_refused) {
        true => "the file of signing keys as it is now is not in force: the log says why\n",
        false => "",
    };
    let said = format!("{ready}{refused}{keys}{disarmed}limits and disarming hold for {scope}\n");
    text(StatusCode::OK, said)
}

/// A line for each of the first scopes, and one for the rest.
fn disarmed(scopes: &[ScopeKey]) -> String {
    let line = |scope| format!("disarmed: {scope} observes, because a limit was breached\n");
    let mut lines: String = scopes.iter().take(DISARMED).map(line).collect();
    if let Some(rest) = scopes.len().checked_sub(DISARMED).filter(|rest| *rest > 0) {
        lines.push_str(&format!("disarmed: {rest} more\n"));
    }
    lines
}

/// Which policies are in force, for people: generation, hash, since when, and what was refused since.
fn policies(host: &Host) -> Response<Full<Bytes>> {
    match serde_json::to_string(&host.policies()) {
        Ok(body) => with_body(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn metrics(host: &Host) -> Response<Full<Bytes>> {
    host.metrics().disarmed(host.disarmed().await.len());
    host.metrics().index_cold(host.readiness().cold().is_some());
    host.metrics().rights_missing(host.readiness().obstacles());
    host.metrics()
        .keys_refused(host.keys().is_some_and(KeyFile::is_refused));
    match host.metrics().text() {
        Ok(body) => with_body(StatusCode::OK, MEDIA_TYPE, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn post(host: &Host, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match host.bodies().read(body).await {
        Ok(body) => Arc::new(body),
        Err(Unread::NoRoom) => {
            host.metrics().sent_back("no_room");
            return retry();
        }
        Err(unread) => return refuse(host, unread.status(), &unread.why()),
    };
    match read(host, &head.headers, &body.bytes) {
        Ok(Said::Event(event)) => deliver(host, [Ok(event.alert)], event.received, &body).await,
        Ok(Said::Bare) => deliver(host, read_all(&body.bytes), None, &body).await,
        Err(refusal) => refuse(host, refusal.0, &refusal.1),
    }
}

/// What a request is.
enum Said {
    Event(Received),
    /// Falco's own POST, without an envelope: it may hold several alerts, and a broken one does not cost the others.
    Bare,
}

fn read(host: &Host, headers: &HeaderMap, body: &[u8]) -> Result<Said, (StatusCode, String)> {
    match receive(headers, body) {
        Ok(mut event) => {
            if let Some(keys) = host.keys() {
                keys.verify(&event).map_err(|forged| not_ours(host, &forged))?;
                // It is not signed: a copy of the event with another would make the alert too old, for good.
                event.received = None;
            }
            Ok(Said::Event(event))
        }
        Err(Refusal::NotACloudEvent) if host.keys().is_some() => Err(not_ours(host, &Forged::Unsigned)),
        Err(Refusal::NotACloudEvent) if is_json(headers) => Ok(Said::Bare),
        Err(Refusal::NotACloudEvent) => {
            let expected = "expected a CloudEvent, or Falco's alert as application/json";
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, expected.to_owned()))
        }
        Err(refusal) => Err((refusal.status(), refusal.to_string())),
    }
}

/// 403: no Broker sends such an event again, and a shim whose key is wrong keeps its alerts.
fn not_ours(host: &Host, forged: &Forged) -> (StatusCode, String) {
    host.metrics().forged();
    (StatusCode::FORBIDDEN, forged.to_string())
}

/// Whether it says so, or says nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = media_type.unwrap_or_default().split(|&byte| byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    media_type.is_empty() || media_type.eq_ignore_ascii_case(b"application/json")
}

/// Each alert is a task of its own: a sender that hangs up changes neither the act nor its record. They are read when it
/// is their turn, for read they take more memory than their text.
async fn deliver(
    host: &Host,
    alerts: impl IntoIterator<Item = Result<Alert, ReadError>>,
    received: Option<Timestamp>,
    body: &Arc<Whole>,
) -> Response<Full<Bytes>> {
    let (mut refused, mut again) = (None, false);
    let mut alerts = alerts.into_iter().peekable();
    while alerts.peek().is_some() {
        let mut started = Vec::new();
        for alert in alerts.by_ref().take(AT_A_TIME) {
            match alert {
                Ok(alert) => started.push(host.accept(alert, received, Arc::clone(body))),
                Err(error) => {
                    refused.get_or_insert_with(|| error.to_string());
                    // A body can hold half a million mistakes: others get their turn in between.
                    tokio::task::coop::consume_budget().await;
                }
            }
        }
        for task in started {
            again |= ended(host, task)
                .await
                .is_none_or(|outcome| outcome.is_retryable());
        }
    }
    match (refused, again) {
        (Some(why), false) => refuse(host, StatusCode::BAD_REQUEST, &why),
        (_, true) => retry(),
        (None, false) => empty(StatusCode::ACCEPTED),
    }
}

/// Its outcome; none where it has no record.
async fn ended(host: &Host, task: Option<impl Future<Output = Option<Outcome>>>) -> Option<Outcome> {
    let Some(task) = task else {
        tracing::warn!("an alert was sent back: too many are in flight");
        host.metrics().sent_back("no_room");
        return None;
    };
    let outcome = task.await;
    if outcome.is_none() {
        host.metrics().sent_back("panic");
    }
    outcome
}

fn retry() -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    response
}

fn not_allowed(host: &Host, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (method, shown) = (escape(method.as_str()), escape(path));
    tracing::warn!(method, path = shown, "a request was refused: not POST");
    host.metrics().refused();
    allow(StatusCode::METHOD_NOT_ALLOWED, path)
}

fn allow(status: StatusCode, path: &str) -> Response<Full<Bytes>> {
    let allowed = match path {
        "/healthz" | "/readyz" => "GET, HEAD, POST, OPTIONS",
        "/policies" | "/metrics" => "GET, POST, OPTIONS",
        _ => "POST, OPTIONS",
    };
    let mut response = empty(status);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The reason goes to the log too: few senders show it, and a Broker only in its dead letters. An event that is not
/// Falco's is none of ours and no mistake of its sender: it is acknowledged, without a body.
fn refuse(host: &Host, status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let why = escape(why);
    tracing::warn!(status = status.as_u16(), why, "a request was refused");
    host.metrics().refused();
    if status.is_success() {
        empty(status)
    } else {
        text(status, why)
    }
}

fn text(status: StatusCode, why: String) -> Response<Full<Bytes>> {
    with_body(status, "text/plain; charset=utf-8", why)
}

fn with_body(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
