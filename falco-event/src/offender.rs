//! Who did it, as far as an alert says.

use crate::alert::Alert;
use crate::names::{ContainerId, NameError, Namespace, NodeName, PodName, PodUid};
use crate::value::Value;

/// Who did it, as far as the alert says; every name is a valid one.
///
/// What is read, the most reliable first (measured on real alerts: Falco takes the container id from the cgroup, in
/// step with the event; names come later from the container engine and may be missing):
///
/// 1. `container.id` is `host`: a process of the node, never a pod, whatever the other fields say.
/// 2. Container: `container.full_id` if it fits `container.id`, else `container.id`.
/// 3. Pod UID: `k8s.pod.uid`, `k8s.pod.id`, `k8smeta.pod.uid`, the docker name of the container.
/// 4. Namespace and pod, both from one place: `k8s.ns.name` and `k8s.pod.name`; `k8smeta.ns.name` and
///    `k8smeta.pod.name`; the docker name `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`; for `k8s_audit` the
///    target, if it is a pod.
/// 5. Node: `evt.hostname` or the envelope's hostname, for system calls only: it is the node where Falco was told
///    its name, else a name that no node has.
///
/// ```
/// use falco_event::Alert;
/// let alert = Alert::from_slice(br#"{"rule":"Attach/Exec Pod","priority":"Notice","source":"k8s_audit",
///     "time":"2023-05-10T14:09:24.046826000Z","output_fields":{"ka.target.name":"kubecon",
///     "ka.target.namespace":"default","ka.target.resource":"pods","ka.target.subresource":"exec"}}"#)?;
/// let offender = alert.offender();
/// assert_eq!(offender.namespace.as_ref().map(|name| name.as_str()), Some("default"));
/// assert_eq!(offender.pod.as_ref().map(|name| name.as_str()), Some("kubecon"));
/// # Ok::<(), falco_event::ReadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offender {
    /// A process of the node, outside of any container.
    pub host: bool,
    /// The container, by 12 or 64 digits.
    pub container: Option<ContainerId>,
    /// The pod's UID.
    pub pod_uid: Option<PodUid>,
    /// The pod's namespace.
    pub namespace: Option<Namespace>,
    /// The pod's name.
    pub pod: Option<PodName>,
    /// Where Falco saw it. A candidate: see above.
    pub node: Option<NodeName>,
    /// The container's name in its pod, or as the container engine has it.
    pub container_name: Option<String>,
    /// What was there but is no valid name, and so was not used.
    pub refused: Vec<Refused>,
}

/// A field that held no valid name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The output field, or `hostname` of the envelope.
    pub field: &'static str,
    /// What it held and what was expected.
    pub why: NameError,
}

impl Offender {
    pub(crate) fn of(alert: &Alert) -> Self {
        let mut offender = Self::default();
        let mut read = Reader {
            alert,
            refused: Vec::new(),
        };
        offender.host = read.text("container.id") == Some("host");
        if alert
            .source()
            .is_none_or(|source| matches!(source, "syscall" | "syscalls"))
        {
            offender.node = read.node();
        }
        if offender.host {
            offender.container_name = None;
        } else {
            read.container(&mut offender);
            read.pod(&mut offender);
        }
        offender.refused = read.refused;
        offender
    }
}

struct Reader<'a> {
    alert: &'a Alert,
    refused: Vec<Refused>,
}

