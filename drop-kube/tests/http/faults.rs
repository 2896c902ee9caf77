use std::time::{Duration, Instant};

use drop_core::ports::{ApiError, By, Change, PodApi, Target};
use drop_kube::testing::{Fault, Verb};
use drop_kube::{KubePods, Settings};

use crate::{House, WITHIN, read};

const DELETE: Change = Change::Delete {
    grace_period_seconds: 1,
};

fn impatient() -> Settings {
    let mut settings = Settings::default();
    settings.try_within = Duration::from_millis(40);
    settings
}

fn by_name(house: &House) -> By {
    let pod = house.pod();
    By::Name(pod.namespace, pod.name)
}

/// The first try deleted the pod and nobody heard; the second finds it gone. Who asked must not think that it was
/// someone else.
#[tokio::test]
async fn a_lost_answer_is_remembered_over_the_tries() {
    let house = House::new().await;
    house.server.fail_next(Verb::Delete, Fault::CloseAfter);
    let target = house.target();
    let error = house.pods.apply(&target, &DELETE, WITHIN).await.unwrap_err();
    assert_eq!((error.why, error.maybe_happened), (ApiError::NotFound, true));
    assert_eq!(house.cluster.touched(), [target]);
}

#[tokio::test]
async fn no_request_leaves_after_the_deadline() {
    let house = House::new().await;
    let error = house
        .pods
        .apply(&house.target(), &DELETE, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(
        (error.why, error.maybe_happened),
        (
            ApiError::TimedOut("its time was over before it was sent".into()),
            false
        )
    );
    assert_eq!(house.server.requests().len(), 0);
}

/// `Retry-After` beyond the deadline: to wait would be to fail later.
#[tokio::test]
async fn a_server_that_asks_for_more_time_than_there_is_is_not_asked_again() {
    let house = House::new().await;
    let busy = Fault::Answer {
        status: 429,
        retry_after: Some(60),
        body: String::new(),
    };
    house.server.fail(Verb::Delete, busy);
    let began = Instant::now();
    let error = house
        .pods
        .apply(&house.target(), &DELETE, WITHIN)
        .await
        .unwrap_err();
    assert!(
        matches!(error.why, ApiError::TooManyRequests(_)) && !error.maybe_happened,
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(house.server.requests().len(), 1);
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let mut settings = Settings::default();
    settings.in_flight = 2;
    let house = House::with(settings).await;
    house
        .server
        .fail(Verb::Get, Fault::Slow(Duration::from_millis(2)));
    let by = by_name(&house);
    let storm = (0..20).map(|_| house.pods.find(&by));
    let found = futures_util::future::join_all(storm).await;
    assert!(found.iter().all(|found| *found == read(vec![house.pod()])));
    assert_eq!(
        (house.server.requests().len(), house.server.most_in_flight()),
        (20, 2)
    );
}

/// Who waits for a slot until the deadline has sent nothing, and says so.
#[tokio::test]
async fn a_change_that_got_no_slot_surely_did_not_happen() {
    let mut settings = Settings::default();
    settings.in_flight = 1;
    let house = House::with(settings).await;
    house.server.fail(Verb::Get, Fault::Hang);
    let by = by_name(&house);
    let target = house.target();
    let hanging = house.pods.find(&by);
    let change = house.pods.apply(&target, &DELETE, Duration::from_millis(50));
    let error = tokio::select! { biased; _ = hanging => None, change = change => change.err() }.unwrap();
    assert_eq!(
        (error.why, error.maybe_happened),
        (
            ApiError::TimedOut("too many requests are in flight here".into()),
            false
        )
    );
    assert_eq!(house.cluster.touched(), []);
}

#[tokio::test]
async fn an_api_server_that_is_down_surely_did_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    let pods = KubePods::new(kube::Client::try_from(config).unwrap(), Settings::default());
    let target = Target::new(
        "shop".parse().unwrap(),
        "web-0".parse().unwrap(),
        "u-1".parse().unwrap(),
    );
    let error = pods.apply(&target, &DELETE, WITHIN).await.unwrap_err();
    assert!(!error.maybe_happened, "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("unavailable: no answer of the API server: "),
        "{text}"
    );
    assert!(text.contains("onnection refused"), "{text}");
}

#[tokio::test]
async fn a_read_says_what_kept_it() {
    let house = House::with(impatient()).await;
    house.server.fail(Verb::Get, Fault::BrokenJson);
    let error = house.pods.find(&by_name(&house)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("unavailable: an answer cannot be read: EOF"),
        "{error}"
    );
    house.server.heal();
    house.server.fail(Verb::Get, Fault::HalfBody);
    assert_eq!(
        house.pods.find(&by_name(&house)).await,
        Err(ApiError::Unavailable("an answer broke off".into()))
    );
    house.server.heal();
    house.server.fail(Verb::Get, Fault::Hang);
    let why = "the API server did not answer in time";
    assert_eq!(
        house.pods.find(&by_name(&house)).await,
        Err(ApiError::TimedOut(why.into()))
    );
}

#[tokio::test]
async fn a_slow_answer_within_the_time_is_an_answer() {
    let house = House::new().await;
    house
        .server
        .fail(Verb::Get, Fault::Slow(Duration::from_millis(20)));
    assert_eq!(house.pods.find(&by_name(&house)).await, read(vec![house.pod()]));
    assert_eq!(house.server.requests().len(), 1);
}
