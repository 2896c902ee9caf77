use std::time::Duration;

use super::*;
use crate::config::{Config, Durability};
use crate::fixture::{alert, config, rules, spool};
use crate::metrics::Metrics;

/// A spool in a folder, for two sinks.
fn two_sinks(folder: &tempfile::TempDir) -> Config {
    let mut config = config(16 << 20);
    config.spool.durability = Durability::Crash;
    config.spool.folder = folder.path().to_owned();
    let mut other = config.sinks[0].clone();
    other.name = "other".to_owned();
    other.share = 50;
    config.sinks.push(other);
    config
}

fn started(config: &Config) -> Spool {
    spool(config, &Arc::new(Metrics::new()), ())
}

#[tokio::test]
async fn what_waited_only_for_a_sink_that_is_configured_no_more_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = two_sinks(&folder);
    let spool = started(&config);
    let alerts = vec![alert("a"), alert("b")];
    spool.keep(alerts, &Patience::default()).await.unwrap();
    assert_eq!(rules(&spool), ["a", "b"]);
    assert_eq!(spool.spooled().await.alerts, 2, "the other sink waits for them");
    spool.close().await;
    drop(spool);

    config.sinks.pop();
    let spool = started(&config);
    assert_eq!(spool.spooled().await.alerts, 0);
    assert_eq!(spool.spooled().await.oldest, Duration::ZERO);
}
