//! From the bytes of a watch to the index: a watch of its own says when the bytes of a pod's end have arrived, and the
//! index is asked each time that it says that a pod went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drop_core::ports::{By, PodApi};
use drop_kube::{Connect, Index, KubePods, Reach, Settings, connect, connect_for_watches};
use falco_event::PodUid;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use kube::api::DeleteParams;
use serde_json::Value;

use crate::lab::Lab;
use crate::quantile;

const PODS: u32 = 500;

/// When something was known of each pod.
type Known = Arc<Mutex<HashMap<PodUid, Instant>>>;

pub(crate) async fn measure(lab: &Lab) {
    lab.deploy("watch", PODS).await;
    let ours = |pod: &k8s_openapi::api::core::v1::Pod| {
        let labels = pod.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get("app"))
            .is_some_and(|app| app == "watch")
    };
    let all = loop {
        let pods = lab.pods().list(&Default::default()).await.unwrap().items;
        if pods
            .iter()
            .filter(|pod| ours(pod) && crate::lab::container_id(pod).is_some())
            .count()
            == PODS as usize
        {
            break pods;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (index, pods) = index(lab).await;
    let arrived: Known = Arc::default();
    let reading = tokio::spawn(read(lab.client.clone(), Arc::clone(&arrived)));
    let uids: Vec<PodUid> = all
        .iter()
        .filter(|pod| ours(pod))
        .map(|pod| pod.metadata.uid.as_deref().unwrap().parse().unwrap())
        .collect();
    let looking = tokio::spawn(look(index.clone(), pods, uids));
    // The watch of its own has to be open.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let now = DeleteParams::default().grace_period(0);
    stream::iter(all.into_iter().filter(ours))
        .for_each_concurrent(8, |pod| {
            let (api, now) = (lab.pods(), now.clone());
            async move {
                drop(
                    api.delete(pod.metadata.name.as_deref().unwrap(), &now)
                        .await
                        .unwrap(),
                )
            }
        })
        .await;
    let known = looking.await.unwrap();
    reading.abort();
    let arrived = arrived.lock().unwrap();
    // Either may be first: they are two connections. What the index had before counts as no time.
    let mut took: Vec<f64> = known
        .iter()
        .filter_map(|(uid, at)| Some(at.saturating_duration_since(*arrived.get(uid)?).as_secs_f64() * 1e3))
        .collect();
    println!(
        "watch, {} pods known: {} ends in the index {:.2} ms (median), {:.2} ms (p99) after their bytes arrived",
        index.len(),
        took.len(),
        quantile(&mut took, 0.5),
        quantile(&mut took, 0.99)
    );
}

async fn index(lab: &Lab) -> (Index, KubePods) {
    let to = Connect {
        kubeconfig: Some(lab.kubeconfig.clone()),
        context: None,
    };
    let mut settings = Settings::default();
    settings.reach = Reach {
        annotations: Some([].into()),
        ..Reach::default()
    };
    let index = Index::new(connect_for_watches(&to).await.unwrap(), &settings);
    let kept = index.clone();
    tokio::spawn(async move { kept.keep().await });
    index.warm().await;
    let pods = KubePods::new(connect(&to).await.unwrap(), settings).with_index(index.clone());
    (index, pods)
}

/// Notes when the bytes of each pod's end have arrived.
async fn read(client: kube::Client, arrived: Known) {
    let list: Value = client
        .request(
            http::Request::get("/api/v1/pods?limit=1")
                .body(Vec::new())
                .unwrap(),
        )
        .await
        .unwrap();
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("/api/v1/pods?watch=true&resourceVersion={revision}");
    let request = http::Request::get(path)
        .body(kube::client::Body::empty())
        .unwrap();
    let mut body = client.send(request).await.unwrap().into_body();
    let mut line = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let (at, Ok(data)) = (Instant::now(), frame.into_data()) else {
            continue;
        };
        for byte in data {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if line.starts_with(b"{\"type\":\"DELETED\"") {
                let event: Value = serde_json::from_slice(&line).unwrap();
                let uid = event["object"]["metadata"]["uid"]
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                arrived.lock().unwrap().insert(uid, at);
            }
            line.clear();
        }
    }
}

/// Asks the index for the pods until all are gone. Returns when it did not have each any more.
async fn look(index: Index, pods: KubePods, mut uids: Vec<PodUid>) -> HashMap<PodUid, Instant> {
    let (mut changes, mut known) = (index.changes(), HashMap::new());
    while !uids.is_empty() {
        changes.changed().await.unwrap();
        let mut left = Vec::new();
        for uid in uids {
            let found = pods.find(&By::Uid(uid.clone())).await;
            if found.is_ok_and(|found| found.pods.is_empty()) {
                known.insert(uid, Instant::now());
            } else {
                left.push(uid);
            }
        }
        uids = left;
    }
    known
}
