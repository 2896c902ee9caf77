//! What each request gets.

use std::sync::Arc;

use drop_core::memory::{Call, Fault};
use drop_core::ports::ApiError;
use serde_json::json;

use crate::stage::{POLICY, Stage, alert, fields};

const STRUCTURED: &str = "content-type: application/cloudevents+json\r\n";

fn binary(kind: &str) -> String {
    format!(
        "content-type: application/json\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: https://falco.org\r\nce-type: {kind}\r\nce-rule: Terminal shell in container\r\n"
    )
}

fn event(alert: &str) -> serde_json::Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "falco.org", "type": "falco.rule.output.v1",
        "datacontenttype": "application/json", "data": serde_json::from_str::<serde_json::Value>(alert).unwrap(),
    })
}

#[tokio::test]
async fn each_way_an_alert_can_come_drops_its_pod() {
    for way in ["bare", "binary", "structured"] {
        let stage = Stage::new().await;
        let pod = stage.pod();
        let text = alert(&pod);
        let answer = match way {
            "bare" => stage.falco(&text).await,
            "binary" => stage.post(&binary("falco.rule.output.v1"), text.as_bytes()).await,
            _ => stage.post(STRUCTURED, event(&text).to_string().as_bytes()).await,
        };
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{way}");
        assert!(
            answer.head.contains("content-length: 0"),
            "a Broker takes any body for a reply: {}",
            answer.head
        );
        assert_eq!(stage.cluster.touched()[0].uid, pod.uid, "{way}");
    }
}

