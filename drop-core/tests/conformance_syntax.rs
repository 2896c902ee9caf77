//! Falco's own cases of the syntax, and conditions of real rules.
#![expect(clippy::panic, reason = "a test may stop")]

use std::path::Path;

use drop_core::condition::parse;
use serde_json::Value;

fn shared(name: &str) -> String {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Falco's tests put every blank in the place of every other.
fn with_other_blanks(input: &str) -> impl Iterator<Item = String> {
    [" ", "\n", "\t", "  ", "\r\n"]
        .into_iter()
        .map(|blank| input.replace(' ', blank))
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn falco_accepts_and_rejects_the_same() {
    let mut wrong = Vec::new();
    let mut seen = [0, 0];
    for line in shared("filter_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let input = case["input"].as_str().unwrap();
        let good = match case["kind"].as_str().unwrap() {
            "reject" => false,
            "compile_fail" => continue,
            _ => true,
        };
        seen[usize::from(good)] += 1;
        if let Err(problem) = parse(input) {
            if good {
                wrong.push(format!("refused: {input}\n    {problem}"));
            }
        } else if !good {
            wrong.push(format!("accepted: {input}"));
        }
        if case["suite"] == "parser" {
            for variant in with_other_blanks(input) {
                assert_eq!(parse(&variant).is_ok(), parse(input).is_ok(), "{variant:?}");
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {seen:?}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn real_conditions_parse_and_print() {
    let mut seen = 0;
    for line in shared("rule_conditions.tsv").lines().skip(1) {
        let text = line.splitn(4, '\t').nth(3).unwrap();
        let tree = parse(text).unwrap_or_else(|problem| panic!("{text}\n{problem}"));
        let printed = tree.to_string();
        assert_eq!(parse(&printed).as_ref(), Ok(&tree), "{printed}");
        seen += 1;
    }
    assert_eq!(seen, 678);
}
