//! From bytes to [`Program`], and the plain data that describes maps and helpers, so that the verifier needs
//! neither `maps` nor `helpers`. Knows nothing about execution.
#![forbid(unsafe_code)]

mod byte_order;
pub mod limits;
mod load;
mod map;
mod signature;

pub use limits::MAX_INSNS;
pub use load::LoadError;
pub use map::{MapDef, MapDefError, MapFamily, MapFlags, MapKind, MapName};
pub use signature::{ArgType, Cost, HelperSignature, RetType, SignatureError};

use crate::isa::Insn;
use alloc::{string::String, vec::Vec};
use core::fmt;

/// Which numbering of helpers and which context a program was written for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Abi {
    /// The numbering of the original C tracer; default for flat `.bin` files.
    Classic,
    /// The numbering of uIO.
    Uio,
    /// Linux helper numbers; default for ELF objects.
    Linux,
}

impl fmt::Display for Abi {
    /// As it is written after `--abi`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::Uio => "uio",
            Self::Linux => "linux",
        })
    }
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
}
