//! Keeps the pods of one scope as the API server has them: a list, then every change since.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use drop_core::ports::ApiError;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::caller::{receive, unsent_or_unknown};
use crate::index::Shared;
use crate::lines::Lines;
use crate::pages::Pages;
use crate::request::{self, Ask};
use crate::scope::Scope;
use crate::wire;

/// A watch that ends before this without a line may not be one: a proxy answered it. So many in a row are none, and the
/// one after them has to last so long. The API server keeps one open for minutes.
const FLEETING: Duration = Duration::from_secs(5);
const EMPTY: u32 = 3;
/// How long the API server keeps a watch open; it is taken up again where it ended.
const OPEN: &str = "290";
/// Pods in a page of its list. A page is never in memory, so it may be as large as an API server does well to make: 10,000
/// pods in pages of 100 cost one that has them in its cache twice as much as in pages of 5,000, which cost it what one
/// page would.
const PAGE: u32 = 5_000;
/// How long the list of a watch may take: nobody waits for it, and a large cluster under load takes its time.
const LIST: Duration = Duration::from_secs(300);
/// The pause after a list or a watch that failed, and how long it grows to at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after the first *forbidden* since it went well: what the API server does not mean is over soon.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// The pause after *forbidden*: a person has to mend that, and wants to see that it is.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(10);

/// The watch of one scope.
pub(crate) struct Watch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scope: Arc<Scope>,
}

/// One line of a watch. A bookmark is a pod with nothing but a `resourceVersion`.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: wire::Pod,
}

/// Why a watch is not followed any further.
#[derive(Debug)]
enum Ended {
    /// As watches do: it is taken up where it ended.
    Here,
    /// Before it was [`FLEETING`] old, without a line.
    Empty,
    /// Its place is too old: a new list is needed.
    Expired,
    /// It could not be begun.
    Failed(ApiError),
}

impl Watch {
    /// Lists and follows for ever.
    pub(crate) async fn keep(&self) {
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            let why = match self.list().await {
                Ok(revision) => self.follow(revision).await,
                Err(why) => Some(why),
            };
            // Lists that are needed again and again must not become a storm.
            pause = if began.elapsed() > LONGEST_PAUSE {
                PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            match why {
                Some(why @ ApiError::Forbidden(_)) if self.scope.refused_once(&why) => {
                    sleep(REFUSED_PAUSE).await;
                }
                Some(why @ ApiError::Forbidden(_)) => self.until_allowed(&why).await,
                Some(why) => {
                    self.say(&why.to_string());
                    self.scope.cold(&why.to_string());
                    sleep(pause).await;
                }
                None => {
                    // What came meanwhile is not known to be absent.
                    self.scope.cold("the pods have to be listed again");
                    sleep(pause).await;
                }
            }
        }
    }

    /// Waits as long as the watch itself is refused, or for a pause where it is not known to be: a list that is good
    /// for nothing would cost the API server as much as one that is.
    async fn until_allowed(&self, why: &ApiError) {
        if self.scope.forbidden(why) {
            self.say(&why.to_string());
            self.shared.settings.refusals.note(why);
        }
        loop {
            sleep(FORBIDDEN_PAUSE).await;
            let query = [
                ("watch", "true"),
                ("fieldSelector", "metadata.name=none"),
                ("timeoutSeconds", "1"),
            ];
            if !matches!(
                self.open(self.path(&query)).await,
                Err(Ended::Failed(ApiError::Forbidden(_)))
            ) {
                return;
            }
        }
    }

    fn path(&self, query: &[(&str, &str)]) -> String {
        request::with_query(&request::pods(self.scope.namespace.as_ref()), query)
    }

    /// It cannot tell; that is logged once, until a watch says something again.
    fn blind(&self, why: &str, told: &mut bool) {
        if !std::mem::replace(told, true) {
            self.say(why);
        }
        self.scope.cold(why);
    }

    fn say(&self, why: &str) {
        let namespace = self.scope.namespace.as_ref().map(ToString::to_string);
        tracing::warn!(why, namespace, "the pods are not watched");
    }

    /// Every pod, page by page. Returns where the watch begins.
    async fn list(&self) -> Result<String, ApiError> {
        let Shared { caller, lists, .. } = &*self.shared;
        // The semaphore is never closed.
        let _turn = lists.acquire().await;
        self.scope.begin_list();
        let list = Pages {
            caller,
            path: request::pods(self.scope.namespace.as_ref()),
            select: &[],
            limit: PAGE,
            ask: Ask::get,
            try_within: LIST,
            until: Instant::now() + LIST,
        };
        let revision = list
            .each(&mut |pod: wire::Pod| self.scope.put(pod))
            .await
            .map_err(|broken| broken.why)?;
        self.scope.end_list();
        Ok(revision)
    }

