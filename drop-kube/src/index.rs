//! The index: pods in memory, as a watch tells, so that an alert finds its pod without a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use drop_core::facts::Known;
use drop_core::moment::between;
use drop_core::pod::{Deletion, Pod};
use drop_core::ports::{ApiError, By, Presence, Target};
use falco_event::{Namespace, NodeName, PodUid, Timestamp};
use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::caller::Caller;
use crate::reach::{Kept, union};
use crate::scope::{Scope, Signals, Warmth};
use crate::watch::Watch;
use crate::{Reach, Settings};

/// Lists of pods at a time, of as many namespaces: each keeps an API server busy.
const LISTS: usize = 2;
/// The pause before a watch begins anew whose task ended: what it fell over may still be there.
const AFRESH: Duration = Duration::from_secs(1);
/// How long after the end of its grace a pod is expected to be there.
const LATE: Duration = Duration::from_secs(5);

/// Every pod of the cluster, or of some namespaces, kept by a watch of each.
///
/// Cheap to clone; clones share the pods. It is empty and cold until [`Index::keep`] runs, and cold again while the
/// watch is interrupted; what is asked meanwhile is answered with a retryable error, or by a request where that can
/// tell. Of several namespaces each is warm or cold by itself.
///
/// Caveat: of a watch whose connection is dead without a sign the index learns after [`Settings::silent`]. What it finds in
/// that time may be gone: a change to it is refused by its UID. What it does not find is asked for once the watch has
/// been silent for [`Settings::believed`], as is a pod that has the name that is looked for and neither the container
/// nor the UID.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use drop_kube::{Connect, Index, KubePods, Settings};
///
/// let connect = Connect::default();
/// let settings = Settings::default();
/// let index = Index::connect(&connect, &settings).await?;
/// let pods = KubePods::connect(&connect, settings).await?.with_index(index.clone());
/// tokio::spawn({ let index = index.clone(); async move { index.keep().await } });
/// index.warm().await;
/// println!("{} pods", index.len());
/// # let _ = pods;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Index {
    shared: Arc<Shared>,
}

/// What the watches of an index share.
pub(crate) struct Shared {
    /// For watches: without a limit on how long an answer may be silent.
    pub(crate) client: Client,
    /// For lists.
    pub(crate) caller: Caller,
    pub(crate) settings: Settings,
    pub(crate) lists: Semaphore,
    places: RwLock<Places>,
    /// Counts changes of the scopes.
    moved: watch::Sender<u64>,
    signals: Arc<Signals>,
}

/// What has to be known, and the scopes that follow from it. None is the whole cluster.
#[derive(Debug, Default)]
struct Places {
    held: BTreeMap<u64, Reach>,
    holds: u64,
    scopes: BTreeMap<Option<Namespace>, Arc<Scope>>,
    kept: Arc<Kept>,
}

/// Keeps a [`Reach`] in an index for as long as it lives.
#[derive(Debug)]
#[must_use = "when it is dropped, its pods are not watched any more"]
pub struct Hold {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared
            .arrange(|places| drop(places.held.remove(&self.number)));
    }
}

impl Index {
    /// An index of what [`Settings::reach`] names, over this client, which must let a watch be silent for a minute:
    /// [`crate::connect_for_watches`] makes such a client. Nothing is asked before [`Index::keep`].
    #[must_use]
    pub fn new(client: Client, settings: &Settings) -> Self {
        let shared = Shared {
            caller: Caller::new(client.clone(), settings),
            client,
            settings: settings.clone(),
            lists: Semaphore::new(LISTS),
            places: RwLock::default(),
            moved: watch::Sender::new(0),
            signals: Arc::default(),
        };
        shared.arrange(|places| drop(places.held.insert(0, settings.reach.clone())));
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The same over the API server that a kubeconfig or the account in the cluster names.
    ///
    /// # Errors
    /// The configuration cannot be read, or names what cannot be used.
    pub async fn connect(to: &crate::Connect, settings: &Settings) -> Result<Self, crate::ConnectError> {
        Ok(Self::new(crate::connect_for_watches(to).await?, settings))
    }

    /// Keeps this too, beside what the settings name and what else is held, until what is returned is dropped.
    ///
    /// From the moment it returns, nothing is told as absent there that was not looked for: a namespace that was not
    /// watched is cold until its first list is whole, and so is everything until it has been listed again where other
    /// annotations are asked for.
    pub fn reach(&self, reach: Reach) -> Hold {
        let number = self.shared.arrange(|places| {
            places.holds = places.holds.wrapping_add(1);
            places.held.insert(places.holds, reach);
            places.holds
        });
        Hold {
            shared: Arc::clone(&self.shared),
            number,
        }
    }

    /// Lists and watches for ever: run it as a task of its own. It recovers from whatever happens to a watch.
    pub async fn keep(&self) {
        let mut moved = self.shared.moved.subscribe();
        let mut watches = Watches::default();
        loop {
            moved.borrow_and_update();
            let scopes = self.shared.places().scopes.clone();
            watches.follow(&scopes, &self.shared);
            tokio::select! {
                // The sender is in `self`, so there is always another change to wait for.
                _ = moved.changed() => {}
                () = watches.one_ended() => {}
            }
        }
    }

    /// Returns when the index is warm: it has every pod, and the watches are open.
    pub async fn warm(&self) {
        let mut turns = self.shared.signals.turns.subscribe();
        while self.cold().is_some() {
            // The sender is in `self`, so there is always another turn to wait for.
            let _ = turns.changed().await;
        }
    }

    /// Why the index, or a part of it, is not warm; none where it is.
    #[must_use]
    pub fn cold(&self) -> Option<String> {
        let places = self.shared.places();
        places
            .scopes
            .values()
            .find_map(|scope| match scope.lock().warmth.clone() {
                Warmth::Warm => None,
                Warmth::Cold(why) | Warmth::Forbidden(why) => Some(why),
            })
    }

    /// Tells each time that a pod went, so that who waits for an end can look at once. Several may be one change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.signals.gone.subscribe()
    }

