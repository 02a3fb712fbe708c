//! Runs the programs of `tests/programs` on any engine and compares what became of them with what the files say. Needs
//! neither files nor threads, so that an image without an operating system can run them too.
//!
//! The format of the files is described in `tests/programs/README.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod case;
mod check;
mod host;
mod memory;

pub use case::{parse, Case, End, Expected, Place, SyntaxError, Why};
pub use check::{check, Fault};
pub use host::FixedHost;
pub use memory::Buffers;

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use ubpf_rs::{maps::Maps, verifier::VerifiedProgram, vm::Executable};

/// The maps that a program was verified for, if it has any.
pub type BoundMaps = Option<Arc<Maps>>;

/// All files, by name without extension, with their text.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Something that makes a verified program ready to run.
pub trait Engine {
    /// Makes it ready; the text says why that failed.
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String>;
}

/// What became of all cases.
#[derive(Default)]
pub struct Summary {
    /// Cases that were run.
    pub cases: usize,
    /// What was not as it should be.
    pub faults: Vec<Fault>,
}

/// Runs every case of every file on `engine`.
pub fn run_all(engine: &dyn Engine) -> Summary {
    let mut summary = Summary::default();
    for (file, text) in FILES {
        run_file(file, text, engine, &mut summary);
    }
    summary
}

/// Runs every case of one file, wherever its text came from.
pub fn run_file(file: &str, text: &str, engine: &dyn Engine, summary: &mut Summary) {
    match parse(text) {
        Ok(cases) => {
            summary.cases += cases.len();
            let faults = cases.iter().flat_map(|case| check(file, case, engine));
            summary.faults.extend(faults);
        }
        Err(error) => summary.faults.push(Fault::in_file(file, &error)),
    }
}
