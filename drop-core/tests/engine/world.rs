//! One Deployment, one engine, and alerts about its pod.

use std::sync::Arc;
use std::time::Duration;

use drop_core::Engine;
use drop_core::memory::{Cluster, Records, Workload};
use drop_core::past::{Bounds, LocalMemory};
use drop_core::pod::Pod;
use drop_core::policy::{Policies, Source};
use drop_core::ports::{Memory, PodApi};
use drop_core::record::Decided;
use falco_event::{Alert, Namespace, PodName, Timestamp};
use futures_executor::block_on;
use serde_json::{Value, json};

/// The policy of most tests: what is said after `spec:`, indented by two.
pub(crate) fn policies(spec: &str) -> Policies {
    let text = format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n{spec}"
    );
    Policies::parse(&[Source {
        name: "p.yaml",
        text: &text,
    }])
    .unwrap_or_else(|wrong| panic!("{wrong}"))
}

pub(crate) const SHELL: &str = r#"
  mode: enforce
  responses:
    - name: shell
      when: alert.rule = "Terminal shell in container"
      do: [delete: {}]
"#;

pub(crate) struct World {
    memory: Arc<LocalMemory>,
    pub(crate) cluster: Cluster,
    pub(crate) records: Records,
    pub(crate) engine: Engine,
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::try_from(name).unwrap()
}

pub(crate) fn name(name: &str) -> PodName {
    PodName::try_from(name).unwrap()
}

impl World {
    /// A Deployment `db` of `replicas` pods in `default`, a minute old.
    pub(crate) fn of(replicas: u32) -> Self {
        Self::bounded(replicas, Bounds::default())
    }

    /// The same, with a memory that holds no more than this.
    pub(crate) fn bounded(replicas: u32, bounds: Bounds) -> Self {
        let cluster = Cluster::new("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        cluster.add_namespace(&namespace("default"), &[]);
        cluster.add_workload(
            Workload::deployment(namespace("default"), name("db"))
                .label("app", "db")
                .replicas(replicas),
        );
        cluster.advance(Duration::from_secs(60));
        let records = Records::default();
        let memory = Arc::new(LocalMemory::with_bounds(Arc::new(cluster.clone()), bounds));
        let api = Arc::new(cluster.clone());
        let engine = Engine::new(
            api,
            memory.clone(),
            Arc::new(records.clone()),
            Arc::new(cluster.clone()),
        );
        Self {
            memory,
            cluster,
            records,
            engine,
        }
    }

    pub(crate) fn new() -> Self {
        Self::of(1)
    }

    pub(crate) fn pod(&self) -> Pod {
        self.pods().remove(0)
    }

    pub(crate) fn pods(&self) -> Vec<Pod> {
        self.cluster.pods()
    }

    /// The engine, with its memory, over another view of the cluster.
    pub(crate) fn engine_over(&self, api: Arc<dyn PodApi>) -> Engine {
        let (clock, journal) = (Arc::new(self.cluster.clone()), Arc::new(self.records.clone()));
        Engine::new(api, self.memory.clone(), journal, clock)
    }

    /// How many acts are remembered.
    pub(crate) fn remembered(&self) -> usize {
        let mut count = 0;
        block_on(self.memory.update(&mut |past, _| count = past.len())).unwrap();
        count
    }

    pub(crate) fn handle(&self, policies: &Policies, alert: &Alert) -> Decided {
        block_on(self.engine.handle(policies, alert, None))
    }

    /// Lets a second pass, and the engine look.
    pub(crate) fn confirm_after(&self, by: Duration) -> usize {
        self.cluster.advance(by);
        block_on(self.engine.confirm()).unwrap()
    }

    /// Falco's alert about this pod, as of now.
    pub(crate) fn alert(&self, pod: &Pod) -> Alert {
        self.alert_with(|fields| {
            fields["container.id"] = json!(pod.containers[0].id.to_string().get(..12));
            fields["k8s.ns.name"] = json!(pod.namespace);
            fields["k8s.pod.name"] = json!(pod.name);
        })
    }

    /// An alert of now with these output fields.
    pub(crate) fn alert_with(&self, fill: impl FnOnce(&mut Value)) -> Alert {
        self.alert_at(self.cluster.now(), fill)
    }

    pub(crate) fn alert_at(&self, time: Timestamp, fill: impl FnOnce(&mut Value)) -> Alert {
        let mut fields = json!({ "proc.name": "bash" });
        fill(&mut fields);
        let alert = json!({
            "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall",
            "time": time.to_string(), "output": "a shell", "output_fields": fields,
        });
        Alert::from_slice(alert.to_string().as_bytes()).unwrap()
    }

    /// How many changes were asked of the cluster through `PodApi`.
    pub(crate) fn touched(&self) -> usize {
        self.cluster.touched().len()
    }
}
