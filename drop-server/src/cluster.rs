//! The way to the pods: an API server with an index in front of it, or the cluster in memory.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use drop_core::policy::Policies;
use drop_core::ports::{Journal, PodApi};
use drop_core::record::Record;
use drop_kube::{Connect, Events, Index, KubePods, Settings, Uses, connect, connect_for_watches, rights};
use tokio::sync::watch;

use crate::command::{Serve, Where};
use crate::journal::JsonLines;

/// What this program uses of an API server beside the port itself.
pub(crate) const USES: Uses = Uses {
    index: true,
    events: true,
};

/// A cluster that is connected. Its tasks go on as long as the runtime lives.
pub(crate) struct Cluster {
    pub(crate) api: Arc<dyn PodApi>,
    events: Option<Events>,
    /// Changes each time that a pod went.
    pub(crate) gone: Option<watch::Receiver<u64>>,
}

/// Connects to the cluster that the options name. What the account may not do there is logged with the rule to add.
///
/// # Errors
/// The configuration cannot be read, or names what cannot be used. An API server that does not answer is no error: it
/// may come.
pub(crate) async fn start(options: &Serve, policies: &Policies) -> Result<Cluster> {
    match options.cluster {
        Where::Memory => Ok(Cluster {
            api: Arc::new(crate::memory::start()?),
            events: None,
            gone: None,
        }),
        Where::Kubernetes => kubernetes(options, policies).await,
    }
}

async fn kubernetes(options: &Serve, policies: &Policies) -> Result<Cluster> {
    let to = Connect {
        context: options.context.clone(),
        ..Connect::default()
    };
    let settings = Settings::default();
    let client = connect(&to).await?;
    let index = Index::new(connect_for_watches(&to).await?, &settings);
    let instance = options.instance.as_deref().unwrap_or_default();
    let events = Events::new(client.clone(), instance, &settings);
    let pods = KubePods::new(client, settings).with_index(index.clone());
    let gone = index.changes();
    tokio::spawn(async move { index.keep().await });
    tokio::spawn({
        let events = events.clone();
        async move { events.keep().await }
    });
    tokio::spawn(check(pods.clone(), rights(policies, USES)));
    Ok(Cluster {
        api: Arc::new(pods),
        events: Some(events),
        gone: Some(gone),
    })
}

/// Names every right that the policies need and the account lacks.
async fn check(pods: KubePods, needed: std::collections::BTreeSet<drop_kube::Right>) {
    match pods.missing(&needed).await {
        Ok(missing) if missing.is_empty() => {
            tracing::info!("the account has every right that the policies need")
        }
        Ok(missing) => {
            for right in missing {
                tracing::error!(missing = %right, rule = right.rule(), "the account lacks a right");
            }
        }
        Err(error) => tracing::warn!(%error, "the rights of the account could not be asked for"),
    }
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
