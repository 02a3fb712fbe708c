//! What a flat program lacks of the object it was taken from. An address that the linker would have put in is left as the number
//! of its place in a section: a wide load of a small number, which no compiler writes for a number that is meant as one.

use super::{
    findings::{Findings, Need},
    value::Kind,
    verified::Fact,
    HelperLookup, VerifyError,
};
use crate::{
    isa::{AluOp, Call, ImmKind, Insn, Operand, Reg, Size},
    program::Program,
};

/// Instructions looked at, back from one use.
const REACH: usize = 4096;
/// Places in a section are below this: the numbers of the sections of any object that is made into a program.
const PLACES: u64 = 16 << 20;
/// Moves followed.
const MOVES: usize = 8;

/// An access or a call through a number that stands for an address the file does not have.
pub(super) fn check(
    program: &Program,
    findings: &Findings,
    helpers: &dyn HelperLookup,
) -> Result<(), VerifyError> {
    let insns = program.insns.as_slice();
    for failure in &findings.failures {
        let number =
            failure.is_of(Kind::Scalar) && matches!(failure.need, Need::Pointer | Need::StringEnd);
        if !number {
            continue;
        }
        if let Some(load) = origin(insns, failure.pc, failure.base, MOVES) {
            let (pc, what) = (failure.pc, failure.need.what());
            return Err(VerifyError::MissingAddress { pc, what, load });
        }
    }
    for (pc, (insn, note)) in insns.iter().zip(&findings.notes).enumerate() {
        let Insn::Call(Call::Register(reg)) = *insn else {
            continue;
        };
        if !note.fact.contains(Fact::REACHED) {
            continue;
        }
        let load = origin(insns, pc, reg, MOVES);
        let Some(load) = load.filter(|&load| !is_helper(program, helpers, load)) else {
            continue;
        };
        let what = "function called";
        return Err(VerifyError::MissingAddress { pc, what, load });
    }
    Ok(())
}

/// Whether the number that is loaded there is a helper's.
fn is_helper(program: &Program, helpers: &dyn HelperLookup, load: usize) -> bool {
    let Some(Insn::LoadImm64 { imm, .. }) = program.insns.get(load) else {
        return false;
    };
    let number = u32::try_from(*imm).ok();
    number.is_some_and(|n| helpers.signature(program.abi, n).is_some())
}

/// The wide load of a small number that a register's value at `pc` comes from, as the text stands: the nearest instruction above
/// that writes it, through moves, sums and the stack.
fn origin(insns: &[Insn], pc: usize, reg: Reg, moves: usize) -> Option<usize> {
    let moves = moves.checked_sub(1)?;
    let above = insns.get(..pc)?;
    let writer = above
        .iter()
        .rev()
        .take(REACH)
        .position(|insn| insn.written() == Some(reg) || clobbers(insn, reg))?;
    let at = pc.checked_sub(writer)?.checked_sub(1)?;
    match *insns.get(at)? {
        Insn::LoadImm64 {
            kind: ImmKind::Value,
            imm,
            ..
        } => (imm < PLACES).then_some(at),
        Insn::Alu {
            op: AluOp::Mov,
            src: Operand::Reg(from),
            ..
        } => origin(insns, at, from, moves),
        Insn::Alu {
            op: AluOp::Add | AluOp::Sub,
            dst,
            src,
            ..
        } => {
            let other = src.register();
            let first = origin(insns, at, dst, moves);
            first.or_else(|| origin(insns, at, other?, moves))
        }
        Insn::Load {
            size: Size::DW,
            base: Reg::R10,
            off,
            ..
        } => {
            let (from, value) = stored(insns, at, off)?;
            origin(insns, from, value, moves)
        }
        _ => None,
    }
}

/// Whether a call changes it.
fn clobbers(insn: &Insn, reg: Reg) -> bool {
    matches!(insn, Insn::Call(_)) && reg <= Reg::R5
}

/// The nearest store above to a place of the stack, and what it stores.
fn stored(insns: &[Insn], pc: usize, place: i16) -> Option<(usize, Reg)> {
    let above = insns.get(..pc)?.iter().enumerate().rev().take(REACH);
    above.into_iter().find_map(|(at, insn)| match *insn {
        Insn::Store {
            size: Size::DW,
            base: Reg::R10,
            off,
            src: Operand::Reg(value),
        } if off == place => Some((at, value)),
        _ => None,
    })
}
