//! Limits: distinct pods in a window, by scope.

use super::*;

const SCOPES: [Scope; 5] = [
    Scope::Workload,
    Scope::Response,
    Scope::Namespace,
    Scope::Policy,
    Scope::Cluster,
];

fn owner(name: &str) -> Option<Owner> {
    Some(Owner {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
    })
}

fn of_one_owner(pod: u32, limit: Limit) -> Want {
    Want {
        owner: owner("db"),
        limits: vec![limit],
        ..delete(pod)
    }
}

#[test]
fn a_limit_counts_the_acts_of_its_window_and_no_older_ones() {
    for scope in SCOPES {
        let mut past = Past::default();
        let want = |pod| of_one_owner(pod, limit(scope, 2, 60));
        want(1).settled(&mut past, DONE, at(0));
        want(2).settled(&mut past, DONE, at(10));
        let breach = Some((Guard::Limit, false));
        assert_eq!(stopped(&want(3).open(&mut past, at(60))), breach, "{scope:?}");
        assert_eq!(stopped(&want(3).open(&mut past, at(61))), None, "{scope:?}");
    }
}

#[test]
fn a_scope_counts_its_own_acts_alone() {
    let other = |scope, mut want: Want| {
        match scope {
            Scope::Workload => want.owner = owner("web"),
            Scope::Response => want.response = "other",
            Scope::Policy => want.policy = "other",
            Scope::Namespace | Scope::Cluster => {}
        }
        want
    };
    for scope in SCOPES {
        let mut past = Past::default();
        other(scope, delete(1)).settled(&mut past, DONE, at(0));
        let result = of_one_owner(2, limit(scope, 1, 60)).open(&mut past, at(1));
        let everyones = matches!(scope, Scope::Namespace | Scope::Cluster);
        assert_eq!(stopped(&result).is_some(), everyones, "{scope:?}");
    }
}

#[test]
fn what_may_have_happened_counts_and_what_did_not_does_not() {
    let unknown = Settlement::lost(true);
    for (how, stops) in [(DONE, true), (unknown, true), (NOTHING, false)] {
        let mut past = Past::default();
        delete(1).settled(&mut past, how, at(0));
        let result = of_one_owner(2, limit(Scope::Cluster, 1, 60)).open(&mut past, at(1));
        assert_eq!(stopped(&result).is_some(), stops, "{how:?}");
    }
}

#[test]
fn an_act_in_flight_counts_but_only_for_now() {
    let mut past = Past::default();
    let act = opened(&delete(1).open(&mut past, at(0)));
    let second = of_one_owner(2, limit(Scope::Cluster, 1, 60));
    assert_eq!(
        stopped(&second.open(&mut past, at(1))),
        Some((Guard::Limit, true))
    );
    past.settle(act, NOTHING, at(2));
    assert_eq!(stopped(&second.open(&mut past, at(2))), None);
}

#[test]
fn several_acts_at_one_pod_are_one_pod() {
    let mut past = Past::default();
    for response in ["a", "b", "c"] {
        let label = Want {
            response,
            ends: None,
            ..delete(1)
        };
        label.settled(&mut past, DONE, at(0));
    }
    assert_eq!(
        stopped(&of_one_owner(2, limit(Scope::Cluster, 2, 60)).open(&mut past, at(1))),
        None
    );
}

#[test]
fn a_pod_never_counts_against_itself() {
    let mut past = Past::default();
    let again = Want {
        limits: vec![limit(Scope::Cluster, 1, 60)],
        ..delete(1)
    };
    again.settled(&mut past, Settlement::lost(true), at(0));
    assert_eq!(stopped(&again.open(&mut past, at(1))), None);
    let other = Want {
        pod: 2,
        alert: 2,
        ..again
    };
    assert_eq!(
        stopped(&other.open(&mut past, at(1))),
        Some((Guard::Limit, false))
    );
}

#[test]
fn observed_acts_count_among_themselves() {
    let mut past = Past::default();
    let observe = |pod| Want {
        mode: Mode::Observe,
        ..of_one_owner(pod, limit(Scope::Cluster, 1, 60))
    };
    observe(1).settled(&mut past, DONE, at(0));
    assert_eq!(
        stopped(&of_one_owner(2, limit(Scope::Cluster, 1, 60)).open(&mut past, at(1))),
        None
    );
    let Opened::Stopped(verdicts) = observe(3).open(&mut past, at(1)) else {
        panic!("the limit of observed acts does not hold")
    };
    let says = verdicts
        .iter()
        .find(|verdict| !verdict.passes())
        .map(|verdict| &verdict.says);
    let why = "cluster has had 1 pods in 60 s (would-be acts, whose pods live on: a lower bound)";
    assert_eq!(says, Some(&Says::Stop(why.to_owned())));
}

