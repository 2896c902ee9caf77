//! The alert of the demo: Falco's, when a shell was opened in the database's container.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use drop_core::pod::Pod;
use falco_event::Timestamp;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

/// Within this the shim has answered.
const WITHIN: Duration = Duration::from_secs(10);

/// What Falco prints of a container id.
const SHORT_ID: usize = 12;

/// The alert about this pod, as of now.
pub(super) fn seed(pod: &Pod) -> Result<String> {
    let now = Timestamp::now();
    let container = container(pod)?;
    let output = format!(
        "{}: Notice A shell was spawned in a container with an attached terminal (user=root user_loginuid=-1 \
         k8s.ns={} k8s.pod={} container={container} shell=bash parent=runc cmdline=bash -il terminal=34816 \
         container_id={container} image=mysql)",
        now.strftime("%H:%M:%S.%9f"),
        pod.namespace,
        pod.name,
    );
    let alert = json!({
        "output": output,
        "priority": "Notice",
        "rule": "Terminal shell in container",
        "time": now.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string(),
        "output_fields": {
            "container.id": container,
            "container.image.repository": "mysql",
            "evt.time": i64::try_from(now.as_nanosecond())?,
            "k8s.ns.name": pod.namespace,
            "k8s.pod.name": pod.name,
            "proc.cmdline": "bash -il",
            "proc.name": "bash",
            "proc.pname": "runc",
            "proc.tty": 34816,
            "user.loginuid": -1,
            "user.name": "root",
        },
    });
    Ok(alert.to_string())
}

/// The same as a command: its time is that of the shell that runs it, in whole seconds, as every `date` can print.
pub(super) fn curl(front: &str, pod: &Pod) -> Result<String> {
    let (container, namespace, name) = (container(pod)?, &pod.namespace, &pod.name);
    let alert = format!(
        r#"{{"output":"Notice A shell was spawned in a container with an attached terminal (k8s.ns={namespace} k8s.pod={name})","priority":"Notice","rule":"Terminal shell in container","time":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","output_fields":{{"container.id":"{container}","k8s.ns.name":"{namespace}","k8s.pod.name":"{name}","proc.name":"bash"}}}}"#,
    );
    Ok(format!(
        r#"curl -H 'Content-Type: application/json' -d "{}" {front}"#,
        alert.replace('"', "\\\"")
    ))
}

fn container(pod: &Pod) -> Result<String> {
    let running = pod.containers.iter().find(|container| container.ended.is_none());
    let id = running.context("the pod runs no container")?.id.to_string();
    Ok(id.chars().take(SHORT_ID).collect())
}

/// Posts an alert the way Falco does.
pub(super) async fn post(front: &str, alert: &str) -> Result<()> {
    let request = Request::post(front)
        .header(USER_AGENT, "falcosecurity/falco")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(alert.to_owned())))?;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = tokio::time::timeout(WITHIN, client.request(request))
        .await
        .context("the shim did not answer")??;
    ensure!(
        answer.status() == StatusCode::OK,
        "the shim answered {}",
        answer.status()
    );
    Ok(())
}
