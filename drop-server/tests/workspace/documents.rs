//! The documents: links lead somewhere, the book has every page, and what they name exists.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::CommandFactory;
use drop_core::policy::{Policies, Source};

use crate::{between, files, read, root};

/// Every document: those of the root, and the book's pages.
fn documents() -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    all.extend(files(&root().join("docs/src"), ".md"));
    all
}

/// The targets of the links in a text, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        let ends = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.extend(ends.map(|(target, _)| target.to_owned()));
    }
    targets
}

/// A heading's anchor, as mdBook and GitHub make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_')
        .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.starts_with("http")) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(path)
            };
            assert!(target.exists(), "{}: `{link}`", document.display());
            if !heading.is_empty() {
                let there = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(
                    there.contains(heading),
                    "{}: `{link}`, there are {there:?}",
                    document.display()
                );
            }
        }
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary_once() {
    let mut listed = links(&read("docs/src/SUMMARY.md"));
    listed.sort();
    let pages = files(&root().join("docs/src"), ".md");
    let names = pages
        .iter()
        .map(|page| page.file_name().unwrap().to_str().unwrap().to_owned());
    let there: Vec<_> = names.filter(|name| name != "SUMMARY.md").collect();
    assert_eq!(listed, there);
}

#[test]
fn the_map_of_the_readme_has_every_folder() {
    let readme = read("README.md");
    let rows = between(&readme, "| folder | holds |", "\n\n").lines().skip(2);
    let mapped: Vec<_> = rows.map(|row| between(row, "| `", "` |").to_owned()).collect();
    let manifest = read("Cargo.toml");
    let members = between(&manifest, "members = [", "]")
        .split(',')
        .map(|member| member.trim().trim_matches('"'));
    for member in members.chain(["release", "docs"]) {
        assert!(
            mapped.iter().any(|folder| folder == member),
            "{member} is not in the map"
        );
    }
    for folder in mapped {
        assert!(root().join(&folder).is_dir(), "{folder}");
    }
}

#[test]
fn the_first_commands_of_the_readme_are_run_by_ci() {
    let readme = read("README.md");
    let script = read(".ci/run");
    let commands: Vec<_> = between(&readme, "```sh\n", "\n```")
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        assert!(script.contains(&command), "`{command}` is not in .ci/run");
    }
}

/// CI compiles and runs that file, so what a reader copies works.
#[test]
fn the_test_in_the_book_is_run_by_ci() {
    let test = read("drop-core/tests/my_policy.rs");
    let code = test.split_once("#![cfg(test)]\n\n").unwrap().1;
    let page = read("docs/src/test-a-policy.md");
    assert!(
        page.contains(&format!("```rust\n{code}```\n")),
        "docs/src/test-a-policy.md does not show drop-core/tests/my_policy.rs as it is"
    );
}

/// In `ARCHITECTURE.md` each invariant names what holds it: a test, a lint, or a step of CI.
#[test]
fn what_holds_an_invariant_exists() {
    let sources: Vec<_> = files(&root(), ".rs")
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let settings: String = ["Cargo.toml", ".ci/run", "deny.toml"].map(read).concat();
    let exists = |name: &str| {
        sources.iter().any(|text| text.contains(&format!("fn {name}(")))
            || settings
                .split([' ', '\n', '"', '(', '=', '{'])
                .any(|word| word == name)
    };
    let text = read("ARCHITECTURE.md");
    let is_row = |line: &&str| {
        line.strip_prefix("| ")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let rows: Vec<_> = text.lines().filter(is_row).collect();
    assert!(rows.len() >= 10, "{rows:?}");
    for (row, number) in rows.iter().zip(1..) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(
            (cells.len(), cells[0].trim()),
            (3, number.to_string().as_str()),
            "{row}"
        );
        let names: Vec<_> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing holds: {row}");
        for name in names {
            assert!(exists(name), "there is no `{name}`: {row}");
        }
    }
}

/// The policy in a block of YAML, also where it is a text within another document.
fn policy_in(block: &str) -> Option<String> {
    let is_first = |line: &&str| line.trim_start().starts_with("apiVersion: falco-drop.dev");
    let first = block.lines().position(|line| is_first(&line))?;
    let lines = block.lines().skip(first);
    let indent = lines.clone().next()?.find("apiVersion")?;
    let own = lines.map_while(|line| line.get(indent..));
    Some(own.collect::<Vec<_>>().join("\n"))
}

/// Whole policies, as a person would copy them.
#[test]
fn every_policy_in_the_documents_is_one() {
    let mut count = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let blocks = text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("\n```").next());
        for text in blocks.filter_map(policy_in) {
            let name = document.to_str().unwrap();
            if let Err(wrong) = Policies::parse(&[Source { name, text: &text }]) {
                panic!("{wrong}");
            }
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn the_configuration_page_names_every_command_and_option() {
    let page = read("docs/src/configuration.md");
    let command = drop_server::command::Command::command();
    for subcommand in command.get_subcommands() {
        assert!(page.contains(subcommand.get_name()), "{}", subcommand.get_name());
        for argument in subcommand
            .get_arguments()
            .filter(|argument| argument.get_id() != "help")
        {
            let option = argument.get_long().filter(|_| !argument.is_hide_set());
            let names = option
                .map(|name| format!("--{name}"))
                .into_iter()
                .chain(argument.get_env().map(|name| name.to_str().unwrap().to_owned()));
            for name in names {
                let named = page.contains(&format!("`{name}`")) || page.contains(&format!("{name} "));
                assert!(named, "{}: {name}", subcommand.get_name());
            }
        }
    }
}

#[test]
fn the_page_on_http_names_every_metric() {
    let page = read("docs/src/http.md");
    for source in ["drop-server/src/metrics.rs", "sidekick-shim/src/metrics.rs"] {
        let text = read(source);
        let registered = text
            .split("register(")
            .filter_map(|rest| rest.trim_start().strip_prefix('"'));
        let names: Vec<_> = registered.filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() >= 5, "{names:?}");
        for name in names {
            let named = [format!("_{name}`"), format!("_{name}_total`")]
                .iter()
                .any(|name| page.contains(name));
            assert!(named, "{source}: {name}");
        }
    }
}
