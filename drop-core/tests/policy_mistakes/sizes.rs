//! No nesting and no length is a crash.

use super::{brief, good, policy, response, wrong};

#[test]
fn nesting_and_length_are_errors_and_no_crash() {
    let deep = format!("'{}a{}'", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(
        brief(&wrong(&response(&deep))),
        ["8:14 the condition is too long: 200001 bytes, at most 65536"]
    );
    let deep = format!("'{}a{}'", "(".repeat(30_000), ")".repeat(30_000));
    assert_eq!(
        brief(&wrong(&response(&deep))),
        ["8:114 parentheses are nested more than 100 deep"]
    );
    let nots = format!("'{}proc.name = x'", "not ".repeat(10_000));
    good(&response(&nots));
    let deep = format!("'{}proc.name = x{}'", "(".repeat(100), ")".repeat(100));
    good(&response(&deep));
    let lines = "[".repeat(100_000);
    assert_eq!(wrong(&lines).len(), 1);
}

/// Each macro is twice the one before: 2^18 parts.
#[test]
fn macros_that_double_are_too_large() {
    let macros: String = (1..19)
        .map(|i| format!("    m{i}x{i}: m{0}x{0} and m{0}x{0}\n", i - 1))
        .collect();
    let text = policy(&format!(
        "  macros:\n    m0x0: proc.name = x\n{macros}  responses: [{{ name: r, when: m18x18, do: [record: {{}}] }}]\n"
    ));
    assert!(
        brief(&wrong(&text)).iter().any(|line| line.contains("too large")),
        "{}",
        wrong(&text)
    );
}

#[test]
fn macros_may_be_as_deep_as_a_condition_and_no_deeper() {
    let chain = |length: usize| {
        let macros: String = (1..=length)
            .map(|i| format!("    k{i}z: not (k{}z and proc.pid = {i})\n", i - 1))
            .collect();
        policy(&format!(
            "  macros:\n    k0z: proc.name = x\n{macros}  responses: [{{ name: r, when: 'k{length}z', do: [record: {{}}] }}]\n"
        ))
    };
    let deepest = good(&chain(110));
    assert_eq!(deepest.print().matches("proc.pid").count(), 110);
    assert!(
        brief(&wrong(&chain(130)))
            .iter()
            .any(|line| line.contains("too large"))
    );
}
