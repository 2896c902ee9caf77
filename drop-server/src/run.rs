//! `drop-server serve`: policies, cluster, listener, and the drain at the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use drop_core::Engine;
use drop_core::past::LocalMemory;
use drop_core::policy::Policies;
use drop_core::ports::{Journal, PodApi};
use drop_kube::Events;
use falco_event::Namespace;
use tokio::net::TcpListener;

use crate::clock::SystemClock;
use crate::command::{Failure, Serve};
use crate::host::{Gone, Host};
use crate::journal::JsonLines;
use crate::keys::KeyFile;
use crate::metrics::Metrics;
use crate::policies::{Follower, Store};
use crate::signals::Stop;

/// Where Kubernetes tells a pod its namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// How long alerts under way may still take once the connections have ended.
const TASKS_WITHIN: Duration = Duration::from_secs(5);

/// How long the pods that were acted on are looked at after that.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// How long Kubernetes Events that wait may still take: the records that they are of are written already.
const EVENTS_WITHIN: Duration = Duration::from_secs(2);

/// Serves until a signal.
pub(crate) async fn serve(options: Serve) -> Result<(), Failure> {
    let (follower, policies) = load(&options).map_err(Failure::Configuration)?;
    let keys = options.signing_keys.clone().map(KeyFile::open).transpose();
    let keys = keys.map_err(Failure::Configuration)?.map(Arc::new);
    let address = options
        .listen
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, options.port)));
    let stop = Stop::on_signals().context("signals").map_err(Failure::Running)?;
    let cluster = crate::cluster::start(&options)
        .await
        .map_err(Failure::Configuration)?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on `{address}`"));
    let listener = listener.map_err(Failure::Running)?;
    let events = cluster.events.clone();
    let metrics = Arc::new(Metrics::default().with_events(events.clone()));
    let (lines, writer) = JsonLines::start(std::io::stdout(), Arc::clone(&metrics))
        .context("journal")
        .map_err(Failure::Running)?;
    let journal = cluster.journal(lines);
    let store = Arc::new(Store::prepared(policies, Arc::clone(&metrics), cluster.prepare));
    let following = tokio::spawn(follow(follower, Arc::clone(&store), keys.clone()));
    let host = Host::new(engine(cluster.api, journal), store, metrics);
    let host = Arc::new(host.with_readiness(cluster.readiness).with_keys(keys));
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "listening; limits and disarming hold for {}", host.scope());
    let aborted = tokio::select! {
        () = until_drained(listener, Arc::clone(&host), cluster.gone, &stop) => false,
        () = stop.abort.cancelled() => true,
    };
    following.abort();
    drop(host);
    if aborted {
        return Err(Failure::Running(anyhow!(
            "ended at once by a second signal; alerts in flight are unfinished"
        )));
    }
    tokio::select! {
        (left, ()) = async { tokio::join!(writer.finish(TASKS_WITHIN), finish(events)) } => match left {
            0 => Ok(()),
            left => Err(Failure::Running(anyhow!("{left} records were left unwritten: nobody takes them"))),
        },
        () = stop.abort.cancelled() => Err(Failure::Running(anyhow!("ended at once by a second signal; records were left unwritten"))),
    }
}

/// Posts the Events that wait, as far as there is time for them.
async fn finish(events: Option<Events>) {
    let Some(events) = events else { return };
    let left = events.finish(EVENTS_WITHIN).await;
    if left > 0 {
        tracing::warn!(left, "Kubernetes Events were left unposted");
    }
}

/// Follows the files of the policies, and that of the keys. Never returns.
async fn follow(policies: Follower, store: Arc<Store>, keys: Option<Arc<KeyFile>>) {
    let keys = async {
        if let Some(keys) = keys {
            keys.follow().await;
        }
    };
    tokio::join!(policies.follow(store), keys);
}

/// An engine whose memory is this process's own.
pub(crate) fn engine(api: Arc<dyn PodApi>, journal: Arc<dyn Journal>) -> Engine {
    let clock = Arc::new(SystemClock::default());
    Engine::new(api, Arc::new(LocalMemory::new(clock.clone())), journal, clock)
}

async fn until_drained(listener: TcpListener, host: Arc<Host>, gone: Option<Gone>, stop: &Stop) {
    let confirming = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.confirm(gone).await }
    });
    let draining = async {
        stop.drain.cancelled().await;
        tracing::info!("draining");
    };
    crate::edge::serve(listener, Arc::clone(&host), draining).await;
    if tokio::time::timeout(TASKS_WITHIN, host.drain()).await.is_err() {
        tracing::warn!("alerts were still under way after {} s", TASKS_WITHIN.as_secs());
    }
    confirming.abort();
    host.leave(CONFIRM_WITHIN).await;
}

fn load(options: &Serve) -> anyhow::Result<(Follower, Policies)> {
    let told = options.namespace.clone().filter(|name| !name.is_empty());
    let own = told.or_else(|| std::fs::read_to_string(OWN_NAMESPACE).ok());
    let own = own.map(|own| Namespace::try_from(own.trim()).context("the namespace of falco-drop itself"));
    Follower::start(options.policy.clone(), own.transpose()?)
}
