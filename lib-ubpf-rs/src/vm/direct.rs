//! Programs as machine code that is called from machine code.

use crate::{
    helpers::Needs,
    program::{
        limits::{CONTEXT_BYTES, HOOK_CONTEXT_BYTES},
        Abi,
    },
};

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

/// What the argument of a program is that runs at a traced function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// That of flat programs: the key of the function, and at a return the result, the arguments in registers, and how long the call took.
    Call,
    /// The registers of the function, in the order of Linux (`struct pt_regs`).
    Registers,
    /// The arguments in registers; at a return so many of them, and the result behind.
    Arguments(u8),
}

impl Given {
    /// Its length, in bytes.
    pub const fn length(self) -> usize {
        match self {
            Given::Call => CONTEXT_BYTES,
            Given::Registers | Given::Arguments(_) => HOOK_CONTEXT_BYTES,
        }
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
    /// The number that it was attached with, for [`Needs::SITE`].
    pub cookie: u64,
    /// Bytes of its stack that it may touch: r10 must be the end of so many. A multiple of 8.
    pub stack: u64,
    /// What its argument is.
    pub given: Given,
    /// Bytes at the start of its argument that it does not touch.
    pub argument_first: u64,
    /// The end of those that it may touch.
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

/// Why a program does not run straight from the traced function, but by the general entry of hooks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detour {
    /// It is no machine code.
    Interpreted,
    /// It is at a timer.
    Timer,
    /// It calls a helper that needs to know of the call, or can end the run.
    Helper(Abi, u32),
    /// It calls functions of its own.
    Calls,
    /// What it accesses is checked while it runs.
    Guarded,
    /// Its time is charged while it runs.
    Metered,
    /// It may end while it holds a record of a ring.
    Record,
    /// It looks at more of its argument than there is then.
    Argument,
    /// It may cost more than an interrupt's budget.
    Cost,
    /// It takes more of the traced function's stack than it may.
    Stack,
    /// It is detached after so many runs.
    Limited,
    /// It is told `-errno` of a function that returns -1.
    Errno,
    /// Another program here cannot, or one that was here could not: a function has one way, until all its programs are gone.
    Others,
    /// Run times are measured.
    Measured,
    /// The stub is a call of the compiler's, or the platform lacks what it takes.
    Stub,
    /// There is no memory for it.
    Memory,
    /// There is no executable memory near the text.
    Room,
    /// A run did not come back.
    Stuck,
}

/// What each run adds to the value under the first word of its argument and `key2` in the two-key map. It does nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Adds {
    /// The second key.
    pub key2: u64,
    /// How much.
    pub more: u64,
}
