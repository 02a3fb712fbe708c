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
mod verified;

pub use error::VerifyError;
pub use verified::{Access, Target, Uses, VerifiedProgram};

use crate::{
    isa::{AluOp, Call, Insn, Operand, Reg, Size},
    program::{ArgType, HelperSignature, Program},
};
use alloc::{format, string::String, vec::Vec};
use verified::{Fact, Note};

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
    let mut notes = Vec::new();
    let len = program.insns.len();
    notes
        .try_reserve_exact(len)
        .map_err(|_| VerifyError::NoMemory)?;
    let insns = program.insns.iter().enumerate();
    notes.extend(insns.map(|(pc, insn)| match found.reachable.get(pc) {
        Some(true) => note(insn),
        _ => Note::DEAD,
    }));
    if policy == Policy::Strict {
        check_strict(&program, &found, &notes)?;
    }
    let warnings = if policy == Policy::Guarded {
        warnings(&found)
    } else {
        Vec::new()
    };
    let uses = uses(&program, &notes, &found);
    let worst_cost = cost_without_loops(&program, &notes, uses, helpers);
    let functions = found.functions;
    Ok(VerifiedProgram {
        program,
        notes,
        functions,
        policy,
        uses,
        worst_cost,
        argument_needed: 0,
        warnings,
    })
}

fn uses(program: &Program, notes: &[Note], found: &structure::Structure) -> Uses {
    let mut uses = Uses::empty();
    uses.set(Uses::UNSET, found.unset.iter().any(Option::is_some));
    for (pc, (insn, note)) in program.insns.iter().zip(notes).enumerate() {
        if !note.fact.contains(Fact::REACHED) {
            continue;
        }
        uses.set(
            Uses::MEMORY,
            uses.contains(Uses::MEMORY) || note.fact.contains(Fact::ACCESS),
        );
        uses.set(
            Uses::GUARDED,
            uses.contains(Uses::GUARDED) || note.fact.contains(Fact::GUARDED),
        );
        if structure::read(insn).contains(&Some(Reg::R10)) {
            uses |= Uses::STACK;
        }
        if structure::successors(&program.insns, pc)
            .jump
            .is_some_and(|to| to <= pc)
        {
            uses |= Uses::LOOPS;
        }
        match insn {
            Insn::Call(Call::Helper(_)) => uses |= Uses::HELPERS,
            Insn::Call(Call::Register(_)) => uses |= Uses::HELPERS | Uses::CALLX,
            Insn::Call(Call::Local(_)) => uses |= Uses::LOCAL_CALLS,
            _ => {}
        }
    }
    uses
}

/// Every instruction of a program without loops and calls of its own runs once at most.
fn cost_without_loops(
    program: &Program,
    notes: &[Note],
    uses: Uses,
    helpers: &dyn HelperLookup,
) -> Option<u64> {
    if uses.intersects(Uses::LOOPS | Uses::LOCAL_CALLS | Uses::CALLX) {
        return None;
    }
    let mut cost = 0u64;
    for (insn, note) in program.insns.iter().zip(notes) {
        if !note.fact.contains(Fact::REACHED) {
            continue;
        }
        cost = cost.checked_add(1)?;
        if let Insn::Call(Call::Helper(number)) = *insn {
            let signature = helpers.signature(program.abi, number)?;
            if signature.args.contains(&ArgType::Length) {
                return None;
            }
            cost = cost.checked_add(u64::from(signature.cost.base))?;
        }
    }
    Some(cost)
}

/// A constant distance below the frame pointer is in bounds without further proof.
fn note(insn: &Insn) -> Note {
    let fact = Fact::REACHED;
    let (base, off, size, atomic) = match *insn {
        Insn::Load {
            base, off, size, ..
        }
        | Insn::Store {
            base, off, size, ..
        } => (base, off, size, false),
        Insn::Atomic {
            base, off, size, ..
        } => (base, off, size, true),
        Insn::Alu {
            op: AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod,
            src,
            ..
        } => {
            return Note {
                fact: fact | divisor(src),
                target: Target::Unknown,
            }
        }
        _ => {
            return Note {
                fact,
                target: Target::Unknown,
            }
        }
    };
    let fact = fact | Fact::ACCESS;
    if base != Reg::R10 {
        return Note {
            fact: fact | Fact::GUARDED,
            target: Target::Unknown,
        };
    }
    let proved = in_frame(off, size) && (!atomic || aligned(off, size));
    let guarded = if proved { Fact::empty() } else { Fact::GUARDED };
    Note {
        fact: fact | guarded,
        target: Target::Stack,
    }
}

fn divisor(src: Operand) -> Fact {
    match src {
        Operand::Imm(0) => Fact::MAYBE_ZERO,
        Operand::Imm(-1) => Fact::MAYBE_MINUS_ONE,
        Operand::Imm(_) => Fact::empty(),
        Operand::Reg(_) => Fact::MAYBE_ZERO | Fact::MAYBE_MINUS_ONE,
    }
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
    notes: &[Note],
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
                if notes
                    .get(pc)
                    .is_some_and(|n| n.fact.contains(Fact::GUARDED)) =>
            {
                return Err(VerifyError::UnprovedAccess { pc, base });
            }
            Insn::Call(Call::Local(off)) if off < 0 => {
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
