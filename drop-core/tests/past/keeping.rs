//! How long acts are kept, and how many.

use drop_core::past::{MAX_ACTS, MAX_ACTS_AT_POD, MAX_ALERTS};

use super::*;

const LABELLED: Settlement = Settlement {
    ended: Settled::DidNot,
    ..DONE
};

#[test]
fn a_closed_act_is_kept_for_its_windows_and_then_forgotten() {
    let mut past = Past::default();
    assert!(past.is_empty());
    let act = delete(1).settled(&mut past, DONE, at(0));
    past.close(act, at(10));
    past.close(act, at(100)); // the first time counts
    for (now, kept) in [(310, 2), (311, 2)] {
        // Opening is what forgets: act 1 is still there when its time has just come, and gone after it.
        opened(&delete(now).open(&mut past, at(u64::from(now))));
        assert_eq!(past.len(), kept, "{now} s");
    }
    assert!(past.act(act).is_none());
    assert_eq!(past.acts_at(&uid(1)).count(), 0);
    assert_eq!(past.acts_for(alert(1)).count(), 0);
    assert!(!past.is_empty());
}

#[test]
fn an_open_act_is_never_forgotten() {
    let mut past = Past::default();
    let act = delete(1).settled(&mut past, DONE, at(0));
    opened(&delete(2).open(&mut past, at(100_000)));
    assert!(past.act(act).is_some());
    assert_eq!(past.obligations().next().map(|act| act.id), Some(act));
}

#[test]
fn an_act_that_did_nothing_is_forgotten_at_once() {
    let mut past = Past::default();
    let act = delete(1).settled(&mut past, NOTHING, at(0));
    assert!(past.act(act).is_none());
    assert!(past.is_empty());
}

#[test]
fn the_first_settlement_stands() {
    let mut past = Past::default();
    let act = delete(1).settled(&mut past, DONE, at(0));
    past.settle(act, NOTHING, at(1));
    assert_eq!(past.act(act).and_then(|act| act.settled), Some((DONE, at(0))));
}

#[test]
fn one_response_keeps_its_newest_closed_acts_at_a_pod_and_takes_none_of_others() {
    let mut past = Past::default();
    let label = |alert, response, mode| Want {
        alert,
        response,
        mode,
        ends: None,
        ..delete(1)
    };
    let others = [
        label(101, "other", Mode::Enforce).settled(&mut past, LABELLED, at(0)),
        label(102, "r", Mode::Observe).settled(&mut past, LABELLED, at(0)),
    ];
    let first = label(1, "r", Mode::Enforce).settled(&mut past, LABELLED, at(0));
    let many = u32::try_from(MAX_ACTS_AT_POD).unwrap() + 1;
    for number in 2..=many {
        label(number, "r", Mode::Enforce).settled(&mut past, LABELLED, at(0));
    }
    assert!(past.act(first).is_some());
    label(many + 1, "r", Mode::Enforce).settled(&mut past, DONE, at(0));
    assert!(past.act(first).is_none());
    assert!(others.iter().all(|id| past.act(*id).is_some()));
}

#[test]
fn a_memory_without_room_stops_acts_and_says_so() {
    let mut past = Past::default();
    let most = u32::try_from(MAX_ACTS).unwrap();
    for pod in 0..most {
        delete(pod).settled(&mut past, DONE, at(0));
    }
    assert_eq!(
        stopped(&delete(most).open(&mut past, at(1))),
        Some((Guard::Memory, true))
    );
}

#[test]
fn the_oldest_handled_alert_is_forgotten_first() {
    let mut past = Past::default();
    let most = u32::try_from(MAX_ALERTS).unwrap();
    let handle = |past: &mut Past, number| {
        let claim = delete(number).claim(past, at(0));
        assert!(past.release(claim, true));
    };
    (0..most).for_each(|number| handle(&mut past, number));
    assert!(past.is_handled(alert(0)));
    handle(&mut past, most);
    assert!(!past.is_handled(alert(0)));
    assert!(past.is_handled(alert(1)));
    assert!(past.is_handled(alert(most)));
}