    /// Follows the changes since a list until another list is needed; or why it cannot.
    async fn follow(&self, mut revision: String) -> Option<ApiError> {
        let (mut pause, mut empty, mut told) = (PAUSE, 0, false);
        loop {
            let began = Instant::now();
            let settle = self.shared.settings.settle;
            let settle = if empty < EMPTY { settle } else { FLEETING };
            match self.once(&mut revision, settle).await {
                Ended::Empty if empty + 1 < EMPTY => {
                    empty += 1;
                    sleep(PAUSE).await;
                }
                Ended::Empty => {
                    empty = EMPTY;
                    self.blind("its watches end before they say anything", &mut told);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Ended::Expired => return None,
                Ended::Failed(why @ ApiError::Forbidden(_)) => {
                    if !self.scope.refused_once(&why) {
                        return Some(why);
                    }
                    sleep(REFUSED_PAUSE).await;
                }
                // The place itself may be what is wrong, as after a restore: another one comes with a list.
                Ended::Failed(why @ ApiError::Invalid(_)) => return Some(why),
                Ended::Failed(why) => {
                    self.blind(&why.to_string(), &mut told);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // A watch that ends at once each time must not become a storm.
                Ended::Here if began.elapsed() < PAUSE => {
                    (empty, told) = (0, false);
                    sleep(PAUSE).await;
                }
                Ended::Here => (pause, empty, told) = (PAUSE, 0, false),
            }
        }
    }

    /// One watch, to its end. What was missed comes first, so that it makes the scope warm only after a while.
    async fn once(&self, revision: &mut String, settle: Duration) -> Ended {
        let query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", revision.as_str()),
            ("timeoutSeconds", OPEN),
        ];
        let mut lines = match self.open(self.path(&query)).await {
            Ok(lines) => lines,
            Err(ended) => return ended,
        };
        let began = Instant::now();
        let (mut is_settled, mut said) = (false, false);
        loop {
            let silent = if is_settled {
                self.shared.settings.silent
            } else {
                settle.saturating_sub(began.elapsed())
            };
            let line = tokio::select! {
                line = timeout(silent, lines.next()) => line,
                () = self.scope.stale() => return Ended::Expired,
            };
            match line {
                Ok(Some(line)) => {
                    self.scope.hear();
                    said = true;
                    if let ControlFlow::Break(ended) = self.take(&line, revision) {
                        return ended;
                    }
                }
                Err(_) if !is_settled => {
                    is_settled = true;
                    if !self.scope.warm() {
                        return Ended::Expired;
                    }
                }
                Ok(None) if !said && began.elapsed() < FLEETING => return Ended::Empty,
                Ok(None) | Err(_) => return Ended::Here,
            }
        }
    }

    async fn open(&self, path: String) -> Result<Lines, Ended> {
        let Shared { client, settings, .. } = &*self.shared;
        let ask = Ask::get(path, settings.try_within);
        let request = ask.to_http().map_err(Ended::Failed)?;
        let answer = timeout(settings.read_within, client.send(request)).await;
        let late = |_| {
            Ended::Failed(ApiError::TimedOut(
                "the API server did not begin a watch in time".into(),
            ))
        };
        let answer = answer
            .map_err(late)?
            .map_err(|error| Ended::Failed(unsent_or_unknown(&error).why))?;
        match answer.status() {
            StatusCode::OK => Ok(Lines::of(answer.into_body())),
            StatusCode::GONE => Err(Ended::Expired),
            _ => {
                let refused = receive(&ask, answer, Instant::now() + settings.try_within).await;
                let odd =
                    || ApiError::Unavailable("a watch was answered with a status that it cannot have".into());
                Err(Ended::Failed(
                    refused.err().map_or_else(odd, |failure| failure.why),
                ))
            }
        }
    }

    /// One line. What cannot be read is a line that something was lost with: only a list tells what. An error, whose
    /// object is no pod, is such a line too.
    fn take(&self, line: &[u8], revision: &mut String) -> ControlFlow<Ended> {
        let Ok(Event { kind, object: pod }) = serde_json::from_slice::<Event>(line) else {
            return ControlFlow::Break(Ended::Expired);
        };
        if kind == "ERROR" {
            return ControlFlow::Break(Ended::Expired);
        }
        if let Some(newer) = pod.metadata.resource_version.clone() {
            *revision = newer;
        }
        match kind.as_str() {
            "ADDED" | "MODIFIED" => self.scope.put(pod),
            "DELETED" => self.scope.remove(&pod),
            // BOOKMARK, and what later servers add.
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
