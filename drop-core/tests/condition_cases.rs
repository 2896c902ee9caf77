//! Cases of the condition language: what holds of which alert.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop")]

use drop_core::condition::{Condition, Scope, Truth};
use drop_core::facts::{Facts, Known};
use drop_core::pod::{Owner, Phase, Pod};
use falco_event::Alert;

const ALERT: &str = r#"{
    "time": "2026-01-02T03:04:05.123456789Z", "rule": "Terminal shell in container", "priority": "Warning",
    "source": "syscall", "hostname": "node-1", "output": "03:04:05 a shell", "tags": ["T1059", "container"],
    "output_fields": {
        "proc.name": "Bash", "proc.cmdline": "bash -c \"id\"", "proc.pid": 4242, "proc.aname[2]": "sshd",
        "proc.aname[3]": "systemd", "fd.sip": "10.1.2.3", "fd.cip": "192.168.0.9", "fd.sport": 443, "fd.cport": 50000,
        "fd.name": "/opt/dir/subdir/file.txt", "user.loginname": "<NA>", "user.loginuid": -1, "user.uid": 4294967295,
        "container.image.repository": "", "container.name": null, "container.privileged": true,
        "evt.time": 1767323045123456789, "proc.exe_ino.ctime": 18446744073709551615, "thread.cpu": 1.5,
        "fd.types": ["file", "directory"], "ka.user.groups": [], "k8s.pod.label[app]": "shop", "fd.dev": "0xfd00",
        "n_drops": "815508", "many": ["a"], "score": 7, "flag": true, "evt.arg[\"a b\"]": "x", "evt.arg.flags": "O_RDWR", "": "empty key",
        "proc.args": "YmFzaA==", "evt.rawarg.res": -65534
    }
}"#;

fn alert() -> Alert {
    Alert::from_slice(ALERT.as_bytes()).unwrap()
}

fn facts() -> Facts {
    let mut facts = Facts::of(Pod {
        namespace: "shop".parse().unwrap(),
        name: "web-0".parse().unwrap(),
        uid: "u-1".parse().unwrap(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        deletion: None,
        phase: Phase::Running,
        ready: true,
        node: Some("node-1".parse().unwrap()),
        containers: Vec::new(),
        labels: [
            ("app".to_owned(), "web".to_owned()),
            ("na".to_owned(), "<NA>".to_owned()),
        ]
        .into(),
        annotations: [("example.com/x".to_owned(), "y".to_owned())].into(),
        controller: Some(Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: "web-1".into(),
            uid: "o".into(),
        }),
        service_account: Some("web".to_owned()),
        priority_class: None,
        mirror: false,
    });
    facts.owner = Known::Is(Some(Owner {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: "web".into(),
        uid: "o".into(),
    }));
    facts.namespace = Known::Is([("team".to_owned(), "a".to_owned())].into());
    facts
}

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.add_list("shells", ["bash", "Bash", "sh"]).unwrap();
    scope.add_list("more-shells", ["shells", "zsh"]).unwrap();
    scope
        .add_macro("shell_proc", "proc.name in (shells) or proc.name = \"zsh\"")
        .unwrap();
    scope.add_field("n_drops.x", "uint").unwrap();
    scope
}

