//! What the command-line tools have in common: their command lines, what they say and show, how far something is.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod output;
pub mod progress;
