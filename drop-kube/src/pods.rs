//! `PodApi` over an API server.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use drop_core::facts::{Facts, Wants};
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, ApplyError, By, Change, PodApi, Presence, Target};
use falco_event::{Namespace, PodName};
use kube::Client;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::index::{Found, Index};
use crate::listing::Listing;
use crate::request::{self, Ask};
use crate::{change, convert, facts, wire};

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
    /// Pods in one page of a list: 500.
    pub page: u32,
    /// Annotations that the index keeps of a pod; none keeps all, which some tools make large.
    pub annotations: Option<BTreeSet<String>>,
    /// Where pods are looked for by container id or UID; none: in the whole cluster, which needs the right to list
    /// pods there.
    pub namespaces: Vec<Namespace>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 32,
            try_within: Duration::from_secs(3),
            pause: Duration::from_millis(50),
            read_within: Duration::from_secs(5),
            list_within: Duration::from_secs(15),
            page: 500,
            annotations: None,
            namespaces: Vec::new(),
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
/// for pod in pods.find(&By::Name("shop".parse()?, "web-0".parse()?)).await? {
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
    async fn find(&self, by: &By) -> Result<Vec<Pod>, ApiError> {
        if let By::Name(namespace, name) = by {
            // Always asked for: by a name alone a pod cannot be told from the one that it replaced a moment ago.
            return self.by_name(namespace, name).await;
        }
        match self.index.as_ref().map_or(Found::Never, |index| index.find(by)) {
            Found::Pods(pods) => Ok(pods),
            Found::NotYet(why) => Err(why),
            Found::Never => self.listing.find(by).await,
        }
    }

    async fn facts(&self, pod: Pod, wants: Wants) -> Facts {
        facts::facts(self, pod, wants).await
    }

    async fn apply(&self, target: &Target, change: &Change, within: Duration) -> Result<(), ApplyError> {
        change::apply(self, target, change, Instant::now() + within).await
    }

    async fn presence(&self, target: &Target) -> Result<Presence, ApiError> {
        change::presence(self, target, self.read_until()).await
    }
}
