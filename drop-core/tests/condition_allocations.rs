//! Nothing is allocated on the way to "no match".
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop")]

use allocation_counter::measure;
use drop_core::condition::Truth;
use drop_core::plan::plan;
use drop_core::policy::{Policies, Source};
use falco_event::Alert;

fn alert() -> Alert {
    Alert::from_slice(
        br#"{"time":"2026-01-02T03:04:05Z","rule":"Shell","priority":"Notice","source":"syscall","tags":["a","b"],"output_fields":{
        "proc.name":"bash","proc.aname[2]":"sshd","fd.sip":"10.0.0.1","fd.name":"/etc/x","proc.pid":7,"k8s.ns.name":null,
        "fd.types":["file"],"evt.time":1767323045123456789,"proc.cmdline":"bash -c 'id'","Upper":"ABC"}}"#,
    )
    .unwrap()
}

/// Conditions that do not hold, each by another operator, and none by its rule.
const FALSE: &[&str] = &[
    "proc.name = sh",
    "proc.name in (sh, zsh)",
    "not proc.name in (bash)",
    "proc.name contains x and fd.name startswith /var",
    "proc.name icontains X",
    "proc.name endswith x",
    "fd.name glob /var/*",
    "fd.name iglob /VAR/*",
    "fd.name pmatch (/var, /opt/*)",
    "proc.name regex z+",
    "proc.aname = x",
    "proc.pid > 8",
    "evt.time < 5",
    "fd.sip = 1.1.1.1",
    "fd.net = 1.0.0.0/8",
    "fd.types in (directory)",
    "alert.tags intersects (c)",
    "alert.priority >= Warning",
    "k8s.ns.name exists",
    "k8s.ns.name = x or not proc.pid exists",
    "proc.name = val(fd.name)",
    "proc.name = oneof (a, b)",
    "tolower(proc.name) = x",
    "basename(fd.name) = y",
    "len(proc.name) = 9",
    "alert.field[Upper] = x",
    "pod.namespace = a and proc.name = sh",
    "proc.exepath = x",
];

fn policies() -> Policies {
    let mut text = String::from(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: { name: p }\nspec:\n  mode: enforce\n  responses:\n",
    );
    for (i, when) in FALSE.iter().enumerate() {
        text += &format!("    - name: r{i}\n      when: {when:?}\n      do: [{{ delete: {{}} }}]\n");
    }
    for i in 0..100 {
        text += &format!("    - name: n{i}\n      when: alert.rule = x{i}\n      do: [{{ delete: {{}} }}]\n");
    }
    Policies::parse(&[Source {
        name: "p",
        text: &text,
    }])
    .unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn no_match_allocates_nothing() {
    let (policies, alert) = (policies(), alert());
    for (_, response) in policies.candidates("Shell") {
        // the first use fills what is filled once: the regular expression's cache
        assert_eq!(
            response.when.eval(&alert, None),
            Truth::False,
            "{}",
            response.when
        );
        let used = measure(|| assert_eq!(response.when.eval(&alert, None), Truth::False));
        assert_eq!(used.count_total, 0, "{}", response.when);
    }
    let used = measure(|| assert!(plan(&policies, &alert).is_empty()));
    assert_eq!(used.count_total, 0);
}
