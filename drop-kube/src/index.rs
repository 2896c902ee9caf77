//! The index: every pod in memory, as a watch tells, so that an alert finds its pod without a request.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drop_core::facts::Known;
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, By};
use falco_event::{Namespace, NodeName, PodUid};
use kube::Client;
use tokio::sync::watch;

use crate::caller::Caller;
use crate::store::Store;
use crate::watch::Watch;
use crate::{Settings, convert, wire};

/// Every pod of the cluster, or of the namespaces that [`Settings::namespaces`] names, kept by a watch.
///
/// Cheap to clone; clones share the pods. It is empty and cold until [`Index::keep`] runs, and cold again while the
/// watch is interrupted; what is asked meanwhile is answered with a retryable error, or by a request where that can
/// tell.
///
/// Caveat: of a watch whose connection is dead without a sign the index learns after 90 seconds. What it finds in
/// that time may be gone: a change to it is refused by its UID.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use drop_kube::{Connect, Index, KubePods, Settings};
///
/// let connect = Connect::default();
/// let settings = Settings::default();
/// let index = Index::new(drop_kube::connect_for_watches(&connect).await?, &settings);
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

struct Shared {
    client: Client,
    caller: Caller,
    settings: Settings,
    scopes: Vec<Scope>,
    /// Counts pods that went.
    gone: watch::Sender<u64>,
    /// Counts changes of a scope's warmth.
    turns: watch::Sender<u64>,
}

/// The pods of a namespace, or of all.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) namespace: Option<Namespace>,
    annotations: Option<BTreeSet<String>>,
    state: Mutex<State>,
    gone: watch::Sender<u64>,
    turns: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    warmth: Warmth,
    /// Pods that were to be changed from here, and are not known to be gone.
    touched: BTreeSet<PodUid>,
}

/// Whether what a scope has is what the API server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// Yes, but for what is on its way.
    Warm,
    /// Not yet, or not any more, and why.
    Cold(String),
    /// The right to list or watch pods is missing.
    Forbidden(String),
}

impl Default for Warmth {
    fn default() -> Self {
        Self::Cold("the first list of pods is not there yet".to_owned())
    }
}

impl Index {
    /// An index over this client, which must let a watch be silent for a minute: [`crate::connect_for_watches`]
    /// makes such a client. Nothing is asked before [`Index::keep`].
    #[must_use]
    pub fn new(client: Client, settings: &Settings) -> Self {
        let (gone, turns) = (watch::Sender::new(0), watch::Sender::new(0));
        let scope = |namespace: Option<Namespace>| Scope {
            namespace,
            annotations: settings.annotations.clone(),
            state: Mutex::default(),
            gone: gone.clone(),
            turns: turns.clone(),
        };
        let scopes = match settings.namespaces.as_slice() {
            [] => vec![scope(None)],
            named => named.iter().cloned().map(Some).map(scope).collect(),
        };
        let caller = Caller::new(client.clone(), settings);
        Self {
            shared: Arc::new(Shared {
                client,
                caller,
                settings: settings.clone(),
                scopes,
                gone,
                turns,
            }),
        }
    }

    /// Lists and watches for ever: run it as a task of its own. It recovers from whatever happens to the watch.
    pub async fn keep(&self) {
        let Shared {
            client,
            caller,
            settings,
            scopes,
            ..
        } = &*self.shared;
        let watches = scopes.iter().map(|scope| async move {
            Watch {
                caller,
                client,
                settings,
                scope,
            }
            .keep()
            .await;
        });
        futures_util::future::join_all(watches).await;
    }

    /// Returns when the index is warm: it has every pod, and the watch is open.
    pub async fn warm(&self) {
        let mut turns = self.shared.turns.subscribe();
        while self.cold().is_some() {
            // The sender is in `self`, so there is always another turn to wait for.
            let _ = turns.changed().await;
        }
    }

    /// Why the index is not warm; none where it is.
    #[must_use]
    pub fn cold(&self) -> Option<String> {
        self.shared
            .scopes
            .iter()
            .find_map(|scope| match scope.lock().warmth.clone() {
                Warmth::Warm => None,
                Warmth::Cold(why) | Warmth::Forbidden(why) => Some(why),
            })
    }

