//! Shell over a byte stream: bytes in, bytes out. Owns no thread and blocks on nothing, so the same code runs in a
//! unikernel's thread, in an idle loop, and in a test.
//!
//! - [`Shell`] is the state machine: [`Shell::feed`] takes input, [`Shell::drain`] gives output.
//! - `line` edits a line and knows no commands; [`words`] and [`args`] make arguments of it.
//! - [`command`] is the table; `commands` holds the built-in ones; they know no terminal.
//! - [`frame`] is how programs talk to the shell.
//! - [`backend`] is what the commands need from the engine; `engine` implements it for the real one.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![cfg_attr(not(feature = "capi"), forbid(unsafe_code))]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod args;
pub mod backend;
pub mod command;
mod commands;
mod engine;
#[cfg(feature = "capi")]
pub mod ffi;
pub mod frame;
mod line;
mod output;
mod pace;
mod registry;
mod shell;
mod suggest;
mod upload;
pub mod words;

pub use backend::Backend;
pub use command::{Call, Command, Failure, RegisterError, Stream};
pub use output::Output;
pub use registry::register_command;
pub use shell::{Config, Mode, Shell};
pub use ubpf_rs::object::crc32;
