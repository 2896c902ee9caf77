//! Every request with everything that can become of it: what is told, how often it is asked, and what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use drop_core::facts::{Known, Wants};
use drop_core::ports::{ApiError, By, Change, PodApi};
use drop_kube::Settings;
use drop_kube::testing::{Fault, Verb};

use crate::{House, WITHIN};

/// What an error has to be.
type Is = fn(&ApiError) -> bool;

/// Each status, what it means, and how often it is worth asking.
const STATUSES: [(u16, Is, usize); 14] = [
    (301, |why| matches!(why, ApiError::Unavailable(_)), 1),
    (400, |why| matches!(why, ApiError::Invalid(_)), 1),
    (401, |why| matches!(why, ApiError::Forbidden(_)), 1),
    (403, |why| matches!(why, ApiError::Forbidden(_)), 1),
    (404, |why| matches!(why, ApiError::Unavailable(_)), 1),
    (405, |why| matches!(why, ApiError::Invalid(_)), 1),
    (409, |why| matches!(why, ApiError::Conflict(_)), 1),
    (410, |why| matches!(why, ApiError::Unavailable(_)), 1),
    (422, |why| matches!(why, ApiError::Invalid(_)), 1),
    (429, |why| matches!(why, ApiError::TooManyRequests(_)), 3),
    (500, |why| matches!(why, ApiError::Unavailable(_)), 3),
    (502, |why| matches!(why, ApiError::Unavailable(_)), 3),
    (503, |why| matches!(why, ApiError::Unavailable(_)), 3),
    (504, |why| matches!(why, ApiError::Unavailable(_)), 3),
];

fn changes() -> [(Verb, Change); 3] {
    let label = BTreeMap::from([("security".to_owned(), Some("hit".to_owned()))]);
    [
        (
            Verb::Delete,
            Change::Delete {
                grace_period_seconds: 1,
            },
        ),
        (
            Verb::Evict,
            Change::Evict {
                grace_period_seconds: 1,
            },
        ),
        (Verb::Patch, Change::Label(label)),
    ]
}

/// How often the request was made.
fn asked(house: &House, verb: Verb) -> usize {
    let requests = house.server.requests();
    requests
        .iter()
        .filter(|request| request.verb == Some(verb))
        .count()
}

async fn impatient() -> House {
    let mut settings = Settings::default();
    settings.try_within = Duration::from_millis(60);
    settings.list_within = Duration::from_millis(60);
    settings.read_within = Duration::from_millis(150);
    House::with(settings).await
}

#[tokio::test]
async fn each_status_of_a_change_means_the_same_whatever_the_change() {
    for (status, is, tries) in STATUSES {
        for (verb, change) in changes() {
            let house = House::new().await;
            house.server.fail(verb, Fault::status(status));
            let error = house
                .pods
                .apply(&house.target(), &change, WITHIN)
                .await
                .unwrap_err();
            assert!(is(&error.why), "{verb:?} {status}: {error}");
            assert_eq!(asked(&house, verb), tries, "{verb:?} {status}");
            // A redirection is no answer of an API server: who knows what gave it.
            let maybe = !(400..500).contains(&status);
            assert_eq!(error.maybe_happened, maybe, "{verb:?} {status}");
            assert_eq!(house.cluster.touched(), [], "{verb:?} {status}");
        }
    }
}

