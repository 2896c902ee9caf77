//! The running server follows its policy files, whichever way they are written.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drop_server::{Follower, Metrics, Store};

/// How often each way of writing is tried.
const TIMES: u32 = 50;

/// A policy whose text differs with the number, and differs from every beginning of itself.
fn policy(number: u32) -> String {
    format!(
        "apiVersion: falco-drop.dev/v1alpha1\nkind: DropPolicy\nmetadata: {{ name: p }}\nspec:\n  responses:\n    - {{ name: r{number}, when: proc.pid = {number}, do: [delete: {{}}] }}\n"
    )
}

struct Followed {
    directory: tempfile::TempDir,
    follower: Follower,
    store: Store,
}

impl Followed {
    /// Follows `watched` below a directory that `prepare` has filled.
    fn new(watched: &str, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let paths: Vec<PathBuf> = vec![directory.path().join(watched)];
        let (follower, policies) = Follower::start(paths, None).unwrap();
        Self {
            directory,
            follower,
            store: Store::new(policies, Arc::new(Metrics::default())),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Two readings in a row, as the server makes them.
    fn settle(&mut self) {
        self.follower.look(&self.store);
        self.follower.look(&self.store);
    }

    /// The generation, after making sure that nothing is refused.
    fn generation(&self) -> u64 {
        let status = self.store.status();
        assert_eq!(status.refused, None);
        status.active.generation
    }
}

#[test]
fn a_file_written_in_place_takes_effect_once_it_is_whole() {
    let mut followed = Followed::new("p.yaml", |directory| {
        fs::write(directory.join("p.yaml"), policy(0)).unwrap()
    });
    for number in 1..=TIMES {
        let text = policy(number);
        for part in [0, text.len() / 3, text.len() / 2] {
            fs::write(followed.path("p.yaml"), text.get(..part).unwrap()).unwrap();
            followed.follower.look(&followed.store);
            assert_eq!(
                followed.generation(),
                u64::from(number),
                "a part of {part} bytes was taken"
            );
        }
        fs::write(followed.path("p.yaml"), &text).unwrap();
        followed.settle();
        assert_eq!(followed.generation(), u64::from(number) + 1);
    }
}

/// A pipe that nobody writes would be waited for without an end.
#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let mut followed = Followed::new("p.yaml", |directory| {
        fs::write(directory.join("p.yaml"), policy(0)).unwrap()
    });
    fs::remove_file(followed.path("p.yaml")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(followed.path("p.yaml")).unwrap();
    followed.settle();
    let refused = followed.store.status().refused.unwrap();
    assert!(refused.ends_with("it is no regular file"), "{refused}");
    fs::remove_file(followed.path("p.yaml")).unwrap();
    fs::write(followed.path("p.yaml"), policy(1)).unwrap();
    followed.settle();
    assert_eq!(followed.generation(), 2);
}

#[test]
fn a_file_renamed_over_the_old_one_takes_effect() {
    let mut followed = Followed::new("p.yaml", |directory| {
        fs::write(directory.join("p.yaml"), policy(0)).unwrap()
    });
    for number in 1..=TIMES {
        fs::write(followed.path("new"), policy(number)).unwrap();
        fs::rename(followed.path("new"), followed.path("p.yaml")).unwrap();
        followed.settle();
        assert_eq!(followed.generation(), u64::from(number) + 1);
    }
}

/// As the kubelet writes a ConfigMap: a new directory, and a symlink swapped to it in one step.
fn config_map(directory: &Path, number: u32) {
    let version = format!("..version-{number}");
    fs::create_dir(directory.join(&version)).unwrap();
    fs::write(directory.join(&version).join("p.yaml"), policy(number)).unwrap();
    symlink(&version, directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    if number == 0 {
        symlink("..data/p.yaml", directory.join("p.yaml")).unwrap();
    } else {
        fs::remove_dir_all(directory.join(format!("..version-{}", number - 1))).unwrap();
    }
}

#[test]
fn a_config_map_swapped_by_the_kubelet_takes_effect() {
    for watched in ["", "p.yaml"] {
        let mut followed = Followed::new(watched, |directory| config_map(directory, 0));
        for number in 1..=TIMES {
            config_map(followed.directory.path(), number);
            followed.settle();
            assert_eq!(followed.generation(), u64::from(number) + 1, "{watched}");
        }
    }
}

#[test]
fn files_that_come_and_go_in_a_directory_take_effect() {
    let mut followed = Followed::new("", |directory| {
        fs::write(directory.join("p.yaml"), policy(0)).unwrap()
    });
    for round in 0..u64::from(TIMES) {
        fs::write(followed.path("q.yml"), policy(7).replace("name: p", "name: q")).unwrap();
        followed.settle();
        assert_eq!(followed.generation(), 2 * round + 2);
        fs::remove_file(followed.path("q.yml")).unwrap();
        followed.settle();
        assert_eq!(followed.generation(), 2 * round + 3);
    }
}

#[test]
fn what_is_wrong_changes_nothing_and_is_said_until_it_is_mended() {
    let mut followed = Followed::new("p.yaml", |directory| {
        fs::write(directory.join("p.yaml"), policy(0)).unwrap()
    });
    let before = followed.store.status().active;
    let wrong = [
        ("spec: [", "p.yaml"),
        ("", "p.yaml"),
        (&policy(1).replace("responses", "respones"), "responses"),
        (&format!("{}---\n{}", policy(1), policy(2)), "two documents"),
    ]
    .map(|(text, reason)| (text.to_owned(), reason));
    for (text, reason) in wrong {
        fs::write(followed.path("p.yaml"), &text).unwrap();
        followed.settle();
        let status = followed.store.status();
        assert_eq!(status.active, before, "{text}");
        let refused = status.refused.unwrap();
        assert!(
            reason == "two documents" || refused.contains(reason),
            "{text}: {refused}"
        );
    }
    fs::remove_file(followed.path("p.yaml")).unwrap();
    followed.settle();
    assert_eq!(followed.store.status().active, before);
    assert!(followed.store.status().refused.is_some());
    fs::write(followed.path("p.yaml"), policy(0)).unwrap();
    followed.settle();
    assert_eq!(
        followed.store.status().active,
        before,
        "the old text again is nothing new"
    );
    assert_eq!(followed.generation(), 1);
}

#[test]
fn there_is_no_moment_without_a_policy() {
    let mut followed = Followed::new("p.yaml", |directory| {
        fs::write(directory.join("p.yaml"), policy(0)).unwrap()
    });
    std::thread::scope(|scope| {
        let store = &followed.store;
        let seen = scope.spawn(move || {
            let mut last = 0;
            while last <= u64::from(TIMES) {
                let now = store.status().active.generation;
                assert!(now >= last.max(1), "{now} after {last}");
                last = now;
            }
        });
        for number in 1..=TIMES {
            fs::write(followed.directory.path().join("p.yaml"), policy(number)).unwrap();
            followed.follower.look(store);
            followed.follower.look(store);
        }
        seen.join().unwrap();
    });
}
