//! The checks: each step of `.ci/run` is a recipe, and `CONTRIBUTING.md` has them all.

use std::collections::BTreeSet;

use crate::{between, read, root};

fn steps() -> BTreeSet<String> {
    between(&read(".ci/run"), "\nsteps=(", ")")
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The recipes with their one command.
fn recipes() -> Vec<(String, String)> {
    let text = read("justfile");
    let lines: Vec<_> = text.lines().collect();
    let heads = lines
        .windows(2)
        .filter(|pair| pair[1].starts_with("    ") && pair[0].ends_with(':'));
    heads
        .map(|pair| {
            (
                pair[0].trim_end_matches(':').to_owned(),
                pair[1].trim().to_owned(),
            )
        })
        .collect()
}

#[test]
fn each_step_of_ci_is_a_recipe() {
    let run = recipes().into_iter().filter_map(|(name, command)| {
        let step = command.strip_prefix(".ci/run ")?.to_owned();
        assert_eq!(name, step);
        Some(step)
    });
    assert_eq!(run.collect::<BTreeSet<_>>(), steps());
}

#[test]
fn each_step_of_ci_is_a_function_of_the_script() {
    let script = read(".ci/run");
    for step in steps() {
        assert!(script.contains(&format!("\n{step}() {{\n")), "{step}");
    }
}

#[test]
fn contributing_names_every_recipe_and_no_other() {
    let named: BTreeSet<_> = read("CONTRIBUTING.md")
        .split("`just ")
        .skip(1)
        .map(|rest| rest.split('`').next().unwrap().to_owned())
        .collect();
    let there: BTreeSet<_> = recipes()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name != "default")
        .collect();
    assert_eq!(named, there);
}

/// What a script runs must be executable in a fresh clone.
#[cfg(unix)]
#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    for script in [".ci/run", ".ci/ran", "release/generate"] {
        let mode = std::fs::metadata(root().join(script))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{script}");
    }
}
