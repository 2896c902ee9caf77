use drop_kube::testing::{Fault, Verb};

use crate::program::{Program, api_server, file, policy};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_told_at_readyz_and_in_the_log_and_follows_the_policy() {
    let (_, server) = api_server().await;
    server.deny("create", "pods/eviction");
    let (config, text) = (file(&server.kubeconfig()), file(&policy("delete: {}")));
    let mut program = Program::start(&text, &[], &[("KUBECONFIG", config.path().to_str().unwrap())]);
    program.logged("the account has every right that the policies need");
    // The first list of pods comes beside it.
    let ready = std::iter::repeat_with(|| program.get("/readyz"))
        .take(100_000)
        .find(|ready| ready.ends_with("\r\n\r\nready\nlimits and disarming hold for this process alone\n"));
    assert!(ready.is_some_and(|ready| ready.starts_with("HTTP/1.1 200")));

    std::fs::write(text.path(), policy("evict: {}")).unwrap();
    let line = program.logged("the account lacks a right");
    let logged: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(logged["missing"], "create of pods/eviction in namespace shop");
    let rule = r#"{apiGroups: [""], resources: [pods/eviction], verbs: [create]}"#;
    assert_eq!(logged["rule"], rule);
    let told = format!(
        "\r\n\r\nready\nthe account lacks a right: create of pods/eviction in namespace shop; add the rule {rule}\n\
         limits and disarming hold for this process alone\n"
    );
    // What is logged is told a moment later.
    let ready = std::iter::repeat_with(|| program.get("/readyz"))
        .take(1_000)
        .find(|ready| ready.ends_with(&told));
    assert!(ready.is_some_and(|ready| ready.starts_with("HTTP/1.1 200")));

    std::fs::write(text.path(), policy("delete: {}")).unwrap();
    program.logged("the account has every right that the policies need");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_tell_is_told_at_readyz_and_in_a_metric() {
    let (_, server) = api_server().await;
    server.fail(Verb::Watch, Fault::status(500));
    let (config, text) = (file(&server.kubeconfig()), file(&policy("delete: {}")));
    let mut program = Program::start(&text, &[], &[("KUBECONFIG", config.path().to_str().unwrap())]);
    program.logged("the pods are not watched");
    let ready = program.get("/readyz");
    assert!(ready.contains("\nthe pods are not all at hand, so that alerts take longer or are sent back: "));
    assert!(program.get("/metrics").contains("falco_drop_index_cold 1\n"));
}
