//! The past as plain data: what opening an act is told, step by step, without a cluster and without an engine.
#![cfg(test)]

mod availability;
mod claims;
mod keeping;
mod limits;
mod pods;

use std::num::NonZeroU32;
use std::time::Duration;

use drop_core::facts::Siblings;
use drop_core::guard::{Guard, Says, Verdict};
use drop_core::past::{ActId, Claim, Claimed, Opened, Opening, Past, Settled, Settlement};
use drop_core::pod::Owner;
use drop_core::policy::{Limit, MinAvailable, Mode, OnBreach, Scope};
use drop_core::ports::{Mono, Target};
use falco_event::{Alert, AlertId, Namespace, PodName, PodUid};

const DONE: Settlement = Settlement {
    changed: Settled::Happened,
    ended: Settled::Happened,
    complete: true,
};
const NOTHING: Settlement = Settlement {
    changed: Settled::DidNot,
    ended: Settled::DidNot,
    complete: false,
};
const CLAIM: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

fn uid(pod: u32) -> PodUid {
    PodUid::try_from(format!("00000000-0000-4000-8000-{pod:012}").as_str()).unwrap()
}

fn target(pod: u32) -> Target {
    let namespace = Namespace::try_from("shop").unwrap();
    Target::new(
        namespace,
        PodName::try_from(format!("db-{pod}").as_str()).unwrap(),
        uid(pod),
    )
}

/// The id of the alert with this number.
fn alert(number: u32) -> AlertId {
    let text = format!(
        r#"{{"rule":"r{number}","priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{{}}}}"#
    );
    Alert::from_slice(text.as_bytes()).unwrap().id()
}

fn limit(scope: Scope, max: u32, seconds: u64) -> Limit {
    Limit {
        scope,
        max: NonZeroU32::new(max).unwrap(),
        per: Duration::from_secs(seconds),
        on_breach: OnBreach::Skip,
    }
}

/// What one response wants to do to one pod; the fields are those that the tests vary.
#[derive(Clone)]
struct Want {
    alert: u32,
    pod: u32,
    policy: &'static str,
    response: &'static str,
    owner: Option<Owner>,
    mode: Mode,
    ends: Option<u32>,
    limits: Vec<Limit>,
    available: Option<(MinAvailable, Siblings)>,
    alive: bool,
}

/// A delete of the pod with grace 1, for the alert of the same number.
fn delete(pod: u32) -> Want {
    Want {
        alert: pod,
        pod,
        policy: "p",
        response: "r",
        owner: None,
        mode: Mode::Enforce,
        ends: Some(1),
        limits: Vec::new(),
        available: None,
        alive: false,
    }
}

impl Want {
    fn claim(&self, past: &mut Past, now: Mono) -> Claim {
        let Claimed::Yours(claim) = past.claim(alert(self.alert), CLAIM, now) else {
            panic!("alert {} is not free", self.alert)
        };
        claim
    }

    fn open_under(&self, past: &mut Past, claim: Claim, now: Mono) -> Opened {
        let target = target(self.pod);
        let opening = Opening {
            claim,
            policy: self.policy,
            response: self.response,
            target: &target,
            owner: self.owner.as_ref(),
            mode: self.mode,
            ends: self.ends,
            edits: false,
            limits: self.limits.clone(),
            available: self.available.as_ref().map(|(min, siblings)| (*min, siblings)),
            alive: self.alive,
            within: Duration::from_secs(20),
            keep: Duration::from_secs(300),
        };
        past.open(&opening, now)
    }

    /// Claims the alert, opens the act and lets the alert go, as a delivery does that is to be sent again.
    fn open(&self, past: &mut Past, now: Mono) -> Opened {
        let claim = self.claim(past, now);
        let opened = self.open_under(past, claim, now);
        assert!(past.release(claim, false));
        opened
    }

    /// Opens the act, which nothing stands against, and settles it at once.
    fn settled(&self, past: &mut Past, how: Settlement, now: Mono) -> ActId {
        let id = opened(&self.open(past, now));
        past.settle(id, how, now);
        id
    }
}

fn opened(opened: &Opened) -> ActId {
    let Opened::Open { id, .. } = opened else {
        panic!("{opened:?}")
    };
    *id
}

/// What stopped it: the guard, and whether it may be sent again.
fn stopped(opened: &Opened) -> Option<(Guard, bool)> {
    let Opened::Stopped(verdicts) = opened else {
        return None;
    };
    let against = |verdict: &&Verdict| !verdict.passes();
    verdicts
        .iter()
        .find(against)
        .map(|verdict| (verdict.guard, matches!(verdict.says, Says::Wait(_))))
}
