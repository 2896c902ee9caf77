//! The policy: what a person lets falco-drop do, and when.

mod actions;
mod check;
mod diagnostics;
mod document;
mod explain;
mod index;
pub mod model;
mod names;
mod print;
mod protection;
mod quantities;
mod reader;
mod response;
mod schema;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use falco_event::Namespace;
use sha2::{Digest, Sha256};

pub use actions::DEFAULT_GRACE_PERIOD_SECONDS;
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use document::{API_VERSION, DEFAULT_LIMITS, DEFAULT_MAX_ALERT_AGE, KIND};
pub use explain::{AlertExplained, Explanation, Would};
pub(crate) use model::soonest;
pub use model::{
    Action, LabelSelector, Limit, MinAvailable, Mode, OnBreach, Policy, Protect, Response, Scope, Step,
    Workload,
};
pub use schema::schema;

use diagnostics::{File, Mistake};
use document::{Named, Places, Read};
use index::Index;

/// The namespaces that are always protected. Without what runs there the cluster cannot mend what falco-drop does.
pub const ALWAYS_PROTECTED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// A file of policies.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its text: YAML, one document or several.
    pub text: &'a str,
}

/// The policies that act side by side. [`Default`] is none at all.
///
/// ```
/// use drop_core::policy::{Policies, Source};
/// let text = r#"
/// apiVersion: falco-drop.dev/v1alpha1
/// kind: DropPolicy
/// metadata: { name: shells }
/// spec:
///   mode: enforce
///   responses:
///     - name: shell-in-container
///       when: alert.rule = "Terminal shell in container"
///       do: [{ delete: {} }]
/// "#;
/// let policies = Policies::parse(&[Source { name: "shells.yaml", text }])?;
/// assert_eq!(policies.candidates("Terminal shell in container").count(), 1);
/// assert_eq!(policies.candidates("Another rule").count(), 0);
/// # Ok::<(), drop_core::policy::Diagnostics>(())
/// ```
#[derive(Debug, Clone)]
pub struct Policies {
    policies: Vec<Policy>,
    places: Vec<(Arc<File>, Places)>,
    index: Index,
    protect: Protect,
    /// Where limits count the pods of a workload; none: everywhere.
    counted: Option<BTreeSet<Namespace>>,
    longest_window: Duration,
    hash: String,
}

impl Default for Policies {
    fn default() -> Self {
        Self::of(Vec::new(), Vec::new(), &[])
    }
}

impl Policies {
    /// Reads files of policies. They act side by side: the order matters for nothing but the order of the responses.
    ///
    /// No sources are no policies, which is no error; a source without a document is one, for a file that is being
    /// written is empty at first.
    ///
    /// # Errors
    /// Every mistake of every file.
    pub fn parse(sources: &[Source<'_>]) -> Result<Self, Diagnostics> {
        let mut wrong = Vec::new();
        let mut read = Vec::new();
        let mut seen = BTreeMap::new();
        for source in sources {
            let file = Arc::new(File {
                name: source.name.to_owned(),
                text: source.text.to_owned(),
            });
            let found = documents(&file.text);
            let twice = named_twice(&file, found.names, &mut seen);
            wrong.extend(
                found
                    .mistakes
                    .into_iter()
                    .chain(twice)
                    .map(|mistake| Diagnostic::new(Severity::Error, &file, mistake)),
            );
            read.extend(
                found
                    .policies
                    .into_iter()
                    .map(|policy| (Arc::clone(&file), policy)),
            );
        }
        if !wrong.is_empty() {
            return Err(Diagnostics::new(wrong));
        }
        let (policies, places) = read
            .into_iter()
            .map(|(file, read)| (read.policy, (file, read.places)))
            .unzip();
        Ok(Self::of(policies, places, sources))
    }

    fn of(policies: Vec<Policy>, places: Vec<(Arc<File>, Places)>, sources: &[Source<'_>]) -> Self {
        let protect = protection(&policies);
        let index = Index::of(&policies);
        let windows = policies
            .iter()
            .flat_map(Policy::all_limits)
            .map(|limit| limit.per);
        Self {
            counted: counted(&policies),
            longest_window: windows.max().unwrap_or_default(),
            policies,
            places,
            index,
            protect,
            hash: hash(sources),
        }
    }

    /// The policies in the order of their documents.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter()
    }

    /// The responses whose condition can be true of an alert of this rule, in the order of the documents.
    ///
    /// They are found by an index, not one by one, and nothing is allocated.
    pub fn candidates<'a>(
        &'a self,
        rule: &str,
    ) -> impl Iterator<Item = (&'a Policy, &'a Response)> + use<'a> {
        self.index.find(rule).filter_map(|(policy, response)| {
            let policy = self.policies.get(policy)?;
            Some((policy, policy.responses.get(response)?))
        })
    }

    /// What no policy may touch: the union of what all protect, and [`ALWAYS_PROTECTED`].
    #[must_use]
    pub fn protect(&self) -> &Protect {
        &self.protect
    }

    /// Whether any limit counts the pods of a workload of this namespace. It counts everyone's acts, so each has to know
    /// the owner of its pod then.
    #[must_use]
    pub fn counts_workloads(&self, namespace: &Namespace) -> bool {
        self.counted
            .as_ref()
            .is_none_or(|counted| counted.contains(namespace))
    }

    /// The longest window of any limit; zero without one. Every limit counts everyone's acts in its scope, so every act
    /// is remembered for so long.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        self.longest_window
    }

    /// SHA-256 over the texts of the sources, in hexadecimal: the same texts in the same order have the same.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Protects one more namespace: the host adds that in which falco-drop runs.
    #[must_use]
    pub fn protect_also(mut self, namespace: Namespace) -> Self {
        self.protect.namespaces.insert(namespace);
        self
    }
}