impl<'a> Reader<'a> {
    fn text(&self, field: &str) -> Option<&'a str> {
        self.alert.fields().get(field)?.as_str()
    }

    /// A field that holds a name; what is neither missing nor a name is noted.
    fn name<T: for<'t> TryFrom<&'t str, Error = NameError>>(&mut self, field: &'static str) -> Option<T> {
        let parsed = match self.alert.fields().get(field)? {
            Value::String(text) => T::try_from(text),
            Value::Number(number) => T::try_from(number.as_str()),
            Value::Object(json) => T::try_from(json),
            Value::Null | Value::Bool(_) | Value::List(_) => T::try_from(""),
        };
        self.note(field, parsed)
    }

    fn note<T>(&mut self, field: &'static str, parsed: Result<T, NameError>) -> Option<T> {
        parsed
            .map_err(|why| self.refused.push(Refused { field, why }))
            .ok()
    }

    fn node(&mut self) -> Option<NodeName> {
        let field = self.name("evt.hostname");
        field.or_else(|| {
            let hostname = self.alert.hostname()?;
            self.note("hostname", NodeName::try_from(hostname))
        })
    }

    fn container(&mut self, offender: &mut Offender) {
        let short: Option<ContainerId> = self.name("container.id");
        let full: Option<ContainerId> = self.name("container.full_id");
        let fits = |full: &ContainerId| short.as_ref().is_none_or(|short| short.matches(full));
        offender.container = full.filter(fits).or_else(|| short.clone());
        offender.container_name = self.text("container.name").map(str::to_owned);
    }

    fn pod(&mut self, offender: &mut Offender) {
        let docker = self.text("container.name").and_then(DockerName::parse);
        offender.pod_uid = ["k8s.pod.uid", "k8s.pod.id", "k8smeta.pod.uid"]
            .into_iter()
            .find_map(|f| self.name(f));
        let pairs = [
            ("k8s.ns.name", "k8s.pod.name"),
            ("k8smeta.ns.name", "k8smeta.pod.name"),
        ];
        for (namespace, pod) in pairs {
            if self.pair(offender, namespace, pod) {
                break;
            }
        }
        if let Some(docker) = docker {
            self.docker(offender, &docker);
        }
        self.audit(offender);
    }

    /// Both names from one place; the half of a pair is taken too, unless a later place has both.
    fn pair(&mut self, offender: &mut Offender, namespace: &'static str, pod: &'static str) -> bool {
        let found = (self.name(namespace), self.name(pod));
        let both = found.0.is_some() && found.1.is_some();
        if both || (offender.namespace.is_none() && offender.pod.is_none()) {
            (offender.namespace, offender.pod) = found;
        }
        both
    }

    fn docker(&mut self, offender: &mut Offender, docker: &DockerName<'_>) {
        const FIELD: &str = "container.name";
        offender.container_name = Some(docker.container.to_owned());
        if offender.pod_uid.is_none() {
            offender.pod_uid = self.note(FIELD, PodUid::try_from(docker.uid));
        }
        if offender.namespace.is_some() && offender.pod.is_some() {
            return;
        }
        let names = (
            Namespace::try_from(docker.namespace),
            PodName::try_from(docker.pod),
        );
        if let (Some(namespace), Some(pod)) = (self.note(FIELD, names.0), self.note(FIELD, names.1)) {
            (offender.namespace, offender.pod) = (Some(namespace), Some(pod));
        }
    }

    /// The target of an audited request, where it is a pod. A pod that is being made has its name only in the answer.
    fn audit(&mut self, offender: &mut Offender) {
        if self.text("ka.target.resource") != Some("pods") {
            return;
        }
        let named = ["ka.target.name", "ka.target.pod.name", "ka.resp.name"];
        let field = named.into_iter().find(|field| self.text(field).is_some());
        if let Some(field) = field
            && !(offender.namespace.is_some() && offender.pod.is_some())
        {
            self.pair(offender, "ka.target.namespace", field);
        }
    }
}

/// The name that the kubelet gave a container under docker: `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
struct DockerName<'a> {
    container: &'a str,
    pod: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

impl<'a> DockerName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix("k8s_")?.split('_');
        let mut next = || parts.next();
        let (container, pod, namespace, uid, attempt) = (next()?, next()?, next()?, next()?, next()?);
        let whole =
            parts.next().is_none() && !attempt.is_empty() && attempt.bytes().all(|b| b.is_ascii_digit());
        whole.then_some(Self {
            container,
            pod,
            namespace,
            uid,
        })
    }
}
