//! The least rights for a set of policies, as manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use falco_event::Namespace;
use serde_json::Value;

use crate::rights::Right;

/// The service account that is given the rights, and what the manifests are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name, and that of each role.
    pub name: String,
}

/// The manifests that give an account these rights and no others: a Role and its binding for each namespace, and a
/// `ClusterRole` and its binding for what is needed everywhere. YAML, in a stable order.
///
/// ```
/// use drop_core::policy::{Policies, Source};
/// use drop_kube::{Account, Uses, rbac, rights};
///
/// let text = "
/// apiVersion: falco-drop.dev/v1alpha1
/// kind: DropPolicy
/// metadata: { name: shells }
/// spec:
///   mode: enforce
///   namespaces: [shop]
///   limits: []
///   responses: [{ name: shell, when: alert.rule = \"Terminal shell in container\", do: [{ delete: {} }] }]
/// ";
/// let policies = Policies::parse(&[Source { name: "policy.yaml", text }])?;
/// let account = Account { namespace: "falco-drop".parse()?, name: "drop-server".into() };
/// let manifests = rbac(&rights(&policies, Uses::default()), &account);
/// assert!(manifests.contains("kind: Role\n"));
/// assert!(manifests.contains("resources: [pods]\n    verbs: [delete, get, list]"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn rbac(rights: &BTreeSet<Right>, account: &Account) -> String {
    let mut places: BTreeMap<Option<&Namespace>, Vec<&Right>> = BTreeMap::new();
    for right in rights {
        places.entry(right.namespace.as_ref()).or_default().push(right);
    }
    let documents = places
        .into_iter()
        .map(|(namespace, rights)| place(namespace, &rights, account));
    documents.collect::<Vec<_>>().join("---\n")
}

/// What all of them are found by: to stop, they are removed, whatever they are named.
const LABELS: &str = "  labels: {app.kubernetes.io/part-of: falco-drop}\n";

fn place(namespace: Option<&Namespace>, rights: &[&Right], account: &Account) -> String {
    let prefix = if namespace.is_some() { "" } else { "Cluster" };
    let place = namespace
        .map(|namespace| format!("  namespace: {}\n", plain(namespace.as_str())))
        .unwrap_or_default();
    let (own, name) = (plain(account.namespace.as_str()), plain(&account.name));
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}Role\nmetadata:\n  name: {name}\n{place}{LABELS}rules:\n{}---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}RoleBinding\nmetadata:\n  name: {name}\n{place}{LABELS}\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {prefix}Role, name: {name}}}\n\
         subjects:\n  - {{kind: ServiceAccount, namespace: {own}, name: {name}}}\n",
        rules(rights)
    )
}

/// The text as YAML has it, in quotes where it could be something else than text: `123`, `1e3`, `on`, `null`.
fn plain(text: &str) -> String {
    let is_named = |text: &str| {
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        begins
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    // What YAML 1.1 and 1.2 have words for.
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if is_named(text) && !words.contains(&text) {
        return text.to_owned();
    }
    Value::from(text).to_string()
}

/// One rule for the resources of a group that need the same verbs.
fn rules(rights: &[&Right]) -> String {
    let mut verbs: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for right in rights {
        verbs
            .entry((right.group, right.resource))
            .or_default()
            .insert(right.verb);
    }
    let mut resources: BTreeMap<(&str, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for ((group, resource), verbs) in verbs {
        resources
            .entry((group, verbs.into_iter().collect()))
            .or_default()
            .push(resource);
    }
    let mut text = String::new();
    for ((group, verbs), resources) in resources {
        let (resources, verbs) = (resources.join(", "), verbs.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  - apiGroups: [\"{group}\"]\n    resources: [{resources}]\n    verbs: [{verbs}]"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::tests::policies;
    use crate::rights::{Uses, rights};

    fn account() -> Account {
        Account {
            namespace: "falco-drop".parse().unwrap(),
            name: "drop-server".into(),
        }
    }

    const EXPECTED: &str = r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: drop-server
  labels: {app.kubernetes.io/part-of: falco-drop}
rules:
  - apiGroups: [""]
    resources: [namespaces]
    verbs: [get]
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: drop-server
  labels: {app.kubernetes.io/part-of: falco-drop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: drop-server}
subjects:
  - {kind: ServiceAccount, namespace: falco-drop, name: drop-server}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: drop-server
  namespace: shop
  labels: {app.kubernetes.io/part-of: falco-drop}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [delete]
  - apiGroups: [""]
    resources: [replicationcontrollers]
    verbs: [get]
  - apiGroups: ["apps"]
    resources: [daemonsets, deployments, replicasets, statefulsets]
    verbs: [get]
  - apiGroups: ["batch"]
    resources: [cronjobs, jobs]
    verbs: [get]
  - apiGroups: ["events.k8s.io"]
    resources: [events]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: drop-server
  namespace: shop
  labels: {app.kubernetes.io/part-of: falco-drop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: drop-server}
subjects:
  - {kind: ServiceAccount, namespace: falco-drop, name: drop-server}
"#;

    #[test]
    fn what_yaml_would_take_for_something_else_is_in_quotes() {
        for text in ["shop", "falco-drop", "one", "null-1", "e3", "online"] {
            assert_eq!(plain(text), text);
        }
        for text in [
            "123", "1e3", "0x7", "on", "y", "no", "null", "true", "1-2", "a: b", "",
        ] {
            assert_eq!(plain(text), format!("\"{text}\""));
        }
        let account = Account {
            namespace: "123".parse().unwrap(),
            name: "on".into(),
        };
        let policy = "{ mode: enforce, namespaces: [null], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] }";
        let policy = policy.replace("[null]", "[\"null\"]");
        let text = rbac(&rights(&policies(&[&policy]), Uses::default()), &account);
        assert!(text.contains("  namespace: \"null\"\n"), "{text}");
        assert!(text.contains("namespace: \"123\", name: \"on\"}"), "{text}");
    }

    #[test]
    fn a_role_for_each_namespace_and_a_cluster_role_for_the_rest() {
        let everywhere =
            "{ limits: [], responses: [{ name: r, when: 'ns.label[a] = b', do: [{ delete: {} }] }] }";
        let shop = "{ mode: enforce, namespaces: [shop], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] }";
        let needed = rights(
            &policies(&[everywhere, shop]),
            Uses {
                index: true,
                events: true,
            },
        );
        assert_eq!(rbac(&needed, &account()), EXPECTED);
        assert_eq!(rbac(&BTreeSet::new(), &account()), "");
    }
}
