//! What an act is opened with, and the scopes that it is counted in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use falco_event::Namespace;
use serde::{Deserialize, Serialize};

use super::Claim;
use super::act::{Act, ActId};
use crate::facts::Siblings;
use crate::pod::Owner;
use crate::policy::{Limit, MinAvailable, Mode, Scope};
use crate::ports::{Mono, Target};

/// Whose acts a limit counts, for one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScopeKey {
    /// Pods of one owner at the top; a pod that nothing owns is its own workload.
    Workload {
        /// Their namespace.
        namespace: Namespace,
        /// The owner's kind; `Pod` where nothing owns it.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// One response, as `policy/response`.
    Response(String),
    /// One namespace.
    Namespace(Namespace),
    /// One policy.
    Policy(String),
    /// The whole cluster.
    Cluster,
}

impl fmt::Display for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload {
                namespace,
                kind,
                name,
            } => write!(f, "workload {namespace}/{kind}/{name}"),
            Self::Response(name) => write!(f, "response {name}"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Cluster => f.write_str("cluster"),
        }
    }
}

/// What an act is opened with.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// The right to handle the alert. Every read that led here is later.
    pub claim: Claim,
    /// The policy's name.
    pub policy: &'a str,
    /// The response's name.
    pub response: &'a str,
    /// The pod.
    pub target: &'a Target,
    /// Its owner at the top, where it was read and there is one.
    pub owner: Option<&'a Owner>,
    /// Whether the act is real.
    pub mode: Mode,
    /// The grace in seconds of the action that ends the pod.
    pub ends: Option<u32>,
    /// Whether it labels or annotates the pod.
    pub edits: bool,
    /// The limits of the response's document.
    pub limits: Vec<Limit>,
    /// How many pods must stay ready, and how many are.
    pub available: Option<(MinAvailable, &'a Siblings)>,
    /// The pod was read alive and not terminating.
    pub alive: bool,
    /// How long the engine may take to settle it.
    pub within: Duration,
    /// How long it is kept after it is closed: the longest window of any limit, and as long as its alert may come
    /// again.
    pub keep: Duration,
}

impl Opening<'_> {
    /// The scope of each kind that the act is in.
    pub(super) fn keys(&self) -> Keys {
        let namespace = self.target.namespace.clone();
        let (kind, name) = match self.owner {
            Some(owner) => (owner.kind.clone(), owner.name.clone()),
            None => ("Pod".to_owned(), self.target.name.to_string()),
        };
        Keys {
            response: ScopeKey::Response(format!("{}/{}", self.policy, self.response)),
            namespace: ScopeKey::Namespace(namespace.clone()),
            policy: ScopeKey::Policy(self.policy.to_owned()),
            cluster: ScopeKey::Cluster,
            workload: ScopeKey::Workload {
                namespace,
                kind,
                name,
            },
        }
    }

    pub(super) fn act(&self, id: ActId, mode: Mode, scopes: [Arc<ScopeKey>; 5], now: Mono) -> Act {
        Act {
            id,
            alert: self.claim.alert,
            policy: self.policy.to_owned(),
            response: self.response.to_owned(),
            target: self.target.clone(),
            mode,
            ends: self.ends,
            edits: self.edits,
            opened: now,
            due: now.plus(self.within),
            settled: None,
            refuted: false,
            closed: false,
            assumed: false,
            rests_until: now,
            settled_step: 0,
            forget_at: None,
            keep: self.keep,
            scopes,
        }
    }
}

/// The scopes of one act.
pub(super) struct Keys {
    workload: ScopeKey,
    response: ScopeKey,
    namespace: ScopeKey,
    policy: ScopeKey,
    cluster: ScopeKey,
}

impl Keys {
    pub(super) fn of(&self, scope: Scope) -> &ScopeKey {
        match scope {
            Scope::Workload => &self.workload,
            Scope::Response => &self.response,
            Scope::Namespace => &self.namespace,
            Scope::Policy => &self.policy,
            Scope::Cluster => &self.cluster,
        }
    }

    pub(super) fn all(self) -> [ScopeKey; 5] {
        let Self {
            workload,
            response,
            namespace,
            policy,
            cluster,
        } = self;
        [workload, response, namespace, policy, cluster]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ScopeKey> {
        let Self {
            workload,
            response,
            namespace,
            policy,
            cluster,
        } = self;
        [workload, response, namespace, policy, cluster].into_iter()
    }
}
