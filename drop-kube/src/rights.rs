//! The rights that policies need of an API server, and no others.

use std::collections::BTreeSet;
use std::fmt;

use drop_core::condition::Truth;
use drop_core::facts::Wants;
use drop_core::plan::Wanted;
use drop_core::policy::{Action, Mode, Policies, Policy, Response};
use falco_event::Namespace;

/// One right: a verb on a resource, in a namespace or everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right {
    /// Where; none is everywhere.
    pub namespace: Option<Namespace>,
    /// The API group; the core group is empty.
    pub group: &'static str,
    /// The resource, with its subresource: `pods/eviction`.
    pub resource: &'static str,
    /// The verb.
    pub verb: &'static str,
}

/// `delete of pods in namespace shop`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            group,
            resource,
            verb,
        } = self;
        write!(f, "{verb} of {resource}")?;
        if !group.is_empty() {
            write!(f, ".{group}")?;
        }
        match namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

impl Right {
    /// The rule that gives this right, as a line of a Role's or `ClusterRole`'s `rules`.
    #[must_use]
    pub fn rule(&self) -> String {
        format!(
            "{{apiGroups: [\"{}\"], resources: [{}], verbs: [{}]}}",
            self.group, self.resource, self.verb
        )
    }
}

/// What a host uses beside the port itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// An [`Index`](crate::Index).
    pub index: bool,
    /// Kubernetes [`Events`](crate::Events).
    pub events: bool,
}

/// The rights that these policies need: reading what their conditions and guards read, and changing what their
/// enforced responses change. A right that is needed everywhere is not named again for a namespace.
#[must_use]
pub fn rights(policies: &Policies, uses: Uses) -> BTreeSet<Right> {
    let protection = Wants {
        namespace: !policies.protect().namespace_selectors.is_empty(),
        owner: !policies.protect().workloads.is_empty(),
        ..Wants::default()
    };
    let mut needed = BTreeSet::new();
    for policy in policies.iter().filter(|policy| !policy.responses.is_empty()) {
        for namespace in places(policy) {
            let mut need = |(group, resource, verb)| {
                needed.insert(Right {
                    namespace: namespace.clone(),
                    group,
                    resource,
                    verb,
                });
            };
            found(uses).into_iter().for_each(&mut need);
            for response in &policy.responses {
                read(&wants(policy, response).union(protection.clone()))
                    .into_iter()
                    .for_each(&mut need);
                changed(response, uses).into_iter().for_each(&mut need);
            }
        }
    }
    let everywhere = |right: &Right| Right {
        namespace: None,
        ..right.clone()
    };
    let covered = |right: &&Right| right.namespace.is_none() || !needed.contains(&everywhere(right));
    needed.iter().filter(covered).cloned().collect()
}

fn places(policy: &Policy) -> Vec<Option<Namespace>> {
    match &policy.namespaces {
        Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
        None => vec![None],
    }
}

fn wants(policy: &Policy, response: &Response) -> Wants {
    let wanted = Wanted {
        policy,
        response,
        holds: Truth::Unknown,
    };
    let own = Wants {
        owner: policy.counts_workloads(),
        ..wanted.guard_wants()
    };
    response.when.wants().union(own)
}

