//! Several documents and files.

use drop_core::policy::{Policies, Source};

use super::{brief, response};

#[test]
fn all_mistakes_of_all_files_are_reported_at_once() {
    let first = format!(
        "{}---\n{}",
        response("proc.nmae = sh"),
        response("alert.rule = x")
    );
    let second = response("alert.rule = x")
        .replace("mode", "mood")
        .replace("do:", "doo:");
    let wrong = Policies::parse(&[
        Source {
            name: "a.yaml",
            text: &first,
        },
        Source {
            name: "b.yaml",
            text: &second,
        },
    ])
    .unwrap_err();
    let places: Vec<_> = wrong
        .iter()
        .map(|one| format!("{}:{}", one.file, one.line))
        .collect();
    assert_eq!(places, ["a.yaml:8", "b.yaml:7", "b.yaml:9"]);
}

#[test]
fn two_policies_of_one_name_are_a_mistake() {
    let twice = Policies::parse(&[
        Source {
            name: "a.yaml",
            text: &response("alert.rule = x"),
        },
        Source {
            name: "b.yaml",
            text: &response("alert.rule = x"),
        },
    ]);
    assert_eq!(
        brief(&twice.unwrap_err()),
        ["4:9 two policies are named `p`; the other is in a.yaml"]
    );
}
