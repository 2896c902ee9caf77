//! What Falco sees in the pods of a cluster.

use falco_event::Alert;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::super::Cluster;
use crate::pod::Pod;

/// Falco sees something in a pod: an alert, once it is known which pods there are.
#[derive(Debug, Clone)]
pub struct Sighting {
    pod: Index,
    rule: String,
    priority: &'static str,
    process: &'static str,
    marks: Marks,
    lie: Option<(Mark, Index)>,
}

/// What the alert says of its pod.
#[derive(Debug, Clone, Copy)]
struct Marks {
    name: bool,
    uid: bool,
    container: bool,
    host: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Name,
    Uid,
    Container,
    Host,
}

/// Alerts about pods of a cluster, three of four of one of these rules. Each mark of the pod (name, UID, container, node)
/// is there in three of four; in one of four an alert lies: one mark is another pod's.
pub fn sighting(rules: &[&str]) -> impl Strategy<Value = Sighting> + use<> {
    let mut known: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
    known.push("Some other rule".to_owned());
    let other = Just("Some other rule".to_owned());
    let rule = prop_oneof![3 => select(known), 1 => other];
    let priority = select(vec!["Critical", "Warning", "Notice", "Informational"]);
    let process = select(vec!["bash", "sh", "nc", "xmrig", "python3", "kubectl"]);
    let mark = || prop::bool::weighted(0.75);
    let marks = (mark(), mark(), mark(), mark()).prop_map(|(name, uid, container, host)| Marks {
        name,
        uid,
        container,
        host,
    });
    let lie = select(vec![Mark::Name, Mark::Uid, Mark::Container, Mark::Host]);
    let lie = prop::option::weighted(0.25, (lie, any::<Index>()));
    (any::<Index>(), rule, priority, process, marks, lie).prop_map(
        |(pod, rule, priority, process, marks, lie)| Sighting {
            pod,
            rule,
            priority,
            process,
            marks,
            lie,
        },
    )
}

impl Sighting {
    /// The alert, as of now; none where the cluster has no pod.
    #[must_use]
    pub fn alert(&self, cluster: &Cluster) -> Option<Alert> {
        let pods = cluster.pods();
        if pods.is_empty() {
            return None;
        }
        let truth = self.pod.get(&pods);
        let of = |mark: Mark| match self.lie {
            Some((lie, other)) if lie == mark => other.get(&pods),
            Some(_) | None => truth,
        };
        let alert = json!({
            "rule": self.rule,
            "priority": self.priority,
            "source": "syscall",
            "time": cluster.now().to_string(),
            "hostname": self.marks.host.then(|| of(Mark::Host).node.clone()).flatten(),
            "output": format!("{} in a container", self.process),
            "output_fields": self.fields(of),
        });
        Alert::from_slice(alert.to_string().as_bytes()).ok()
    }

    fn fields<'p>(&self, of: impl Fn(Mark) -> &'p Pod) -> Value {
        let named = self.marks.name.then(|| of(Mark::Name));
        let uid = self.marks.uid.then(|| &of(Mark::Uid).uid);
        let container = self
            .marks
            .container
            .then(|| of(Mark::Container).containers.first());
        let container = container.flatten().map(|container| container.id.short());
        json!({
            "container.id": container,
            "k8s.ns.name": named.map(|pod| &pod.namespace),
            "k8s.pod.name": named.map(|pod| &pod.name),
            "k8s.pod.uid": uid,
            "proc.name": self.process,
            "proc.cmdline": self.process,
            "user.name": "root",
        })
    }
}