    /// How many pods it has.
    #[must_use]
    pub fn len(&self) -> usize {
        let places = self.shared.places();
        places.scopes.values().map(|scope| scope.lock().store.len()).sum()
    }

    /// Whether it has no pod.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it has by this mark, and where it cannot tell.
    pub(crate) fn find(&self, by: &By) -> Seen {
        let mut seen = Seen::default();
        let mut known = BTreeSet::new();
        let believed = self.shared.settings.believed;
        for scope in self.shared.places().scopes.values() {
            if matches!(by, By::Name(namespace, _) if !scope.has(namespace)) {
                continue;
            }
            let state = scope.lock();
            match &state.warmth {
                Warmth::Warm => {
                    let (found, quiet) = (state.store.find(by), state.is_quiet(believed));
                    if quiet && found.is_empty() {
                        seen.quiet.push(scope.namespace.clone());
                    }
                    for (pod, whole) in found {
                        // Two scopes can have the same pod while one takes the other's place.
                        if known.insert(pod.uid.clone()) {
                            let touched = self.shared.signals.touched.has(&pod.uid);
                            seen.doubtful |= !whole || touched;
                            seen.old |= quiet;
                            seen.pods.push(pod);
                        }
                    }
                }
                Warmth::Cold(why) => {
                    seen.cold = Some(ApiError::Unavailable(format!("the index is cold: {why}")));
                }
                Warmth::Forbidden(_) => seen.unwatched.push(scope.namespace.clone()),
            }
        }
        seen
    }

    /// Whether a pod runs on a node of this name, or why that cannot be told. A watch that has been silent is believed:
    /// what was a node's name stays one, and where there was none nothing is concluded.
    pub(crate) fn has_node(&self, node: &NodeName) -> Known<bool> {
        match self.cold() {
            Some(why) => Known::Unknown(format!("the index is cold: {why}")),
            None => {
                let places = self.shared.places();
                let has = |scope: &Arc<Scope>| scope.lock().store.has_node(node);
                Known::Is(places.scopes.values().any(has))
            }
        }
    }

    /// A change to the pod is about to be sent. From now on what the index has of it proves nothing: whether a change
    /// whose answer was lost was made is told by the API server alone.
    pub(crate) fn touch(&self, uid: &PodUid) {
        self.shared.signals.touched.add(uid.clone());
    }

    /// Whether the pod is there, where that can be told without a request: a watch saw it go, or on its way out, which
    /// no pod comes back from. A pod that is later than it had to be is asked for: the watch may be dead.
    pub(crate) fn presence(&self, target: &Target, now: Timestamp) -> Option<Presence> {
        if self.shared.signals.touched.is_gone(&target.uid) {
            return Some(Presence::Gone);
        }
        let seen = self.find(&By::Uid(target.uid.clone()));
        // One without a grace is about to be gone, or is: the watch may be a moment behind.
        let has_time = |it: Deletion| it.grace_seconds > 0 && between(it.at, now) < LATE;
        let is_leaving = |pod: &Pod| pod.deletion.is_some_and(has_time);
        seen.pods.iter().any(is_leaving).then_some(Presence::Terminating)
    }

    /// The ready pods of the controllers with these UIDs; none where the index cannot tell. A watch that has been silent
    /// for too long does not: one pod that went unseen is one more that seems to be left.
    pub(crate) fn ready_of(
        &self,
        namespace: &Namespace,
        controllers: &BTreeSet<String>,
    ) -> Option<BTreeSet<PodUid>> {
        let (places, believed) = (self.shared.places(), self.shared.settings.believed);
        places.scopes.values().find_map(|scope| {
            let state = scope.lock();
            let tells = scope.has(namespace) && state.warmth == Warmth::Warm && !state.is_quiet(believed);
            tells.then(|| {
                controllers
                    .iter()
                    .flat_map(|uid| state.store.ready_of(uid))
                    .collect()
            })
        })
    }
}

