//! Every mistake in a policy is an error, with its place and the right spelling.

#![cfg(test)]

mod actions;
mod conditions;
mod documents;
mod files;
mod names;
mod sizes;

use drop_core::policy::{Diagnostics, Policies, Source};

/// A policy with these keys in its `spec`.
fn policy(spec: &str) -> String {
    format!("apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata:\n  name: p\nspec:\n{spec}")
}

/// A policy with one response, and this condition.
fn response(when: &str) -> String {
    policy(&format!(
        "  responses:\n    - name: r\n      when: {when}\n      do:\n        - delete: {{}}\n"
    ))
}

fn good(text: &str) -> Policies {
    Policies::parse(&[Source { name: "p.yaml", text }]).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn wrong(text: &str) -> Diagnostics {
    match Policies::parse(&[Source { name: "p.yaml", text }]) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(wrong) => wrong,
    }
}

/// `line:column message (nearest)` of each.
fn brief(wrong: &Diagnostics) -> Vec<String> {
    let one = |one: &drop_core::policy::Diagnostic| {
        let nearest = one
            .nearest
            .as_ref()
            .map(|nearest| format!(" ({nearest})"))
            .unwrap_or_default();
        format!("{}:{} {}{nearest}", one.line, one.column, one.message)
    };
    wrong.iter().map(one).collect()
}

/// A good policy in which one text is replaced has this mistake, perhaps among others.
fn each_is_among_the_mistakes(cases: &[(&str, &str, &str)]) {
    let before = response("alert.rule = x");
    good(&before);
    let misses = cases.iter().filter_map(|(from, to, want)| {
        let got = brief(&wrong(&before.replacen(from, to, 1)));
        (!got.iter().any(|got| got == want)).then(|| format!("{to}\n   want {want}\n   got {got:?}"))
    });
    let misses: Vec<_> = misses.collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

/// A response with this condition has this mistake and no other.
fn each_is_the_only_mistake(cases: &[(&str, &str)]) {
    let misses = cases.iter().filter_map(|(when, want)| {
        let got = brief(&wrong(&response(when)));
        (got != [*want]).then(|| format!("{when}\n   want {want}\n   got {got:?}"))
    });
    let misses: Vec<_> = misses.collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}
