//! Falco's condition language over an alert and the live pod.

mod nearest;
mod parse;
mod print;
mod problem;
mod quote;
mod syntax_error;
pub mod tree;

pub use parse::{MAX_DEPTH, MAX_LENGTH};
pub use problem::Problem;

/// Reads a condition. Names are not looked up yet.
///
/// # Errors
/// What is wrong with the syntax.
pub fn parse(text: &str) -> Result<tree::Expr, Problem> {
    parse::parse(text)
}
