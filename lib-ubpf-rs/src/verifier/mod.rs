//! From [`Program`](crate::program::Program) to [`VerifiedProgram`], with what is proved and what is guarded at run time. Knows
//! nothing about the addresses, maps or engines of the run.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod error;
mod structure;

pub use error::VerifyError;

use crate::{
    isa::{Insn, Reg, Size},
    program::{HelperSignature, Program},
};
use alloc::{format, string::String, vec::Vec};

/// How much must be proved before a program is admitted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Policy {
    /// Structure only; every access is checked at run time.
    Checked,
    /// What is proved is bare, the rest is checked at run time (the shell's default).
    Guarded,
    /// Everything must be proved, the end included.
    Strict,
}

/// How one memory access is made safe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// The instruction touches no memory.
    None,
    /// Shown to be in bounds on every path: may be emitted bare.
    Proved,
    /// Checked at run time.
    Guarded,
}

/// A program that may run: every jump and call lands on an instruction of the program, reserved fields are
/// zero, helpers exist, no path falls off the end.
///
/// **Charging** (equal on every engine): on entry to a function (start of the program included) the
/// budget is charged `function_len` of it; on a taken jump from `pc` to `target <= pc` it is charged `pc - target + 1`;
/// before a helper call its cost. A charge that the budget cannot pay stops the run with the PC of the jump or
/// call (the entry PC at the start). So executed instructions never exceed what was charged.
#[derive(Clone, Debug)]
pub struct VerifiedProgram {
    program: Program,
    /// One per slot.
    accesses: Vec<Access>,
    /// Start PC of each function, ascending; the first is 0.
    functions: Vec<usize>,
    policy: Policy,
    /// Upper bound of the budget a run can use, where one is proved.
    worst_cost: Option<u64>,
    warnings: Vec<String>,
}

impl VerifiedProgram {
    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }
    /// How the access at this PC is made safe.
    pub fn access(&self, pc: usize) -> Access {
        self.accesses.get(pc).copied().unwrap_or(Access::None)
    }
    /// Start PCs of the program's functions, ascending.
    pub fn functions(&self) -> &[usize] {
        &self.functions
    }
    /// Number of slots of the function that starts at `start`: its charge on entry.
    pub fn function_len(&self, start: usize) -> usize {
        let next = self.functions.iter().copied().find(|&f| f > start);
        next.unwrap_or(self.program.insns.len())
            .saturating_sub(start)
    }
    /// The policy it was admitted under.
    pub fn policy(&self) -> Policy {
        self.policy
    }
    /// Proved upper bound of the budget one run uses, if there is one.
    pub fn worst_cost(&self) -> Option<u64> {
        self.worst_cost
    }
    /// Remarks for the person who loaded it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Where the verifier learns which helpers exist; implemented by the helper registry.
pub trait HelperLookup {
    /// Signature of helper `number` in the numbering of `abi`.
    fn signature(&self, abi: crate::program::Abi, number: u32) -> Option<HelperSignature>;
}

/// Checks a program and says how each access is made safe.
pub fn verify(
    program: Program,
    policy: Policy,
    helpers: &dyn HelperLookup,
) -> Result<VerifiedProgram, VerifyError> {
    let found = structure::check(&program, policy, helpers)?;
    let mut accesses = Vec::new();
    let len = program.insns.len();
    accesses
        .try_reserve_exact(len)
        .map_err(|_| VerifyError::NoMemory)?;
    accesses.extend(program.insns.iter().map(access));
    if policy == Policy::Strict {
        check_strict(&program, &found, &accesses)?;
    }
    let warnings = if policy == Policy::Guarded {
        warnings(&found)
    } else {
        Vec::new()
    };
    let functions = found.functions;
    Ok(VerifiedProgram {
        program,
        accesses,
        functions,
        policy,
        worst_cost: None,
        warnings,
    })
}

/// A constant distance below the frame pointer is in bounds without further proof.
fn access(insn: &Insn) -> Access {
    let (base, off, size) = match *insn {
        Insn::Load {
            base, off, size, ..
        }
        | Insn::Store {
            base, off, size, ..
        } => (base, off, size),
        Insn::Atomic {
            base, off, size, ..
        } => (base, off, size),
        _ => return Access::None,
    };
    let plain = !matches!(insn, Insn::Atomic { .. });
    if base == Reg::R10 && in_frame(off, size) && (plain || aligned(off, size)) {
        return Access::Proved;
    }
    Access::Guarded
}

fn in_frame(off: i16, size: Size) -> bool {
    off >= -512 && i32::from(off).wrapping_add(size.bytes() as i32) <= 0
}

fn aligned(off: i16, size: Size) -> bool {
    i32::from(off) & (size.bytes() as i32).wrapping_sub(1) == 0
}

fn check_strict(
    program: &Program,
    found: &structure::Structure,
    accesses: &[Access],
) -> Result<(), VerifyError> {
    for (register, pc) in found.unset.iter().enumerate() {
        if let (Some(pc), Some(register)) = (*pc, Reg::new(register as u8)) {
            return Err(VerifyError::UnsetRegister { pc, register });
        }
    }
    for (pc, insn) in program.insns.iter().enumerate() {
        if found.reachable.get(pc) != Some(&true) {
            continue;
        }
        let backwards = structure::successors(&program.insns, pc)
            .jump
            .is_some_and(|to| to <= pc);
        if backwards {
            return Err(VerifyError::UnprovedEnd { pc, what: "loop" });
        }
        match *insn {
            Insn::Load { base, .. } | Insn::Store { base, .. } | Insn::Atomic { base, .. }
                if accesses.get(pc) == Some(&Access::Guarded) =>
            {
                return Err(VerifyError::UnprovedAccess { pc, base });
            }
            Insn::Call(crate::isa::Call::Local(off)) if off < 0 => {
                return Err(VerifyError::UnprovedEnd {
                    pc,
                    what: "call backwards",
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn warnings(found: &structure::Structure) -> Vec<String> {
    let unset = found.unset.iter().enumerate();
    unset
        .filter_map(|(register, pc)| Some((register, (*pc)?)))
        .map(|(register, pc)| format!("r{register} is read at PC {pc} but may not have been set"))
        .collect()
}
