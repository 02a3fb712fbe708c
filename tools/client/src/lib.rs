//! Talks to a unikernel's shell from the host.
//!
//! - [`machine::Client`] is for programs: a command goes out, its output and a status come back.
//! - [`text::TextClient`] is for what a person would do with `socat`: a prompt, a line, an answer. Tests that misbehave use it,
//!   and what must see the very bytes.
#![forbid(unsafe_code)]

mod error;
mod holder;
pub mod machine;
pub mod text;
mod texts;

pub use error::ClientError;