/// The watches that run, each as a task.
#[derive(Debug, Default)]
struct Watches {
    tasks: JoinSet<()>,
    running: BTreeMap<Option<Namespace>, Running>,
}

#[derive(Debug)]
struct Running {
    /// What it fills: another scope of the same place needs a watch of its own.
    scope: Arc<Scope>,
    task: AbortHandle,
}

impl Watches {
    /// From now on these scopes are watched, each by one task, and no others.
    fn follow(&mut self, scopes: &BTreeMap<Option<Namespace>, Arc<Scope>>, shared: &Arc<Shared>) {
        self.running.retain(|place, running| {
            let stays = scopes
                .get(place)
                .is_some_and(|scope| Arc::ptr_eq(scope, &running.scope));
            if !stays {
                running.task.abort();
            }
            stays
        });
        for (place, scope) in scopes {
            let ended = self.running.get(place).map(|running| running.task.is_finished());
            if ended == Some(false) {
                continue;
            }
            let pause = if ended.is_some() { AFRESH } else { Duration::ZERO };
            let (shared, scope) = (Arc::clone(shared), Arc::clone(scope));
            let watch = Watch {
                shared,
                scope: Arc::clone(&scope),
            };
            let task = self.tasks.spawn(async move {
                sleep(pause).await;
                watch.keep().await;
            });
            self.running.insert(place.clone(), Running { scope, task });
        }
    }

    /// Returns when a watch that should run has ended, which none does by itself; what it fills is cold then.
    async fn one_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            let running = self.running.values().find(|running| running.task.id() == id);
            if let Some(Running { scope, .. }) = running {
                tracing::error!("a watch of pods ended without cause, and begins anew");
                scope.cold("its watch ended without cause");
                return;
            }
        }
        std::future::pending().await
    }
}

/// What the index has by a mark.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) pods: Vec<Pod>,
    /// What it has of one of them is not enough, or proves nothing.
    pub(crate) doubtful: bool,
    /// The watch that one of them is known by has been silent for too long to be believed.
    pub(crate) old: bool,
    /// There may be others that it will know later.
    pub(crate) cold: Option<ApiError>,
    /// There may be others here, where it must not watch.
    pub(crate) unwatched: Vec<Option<Namespace>>,
    /// There may be others here, where the watch has been silent for too long to be believed.
    pub(crate) quiet: Vec<Option<Namespace>>,
}

impl Shared {
    fn places(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is held, and the scopes with it.
    fn arrange<T>(&self, change: impl FnOnce(&mut Places) -> T) -> T {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let out = change(&mut places);
        places.arrange(&self.signals);
        drop(places);
        self.moved.send_modify(|moved| *moved = moved.wrapping_add(1));
        self.signals
            .turns
            .send_modify(|turns| *turns = turns.wrapping_add(1));
        out
    }
}

impl Places {
    fn arrange(&mut self, signals: &Arc<Signals>) {
        let kept = Arc::new(union(self.held.values().map(|reach| &reach.annotations)));
        if kept != self.kept {
            self.kept = Arc::clone(&kept);
            self.scopes
                .values()
                .for_each(|scope| scope.keep(Arc::clone(&kept)));
        }
        let mut wanted = BTreeSet::new();
        for reach in self.held.values() {
            match &reach.namespaces {
                Some(namespaces) => wanted.extend(namespaces.iter().cloned().map(Some)),
                None => drop(wanted.insert(None)),
            }
        }
        self.scopes.retain(|place, _| wanted.contains(place));
        for place in wanted {
            let scope = || Arc::new(Scope::new(place.clone(), Arc::clone(&kept), Arc::clone(signals)));
            self.scopes.entry(place.clone()).or_insert_with(scope);
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of an API server that is not there.
    fn index() -> Index {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        Index::new(Client::try_from(config).unwrap(), &Settings::default())
    }

    #[tokio::test]
    async fn a_watch_whose_task_ended_makes_cold_what_it_fills_and_begins_anew() {
        let index = index();
        let scopes = index.shared.places().scopes.clone();
        let mut watches = Watches::default();
        watches.follow(&scopes, &index.shared);
        let first = watches.running[&None].task.clone();
        watches.follow(&scopes, &index.shared);
        assert_eq!(watches.running[&None].task.id(), first.id(), "it runs");
        scopes[&None].warm();
        first.abort();
        watches.one_ended().await;
        assert_eq!(index.cold().as_deref(), Some("its watch ended without cause"));
        watches.follow(&scopes, &index.shared);
        let second = &watches.running[&None].task;
        assert!(second.id() != first.id() && !second.is_finished());
    }
}
