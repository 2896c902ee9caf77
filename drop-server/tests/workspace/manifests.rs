//! The manifests, without a cluster: they fit the programs, observe, are hardened, and are written out as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use drop_core::policy::{DEFAULT_MAX_ALERT_AGE, Mode, Policies, Source};
use serde_json::{Value, json};

use crate::{files, read, root};

const FOLDERS: [&str; 4] = ["base", "kubernetes", "knative", "monitoring"];

/// Every object of a folder of `release/`.
fn objects(folder: &str) -> Vec<Value> {
    let manifests = files(&root().join("release").join(folder), ".yaml");
    let texts = manifests
        .iter()
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .map(read);
    let all = texts.flat_map(|text| {
        text.split("\n---\n")
            .map(|one| serde_saphyr::from_str(one).unwrap())
            .collect::<Vec<Value>>()
    });
    all.collect()
}

fn everything() -> Vec<Value> {
    FOLDERS.into_iter().flat_map(objects).collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {kind} `{name}`"))
}

/// The pod specs of the objects that run something, with their names.
fn pod_specs(objects: &[Value]) -> Vec<(&str, &Value)> {
    let running = objects
        .iter()
        .filter(|object| object["spec"]["template"]["spec"].is_object());
    running
        .map(|object| {
            (
                object["metadata"]["name"].as_str().unwrap(),
                &object["spec"]["template"]["spec"],
            )
        })
        .collect()
}

fn policies() -> Policies {
    let objects = objects("base");
    let data = named(&objects, "ConfigMap", "falco-drop-policies")["data"]
        .as_object()
        .unwrap();
    let sources: Vec<_> = data
        .iter()
        .map(|(name, text)| Source {
            name,
            text: text.as_str().unwrap(),
        })
        .collect();
    Policies::parse(&sources).unwrap()
}

