//! The HTTP edge over loopback, on the cluster in memory: what a request gets, and what becomes of its alert.

#![cfg(test)]

mod answers;
mod edges;
mod signed;
mod stage;
