//! The shim over real sockets on loopback: inside this process, and as the program.
#![cfg(test)]

mod delivery;
mod doors;
mod ending;
mod kill;
mod process;
mod sinks;
mod support;
