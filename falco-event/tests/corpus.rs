//! Every line of the corpus is read; what is read is written back equal.

#![expect(clippy::panic, reason = "a test stops where it fails")]

use std::path::PathBuf;

use falco_event::{Alert, Fault, read_all};
use serde_json::Value;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/alerts");

fn bytes(file: &str) -> Vec<u8> {
    let path = PathBuf::from(CORPUS).join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn count(body: &[u8]) -> [usize; 8] {
    let lines = body
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .count();
    let mut counts = [lines, 0, 0, 0, 0, 0, 0, 0];
    for read in read_all(body) {
        match read.map_err(|error| error.fault().clone()) {
            Ok(alert) => add(&mut counts, &alert),
            Err(Fault::Missing { members }) => {
                counts[2] += usize::from(members.contains(&"priority"));
                counts[3] += usize::from(members.contains(&"time"));
                assert!(!members.contains(&"rule"));
            }
            Err(other) => panic!("{other}"),
        }
    }
    counts
}

fn add(counts: &mut [usize; 8], alert: &Alert) {
    let offender = alert.offender();
    counts[1] += 1;
    counts[4] += usize::from(offender.pod.is_some());
    counts[5] += usize::from(offender.container.is_some());
    counts[6] += usize::from(offender.host);
    counts[7] += usize::from(alert.is_internal());
}

/// file, lines, alerts, without a priority, without a time; with a pod, with a container, on the host, internal. What
/// is without a priority is without a time too. The last four agree with a count by a script that shares nothing with
/// this crate.
#[rustfmt::skip]
const FILES: [(&str, [usize; 8]); 7] = [
    ("captured-docker.jsonl",          [204, 204, 0,  0,   0, 169, 34,  0]),
    ("captured-falco-repo-scap.jsonl", [ 16,  16, 0,  0,   0,   0,  0,  0]),
    ("captured-internal.jsonl",        [ 18,  18, 0,  0,   0,   0,  0, 18]),
    ("captured-lab-pasted.jsonl",      [  7,   7, 0,  0,   0,   7,  0,  0]),
    ("captured-misc.jsonl",            [ 86,  86, 0,  0,  53,  59,  3,  0]),
    ("fixtures.jsonl",                 [ 24,  24, 0,  0,   4,   3,  0,  3]),
    ("nonstandard.jsonl",              [ 71,  52, 4, 19,   0,   2,  2,  5]),
];

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn every_line_is_an_alert_or_says_what_it_lacks() {
    let read: Vec<_> = FILES
        .iter()
        .map(|(file, _)| (*file, count(&bytes(file))))
        .collect();
    assert_eq!(read, FILES);
    let [lines, alerts, _, no_time, ..] = read
        .iter()
        .fold([0; 8], |sum, (_, row)| std::array::from_fn(|i| sum[i] + row[i]));
    assert_eq!((lines, alerts + no_time), (426, 426));
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn lines_are_passed_on_as_they_came() {
    for (file, _) in FILES {
        for line in bytes(file).split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(alert) = Alert::from_slice(line) {
                assert_eq!(alert.as_bytes(), line, "{file}");
            }
        }
    }
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn what_is_written_anew_says_the_same() {
    for (file, _) in FILES {
        for alert in read_all(&bytes(file)).flatten() {
            let again = serde_json::to_vec(&alert).unwrap();
            let again = Alert::from_slice(&again).unwrap();
            assert!(alert.says_same(&again), "{file}: {alert:?}\n{again:?}");
            assert_eq!(alert.id(), again.id());
        }
    }
}

/// The model against another reader: of every member that Falco writes as we do, the same JSON value.
#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn what_is_written_anew_is_the_same_json() {
    for (file, _) in FILES {
        for alert in read_all(&bytes(file)).flatten() {
            let before: Value = serde_json::from_slice(alert.as_bytes()).unwrap();
            let after: Value = serde_json::to_value(&alert).unwrap();
            for (name, value) in before.as_object().unwrap() {
                let spelled_anew = matches!(name.as_str(), "time" | "priority");
                let nothing = value.is_null() || value == "";
                assert!(
                    spelled_anew || nothing || after.get(name) == Some(value),
                    "{file}: {name} of {alert:?}"
                );
            }
        }
    }
}
