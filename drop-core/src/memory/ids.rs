//! Names and ids that a cluster gives: the same seed gives the same ones, and none is given twice.

use std::str::FromStr;

use falco_event::{ContainerId, PodName, PodUid};

/// What Kubernetes makes random suffixes of: no vowels and no digits that look like one, so that no word appears.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name that controllers add a suffix to is cut to this length first (`maxGeneratedNameLength` of the API server).
const MAX_GENERATED_BASE: usize = 58;

const LOW_48_BITS: u64 = (1 << 48) - 1;

/// A generator of ids.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    state: u64,
    given: u64,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            given: 0,
        }
    }

    /// `SplitMix64`: small, and good enough for names.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 48 bits that were never given before: counting, times an odd number, visits each value once.
    fn unique(&mut self) -> u64 {
        self.given = self.given.wrapping_add(1);
        self.given.wrapping_mul(0x9e37_79b9_7f4b) & LOW_48_BITS
    }

    /// A random UUID, as `metadata.uid` of any object.
    pub(super) fn uid(&mut self) -> String {
        let (random, unique) = (self.random(), self.unique());
        let (first, second, third) = (random >> 32, (random >> 16) & 0xffff, (random >> 4) & 0xfff);
        format!(
            "{first:08x}-{second:04x}-4{third:03x}-a{:03x}-{unique:012x}",
            random & 0xfff
        )
    }

    pub(super) fn pod_uid(&mut self) -> PodUid {
        valid(&self.uid())
    }

    /// 64 hexadecimal digits, of which the first 12 are already unique.
    pub(super) fn container(&mut self) -> ContainerId {
        let unique = self.unique();
        let (a, b, c, d) = (
            self.random(),
            self.random(),
            self.random(),
            self.random() & 0xffff,
        );
        valid(&format!("{unique:012x}{a:016x}{b:016x}{c:016x}{d:04x}"))
    }

    /// The five characters after the last dash.
    pub(super) fn suffix(&mut self) -> String {
        self.letters(5)
    }

    /// The hash of a pod template, as in a ReplicaSet's name.
    pub(super) fn template_hash(&mut self) -> String {
        self.letters(10)
    }

    fn letters(&mut self, count: usize) -> String {
        let mut random = self.random();
        let letter = |_| {
            let index = usize::try_from(random % 27).unwrap_or_default();
            random /= 27;
            ALPHABET.get(index).map_or('b', |&byte| char::from(byte))
        };
        (0..count).map(letter).collect()
    }
}

/// `base-suffix`, with the base cut where Kubernetes cuts it.
pub(super) fn generated(base: &PodName, suffix: &str) -> PodName {
    join(base.as_str(), suffix, MAX_GENERATED_BASE - 1)
}

/// `base-suffix`, cut only where the whole would be too long for a name.
pub(super) fn joined(base: &PodName, suffix: &str) -> PodName {
    join(base.as_str(), suffix, 252_usize.saturating_sub(suffix.len()))
}

fn join(base: &str, suffix: &str, keep: usize) -> PodName {
    let kept: String = base.chars().take(keep).collect();
    valid(&format!("{}-{suffix}", kept.trim_end_matches(['-', '.'])))
}

#[expect(
    clippy::expect_used,
    reason = "every caller builds the text out of what the name allows; a property test holds it"
)]
fn valid<T: FromStr<Err = falco_event::NameError>>(text: &str) -> T {
    text.parse().expect("a generated name is valid")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_repeatable_and_never_repeat() {
        let (mut one, mut two) = (Ids::new(7), Ids::new(7));
        let first: Vec<_> = (0..1000).map(|_| one.pod_uid()).collect();
        let again: Vec<_> = (0..1000).map(|_| two.pod_uid()).collect();
        assert_eq!(first, again);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 1000);
        assert_ne!(Ids::new(8).pod_uid(), first[0]);
    }

    #[test]
    fn container_ids_differ_in_what_falco_shows_of_them() {
        let mut ids = Ids::new(0);
        let short: BTreeSet<String> = (0..1000).map(|_| ids.container().short().to_owned()).collect();
        assert_eq!(short.len(), 1000);
    }

    #[test]
    fn suffixes_use_the_alphabet_of_kubernetes() {
        let mut ids = Ids::new(3);
        let suffix = ids.suffix();
        assert_eq!(suffix.len(), 5);
        assert!(suffix.bytes().all(|byte| ALPHABET.contains(&byte)), "{suffix}");
        assert_eq!(ids.template_hash().len(), 10);
    }

    proptest! {
        #[test]
        fn any_base_gives_a_valid_name(base in "[a-z0-9]{1,60}([-.][a-z0-9]{1,60}){0,3}", ordinal in any::<u32>()) {
            let base: PodName = base.parse().unwrap();
            prop_assert!(generated(&base, "bcdfg").as_str().len() <= 63);
            let end = format!("-{ordinal}");
            prop_assert!(joined(&base, &ordinal.to_string()).as_str().ends_with(&end));
        }
    }
}
