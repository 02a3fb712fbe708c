//! Why and where a run stopped before its end.

/// What an access was to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessKind {
    /// Read.
    Load,
    /// Write.
    Store,
    /// Atomic read-modify-write.
    Atomic,
    /// A helper was to read it.
    HelperRead,
    /// A helper was to write it.
    HelperWrite,
}

/// Where and why a run stopped. Its text is the reference wording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The instruction that did not complete.
    pub pc: usize,
    /// Why.
    pub kind: StopKind,
}

/// Why a run stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopKind {
    /// An access outside of the memory that the program has.
    OutOfBounds {
        /// What it was to do.
        access: AccessKind,
        /// First byte.
        addr: u64,
        /// Bytes.
        size: u64,
    },
    /// An atomic access to an address that is not a multiple of its size.
    Unaligned {
        /// First byte.
        addr: u64,
        /// Bytes.
        size: u64,
    },
    /// The budget could not pay the next charge.
    BudgetExhausted,
    /// Whoever waited for the run wants it no more.
    Cancelled,
    /// More than [`MAX_FRAMES`](super::MAX_FRAMES) nested functions.
    CallDepth,
    /// A helper that does not exist was called through a register.
    UnknownHelper {
        /// The number.
        number: u64,
    },
    /// A helper refused its arguments.
    Helper {
        /// Name of the helper.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The engine met what the verifier should have refused: a fault of the runtime, not of the program.
    Internal,
}
