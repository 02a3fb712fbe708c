//! What is said of a program's machine code beside its bytes, whatever the CPU.

use super::{analysis::Regs, arch, Options};
use crate::{verifier::VerifiedProgram, vm::AT_A_STRETCH};
use alloc::vec::Vec;

/// What decides how code looks beside the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Style {
    /// Check also what is proved.
    pub(super) guard_all: bool,
    /// Count the budget down; without it the caller has taken the worst cost beforehand.
    pub(super) metered: bool,
    /// Use what not every CPU of the architecture has, where this one has it.
    pub(super) extended: bool,
}

/// Where a position in the code belongs: end of an emitted call that can stop the run, PC. Ascending.
pub(super) type StopSites = Vec<(u32, u32)>;

/// What a caller has to know of the code's registers.
#[derive(Clone, Copy)]
pub(super) struct RegisterUse {
    /// Machine registers that are changed, one bit each.
    pub(super) clobbers: u16,
    /// BPF registers that are read before they are written.
    pub(super) reads: Regs,
    /// Whether the code starts with its entry and ends with its only return.
    pub(super) straight: bool,
}

/// How code of `program` looks.
pub(super) fn style(program: &VerifiedProgram, options: Options) -> Style {
    Style {
        guard_all: options.guard_all,
        metered: options.metered || metered(program),
        extended: !options.baseline && arch::is_extended(),
    }
}

/// Whether code has its charges in it: where they cannot be taken beforehand, and where it would otherwise run too long at a stretch.
fn metered(program: &VerifiedProgram) -> bool {
    program.worst_cost().is_none_or(|cost| cost > AT_A_STRETCH)
}