#[tokio::test]
async fn each_status_of_a_read_is_told_by_whatever_reads() {
    for (status, is, tries) in STATUSES {
        let house = House::new().await;
        let (pod, target) = (house.pod(), house.target());
        house.server.fail(Verb::Get, Fault::status(status));
        house.server.fail(Verb::List, Fault::status(status));
        let name = By::Name(pod.namespace.clone(), pod.name.clone());
        assert!(
            is(&house.pods.find(&name).await.unwrap_err()),
            "by name: {status}"
        );
        assert_eq!(asked(&house, Verb::Get), tries, "by name: {status}");
        assert!(
            is(&house.pods.find(&By::Uid(pod.uid.clone())).await.unwrap_err()),
            "by UID: {status}"
        );
        assert_eq!(asked(&house, Verb::List), tries, "by UID: {status}");
        assert!(
            is(&house.pods.presence(&target).await.unwrap_err()),
            "presence: {status}"
        );
        let wants = Wants {
            namespace: true,
            owner: true,
            siblings: true,
            budgets: true,
            host: None,
        };
        let facts = house.pods.facts(pod, wants).await;
        assert!(
            matches!(facts.namespace, Known::Unknown(_)),
            "{status}: {:?}",
            facts.namespace
        );
        assert!(
            matches!(facts.owner, Known::Unknown(_)),
            "{status}: {:?}",
            facts.owner
        );
        assert!(
            matches!(facts.siblings, Known::Unknown(_)),
            "{status}: {:?}",
            facts.siblings
        );
        assert!(
            matches!(facts.budgets, Known::Unknown(_)),
            "{status}: {:?}",
            facts.budgets
        );
    }
}

/// What may pass: the second try has the right answer.
fn passing() -> [Fault; 9] {
    let busy = Fault::Answer {
        status: 503,
        retry_after: Some(0),
        body: String::new(),
    };
    [
        Fault::status(429),
        Fault::proxy(502),
        busy,
        Fault::Close,
        Fault::CloseAfter,
        Fault::HalfBody,
        Fault::BrokenJson,
        Fault::Hang,
        Fault::HangAfter,
    ]
}

#[tokio::test]
async fn a_read_that_fails_once_is_a_read_all_the_same() {
    for fault in passing() {
        let house = impatient().await;
        let pod = house.pod();
        house.server.fail_next(Verb::Get, fault.clone());
        let found = house
            .pods
            .find(&By::Name(pod.namespace.clone(), pod.name.clone()))
            .await;
        assert_eq!(found.map(|found| found.pods), Ok(vec![pod.clone()]), "{fault:?}");
        assert_eq!(asked(&house, Verb::Get), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_change_that_fails_once_is_made_and_tells_what_is_not_known_of_it() {
    for fault in passing() {
        for (verb, change) in changes() {
            let house = impatient().await;
            let target = house.target();
            house.server.fail_next(verb, fault.clone());
            let done = house.pods.apply(&target, &change, WITHIN).await;
            // Gone is what the second try finds where the first was carried out and nobody heard.
            let told = match done {
                Ok(()) => true,
                Err(error) => error.why == ApiError::NotFound && error.maybe_happened,
            };
            assert!(told, "{verb:?} {fault:?}");
            assert_eq!(house.cluster.touched(), [target], "{verb:?} {fault:?}");
        }
    }
}

/// What does not pass, in the time that there is.
#[tokio::test]
async fn what_never_answers_is_told_in_time_and_may_have_happened_if_it_was_sent() {
    for fault in [
        Fault::Hang,
        Fault::HangAfter,
        Fault::Close,
        Fault::CloseAfter,
        Fault::Slow(Duration::from_secs(60)),
    ] {
        for (verb, change) in changes() {
            let house = impatient().await;
            house.server.fail(verb, fault.clone());
            let within = Duration::from_millis(200);
            let began = std::time::Instant::now();
            let done = house.pods.apply(&house.target(), &change, within).await;
            assert!(
                began.elapsed() < within * 5,
                "{verb:?} {fault:?}: {:?}",
                began.elapsed()
            );
            let error = done.unwrap_err();
            assert!(error.maybe_happened, "{verb:?} {fault:?}: {error}");
        }
        let house = impatient().await;
        house.server.fail(Verb::List, fault.clone());
        let error = house.pods.find(&By::Uid(house.pod().uid)).await.unwrap_err();
        assert!(
            matches!(error, ApiError::TimedOut(_) | ApiError::Unavailable(_)),
            "{fault:?}: {error}"
        );
    }
}
