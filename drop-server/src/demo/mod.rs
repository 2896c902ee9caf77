//! `drop-server demo`: the whole way of an alert on loopback, over real HTTP, with a cluster in memory.

mod alert;
mod screen;
mod tee;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use drop_core::memory::Cluster;
use drop_core::outcome::Ending;
use drop_core::policy::{Policies, Source};
use drop_core::record::{Closed, Decided, Record};
use drop_core::{Outcome, pod::Pod};
use falco_event::{Namespace, PodUid};
use sidekick_shim::{Config, Shim};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::command::{Demo, Failure};
use crate::host::Host;
use crate::memory::{NAMESPACE, WORKLOAD};
use crate::metrics::Metrics;
use crate::policies::{Follower, Store};
use crate::signals::Stop;
use screen::Screen;
use tee::{Hop, Tee};

/// The policy of the demo, where the person names none.
const POLICY: &str = include_str!("policy.yaml");

/// Within this the first alert has come to its end, or something is wrong.
const WITHIN: Duration = Duration::from_secs(30);

/// How often a wait looks at the cluster again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) async fn run(options: Demo) -> Result<ExitCode, Failure> {
    let policies = policies(options.policy).map_err(Failure::Configuration)?;
    let stop = Stop::on_signals().context("signals").map_err(Failure::Running)?;
    let demo = Stage::start(policies, stop.drain.clone())
        .await
        .map_err(Failure::Running)?;
    tokio::select! {
        ended = demo.play(options.once) => ended.map_err(Failure::Running),
        () = stop.drain.cancelled() => Ok(ExitCode::SUCCESS),
    }
}

fn policies(file: Option<PathBuf>) -> Result<Policies> {
    match file {
        Some(path) => Ok(Follower::start(vec![path], None)?.1),
        None => Policies::parse(&[Source {
            name: "the demo's policy",
            text: POLICY,
        }])
        .map_err(|wrong| anyhow!("{wrong}")),
    }
}

/// Both programs and the cluster, up and running.
struct Stage {
    cluster: Cluster,
    /// Where Falco would post to.
    front: String,
    hops: mpsc::UnboundedReceiver<Hop>,
    screen: Screen,
}

impl Stage {
    async fn start(policies: Policies, stop: CancellationToken) -> Result<Self> {
        let (sender, hops) = mpsc::unbounded_channel();
        let cluster = crate::memory::start()?;
        let engine = crate::run::engine(Arc::new(cluster.clone()), Arc::new(Tee(sender.clone())));
        let metrics = Arc::new(Metrics::default());
        let host = Arc::new(Host::new(
            engine,
            Arc::new(Store::new(policies, Arc::clone(&metrics))),
            metrics,
        ));
        let server = TcpListener::bind("127.0.0.1:0")
            .await
            .context("drop-server on loopback")?;
        let sink = format!("http://{}/", server.local_addr()?);
        tokio::spawn(crate::edge::serve(
            server,
            Arc::clone(&host),
            stop.clone().cancelled_owned(),
        ));
        tokio::spawn(async move { host.confirm(None).await });

        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("sidekick-shim on loopback")?;
        let front = format!("http://{}/", listener.local_addr()?);
        let shim = Shim::new(Config::to_sink(&sink)?, Tee(sender))?;
        tokio::spawn(sidekick_shim::serve(
            listener,
            shim,
            stop.cancelled_owned(),
            std::future::pending(),
        ));
        Ok(Self {
            cluster,
            front,
            hops,
            screen: Screen::new(sink),
        })
    }

    async fn play(mut self, once: bool) -> Result<ExitCode> {
        let pod = self.living(None).await?;
        self.screen.start(&self.front, &pod)?;
        let text = alert::seed(&pod)?;
        alert::post(&self.front, &text).await?;
        let decided = tokio::time::timeout(WITHIN, self.until_decided())
            .await
            .context("the alert had no outcome")??;
        let dropped = self.follow(&pod.uid, &decided).await?;
        if once {
            return Ok(if dropped {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        self.stay().await
    }

    /// Shows every hop from now on, and after each drop how to send the next alert.
    async fn stay(mut self) -> Result<ExitCode> {
        loop {
            let pod = self.living(None).await?;
            self.screen.next(&alert::curl(&self.front, &pod)?)?;
            let decided = self.until_decided().await?;
            let uid = decided
                .target
                .as_ref()
                .map_or_else(|| pod.uid.clone(), |target| target.uid.clone());
            self.follow(&uid, &decided).await?;
        }
    }

    /// Shows hops until an alert is decided, finally.
    async fn until_decided(&mut self) -> Result<Decided> {
        loop {
            let hop = self.hops.recv().await.context("the demo's programs have ended")?;
            self.screen.hop(&hop)?;
            match hop {
                Hop::Recorded(Record::Decided(decided)) if !decided.outcome.is_retryable() => {
                    return Ok(*decided);
                }
                Hop::Accepted(_) | Hop::Sending(_) | Hop::Recorded(_) => {}
            }
        }
    }

    /// After a drop: the second record, and the pod that came instead. Whether the pod was dropped.
    async fn follow(&mut self, uid: &PodUid, decided: &Decided) -> Result<bool> {
        if !matches!(decided.outcome, Outcome::Acted { .. }) {
            return Ok(false);
        }
        let closed = tokio::time::timeout(WITHIN, self.until_closed())
            .await
            .context("the pod did not go")??;
        let replacement = self.living(Some(uid)).await?;
        self.screen.replaced(&replacement)?;
        Ok(matches!(closed.ending, Ending::Confirmed { .. }))
    }

    async fn until_closed(&mut self) -> Result<Closed> {
        loop {
            let hop = self.hops.recv().await.context("the demo's programs have ended")?;
            self.screen.hop(&hop)?;
            if let Hop::Recorded(Record::Closed(closed)) = hop {
                return Ok(closed);
            }
        }
    }

    /// The running pod of the workload, as soon as there is one other than `not`.
    async fn living(&self, not: Option<&PodUid>) -> Result<Pod> {
        let namespace = Namespace::try_from(NAMESPACE)?;
        let is_it = |pod: &Pod| {
            pod.namespace == namespace
                && pod.labels.get("app").is_some_and(|app| app == WORKLOAD)
                && pod.deletion.is_none()
                && !pod.containers.is_empty()
                && Some(&pod.uid) != not
        };
        let found = async {
            loop {
                if let Some(pod) = self.cluster.pods().into_iter().find(is_it) {
                    return pod;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(WITHIN, found)
            .await
            .context("the workload has no running pod")
    }
}
