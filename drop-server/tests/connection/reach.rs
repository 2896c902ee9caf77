use drop_core::memory::Workload;
use drop_core::ports::Target;

use crate::program::{Program, alert, api_server, file, policy_in};

/// From `shop` to `bank`, to everywhere, and back: each time an alert that comes at once finds its pod, and where the
/// policy does not act nothing is watched.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_follows_the_policy_and_no_alert_is_answered_wrong_meanwhile() {
    let (cluster, server) = api_server().await;
    let bank = Workload::deployment("bank".parse().unwrap(), "pay".parse().unwrap());
    cluster.add_workload(bank);
    let of = |namespace: &str| {
        let pods = cluster.pods();
        pods.into_iter()
            .find(|pod| pod.namespace.as_str() == namespace && pod.deletion.is_none())
            .unwrap()
    };
    let (config, text) = (
        file(&server.kubeconfig()),
        file(&policy_in("namespaces: [shop]", "delete: {}")),
    );
    let mut program = Program::start(&text, &[], &[("KUBECONFIG", config.path().to_str().unwrap())]);
    let web = of("shop");
    assert_eq!(program.deliver(&alert(&web)), "202");
    assert_eq!(cluster.touched(), [Target::of(&web)]);

    for (places, acts_in, paths) in [
        ("namespaces: [bank]", "bank", vec!["/api/v1/namespaces/bank/pods"]),
        ("", "shop", vec!["/api/v1/pods"]),
        (
            "namespaces: [shop, bank]",
            "shop",
            vec!["/api/v1/namespaces/bank/pods", "/api/v1/namespaces/shop/pods"],
        ),
    ] {
        std::fs::write(text.path(), policy_in(places, "delete: {}")).unwrap();
        program.logged("new policies are in force");
        cluster.advance_to(jiff::Timestamp::now());
        let pod = of(acts_in);
        assert_eq!(program.deliver(&alert(&pod)), "202", "{places}");
        assert!(cluster.touched().contains(&Target::of(&pod)), "{places}");
        while server.watches() != paths.len() {
            tokio::task::yield_now().await;
        }
        let watches = server
            .requests()
            .into_iter()
            .filter(|request| request.path.contains("watch=true"));
        let mut last: Vec<String> = watches
            .map(|watch| watch.path.split('?').next().unwrap_or_default().to_owned())
            .collect();
        last = last.split_off(last.len() - paths.len());
        last.sort();
        assert_eq!(last, paths);
    }
}
