//! What of a cluster has to be known.

use std::collections::BTreeSet;

use drop_core::policy::Policies;
use falco_event::Namespace;

/// The pods of which namespaces have to be known, and which of their annotations.
///
/// By default all of both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// The namespaces; none is the whole cluster, which needs the rights to read pods there.
    pub namespaces: Option<BTreeSet<Namespace>>,
    /// The annotations that an index keeps; none keeps all, which some tools make large.
    pub annotations: Option<BTreeSet<String>>,
}

impl Reach {
    /// No pod at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            namespaces: Some(BTreeSet::new()),
            annotations: Some(BTreeSet::new()),
        }
    }

    /// Where these policies act, and the annotations that their conditions read.
    #[must_use]
    pub fn of(policies: &Policies) -> Self {
        let mut reach = Self::nothing();
        for policy in policies.iter() {
            reach.namespaces = match (reach.namespaces, &policy.namespaces) {
                (Some(namespaces), Some(more)) => Some(&namespaces | more),
                (None, _) | (_, None) => None,
            };
            for response in &policy.responses {
                let read = response.when.annotations();
                reach
                    .annotations
                    .get_or_insert_default()
                    .extend(read.iter().cloned());
            }
        }
        reach
    }
}

/// Annotations to keep; none keeps all.
pub(crate) type Kept = Option<BTreeSet<String>>;

/// Whether what is kept is enough where others are asked for.
pub(crate) fn covers(kept: &Kept, asked: &Kept) -> bool {
    match (kept, asked) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(kept), Some(asked)) => asked.is_subset(kept),
    }
}

/// What is kept for all of these.
pub(crate) fn union<'a>(all: impl IntoIterator<Item = &'a Kept>) -> Kept {
    let all: Option<Vec<_>> = all.into_iter().map(Option::as_ref).collect();
    all.map(|all| all.into_iter().flatten().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::tests::policies;

    fn names(names: &[&str]) -> Option<BTreeSet<Namespace>> {
        Some(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn kept(keys: &[&str]) -> Kept {
        Some(keys.iter().map(|&key| key.to_owned()).collect())
    }

    #[test]
    fn policies_reach_as_far_as_those_that_respond() {
        let with = |rest: &str, when: &str| {
            format!(
                "{{ limits: [], {rest} responses: [{{ name: r, when: '{when}', do: [{{ delete: {{}} }}] }}] }}"
            )
        };
        let of = |specs: &[&str]| Reach::of(&policies(specs));
        let (shop, bank) = (
            with("namespaces: [shop],", "pod.annotation[a] = b"),
            with(
                "namespaces: [bank, shop],",
                "not (concat(pod.annotation[c/d], \"x\") = y or len(pod.label[e]) = 1)",
            ),
        );
        assert_eq!(Reach::of(&Policies::default()), Reach::nothing());
        let both = Reach {
            namespaces: names(&["bank", "shop"]),
            annotations: kept(&["a", "c/d"]),
        };
        assert_eq!(of(&[&shop, &bank]), both);
        let everywhere = with("", "proc.name = val(pod.annotation[f])");
        assert_eq!(
            of(&[&shop, &everywhere]),
            Reach {
                namespaces: None,
                annotations: kept(&["a", "f"]),
            }
        );
    }

    #[test]
    fn what_is_kept_covers_what_is_asked_for_or_not() {
        assert!(covers(&None, &kept(&["a"])) && covers(&kept(&["a", "b"]), &kept(&["a"])));
        assert!(!covers(&kept(&["a"]), &kept(&["a", "b"])) && !covers(&kept(&["a"]), &None));
        assert_eq!(union([&kept(&["a"]), &kept(&["b"])]), kept(&["a", "b"]));
        assert_eq!(union([&kept(&["a"]), &None]), None);
        assert_eq!(union([]), kept(&[]));
    }
}
