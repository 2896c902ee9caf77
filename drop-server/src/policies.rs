//! The policies in force, and their files, which the server follows while it runs.
//!
//! Files are read again and again instead of watched: that sees every way to change them alike — written in place,
//! renamed over, a ConfigMap's symlink swapped, a file added to a directory — and misses none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use drop_core::policy::Policies;
use drop_kube::Hold;
use falco_event::{Namespace, Timestamp};
use serde::Serialize;

use crate::files::{self, File};
use crate::metrics::Metrics;

/// How often the files are read. A new text takes effect once two readings in a row agree on it. A writer that pauses
/// for longer can be taken half, if the half is a policy by itself: the book says to rename instead.
const EVERY: Duration = Duration::from_secs(1);

/// Policies with their place in the order of what was in force.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) policies: Policies,
    about: About,
    /// The pods that alerts under them are about stay watched.
    _hold: Option<Hold>,
}

/// Which policies are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// 1 for those that the server started with, and one more for each change that took effect.
    pub generation: u64,
    /// The hash that stands in every record made under them.
    pub hash: String,
    /// When they took effect.
    pub since: Timestamp,
}

/// What is in force and what was refused since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// In force.
    #[serde(flatten)]
    pub active: About,
    /// Why the files as they are now are not in force. It quotes them, so JSON only says that they were refused.
    #[serde(serialize_with = "whether")]
    pub refused: Option<String>,
}

fn whether<S: serde::Serializer>(refused: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(refused.is_some())
}

/// Makes ready what policies will need, before they are in force, for as long as alerts are handled under them.
pub(crate) struct Prepare(Box<Preparing>);

type Preparing = dyn Fn(&Policies) -> Option<Hold> + Send + Sync;

impl Prepare {
    pub(crate) fn new(prepare: impl Fn(&Policies) -> Option<Hold> + Send + Sync + 'static) -> Self {
        Self(Box::new(prepare))
    }
}

/// Nothing is needed.
impl Default for Prepare {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl std::fmt::Debug for Prepare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepare").finish_non_exhaustive()
    }
}

/// The policies in force. Each alert is handled under those that were when it came.
#[derive(Debug)]
pub struct Store {
    active: RwLock<Arc<Active>>,
    refused: RwLock<Option<String>>,
    metrics: Arc<Metrics>,
    prepare: Prepare,
}

impl Store {
    /// A store whose first generation is this.
    #[must_use]
    pub fn new(policies: Policies, metrics: Arc<Metrics>) -> Self {
        Self::prepared(policies, metrics, Prepare::default())
    }

    /// A store that prepares for each policies before they are in force.
    pub(crate) fn prepared(policies: Policies, metrics: Arc<Metrics>, prepare: Prepare) -> Self {
        let hold = (prepare.0)(&policies);
        metrics.in_force(1);
        Self {
            prepare,
            active: RwLock::new(Arc::new(active(policies, hold, 1))),
            refused: RwLock::default(),
            metrics,
        }
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is in force now.
    #[must_use]
    pub fn status(&self) -> Status {
        let refused = self
            .refused
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Status {
            active: self.active().about.clone(),
            refused,
        }
    }

    /// Puts policies in force, whole: whoever has the old ones keeps them.
    fn replace(&self, policies: Policies) {
        let hold = (self.prepare.0)(&policies);
        let next = active(policies, hold, self.active().about.generation + 1);
        let about = next.about.clone();
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        tracing::info!(
            generation = about.generation,
            hash = about.hash,
            "new policies are in force"
        );
        self.metrics.policies_taken();
        self.agree();
    }

    /// The files say what is in force.
    fn agree(&self) {
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.metrics.in_force(self.active().about.generation);
    }

    fn refuse(&self, why: String) {
        tracing::error!(
            why,
            "the policy files are wrong: they are not in force, and the old ones stay"
        );
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.metrics.policies_refused();
    }
}

fn active(policies: Policies, hold: Option<Hold>, generation: u64) -> Active {
    let about = About {
        generation,
        hash: policies.hash().to_owned(),
        since: Timestamp::now(),
    };
    Active {
        policies,
        about,
        _hold: hold,
    }
}

/// The files of the policies, as they were read last.
#[derive(Debug)]
pub struct Follower {
    paths: Vec<PathBuf>,
    own: Option<Namespace>,
    judged: Reading,
    last: Reading,
}

/// What one reading of the files found: their texts, or why there are none.
type Reading = Result<Vec<File>, String>;

impl Follower {
    /// Reads the policies below these paths. falco-drop's own namespace is protected whatever they say.
    ///
    /// # Errors
    /// They cannot be read, or are wrong: then every mistake is named.
    pub fn start(paths: Vec<PathBuf>, own: Option<Namespace>) -> Result<(Self, Policies)> {
        let files = files::read_followed(&paths)?;
        let policies = parse(&files, own.as_ref())?;
        let read: Reading = Ok(files);
        Ok((
            Self {
                paths,
                own,
                judged: read.clone(),
                last: read,
            },
            policies,
        ))
    }

    /// Reads the files once, and puts them in force if they are new, whole and right. What is wrong changes nothing.
    pub fn look(&mut self, store: &Store) {
        let read = files::read_followed(&self.paths).map_err(|error| format!("{error:#}"));
        let settled = read == self.last;
        self.last = read;
        if !settled || self.last == self.judged {
            return;
        }
        self.judged.clone_from(&self.last);
        let parsed = match &self.judged {
            Ok(files) => parse(files, self.own.as_ref()).map_err(|wrong| format!("{wrong:#}")),
            Err(unreadable) => Err(unreadable.clone()),
        };
        match parsed {
            Ok(policies) if policies.hash() == store.active().about.hash => store.agree(),
            Ok(policies) => store.replace(policies),
            Err(why) => store.refuse(why),
        }
    }

    /// Looks again and again. Never returns.
    pub(crate) async fn follow(self, store: Arc<Store>) {
        let mut tick = tokio::time::interval(EVERY);
        let follower = Arc::new(Mutex::new(self));
        loop {
            tick.tick().await;
            let (follower, store) = (Arc::clone(&follower), Arc::clone(&store));
            let look = move || {
                follower
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .look(&store)
            };
            if let Err(error) = tokio::task::spawn_blocking(look).await {
                tracing::error!(%error, "a look at the policy files broke off; it goes on");
            }
        }
    }
}

fn parse(files: &[File], own: Option<&Namespace>) -> Result<Policies> {
    let policies = files::parse(files)?;
    Ok(match own {
        Some(own) => policies.protect_also(own.clone()),
        None => policies,
    })
}
