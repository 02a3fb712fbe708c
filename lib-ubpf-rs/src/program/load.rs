//! Flat programs: the `.text` of one C function and nothing else.

use super::{
    byte_order,
    limits::{MAX_INSNS, PIECE},
    Abi, Program,
};
use crate::isa::{self, DecodeError};
use crate::platform::{copied, no_pause, Cancelled, Pause};
use alloc::vec::Vec;

/// Why bytes are no program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// Nothing in it.
    Empty,
    /// Too many instructions.
    TooLarge {
        /// Slots it has.
        insns: usize,
        /// Slots it may have.
        limit: usize,
    },
    /// The file as the compiler wrote it.
    Object,
    /// The numbers are in the other byte order.
    BigEndian,
    /// An instruction is malformed.
    Decode(DecodeError),
    /// Nobody wants the answer any more.
    Cancelled,
    /// No memory.
    NoMemory,
}

impl From<Cancelled> for LoadError {
    fn from(_: Cancelled) -> Self {
        LoadError::Cancelled
    }
}

/// Whether these are the bytes of a compiler's object.
pub fn is_object(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

impl Program {
    /// A flat program that starts at its first instruction.
    pub fn from_flat(name: &str, bytes: &[u8], abi: Abi) -> Result<Program, LoadError> {
        Self::from_flat_in_pieces(name, bytes, abi, &mut no_pause)
    }

    /// As [`from_flat`](Self::from_flat), calling `pause` again and again.
    pub fn from_flat_in_pieces(
        name: &str,
        bytes: &[u8],
        abi: Abi,
        pause: &mut Pause<'_>,
    ) -> Result<Program, LoadError> {
        if bytes.is_empty() {
            return Err(LoadError::Empty);
        }
        if is_object(bytes) {
            return Err(LoadError::Object);
        }
        let insns = bytes.len() / 8;
        if insns > MAX_INSNS {
            return Err(LoadError::TooLarge { insns, limit: MAX_INSNS });
        }
        let mut insns = Vec::new();
        let decoded = loop {
            match isa::decode_some(bytes, &mut insns, PIECE) {
                Ok(true) => pause()?,
                other => break other,
            }
        };
        match decoded {
            Err(DecodeError::NoMemory) => return Err(LoadError::NoMemory),
            _ if byte_order::is_big_endian(bytes, pause)? => return Err(LoadError::BigEndian),
            Err(error) => return Err(LoadError::Decode(error)),
            Ok(_) => {}
        }
        let name = copied(name).ok_or(LoadError::NoMemory)?;
        Ok(Program { name, insns, entry: 0, abi, probing: Vec::new() })
    }
}
