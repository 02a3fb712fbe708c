//! Which machine register holds which BPF register. r1 to r5 are where the System V ABI passes arguments, r6 to
//! r9 and r10 are registers that a C function keeps.
//!
//! Beside them: r9 the run's context (as a base it is a byte shorter than r12), r12 the budget that is left where it is
//! metered, r10 and r11 for one instruction's own use.

use crate::isa::Reg;

/// A general register of x86-64.
#[allow(dead_code)] // all of them, in the order of their numbers
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gpr {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

impl Gpr {
    /// Number in encodings, 0 to 15.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }
}

/// The run's context.
pub(super) const CONTEXT: Gpr = Gpr::R9;
/// Budget left.
pub(super) const BUDGET: Gpr = Gpr::R12;
/// Scratch.
pub(super) const TMP: Gpr = Gpr::R11;
/// Scratch.
pub(super) const TMP2: Gpr = Gpr::R10;

const MAP: [Gpr; Reg::COUNT] =
    [Gpr::Rax, Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::Rcx, Gpr::R8, Gpr::Rbx, Gpr::R13, Gpr::R14, Gpr::R15, Gpr::Rbp];

/// The machine register of a BPF register.
pub(super) fn native(reg: Reg) -> Gpr {
    MAP[reg.index()]
}
