//! The decision for one alert: with no response for its rule, with one, and with ten thousand that name other rules.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use drop_core::condition::parse;
use drop_core::plan::plan;
use drop_core::policy::{Policies, Source};
use falco_event::Alert;

fn alert(rule: &str) -> Alert {
    let text = format!(
        r#"{{"hostname":"node-1","output":"a shell was spawned","priority":"Notice","rule":"{rule}","source":"syscall",
        "tags":["T1059","container","maturity_stable","mitre_execution","shell"],"time":"2026-01-02T03:04:05.123456789Z",
        "output_fields":{{"container.id":"3ad7b26ded6d","container.image.repository":"registry.example.com/shop/web",
        "container.name":"web","evt.time":1767323045123456789,"evt.type":"execve","k8s.ns.name":"shop","k8s.pod.name":"web-0",
        "proc.cmdline":"bash -c id","proc.exepath":"/bin/bash","proc.name":"bash","proc.pname":"runc","proc.tty":34816,
        "user.loginuid":-1,"user.name":"root","user.uid":0}}}}"#
    );
    Alert::from_slice(text.as_bytes()).unwrap()
}

/// One policy: responses that name other rules, then `more`.
fn policies(others: usize, more: &str) -> Policies {
    let mut text = String::from(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: { name: p }\nspec:\n  mode: enforce\n  responses:\n",
    );
    for i in 0..others {
        text += &format!(
            "    - name: r{i}\n      when: alert.rule = \"Rule {i}\" and proc.name in (sh, bash)\n      do: [{{ delete: {{}} }}]\n"
        );
    }
    Policies::parse(&[Source {
        name: "p",
        text: &(text + more),
    }])
    .unwrap()
}

const TYPICAL: &str = r#"    - name: shell
      when: >-
        alert.rule = "Terminal shell in container" and alert.priority >= Notice and proc.name in (sh, bash, zsh)
        and container.image.repository exists and not container.image.repository startswith "registry.example.com/tools/"
        and not k8s.ns.name in (kube-system, falco) and not pod.namespace in (monitoring)
      do: [{ delete: {} }]
"#;

const ANY_RULE: &str = r#"    - name: any
      when: alert.priority >= Critical and fd.name glob "/etc/*" and not proc.name in (a, b, c)
      do: [{ delete: {} }]
"#;

fn decision(c: &mut Criterion) {
    let (shell, other) = (
        alert("Terminal shell in container"),
        alert("Drop and execute new binary"),
    );
    let mut group = c.benchmark_group("decision");
    for others in [10, 10_000] {
        let policies = policies(others, TYPICAL);
        group.bench_function(format!("no response, {others} others"), |b| {
            b.iter(|| black_box(plan(&policies, black_box(&other)).is_empty()))
        });
        group.bench_function(format!("one response, {others} others"), |b| {
            b.iter(|| black_box(plan(&policies, black_box(&shell)).is_empty()))
        });
    }
    let wide = policies(10, &(TYPICAL.to_owned() + ANY_RULE));
    group.bench_function("no match of a response for any rule", |b| {
        b.iter(|| black_box(plan(&wide, black_box(&other)).is_empty()))
    });
    group.finish();
    c.bench_function("parse a condition", |b| {
        b.iter(|| {
            parse(black_box(
                "alert.rule = x and proc.name in (sh, bash) and not container.image.repository in (a, b)",
            ))
        })
    });
}

criterion_group!(benches, decision);
criterion_main!(benches);
