//! Several acts at one pod, several tries of one alert.

use super::*;

#[test]
fn a_second_act_waits_for_the_first_and_then_finds_it_done() {
    let mut past = Past::default();
    let first = opened(&delete(1).open(&mut past, at(0)));
    let second = Want {
        alert: 2,
        ..delete(1)
    };
    assert_eq!(
        stopped(&second.open(&mut past, at(1))),
        Some((Guard::ActInFlight, true))
    );
    past.settle(first, DONE, at(2));
    assert_eq!(
        stopped(&second.open(&mut past, at(2))),
        Some((Guard::ActInFlight, false))
    );
}

#[test]
fn a_shorter_grace_ends_sooner_and_may_act_again() {
    for (grace, passes) in [(0, true), (1, false), (2, false)] {
        let mut past = Past::default();
        delete(1).settled(&mut past, DONE, at(0));
        let second = Want {
            alert: 2,
            ends: Some(grace),
            ..delete(1)
        };
        assert_eq!(
            stopped(&second.open(&mut past, at(1))).is_none(),
            passes,
            "{grace}"
        );
    }
}

#[test]
fn an_engine_that_died_holds_a_pod_until_it_would_have_settled() {
    let mut past = Past::default();
    opened(&delete(1).open(&mut past, at(0)));
    let second = Want {
        alert: 2,
        ..delete(1)
    };
    assert!(stopped(&second.open(&mut past, Mono(at(20).0 - 1))).is_some());
    assert_eq!(stopped(&second.open(&mut past, at(20))), None);
}

#[test]
fn another_try_finds_what_its_own_alert_has_done_by_the_same_response() {
    let mut past = Past::default();
    let act = delete(1).settled(&mut past, DONE, at(0));
    assert_eq!(delete(1).open(&mut past, at(1)), Opened::Done(act));
    let others = [
        Want {
            response: "other",
            ends: None,
            ..delete(1)
        },
        Want {
            policy: "other",
            ends: None,
            ..delete(1)
        },
        Want {
            mode: Mode::Observe,
            ..delete(1)
        },
        Want {
            alert: 2,
            pod: 2,
            ..delete(1)
        },
    ];
    for other in others {
        other.settled(&mut past, NOTHING, at(1));
    }
}

#[test]
fn what_did_not_come_to_its_end_is_tried_again() {
    for how in [Settlement::lost(true), NOTHING] {
        let mut past = Past::default();
        delete(1).settled(&mut past, how, at(0));
        assert!(
            matches!(delete(1).open(&mut past, at(1)), Opened::Open { .. }),
            "{how:?}"
        );
    }
}

#[test]
fn a_read_refutes_what_was_unknown_before_it_and_nothing_later() {
    for (claimed_first, refuted) in [(true, false), (false, true)] {
        let mut past = Past::default();
        let second = Want {
            alert: 2,
            alive: true,
            ends: None,
            ..delete(1)
        };
        let early = claimed_first.then(|| second.claim(&mut past, at(0)));
        let act = delete(1).settled(&mut past, Settlement::lost(true), at(0));
        let claim = early.unwrap_or_else(|| second.claim(&mut past, at(0)));
        second.open_under(&mut past, claim, at(1));
        assert_eq!(past.act(act).map(|act| act.refuted), Some(refuted));
    }
}

#[test]
fn a_read_does_not_refute_what_happened() {
    let mut past = Past::default();
    let act = delete(1).settled(&mut past, DONE, at(0));
    let since = past.present(at(1));
    past.seen_alive(&uid(1), since, at(1));
    assert_eq!(
        past.act(act).map(|act| (act.refuted, act.closed)),
        Some((false, false))
    );
}

#[test]
fn an_act_whose_engine_died_is_refuted_by_a_read_that_began_after_it_was_due() {
    for (began, refuted) in [(19, false), (20, true)] {
        let mut past = Past::default();
        let act = opened(&delete(1).open(&mut past, at(0)));
        let since = past.present(at(began));
        past.seen_alive(&uid(1), since, at(30));
        assert_eq!(past.act(act).map(|act| act.refuted), Some(refuted), "{began} s");
    }
}

#[test]
fn a_would_be_act_whose_engine_died_owes_no_proof_whatever_becomes_of_the_pod() {
    for (mode, owed) in [(Mode::Observe, 0), (Mode::Enforce, 1)] {
        let mut past = Past::default();
        let want = Want { mode, ..delete(1) };
        let act = opened(&want.open(&mut past, at(0)));
        let since = past.present(at(20));
        past.seen_alive(&uid(1), since, at(21));
        assert_eq!(past.doubt(act, at(22)), owed == 1);
        assert_eq!(past.to_look_at(at(100)).len(), owed, "{mode:?}");
    }
}