/// Group, resource and verb.
type Rule = (&'static str, &'static str, &'static str);

const READ_PODS: [Rule; 2] = [("", "pods", "get"), ("", "pods", "list")];

fn found(uses: Uses) -> Vec<Rule> {
    let watch = uses.index.then_some(("", "pods", "watch"));
    READ_PODS.into_iter().chain(watch).collect()
}

/// The controllers that pods have, and those above them: each is looked at, since a pod can claim any.
const OWNERS: [Rule; 7] = [
    ("", "replicationcontrollers", "get"),
    ("apps", "daemonsets", "get"),
    ("apps", "deployments", "get"),
    ("apps", "replicasets", "get"),
    ("apps", "statefulsets", "get"),
    ("batch", "cronjobs", "get"),
    ("batch", "jobs", "get"),
];

/// To count pods, all ReplicaSet objects of the Deployment too.
const COUNTED: Rule = ("apps", "replicasets", "list");

fn read(wants: &Wants) -> Vec<Rule> {
    let mut rules = Vec::new();
    if wants.namespace {
        rules.push(("", "namespaces", "get"));
    }
    if wants.owner || wants.siblings {
        rules.extend(OWNERS);
    }
    if wants.siblings {
        rules.push(COUNTED);
    }
    if wants.budgets {
        rules.push(("policy", "poddisruptionbudgets", "list"));
    }
    rules
}

/// A response that only observes changes nothing.
fn changed(response: &Response, uses: Uses) -> Vec<Rule> {
    if response.mode == Mode::Observe {
        return Vec::new();
    }
    let verbs = response.actions.iter().filter_map(|step| match step.action {
        Action::Delete { .. } => Some(("", "pods", "delete")),
        Action::Evict { .. } => Some(("", "pods/eviction", "create")),
        Action::Label { .. } | Action::Annotate { .. } => Some(("", "pods", "patch")),
        Action::Record => None,
    });
    let mut rules: Vec<Rule> = verbs.collect();
    if uses.events && !rules.is_empty() {
        rules.push(("events.k8s.io", "events", "create"));
    }
    rules
}

#[cfg(test)]
pub(crate) mod tests {
    use drop_core::policy::Source;

    use super::*;

    pub(crate) fn policies(specs: &[&str]) -> Policies {
        let document = |(n, spec): (usize, &&str)| {
            format!(
                "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p{n} }}\nspec: {spec}\n"
            )
        };
        let text = specs
            .iter()
            .enumerate()
            .map(document)
            .collect::<Vec<_>>()
            .join("---\n");
        Policies::parse(&[Source {
            name: "p.yaml",
            text: &text,
        }])
        .unwrap()
    }

    fn needed(specs: &[&str], uses: Uses) -> Vec<String> {
        rights(&policies(specs), uses)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const PLAIN: Uses = Uses {
        index: false,
        events: false,
    };

    #[test]
    fn a_policy_that_only_observes_reads_and_changes_nothing() {
        let spec = "{ limits: [], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] }";
        assert_eq!(
            needed(&[spec], PLAIN),
            [
                "get of pods in the whole cluster",
                "list of pods in the whole cluster"
            ]
        );
        assert_eq!(rights(&Policies::default(), PLAIN), BTreeSet::new());
    }

    #[test]
    fn each_action_has_its_verb() {
        let with = |action: &str| {
            let spec = format!(
                "{{ mode: enforce, namespaces: [shop], limits: [], responses: [{{ name: r, when: alert.rule = a, do: [{action}] }}] }}"
            );
            let mut all = needed(
                &[&spec],
                Uses {
                    index: true,
                    events: true,
                },
            );
            all.retain(|right| {
                !right.ends_with("of pods in namespace shop")
                    || !right.contains("get") && !right.contains("list") && !right.contains("watch")
            });
            all
        };
        let event = "create of events.events.k8s.io in namespace shop";
        assert_eq!(
            with("{ delete: {} }"),
            ["delete of pods in namespace shop", event]
        );
        assert_eq!(
            with("{ evict: {} }"),
            [
                "create of pods/eviction in namespace shop",
                event,
                "list of poddisruptionbudgets.policy in namespace shop"
            ]
        );
        assert_eq!(
            with("{ label: { labels: { a: b } } }"),
            ["patch of pods in namespace shop", event]
        );
        assert_eq!(with("{ record: {} }"), Vec::<String>::new());
    }

    #[test]
    fn what_is_read_is_what_conditions_and_guards_want() {
        let with = |rest: &str, when: &str| {
            let spec = format!(
                "{{ limits: [], {rest} responses: [{{ name: r, when: '{when}', do: [{{ delete: {{}} }}] }}] }}"
            );
            needed(&[&spec], PLAIN)
        };
        let has = |rights: &[String], what: &str| rights.iter().any(|right| right.contains(what));
        let labels = with("", "ns.label[tier] = front");
        assert!(
            has(&labels, "get of namespaces") && !has(&labels, "replicasets"),
            "{labels:?}"
        );
        let owner = with("", "pod.owner.kind = Deployment");
        assert!(
            has(&owner, "get of replicasets.apps")
                && has(&owner, "get of cronjobs.batch")
                && !has(&owner, "namespaces"),
            "{owner:?}"
        );
        let workload = with(
            "protect: { workloads: [{ namespace: shop, kind: StatefulSet, name: ledger }] },",
            "alert.rule = a",
        );
        assert!(has(&workload, "get of statefulsets.apps"), "{workload:?}");
    }

    #[test]
    fn what_is_needed_everywhere_is_not_named_for_a_namespace() {
        let everywhere =
            "{ limits: [], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] }";
        let shop = "{ mode: enforce, namespaces: [shop], limits: [], responses: [{ name: r, when: alert.rule = a, do: [{ delete: {} }] }] }";
        let both = [
            "get of pods in the whole cluster",
            "list of pods in the whole cluster",
            "delete of pods in namespace shop",
        ];
        assert_eq!(needed(&[everywhere, shop], PLAIN), both);
    }
}
