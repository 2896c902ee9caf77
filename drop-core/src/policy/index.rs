//! Finds responses by the rule of an alert.

use std::collections::HashMap;

use super::model::Policy;

/// The place of a response: its policy's and its own.
type Place = (usize, usize);

/// Which responses can be true of which rule's alerts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// Those that name rules, by each rule they name, in the order of the documents.
    named: HashMap<String, Vec<Place>>,
    /// Those that can be true of any rule's.
    any: Vec<Place>,
}

impl Index {
    pub(crate) fn of(policies: &[Policy]) -> Self {
        let mut index = Self::default();
        for (i, policy) in policies.iter().enumerate() {
            for (j, response) in policy.responses.iter().enumerate() {
                match response.when.rules() {
                    Some(rules) => rules
                        .iter()
                        .for_each(|rule| index.named.entry(rule.clone()).or_default().push((i, j))),
                    None => index.any.push((i, j)),
                }
            }
        }
        index
    }

    /// Two sorted lists, merged as they are read.
    pub(crate) fn find<'a>(&'a self, rule: &str) -> impl Iterator<Item = Place> + use<'a> {
        let mut named = self
            .named
            .get(rule)
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .peekable();
        let mut any = self.any.iter().peekable();
        std::iter::from_fn(move || match (named.peek(), any.peek()) {
            (Some(a), Some(b)) if a < b => named.next().copied(),
            (Some(_), None) => named.next().copied(),
            _ => any.next().copied(),
        })
    }
}
