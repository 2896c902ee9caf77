//! Finding pods by what the API server cannot select by: one list at a time, shared by all who wait for one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use drop_core::pod::Pod;
use drop_core::ports::{ApiError, By, Found, Way};
use falco_event::{Namespace, NodeName};
use tokio::time::{Instant, timeout_at};

use crate::caller::Caller;
use crate::pages::{Broken, Pages};
use crate::request::{self, Ask};
use crate::{Settings, convert, wire};

/// Nodes whose pods are listed one by one. Of more, a list of all pods costs less: some hundred stand on a node.
const NODES: usize = 4;

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
    questions: Mutex<Questions>,
    answers: OnceLock<Answers>,
}

#[derive(Debug, Default, Clone)]
struct Questions {
    marks: HashSet<By>,
    /// Where; none is the whole cluster.
    places: BTreeSet<Option<Namespace>>,
}

/// The pods that were found on the nodes that the questions name, and those that were found in lists of all.
#[derive(Debug, Default, Clone)]
struct Answers {
    on_nodes: Vec<Pod>,
    anywhere: Vec<Pod>,
    /// Where pods could not be listed, and why.
    unread: BTreeMap<Option<Namespace>, ApiError>,
}

impl Batch {
    fn questions(&self) -> Questions {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
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

    /// The pods in these places that bear this mark, and maybe others. A place that could not be listed is an error only
    /// where no other has such a pod.
    pub(crate) async fn find(&self, by: &By, places: Vec<Option<Namespace>>) -> Result<Found, ApiError> {
        let batch = self.join(by, &places);
        // The list that runs now, and then ours.
        let until = Instant::now() + self.settings.list_within * 2;
        let turn = timeout_at(until, self.turn.lock()).await;
        let _turn = turn.map_err(|_| ApiError::TimedOut("another list of pods does not end".into()))?;
        if batch.answers.get().is_none() {
            self.close(&batch);
            let answers = self.list(&batch).await;
            let _ = batch.answers.set(answers);
        }
        let answers = batch.answers.get().cloned();
        answers.unwrap_or_default().to(by, &places)
    }

    fn join(&self, by: &By, places: &[Option<Namespace>]) -> Arc<Batch> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut questions = next.questions.lock().unwrap_or_else(PoisonError::into_inner);
        questions.marks.insert(by.clone());
        questions.places.extend(places.iter().cloned());
        Arc::clone(&next)
    }

    /// From now on questions go into another batch.
    fn close(&self, batch: &Arc<Batch>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&next, batch) {
            *next = Arc::default();
        }
    }

    /// Where every question names a node, the pods there; and for what is not among them, all pods: the name can be
    /// no node's, or another one's.
    async fn list(&self, batch: &Batch) -> Answers {
        let Questions { mut marks, places } = batch.questions();
        let until = Instant::now() + self.settings.list_within;
        let mut answers = Answers::default();
        for node in nodes(&marks) {
            let on = format!("spec.nodeName={node}");
            let select = [("fieldSelector", on.as_str())];
            let (found, unread) = self.everywhere(&places, &select, until, &marks).await;
            answers.on_nodes.extend(found);
            answers.unread.extend(unread);
        }
        marks.retain(|by| !answers.on_nodes.iter().any(|pod| bears(pod, by)));
        if !marks.is_empty() {
            (answers.anywhere, answers.unread) = self.everywhere(&places, &[], until, &marks).await;
        }
        answers
    }

    async fn everywhere(
        &self,
        places: &BTreeSet<Option<Namespace>>,
        select: &[(&str, &str)],
        until: Instant,
        marks: &HashSet<By>,
    ) -> (Vec<Pod>, BTreeMap<Option<Namespace>, ApiError>) {
        let (mut found, mut unread) = (Vec::new(), BTreeMap::new());
        for place in places {
            match self.whole(place.as_ref(), select, until, marks).await {
                Ok(pods) => found.extend(pods),
                Err(why) => drop(unread.insert(place.clone(), why)),
            }
        }
        (found, unread)
    }

    /// The pods that someone asked for. A list that takes too long loses its place (410): it begins anew, once.
    async fn whole(
        &self,
        namespace: Option<&Namespace>,
        select: &[(&str, &str)],
        until: Instant,
        marks: &HashSet<By>,
    ) -> Result<Vec<Pod>, ApiError> {
        let mut found = Vec::new();
        let list = Pages {
            caller: &self.caller,
            path: request::pods(namespace),
            select,
            limit: self.settings.page,
            ask: Ask::get,
            try_within: self.settings.list_within,
            until,
        };
        let first = list.each(&mut |pod| keep(pod, marks, &mut found)).await;
        match first {
            Err(Broken {
                why: ApiError::Unavailable(_),
                after_the_first_page: true,
            }) => found.clear(),
            ended => return ended.map(|_| found).map_err(|broken| broken.why),
        }
        let second = list.each(&mut |pod| keep(pod, marks, &mut found)).await;
        second.map(|_| found).map_err(|broken| broken.why)
    }
}

impl Answers {
    fn to(self, by: &By, places: &[Option<Namespace>]) -> Result<Found, ApiError> {
        let bearing = |pods: Vec<Pod>| pods.into_iter().filter(|pod| bears(pod, by)).collect::<Vec<_>>();
        let on_nodes = bearing(self.on_nodes);
        if !on_nodes.is_empty() {
            let way = Way::NodeList;
            return Ok(Found { pods: on_nodes, way });
        }
        let pods = bearing(self.anywhere);
        let unread = places.iter().find_map(|place| self.unread.get(place));
        match unread {
            Some(why) if pods.is_empty() => Err(why.clone()),
            _ => Ok(Found { pods, way: Way::List }),
        }
    }
}

/// The nodes that all questions name, where they are few.
fn nodes(marks: &HashSet<By>) -> BTreeSet<&NodeName> {
    let named: Option<BTreeSet<_>> = marks
        .iter()
        .map(|by| match by {
            By::Container { on, .. } => on.as_ref(),
            By::Uid(_) | By::Name(..) => None,
        })
        .collect();
    named.filter(|nodes| nodes.len() <= NODES).unwrap_or_default()
}

fn keep(sent: wire::Pod, marks: &HashSet<By>, found: &mut Vec<Pod>) {
    match convert::pod(sent) {
        Ok(pod) if marks.iter().any(|by| bears(&pod, by)) => {
            // It comes again where its page broke off.
            found.retain(|before| before.uid != pod.uid);
            found.push(pod);
        }
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
