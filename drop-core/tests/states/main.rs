//! The engine as a state machine: any interleaving of alerts, deliveries, faults and time, over the cluster in memory.
//!
//! A case is a list of steps ([`steps`]), carried out by hand, poll by poll ([`run`]), on ports that yield before and
//! after each call and write down what truly happened ([`ports`]). What must hold of every case is in
//! [`invariants`], one function each, told by that log and the cluster's history alone.
//!
//! `PROPTEST_CASES=1000000 cargo test -p drop-core --test states` runs other cases each time; without it the cases
//! are always the same.

#![cfg(test)]

mod caught;
mod invariants;
mod log;
mod places;
mod policies;
mod ports;
mod raise;
mod run;
mod steps;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::run::Run;
use crate::steps::{setting, step};

/// Thousands of cases that are always the same, unless the environment asks for a number.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if config.cases == 256 {
        config.cases = 2_000;
        config.rng_seed = RngSeed::Fixed(6);
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn invariants_hold(setting in setting(), steps in prop::collection::vec(step(), 1..40)) {
        let mut run = Run::new(&setting);
        for step in &steps {
            run.take(step);
        }
        run.come_to_rest();
        invariants::all(&run).map_err(TestCaseError::fail)?;
    }
}
