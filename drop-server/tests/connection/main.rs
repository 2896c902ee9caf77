//! The program and its API server: how it finds it, and what it says of its rights there. The API server is a fake one.

#![cfg(test)]

mod events;
mod program;
mod reach;
mod rights;
mod way;
