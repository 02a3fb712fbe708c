//! Why and where a run stopped before its end.

use core::fmt;

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

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pc = self.pc;
        match self.kind {
            StopKind::OutOfBounds { access, addr, size } => {
                let what = match access {
                    AccessKind::Load => "load",
                    AccessKind::Store => "store",
                    AccessKind::Atomic => "atomic access",
                    AccessKind::HelperRead => "load by a helper",
                    AccessKind::HelperWrite => "store by a helper",
                };
                write!(f, "out of bounds memory {what} at PC {pc}, addr {addr:#x}, size {size}")
            }
            StopKind::Unaligned { addr, size } => {
                write!(f, "unaligned atomic access at PC {pc}, addr {addr:#x}, size {size}")
            }
            StopKind::BudgetExhausted => write!(f, "instruction budget exhausted at PC {pc}"),
            StopKind::Cancelled => write!(f, "cancelled at PC {pc}"),
            StopKind::CallDepth => {
                let frames = super::MAX_FRAMES;
                write!(f, "call at PC {pc} needs more than {frames} stack frames")
            }
            StopKind::UnknownHelper { number } => {
                write!(f, "unknown helper {number} called at PC {pc}")
            }
            StopKind::Helper { name, reason } => write!(f, "helper {name} at PC {pc}: {reason}"),
            StopKind::Internal => write!(f, "internal error of the runtime at PC {pc}"),
        }
    }
}