fn disarm(scope: Scope, max: u32) -> Limit {
    Limit {
        on_breach: OnBreach::Disarm,
        ..limit(scope, max, 60)
    }
}

#[test]
fn a_breach_disarms_its_own_scope_until_a_person_arms_it_again() {
    let mut past = Past::default();
    let disarming = |pod, name| Want {
        owner: owner(name),
        limits: vec![disarm(Scope::Workload, 1)],
        ..delete(pod)
    };
    disarming(1, "db").settled(&mut past, DONE, at(0));
    assert_eq!(past.disarmed().count(), 0);
    assert_eq!(
        stopped(&disarming(2, "db").open(&mut past, at(1))),
        Some((Guard::Disarmed, false))
    );
    let disarmed: Vec<_> = past.disarmed().map(|(key, since)| (key.clone(), since)).collect();
    let [(key, since)] = disarmed.as_slice() else {
        panic!("{disarmed:?}")
    };
    assert_eq!(
        (key.to_string().as_str(), *since),
        ("workload shop/Deployment/db", at(1))
    );

    let mode = |opened| match opened {
        Opened::Open { mode, verdicts, .. } => {
            let noted = verdicts.iter().any(|verdict| verdict.guard == Guard::Disarmed);
            assert_eq!(
                noted,
                mode == Mode::Observe,
                "the record says why it only observes"
            );
            mode
        }
        Opened::Done(_) | Opened::Stopped(_) => panic!("{opened:?}"),
    };
    assert_eq!(mode(disarming(3, "db").open(&mut past, at(100))), Mode::Observe);
    assert_eq!(mode(disarming(4, "web").open(&mut past, at(100))), Mode::Enforce);
    assert!(past.rearm(key));
    assert!(!past.rearm(key));
    assert_eq!(mode(disarming(5, "db").open(&mut past, at(100))), Mode::Enforce);
}

#[test]
fn a_limit_that_skips_disarms_nothing() {
    let mut past = Past::default();
    let want = |pod| of_one_owner(pod, limit(Scope::Workload, 1, 60));
    want(1).settled(&mut past, DONE, at(0));
    assert!(stopped(&want(2).open(&mut past, at(1))).is_some());
    assert_eq!(past.disarmed().count(), 0);
}

#[test]
fn an_act_that_another_limit_stops_too_disarms_nothing() {
    let mut past = Past::default();
    let want = |pod, name, workload| Want {
        owner: owner(name),
        limits: vec![limit(Scope::Workload, workload, 60), disarm(Scope::Cluster, 1)],
        ..delete(pod)
    };
    want(1, "db", 1).settled(&mut past, DONE, at(0));
    let noisy = stopped(&want(2, "db", 1).open(&mut past, at(1)));
    assert_eq!((noisy, past.disarmed().count()), (Some((Guard::Limit, false)), 0));
    let other = stopped(&want(3, "web", 1).open(&mut past, at(2)));
    assert_eq!(
        (other, past.disarmed().count()),
        (Some((Guard::Disarmed, false)), 1)
    );

    // Of several that disarm each does.
    let mut past = Past::default();
    let both = |pod| Want {
        limits: vec![disarm(Scope::Namespace, 1), disarm(Scope::Cluster, 1)],
        ..delete(pod)
    };
    both(1).settled(&mut past, DONE, at(0));
    assert!(stopped(&both(2).open(&mut past, at(1))).is_some());
    assert_eq!(past.disarmed().count(), 2);
}

#[test]
fn a_limit_that_waits_for_acts_in_flight_disarms_nothing() {
    let mut past = Past::default();
    let want = |pod| Want {
        limits: vec![disarm(Scope::Cluster, 1)],
        ..delete(pod)
    };
    let first = want(1).open(&mut past, at(0));
    let waits = Some((Guard::Limit, true));
    assert_eq!(stopped(&want(2).open(&mut past, at(1))), waits);
    let Opened::Open { id, .. } = first else {
        panic!("{first:?}")
    };
    past.settle(id, NOTHING, at(2));
    let Opened::Open { mode, .. } = want(2).open(&mut past, at(3)) else {
        panic!("there is room")
    };
    assert_eq!(mode, Mode::Enforce);
}
