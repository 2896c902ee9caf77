//! What the demo shows a person.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use drop_core::outcome::Ending;
use drop_core::pod::Pod;
use drop_core::record::{Closed, Decided, Record, escape};
use falco_event::Alert;
use serde_json::Value;

use super::tee::Hop;

/// Standard output, and what stands in every heading.
pub(super) struct Screen {
    sink: String,
}

impl Screen {
    pub(super) fn new(sink: String) -> Self {
        Self { sink }
    }

    pub(super) fn start(&self, front: &str, pod: &Pod) -> Result<()> {
        let (namespace, name, uid) = (&pod.namespace, &pod.name, &pod.uid);
        print(&format!(
            "A cluster in memory runs the pod {name} in {namespace} (uid {uid}).\n\
             sidekick-shim listens on {front} and sends to drop-server on {}.\n\
             Falco sees a shell in the pod and posts its alert to the shim.\n",
            self.sink
        ))
    }

    pub(super) fn hop(&self, hop: &Hop) -> Result<()> {
        print(&match hop {
            Hop::Accepted(alert) => accepted(alert),
            Hop::Sending(event) => self.sending(event),
            Hop::Recorded(Record::Decided(decided)) => self::decided(decided),
            Hop::Recorded(Record::Closed(closed)) => self::closed(closed),
        })
    }

    fn sending(&self, event: &[u8]) -> String {
        let mut text = format!("\n2. The shim sends a CloudEvent to {}:\n", self.sink);
        if let Ok(Value::Object(event)) = serde_json::from_slice(event) {
            for (name, value) in event.iter().filter(|(name, _)| *name != "data") {
                let shown = value.as_str().map_or_else(|| value.to_string(), escape);
                let _ = writeln!(text, "     {name}: {shown}");
            }
            text.push_str("     data: the alert, byte for byte\n");
        }
        text
    }

    pub(super) fn replaced(&self, pod: &Pod) -> Result<()> {
        print(&format!(
            "\n5. The workload's controller has made {} (uid {}) instead.\n",
            pod.name, pod.uid
        ))
    }

    pub(super) fn next(&self, command: &str) -> Result<()> {
        print(&format!(
            "\nSend the next alert from another terminal (Ctrl-C ends the demo):\n\n{command}\n"
        ))
    }
}

fn accepted(alert: &Alert) -> String {
    format!(
        "\n1. The alert:\n     {}\n",
        escape(&String::from_utf8_lossy(alert.as_bytes()))
    )
}

fn decided(decided: &Decided) -> String {
    let mut text = "\n3. drop-server decides:\n".to_owned();
    for answered in &decided.responses {
        let judgement = &answered.judgement;
        let _ = writeln!(
            text,
            "     response {}/{} ({}): {}",
            judgement.policy, judgement.response, judgement.mode, answered.result
        );
        for verdict in &judgement.verdicts {
            let _ = writeln!(text, "       {}: {}", verdict.guard, verdict.says);
        }
    }
    let ms = |nanos: u64| nanos / 1_000;
    let _ = writeln!(
        text,
        "     outcome: {} after {} µs",
        decided.outcome,
        ms(decided.times.ended)
    );
    let _ = writeln!(text, "\n   {decided}");
    text
}

fn closed(closed: &Closed) -> String {
    let name = &closed.target.name;
    match &closed.ending {
        Ending::Confirmed { .. } => format!(
            "\n4. Confirmed: {name} is gone, {} ms after the act was opened.\n",
            closed.took / 1_000_000
        ),
        Ending::Unconfirmed { why } => format!("\n4. Unconfirmed: {name}: {why}.\n"),
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