/// What is in a file.
#[derive(Default)]
struct Found {
    policies: Vec<Read>,
    /// Also of the documents that have mistakes.
    names: Vec<Named>,
    mistakes: Vec<Mistake>,
}

fn documents(text: &str) -> Found {
    let documents = match yaml::read(text) {
        Ok(documents) => documents,
        Err(mistake) => {
            return Found {
                mistakes: vec![mistake],
                ..Found::default()
            };
        }
    };
    let mut reader = reader::Reader::new(text);
    if documents.is_empty() {
        reader.wrong(Mistake::new(0..0, "the file holds no policy"));
    }
    let mut names = Vec::new();
    let policies = documents
        .iter()
        .filter_map(|document| document::read(&mut reader, document, &mut names))
        .collect();
    Found {
        policies,
        names,
        mistakes: reader.mistakes,
    }
}

/// The names of a file that a document before has.
fn named_twice(file: &Arc<File>, names: Vec<Named>, seen: &mut BTreeMap<String, Arc<File>>) -> Vec<Mistake> {
    let mut wrong = Vec::new();
    for (name, place) in names {
        if let Some(other) = seen.get(&name) {
            let message = format!("two policies are named `{name}`; the other is in {}", other.name);
            wrong.push(Mistake::new(place, message));
        }
        seen.insert(name, Arc::clone(file));
    }
    wrong
}

fn protection(policies: &[Policy]) -> Protect {
    let mut all = Protect::default();
    all.namespaces.extend(
        ALWAYS_PROTECTED
            .iter()
            .filter_map(|name| Namespace::try_from(*name).ok()),
    );
    for policy in policies {
        all.namespaces.extend(policy.protect.namespaces.iter().cloned());
        all.namespace_selectors
            .extend(policy.protect.namespace_selectors.iter().cloned());
        all.workloads.extend(policy.protect.workloads.iter().cloned());
    }
    all
}

/// The namespaces of the policies with such limits.
fn counted(policies: &[Policy]) -> Option<BTreeSet<Namespace>> {
    let counting = policies.iter().filter(|policy| policy.counts_workloads());
    let mut all = BTreeSet::new();
    for policy in counting {
        all.extend(policy.namespaces.clone()?);
    }
    Some(all)
}

fn hash(sources: &[Source<'_>]) -> String {
    let mut sha = Sha256::new();
    for source in sources {
        // the length first, so that no two lists of texts run together to the same bytes
        sha.update(source.text.len().to_le_bytes());
        sha.update(source.text.as_bytes());
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
