//! Falco's own cases of the syntax, and conditions of real rules.
#![expect(clippy::panic, reason = "a test may stop")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test reads a file, and what is tested does not"
)]

use std::path::Path;

use drop_core::condition::parse;
use drop_core::condition::tree::{At, CallArg, Check, Expr, Node, Operand, Right};
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

/// Places of the nodes as Falco's tests write them: name, byte, line and column of each.
struct Places<'a>(&'a str, String);

impl Places<'_> {
    fn put(&mut self, name: &str, at: usize) {
        let before = self.0.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        self.1 += &format!("{name}{at} {line} {column}");
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.value {
            Node::Or(parts) | Node::And(parts) => {
                self.put(
                    if matches!(expr.value, Node::Or(_)) {
                        "or"
                    } else {
                        "and"
                    },
                    expr.span.start,
                );
                parts.iter().for_each(|part| self.expr(part));
            }
            // Falco's place of a negation is that of its first `not`, and a test's that of its field
            Node::Not(inner) => {
                self.put("not", expr.span.start);
                self.expr(inner);
            }
            Node::Macro(_) => self.put("identifier", expr.span.start),
            Node::Test(test) => {
                let unary = test.check == Check::Exists;
                self.put(if unary { "unary" } else { "binary" }, expr.span.start);
                self.operand(&test.left.value, test.left.span.start);
                if let Check::Compare { right, .. } = &test.check {
                    self.right(right);
                }
            }
        }
    }

    fn right(&mut self, right: &At<Right>) {
        match &right.value {
            Right::List(_) => self.put("list", right.span.start),
            Right::Operand(operand) => self.operand(operand, right.span.start),
            Right::Value(_) | Right::Named(_) | Right::Priority(_) => self.put("value", right.span.start),
        }
    }

    fn operand(&mut self, operand: &Operand, at: usize) {
        match operand {
            Operand::Field(_) => self.put("field", at),
            Operand::Val(..) => {
                self.put("transformer", at);
                self.put("field", at + "val(".len());
            }
            Operand::Call(call) => {
                self.put("transformer", at);
                for arg in &call.args {
                    if let CallArg::Operand(operand) = &arg.value {
                        self.operand(operand, arg.span.start);
                    }
                }
            }
        }
    }
}

#[test]
#[ignore = "reads ../shared, which .ci/run has"]
fn nodes_stand_where_falco_says() {
    let mut seen = 0;
    for line in shared("filter_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let Some(want) = case["positions"].as_str() else {
            continue;
        };
        let input = case["input"].as_str().unwrap();
        let mut places = Places(input, String::new());
        places.expr(&parse(input).unwrap());
        assert_eq!(places.1, want, "{input}");
        seen += 1;
    }
    assert!(seen > 0);
}
