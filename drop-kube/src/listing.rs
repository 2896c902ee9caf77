//! Finding pods by what the API server cannot select by: one list at a time, shared by all who wait for one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use drop_core::pod::Pod;
use drop_core::ports::{ApiError, By};
use falco_event::Namespace;
use tokio::time::{Instant, timeout_at};

use crate::caller::Caller;
use crate::pages::{Broken, Pages};
use crate::request::{self, Ask};
use crate::{Settings, convert, wire};

/// Lists pods and keeps those that someone asked for.
///
/// A question joins the list that begins next, never one that runs: what was there before the question is in the
/// answer. So a storm of questions makes two lists at most, the one running and the next.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    caller: Caller,
    settings: Settings,
    /// Who holds it lists.
    turn: Arc<tokio::sync::Mutex<()>>,
    next: Arc<Mutex<Arc<Batch>>>,
}

/// The questions that one list answers.
#[derive(Debug, Default)]
struct Batch {
    questions: Mutex<HashSet<By>>,
    answers: OnceLock<Result<Vec<Pod>, ApiError>>,
}

impl Listing {
    pub(crate) fn new(caller: Caller, settings: Settings) -> Self {
        Self {
            caller,
            settings,
            turn: Arc::default(),
            next: Arc::default(),
        }
    }

    /// The pods that bear this mark.
    pub(crate) async fn find(&self, by: &By) -> Result<Vec<Pod>, ApiError> {
        let batch = self.join(by);
        // The list that runs now, and then ours.
        let until = Instant::now() + self.settings.list_within * 2;
        let turn = timeout_at(until, self.turn.lock()).await;
        let _turn = turn.map_err(|_| ApiError::TimedOut("another list of pods does not end".into()))?;
        if batch.answers.get().is_none() {
            self.close(&batch);
            let answers = self.list(&batch).await;
            let _ = batch.answers.set(answers);
        }
        let answers = batch.answers.get().cloned().unwrap_or_else(|| Ok(Vec::new()))?;
        Ok(answers.into_iter().filter(|pod| bears(pod, by)).collect())
    }

    fn join(&self, by: &By) -> Arc<Batch> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(by.clone());
        Arc::clone(&next)
    }

    /// From now on questions go into another batch.
    fn close(&self, batch: &Arc<Batch>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&next, batch) {
            *next = Arc::default();
        }
    }

    async fn list(&self, batch: &Batch) -> Result<Vec<Pod>, ApiError> {
        let questions = batch
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let until = Instant::now() + self.settings.list_within;
        let everywhere = [None];
        let namespaces: Vec<_> = self.settings.namespaces.iter().map(Some).collect();
        let mut found = Vec::new();
        for namespace in if namespaces.is_empty() {
            everywhere.as_slice()
        } else {
            &namespaces
        } {
            found.extend(self.whole(*namespace, until, &questions).await?);
        }
        Ok(found)
    }

    /// The pods that someone asked for. A list that takes too long loses its place (410): it begins anew, once.
    async fn whole(
        &self,
        namespace: Option<&Namespace>,
        until: Instant,
        questions: &HashSet<By>,
    ) -> Result<Vec<Pod>, ApiError> {
        let mut found = Vec::new();
        let first = self
            .pages(namespace, until, &mut |pod| keep(pod, questions, &mut found))
            .await;
        match first {
            Err(Broken {
                why: ApiError::Unavailable(_),
                after_the_first_page: true,
            }) => found.clear(),
            ended => return ended.map(|()| found).map_err(|broken| broken.why),
        }
        let second = self
            .pages(namespace, until, &mut |pod| keep(pod, questions, &mut found))
            .await;
        second.map(|()| found).map_err(|broken| broken.why)
    }

    async fn pages(
        &self,
        namespace: Option<&Namespace>,
        until: Instant,
        each: &mut (dyn FnMut(wire::Pod) + Send),
    ) -> Result<(), Broken> {
        let Settings {
            page: limit,
            list_within: try_within,
            ..
        } = self.settings;
        let path = request::pods(namespace);
        let list = Pages {
            caller: &self.caller,
            path,
            selector: "",
            limit,
            ask: Ask::get,
            try_within,
            until,
        };
        list.each(each).await.map(|_| ())
    }
}

fn keep(sent: wire::Pod, questions: &HashSet<By>, found: &mut Vec<Pod>) {
    match convert::pod(sent) {
        Ok(pod) if questions.iter().any(|by| bears(&pod, by)) => found.push(pod),
        Ok(_) => {}
        Err(odd) => tracing::warn!(%odd, "a pod in a list is left out"),
    }
}

/// Whether the pod bears the mark.
pub(crate) fn bears(pod: &Pod, by: &By) -> bool {
    match by {
        By::Container { id, .. } => pod.containers.iter().any(|container| container.id.matches(id)),
        By::Uid(uid) => pod.uid == *uid,
        By::Name(namespace, name) => pod.namespace == *namespace && pod.name == *name,
    }
}
