//! What the past costs in memory, as its documentation says.
#![cfg(test)]

use std::num::NonZeroU32;
use std::time::Duration;

use allocation_counter::measure;
use drop_core::past::{Claimed, Opened, Opening, Past, Settled, Settlement};
use drop_core::pod::Owner;
use drop_core::policy::{Limit, Mode, OnBreach, Scope};
use drop_core::ports::{Mono, Target};
use falco_event::AlertId;

/// As many as a hash table that has just grown holds, where an entry costs the most.
const MANY: u32 = 7 * (1 << 10) + 1;

const LIMITS: [Limit; 2] = [limit(Scope::Workload), limit(Scope::Policy)];

const fn limit(scope: Scope) -> Limit {
    Limit {
        scope,
        max: NonZeroU32::MAX,
        per: Duration::from_secs(600),
        on_breach: OnBreach::Skip,
    }
}

fn id(number: u32) -> AlertId {
    format!("{number:032x}").parse().unwrap()
}

fn target(number: u32) -> Target {
    let uid = format!("00000000-0000-4000-8000-{number:012x}");
    let name = format!("web-6d4cf56db6-{number:05x}");
    Target::new(
        "shop".parse().unwrap(),
        name.parse().unwrap(),
        uid.parse().unwrap(),
    )
}

/// An alert, handled, whose response deleted a pod of its own workload.
fn act(past: &mut Past, number: u32) {
    let now = Mono(u64::from(number));
    let Claimed::Yours(claim) = past.claim(id(number), Duration::from_secs(60), now) else {
        panic!("the alert is new")
    };
    let owner = Owner {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: format!("web-{number:05x}"),
        uid: "o".to_owned(),
    };
    let opening = Opening {
        claim,
        policy: "shells",
        response: "shell-in-container",
        target: &target(number),
        owner: Some(&owner),
        mode: Mode::Enforce,
        ends: Some(1),
        edits: false,
        limits: LIMITS.to_vec(),
        available: None,
        alive: true,
        within: Duration::from_secs(20),
        keep: Duration::from_secs(3_600),
    };
    let Opened::Open { id, .. } = past.open(&opening, now) else {
        panic!("nothing is against it")
    };
    let how = Settlement {
        changed: Settled::Happened,
        ended: Settled::Happened,
        complete: true,
    };
    past.settle(id, how, now);
    past.close(id, now);
}

fn alert(past: &mut Past, number: u32) {
    let Claimed::Yours(claim) = past.claim(id(number), Duration::from_secs(60), Mono(0)) else {
        panic!("the alert is new")
    };
    past.release(claim, true);
}

/// Bytes for each of many.
fn cost(of: impl Fn(&mut Past, u32)) -> i64 {
    let mut past = Past::default();
    let held = measure(|| (0..MANY).for_each(|number| of(&mut past, number)));
    drop(past);
    held.bytes_current / i64::from(MANY)
}

#[test]
fn an_entry_of_the_past_costs_what_is_said() {
    let (act, alert) = (cost(act), cost(alert));
    println!("{act} bytes an act, {alert} bytes an alert");
    assert!(act <= 2_048, "{act} bytes an act");
    assert!(alert <= 64, "{alert} bytes an alert");
}