#[test]
fn the_files_to_apply_in_one_piece_are_current() {
    let fresh = tempfile::tempdir().unwrap();
    let ran = Command::new(root().join("release/generate"))
        .arg(fresh.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for name in ["release.yaml", "release-knative.yaml"] {
        let fresh = std::fs::read_to_string(fresh.path().join(name)).unwrap();
        assert!(fresh.contains("kind: Deployment"), "{name}");
        assert!(
            read(format!("release/{name}")) == fresh,
            "release/{name} is old: run release/generate"
        );
    }
}

#[test]
fn every_manifest_is_in_its_kustomization() {
    for folder in FOLDERS {
        let listed: Value =
            serde_saphyr::from_str(&read(format!("release/{folder}/kustomization.yaml"))).unwrap();
        let mut listed: Vec<_> = listed["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        listed.retain(|name| name != "../base");
        listed.sort();
        let there = files(&root().join("release").join(folder), ".yaml");
        let names = there
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(
            listed,
            names
                .filter(|name| name != "kustomization.yaml")
                .collect::<Vec<_>>(),
            "{folder}"
        );
    }
}

#[test]
fn the_policy_that_is_released_observes() {
    let policies = policies();
    let modes: Vec<_> = policies
        .iter()
        .flat_map(|policy| &policy.responses)
        .map(|response| response.mode)
        .collect();
    assert!(
        !modes.is_empty() && modes.iter().all(|mode| *mode == Mode::Observe),
        "{modes:?}"
    );
}

/// What the policy protects by name, and what is always protected, the API server protects too.
#[test]
fn the_admission_policy_knows_every_protected_namespace() {
    let objects = objects("base");
    let admission = named(
        &objects,
        "ValidatingAdmissionPolicy",
        "falco-drop-protected-namespaces",
    );
    let rules = admission["spec"]["validations"][0]["expression"]
        .as_str()
        .unwrap();
    let policies = policies();
    let protected = policies
        .protect()
        .namespaces
        .iter()
        .map(|namespace| namespace.as_str());
    for namespace in protected.chain(["falco-drop"]) {
        assert!(
            rules.contains(&format!("{namespace:?}")),
            "`{namespace}` is not in {rules}"
        );
    }
    let selector = &policies.protect().namespace_selectors[0].match_labels;
    assert_eq!(
        selector,
        &BTreeMap::from([("falco-drop.dev/protect".to_owned(), "true".to_owned())])
    );
    assert!(
        admission["spec"]["validations"][1]["expression"]
            .as_str()
            .unwrap()
            .contains("falco-drop.dev/protect")
    );
}

#[test]
fn the_programs_take_what_the_manifests_give_them() {
    for folder in ["kubernetes", "knative"] {
        let objects = objects(folder);
        let (_, server) = pod_specs(&objects)
            .into_iter()
            .find(|(name, _)| *name == "drop-server")
            .unwrap();
        let container = &server["containers"][0];
        let mounted = &container["volumeMounts"][0]["mountPath"];
        assert_eq!(container["args"], json!(["serve", "--policy", mounted]));
        let arguments = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| argument.as_str().unwrap());
        drop_server::command::Command::try_parse_from(["drop-server"].into_iter().chain(arguments)).unwrap();
        assert_eq!(server["volumes"][0]["configMap"]["name"], "falco-drop-policies");
        assert_eq!(
            container["ports"][0]["containerPort"], 8080,
            "drop-server's default port"
        );
    }
    let (base, plain) = (objects("base"), objects("kubernetes"));
    let environment = &named(&plain, "ConfigMap", "sidekick-shim")["data"];
    let lookup = |name: &str| environment[name].as_str().map(str::to_owned);
    let config = sidekick_shim::Config::from_lookup(lookup).unwrap();
    assert_eq!(
        (config.sinks[0].url.host(), config.notes.len()),
        (Some("drop-server"), 0)
    );
    let service = named(&plain, "Service", config.sinks[0].url.host().unwrap());
    assert_eq!(
        service["spec"]["ports"][0]["port"],
        config.sinks[0].url.port_u16().unwrap_or(80)
    );
    let (_, shim) = pod_specs(&base)[0];
    let port = json!(config.listen[0].port());
    assert_eq!(shim["containers"][0]["ports"][0]["containerPort"], port);
    assert_eq!(
        named(&base, "Service", "sidekick-shim")["spec"]["ports"][0]["port"],
        port
    );
}

/// As the container starts it, with the ConfigMap's folder elsewhere and a cluster in memory.
#[test]
fn the_released_policy_starts_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let objects = objects("base");
    for (name, text) in named(&objects, "ConfigMap", "falco-drop-policies")["data"]
        .as_object()
        .unwrap()
    {
        std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let mut server = Command::new(env!("CARGO_BIN_EXE_drop-server"));
    server
        .args([
            "serve",
            "--cluster",
            "memory",
            "--listen",
            "127.0.0.1:0",
            "--policy",
        ])
        .arg(folder.path());
    let mut server = server
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let said: Vec<_> = lines.take(1).collect();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(said[0].contains("listening"), "{said:?}");
}

#[test]
fn what_runs_is_hardened() {
    let objects = everything();
    let specs = pod_specs(&objects);
    assert_eq!(specs.len(), 3);
    for (name, spec) in specs {
        let container = &spec["containers"][0];
        let of = |key: &str| {
            [&container["securityContext"][key], &spec["securityContext"][key]]
                .into_iter()
                .find(|value| !value.is_null())
        };
        assert_eq!(of("runAsNonRoot"), Some(&json!(true)), "{name}");
        assert_eq!(of("readOnlyRootFilesystem"), Some(&json!(true)), "{name}");
        assert_eq!(of("allowPrivilegeEscalation"), Some(&json!(false)), "{name}");
        assert_eq!(of("capabilities"), Some(&json!({"drop": ["ALL"]})), "{name}");
        assert_eq!(
            of("seccompProfile"),
            Some(&json!({"type": "RuntimeDefault"})),
            "{name}"
        );
        assert_eq!(spec["enableServiceLinks"], json!(false), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        assert!(
            container["readinessProbe"].is_object() && container["livenessProbe"].is_object(),
            "{name}"
        );
        assert_eq!(
            container["image"],
            json!(format!("{name}:{}", env!("CARGO_PKG_VERSION")))
        );
    }
}

/// The rules of a role: group, resource and verb.
fn rules(objects: &[Value], role: &str) -> BTreeSet<[String; 3]> {
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in named(objects, "ClusterRole", role)["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]).into_iter();
                all.extend(verbs.map(|verb| [group.clone(), resource.clone(), verb]));
            }
        }
    }
    all
}

