//! The C interface, nothing else: `include/ubpf_rs.h` is made from these files by `cargo xtask headers`.
//!
//! Every call checks its arguments, answers with a code, and gives the reason as text in memory of the caller. Handles
//! are numbers that carry their kind and are never given twice: a stale or foreign one is an error. What a C program must still
//! promise stands as *Safety* with each function: pointers that are not NULL lead to as much memory as is said.
#![allow(unsafe_code, non_camel_case_types)]
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

mod args;
#[rustfmt::skip]
#[allow(
    missing_docs, dead_code, unused_qualifications, clippy::all, clippy::indexing_slicing, clippy::arithmetic_side_effects
)]
mod bindings;
mod codes;
mod engine;
mod platform;
mod programs;
mod sized;
#[cfg(feature = "standalone")]
mod standalone;
mod trace;

pub use args::*;
pub use bindings::{ubpf_each_entry, ubpf_exec_block, ubpf_platform};
pub use codes::*;
pub use engine::*;
pub use programs::*;
pub use sized::{sized, SizeError, Versioned};
pub use trace::*;
