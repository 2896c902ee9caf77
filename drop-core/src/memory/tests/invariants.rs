//! What holds in every cluster, whatever happens to it.

use std::collections::{BTreeMap, BTreeSet};

use falco_event::PodUid;
use proptest::prelude::*;

use super::*;
use crate::memory::strategy::{Step, cluster, step};
use crate::memory::{Actor, Entry, Happened, PodObject};
use crate::ports::By;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..60)
}

type Checked = Result<(), TestCaseError>;

/// One pod of a name at a time, no UID twice, nothing happens to a pod before or after its life.
fn lives_are_whole(history: &[Entry]) -> Checked {
    let mut named = BTreeMap::new();
    let mut born: BTreeSet<PodUid> = BTreeSet::new();
    for entry in history {
        let place = (entry.pod.namespace.clone(), entry.pod.name.clone());
        if entry.what == Happened::Created {
            prop_assert!(born.insert(entry.pod.uid.clone()), "a UID comes back: {entry:?}");
            prop_assert_eq!(
                named.insert(place, entry.pod.uid.clone()),
                None,
                "a name is taken: {:?}",
                entry
            );
        } else if entry.what == Happened::Removed {
            prop_assert_eq!(named.remove(&place), Some(entry.pod.uid.clone()), "{:?}", entry);
        } else {
            prop_assert_eq!(named.get(&place), Some(&entry.pod.uid), "{:?}", entry);
        }
    }
    Ok(())
}

/// A pod goes only after its deletion was asked for, and a grace only becomes shorter.
fn deletions_are_asked_for(history: &[Entry]) -> Checked {
    let mut graces: BTreeMap<&PodUid, u32> = BTreeMap::new();
    for entry in history {
        if let Happened::DeletionRequested { grace_seconds } = entry.what {
            prop_assert_eq!(graces.insert(&entry.pod.uid, grace_seconds), None, "{:?}", entry);
        }
        if let Happened::DeletionShortened { grace_seconds } = entry.what {
            let before = graces.insert(&entry.pod.uid, grace_seconds);
            prop_assert!(
                before.is_some_and(|before| grace_seconds < before),
                "{entry:?} after {before:?}"
            );
        }
        if entry.what == Happened::Removed {
            prop_assert_eq!(graces.remove(&entry.pod.uid), Some(0), "{:?}", entry);
        }
    }
    Ok(())
}

fn time_and_revisions_rise(history: &[Entry]) -> Checked {
    for pair in history.windows(2) {
        prop_assert!(pair[0].at <= pair[1].at, "{pair:?}");
        prop_assert!(pair[0].revision < pair[1].revision, "{pair:?}");
    }
    Ok(())
}

/// What of a pod never changes, and what changes in one direction only.
fn pods_only_age(before: &[PodObject], after: &[PodObject]) -> Checked {
    for old in before {
        let Some(new) = after.iter().find(|new| new.pod.uid == old.pod.uid) else {
            continue;
        };
        prop_assert_eq!(&new.pod.name, &old.pod.name);
        prop_assert_eq!(&new.pod.node, &old.pod.node);
        prop_assert_eq!(new.pod.created, old.pod.created);
        prop_assert!(new.revision >= old.revision);
        prop_assert!(
            new.revision > old.revision || new == old,
            "a change without a revision: {old:?} {new:?}"
        );
        if let Some(deletion) = old.pod.deletion {
            let now = new
                .pod
                .deletion
                .map(|now| (now.at <= deletion.at, now.grace_seconds <= deletion.grace_seconds));
            prop_assert_eq!(now, Some((true, true)), "{:?} {:?}", old, new);
        }
        prop_assert!(
            !old.pod.phase.is_finished() || new.pod.phase == old.pod.phase,
            "{old:?} {new:?}"
        );
    }
    Ok(())
}

fn every_pod_is_found(cluster: &Cluster) -> Checked {
    for pod in cluster.pods() {
        let by_name = By::Name(pod.namespace.clone(), pod.name.clone());
        let marks = pod
            .containers
            .iter()
            .map(|container| By::container(container.id.clone()));
        for by in marks.chain([By::Uid(pod.uid.clone()), by_name]) {
            cluster.heal();
            prop_assert_eq!(
                block_on(cluster.find(&by)),
                Ok(found(vec![pod.clone()])),
                "{:?}",
                by
            );
        }
    }
    Ok(())
}

/// After enough time nothing is left to do: controllers have what they want, and only finalizers keep pods.
fn everything_comes_to_rest(cluster: &Cluster) -> Checked {
    cluster.advance(secs(1_000_000));
    prop_assert_eq!(cluster.next_event(), None);
    let objects = cluster.pod_objects();
    for object in &objects {
        let kept = !object.finalizers.is_empty();
        prop_assert!(
            object.pod.deletion.is_none() || kept,
            "a pod does not go: {object:?}"
        );
    }
    for controller in cluster.controllers() {
        let owned = objects
            .iter()
            .filter(|object| object.pod.controller.as_ref() == Some(&controller.this));
        // A DaemonSet does nothing about a pod that it adopted and that no node has taken.
        let counted = |object: &&PodObject| object.pod.node.is_some() || controller.this.kind != "DaemonSet";
        let active = owned
            .filter(counted)
            .filter(|object| object.pod.deletion.is_none() && !object.pod.phase.is_finished())
            .count();
        if controller.this.kind == "ReplicaSet" {
            prop_assert_eq!(active, controller.replicas as usize, "{:?}", controller);
        } else {
            prop_assert!(active <= controller.replicas as usize, "{controller:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn invariants_hold(cluster in cluster(), steps in steps()) {
        let mut asked = BTreeSet::new();
        let mut before = cluster.pod_objects();
        for step in &steps {
            asked.extend(step.run(&cluster));
            let after = cluster.pod_objects();
            pods_only_age(&before, &after)?;
            before = after;
        }
        every_pod_is_found(&cluster)?;
        everything_comes_to_rest(&cluster)?;
        let history = cluster.history();
        lives_are_whole(&history)?;
        deletions_are_asked_for(&history)?;
        time_and_revisions_rise(&history)?;
        for entry in history.iter().filter(|entry| entry.by == Actor::PodApi) {
            let spent = matches!(entry.what, Happened::Disrupted { .. });
            prop_assert!(spent || asked.contains(&entry.pod), "PodApi changed what nobody asked for: {entry:?}");
        }
    }

    /// Advancing in one go or in many steps is the same.
    #[test]
    fn time_can_be_cut(first in step(), cluster in cluster(), cuts in prop::collection::vec(0..5_000_u64, 0..20)) {
        let twin = cluster.fork();
        first.run(&cluster);
        first.run(&twin);
        for cut in &cuts {
            cluster.advance(Duration::from_millis(*cut));
        }
        twin.advance(Duration::from_millis(cuts.iter().sum()));
        prop_assert_eq!(cluster.history(), twin.history());
        prop_assert_eq!(cluster.pod_objects(), twin.pod_objects());
    }
}
