use crate::program::{Program, alert, api_server, file, policy};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_told_in_events_that_are_counted_unless_there_are_to_be_none() {
    for (arguments, told) in [(&[][..], true), (&["--no-events"], false)] {
        let (cluster, server) = api_server().await;
        let config = file(&server.kubeconfig());
        let environment = [("KUBECONFIG", config.path().to_str().unwrap())];
        let program = Program::start(&file(&policy("delete: {}")), arguments, &environment);
        assert_eq!(program.deliver(&alert(&cluster.pods()[0])), "202");
        let counted = |count: u32| {
            let metrics = program.get("/metrics");
            metrics.contains(&format!("falco_drop_events_total{{result=\"posted\"}} {count}\n"))
        };
        while told && !counted(2) {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.events().len(), if told { 2 } else { 0 });
        assert!(told || !program.get("/metrics").contains("falco_drop_events"));
    }
}
