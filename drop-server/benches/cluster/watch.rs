//! From the bytes of a watch to the index: pods are ended, and of each is noted when a proxy in front of the API server
//! wrote the bytes of its end to the connection of the watch, and when a thread that waits for the index to tell that a
//! pod went found that it does not have that pod any more.
//!
//! So a time has in it the way through the kernel, the wait for a processor, the reading of the change and of those before
//! it, and the wait of the thread that looks: it is never too short. The index runs as in the program, on a runtime of
//! its own with a thread for each processor; the proxy and who looks have a thread each. Between proxy and index there is no TLS.
//!
//! Beside each such time stands what a task on the same runtime needs to receive a datagram that the proxy sent in the same
//! moment: what is left of the one without the other is the work of the index and of who looks.
//!
//! First the pods end one by one, at a rate that Kubernetes' own objectives allow a cluster. Then as fast as they can be
//! ended by eight at a time: on a machine that also runs the API server most of that time is the wait for a processor.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drop_core::ports::{By, PodApi};
use drop_kube::{Connect, Index, KubePods, Reach, Settings, connect};
use falco_event::PodUid;
use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use tokio::time::{MissedTickBehavior, interval};

use crate::lab::{Lab, container_id};
use crate::proxy::Proxy;
use crate::quantile;

const PODS: usize = 500;
/// Pods that end in a second: <https://github.com/kubernetes/community/blob/master/sig-scalability/slos/slos.md> promises
/// nothing for a cluster in which more than 20 come, change and go in one.
const RATE: f64 = 20.0;
const AT_ONCE: usize = 8;
/// How long the last changes may take.
const REST: Duration = Duration::from_secs(2);

/// The pods that were asked to end and that the index was still seen to have.
type Awaited = Arc<Mutex<Vec<PodUid>>>;
/// When the index was seen not to have each pod any more.
type Known = Arc<Mutex<HashMap<PodUid, Instant>>>;
/// When the datagram beside each piece of the watch was received.
type Received = Arc<Mutex<HashMap<usize, Instant>>>;

pub(crate) async fn measure(lab: &Lab) {
    lab.deploy("watch", u32::try_from(PODS).unwrap()).await;
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&lab.kubeconfig, datagrams.local_addr().unwrap());
    let seen = Seen::default();
    let index = index(lab, &proxy, datagrams, seen.clone());
    for at_once in [1, AT_ONCE] {
        let pods = running(lab).await;
        end(lab, pods, at_once, &seen.awaited).await;
        tokio::time::sleep(REST).await;
        let how = match at_once {
            1 => format!("{RATE} ends a second"),
            _ => format!("{at_once} ends at a time"),
        };
        println!("watch, {} pods known, {how}, load {}", index.len(), crate::load());
        let (mut took, mut bare) = seen.took(&proxy);
        told("in the index after their bytes arrived", &mut took);
        told("a datagram received", &mut bare);
    }
}

fn told(what: &str, times: &mut [f64]) {
    let (median, p99) = (quantile(times, 0.5), quantile(times, 0.99));
    println!(
        "  {} ends, {what}: median {median:.2} ms, p99 {p99:.2} ms",
        times.len()
    );
}

#[derive(Clone, Default)]
struct Seen {
    awaited: Awaited,
    known: Known,
    received: Received,
}

impl Seen {
    /// Milliseconds from each end's bytes to the index, and to the one who receives datagrams.
    fn took(&self, proxy: &Proxy) -> (Vec<f64>, Vec<f64>) {
        let (mut took, mut bare) = (Vec::new(), Vec::new());
        let mut known = std::mem::take(&mut *self.known.lock().unwrap());
        let received = self.received.lock().unwrap();
        for (uid, piece, at) in proxy.ends() {
            let milliseconds = |to: Instant| to.saturating_duration_since(at).as_secs_f64() * 1e3;
            // The ends of an earlier round are not known any more.
            if let Some(to) = known.remove(&uid) {
                took.push(milliseconds(to));
                bare.extend(received.get(&piece).copied().map(milliseconds));
            }
        }
        (took, bare)
    }
}

