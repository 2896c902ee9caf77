//! What the unit tests send.

use std::sync::Arc;

use falco_event::Alert;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::spool::{Lane, Next, Spool};

/// An alert of this rule, as short as one can be.
pub(crate) fn alert(rule: &str) -> Alert {
    Alert::from_slice(text(rule).as_bytes()).unwrap()
}

pub(crate) fn text(rule: &str) -> String {
    serde_json::json!({ "rule": rule, "priority": "Notice", "time": "2026-06-02T10:00:00Z" }).to_string()
}

/// A configuration of a sink, and a spool in memory of so many bytes.
pub(crate) fn config(bytes: usize) -> Config {
    let mut config = Config::to_sink("http://sink/").unwrap();
    config.spool.bytes = bytes;
    config
}

/// A spool in memory, without a thread.
pub(crate) fn spool(config: &Config, metrics: &Arc<Metrics>, observer: impl Observer) -> Spool {
    let observer: Arc<dyn Observer> = Arc::new(observer);
    Spool::inline(&config.spool, &config.sinks, metrics, &observer)
}

/// The rules of what waits for the first sink, which is taken out, the oldest first.
pub(crate) fn rules(spool: &Spool) -> Vec<String> {
    let mut rules = Vec::new();
    loop {
        match spool.ledger().next(0, Lane::Oldest) {
            Next::Try(key, item) => {
                spool.settle(0, key);
                rules.push(item.alert.rule().to_owned());
            }
            Next::Read(want) => spool.read(0, want),
            Next::Nothing => return rules,
        }
    }
}
