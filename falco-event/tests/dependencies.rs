//! What the crate asks of those who depend on it.

use std::process::Command;

/// Numbers are kept as text. `serde_json`'s `arbitrary_precision` would keep them too, and break the programs that
/// depend on this crate, because a feature is on for all of a program: there `1.10` would print as it was written.
#[test]
fn arbitrary_precision_is_off() {
    let value: serde_json::Value = serde_json::from_str("[1.10, 123456789012345678901234567890]").unwrap();
    assert_eq!(value.to_string(), "[1.1,1.2345678901234568e+29]");
}

#[test]
fn without_features_there_are_five_dependencies() {
    let args = [
        "tree",
        "--offline",
        "-p",
        "falco-event",
        "-e",
        "normal",
        "--no-default-features",
        "--depth",
        "1",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let mut names: Vec<_> = tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["jiff", "serde", "serde_json", "sha2", "thiserror"]);
}