    /// Tells each time that a pod went, so that who waits for an end can look at once. Several may be one change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.gone.subscribe()
    }

    /// How many pods it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared
            .scopes
            .iter()
            .map(|scope| scope.lock().store.len())
            .sum()
    }

    /// Whether it has no pod.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pods that bear this mark, or why that cannot be told.
    pub(crate) fn find(&self, by: &By) -> Indexed {
        let mut found = Vec::new();
        for scope in &self.shared.scopes {
            let state = scope.lock();
            match &state.warmth {
                Warmth::Warm => found.extend(state.store.find(by)),
                Warmth::Cold(why) => {
                    return Indexed::NotYet(ApiError::Unavailable(format!("the index is cold: {why}")));
                }
                Warmth::Forbidden(_) => return Indexed::Never,
            }
        }
        Indexed::Pods(found)
    }

    /// Whether a pod stands on a node of this name, or why that cannot be told.
    pub(crate) fn has_node(&self, node: &NodeName) -> Known<bool> {
        match self.cold() {
            Some(why) => Known::Unknown(format!("the index is cold: {why}")),
            None => {
                let has = |scope: &Scope| scope.lock().store.has_node(node);
                Known::Is(self.shared.scopes.iter().any(has))
            }
        }
    }

    /// A change to the pod is about to be sent. From now on what the index has of it proves nothing: whether a change
    /// whose answer was lost was made is told by the API server alone.
    pub(crate) fn touch(&self, namespace: &Namespace, uid: &PodUid) {
        if let Some(scope) = self.scope_of(namespace) {
            scope.lock().touched.insert(uid.clone());
        }
    }

    /// Whether what the index has of the pod may be older than a change that was sent from here.
    pub(crate) fn is_touched(&self, pod: &Pod) -> bool {
        self.scope_of(&pod.namespace)
            .is_some_and(|scope| scope.lock().touched.contains(&pod.uid))
    }

    fn scope_of(&self, namespace: &Namespace) -> Option<&Scope> {
        let has = |scope: &&Scope| scope.namespace.as_ref().is_none_or(|own| own == namespace);
        self.shared.scopes.iter().find(has)
    }

    /// The ready pods of the controllers with these UIDs; none where the index cannot tell.
    pub(crate) fn ready_of(
        &self,
        namespace: &Namespace,
        controllers: &BTreeSet<String>,
    ) -> Option<BTreeSet<PodUid>> {
        let state = self.scope_of(namespace)?.lock();
        if state.warmth != Warmth::Warm {
            return None;
        }
        Some(
            controllers
                .iter()
                .flat_map(|uid| state.store.ready_of(uid))
                .collect(),
        )
    }
}

/// What the index says of a mark.
pub(crate) enum Indexed {
    /// These pods bear it.
    Pods(Vec<Pod>),
    /// It will know later.
    NotYet(ApiError),
    /// It must not watch.
    Never,
}

impl Scope {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, warmth: Warmth) {
        let mut state = self.lock();
        if state.warmth != warmth {
            state.warmth = warmth;
            drop(state);
            self.turns.send_modify(|turns| *turns = turns.wrapping_add(1));
        }
    }

    pub(crate) fn begin_list(&self) {
        self.lock().store.begin_list();
    }

    pub(crate) fn end_list(&self) {
        let mut state = self.lock();
        let gone = state.store.end_list();
        let State { store, touched, .. } = &mut *state;
        touched.retain(|uid| !store.find(&By::Uid(uid.clone())).is_empty());
        drop(state);
        self.tell(gone > 0);
    }

    pub(crate) fn put(&self, sent: wire::Pod) {
        match convert::pod(sent) {
            Ok(mut pod) => {
                if let Some(kept) = &self.annotations {
                    pod.annotations.retain(|key, _| kept.contains(key));
                }
                self.lock().store.put(pod);
            }
            Err(odd) => tracing::warn!(%odd, "a pod is left out of the index"),
        }
    }

    pub(crate) fn remove(&self, sent: &wire::Pod) {
        let Some(uid) = convert::uid(&sent.metadata) else {
            return;
        };
        let mut state = self.lock();
        state.touched.remove(&uid);
        let gone = state.store.remove(&uid);
        drop(state);
        self.tell(gone);
    }

    fn tell(&self, gone: bool) {
        if gone {
            self.gone.send_modify(|gone| *gone = gone.wrapping_add(1));
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("scopes", &self.scopes.len())
            .finish_non_exhaustive()
    }
}