/// The pods of the Deployment, once all of them run and nothing else happens.
async fn running(lab: &Lab) -> Vec<Pod> {
    let select = ListParams::default().labels("app=watch");
    loop {
        let pods = lab.pods().list(&select).await.unwrap().items;
        let runs = |pod: &&Pod| container_id(pod).is_some() && pod.metadata.deletion_timestamp.is_none();
        if pods.len() == PODS && pods.iter().filter(runs).count() == PODS {
            tokio::time::sleep(REST).await;
            return pods;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ends the pods, so many at a time, or one by one at the rate.
async fn end(lab: &Lab, pods: Vec<Pod>, at_once: usize, awaited: &Awaited) {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / RATE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let paced = stream::unfold((ticks, pods.into_iter()), |(mut ticks, mut pods)| async move {
        if at_once == 1 {
            ticks.tick().await;
        }
        pods.next().map(|pod| (pod, (ticks, pods)))
    });
    let now = &DeleteParams::default().grace_period(0);
    paced
        .for_each_concurrent(at_once, |pod| async move {
            let uid = pod.metadata.uid.as_deref().unwrap().parse().unwrap();
            awaited.lock().unwrap().push(uid);
            let name = pod.metadata.name.as_deref().unwrap();
            drop(lab.pods().delete(name, now).await.unwrap());
        })
        .await;
}

/// A warm index behind the proxy, on a runtime of its own, and what is seen of it.
fn index(lab: &Lab, proxy: &Proxy, datagrams: UdpSocket, seen: Seen) -> Index {
    let (behind, direct) = (proxy.kubeconfig(), lab.kubeconfig.clone());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (index, pods) = runtime.block_on(async {
            let to = |kubeconfig: &std::path::Path| Connect {
                kubeconfig: Some(kubeconfig.to_owned()),
                context: None,
            };
            let mut settings = Settings::default();
            settings.reach = Reach {
                annotations: Some([].into()),
                ..Reach::default()
            };
            let index = Index::connect(&to(behind.path()), &settings).await.unwrap();
            let kept = index.clone();
            tokio::spawn(async move { kept.keep().await });
            tokio::spawn(receive(datagrams, Arc::clone(&seen.received)));
            index.warm().await;
            let pods = KubePods::new(connect(&to(&direct)).await.unwrap(), settings);
            (index.clone(), pods.with_index(index))
        });
        tell.send(index.clone()).unwrap();
        // On this thread; the runtime's own threads keep the index.
        runtime.block_on(look(index, pods, seen.awaited, seen.known));
    });
    told.recv().unwrap()
}

/// Notes when each datagram comes.
async fn receive(datagrams: UdpSocket, received: Received) {
    datagrams.set_nonblocking(true).unwrap();
    let datagrams = tokio::net::UdpSocket::from_std(datagrams).unwrap();
    let mut number = [0; size_of::<usize>()];
    loop {
        datagrams.recv(&mut number).await.unwrap();
        let at = Instant::now();
        received.lock().unwrap().insert(usize::from_le_bytes(number), at);
    }
}

/// Asks the index for the pods that were asked to end, each time that it says that one went.
async fn look(index: Index, pods: KubePods, awaited: Awaited, known: Known) {
    let mut changes = index.changes();
    loop {
        changes.changed().await.unwrap();
        let asked = awaited.lock().unwrap().clone();
        for uid in asked {
            let found = pods.find(&By::Uid(uid.clone())).await;
            if found.is_ok_and(|found| found.pods.is_empty()) {
                let at = Instant::now();
                known.lock().unwrap().insert(uid.clone(), at);
                awaited.lock().unwrap().retain(|other| *other != uid);
            }
        }
    }
}
