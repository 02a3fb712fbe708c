//! Programs as machine code that is called from machine code.

use crate::helpers::Needs;

/// Address of machine code that is executed. Only what made the code, or answers for it, can make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeAddress(usize);

impl CodeAddress {
    /// The code at an address.
    ///
    /// # Safety
    /// There is machine code, for as long as the address is used. It keeps the stack pointer, and all registers but those that whoever
    /// calls it knows of.
    #[allow(unsafe_code, reason = "who makes one answers for what is executed")]
    pub const unsafe fn new(address: usize) -> CodeAddress {
        CodeAddress(address)
    }

    /// As a number.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Machine code of a program that needs little: its argument, the end of its stack, helpers that do not end it; no check, no counting. It is
/// called with r1, r2 and r10 in their registers and returns like a function; it cannot be stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Direct {
    /// Where it is.
    pub code: CodeAddress,
    /// So many bytes of it can be executed elsewhere in place of a call: they end where it would return. 0 where it returns from
    /// somewhere else too.
    pub inline: usize,
    /// Machine registers it changes, one bit each by their number in encodings of the CPU. It keeps the stack pointer.
    pub clobbers: u16,
    /// Whether it reads r1, the address of its argument.
    pub reads_argument: bool,
    /// Whether it reads r2, the length of its argument.
    pub reads_length: bool,
    /// What its helpers need: r9 must hold a block that has it.
    pub needs: Needs,
    /// That block's address, of whoever runs the program; 0 where it needs none.
    pub block: u64,
    /// Bytes of its stack that it may touch: r10 must be the end of so many. A multiple of 8.
    pub stack: u64,
    /// Bytes of its argument that it may touch.
    pub argument: u64,
    /// Least length of its argument for which it may be called; its address and length are bounded as [`proofs_hold`](super::proofs_hold) says.
    pub argument_needed: u64,
    /// Most that a run costs, in units of budget.
    pub cost: u64,
    /// What it does, where that is only to add: its runs can be counted then instead.
    pub adds: Option<Adds>,
}

impl Direct {
    /// Whether it may look at the two-key map, or change it in another way than its runs tell.
    pub fn looks_at_map(&self) -> bool {
        self.needs.contains(Needs::MAP) && self.adds.is_none()
    }
}

/// What each run adds to the value under the first word of its argument and `key2` in the two-key map. It does nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Adds {
    /// The second key.
    pub key2: u64,
    /// How much.
    pub more: u64,
}