#[tokio::test]
async fn the_same_alert_in_each_way_is_one_act() {
    let stage = Stage::new().await;
    let text = alert(&stage.pod());
    stage.falco(&text).await;
    stage.post(&binary("falco.rule.output.v1"), text.as_bytes()).await;
    stage.post(STRUCTURED, event(&text).to_string().as_bytes()).await;
    assert_eq!(stage.outcomes(), ["acted", "duplicate", "duplicate"]);
    assert_eq!(stage.touched(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_reason_and_touches_nothing() {
    let stage = Stage::new().await;
    let text = alert(&stage.pod());
    let json = "content-type: application/json\r\n";
    let without = |name: &str| {
        let mut event = event(&text);
        event.as_object_mut().unwrap().remove(name);
        event.to_string()
    };
    let large = format!("{text}{}", " ".repeat(1024 * 1024));
    let cases: Vec<(&str, String, String, u16)> = vec![
        ("not JSON", json.to_owned(), "rm -rf /".to_owned(), 400),
        (
            "not an alert",
            json.to_owned(),
            r#"{"hello":"world"}"#.to_owned(),
            400,
        ),
        ("empty", json.to_owned(), String::new(), 400),
        (
            "broken off",
            json.to_owned(),
            text.get(..40).unwrap().to_owned(),
            400,
        ),
        ("no id", STRUCTURED.to_owned(), without("id"), 400),
        ("no type", STRUCTURED.to_owned(), without("type"), 400),
        ("no data", STRUCTURED.to_owned(), without("data"), 400),
        (
            "batch",
            "content-type: application/cloudevents-batch+json\r\n".to_owned(),
            "[]".to_owned(),
            415,
        ),
        (
            "not JSON by name",
            "content-type: text/html\r\n".to_owned(),
            text.clone(),
            415,
        ),
        (
            "nearly JSON by name",
            "content-type: application/jsonfoo\r\n".to_owned(),
            text.clone(),
            415,
        ),
        ("too large", json.to_owned(), large, 413),
    ];
    for (what, headers, body, status) in cases {
        let answer = stage.post(&headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(
            !answer.body.is_empty() && !answer.body.contains('\n'),
            "{what}: {answer:?}"
        );
    }
    assert_eq!((stage.touched(), stage.outcomes().len()), (0, 0));
}

#[tokio::test]
async fn an_event_that_is_not_falcos_is_acknowledged_and_nothing_is_done() {
    let stage = Stage::new().await;
    let answer = stage
        .post(&binary("com.example.other"), alert(&stage.pod()).as_bytes())
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    assert_eq!((stage.touched(), stage.outcomes().len()), (0, 0));
}

#[tokio::test]
async fn a_broken_alert_does_not_cost_the_others_in_its_body() {
    let stage = Stage::new().await;
    let pods = stage.cluster.pods();
    let body = format!("{}\n{{\"rule\":1}}\n{}", alert(&pods[0]), alert(&pods[1]));
    let answer = stage.falco(&body).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(stage.outcomes(), ["acted", "acted"]);
}

#[tokio::test]
async fn pods_that_are_none_or_gone_are_handled() {
    let stage = Stage::new().await;
    let gone = stage.pod();
    let text = alert(&gone);
    stage
        .cluster
        .delete(&gone.namespace, &gone.name, None, Some(0))
        .unwrap();
    let cases = [
        text,
        fields(&json!({ "k8s.ns.name": "default", "k8s.pod.name": "../../nodes/n1" })),
        fields(&json!({ "k8s.ns.name": "default", "k8s.pod.name": "a/b" })),
        fields(&json!({ "k8s.ns.name": null, "k8s.pod.name": null })),
        fields(&json!({ "k8s.ns.name": 7, "k8s.pod.name": ["x"] })),
    ];
    for body in &cases {
        let answer = stage.falco(body).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{body}");
    }
    assert_eq!(stage.outcomes(), ["skipped"; 5]);
    assert_eq!(stage.touched(), 0);
}

#[tokio::test]
async fn what_cannot_be_told_yet_is_503_and_acts_when_it_is_sent_again() {
    let why = || "x".to_owned();
    let faults = [
        (Call::Find, ApiError::Unavailable(why())),
        (Call::Delete, ApiError::Forbidden(why())),
        (Call::Delete, ApiError::Conflict(why())),
        (Call::Delete, ApiError::TooManyRequests(why())),
        (Call::Delete, ApiError::Unavailable(why())),
        (Call::Delete, ApiError::TimedOut(why())),
    ];
    for (call, error) in faults {
        let stage = Stage::new().await;
        let text = alert(&stage.pod());
        stage.cluster.fail_next(call, Fault::Answer(error.clone()));
        let first = stage.falco(&text).await;
        assert_eq!(first.status, 503, "{error:?}");
        assert!(first.head.contains("retry-after: 1"), "{}", first.head);
        assert_eq!(stage.falco(&text).await.status, 202, "{error:?}");
        assert_eq!(stage.outcomes(), ["failed", "acted"], "{error:?}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_have_their_answers() {
    let stage = Stage::new().await;
    for (line, status, body) in [
        ("GET /healthz", 200, ""),
        ("HEAD /readyz", 200, ""),
        ("GET /", 405, ""),
        ("PUT /", 405, ""),
        ("PUT /metrics", 405, ""),
        ("DELETE /x", 405, ""),
        ("OPTIONS /", 204, ""),
    ] {
        let answer = stage
            .send(format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{line}");
        assert_eq!(
            answer.head.contains("allow: "),
            status == 405 || status == 204,
            "{line}"
        );
    }
}

#[tokio::test]
async fn readiness_and_records_say_among_whom_limits_hold() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.get("/readyz").await,
        "ready\nlimits and disarming hold for this process alone\n"
    );
    stage.falco(&alert(&stage.pod())).await;
    assert_eq!(stage.records.decided()[0].memory, "this process alone");
}

#[tokio::test]
async fn what_a_breached_limit_has_disarmed_is_told_until_a_restart() {
    let mut stage = Stage::new().await;
    let limits = "limits: [{ scope: namespace, max: 1, per: 1h, onBreach: disarm }]";
    stage.rewrite(&POLICY.replace("limits: []", limits));
    let gauge = "falco_drop_scopes_disarmed";
    assert!(stage.get("/metrics").await.contains(&format!("{gauge} 0\n")));
    for pod in stage.cluster.pods() {
        stage.falco(&alert(&pod)).await;
    }
    assert_eq!(stage.outcomes(), ["acted", "skipped", "observed"]);
    assert!(stage.get("/metrics").await.contains(&format!("{gauge} 1\n")));
    assert_eq!(
        stage.get("/readyz").await,
        "ready\ndisarmed: namespace default observes, because a limit was breached\n\
         limits and disarming hold for this process alone\n"
    );
}

#[tokio::test]
async fn a_cluster_that_panics_costs_one_answer_and_not_the_server() {
    let stage = Stage::over(|_| Arc::new(crate::edges::Broken)).await;
    let text = fields(&json!({ "k8s.ns.name": "default", "k8s.pod.name": "db" }));
    assert_eq!(stage.falco(&text).await.status, 503);
    assert_eq!(
        stage
            .send(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .status,
        200
    );
}
