//! Writes seeds for the fuzz targets, one of each line of the files of a folder, and some of several lines:
//! `cargo run -p falco-event --example fuzz_seed -- <folder of .jsonl files>`; without a folder, of the crate's fixtures.

use std::fs;
use std::path::Path;

use falco_event::cloudevents::{CONTENT_TYPE, Sender};
use falco_event::{Alert, Timestamp};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");

fn main() -> std::io::Result<()> {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let folder = std::env::args().nth(1).unwrap_or_else(|| fixtures.to_owned());
    for target in ["alert", "binding"] {
        fs::create_dir_all(Path::new(CORPUS).join(target))?;
    }
    let mut number = 0;
    for file in fs::read_dir(folder)? {
        let file = fs::read(file?.path())?;
        let lines: Vec<&[u8]> = file
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        for pair in lines.chunks(2).take(5) {
            number += 1;
            seed("alert", number, &body(pair))?;
        }
        for line in lines {
            number += 1;
            seed("alert", number, line)?;
            seed("binding", number, &binary(line))?;
            if let Ok(alert) = Alert::from_slice(line) {
                seed("binding", number + 1_000_000, &structured(&alert))?;
            }
        }
    }
    Ok(())
}

fn seed(target: &str, number: u32, bytes: &[u8]) -> std::io::Result<()> {
    fs::write(
        Path::new(CORPUS).join(target).join(format!("seed-{number}")),
        bytes,
    )
}

/// An array and lines, with what is not JSON between.
fn body(lines: &[&[u8]]) -> Vec<u8> {
    let array = lines.join(b",".as_slice());
    [
        b"junk\n[",
        array.as_slice(),
        b",]x\n",
        array.as_slice(),
        b",\n{\"a\":\n",
        array.as_slice(),
    ]
    .concat()
}

fn binary(line: &[u8]) -> Vec<u8> {
    let head = "ce-specversion: 1.0\nce-id: 1\nce-source: https://falco.org\nce-type: falco.rule.output.v1\n\
                ce-rule: Terminal%20shell in \"container\"\nce-time: 2026-01-01T00:00:00Z\n\
                content-type: application/json; charset=utf-8\n\n";
    [head.as_bytes(), line].concat()
}

fn structured(alert: &Alert) -> Vec<u8> {
    let event = Sender::default().structured(alert, Timestamp::UNIX_EPOCH);
    [format!("content-type: {CONTENT_TYPE}\n\n").as_bytes(), &event].concat()
}
