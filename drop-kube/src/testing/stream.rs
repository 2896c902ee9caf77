//! A watch: what changes, as it changes.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use drop_core::memory::{Cluster, Entry, Happened};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Fault;
use super::answer::Answer;
use super::objects;
use super::route::Route;

/// How often the cluster in memory, which cannot tell by itself, is asked for what is new.
const EACH: Duration = Duration::from_millis(1);

struct Watching {
    cluster: Cluster,
    route: Route,
    revision: u64,
    ended: watch::Receiver<u64>,
    ready: VecDeque<Bytes>,
    broken: bool,
    silent: bool,
}

/// What a watch says whose place is too old, once it has begun.
const EXPIRED: &[u8] =
    b"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
    \"status\":\"Failure\",\"message\":\"too old resource version\",\"reason\":\"Expired\",\"code\":410}}\n";

/// The answer to a watch. `HalfBody` breaks it off within its first line, `BrokenJson` makes that line no JSON.
pub(super) fn changes(
    cluster: &Cluster,
    route: &Route,
    ended: watch::Receiver<u64>,
    fault: Option<&Fault>,
) -> Answer {
    let revision = route.parameter("resourceVersion").parse().unwrap_or(0);
    let broken = fault == Some(&Fault::HalfBody);
    let first: Option<&'static [u8]> = match fault {
        Some(Fault::HalfBody) => Some(b"{\"type\":\"ADDED\",\"obj"),
        Some(Fault::BrokenJson) => Some(b"{\"type\":\"ADDED\",\"obj\n"),
        Some(Fault::Expired) => Some(EXPIRED),
        _ => None,
    };
    let ready = first.map(Bytes::from_static).into_iter().collect();
    let watching = Watching {
        cluster: cluster.clone(),
        route: route.clone(),
        revision,
        ended,
        ready,
        broken,
        silent: fault == Some(&Fault::HangAfter),
    };
    let body = StreamBody::new(futures_util::stream::unfold(
        watching,
        |mut watching| async move {
            let line = watching.next().await?;
            Some((line.map(Frame::data), watching))
        },
    ));
    Response::new(body.boxed())
}

impl Watching {
    /// The next line; none when the watch ends, an error when it is broken off.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.broken {
                return Some(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            tokio::select! {
                _ = self.ended.changed() => return None,
                () = tokio::time::sleep(EACH), if !self.silent => self.look(),
            }
        }
    }

    fn look(&mut self) {
        for entry in self.cluster.history_since(self.revision) {
            self.revision = entry.revision;
            let within = self
                .route
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == entry.pod.namespace);
            if let Some(event) = self.event(&entry).filter(|_| within) {
                self.ready.push_back(format!("{event}\n").into());
            }
        }
    }

    fn event(&self, entry: &Entry) -> Option<Value> {
        let revision = entry.revision.to_string();
        if entry.what == Happened::Removed {
            let (namespace, name, uid) = (&entry.pod.namespace, &entry.pod.name, &entry.pod.uid);
            let metadata =
                json!({ "namespace": namespace, "name": name, "uid": uid, "resourceVersion": revision });
            return Some(json!({ "type": "DELETED", "object": { "kind": "Pod", "metadata": metadata } }));
        }
        let objects = self.cluster.pod_objects();
        let object = objects.iter().find(|object| object.pod.uid == entry.pod.uid)?;
        let kind = if entry.what == Happened::Created {
            "ADDED"
        } else {
            "MODIFIED"
        };
        Some(json!({ "type": kind, "object": objects::pod(object) }))
    }
}
