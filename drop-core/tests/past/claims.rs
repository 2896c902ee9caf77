//! Claims: one delivery of an alert at a time, and a dead one is taken over.

use super::*;

#[test]
fn a_claim_holds_until_its_time_is_over() {
    let mut past = Past::default();
    let first = delete(1).claim(&mut past, at(0));
    assert_eq!(past.claim(alert(1), CLAIM, Mono(at(60).0 - 1)), Claimed::InFlight);
    let second = delete(1).claim(&mut past, at(60));
    assert!(!past.release(first, true), "the second delivery has taken over");
    assert!(past.release(second, true));
}

#[test]
fn nobody_takes_over_while_an_act_is_in_flight() {
    let mut past = Past::default();
    let claim = delete(1).claim(&mut past, at(0));
    opened(&delete(1).open_under(&mut past, claim, at(50)));
    assert_eq!(past.claim(alert(1), CLAIM, at(61)), Claimed::InFlight);
    delete(1).claim(&mut past, at(70));
}

#[test]
fn a_delivery_that_was_taken_over_opens_nothing() {
    let mut past = Past::default();
    let dead = delete(1).claim(&mut past, at(0));
    delete(1).claim(&mut past, at(60));
    let result = delete(1).open_under(&mut past, dead, at(61));
    assert_eq!(stopped(&result), Some((Guard::ActInFlight, true)));
    assert!(past.is_empty());
}

#[test]
fn a_handled_alert_is_a_duplicate_and_one_that_was_let_go_is_not() {
    let mut past = Past::default();
    for handled in [false, true] {
        let claim = delete(1).claim(&mut past, at(0));
        assert!(past.release(claim, handled));
        assert_eq!(past.is_handled(alert(1)), handled);
    }
    assert_eq!(past.claim(alert(1), CLAIM, at(1)), Claimed::Handled);
}
