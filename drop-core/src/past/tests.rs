//! What the past remembers of an act that nobody could tell of.

use std::time::Duration;

use super::endings::LOOK_AGAIN;
use super::*;
use crate::ports::Target;

/// A past with one act, which was given up, and its pod seen alive after that.
fn refuted(mode: Mode) -> (Past, ActId, PodUid) {
    let mut past = Past::default();
    let (alert, within) = (format!("{:032x}", 1).parse().unwrap(), Duration::from_secs(20));
    let Claimed::Yours(claim) = past.claim(alert, within, Mono(0)) else {
        panic!("the alert is new")
    };
    let uid: PodUid = "u-1".parse().unwrap();
    let opening = Opening {
        claim,
        policy: "p",
        response: "r",
        target: &Target::new("shop".parse().unwrap(), "web".parse().unwrap(), uid.clone()),
        owner: None,
        mode,
        ends: Some(1),
        edits: false,
        limits: Vec::new(),
        available: None,
        alive: true,
        within,
        keep: Duration::from_secs(60),
    };
    let Opened::Open { id, .. } = past.open(&opening, Mono(0)) else {
        panic!("nothing is against it")
    };
    past.give_up(id, Mono(1));
    past.seen_alive(&uid, past.present(Mono(1)), Mono(2));
    assert!(past.act(id).unwrap().refuted);
    (past, id, uid)
}

/// A read may be older than it seems.
#[test]
fn what_the_engine_itself_says_of_an_act_is_more_than_what_was_read() {
    let (mut past, id, _) = refuted(Mode::Enforce);
    let how = Settlement {
        changed: Settled::Happened,
        ended: Settled::Happened,
        complete: true,
    };
    past.settle(id, how, Mono(3));
    assert!(!past.act(id).unwrap().refuted);
    past.settle(id, Settlement::lost(true), Mono(4));
    assert_eq!(past.act(id).unwrap().ended(Mono(4)), Some(Settled::Happened));
}

#[test]
fn an_act_in_doubt_is_owed_a_proof_again() {
    let (mut past, id, _) = refuted(Mode::Enforce);
    past.close(id, Mono(3));
    assert_eq!(past.obligations().count(), 0);
    assert!(past.doubt(id, Mono(4)));
    assert_eq!(past.obligations().count(), 1);
    past.close(id, Mono(5));
    past.forget(Mono(5).plus(Duration::from_secs(61)));
    assert!(past.is_empty());
    assert!(past.forgettable.is_empty());
}

#[test]
fn an_act_that_has_not_ended_its_pod_rests_before_anyone_looks_again() {
    let (mut past, id, uid) = refuted(Mode::Enforce);
    let later = Mono(2).plus(LOOK_AGAIN);
    assert!(past.to_look_at(Mono(later.0 - 1)).is_empty());
    assert_eq!(past.to_look_at(later).len(), 1);
    past.seen_alive(&uid, past.present(later), later);
    assert!(
        past.to_look_at(later.plus(LOOK_AGAIN / 2)).is_empty(),
        "it rests again"
    );
    assert!(past.doubt(id, later));
    assert_eq!(past.to_look_at(later).len(), 1, "its pod was seen to go");
}

/// Nothing was to be ended, so nothing came late.
#[test]
fn an_act_that_only_observes_is_never_in_doubt() {
    let (mut past, id, _) = refuted(Mode::Observe);
    assert!(!past.doubt(id, Mono(3)));
    assert_eq!(past.obligations().count(), 0);
}
