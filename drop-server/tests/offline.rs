//! `check`, `explain` and `print`, as a person or a CI runs them.

#![cfg(test)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

const POLICY: &str = r#"
apiVersion: falco-drop.dev/v1alpha1
kind: DropPolicy
metadata: { name: p }
spec:
  mode: enforce
  lists: { shells: [bash, sh] }
  responses:
    - { name: shell, when: alert.rule = "Terminal shell in container" and proc.name in (shells), do: [delete: {}] }
"#;

fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drop-server"));
    let pipes = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn policy(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn check_is_silent_about_a_good_policy_and_names_every_mistake_in_a_bad_one() {
    let good = policy(POLICY);
    let output = run(&["check", good.path().to_str().unwrap()], "");
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), ""));

    let bad = policy(
        &POLICY
            .replace("responses", "respones")
            .replace("enforce", "enforced"),
    );
    let output = run(&["check", bad.path().to_str().unwrap()], "");
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        shown.contains("did you mean `responses`?") && shown.contains("did you mean `enforce`?"),
        "{shown}"
    );
}

#[test]
fn check_for_programs_has_the_place_of_each_mistake() {
    let bad = policy(&POLICY.replace("proc.name", "proc.nam"));
    let output = run(&["check", "--format", "json", bad.path().to_str().unwrap()], "");
    let mistakes: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(mistakes[0]["severity"], "error");
    assert_eq!(
        (&mistakes[0]["line"], &mistakes[0]["nearest"]),
        (&9.into(), &"proc.name".into()),
        "{mistakes}"
    );
}

#[test]
fn warnings_end_well_unless_they_are_denied() {
    let dangerous = policy(&POLICY.replace("proc.name in (shells)", "not proc.name in (shells)"));
    let path = dangerous.path().to_str().unwrap();
    let output = run(&["check", path], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("warning"), "{}", out(&output));
    assert_eq!(
        run(&["check", "--deny-warnings", path], "").status.code(),
        Some(1)
    );
}

#[test]
fn explain_says_of_each_part_whether_it_holds() {
    let file = policy(POLICY);
    let path = file.path().to_str().unwrap();
    let alert = r#"{"rule":"Terminal shell in container","priority":"Notice","time":"2026-01-01T00:00:00Z","output_fields":{"proc.name":"zsh"}}"#;
    let output = run(
        &["explain", "--policy", path],
        &format!("{alert}\n{}", alert.replace("zsh", "bash")),
    );
    let shown = out(&output);
    assert!(output.status.success(), "{shown}");
    let parts: Vec<_> = shown.split("alert ").skip(1).collect();
    assert_eq!(parts.len(), 2, "{shown}");
    assert!(parts[0].contains("=> nothing"), "{}", parts[0]);
    assert!(
        parts[1].contains("=> delete the pod with 1 s of grace"),
        "{}",
        parts[1]
    );

    let output = run(&["explain", "--format", "json", "--policy", path, "-"], alert);
    let explained: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["responses"][0]["would"], "nothing", "{explained}");
}

#[test]
fn explain_goes_on_after_what_is_no_alert_and_says_so_by_its_code() {
    let file = policy(POLICY);
    let output = run(
        &["explain", "--policy", file.path().to_str().unwrap()],
        "{\"rule\":1}\n{\"rule\":\"a\\u001b[31m\",\"priority\":\"Notice\",\"time\":\"2026-01-01T00:00:00Z\"}",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("[a\\u{1b}[31m]"), "{}", out(&output));
    assert!(!output.stderr.is_empty());
}

#[test]
fn explain_says_what_records_are() {
    let file = policy(POLICY);
    let record = r#"{"record":"decided","version":1,"id":"0"}"#;
    let output = run(&["explain", "--policy", file.path().to_str().unwrap()], record);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("these are records of drop-server"), "{said}");
}

#[test]
fn print_shows_what_takes_effect_and_it_is_a_policy_itself() {
    let file = policy(POLICY);
    let printed = out(&run(&["print", file.path().to_str().unwrap()], ""));
    assert!(
        printed.contains("proc.name in (bash, sh)") && printed.contains("maxAlertAge: 5m"),
        "{printed}"
    );
    let again = policy(&printed);
    assert_eq!(out(&run(&["print", again.path().to_str().unwrap()], "")), printed);
}

#[test]
fn rbac_names_the_rights_of_the_policies_namespaces_only() {
    let file = policy(&POLICY.replace("mode: enforce", "mode: enforce\n  namespaces: [shop]"));
    let printed = out(&run(&["rbac", "--policy", file.path().to_str().unwrap()], ""));
    assert!(
        printed.contains("kind: Role\n") && printed.contains("namespace: shop"),
        "{printed}"
    );
    assert!(
        printed.contains("kind: ServiceAccount, namespace: falco-drop, name: drop-server"),
        "{printed}"
    );
    assert!(!printed.contains("kind: ClusterRole\n"), "{printed}");
    assert!(printed.contains("resources: [events]"), "{printed}");
    let silent = out(&run(
        &["rbac", "--no-events", "--policy", file.path().to_str().unwrap()],
        "",
    ));
    assert!(!silent.contains("events"), "{silent}");
}
