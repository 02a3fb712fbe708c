//! What an instruction is charged.

use super::{ops::weight, Call, Insn};

impl Insn {
    /// What one execution is charged, in units of budget (see [`VerifiedProgram`](crate::verifier::VerifiedProgram)): for a slot
    /// that is never executed nothing, for the call of a helper the way there and back.
    pub const fn weight(&self) -> u32 {
        match *self {
            Insn::Alu { op, .. } => op.weight(),
            Insn::Branch { op, .. } => op.weight(),
            Insn::Jump { .. } | Insn::Exit => weight::JUMP,
            Insn::MovSx { .. } | Insn::Neg { .. } | Insn::Endian { .. } | Insn::LoadImm64 { .. } => weight::PLAIN,
            Insn::Load { .. } | Insn::Store { .. } => weight::ACCESS,
            Insn::Atomic { .. } => weight::ATOMIC,
            Insn::Call(Call::Local(_)) => weight::LOCAL_CALL,
            Insn::Call(Call::Helper(_) | Call::Register(_) | Call::Btf(_)) => weight::HELPER_CALL,
            Insn::WideTail | Insn::LegacyPacket { .. } => 0,
        }
    }
}
