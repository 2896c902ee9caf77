//! Sends requests: bounded in number, each with a deadline, tried again where that is right.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drop_core::ports::ApiError;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::items::Items;
use crate::refusals::Refusals;
use crate::request::Ask;
use crate::status::{Again, Failure, clean, failure};
use crate::{Settings, wire};

/// Tries of one request, the first among them.
const TRIES: u32 = 3;
/// How much longer the pause before the third try is than that before the second.
const PAUSE_GROWTH: u32 = 4;
/// Bytes of an answer that are held: a page of 500 objects of the largest size that etcd takes would be more, but most have
/// some KiB.
const MAX_ANSWER: usize = 64 << 20;
/// How long a list may be silent: one of a large cluster takes its time, but something of it comes each moment.
const SILENT: Duration = Duration::from_secs(15);
/// How long the body of an answer that already says *done* is read, so that its connection can be used again.
const DRAIN: Duration = Duration::from_millis(250);

/// The way to the API server that all of the adapter's requests share.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    in_flight: Arc<Semaphore>,
    pause: Duration,
    refusals: Refusals,
}

/// A request that failed for good, over all its tries.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) why: ApiError,
    /// One of the tries may have been carried out.
    pub(crate) maybe_happened: bool,
}

impl Caller {
    pub(crate) fn new(client: Client, settings: &Settings) -> Self {
        let in_flight = Arc::new(Semaphore::new(settings.in_flight.max(1)));
        Self {
            client,
            in_flight,
            pause: settings.pause,
            refusals: settings.refusals.clone(),
        }
    }

    /// The object that the API server has, or none where it says that there is no object by that name.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        until: Instant,
    ) -> Result<Option<T>, ApiError> {
        found(self.call(ask, until, parse).await)
    }

    /// A list, or a page of one: each object is handed over as it comes, so that no page is held. What a try handed over
    /// before it failed is handed over again by the next.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        until: Instant,
        each: &mut (dyn FnMut(T) + Send),
    ) -> Result<Option<wire::ListMeta>, ApiError> {
        let mut tries = Tries::default();
        loop {
            match self.list_once(ask, until, each).await {
                Ok(list) => return Ok(Some(list)),
                Err(failure) => {
                    let again = tries.wait(self, failure, until).await;
                    if let Err(failed) = again {
                        return found(Err(failed));
                    }
                }
            }
        }
    }

    /// Makes a change; of the answer its status is enough.
    pub(crate) async fn change(&self, ask: &Ask, until: Instant) -> Result<(), Failed> {
        self.call(ask, until, |_| Ok(())).await
    }

    /// What `parse` makes of the answer, after at most [`TRIES`] tries that all end before `until`.
    async fn call<T>(&self, ask: &Ask, until: Instant, parse: Parse<T>) -> Result<T, Failed> {
        let mut tries = Tries::default();
        loop {
            match self.once(ask, until, parse).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.wait(self, failure, until).await?,
            }
        }
    }

    /// One try.
    async fn once<T>(&self, ask: &Ask, until: Instant, parse: Parse<T>) -> Result<T, Failure> {
        let _slot = self.slot(until).await?;
        let until = until.min(Instant::now() + ask.try_within);
        let answer = self.send(ask, until).await?;
        parse(&receive(ask, answer, until).await?).map_err(|error| unreadable(&error))
    }

    /// One try of a list.
    async fn list_once<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        until: Instant,
        each: &mut (dyn FnMut(T) + Send),
    ) -> Result<wire::ListMeta, Failure> {
        let _slot = self.slot(until).await?;
        let until = until.min(Instant::now() + ask.try_within);
        let soon = || until.min(Instant::now() + SILENT);
        let answer = self.send(ask, soon()).await?;
        if !answer.status().is_success() {
            let refused = receive(ask, answer, until).await;
            return Err(refused.err().unwrap_or_else(no_answer));
        }
        let (mut items, mut body) = (Items::default(), answer.into_body());
        while let Some(frame) = timeout_at(soon(), body.frame()).await.map_err(|_| no_answer())? {
            let Ok(data) = frame.map_err(|_| broken_off(false))?.into_data() else {
                continue;
            };
            let fed = items.feed(&data, &mut |item| {
                each(serde_json::from_slice(item)?);
                Ok(())
            });
            fed.map_err(|odd| unreadable(&odd))?;
        }
        let list: wire::List<IgnoredAny> = parse(&items.rest()).map_err(|error| unreadable(&error))?;
        Ok(list.metadata)
    }

    async fn send(&self, ask: &Ask, until: Instant) -> Result<Response<Body>, Failure> {
        let request = ask.to_http().map_err(Failure::refused)?;
        match timeout_at(until, self.client.send(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unsent_or_unknown(&error)),
            Err(_) => Err(no_answer()),
        }
    }

    /// Waits for one of the requests in flight to end. None leaves after `until`.
    async fn slot(&self, until: Instant) -> Result<SemaphorePermit<'_>, Failure> {
        if Instant::now() >= until {
            return Err(unsent("its time was over before it was sent"));
        }
        let slot = timeout_at(until, self.in_flight.acquire()).await;
        slot.ok()
            .and_then(Result::ok)
            .ok_or_else(|| unsent("too many requests are in flight here"))
    }
}

