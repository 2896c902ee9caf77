//! The policies that a case changes between, and what a reader of them would say they allow.

mod documents;

use std::sync::{Arc, LazyLock};

use drop_core::policy::{Mode, Policies, Source};
use drop_core::ports::Target;

use documents::DOCUMENTS;

/// A limit as its document has it: scope, pods, seconds.
pub(crate) type Limit = (&'static str, usize, u64);

/// One document.
pub(crate) struct Document {
    name: &'static str,
    spec: &'static str,
    limits: &'static [Limit],
    max_alert_age: u64,
    responses: &'static [Response],
}

/// How many pods of the owner have to stay ready.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Min {
    Pods(u64),
    Percent(u64),
}

/// One response: when it matches, told without the engine.
pub(crate) struct Response {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    pub(crate) min_available: Option<Min>,
    limits: &'static [Limit],
    pub(crate) matches: fn(rule: &str, target: &Target) -> bool,
}

/// The documents that are in force together.
const SETS: [&[usize]; 18] = [
    &[0],
    &[0],
    &[1],
    &[2],
    &[3],
    &[4],
    &[5],
    &[6],
    &[7],
    &[8],
    &[9],
    &[10],
    &[11],
    &[12],
    &[12, 5],
    &[0, 2],
    &[1, 6],
    &[9, 3, 4],
];

/// Each set, parsed once.
pub(crate) static POLICIES: LazyLock<Vec<Arc<Policies>>> = LazyLock::new(|| {
    let set = |documents: &&[usize]| {
        let texts: Vec<_> = documents.iter().map(|at| DOCUMENTS[*at].text()).collect();
        Arc::new(parsed(&texts))
    };
    SETS.iter().map(set).collect()
});

fn parsed(texts: &[String]) -> Policies {
    let sources: Vec<_> = texts.iter().map(|text| Source { name: "p.yaml", text }).collect();
    Policies::parse(&sources).unwrap_or_else(|wrong| panic!("{wrong}"))
}

impl Document {
    /// Every document protects the same, each in its own right: protection is the union over all.
    fn text(&self) -> String {
        format!(
            "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: {} }}\nspec:{}
  protect:
    namespaces: [vault]
    namespaceSelector: {{ matchLabels: {{ guarded: 'yes' }} }}
    workloads:
      - {{ namespace: shop, kind: StatefulSet, name: ledger }}
      - {{ namespace: shop, kind: Deployment, name: core }}
",
            self.name, self.spec
        )
    }
}

fn document(name: &str) -> &'static Document {
    DOCUMENTS.iter().find(|document| document.name == name).unwrap()
}

/// A response by the name of its policy and its own.
pub(crate) fn response(policy: &str, name: &str) -> &'static Response {
    let document = document(policy);
    document
        .responses
        .iter()
        .find(|response| response.name == name)
        .unwrap()
}

/// The limits that hold a response back.
pub(crate) fn limits(policy: &str, name: &str) -> impl Iterator<Item = Limit> {
    let document = document(policy);
    document
        .limits
        .iter()
        .chain(response(policy, name).limits)
        .copied()
}

/// How many seconds an act of a policy is remembered for certain, where these were in force.
pub(crate) fn kept(all: &Policies, policy: &str) -> u64 {
    let limits = all.iter().flat_map(|policy| {
        let document = document(&policy.name);
        let own = document.responses.iter().flat_map(|response| response.limits);
        document.limits.iter().chain(own)
    });
    let longest = limits.map(|(_, _, per)| *per).max().unwrap_or(0);
    longest.max(document(policy).max_alert_age)
}
