//! From bytes to [`Program`], and the plain data that describes maps and helpers, so that the verifier needs
//! neither `maps` nor `helpers`. Knows nothing about execution.
#![forbid(unsafe_code)]

mod byte_order;
pub mod limits;
mod load;
mod map;
#[cfg(not(any(test, feature = "fuzz")))]
pub(crate) mod planted;
#[cfg(any(test, feature = "fuzz"))]
pub mod planted;
mod signature;
mod words;

pub use limits::MAX_INSNS;
pub use load::{is_object, LoadError};
pub use map::{InnerDef, MapDef, MapDefError, MapFamily, MapFlags, MapKind, MapName};
pub use signature::{ArgType, Cost, HelperSignature, RetType, SignatureError};

pub(crate) use words::words;

use crate::isa::Insn;
use alloc::{string::String, vec::Vec};

words! {
    /// Which numbering of helpers and which context a program was written for.
    Abi;
    /// The numbering of the original C tracer; default for flat `.bin` files.
    Classic: "classic";
    /// The numbering of uIO.
    Uio: "uio";
    /// Linux helper numbers; default for ELF objects.
    Linux: "linux";
}

words! {
    /// What a program wants to be attached to. The tracer says which of these there are.
    PointKind;
    /// Each entry of a function.
    Entry: "entry";
    /// Each return of a function.
    Return: "return";
    /// Times.
    Timer: "timer";
}

/// A decoded program, structurally unchecked.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name for messages: usually the file name.
    pub name: String,
    /// One entry per 8-byte slot (see [`Insn`]); index = PC.
    pub insns: Vec<Insn>,
    /// PC of the first instruction executed.
    pub entry: usize,
    /// Helper numbering and context layout.
    pub abi: Abi,
    /// PCs of its probing loads, ascending: loads from the application's memory. What the program does not own is read as `probe_read` reads
    /// it, and as 0 where it cannot be read.
    pub probing: Vec<u32>,
}

impl Program {
    /// Whether the load at this PC is a probing one.
    pub fn is_probing(&self, pc: usize) -> bool {
        // Most programs have none.
        !self.probing.is_empty() && u32::try_from(pc).is_ok_and(|pc| self.probing.binary_search(&pc).is_ok())
    }
}
