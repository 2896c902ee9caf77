//! What tests with an engine share: a clock, alerts, a policy.

use std::sync::Arc;
use std::time::Instant;

use drop_core::Engine;
use drop_core::memory::Records;
use drop_core::past::LocalMemory;
use drop_core::pod::{Phase, Pod};
use drop_core::policy::{Policies, Source};
use drop_core::ports::{Clock, Mono, PodApi};
use drop_core::testing::Fixture;
use falco_event::{Alert, Namespace, Timestamp};
use serde_json::json;

use crate::fixture::Real;

pub(crate) struct Now(Instant);

impl Clock for Now {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }
}

/// Falco's alert about this pod, raised now.
pub(crate) fn alert(pod: &Pod) -> Alert {
    let alert = json!({
        "rule": "Terminal shell in container", "priority": "Notice", "source": "syscall",
        "time": Timestamp::now().to_string(), "output": "a shell\nwith a line of its own",
        "output_fields": { "container.id": pod.containers[0].id, "k8s.ns.name": pod.namespace, "k8s.pod.name": pod.name },
    });
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}

/// A policy that answers such alerts with these actions; `more` is what else its `spec` says.
pub(crate) fn policies(more: &str, actions: &str) -> Policies {
    let text = format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: shells }}\nspec:\n  mode: enforce\n  \
         {more}\n  responses:\n    - name: shell\n      when: alert.rule = \"Terminal shell in container\"\n      \
         do: [{actions}]\n"
    );
    Policies::parse(&[Source {
        name: "p.yaml",
        text: &text,
    }])
    .unwrap()
}

/// An engine over these pods, and what it writes.
pub(crate) fn engine(pods: impl PodApi + 'static) -> (Engine, Records) {
    let (clock, records) = (Arc::new(Now(Instant::now())), Records::default());
    let memory = Arc::new(LocalMemory::new(clock.clone()));
    let journal = Arc::new(records.clone());
    (Engine::new(Arc::new(pods), memory, journal, clock), records)
}

/// The first pod of the namespace that runs and is not this one.
pub(crate) async fn running(real: &Real, namespace: &Namespace, but: Option<&Pod>) -> Pod {
    for _ in 0..1_200 {
        let pods = Fixture::pods(real, namespace).await;
        let other = |pod: &Pod| but.is_none_or(|but| but.uid != pod.uid) && pod.phase == Phase::Running;
        if let Some(pod) = pods
            .into_iter()
            .find(|pod| other(pod) && !pod.containers.is_empty())
        {
            return pod;
        }
        real.wait().await;
    }
    panic!("no pod runs")
}
