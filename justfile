# Each recipe is a step of .ci/run; `just` alone lists them.
default:
    @just --list

# every check, as CI runs them
ci:
    .ci/run

# Cargo.lock is current
lock:
    .ci/run lock

# the code is formatted
fmt:
    .ci/run fmt

# shellcheck
scripts:
    .ci/run scripts

# licences, banned crates, sources
deny:
    .ci/run deny

# lints
clippy:
    .ci/run clippy

# each crate without the others' features
alone:
    .ci/run alone

# the tests that need nothing
tests:
    .ci/run tests

# the crates' documentation
docs:
    .ci/run docs

# the demo, once
demo:
    .ci/run demo

# every test with every feature, on a control plane
everything:
    .ci/run everything

# release/release.yaml and release/release-knative.yaml, anew
release:
    release/generate

# the engine as a state machine, a million random cases: about an hour
states:
    PROPTEST_CASES=1000000 cargo test -p drop-core --test states invariants_hold

# the shim, killed two hundred times under load
kill:
    SHIM_KILLS=200 cargo test -p sidekick-shim --test loopback however_often

# the benchmarks that need no cluster
bench:
    cargo bench -p falco-event --features cloudevents --bench read
    cargo bench -p drop-core --bench decision
    cargo bench -p drop-core --bench engine
    cargo bench -p drop-server --bench way
    cargo bench -p sidekick-shim --bench shim
