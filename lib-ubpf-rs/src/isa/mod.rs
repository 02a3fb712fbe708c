//! What an instruction is (RFC 9669): the decoded form that every other layer matches on, and the ways
//! between it and bytes or text. Knows nothing about programs, memory or execution.
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

mod asm;
mod decode;
mod encode;
mod insn;
mod operands;
mod raw;
mod table;
mod text;
mod weight;

pub use asm::{assemble, AsmError, AsmProblem};
pub use decode::{decode, decode_some, DecodeError};
pub use encode::{encode, EncodeError};
pub use insn::{AtomicOp, Call, Endianness, ImmKind, Insn, Operand, Reg, Size, Width};
pub use raw::RawInsn;
pub use table::{AluOp, CmpOp};
