//! Who did it, as far as an alert says.

use crate::alert::Alert;
use crate::fields::spelled_missing;
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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Refused {
    /// The output field, or `hostname` of the envelope.
    pub field: &'static str,
    /// What it held and what was expected.
    pub why: NameError,
}

impl Offender {
    pub(crate) fn of(alert: &Alert) -> Self {
        let said = Said::by(alert);
        let mut offender = Self {
            host: said.text(Place::ContainerId) == Some("host"),
            ..Self::default()
        };
        if alert
            .source()
            .is_none_or(|source| matches!(source, "syscall" | "syscalls"))
        {
            offender.node = offender.node(&said, alert.hostname());
        }
        if !offender.host {
            offender.container(&said);
            offender.pod(&said);
        }
        offender
    }

    fn node(&mut self, said: &Said<'_>, hostname: Option<&str>) -> Option<NodeName> {
        let field = self.name(said, Place::Hostname);
        field.or_else(|| self.note("hostname", NodeName::try_from(hostname?)))
    }

    fn container(&mut self, said: &Said<'_>) {
        let short: Option<ContainerId> = self.name(said, Place::ContainerId);
        let full: Option<ContainerId> = self.name(said, Place::FullContainerId);
        let fits = |full: &ContainerId| short.as_ref().is_none_or(|short| short.matches(full));
        self.container = full.filter(fits).or(short);
    }

    fn pod(&mut self, said: &Said<'_>) {
        let uids = [Place::PodUid, Place::OldPodUid, Place::MetaPodUid];
        self.pod_uid = uids.into_iter().find_map(|place| self.name(said, place));
        if !self.pair(said, Place::Namespace, Place::Pod) {
            self.pair(said, Place::MetaNamespace, Place::MetaPod);
        }
        let container_name = said.text(Place::ContainerName);
        match container_name.and_then(DockerName::parse) {
            Some(docker) => self.docker(&docker),
            None => self.container_name = container_name.map(str::to_owned),
        }
        self.audit(said);
    }

    /// Both names from one place. The half of a pair is taken too, until another place has both.
    fn pair(&mut self, said: &Said<'_>, namespace: Place, pod: Place) -> bool {
        let found = (self.name(said, namespace), self.name(said, pod));
        let both = found.0.is_some() && found.1.is_some();
        if both || (self.namespace.is_none() && self.pod.is_none()) {
            (self.namespace, self.pod) = found;
        }
        both
    }

    fn is_named(&self) -> bool {
        self.namespace.is_some() && self.pod.is_some()
    }

    fn docker(&mut self, docker: &DockerName<'_>) {
        let field = Place::ContainerName.name();
        self.container_name = Some(docker.container.to_owned());
        if self.pod_uid.is_none() {
            self.pod_uid = self.note(field, PodUid::try_from(docker.uid));
        }
        if self.is_named() {
            return;
        }
        let namespace = self.note(field, Namespace::try_from(docker.namespace));
        let pod = self.note(field, PodName::try_from(docker.pod));
        if namespace.is_some() && pod.is_some() {
            (self.namespace, self.pod) = (namespace, pod);
        }
    }

    /// The target of an audited request, where it is a pod. A pod that is being made has its name only in the answer.
    fn audit(&mut self, said: &Said<'_>) {
        if self.is_named() || said.text(Place::TargetResource) != Some("pods") {
            return;
        }
        let named = [Place::TargetName, Place::TargetPod, Place::AnswerName];
        if let Some(pod) = named.into_iter().find(|place| said.text(*place).is_some()) {
            self.pair(said, Place::TargetNamespace, pod);
        }
    }

    /// A field that holds a name; what is neither missing nor a name is noted.
    fn name<T: for<'t> TryFrom<&'t str, Error = NameError>>(
        &mut self,
        said: &Said<'_>,
        place: Place,
    ) -> Option<T> {
        let text = said.value(place)?.as_str().unwrap_or(NO_STRING);
        self.note(place.name(), T::try_from(text))
    }

    fn note<T>(&mut self, field: &'static str, parsed: Result<T, NameError>) -> Option<T> {
        parsed
            .map_err(|why| self.refused.push(Refused { field, why }))
            .ok()
    }
}

/// What stands for a number or a list in messages; no name is spelled so.
const NO_STRING: &str = "(not a string)";

/// The fields that say who it was, found by a match: a search in a list of them took a twentieth of the time of reading.
macro_rules! places {
    ($($place:ident $name:literal)*) => {
        #[derive(Debug, Clone, Copy)]
        enum Place {
            $($place,)*
        }

        const PLACES: usize = [$($name),*].len();

        impl Place {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$place => $name,)*
                }
            }

            fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$place),)*
                    _ => None,
                }
            }
        }
    };
}

places! {
    ContainerId "container.id"
    FullContainerId "container.full_id"
    ContainerName "container.name"
    Hostname "evt.hostname"
    PodUid "k8s.pod.uid"
    OldPodUid "k8s.pod.id"
    Namespace "k8s.ns.name"
    Pod "k8s.pod.name"
    MetaPodUid "k8smeta.pod.uid"
    MetaNamespace "k8smeta.ns.name"
    MetaPod "k8smeta.pod.name"
    TargetResource "ka.target.resource"
    TargetNamespace "ka.target.namespace"
    TargetName "ka.target.name"
    TargetPod "ka.target.pod.name"
    AnswerName "ka.resp.name"
}

/// Whether a field of this name says who it was.
#[cfg(feature = "proptest1")]
pub(crate) fn is_place(name: &str) -> bool {
    Place::of(name).is_some()
}

/// What the alert says at each place, gathered in one walk over its fields; what is missing is none.
struct Said<'a>([Option<Value<'a>>; PLACES]);

impl<'a> Said<'a> {
    fn by(alert: &'a Alert) -> Self {
        let fields = alert.fields();
        let mut said = [None; PLACES];
        for (name, slot) in fields.slots() {
            if name.starts_with(['c', 'e', 'k'])
                && let Some(place) = Place::of(name)
                && let Some(said) = said.get_mut(place as usize)
            {
                *said = Some(fields.doc.value(slot)).filter(|value| spelled_missing(value).is_none());
            }
        }
        Self(said)
    }

    fn value(&self, place: Place) -> Option<Value<'a>> {
        self.0.get(place as usize).copied().flatten()
    }

    fn text(&self, place: Place) -> Option<&'a str> {
        self.value(place)?.as_str()
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
