//! Which registers an instruction reads and writes.

use super::{AluOp, AtomicOp, Call, Insn, Operand, Reg};

impl Operand {
    /// The register, unless it is an immediate.
    pub const fn register(self) -> Option<Reg> {
        match self {
            Operand::Reg(reg) => Some(reg),
            Operand::Imm(_) => None,
        }
    }
}

impl Insn {
    /// The register it writes, calls aside: they write r0 and forget r1 to r5 (RFC 9669 section 2).
    pub const fn written(&self) -> Option<Reg> {
        match *self {
            Insn::Alu { dst, .. }
            | Insn::MovSx { dst, .. }
            | Insn::Neg { dst, .. }
            | Insn::Endian { dst, .. }
            | Insn::LoadImm64 { dst, .. }
            | Insn::Load { dst, .. } => Some(dst),
            Insn::Atomic { op, src, .. } => op.result(src),
            Insn::LegacyPacket { .. } => Some(Reg::R0),
            Insn::Store { .. }
            | Insn::WideTail
            | Insn::Jump { .. }
            | Insn::Branch { .. }
            | Insn::Call(_)
            | Insn::Exit => None,
        }
    }

    /// The registers it reads; which arguments a callee reads is not known here.
    pub const fn read(&self) -> [Option<Reg>; 3] {
        match *self {
            Insn::Alu { op: AluOp::Mov, src, .. } => [src.register(), None, None],
            Insn::Alu { dst, src, .. } | Insn::Branch { dst, src, .. } => [Some(dst), src.register(), None],
            Insn::MovSx { src, .. } => [Some(src), None, None],
            Insn::Neg { dst, .. } | Insn::Endian { dst, .. } => [Some(dst), None, None],
            Insn::Load { base, .. } => [Some(base), None, None],
            Insn::Store { base, src, .. } => [Some(base), src.register(), None],
            Insn::Atomic { op: AtomicOp::CmpXchg, base, src, .. } => [Some(base), Some(src), Some(Reg::R0)],
            Insn::Atomic { op: AtomicOp::LoadAcquire, base, .. } => [Some(base), None, None],
            Insn::Atomic { base, src, .. } => [Some(base), Some(src), None],
            Insn::Call(Call::Register(reg)) => [Some(reg), None, None],
            Insn::Exit => [Some(Reg::R0), None, None],
            Insn::LoadImm64 { .. } | Insn::WideTail | Insn::LegacyPacket { .. } | Insn::Jump { .. } | Insn::Call(_) => {
                [None; 3]
            }
        }
    }
}
