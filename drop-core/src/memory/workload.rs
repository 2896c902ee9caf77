//! What a person asks the cluster to run.

use std::collections::BTreeMap;
use std::time::Duration;

use falco_event::{ContainerId, Namespace, NodeName, PodName};

use super::Labels;
use super::kind::{Kind, Stop};

/// A workload: its controller and the pods it is to keep running.
///
/// ```
/// use drop_core::memory::Workload;
///
/// let shop = "shop".parse()?;
/// let web = Workload::deployment(shop, "web".parse()?).replicas(3).label("tier", "front").ignores_sigterm();
/// assert_eq!(web.labels().get("app").map(String::as_str), Some("web"));
/// # Ok::<(), falco_event::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub(super) kind: Kind,
    pub(super) namespace: Namespace,
    pub(super) name: PodName,
    pub(super) replicas: u32,
    pub(super) labels: Labels,
    pub(super) first_pod: Option<PodName>,
    pub(super) first_container: Option<ContainerId>,
    pub(super) template: Template,
}

/// What each pod of a workload is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) annotations: Labels,
    pub(super) containers: Vec<String>,
    pub(super) service_account: Option<String>,
    pub(super) priority_class: Option<String>,
    pub(super) node: Option<NodeName>,
    pub(super) schedulable: bool,
    pub(super) finalizers: Vec<String>,
    pub(super) grace_seconds: u32,
    pub(super) stop: Option<Stop>,
    pub(super) start_after: Option<Duration>,
    pub(super) mirror: bool,
}

impl Template {
    fn new(container: &str) -> Self {
        Self {
            annotations: BTreeMap::new(),
            containers: vec![container.to_owned()],
            service_account: Some("default".to_owned()),
            priority_class: None,
            node: None,
            schedulable: true,
            finalizers: Vec::new(),
            grace_seconds: 30,
            stop: None,
            start_after: None,
            mirror: false,
        }
    }
}

/// Construction: one function for each kind. Workloads are named by the rule for pod names, a DNS subdomain.
impl Workload {
    /// A workload of any kind: one replica, one container, and (but for bare and static pods, which nothing selects)
    /// the label `app` with its name.
    #[must_use]
    pub fn new(kind: Kind, namespace: Namespace, name: PodName) -> Self {
        let selected = !matches!(kind, Kind::Pod | Kind::StaticPod);
        let labels = selected
            .then(|| ("app".to_owned(), name.to_string()))
            .into_iter()
            .collect();
        let mut template = Template::new(name.as_str());
        template.mirror = kind == Kind::StaticPod;
        Self {
            kind,
            namespace,
            name,
            replicas: 1,
            labels,
            first_pod: None,
            first_container: None,
            template,
        }
    }

    /// A pod by itself.
    #[must_use]
    pub fn pod(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::Pod, namespace, name)
    }

    /// A Deployment.
    #[must_use]
    pub fn deployment(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::Deployment, namespace, name)
    }

    /// A StatefulSet.
    #[must_use]
    pub fn stateful_set(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::StatefulSet, namespace, name)
    }

    /// A DaemonSet.
    #[must_use]
    pub fn daemon_set(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::DaemonSet, namespace, name)
    }

    /// A Job.
    #[must_use]
    pub fn job(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::Job, namespace, name)
    }

    /// A CronJob.
    #[must_use]
    pub fn cron_job(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::CronJob, namespace, name)
    }

    /// A static pod; its one pod is named `<name>-<node>`.
    #[must_use]
    pub fn static_pod(namespace: Namespace, name: PodName) -> Self {
        Self::new(Kind::StaticPod, namespace, name)
    }
}

/// What its pods are like.
impl Workload {
    /// How many pods it wants. Bare and static pods are one, a DaemonSet has one for each node.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// A label of its pods, by which its controller also selects them.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// An annotation of its pods.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.template.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The names of its containers instead of the one that is named like the workload.
    #[must_use]
    pub fn containers(mut self, names: &[&str]) -> Self {
        self.template.containers = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The name of the first pod. A Deployment takes the template hash from it, so that its replacement differs only
    /// after the last dash. The pods of a StatefulSet and static pods are named by their kind's rule all the same.
    #[must_use]
    pub fn first_pod(mut self, name: PodName) -> Self {
        self.first_pod = Some(name);
        self
    }

    /// The id of the first container of the first pod, which is otherwise made up.
    #[must_use]
    pub fn first_container(mut self, id: ContainerId) -> Self {
        self.first_container = Some(id);
        self
    }

    /// `spec.serviceAccountName`, `default` if not set.
    #[must_use]
    pub fn service_account(mut self, name: &str) -> Self {
        self.template.service_account = Some(name.to_owned());
        self
    }

    /// `spec.priorityClassName`.
    #[must_use]
    pub fn priority_class(mut self, name: &str) -> Self {
        self.template.priority_class = Some(name.to_owned());
        self
    }

    /// The node for all its pods, instead of one after the other.
    #[must_use]
    pub fn node(mut self, node: NodeName) -> Self {
        self.template.node = Some(node);
        self
    }

    /// No node takes its pods: they stay pending.
    #[must_use]
    pub fn unschedulable(mut self) -> Self {
        self.template.schedulable = false;
        self
    }

    /// A finalizer of its pods, which stay until [`remove_finalizers`](super::Cluster::remove_finalizers).
    #[must_use]
    pub fn finalizer(mut self, name: &str) -> Self {
        self.template.finalizers.push(name.to_owned());
        self
    }

    /// `spec.terminationGracePeriodSeconds`, 30 if not set.
    #[must_use]
    pub fn grace_seconds(mut self, seconds: u32) -> Self {
        self.template.grace_seconds = seconds;
        self
    }

    /// How its containers stop, instead of as [`Delays`](super::Delays) says.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.template.stop = Some(stop);
        self
    }

    /// Its containers do not stop on SIGTERM.
    #[must_use]
    pub fn ignores_sigterm(self) -> Self {
        self.stop(Stop::IgnoresSigterm)
    }

    /// How long its pods take to start, instead of as [`Delays`](super::Delays) says.
    #[must_use]
    pub fn start_after(mut self, delay: Duration) -> Self {
        self.template.start_after = Some(delay);
        self
    }
}

/// What was asked for, for a cluster that has to make it for real.
impl Workload {
    /// What keeps its pods running.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PodName {
        &self.name
    }

    /// How many pods it wants.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.replicas
    }

    /// The labels of its pods; those of a controller are its selector too.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The annotations of its pods.
    #[must_use]
    pub fn annotations(&self) -> &Labels {
        &self.template.annotations
    }

    /// The names of its containers.
    #[must_use]
    pub fn container_names(&self) -> &[String] {
        &self.template.containers
    }

    /// The finalizers of its pods.
    #[must_use]
    pub fn finalizers(&self) -> &[String] {
        &self.template.finalizers
    }

    /// `spec.terminationGracePeriodSeconds`, in seconds.
    #[must_use]
    pub fn termination_grace_seconds(&self) -> u32 {
        self.template.grace_seconds
    }

    /// Whether its containers use up the whole grace period.
    #[must_use]
    pub fn does_ignore_sigterm(&self) -> bool {
        self.template.stop == Some(Stop::IgnoresSigterm)
    }
}
