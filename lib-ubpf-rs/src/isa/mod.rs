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

mod assembler;
mod decode;
mod encode;
mod insn;
mod operands;
mod ops;
mod raw;
mod text;
mod weigh;

pub use assembler::{assemble, AsmError, AsmProblem};
pub use decode::{decode, decode_some, DecodeError};
pub use encode::{encode, EncodeError};
pub use insn::{Call, Insn, Operand, Reg, Width};
pub(crate) use ops::{each_alu_op, each_cmp_op, each_size, weight};
pub use ops::{AluOp, AtomicOp, CmpOp, Endianness, ImmKind, Size};
pub use raw::RawInsn;
