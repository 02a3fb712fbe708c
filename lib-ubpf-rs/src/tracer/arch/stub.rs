//! What stands at an entry, whatever the CPU.

use super::current::patch::STUB_LEN;

/// What stands at an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stub {
    /// One nop as long as a call, `offset` bytes behind the address.
    Nop5 {
        /// Bytes that stand before it: those of an instruction that the CPU wants at entries.
        offset: usize,
        /// The nop as the compiler wrote it.
        bytes: [u8; STUB_LEN],
    },
    /// Several nops, or a longer one: to be rewritten before use. A thread may stand between two of them.
    Nops {
        /// Bytes that stand before them.
        offset: usize,
        /// Bytes of all of it.
        length: usize,
        /// What makes it a nop as long as a call, with others behind.
        rewrite: Rewrite,
    },
}

/// Bytes that take the place of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite {
    len: usize,
    old: [u8; Self::LONGEST],
    new: [u8; Self::LONGEST],
}

impl Rewrite {
    /// As many as are replaced at once.
    pub const LONGEST: usize = 8;

    /// `new` in place of `old`, which are as long.
    pub fn new(old: &[u8], new: &[u8]) -> Option<Rewrite> {
        let len = new.len();
        let mut rewrite = Rewrite { len, old: [0; Self::LONGEST], new: [0; Self::LONGEST] };
        if old.len() != len {
            return None;
        }
        rewrite.old.get_mut(..len)?.copy_from_slice(old);
        rewrite.new.get_mut(..len)?.copy_from_slice(new);
        Some(rewrite)
    }

    /// What must be there.
    pub fn old(&self) -> &[u8] {
        &self.old[..self.len]
    }

    /// What is written.
    pub fn fresh(&self) -> &[u8] {
        &self.new[..self.len]
    }
}
