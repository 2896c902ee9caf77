use drop_core::memory::Workload;
use drop_core::pod::Pod;
use drop_core::ports::{ApiError, By, Found, PodApi, Way};
use drop_kube::Settings;
use drop_kube::testing::{Fault, Verb};
use falco_event::ContainerId;

use crate::{Answer, House, listed, read, shop};

#[tokio::test]
async fn a_name_is_one_get_and_gives_the_whole_pod() {
    let house = House::new().await;
    let pod = house.pod();
    let found = house
        .pods
        .find(&By::Name(pod.namespace.clone(), pod.name.clone()))
        .await;
    assert_eq!(found, read(vec![pod.clone()]));
    assert_eq!(
        house.asked(),
        [format!("GET /api/v1/namespaces/shop/pods/{}", pod.name)]
    );
}

#[tokio::test]
async fn a_name_that_nothing_has_finds_nothing() {
    let house = House::new().await;
    let found = house
        .pods
        .find(&By::Name(shop(), "nothing".parse().unwrap()))
        .await;
    assert_eq!(found, read(vec![]));
    let elsewhere = house
        .pods
        .find(&By::Name("no-such".parse().unwrap(), house.pod().name))
        .await;
    assert_eq!(elsewhere, read(vec![]));
}

/// A load balancer without an API server behind it says 404 too, and that says nothing about the pod.
#[tokio::test]
async fn a_proxy_s_404_is_not_the_pod_s() {
    let house = House::new().await;
    house.server.fail(Verb::Get, Fault::proxy(404));
    let pod = house.pod();
    let found = house.pods.find(&By::Name(pod.namespace, pod.name)).await;
    let why = "answered 404 without a message of the API server";
    assert_eq!(found, Err(ApiError::Unavailable(why.into())));
    assert_eq!(
        house.pods.presence(&house.target()).await,
        Err(ApiError::Unavailable(why.into()))
    );
}

