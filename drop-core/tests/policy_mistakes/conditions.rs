//! A condition with a mistake is refused: it is never dropped, widened, or read as something else.

use super::{each_is_the_only_mistake, good, response, wrong};

#[test]
fn fields_are_known_and_take_what_they_take() {
    each_is_the_only_mistake(&[
        ("proc.nmae = sh", "8:13 no such field: `proc.nmae` (proc.name)"),
        (
            "pod.labels[app] = x",
            "8:13 no such field: `pod.labels` (pod.label)",
        ),
        (
            "alert.field = x",
            "8:13 `alert.field` needs an argument: `alert.field[\"key\"]`",
        ),
        ("evt.arg = x", "8:13 `evt.arg` needs an argument: `evt.arg[…]`"),
        ("proc.name[1] = x", "8:13 `proc.name` takes no argument"),
        ("tolower(proc.aname) = x", "8:21 this field cannot be transformed"),
        (
            "proc.name = val(proc.pid)",
            "8:25 the left side is text and the right side is a whole number",
        ),
        (
            "proc.name = val(proc.aname)",
            "8:25 this field can only stand on the left side",
        ),
    ]);
}

#[test]
fn values_are_of_the_type_of_their_field() {
    each_is_the_only_mistake(&[
        (
            "alert.priority >= Warnng",
            "8:31 `Warnng` is no priority (Warning)",
        ),
        ("alert.priority >= 4", "8:31 a priority is compared by its name"),
        (
            "alert.priority = Warnings",
            "8:30 `Warnings` is no priority (Warning)",
        ),
        ("proc.pid = 1.5", "8:24 `1.5` is no whole number"),
        ("proc.pid = 0x10", "8:24 `0x10` is no whole number"),
        (
            "user.uid = 4294967296",
            "8:24 `4294967296` does not fit the field's 32 bits",
        ),
        (
            "proc.pid contains 1",
            "8:22 `contains` does not go with a whole number",
        ),
        (
            "user.uid in (4294967296)",
            "8:26 `4294967296` does not fit the field's 32 bits",
        ),
        (
            "fd.sport > 70000",
            "8:24 `70000` does not fit the field's 16 bits",
        ),
        (
            "proc.pid > 99999999999999999999",
            "8:24 `99999999999999999999` does not fit the field's 64 bits",
        ),
        ("fd.sip = 10.0.0.0/8", "8:22 `10.0.0.0/8` is no IP address"),
        ("fd.snet = 10.0.0.0", "8:23 `10.0.0.0` is no network"),
        ("fd.sport = htps", "8:24 `htps` is no port (https)"),
        ("container.privileged = yes", "8:36 `yes` is no truth value"),
        (
            "proc.name regex \"(\"",
            "8:29 not a regular expression: unclosed group",
        ),
        (
            "evt.buffer bcontains 00",
            "8:24 `bcontains` compares bytes, and an alert carries none: Falco prints buffers as text or in base64, cut at 1 KiB",
        ),
        (
            "alert.rule = a and alert.rule = b",
            "8:13 the condition can never hold: no alert is of two rules, or of none",
        ),
    ]);
}

#[test]
fn a_bound_beyond_the_field_is_compared_as_it_is() {
    let printed = good(&response("user.uid < 4294967296 or user.uid >= 4294967296")).print();
    assert!(
        printed.contains("user.uid < 4294967296 or user.uid >= 4294967296"),
        "{printed}"
    );
}

#[test]
fn operators_parentheses_and_words_are_falcos() {
    each_is_the_only_mistake(&[
        ("\"\"", "8:14 the condition is empty"),
        ("proc.name = sh AND fd.name exists", "8:28 unexpected `AND` (and)"),
        ("proc.name = sh && fd.name exists", "8:28 unexpected `&&` (and)"),
        ("proc.name contians sh", "8:23 unexpected `contians` (contains)"),
        (
            "proc.name in (a, b",
            "8:31 the condition ends too early: a `(` is not closed",
        ),
        (
            "(proc.name = sh",
            "8:28 the condition ends too early: a `(` is not closed",
        ),
        ("proc.name =", "8:24 the condition ends too early"),
    ]);
}

#[test]
fn lists_and_macros_are_known() {
    each_is_the_only_mistake(&[
        ("in_trusted", "8:13 no such macro: `in_trusted`"),
        ("proc.name in trusted", "8:26 no such list: `trusted`"),
    ]);
}

/// Alert texts and policies are shown escaped, on one line each.
#[test]
fn what_is_shown_stays_on_its_line() {
    let text = response("\"proc.name\\n\\e[31m = x\"");
    let wrong = wrong(&text);
    let message = &wrong.iter().next().unwrap().message;
    assert!(!message.contains(['\n', '\u{1b}']), "{message:?}");
}

#[test]
fn a_field_has_one_type() {
    let mut scope = drop_core::condition::Scope::default();
    scope.add_field("acme.score", "uint").unwrap();
    scope.add_field("acme.score", "uint").unwrap();
    let problem = scope.add_field("acme.score", "string").unwrap_err();
    assert_eq!(problem.message, "`acme.score` has another type already");
}
