//! Dependencies point one way: `falco-event` ← `drop-core` ← `drop-kube` ← `drop-server`; `falco-event` ← `sidekick-shim`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{files, root};

/// What each crate may name in its `[dependencies]`. To add to a list is to change the architecture: say why in the
/// commit.
const ALLOWED: [(&str, &str); 5] = [
    (
        "falco-event",
        "base64 cloudevents-sdk hmac http jiff proptest serde serde_json sha2 thiserror",
    ),
    (
        "drop-core",
        "annotate-snippets async-trait falco-event granit-parser ipnet pest pest_derive proptest regex serde \
         serde_json sha2 thiserror",
    ),
    (
        "drop-kube",
        "async-trait bytes drop-core falco-event futures-util http http-body-util hyper hyper-util jiff kube serde \
         serde_json thiserror tokio tower tracing",
    ),
    (
        "drop-server",
        "anyhow async-trait bytes clap drop-core drop-kube falco-event http http-body-util hyper hyper-util jiff \
         k8s-openapi prometheus-client serde serde_json sidekick-shim socket2 tokio tokio-util tracing \
         tracing-appender tracing-subscriber",
    ),
    (
        "sidekick-shim",
        "anyhow base64 bytes clap crc32fast falco-event fastrand granit-parser hashbrown http http-body-util httpdate hyper hyper-rustls \
         hyper-util prometheus-client rusqlite rustix rustls rustls-native-certs serde_json sha2 socket2 strsim subtle \
         thiserror tokio tokio-rustls tokio-util tower-service tracing tracing-appender tracing-subscriber",
    ),
];

/// What no path of normal dependencies may lead to, with every feature on.
const OUT_OF_REACH: [(&str, &str); 3] = [
    ("falco-event", "drop-core hyper k8s-openapi kube mio tokio"),
    ("drop-core", "drop-kube hyper k8s-openapi kube mio tokio tracing"),
    ("sidekick-shim", "drop-core drop-kube k8s-openapi kube"),
];

/// Names that say nothing about what is in a module.
const MEANINGLESS: [&str; 4] = ["common", "helpers", "types", "utils"];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let ran = Command::new(cargo)
        .args(arguments)
        .arg("--offline")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).unwrap()
}

/// The normal dependencies of each crate of the workspace, optional ones too.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let names = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        normal
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (package["name"].as_str().unwrap().to_owned(), names(package)))
        .collect()
}

#[test]
fn each_crate_names_only_what_it_may_use() {
    let named = named();
    assert_eq!(
        named.len(),
        ALLOWED.len(),
        "a crate has no list here: {:?}",
        named.keys()
    );
    for (name, allowed) in ALLOWED {
        let allowed: BTreeSet<_> = allowed.split_whitespace().map(str::to_owned).collect();
        let more: Vec<_> = named[name].difference(&allowed).collect();
        assert!(more.is_empty(), "{name} may not use {more:?}");
    }
}

#[test]
fn no_path_leads_from_the_words_and_the_decision_to_a_runtime_or_a_cluster() {
    for (name, banned) in OUT_OF_REACH {
        let tree = cargo(&[
            "tree",
            "-p",
            name,
            "-e",
            "normal",
            "--all-features",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        let reached: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(reached.contains(name), "{tree}");
        let wrong: Vec<_> = banned
            .split(' ')
            .filter(|banned| reached.contains(banned))
            .collect();
        assert!(wrong.is_empty(), "{name} leads to {wrong:?}");
    }
}

/// `kube::` appears in `drop-kube` alone; tests may look at a real cluster with it.
#[test]
fn only_the_adapter_speaks_to_kubernetes() {
    for path in files(&root(), ".rs") {
        let path = path.strip_prefix(root()).unwrap();
        let text = crate::read(path);
        let proves = ["tests", "benches"];
        let mut parts = path.components().map(|part| part.as_os_str());
        let is_adapter =
            path.starts_with("drop-kube") || parts.any(|part| proves.iter().any(|it| part == *it));
        let speaks = text
            .lines()
            .any(|line| line.contains(" kube::") && !line.trim_start().starts_with("//"));
        assert!(is_adapter || !speaks, "{} uses kube", path.display());
    }
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    for path in files(&root(), ".rs") {
        let names = path
            .strip_prefix(root())
            .unwrap()
            .iter()
            .map(|part| part.to_str().unwrap().trim_end_matches(".rs"));
        for name in names {
            assert!(!MEANINGLESS.contains(&name), "{}", path.display());
        }
    }
}