/// A proxy's answer, or another object: nothing that says that there are no pods.
#[tokio::test]
async fn what_is_no_list_is_no_empty_list() {
    let house = House::new().await;
    let by = By::Uid(house.pod().uid);
    let absent =
        r#"{"kind":"Status","reason":"NotFound","message":"no","details":{"name":"pods","kind":"pods"}}"#;
    for (status, body) in [
        (200, "{}"),
        (200, r#"{"metadata":{},"items":[]}"#),
        (200, r#"{"metadata":{"resourceVersion":""},"items":[]}"#),
        (200, r#"{"kind":"Pod","metadata":{"resourceVersion":"7"}}"#),
        (404, absent),
    ] {
        let (body, retry_after) = (body.to_owned(), None);
        let answer = Fault::Answer {
            status,
            retry_after,
            body: body.clone(),
        };
        house.server.fail(Verb::List, answer);
        let found = house.pods.find(&by).await;
        assert!(
            matches!(found, Err(ApiError::Unavailable(_))),
            "{body}: {found:?}"
        );
    }
    let none = Fault::Answer {
        status: 200,
        retry_after: None,
        body: r#"{"metadata":{"resourceVersion":"7"},"items":null}"#.to_owned(),
    };
    house.server.fail(Verb::List, none);
    assert_eq!(house.pods.find(&by).await, listed(vec![]));
}

#[tokio::test]
async fn a_container_and_a_uid_are_found_by_pages() {
    let mut settings = Settings::default();
    settings.page = 2;
    let house = House::with(settings).await;
    house
        .cluster
        .add_workload(Workload::deployment("bank".parse().unwrap(), "pay".parse().unwrap()).replicas(3));
    for pod in house.cluster.pods() {
        let id = &pod.containers[0].id;
        let short: ContainerId = id.as_str().get(..12).unwrap().parse().unwrap();
        assert_eq!(
            house.pods.find(&By::container(id.clone())).await,
            listed(vec![pod.clone()])
        );
        assert_eq!(
            house.pods.find(&By::container(short)).await,
            listed(vec![pod.clone()])
        );
        assert_eq!(
            house.pods.find(&By::Uid(pod.uid.clone())).await,
            listed(vec![pod])
        );
    }
    let first: Vec<String> = house.asked().into_iter().take(3).collect();
    let page = |go_on| format!("GET /api/v1/pods?limit=2{go_on}");
    assert_eq!(first, [page(""), page("&continue=2"), page("&continue=4")]);
}

/// What was read of a list before it broke off comes again with the next try.
#[tokio::test]
async fn a_list_that_breaks_off_finds_no_pod_twice() {
    for fault in [Fault::HalfBody, Fault::BrokenJson] {
        let house = House::new().await;
        let more = Workload::deployment("aaa".parse().unwrap(), "first".parse().unwrap());
        house.cluster.add_workload(more.replicas(4));
        for pod in house.cluster.pods() {
            house.server.fail_next(Verb::List, fault.clone());
            let found = house.pods.find(&By::Uid(pod.uid.clone())).await;
            assert_eq!(found, listed(vec![pod]), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn the_instance_before_the_last_restart_still_finds_its_pod() {
    let house = House::new().await;
    let pod = house.pod();
    let before = pod.containers[0].id.clone();
    house.cluster.advance(std::time::Duration::from_secs(60));
    house
        .cluster
        .restart_container(&pod.uid, &pod.containers[0].name)
        .unwrap();
    let found = house
        .pods
        .find(&By::container(before.clone()))
        .await
        .unwrap()
        .pods;
    assert_eq!(
        (found.len(), &found[0].uid, found[0].containers.len()),
        (1, &pod.uid, 2)
    );
    let ended = found[0]
        .containers
        .iter()
        .find(|container| container.id == before)
        .unwrap()
        .ended;
    assert_eq!(ended, Some("2026-03-01T12:01:00Z".parse().unwrap()));
}

#[tokio::test]
async fn where_namespaces_are_named_nothing_else_is_listed() {
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([shop(), "bank".parse().unwrap()].into());
    let house = House::with(settings).await;
    house.cluster.add_workload(Workload::deployment(
        "other".parse().unwrap(),
        "x".parse().unwrap(),
    ));
    let elsewhere = house
        .cluster
        .pods()
        .into_iter()
        .find(|pod| pod.namespace.as_str() == "other")
        .unwrap();
    assert_eq!(house.pods.find(&By::Uid(elsewhere.uid)).await, listed(vec![]));
    let lists = [
        "GET /api/v1/namespaces/bank/pods?limit=500",
        "GET /api/v1/namespaces/shop/pods?limit=500",
    ];
    assert_eq!(house.asked(), lists);
}

#[tokio::test]
async fn a_namespace_that_must_not_be_listed_hides_no_pod_of_another() {
    let mut settings = Settings::default();
    settings.reach.namespaces = Some([shop(), "bank".parse().unwrap()].into());
    let house = House::with(settings).await;
    let (pod, forbidden) = (house.pod(), Fault::status(403));
    // `bank` is the first.
    house.server.fail_next(Verb::List, forbidden.clone());
    let by = By::Uid(pod.uid.clone());
    assert_eq!(house.pods.find(&by).await, listed(vec![pod]));
    house.server.fail_next(Verb::List, forbidden);
    let nothing = house.pods.find(&By::Uid("none".parse().unwrap())).await;
    assert!(matches!(nothing, Err(ApiError::Forbidden(_))), "{nothing:?}");
}

#[tokio::test]
async fn a_storm_of_questions_makes_two_lists() {
    let house = House::new().await;
    let pod = house.pod();
    let questions = (0..100).map(|n| {
        let by = if n % 2 == 0 {
            By::Uid(pod.uid.clone())
        } else {
            By::container(pod.containers[0].id.clone())
        };
        let pods = house.pods.clone();
        async move { pods.find(&by).await }
    });
    let answers = futures_util::future::join_all(questions).await;
    assert!(answers.iter().all(|found| *found == listed(vec![pod.clone()])));
    assert!(house.asked().len() <= 2, "{:?}", house.asked());
}

fn on(pod: &Pod, node: &str) -> By {
    By::Container {
        id: pod.containers[0].id.clone(),
        on: Some(node.parse().unwrap()),
    }
}

fn listed_on_node(pods: Vec<Pod>) -> Answer {
    let way = Way::NodeList;
    Ok(Found { pods, way })
}

#[tokio::test]
async fn where_the_node_is_known_its_pods_are_listed_and_no_others() {
    let house = House::new().await;
    let pod = house.pod();
    let node = pod.node.clone().unwrap();
    assert_eq!(
        house.pods.find(&on(&pod, node.as_str())).await,
        listed_on_node(vec![pod])
    );
    let list = format!("GET /api/v1/pods?fieldSelector=spec.nodeName%3D{node}&limit=500");
    assert_eq!(house.asked(), [list]);
}

/// Falco's host may be the name of its own pod.
#[tokio::test]
async fn a_node_that_is_none_or_another_one_hides_no_pod() {
    let house = House::new().await;
    let pod = house.pod();
    assert_eq!(house.pods.find(&on(&pod, "falco-x2x9k")).await, listed(vec![pod]));
    assert_eq!(house.asked().len(), 2);
}

#[tokio::test]
async fn a_storm_about_many_nodes_makes_one_list_at_a_time() {
    let house = House::new().await;
    let pods = house.cluster.pods();
    let questions = (0..100).map(|n| {
        let by = on(&pods[n % 2], &format!("node-{}", n % 50));
        let pods = house.pods.clone();
        async move { pods.find(&by).await }
    });
    let answers = futures_util::future::join_all(questions).await;
    for (n, found) in answers.into_iter().enumerate() {
        assert_eq!(found.unwrap().pods, [pods[n % 2].clone()]);
    }
    assert!(house.asked().len() <= 3, "{:?}", house.asked());
    assert_eq!(house.server.most_in_flight(), 1);
}

#[tokio::test]
async fn a_list_that_fails_tells_all_who_wait_for_it_and_the_next_is_tried_anew() {
    let house = House::new().await;
    let uid = By::Uid(house.pod().uid);
    house.server.fail(Verb::List, Fault::status(403));
    let (one, two) = tokio::join!(house.pods.find(&uid), house.pods.find(&uid));
    let forbidden = "the API server answered 403: the fake API server was told to fail";
    assert_eq!(one, Err(ApiError::Forbidden(forbidden.into())));
    assert_eq!(two, one);
    house.server.heal();
    assert_eq!(house.pods.find(&uid).await, listed(vec![house.pod()]));
}

/// The continue token of a list is good for minutes only.
#[tokio::test]
async fn a_list_whose_token_expired_begins_anew_once() {
    let mut settings = Settings::default();
    settings.page = 1;
    let house = House::with(settings).await;
    house
        .server
        .fail_next(Verb::List, Fault::Slow(std::time::Duration::ZERO));
    house.server.fail_next(Verb::List, Fault::status(410));
    let last = house.cluster.pods().pop().unwrap();
    assert_eq!(
        house.pods.find(&By::Uid(last.uid.clone())).await,
        listed(vec![last])
    );
    let page = |go_on| format!("GET /api/v1/pods?limit=1{go_on}");
    assert_eq!(
        house.asked(),
        [page(""), page("&continue=1"), page(""), page("&continue=1")]
    );
}
