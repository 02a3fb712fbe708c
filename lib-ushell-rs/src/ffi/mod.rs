//! The C interface: sessions over bytes, and commands of the application. `include/ushell_rs.h` is made from these files by
//! `cargo xtask headers`.
#![allow(unsafe_code, non_camel_case_types)]

mod codes;
mod command;
mod session;

pub use codes::*;
pub use command::*;
pub use session::*;
