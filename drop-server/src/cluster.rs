//! The way to the pods: an API server with an index in front of it, or the cluster in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use drop_core::ports::{Journal, PodApi};
use drop_core::record::Record;
use drop_kube::{Connect, Events, Index, KubePods, Reach, Settings, Uses, connect, rights};
use tokio::sync::watch;

use crate::command::{Serve, Where};
use crate::journal::JsonLines;
use crate::policies::Prepare;
use crate::readiness::Readiness;
use crate::rights::{AGAIN, look};

/// What this program uses of an API server beside the port itself.
pub(crate) fn uses(no_events: bool) -> Uses {
    Uses {
        index: true,
        events: !no_events,
    }
}

/// A cluster that is connected. Its tasks go on as long as the runtime lives.
pub(crate) struct Cluster {
    pub(crate) api: Arc<dyn PodApi>,
    /// Posted about what was done.
    pub(crate) events: Option<Events>,
    /// Changes each time that a pod went.
    pub(crate) gone: Option<watch::Receiver<u64>>,
    /// Makes it ready for policies.
    pub(crate) prepare: Prepare,
    /// What keeps the policies from being carried out.
    pub(crate) readiness: Readiness,
}

/// Connects to the cluster that the options name. What the account may not do there of what the policies need is told
/// with the rule to add, as soon as the cluster has been prepared for them.
///
/// # Errors
/// The configuration cannot be read, or names what cannot be used. An API server that does not answer is no error: it
/// may come.
pub(crate) async fn start(options: &Serve) -> Result<Cluster> {
    match options.cluster {
        Where::Memory => Ok(Cluster {
            api: Arc::new(crate::memory::start()?),
            events: None,
            gone: None,
            prepare: Prepare::default(),
            readiness: Readiness::default(),
        }),
        Where::Kubernetes => kubernetes(options).await,
    }
}

async fn kubernetes(options: &Serve) -> Result<Cluster> {
    let to = Connect {
        context: options.context.clone(),
        ..Connect::default()
    };
    // What is watched follows the policies.
    let mut settings = Settings::default();
    settings.reach = Reach::nothing();
    let client = connect(&to).await?;
    let index = Index::connect(&to, &settings).await?;
    let instance = options.instance.as_deref().unwrap_or_default();
    let events = (!options.no_events).then(|| Events::new(client.clone(), instance, &settings));
    let pods = KubePods::new(client, settings).with_index(index.clone());
    let gone = index.changes();
    let kept = index.clone();
    tokio::spawn(async move { kept.keep().await });
    if let Some(events) = events.clone() {
        tokio::spawn(async move { events.keep().await });
    }
    let (readiness, uses) = (
        Readiness::default().with_index(index.clone()),
        uses(options.no_events),
    );
    let needed = watch::Sender::new(BTreeSet::new());
    tokio::spawn(look(pods.clone(), needed.subscribe(), readiness.clone(), AGAIN));
    Ok(Cluster {
        api: Arc::new(pods),
        events,
        gone: Some(gone),
        prepare: Prepare::new(move |policies| {
            let now = rights(policies, uses);
            needed.send_if_modified(|needed| std::mem::replace(needed, now.clone()) != now);
            Some(index.reach(Reach::of(policies)))
        }),
        readiness,
    })
}

impl Cluster {
    /// Records go to these lines, and where there is an API server as Events to it too.
    pub(crate) fn journal(&self, lines: JsonLines) -> Arc<dyn Journal> {
        match self.events.clone() {
            Some(events) => Arc::new(Both(lines, events)),
            None => Arc::new(lines),
        }
    }
}

struct Both(JsonLines, Events);

#[async_trait]
impl Journal for Both {
    async fn write(&self, record: &Record) {
        self.1.write(record).await;
        self.0.write(record).await;
    }
}