/// Reading everywhere, changing nowhere until a person binds the other role.
#[test]
fn the_account_of_drop_server_reads_and_no_more() {
    let objects = objects("base");
    let reads = rules(&objects, "falco-drop-read");
    let is_read = |[_, _, verb]: &[String; 3]| ["get", "list", "watch"].contains(&verb.as_str());
    assert!(reads.iter().all(is_read), "{reads:?}");
    let is_binding = |object: &&Value| object["kind"].as_str().unwrap().ends_with("RoleBinding");
    let bound: Vec<_> = objects
        .iter()
        .filter(is_binding)
        .map(|object| &object["roleRef"]["name"])
        .collect();
    assert_eq!(bound, [&json!("falco-drop-read")]);
}

/// What needs everything that a policy can need.
const DEMANDING: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: {name: demanding}
spec:
  mode: enforce
  responses:
    - name: evict
      when: ns.label[team] = shop
      minAvailable: 1
      do: [label: {labels: {security: hit}}, evict: {}]
    - {name: delete, when: alert.rule = r, do: [delete: {}]}
"#;

/// Both roles together are what the most demanding policy needs, and no more.
#[test]
fn the_roles_are_what_policies_can_need() {
    let source = Source {
        name: "demanding",
        text: DEMANDING,
    };
    let policies = Policies::parse(&[source]).unwrap();
    let uses = drop_kube::Uses {
        index: true,
        events: true,
    };
    let needed = drop_kube::rights(&policies, uses);
    let needed: BTreeSet<_> = needed
        .iter()
        .map(|right| [right.group, right.resource, right.verb].map(str::to_owned))
        .collect();
    let objects = objects("base");
    let given: BTreeSet<_> = ["falco-drop-read", "falco-drop-act"]
        .iter()
        .flat_map(|role| rules(&objects, role))
        .collect();
    assert_eq!(given, needed);
}

#[test]
fn the_triggers_retries_outlast_an_alert() {
    let objects = objects("knative");
    let delivery = &named(&objects, "Trigger", "drop-server")["spec"]["delivery"];
    assert_eq!(
        (&delivery["backoffPolicy"], &delivery["backoffDelay"]),
        (&json!("linear"), &json!("PT1S"))
    );
    let seconds: u64 = (0..delivery["retry"].as_u64().unwrap()).sum();
    assert!(
        Duration::from_secs(seconds) > DEFAULT_MAX_ALERT_AGE,
        "{seconds} s"
    );
}

/// What changes pods has no address outside the cluster, and counts its limits once.
#[test]
fn the_knative_service_is_private_and_one() {
    let (knative, plain) = (objects("knative"), objects("kubernetes"));
    let service = named(&knative, "Service", "drop-server");
    assert_eq!(
        service["metadata"]["labels"]["networking.knative.dev/visibility"],
        "cluster-local"
    );
    let annotations = &service["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["autoscaling.knative.dev/min-scale"], "1");
    assert_eq!(annotations["autoscaling.knative.dev/max-scale"], "1");
    let plain = named(&plain, "Deployment", "drop-server");
    assert_eq!(plain["spec"]["replicas"], 1);
    assert_eq!(plain["spec"]["strategy"]["type"], "Recreate");
}

#[test]
fn every_object_is_in_one_namespace() {
    let cluster_wide = [
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    for object in everything() {
        let expected = if cluster_wide.contains(&object["kind"].as_str().unwrap()) {
            Value::Null
        } else {
            json!("falco-drop")
        };
        assert_eq!(object["metadata"]["namespace"], expected, "{object}");
    }
}

/// Its metrics are in the book's page, which a test of its own holds to the programs.
#[test]
fn what_prometheus_watches_exists() {
    let objects = objects("monitoring");
    let page = read("docs/src/http.md");
    let rules = &named(&objects, "PrometheusRule", "falco-drop")["spec"]["groups"];
    let rules = rules
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let text = read("docs/src/operate.md");
    for rule in rules {
        let (name, expression) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let is_metric = |word: &&str| word.starts_with("falco_drop_") || word.starts_with("sidekick_shim_");
        let metrics: Vec<_> = words.filter(is_metric).collect();
        assert!(!metrics.is_empty(), "{name}");
        for metric in metrics {
            assert!(page.contains(&format!("`{metric}`")), "{name}: {metric}");
        }
        assert!(text.contains(&format!("`{name}`")), "{name} is not in the book");
    }
    let everything = everything();
    for (pod, spec) in pod_specs(&everything)
        .into_iter()
        .filter(|(name, _)| *name != "drop-server")
    {
        assert_eq!(spec["containers"][0]["ports"][0]["name"], "http", "{pod}");
    }
}
