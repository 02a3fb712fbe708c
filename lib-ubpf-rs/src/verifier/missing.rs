//! What a flat program lacks of the object it was taken from. An address that the linker would have put in is left as the number
//! of its place in a section: a wide load of a small number, which no compiler writes for a number that is meant as one.

use super::{
    findings::{Findings, Need},
    value::ValueKind,
    verified::{Fact, Note},
    work::{pieces, price, Cap, Work},
    Environment, VerifyError,
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
    env: &Environment<'_>,
    work: &mut Work<'_>,
) -> Result<(), VerifyError> {
    let insns = program.insns.as_slice();
    let effort = insns.len().saturating_mul(EFFORT.0).saturating_add(EFFORT.1);
    let mut search = Search { insns, left: effort, work };
    search.check(program, findings, env)
}

/// Instructions looked at in all: so many per instruction, and so many more. Then no more is found to be missing.
const EFFORT: (usize, usize) = (16, 1 << 16);

/// Looks for what numbers come from.
struct Search<'a, 'w, 'b> {
    insns: &'a [Insn],
    /// Instructions that may still be looked at.
    left: usize,
    work: &'w mut Work<'b>,
}

impl Search<'_, '_, '_> {
    /// So many were looked at, of which there are [`REACH`] at most.
    fn looked(&mut self, insns: usize) -> Result<(), Cap> {
        self.left = self.left.saturating_sub(insns);
        self.work.spend_each(insns, price::GLANCE)
    }

    fn check(&mut self, program: &Program, findings: &Findings, env: &Environment<'_>) -> Result<(), VerifyError> {
        for failure in &findings.failures {
            let number = failure.is_of(ValueKind::Scalar)
                && matches!(failure.need, Need::Pointer | Need::StringEnd | Need::Map(_));
            if !number {
                continue;
            }
            if let Some(load) = self.origin(failure.pc, failure.base, MOVES)? {
                let (pc, what) = (failure.pc, failure.need.what());
                return Err(VerifyError::MissingAddress { pc, what, load });
            }
        }
        for piece in pieces(0..self.insns.len()) {
            self.work.spend_each(piece.len(), price::LOOK)?;
            for pc in piece {
                let Some(reg) = self.called(findings, pc) else {
                    continue;
                };
                let load = self.origin(pc, reg, MOVES)?;
                let Some(load) = load.filter(|&load| !is_helper(program, env, load)) else {
                    continue;
                };
                let what = "function called";
                return Err(VerifyError::MissingAddress { pc, what, load });
            }
        }
        Ok(())
    }

    /// The register through which an instruction that may be executed calls.
    fn called(&self, findings: &Findings, pc: usize) -> Option<Reg> {
        let reached = |note: &Note| note.fact.contains(Fact::REACHED);
        match (self.insns.get(pc)?, findings.notes.get(pc)) {
            (Insn::Call(Call::Register(reg)), Some(note)) if reached(note) => Some(*reg),
            _ => None,
        }
    }

    /// The wide load of a small number that a register's value at `pc` comes from, as the text stands: the nearest instruction above
    /// that writes it, through moves, sums and the stack.
    fn origin(&mut self, pc: usize, reg: Reg, moves: usize) -> Result<Option<usize>, Cap> {
        let (Some(moves), Some(above)) = (moves.checked_sub(1), self.insns.get(..pc)) else {
            return Ok(None);
        };
        let reach = REACH.min(self.left);
        let writer = above.iter().rev().take(reach).position(|insn| insn.written() == Some(reg) || clobbers(insn, reg));
        self.looked(writer.unwrap_or(reach).saturating_add(1))?;
        let at = writer.and_then(|writer| pc.checked_sub(writer)?.checked_sub(1));
        let Some((at, insn)) = at.and_then(|at| Some((at, self.insns.get(at)?))) else {
            return Ok(None);
        };
        match *insn {
            Insn::LoadImm64 { kind: ImmKind::Value, imm, .. } => Ok((imm < PLACES).then_some(at)),
            Insn::Alu { op: AluOp::Mov, src: Operand::Reg(from), .. } => self.origin(at, from, moves),
            Insn::Alu { op: AluOp::Add | AluOp::Sub, dst, src, .. } => {
                let first = self.origin(at, dst, moves)?;
                match (first, src.register()) {
                    (None, Some(other)) => self.origin(at, other, moves),
                    _ => Ok(first),
                }
            }
            Insn::Load { size: Size::DW, base: Reg::R10, off, .. } => match self.stored(at, off)? {
                Some((from, value)) => self.origin(from, value, moves),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The nearest store above to a place of the stack, and what it stores.
    fn stored(&mut self, pc: usize, place: i16) -> Result<Option<(usize, Reg)>, Cap> {
        let reach = REACH.min(self.left);
        let above = self.insns.get(..pc).unwrap_or_default();
        let mut above = above.iter().enumerate().rev().take(reach);
        let found = above.find_map(|(at, insn)| match *insn {
            Insn::Store { size: Size::DW, base: Reg::R10, off, src: Operand::Reg(value) } if off == place => {
                Some((at, value))
            }
            _ => None,
        });
        self.looked(found.map_or(reach, |(at, _)| pc.saturating_sub(at)))?;
        Ok(found)
    }
}

/// Whether the number that is loaded there is a helper's.
fn is_helper(program: &Program, env: &Environment<'_>, load: usize) -> bool {
    let Some(Insn::LoadImm64 { imm, .. }) = program.insns.get(load) else {
        return false;
    };
    let number = u32::try_from(*imm).ok();
    number.is_some_and(|n| env.helpers.signature(program.abi, n).is_some())
}

/// Whether a call changes it.
fn clobbers(insn: &Insn, reg: Reg) -> bool {
    matches!(insn, Insn::Call(_)) && reg <= Reg::R5
}
