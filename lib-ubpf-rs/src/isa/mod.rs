//! What an instruction is (RFC 9669): the decoded form that every other layer matches on, and the ways
//! between it and bytes or text. Knows nothing about programs, memory or execution.
#![forbid(unsafe_code)]

mod insn;

pub use insn::{
    AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width,
};
