//! `PodApi` over an API server.

use std::time::Duration;

use async_trait::async_trait;
use drop_core::facts::{Facts, Wants};
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, ApplyError, By, Change, Found, PodApi, Presence, Target, Way};
use falco_event::{Namespace, PodName, Timestamp};
use kube::Client;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::index::{Index, Seen};
use crate::listing::{Listing, bears};
use crate::refusals::Refusals;
use crate::request::{self, Ask};
use crate::{Reach, change, convert, facts, wire, workload};

/// What bounds the adapter's requests. Each value has a default that serves a cluster of any size.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Requests in flight at one time, lists among them, watches not: 32.
    pub in_flight: usize,
    /// How long one try of a request may take before another is worth more than the wait: 3 s.
    pub try_within: Duration,
    /// The pause before the second try; before the third it is four times as long: 50 ms.
    pub pause: Duration,
    /// How long a question may take over all its tries: 5 s.
    pub read_within: Duration,
    /// How long a list of all pods may take over all its pages, for who waits for it: 15 s.
    pub list_within: Duration,
    /// How long a watch may be silent before its connection is taken for dead; the API server says something at least
    /// each minute: 90 s.
    pub silent: Duration,
    /// For how long after its last message a watch is believed that a pod which it does not show is absent; after that the
    /// API server is asked. Shorter than the engine waits for a container's status, so that a connection that died
    /// before it is found out: 10 s.
    pub believed: Duration,
    /// How long a new watch is read before the index says that a pod is absent, since what was missed meanwhile comes first:
    /// 250 ms.
    pub settle: Duration,
    /// Pods in one page of a list: 500.
    pub page: u32,
    /// Where pods are looked for by container id or UID, and which of their annotations an index keeps: everywhere,
    /// and all.
    pub reach: Reach,
    /// Shared by the clones of these settings, and so by what is made with them.
    pub(crate) refusals: Refusals,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 32,
            try_within: Duration::from_secs(3),
            pause: Duration::from_millis(50),
            read_within: Duration::from_secs(5),
            list_within: Duration::from_secs(15),
            silent: Duration::from_secs(90),
            believed: Duration::from_secs(10),
            settle: Duration::from_millis(250),
            page: 500,
            reach: Reach::default(),
            refusals: Refusals::default(),
        }
    }
}

/// The pods of the cluster behind one API server.
///
/// Cheap to clone; clones share the bound on requests in flight and the running list.
///
/// It tries a request up to three times within its deadline where that can help (no answer, 429 without a budget's
/// refusal, 5xx), and tells in [`ApplyError::maybe_happened`] if any of the tries may have been carried out. Changes
/// are pinned to the UID in the request itself, so a second try cannot hit another pod.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use drop_core::ports::{By, PodApi};
/// use drop_kube::{Connect, KubePods, Settings};
///
/// let pods = KubePods::connect(&Connect::default(), Settings::default()).await?;
/// for pod in pods.find(&By::Name("shop".parse()?, "web-0".parse()?)).await?.pods {
///     println!("{} runs since {}", pod.uid, pod.created);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct KubePods {
    pub(crate) caller: Caller,
    pub(crate) settings: Settings,
    listing: Listing,
    pub(crate) index: Option<Index>,
}