fn condition(text: &str) -> Condition {
    Condition::compile(text, &scope()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

#[track_caller]
fn check(cases: &[(&str, bool)]) {
    for (text, want) in cases {
        assert_eq!(condition(text).eval(&alert(), None), Truth::from(*want), "{text}");
    }
}

#[test]
fn missing_is_absent_null_or_na_and_every_comparison_with_it_is_false() {
    check(&[
        ("user.loginname exists", false),
        ("user.loginname = \"<NA>\"", false),
        ("user.loginname != root", false),
        ("not user.loginname = root", true),
        ("container.name exists", false),
        ("container.name != x", false),
        ("proc.exepath exists", false),
        ("proc.exepath in (a)", false),
        ("not proc.exepath in (a)", true),
        ("container.image.repository exists", true),
        ("container.image.repository = \"\"", true),
        ("ka.user.groups exists", false),
        ("ka.user.groups in ()", false),
        ("ka.user.groups intersects (a)", false),
        ("tolower(user.loginname) != x", false),
        ("concat(user.loginname, \"x\") != y", false),
        ("proc.name = val(proc.exepath)", false),
        ("proc.name != val(proc.exepath)", false),
    ]);
}

#[test]
fn the_envelope_is_compared() {
    check(&[
        ("alert.rule = \"Terminal shell in container\"", true),
        ("alert.rule in (\"Terminal shell in container\", x)", true),
        ("alert.rule startswith Terminal", true),
        ("alert.priority = Warning", true),
        ("alert.priority = warning", true),
        ("alert.priority in (Error, Warning)", true),
        ("alert.priority >= Warning", true),
        ("alert.priority >= Notice", true),
        ("alert.priority >= Error", false),
        ("alert.priority > Notice", true),
        ("alert.priority > Warning", false),
        ("alert.priority < Error", true),
        ("alert.priority <= info", false),
        ("alert.source = syscall", true),
        ("alert.hostname = node-1", true),
        ("alert.output contains shell", true),
        ("alert.tags intersects (container, x)", true),
        ("alert.tags in (container)", false),
        ("alert.tags in (container, T1059, x)", true),
        ("alert.tags exists", true),
        ("len(alert.tags) = 2", true),
        ("alert.time > 1767323045123456788", true),
        ("alert.time = 1767323045123456789", true),
        ("alert.field[\"\"] = \"empty key\"", true),
        ("alert.field[n_drops] > 9", true),
        ("alert.field[n_drops] = 815508", true),
        ("alert.field[score] > 6", true),
        ("alert.field[score] in (6, 7)", true),
        ("alert.field[flag] = true", true),
        ("alert.field[flag] = yes", false),
        ("alert.field[many] exists", true),
        ("alert.field[many] = a", false),
        ("alert.field[many] in (a)", false),
        ("not alert.field[many] != a", true),
        ("alert.field['evt.arg[\"a b\"]'] = x", true),
        ("alert.field[proc.pid] = 4242", true),
    ]);
}

#[test]
fn numbers_are_exact() {
    check(&[
        ("evt.time = 1767323045123456789", true),
        ("evt.time = 1767323045123456788", false),
        ("evt.time < 1767323045123456790", true),
        ("proc.exe_ino.ctime >= 9223372036854775807", true),
        ("user.loginuid = -1", true),
        ("user.loginuid < 0", true),
        ("user.uid = -1", true),
        ("user.uid = 4294967295", true),
        ("thread.cpu > 1", true),
        ("thread.cpu < 2", true),
        ("thread.cpu = 1", false),
        ("proc.pid in (1, 4242)", true),
        ("proc.pid != 4242", false),
        ("fd.dev = 64768", true),
        ("evt.rawarg.res < -1", true),
        ("container.privileged = true", true),
        ("container.privileged != true", false),
        ("container.privileged in (false)", false),
    ]);
}

#[test]
fn addresses_and_ports_are_compared() {
    check(&[
        ("fd.sip = 10.1.2.3", true),
        ("fd.sip != ::1", true),
        ("fd.sip in (10.1.2.3, ::1)", true),
        ("fd.snet = 10.0.0.0/8", true),
        ("fd.snet in (10.0.0.0/8, ::1/128)", true),
        ("fd.cnet = 10.0.0.0/8", false),
        ("fd.net = 10.0.0.0/8", true),
        ("fd.net != 10.0.0.0/8", false),
        ("fd.net != 172.16.0.0/12", true),
        ("fd.ip = 192.168.0.9", true),
        ("fd.ip != 192.168.0.9", false),
        ("fd.ip != 1.1.1.1", true),
        ("fd.ip = oneof (10.1.2.3, 1.1.1.1)", true),
        ("fd.rip = 10.1.2.3", false),
        ("fd.sport = https", true),
        ("fd.port = 443", true),
        ("fd.port > 49999", true),
        ("fd.port != 443", false),
        ("fd.rport != 443", false),
    ]);
    let one_end = Alert::from_slice(br#"{"time":"2026-01-02T03:04:05Z","rule":"r","priority":"Notice","output_fields":{"fd.sip":"1.2.3.4"}}"#).unwrap();
    assert_eq!(condition("fd.ip = 1.2.3.4").eval(&one_end, None), Truth::True);
    // the other end is not known, so it cannot be said that both differ
    assert_eq!(condition("fd.ip != 1.1.1.1").eval(&one_end, None), Truth::False);
}

#[test]
fn texts_are_compared() {
    check(&[
        ("proc.name = bash", false),
        ("proc.name = Bash", true),
        ("proc.name == \"Bash\"", true),
        ("proc.name icontains BAS", true),
        ("proc.name < 1", false),
        ("proc.cmdline contains '-c \"id\"'", true),
        ("proc.cmdline endswith '\"'", true),
        ("fd.name glob /opt/*.txt", true),
        ("fd.name iglob /OPT/*", true),
        ("fd.name regex /opt/.*", true),
        ("fd.name regex /opt/", false),
        ("fd.name pmatch (/opt/dir, /x)", true),
        ("fd.name pmatch (/opt/*/subdir2)", false),
        ("proc.name startswith anyof (ba, Ba)", true),
        ("proc.name = allof (Bash, Bash)", true),
        ("proc.name != anyof (Bash, sh)", true),
        ("proc.name != allof (Bash, sh)", false),
        ("fd.types in (file, directory, x)", true),
        ("fd.types in (file)", false),
        ("fd.types intersects (file)", true),
        ("proc.aname = sshd", true),
        ("proc.aname = bash", false),
        ("proc.aname in (systemd)", true),
        ("proc.aname[2] = sshd", true),
        ("proc.aname[2] = systemd", false),
        ("k8s.pod.label[app] = shop", true),
        ("evt.arg[\"a b\"] = x", true),
        ("evt.arg.flags = O_RDWR", true),
        ("shell_proc", true),
        ("not shell_proc", false),
        ("proc.name in (more-shells)", true),
        ("proc.name = oneof shells", true),
        ("proc.name in shells", true),
    ]);
}

#[test]
fn transformers_make_values() {
    check(&[
        ("tolower(proc.name) = bash", true),
        ("toupper(proc.name) = BASH", true),
        ("basename(fd.name) = file.txt", true),
        ("len(proc.name) = 4", true),
        ("len(fd.types) >= 2", true),
        ("b64(proc.args) = bash", true),
        ("b64(fd.name) exists", false),
        ("join(\",\", (proc.name, \"x\", 1)) = \"Bash,x,1\"", true),
        ("join(\",\", fd.types) = \"file,directory\"", true),
        ("concat(proc.name, \"x\") = Bashx", true),
        ("toupper(concat(\"a\", \"b\")) = AB", true),
        ("getopt((\"-n\", \"-t\", \"v\"), \"nt:\")[t] = v", true),
        ("getopt((\"-n\"), \"nt:\")[t] exists", false),
        ("proc.name = val(proc.name)", true),
        ("tolower(proc.name) = tolower(proc.name)", true),
        ("proc.name = val(fd.name)", false),
        ("proc.pid > val(user.loginuid)", true),
    ]);
}

#[test]
fn the_pod_is_unknown_until_it_is_read() {
    let facts = facts();
    let mut unread = Facts::of(facts.pod.clone());
    unread.namespace = Known::Unknown("forbidden".to_owned());
    use Truth::{False, True, Unknown};
    let cases = [
        ("pod.namespace = shop", Unknown, True, True),
        ("pod.name = web-0 and proc.name = sh", False, False, False),
        ("pod.name = web-0 or proc.name = Bash", True, True, True),
        ("not pod.namespace in (shop)", Unknown, False, False),
        (
            "pod.node = node-1 and pod.serviceaccount = web",
            Unknown,
            True,
            True,
        ),
        ("pod.label[app] = web", Unknown, True, True),
        ("pod.label[na] = \"<NA>\"", Unknown, True, True),
        ("pod.label[none] exists", Unknown, False, False),
        ("pod.annotation[example.com/x] = y", Unknown, True, True),
        ("pod.priorityclass exists", Unknown, False, False),
        ("pod.owner.kind = Deployment", Unknown, True, Unknown),
        ("not pod.owner.name = web", Unknown, False, Unknown),
        ("pod.owner.kind exists", Unknown, True, Unknown),
        ("ns.label[team] = a", Unknown, True, Unknown),
        ("ns.label[none] != a", Unknown, False, Unknown),
        ("pod.namespace = val(k8s.ns.name)", False, False, False),
        ("concat(pod.namespace, pod.name) = shopweb-0", Unknown, True, True),
    ];
    for (text, before, read, partly) in cases {
        let condition = condition(text);
        assert_eq!(condition.eval(&alert(), None), before, "{text} before");
        assert_eq!(condition.eval(&alert(), Some(&facts)), read, "{text} read");
        assert_eq!(condition.eval(&alert(), Some(&unread)), partly, "{text} partly");
    }
}

#[test]
fn a_condition_wants_no_more_than_it_reads() {
    let wants = |text| {
        let wants = condition(text).wants();
        (wants.namespace, wants.owner, wants.siblings)
    };
    assert_eq!(
        wants("pod.namespace = a and proc.name = b"),
        (false, false, false)
    );
    assert_eq!(wants("not ns.label[a] = b"), (true, false, false));
    assert_eq!(wants("proc.name = tolower(pod.owner.name)"), (false, true, false));
}

#[test]
fn the_rules_that_a_condition_names_are_found() {
    let rules = |text: &str| {
        condition(text)
            .rules()
            .map(|rules| rules.iter().cloned().collect::<Vec<_>>().join(","))
    };
    let cases = [
        ("alert.rule = a", Some("a")),
        ("alert.rule in (a, b) and proc.name = x", Some("a,b")),
        ("alert.rule = a or alert.rule = b", Some("a,b")),
        ("alert.rule = a or proc.name = x", None),
        ("not alert.rule = a", None),
        ("not alert.rule != a", Some("a")),
        ("not (alert.rule != a or proc.name = x)", Some("a")),
        ("not (alert.rule != a and proc.name = x)", None),
        ("alert.rule startswith a", None),
        ("alert.rule = anyof (a, b)", Some("a,b")),
        ("alert.rule in (a, b) and alert.rule in (b, c)", Some("b")),
        ("tolower(alert.rule) = a", None),
        ("alert.rule intersects (a)", Some("a")),
        (
            "(proc.name = x and alert.rule = a) or (alert.rule = b and proc.name = y)",
            Some("a,b"),
        ),
    ];
    for (text, want) in cases {
        assert_eq!(rules(text).as_deref(), want, "{text}");
    }
}
