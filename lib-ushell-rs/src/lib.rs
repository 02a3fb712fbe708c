//! Shell over a byte stream: bytes in, bytes out. Owns no thread and blocks on nothing, so the same code runs in a
//! unikernel's thread, in an idle loop, and in a test.
//!
//! - [`Shell`] is the state machine: [`Shell::feed`] takes input, [`Shell::drain`] gives output.
//! - `line` edits a line and knows no commands; [`words`] and [`args`] make arguments of it.
//! - [`command`] is the table; `commands` holds the built-in ones; they know no terminal.
//! - [`frame`] is how programs talk to the shell.
//! - [`backend`] is what the commands need from the engine; `engine` implements it for the real one.
//!
//! # Example
//!
//! A shell over an engine whose platform has a clock and lacks everything else. What comes from a serial line or a socket is fed, and what
//! it drains is sent there:
//!
//! ```
//! use std::{sync::OnceLock, time::Instant};
//! use ubpf_rs::{
//!     platform::{Clock, Platform},
//!     runtime::{Config, Runtime},
//! };
//! use ushell_rs::Shell;
//!
//! struct Uptime;
//!
//! impl Clock for Uptime {
//!     fn now_ns(&self) -> u64 {
//!         static START: OnceLock<Instant> = OnceLock::new();
//!         START.get_or_init(Instant::now).elapsed().as_nanos() as u64
//!     }
//! }
//!
//! /// Everything that the shell has to say.
//! fn said(shell: &mut Shell) -> String {
//!     let (mut text, mut piece) = (Vec::new(), [0; 64]);
//!     loop {
//!         let count = shell.drain(&mut piece);
//!         text.extend(&piece[..count]);
//!         if count == 0 {
//!             return String::from_utf8(text).unwrap();
//!         }
//!     }
//! }
//!
//! let platform = Platform::bare("example", &Uptime);
//! let engine = Runtime::init(platform, Config::default())?;
//! let mut shell = Shell::new(engine, ushell_rs::Config::default());
//! shell.connected();
//! assert_eq!(said(&mut shell), "> ");
//!
//! let line = b"bpf_map_put 1 2 3\nbpf_map_get 1 2\n";
//! // It may take less where the reader is slow: the rest is fed again after a drain.
//! assert_eq!(shell.feed(line), line.len());
//! assert_eq!(said(&mut shell), "> 3\n> ");
//! # Ok::<(), ubpf_rs::runtime::Error>(())
//! ```
#![no_std]
// As in the engine.
#![cfg_attr(not(feature = "packages"), allow(dead_code, unused_imports))]
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

/// Whether text and editing are left to the client.
pub(crate) const TERSE: bool = cfg!(feature = "terse");

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod args;
pub mod backend;
mod beats;
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
pub use beats::{Beats, BEAT_NS};
pub use command::{Call, Command, Failure, RegisterError, Stream};
pub use commands::{help_of, listed};
pub use output::Output;
pub use registry::register_command;
pub use shell::{Config, Mode, Shell};
pub use ubpf_rs::object::crc32;
#[cfg(feature = "texts")]
pub use ubpf_rs::text;
