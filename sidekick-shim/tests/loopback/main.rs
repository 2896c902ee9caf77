//! The shim over real sockets on loopback: inside this process, and as the program.
#![cfg(test)]

mod delivery;
mod ending;
mod process;
mod support;
