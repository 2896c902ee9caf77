//! `minAvailable`: what stays ready, where the status of pods lags behind the acts.

use super::*;

/// A delete of pod 1, one of `ready` pods 1, 2, 3… of 4 that are desired.
fn keeping(min: MinAvailable, ready: u32) -> Want {
    let siblings = Siblings {
        desired: 4,
        ready: (1..=ready).map(uid).collect(),
    };
    Want {
        available: Some((min, siblings)),
        ..delete(1)
    }
}

#[test]
fn the_pod_itself_is_subtracted_and_a_share_is_rounded_up() {
    let cases = [
        (MinAvailable::Pods(2), 3, true),
        (MinAvailable::Pods(3), 3, false),
        (MinAvailable::Percent(50), 3, true),
        (MinAvailable::Percent(51), 3, false),
        (MinAvailable::Percent(0), 1, true),
        (MinAvailable::Percent(100), 4, false),
    ];
    for (min, ready, passes) in cases {
        let result = keeping(min, ready).open(&mut Past::default(), at(0));
        let expected = (!passes).then_some((Guard::Availability, false));
        assert_eq!(stopped(&result), expected, "{min:?} of {ready}");
    }
}

#[test]
fn a_pod_that_is_not_ready_takes_nothing_away() {
    let unready = Want {
        pod: 9,
        alert: 9,
        ..keeping(MinAvailable::Pods(3), 3)
    };
    assert_eq!(stopped(&unready.open(&mut Past::default(), at(0))), None);
}

#[test]
fn pods_that_were_acted_on_are_subtracted_though_they_still_look_ready() {
    for (how, stops) in [
        (DONE, Some(false)),
        (Settlement::lost(true), Some(false)),
        (NOTHING, None),
    ] {
        let mut past = Past::default();
        delete(2).settled(&mut past, how, at(0));
        let result = keeping(MinAvailable::Pods(2), 3).open(&mut past, at(1));
        let expected = stops.map(|again| (Guard::Availability, again));
        assert_eq!(stopped(&result), expected, "{how:?}");
    }
}

#[test]
fn an_act_in_flight_stops_for_now_only() {
    let mut past = Past::default();
    let id = opened(&delete(2).open(&mut past, at(0)));
    let want = keeping(MinAvailable::Pods(2), 3);
    assert_eq!(
        stopped(&want.open(&mut past, at(1))),
        Some((Guard::Availability, true))
    );
    past.settle(id, NOTHING, at(2));
    assert_eq!(stopped(&want.open(&mut past, at(2))), None);
}

#[test]
fn labels_and_would_be_acts_take_nothing_away_from_a_real_one() {
    let mut past = Past::default();
    let label = Want {
        ends: None,
        ..delete(2)
    };
    label.settled(&mut past, DONE, at(0));
    let observed = Want {
        mode: Mode::Observe,
        ..delete(3)
    };
    observed.settled(&mut past, DONE, at(0));
    assert_eq!(
        stopped(&keeping(MinAvailable::Pods(2), 3).open(&mut past, at(1))),
        None
    );
}

#[test]
fn a_response_that_ends_nothing_needs_nobody_to_stay() {
    let label = Want {
        ends: None,
        ..keeping(MinAvailable::Pods(4), 1)
    };
    assert_eq!(stopped(&label.open(&mut Past::default(), at(0))), None);
}

/// Its request may come for a while, and not after that.
#[test]
fn a_pod_that_outlived_an_act_stays_once_nobody_looks_any_more() {
    let mut past = Past::default();
    let id = delete(2).settled(&mut past, Settlement::lost(true), at(0));
    past.seen_alive(&uid(2), past.present(at(1)), at(1));
    let keeping = || keeping(MinAvailable::Pods(2), 3);
    let waits = keeping().open(&mut past, at(2));
    assert_eq!(stopped(&waits), Some((Guard::Availability, true)));
    past.close(id, at(3));
    assert_eq!(stopped(&keeping().open(&mut past, at(4))), None);
}
