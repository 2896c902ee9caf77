//! The engine on the cluster in memory: one delivery after another, with faults and time in the hands of the test.

#![cfg(test)]

mod budgets;
mod endings;
mod faults;
mod identity;
mod late;
mod limits;
mod outcomes;
mod ports;
mod stalled;
mod world;
