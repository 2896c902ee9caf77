//! Pods dropped in a second, and how long one takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use tokio::sync::Mutex;

use crate::lab::{Lab, container_id};
use crate::program::{Program, alert, post};
use crate::quantile;

const PODS: u32 = 400;
const PAIRS: usize = 7;
const AT_ONCE: usize = 16;

/// Milliseconds.
type Times = Vec<f64>;

pub(crate) async fn measure(lab: &Lab) {
    lab.deploy("acts", PODS).await;
    for (title, more) in [("without Events", &["--no-events"][..]), ("with Events", &[])] {
        println!("acts, {title}: {PODS} pods, {AT_ONCE} at a time");
        pairs(lab, more).await;
    }
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/acts", lab.namespace);
    lab.send("DELETE", &path, &serde_json::json!({})).await;
    lab.running(0).await;
}

async fn pairs(lab: &Lab, more: &[&str]) {
    let (mut ratios, mut cpu) = (Vec::new(), Vec::new());
    let (mut bare_each, mut left, mut answered, mut gone) =
        (Times::new(), Times::new(), Times::new(), Times::new());
    for pair in 0..PAIRS {
        // Which half is first changes from pair to pair: what one leaves to do for the cluster, the other has.
        let ours_first = pair % 2 == 1;
        let mut halves = [None, None];
        for half in 0..2 {
            let pods = lab.running(PODS as usize).await;
            let is_ours = (half == 0) == ours_first;
            let took = if is_ours {
                let (took, times) = ours(lab, &pods, more).await;
                left.extend(times.left);
                answered.extend(times.answered);
                gone.extend(times.gone);
                cpu.push(times.cpu);
                took
            } else {
                let (took, each) = bare(lab, pods).await;
                bare_each.extend(each);
                took
            };
            halves[usize::from(is_ours)] = Some(took);
        }
        let [bare, ours] = halves.map(|took| f64::from(PODS) / took.unwrap().as_secs_f64());
        println!("  bare {bare:.0}/s, ours {ours:.0}/s, ratio {:.2}", ours / bare);
        ratios.push(ours / bare);
    }
    println!(
        "  ratio, median of {PAIRS} pairs: {:.2}",
        quantile(&mut ratios, 0.5)
    );
    println!(
        "  CPU of the program for each act: median {:.2} ms",
        quantile(&mut cpu, 0.5)
    );
    told("DELETE answered, bare", &mut bare_each);
    told("alert to DELETE answered", &mut answered);
    told("alert to DELETE sent", &mut left);
    told("alert to confirmed gone", &mut gone);
}

fn told(what: &str, times: &mut [f64]) {
    let (median, p99) = (quantile(times, 0.5), quantile(times, 0.99));
    println!("  {what}: median {median:.2} ms, p99 {p99:.2} ms");
}

/// kube-rs as it is, with the same options of the deletion.
async fn bare(lab: &Lab, pods: Vec<Pod>) -> (Duration, Times) {
    let api = lab.pods();
    let began = Instant::now();
    let each = stream::iter(pods)
        .map(|pod| {
            let api = api.clone();
            async move {
                let uid = pod.metadata.uid.clone();
                let resource_version = None;
                let how = DeleteParams::background()
                    .grace_period(1)
                    .preconditions(Preconditions {
                        uid,
                        resource_version,
                    });
                let began = Instant::now();
                drop(
                    api.delete(pod.metadata.name.as_deref().unwrap(), &how)
                        .await
                        .unwrap(),
                );
                milliseconds(began.elapsed())
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    (began.elapsed(), each)
}

/// By the server's own records.
struct Ours {
    left: Times,
    answered: Times,
    gone: Times,
    /// Milliseconds of processors' time for each.
    cpu: f64,
}

async fn ours(lab: &Lab, pods: &[Pod], more: &[&str]) -> (Duration, Ours) {
    let program = Program::start(&lab.kubeconfig, &policy(&lab.namespace), more);
    program.until_warm().await;
    program.open(&lab.namespace, AT_ONCE).await;
    let now = falco_event::Timestamp::now().to_string();
    let alerts: Vec<String> = pods
        .iter()
        .map(|pod| alert(&container_id(pod).unwrap()[..12], &now))
        .collect();
    let mut senders = Vec::new();
    for _ in 0..AT_ONCE {
        senders.push(program.connect().await);
    }
    let alerts = Arc::new(Mutex::new(alerts.into_iter()));
    let (began, idle) = (Instant::now(), program.cpu());
    let sending: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            let alerts = Arc::clone(&alerts);
            tokio::spawn(async move {
                loop {
                    let Some(alert) = alerts.lock().await.next() else {
                        return;
                    };
                    while post(&mut sender, &alert).await != 202 {}
                }
            })
        })
        .collect();
    for sender in sending {
        sender.await.unwrap();
    }
    let took = began.elapsed();
    let cpu = (program.cpu() - idle) / f64::from(PODS);
    while program.records("closed").len() < pods.len() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (
        took,
        Ours {
            cpu,
            ..times(&program)
        },
    )
}

fn times(program: &Program) -> Ours {
    let decided = program.records("decided");
    let acted: Vec<_> = decided
        .iter()
        .filter(|record| record["outcome"]["is"] == "acted")
        .collect();
    let time = |name: &str| -> Times {
        let times = acted.iter().filter_map(|record| record["times"][name].as_f64());
        times.map(|nanoseconds| nanoseconds / 1e6).collect()
    };
    let closed = program.records("closed");
    let gone = closed.iter().filter_map(|record| record["took"].as_f64());
    Ours {
        left: time("acting"),
        answered: time("acted"),
        gone: gone.map(|nanoseconds| nanoseconds / 1e6).collect(),
        cpu: 0.0,
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn policy(namespace: &str) -> String {
    format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  \
         namespaces: [{namespace}]\n  limits: []\n  responses:\n    - name: r\n      \
         when: alert.rule = \"Terminal shell in container\"\n      do: [{{ delete: {{}} }}]\n"
    )
}
