//! What the step after linking knows of a Unikraft image: its code, the names of its functions, and the table that it has for
//! them. The tools of the host use the same.
#![forbid(unsafe_code)]

mod elf;
pub mod files;
pub mod id;
pub mod names;
// As the engine has it.
#[path = "../../../../lib-ubpf-rs/src/tracer/arch/x86_64/nops.rs"]
pub mod nops;
pub mod search;
pub mod table;

pub use elf::{Elf, Section, Symbol};