/// The tries of one request.
#[derive(Debug, Default)]
struct Tries {
    failed: u32,
    /// One of them may have been carried out.
    maybe_happened: bool,
}

impl Tries {
    /// Waits until another try is right, where one is.
    async fn wait(&mut self, caller: &Caller, failure: Failure, until: Instant) -> Result<(), Failed> {
        self.maybe_happened |= failure.maybe_happened;
        caller.refusals.note(&failure.why);
        let wait = match failure.again {
            Again::No => None,
            Again::Soon => Some(caller.pause * PAUSE_GROWTH.pow(self.failed)),
            Again::After(wait) => Some(wait),
        };
        self.failed += 1;
        match wait {
            Some(wait) if self.failed < TRIES && Instant::now() + wait < until => {
                sleep(wait).await;
                tracing::debug!(why = %failure.why, tries = self.failed, "trying again");
                Ok(())
            }
            _ => Err(Failed {
                why: failure.why,
                maybe_happened: self.maybe_happened,
            }),
        }
    }
}

/// What is not there is no failure of a question.
fn found<T>(answered: Result<T, Failed>) -> Result<Option<T>, ApiError> {
    match answered {
        Ok(object) => Ok(Some(object)),
        Err(Failed {
            why: ApiError::NotFound,
            ..
        }) => Ok(None),
        Err(failed) => Err(failed.why),
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("free", &self.in_flight.available_permits())
            .finish_non_exhaustive()
    }
}

/// What makes an object of an answer's body.
type Parse<T> = fn(&[u8]) -> serde_json::Result<T>;

fn parse<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body)
}

pub(crate) async fn receive(ask: &Ask, answer: Response<Body>, until: Instant) -> Result<Bytes, Failure> {
    let (head, body) = answer.into_parts();
    if head.status.is_success() && !ask.reads {
        // The status says it all; the body is read for the connection's sake only.
        let _ = timeout(DRAIN, Limited::new(body, MAX_ANSWER).collect()).await;
        return Ok(Bytes::new());
    }
    match timeout_at(until, Limited::new(body, MAX_ANSWER).collect()).await {
        Ok(Ok(whole)) if head.status.is_success() => Ok(whole.to_bytes()),
        Ok(Ok(whole)) => Err(failure(
            head.status,
            &head.headers,
            &whole.to_bytes(),
            ask.object().as_ref(),
        )),
        broken if head.status.is_success() => Err(broken_off(broken.is_err())),
        _ => Err(without_body(head.status, &head.headers)),
    }
}

/// An answer that is not what was asked for is the mark of a proxy, or cut short: worth another try.
fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    let why = ApiError::Unavailable(format!("an answer cannot be read: {}", clean(&error.to_string())));
    Failure {
        why,
        maybe_happened: false,
        again: Again::Soon,
    }
}

fn without_body(status: StatusCode, headers: &HeaderMap) -> Failure {
    failure(status, headers, &Bytes::new(), None)
}

fn broken_off(late: bool) -> Failure {
    if late {
        return no_answer();
    }
    Failure {
        why: ApiError::Unavailable("an answer broke off".into()),
        maybe_happened: true,
        again: Again::Soon,
    }
}

fn no_answer() -> Failure {
    let why = ApiError::TimedOut("the API server did not answer in time".into());
    Failure {
        why,
        maybe_happened: true,
        again: Again::Soon,
    }
}

fn unsent(why: &str) -> Failure {
    Failure::refused(ApiError::TimedOut(why.into()))
}

pub(crate) fn unsent_or_unknown(error: &kube::Error) -> Failure {
    let why = ApiError::Unavailable(format!("no answer of the API server: {}", clean(&chain(error))));
    Failure {
        why,
        maybe_happened: !is_unsent(error),
        again: Again::Soon,
    }
}

/// Whether the request surely did not leave: no connection, or no credentials to put on it.
fn is_unsent(error: &kube::Error) -> bool {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "another crate's list of failures, which grows"
    )]
    match error {
        kube::Error::Auth(_) | kube::Error::HttpError(_) | kube::Error::BuildRequest(_) => true,
        _ => causes(error).any(|cause| {
            cause
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(|error| error.is_connect())
        }),
    }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The causes of an error, outermost first, without the library's own wrapper and without repetitions.
fn chain(error: &kube::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for text in causes(error).skip(1).map(ToString::to_string) {
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
    }
    if parts.is_empty() {
        error.to_string()
    } else {
        parts.join(": ")
    }
}
