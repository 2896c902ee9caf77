//! The seed's demo on a real cluster: both programs as processes, with the rights of `release/` and no more.
//!
//! Needs `FALCO_DROP_TEST_KUBECONFIG`, a kubeconfig with all rights on a cluster for tests. Each test works in a
//! namespace of its own and removes what it made.

#![cfg(test)]

mod kubernetes;
mod programs;
mod rights;
mod tokens;

use std::io::{Read, Write};
use std::net::TcpStream;

use kubernetes::{Account, Lab};
use programs::{Program, policy};
use serde_json::json;

/// Everything that the demo's policy needs.
const ROLES: [&str; 2] = ["falco-drop-read", "falco-drop-act"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn a_shell_in_the_database_ends_with_its_pod_and_the_deployment_has_a_new_one() {
    let lab = Lab::start().await;
    let old = lab.deploy("mysql-db").await;
    let account = lab.account(&ROLES).await;
    let file = policy(&lab.namespace);
    let mut server = server(&account, file.path().to_str().unwrap());
    let shim = Program::shim(&server.address);

    assert_eq!(post(&shim.address, &alert(&old)), 200);
    let decided = server.record();
    assert_eq!(
        decided["outcome"],
        json!({ "is": "acted", "certain": true }),
        "{decided}"
    );
    assert_eq!(decided["target"]["uid"], json!(old.metadata.uid));
    let closed = server.record();
    assert_eq!(
        closed["ending"],
        json!({ "is": "confirmed", "ours": true }),
        "{closed}"
    );

    let new = lab.running("mysql-db", old.metadata.uid.as_deref()).await;
    assert_ne!(new.metadata.uid, old.metadata.uid);
    lab.assert_gone(&old).await;
    let note = lab.event(&old).await;
    assert!(note.contains("Terminal shell in container"), "{note}");
    assert_eq!(
        post(&shim.address, &alert(&old)),
        200,
        "the same alert, once more"
    );
    let again = server.record();
    assert_eq!(again["outcome"]["is"], json!("duplicate"), "{again}");
    assert!(lab.is_alive(&new).await, "the replacement is not hit");
    drop(shim);
    assert_eq!(server.end(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs FALCO_DROP_TEST_KUBECONFIG"]
async fn without_the_right_to_act_the_alert_is_kept_until_a_person_gives_it() {
    let lab = Lab::start().await;
    let pod = lab.deploy("mysql-db").await;
    let account = lab.account(&ROLES[..1]).await;
    let file = policy(&lab.namespace);
    let mut server = server(&account, file.path().to_str().unwrap());
    assert_eq!(post(&server.address, &alert(&pod)), 503);
    let refused = server.record();
    assert_eq!(refused["outcome"]["is"], json!("failed"), "{refused}");
    assert!(
        refused["outcome"]["why"].as_str().unwrap().contains("forbidden"),
        "{refused}"
    );
    assert!(lab.is_alive(&pod).await);
    lab.bind(&ROLES[1..]).await;
    assert_eq!(post(&server.address, &alert(&pod)), 202);
    assert_eq!(server.record()["outcome"]["is"], json!("acted"));
}

fn server(account: &Account, policy: &str) -> Program {
    Program::server(
        &["serve", "--listen", "127.0.0.1:0", "--policy", policy],
        account.kubeconfig(),
    )
}

/// Falco's alert about this pod. Its time is the same each time it is called, so that it is the same alert.
fn alert(pod: &k8s_openapi::api::core::v1::Pod) -> String {
    let status = pod.status.as_ref().unwrap();
    let running = &status.container_statuses.as_ref().unwrap()[0];
    let id = running
        .container_id
        .as_ref()
        .unwrap()
        .split_once("://")
        .unwrap()
        .1;
    let started = status.start_time.as_ref().unwrap().0.to_string();
    json!({
        "output": "Notice A shell was spawned in a container with an attached terminal", "priority": "Notice",
        "rule": "Terminal shell in container", "time": started,
        "output_fields": {
            "container.id": id.get(..12), "container.image.repository": "mysql", "k8s.ns.name": pod.metadata.namespace,
            "k8s.pod.name": pod.metadata.name, "proc.cmdline": "bash -il", "proc.name": "bash",
        },
    })
    .to_string()
}

/// What is answered to a GET, head and body.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Posts the way Falco does, and gives the status.
fn post(address: &str, alert: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = alert.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: falcosecurity/falco\r\nAccept: */*\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(alert.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
