//! How long it takes to know the pods of a cluster, and what memory that needs.

use std::time::Duration;

use crate::lab::Lab;
use crate::program::Program;
use crate::quantile;

/// Pods of one Deployment.
const EACH: u32 = 1_000;
/// Each number is measured so often.
const TIMES: usize = 3;

/// It acts anywhere, so it watches the whole cluster, and only observes.
const POLICY: &str = "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: { name: p }\nspec:\n  \
    responses: [{ name: r, when: 'alert.rule = \"Terminal shell in container\"', do: [{ delete: {} }] }]\n";

pub(crate) async fn measure(lab: &Lab) {
    let mut deployments = 0;
    for pods in [0, 1_000, 10_000] {
        while deployments * EACH < pods {
            lab.deploy(&format!("memory-{deployments}"), EACH).await;
            deployments += 1;
        }
        lab.running(pods as usize).await;
        let (mut ready, mut now, mut most, mut later) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let program = Program::start(&lab.kubeconfig, POLICY, &[]);
            ready.push(program.until_warm().await.as_secs_f64());
            now.push(program.memory("VmRSS"));
            most.push(program.memory("VmHWM"));
            tokio::time::sleep(Duration::from_secs(5)).await;
            later.push(program.memory("VmRSS"));
        }
        println!(
            "memory, {pods} pods: ready after {:.2} s, RSS {} KiB (at most {} KiB so far, {} KiB 5 s later), medians of {TIMES}",
            quantile(&mut ready, 0.5),
            quantile(&mut now, 0.5),
            quantile(&mut most, 0.5),
            quantile(&mut later, 0.5),
        );
    }
}
