//! Keeps the pods of one scope as the API server has them: a list, then every change since.

use std::ops::ControlFlow;
use std::time::Duration;

use drop_core::ports::ApiError;
use http::StatusCode;
use kube::Client;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::caller::{Caller, receive, unsent_or_unknown};
use crate::index::{Scope, Warmth};
use crate::lines::Lines;
use crate::pages::Pages;
use crate::request::{self, Ask};
use crate::{Settings, wire};

/// How long the API server keeps a watch open; it is taken up again where it ended.
const OPEN: &str = "290";
/// How long a watch may be silent: the API server sends a bookmark at least each minute.
const SILENT: Duration = Duration::from_secs(90);
/// Pods in a page of its list: a page is in memory whole, some 10 KiB for each pod, and what it leaves behind of its
/// process's memory stays. With 500 the index of 10,000 pods took 1.7 times the memory.
const PAGE: u32 = 100;
/// How long the list of a watch may take: nobody waits for it, and a large cluster under load takes its time.
const LIST: Duration = Duration::from_secs(300);
/// The pause after a list or a watch that failed, and how long it grows to at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after *forbidden*: a person has to mend that, and each look costs a list.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(60);

/// The watch of one scope.
pub(crate) struct Watch<'a> {
    /// For lists.
    pub(crate) caller: &'a Caller,
    /// For the watch: without a limit on how long it may be silent.
    pub(crate) client: &'a Client,
    pub(crate) settings: &'a Settings,
    pub(crate) scope: &'a Scope,
}

/// One line of a watch.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: serde_json::Value,
}

/// Why a watch is not followed any further.
#[derive(Debug)]
enum Ended {
    /// As watches do: it is taken up where it ended.
    Here,
    /// Its place is too old: a new list is needed.
    Expired,
    /// It could not be begun.
    Failed(ApiError),
}

impl Watch<'_> {
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
            sleep(why.map_or(pause, |why| self.cold(&why, pause))).await;
        }
    }

    /// Every pod, page by page. Returns where the watch begins.
    async fn list(&self) -> Result<String, ApiError> {
        self.scope.begin_list();
        let list = Pages {
            caller: self.caller,
            path: request::pods(self.scope.namespace.as_ref()),
            selector: "",
            limit: self.settings.page.min(PAGE),
            ask: Ask::get,
            try_within: self.settings.list_within,
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
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            match self.once(&mut revision).await {
                Ended::Expired => return None,
                Ended::Failed(why @ ApiError::Forbidden(_)) => return Some(why),
                Ended::Failed(why) => {
                    self.scope.set(Warmth::Cold(why.to_string()));
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // A watch that ends at once each time must not become a storm.
                Ended::Here if began.elapsed() < PAUSE => sleep(PAUSE).await,
                Ended::Here => pause = PAUSE,
            }
        }
    }

    /// One watch, to its end.
    async fn once(&self, revision: &mut String) -> Ended {
        let query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", revision.as_str()),
            ("timeoutSeconds", OPEN),
        ];
        let path = request::with_query(&request::pods(self.scope.namespace.as_ref()), &query);
        let mut lines = match self.open(path).await {
            Ok(lines) => lines,
            Err(ended) => return ended,
        };
        self.scope.set(Warmth::Warm);
        while let Ok(Some(line)) = timeout(SILENT, lines.next()).await {
            if let ControlFlow::Break(ended) = self.take(&line, revision) {
                return ended;
            }
        }
        Ended::Here
    }

    async fn open(&self, path: String) -> Result<Lines, Ended> {
        let ask = Ask::get(path, self.settings.try_within);
        let request = ask
            .to_http()
            .map_err(|error| Ended::Failed(ApiError::Invalid(error.to_string())))?;
        let answer = timeout(self.settings.read_within, self.client.send(request)).await;
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
                let refused = receive(&ask, answer, Instant::now() + self.settings.try_within).await;
                let odd =
                    || ApiError::Unavailable("a watch was answered with a status that it cannot have".into());
                Err(Ended::Failed(
                    refused.err().map_or_else(odd, |failure| failure.why),
                ))
            }
        }
    }

    /// One line. What cannot be read is a line that something was lost with: only a list tells what.
    fn take(&self, line: &[u8], revision: &mut String) -> ControlFlow<Ended> {
        let Ok(Event { kind, object }) = serde_json::from_slice::<Event>(line) else {
            return ControlFlow::Break(Ended::Expired);
        };
        if kind == "ERROR" {
            return ControlFlow::Break(Ended::Expired);
        }
        let Ok(pod) = serde_json::from_value::<wire::Pod>(object) else {
            return ControlFlow::Break(Ended::Expired);
        };
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

    /// Says why nothing can be found now. Returns how long to wait.
    fn cold(&self, why: &ApiError, pause: Duration) -> Duration {
        tracing::warn!(%why, namespace = ?self.scope.namespace, "the pods are not watched");
        if matches!(why, ApiError::Forbidden(_)) {
            self.scope.set(Warmth::Forbidden(why.to_string()));
            return FORBIDDEN_PAUSE;
        }
        self.scope.set(Warmth::Cold(why.to_string()));
        pause
    }
}
