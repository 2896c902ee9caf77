//! Who the offender is: the order of reliability, and what is no name.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use falco_event::{Alert, Offender};

fn of(source: &str, hostname: &str, fields: &str) -> Offender {
    let text = format!(
        r#"{{"rule":"r","priority":"Notice","time":"2026-01-01T00:00:00Z","source":"{source}","hostname":"{hostname}","output_fields":{{{fields}}}}}"#
    );
    Alert::from_slice(text.as_bytes()).unwrap().offender().clone()
}

/// host, container, UID, namespace, pod, container name; `-` for what is not known.
fn line(offender: &Offender) -> String {
    let parts = [
        Some(if offender.host { "host" } else { "-" }),
        offender.container.as_ref().map(|id| id.as_str()),
        offender.pod_uid.as_ref().map(|uid| uid.as_str()),
        offender.namespace.as_ref().map(|name| name.as_str()),
        offender.pod.as_ref().map(|name| name.as_str()),
        offender.container_name.as_deref(),
    ];
    parts.map(|part| part.unwrap_or("-")).join(" ")
}

const FULL: &str = "f29b261f8831aa0f2b9c1d6a0b6f0e5c4d3b2a190817263544536271809fabcd";

#[test]
#[rustfmt::skip]
fn the_most_reliable_place_is_taken() {
    let k8s = r#""k8s.ns.name":"shop","k8s.pod.name":"api-1""#;
    let meta = r#""k8smeta.ns.name":"web","k8smeta.pod.name":"web-0","k8smeta.pod.uid":"m-1""#;
    let docker = r#""container.name":"k8s_nginx_nginx-676b6c5bbc-m86bn_default_fda2eefb-4c21_0""#;
    let nulls = r#""k8s.ns.name":null,"k8s.pod.name":"<NA>""#;
    let cases = [
        (format!(r#""container.id":"f29b261f8831",{k8s}"#), "- f29b261f8831 - shop api-1 -".to_owned()),
        (format!(r#""container.id":"f29b261f8831","container.full_id":"{FULL}""#), format!("- {FULL} - - - -")),
        (format!(r#""container.id":"000000000000","container.full_id":"{FULL}""#), "- 000000000000 - - - -".to_owned()),
        (format!(r#""container.full_id":"{FULL}""#), format!("- {FULL} - - - -")),
        (format!(r#""container.id":"host",{k8s},{meta},{docker}"#), "host - - - - -".to_owned()),
        (format!("{k8s},{meta}"), "- - m-1 shop api-1 -".to_owned()),
        (format!(r#"{k8s},{meta},"k8s.pod.uid":"u-1""#), "- - u-1 shop api-1 -".to_owned()),
        (format!(r#"{meta},"k8s.pod.id":"u-2""#), "- - u-2 web web-0 -".to_owned()),
        (format!("{nulls},{meta}"), "- - m-1 web web-0 -".to_owned()),
        (format!("{nulls},{docker}"), "- - fda2eefb-4c21 default nginx-676b6c5bbc-m86bn nginx".to_owned()),
        (format!("{k8s},{docker}"), "- - fda2eefb-4c21 shop api-1 nginx".to_owned()),
        (format!(r#""k8s.ns.name":"shop",{docker}"#), "- - fda2eefb-4c21 default nginx-676b6c5bbc-m86bn nginx".to_owned()),
        (r#""k8s.ns.name":"shop""#.to_owned(), "- - - shop - -".to_owned()),
        (r#""container.name":"k8s_a_b_c_d""#.to_owned(), "- - - - - k8s_a_b_c_d".to_owned()),
        (r#""container.name":"k8s_a_b_c_d_x""#.to_owned(), "- - - - - k8s_a_b_c_d_x".to_owned()),
        (r#""container.name":"eventgen","container.id":"","k8s.ns.name":"""#.to_owned(), "- - - - - eventgen".to_owned()),
    ];
    for (fields, expected) in cases {
        assert_eq!(line(&of("syscall", "worker-1", &fields)), expected, "{fields}");
    }
}

#[test]
fn an_audited_request_is_about_its_target_if_that_is_a_pod() {
    let target = |fields: &str| line(&of("k8s_audit", "falco-0", fields));
    let pods = r#""ka.target.namespace":"shop","ka.target.resource":"pods""#;
    assert_eq!(
        target(&format!(
            r#"{pods},"ka.target.name":"api-1","ka.target.subresource":"exec""#
        )),
        "- - - shop api-1 -"
    );
    assert_eq!(
        target(&format!(r#"{pods},"ka.target.name":null,"ka.resp.name":"api-2""#)),
        "- - - shop api-2 -"
    );
    assert_eq!(
        target(&format!(r#"{pods},"ka.target.pod.name":"api-3""#)),
        "- - - shop api-3 -"
    );
    assert_eq!(target(pods), "- - - - - -");
    assert_eq!(
        target(r#""ka.target.namespace":"shop","ka.target.resource":"deployments","ka.target.name":"api""#),
        "- - - - - -"
    );
}

#[test]
fn the_node_is_where_falco_saw_a_system_call() {
    let node = |source, hostname, fields| of(source, hostname, fields).node.map(|node| node.to_string());
    assert_eq!(
        node("syscall", "worker-1.shop.example", ""),
        Some("worker-1.shop.example".to_owned())
    );
    assert_eq!(
        node("", "worker-1", r#""evt.hostname":"worker-2""#),
        Some("worker-2".to_owned())
    );
    assert_eq!(node("k8s_audit", "worker-1", ""), None);
    assert_eq!(node("internal", "worker-1", ""), None);
    assert_eq!(node("syscall", "", ""), None);
    assert!(
        of("syscall", "worker-1", r#""container.id":"host""#)
            .node
            .is_some()
    );
}

#[test]
fn what_is_no_name_is_not_used_but_told() {
    let fields = r#""container.id":"../../x","k8s.ns.name":"shop/../kube-system","k8s.pod.name":["a"],"k8s.pod.uid":"a b","container.name":7"#;
    let offender = of("syscall", "Bad_Host", fields);
    assert_eq!(line(&offender), "- - - - - -");
    assert_eq!(offender.node, None);
    let refused: Vec<_> = offender
        .refused
        .iter()
        .map(|refused| (refused.field, refused.why.input()))
        .collect();
    assert_eq!(
        refused,
        [
            ("hostname", "Bad_Host"),
            ("container.id", "../../x"),
            ("k8s.pod.uid", "a b"),
            ("k8s.ns.name", "shop/../kube-system"),
            ("k8s.pod.name", "(not a string)"),
        ]
    );
}

#[test]
fn names_are_valid_when_they_are_read_from_json_too() {
    use falco_event::{ContainerId, Namespace, PodName, PodUid};
    assert_eq!(
        serde_json::from_str::<Namespace>("\"shop\"").unwrap().as_str(),
        "shop"
    );
    assert!(serde_json::from_str::<Namespace>("\"shop/x\"").is_err());
    assert!(serde_json::from_str::<PodName>("\"a..b\"").is_err());
    assert!(serde_json::from_str::<PodUid>("\"\"").is_err());
    assert_eq!(
        serde_json::to_string(&"f29b261f8831".parse::<ContainerId>().unwrap()).unwrap(),
        "\"f29b261f8831\""
    );
    let limits = [
        ("a".repeat(63), true, true),
        ("a".repeat(64), false, true),
        ("a".repeat(253), false, true),
        ("a".repeat(254), false, false),
    ];
    for (name, label, subdomain) in limits {
        assert_eq!(
            (
                Namespace::try_from(name.as_str()).is_ok(),
                PodName::try_from(name).is_ok()
            ),
            (label, subdomain)
        );
    }
}

#[test]
fn container_ids_match_as_far_as_the_shorter_goes() {
    use falco_event::ContainerId;
    let short: ContainerId = "f29b261f8831".parse().unwrap();
    let full = ContainerId::from_status(&format!("cri-o://{FULL}")).unwrap();
    assert!(short.matches(&full) && full.matches(&short) && full.matches(&full));
    assert!(!short.matches(&"f29b261f8832".parse().unwrap()));
    assert_eq!(full.short(), "f29b261f8831");
    assert_eq!(
        (full.as_str(), short.to_string().as_str()),
        (FULL, "f29b261f8831")
    );
    assert!(
        short < full && full < "f29b261f8832".parse().unwrap(),
        "the order of texts"
    );
    for bad in [
        "",
        "host",
        "f29b261f883",
        "f29b261f88312",
        "F29B261F8831",
        "f29b261f883g",
        "docker://",
    ] {
        assert!(ContainerId::from_status(bad).is_err(), "{bad}");
    }
}
