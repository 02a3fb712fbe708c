//! The instruction set as tables: every number of RFC 9669 that the decoder, the encoder and the text forms use
//! stands here once.

use super::{AluOp, AtomicOp, CmpOp, Size};

/// Instruction classes (section 3.2.1), low three bits of the opcode.
pub(super) mod class {
    pub const LD: u8 = 0x00;
    pub const LDX: u8 = 0x01;
    pub const ST: u8 = 0x02;
    pub const STX: u8 = 0x03;
    pub const ALU: u8 = 0x04;
    pub const JMP: u8 = 0x05;
    pub const JMP32: u8 = 0x06;
    pub const ALU64: u8 = 0x07;
}

/// Source bit: second operand in a register.
pub(super) const X: u8 = 0x08;

/// Memory modes (section 5), high three bits of the opcode.
pub(super) mod mode {
    pub const IMM: u8 = 0x00;
    pub const ABS: u8 = 0x20;
    pub const IND: u8 = 0x40;
    pub const MEM: u8 = 0x60;
    pub const MEMSX: u8 = 0x80;
    pub const ATOMIC: u8 = 0xc0;
}

/// Operation codes that are not in a table, high four bits of the opcode.
pub(super) mod code {
    pub const NEG: u8 = 0x80;
    pub const MOV: u8 = 0xb0;
    pub const END: u8 = 0xd0;
    pub const JA: u8 = 0x00;
    pub const CALL: u8 = 0x80;
    pub const EXIT: u8 = 0x90;
}

/// Arithmetic (section 4.1): code, value of the offset field, operation, sign between `dst` and `src` in text.
pub(super) const ALU: &[(u8, i16, AluOp, &str)] = &[
    (0x00, 0, AluOp::Add, "+="),
    (0x10, 0, AluOp::Sub, "-="),
    (0x20, 0, AluOp::Mul, "*="),
    (0x30, 0, AluOp::Div, "/="),
    (0x30, 1, AluOp::Sdiv, "s/="),
    (0x40, 0, AluOp::Or, "|="),
    (0x50, 0, AluOp::And, "&="),
    (0x60, 0, AluOp::Lsh, "<<="),
    (0x70, 0, AluOp::Rsh, ">>="),
    (0x90, 0, AluOp::Mod, "%="),
    (0x90, 1, AluOp::Smod, "s%="),
    (0xa0, 0, AluOp::Xor, "^="),
    (0xb0, 0, AluOp::Mov, "="),
    (0xc0, 0, AluOp::Arsh, "s>>="),
];

/// Conditions (section 4.3): code, condition, sign in text.
pub(super) const JUMP: &[(u8, CmpOp, &str)] = &[
    (0x10, CmpOp::Eq, "=="),
    (0x20, CmpOp::Gt, ">"),
    (0x30, CmpOp::Ge, ">="),
    (0x40, CmpOp::Set, "&"),
    (0x50, CmpOp::Ne, "!="),
    (0x60, CmpOp::Sgt, "s>"),
    (0x70, CmpOp::Sge, "s>="),
    (0xa0, CmpOp::Lt, "<"),
    (0xb0, CmpOp::Le, "<="),
    (0xc0, CmpOp::Slt, "s<"),
    (0xd0, CmpOp::Sle, "s<="),
];

/// Sizes (section 5.1): bits, size, unsigned and signed type in text.
pub(super) const SIZE: &[(u8, Size, &str, &str)] = &[
    (0x00, Size::W, "u32", "s32"),
    (0x08, Size::H, "u16", "s16"),
    (0x10, Size::B, "u8", "s8"),
    (0x18, Size::DW, "u64", "s64"),
];

/// Atomic operations (section 5.3): immediate, operation, name in text.
pub(super) const ATOMIC: &[(i32, AtomicOp, &str)] = &[
    (0x00, AtomicOp::Add { fetch: false }, "add"),
    (0x40, AtomicOp::Or { fetch: false }, "or"),
    (0x50, AtomicOp::And { fetch: false }, "and"),
    (0xa0, AtomicOp::Xor { fetch: false }, "xor"),
    (0x01, AtomicOp::Add { fetch: true }, "fetch_add"),
    (0x41, AtomicOp::Or { fetch: true }, "fetch_or"),
    (0x51, AtomicOp::And { fetch: true }, "fetch_and"),
    (0xa1, AtomicOp::Xor { fetch: true }, "fetch_xor"),
    (0xe1, AtomicOp::Xchg, "xchg"),
    (0xf1, AtomicOp::CmpXchg, "cmpxchg"),
];