impl KubePods {
    /// Over a client that is there already.
    ///
    /// The client must not retry by itself (`Config::default_retry = false`): it would retry what a
    /// `PodDisruptionBudget` refused, and after the deadline. [`crate::connect`] makes such a client.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        let caller = Caller::new(client, &settings);
        Self {
            listing: Listing::new(caller.clone(), settings.clone()),
            caller,
            settings,
            index: None,
        }
    }

    /// Over the API server that a kubeconfig or the account in the cluster names. Sends nothing yet.
    ///
    /// # Errors
    /// The configuration cannot be read, or names what cannot be used.
    pub async fn connect(connect: &crate::Connect, settings: Settings) -> Result<Self, crate::ConnectError> {
        Ok(Self::new(crate::connect(connect).await?, settings))
    }

    /// Finds pods in an index instead of by requests, where the index can tell.
    #[must_use]
    pub fn with_index(self, index: Index) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }

    /// When a question asked now has to be answered.
    pub(crate) fn read_until(&self) -> Instant {
        Instant::now() + self.settings.read_within
    }

    /// By the index where it can tell, and else by as few requests as that takes.
    async fn find_in(&self, index: &Index, by: &By, others: &[By]) -> Result<Found, ApiError> {
        let Seen {
            pods,
            doubtful,
            old,
            cold,
            unwatched,
            quiet,
        } = index.find(by);
        if doubtful {
            return self.again(&pods, by).await.map(read);
        }
        let way = Way::Index;
        match by {
            By::Name(..) if pods.iter().any(|pod| is_the_one(pod, others, old)) => {
                return Ok(Found { pods, way });
            }
            By::Name(namespace, name) => return self.by_name(namespace, name).await.map(read),
            By::Uid(_) | By::Container { .. } if !pods.is_empty() => return Ok(Found { pods, way }),
            By::Uid(_) | By::Container { .. } => {}
        }
        let places: Vec<_> = unwatched.into_iter().chain(quiet).collect();
        let found = if places.is_empty() {
            Found { pods, way }
        } else {
            self.listing.find(by, places).await?
        };
        match cold {
            Some(cold) if found.pods.is_empty() => Err(cold),
            _ => Ok(found),
        }
    }

    /// What the API server says now of pods of which the index proves nothing.
    async fn again(&self, pods: &[Pod], by: &By) -> Result<Vec<Pod>, ApiError> {
        let mut found = Vec::new();
        for pod in pods {
            found.extend(self.by_name(&pod.namespace, &pod.name).await?);
        }
        found.retain(|pod| bears(pod, by));
        Ok(found)
    }

    async fn by_name(&self, namespace: &Namespace, name: &PodName) -> Result<Vec<Pod>, ApiError> {
        let ask = Ask::get(request::pod(namespace, name), self.settings.try_within);
        match self.caller.read::<wire::Pod>(&ask, self.read_until()).await? {
            Some(pod) => Ok(vec![
                convert::pod(pod).map_err(|odd| ApiError::Unavailable(odd.to_string()))?,
            ]),
            None => Ok(Vec::new()),
        }
    }
}

#[async_trait]
impl PodApi for KubePods {
    async fn find(&self, by: &By) -> Result<Found, ApiError> {
        self.find_with(by, &[]).await
    }

    async fn find_with(&self, by: &By, others: &[By]) -> Result<Found, ApiError> {
        match (&self.index, by) {
            (Some(index), _) => self.find_in(index, by, others).await,
            (None, By::Name(namespace, name)) => self.by_name(namespace, name).await.map(read),
            (None, By::Uid(_) | By::Container { .. }) => {
                let places = match &self.settings.reach.namespaces {
                    Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
                    None => vec![None],
                };
                self.listing.find(by, places).await
            }
        }
    }

    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        facts::facts(self, pod, wants).await
    }

    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        if let Some(index) = &self.index {
            index.touch(&target.uid);
        }
        change::apply(self, target, change, Instant::now() + within).await
    }

    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        let index = self.index.as_ref();
        match index.and_then(|index| index.presence(target, Timestamp::now())) {
            Some(presence) => Ok(presence),
            None => change::presence(self, target, self.read_until()).await,
        }
    }
}

fn read(pods: Vec<Pod>) -> Found {
    let way = Way::Read;
    Found { pods, way }
}

/// Whether the pod that the index has by a name is the one that is meant: it bears another mark of it. One that does not
/// may be the pod before of that name, or have been restarted unseen, if the watch is old or the name taken over.
fn is_the_one(pod: &Pod, others: &[By], old: bool) -> bool {
    let is_pinned = others.iter().any(|by| bears(pod, by));
    is_pinned || (is_named_once(pod) && (others.is_empty() || !old))
}

/// Whether no later pod will have the name: its controller makes names up. A StatefulSet's pods and bare ones take
/// their names over, and a watch that is behind would show the pod before, which the alert's container would
/// contradict for good; so those are asked for.
fn is_named_once(pod: &Pod) -> bool {
    pod.controller
        .as_ref()
        .is_some_and(|owner| workload::keeps_pods(owner) && owner.kind != "StatefulSet")
}
