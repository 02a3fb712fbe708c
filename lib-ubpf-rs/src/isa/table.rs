//! The instruction set as tables: every number of RFC 9669 that the decoder, the encoder and the text forms use
//! stands here once, and what each operation is charged.

use super::{AtomicOp, Size};

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

/// An operation per row: makes the enum, its list and its weights of the rows, and the table that decoder, encoder and text use.
macro_rules! operations {
    (
        $(#[$about:meta])*
        $name:ident, $(#[$of_table:meta])* $table:ident: $row:ty = ($code:ident, $op:ident, $sign:ident) => $cells:expr;
        $($(#[$doc:meta])* $variant:ident: $number:expr, $text:literal, $weight:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: [$name; [$($name::$variant),*].len()] = [$($name::$variant),*];

            /// What one execution is charged.
            pub const fn weight(self) -> u32 {
                match self {
                    $($name::$variant => $weight,)*
                }
            }
        }

        $(#[$of_table])*
        pub(super) const $table: &[$row] = &[
            $({
                let ($code, $op, $sign) = ($number, $name::$variant, $text);
                $cells
            },)*
        ];
    };
}

/// What one execution of an instruction is charged, in units of budget: one is a nanosecond of machine code on the machine of
/// `docs/performance.md`, with warm caches. None takes longer than four times its weight; most take less than it. The weights of
/// operations stand in their tables.
pub(super) mod weight {
    /// What moves and changes bits.
    pub const PLAIN: u32 = 1;
    /// A division with the slowest operands.
    pub const DIVISION: u32 = 4;
    /// An access that is checked at run time, goes across a page, or waits for a store of another size.
    pub const ACCESS: u32 = 2;
    /// An atomic access.
    pub const ATOMIC: u32 = 4;
    /// A jump, foreseen wrongly or not.
    pub const JUMP: u32 = 1;
    /// Call of a function of the program: what it keeps, its frame, its return.
    pub const LOCAL_CALL: u32 = 2;
    /// Way into a helper and out; what the helper does has a cost of its own.
    pub const HELPER_CALL: u32 = 4;
}

operations! {
    /// Two-operand arithmetic (RFC 9669 section 4.1). Division by zero gives 0, modulo by zero leaves the
    /// dividend; shift counts are masked to the width; the smallest negative number divided by -1 is itself.
    AluOp,
    /// Arithmetic (section 4.1): code, value of the offset field, operation, sign between `dst` and `src` in text.
    ALU: (u8, i16, AluOp, &str) = (code, op, sign) => (code.0, code.1, op, sign);
    /// `dst += src`
    Add: (0x00, 0), "+=", weight::PLAIN;
    /// `dst -= src`
    Sub: (0x10, 0), "-=", weight::PLAIN;
    /// `dst *= src`
    Mul: (0x20, 0), "*=", weight::PLAIN;
    /// `dst = src != 0 ? dst / src : 0`, unsigned
    Div: (0x30, 0), "/=", weight::DIVISION;
    /// `dst = src != 0 ? dst / src : 0`, signed
    Sdiv: (0x30, 1), "s/=", weight::DIVISION;
    /// `dst |= src`
    Or: (0x40, 0), "|=", weight::PLAIN;
    /// `dst &= src`
    And: (0x50, 0), "&=", weight::PLAIN;
    /// `dst <<= src & mask`
    Lsh: (0x60, 0), "<<=", weight::PLAIN;
    /// `dst >>= src & mask`, zeroes shifted in
    Rsh: (0x70, 0), ">>=", weight::PLAIN;
    /// `dst = src != 0 ? dst % src : dst`, unsigned
    Mod: (0x90, 0), "%=", weight::DIVISION;
    /// `dst = src != 0 ? dst % src : dst`, signed
    Smod: (0x90, 1), "s%=", weight::DIVISION;
    /// `dst ^= src`
    Xor: (0xa0, 0), "^=", weight::PLAIN;
    /// `dst = src`
    Mov: (0xb0, 0), "=", weight::PLAIN;
    /// `dst >>= src & mask`, sign bit shifted in
    Arsh: (0xc0, 0), "s>>=", weight::PLAIN;
}

operations! {
    /// Condition of a jump (RFC 9669 section 4.3).
    CmpOp,
    /// Conditions (section 4.3): code, condition, sign in text.
    JUMP: (u8, CmpOp, &str) = (code, op, sign) => (code, op, sign);
    /// `dst == src`
    Eq: 0x10, "==", weight::JUMP;
    /// `dst > src`, unsigned
    Gt: 0x20, ">", weight::JUMP;
    /// `dst >= src`, unsigned
    Ge: 0x30, ">=", weight::JUMP;
    /// `dst & src`
    Set: 0x40, "&", weight::JUMP;
    /// `dst != src`
    Ne: 0x50, "!=", weight::JUMP;
    /// `dst > src`, signed
    Sgt: 0x60, "s>", weight::JUMP;
    /// `dst >= src`, signed
    Sge: 0x70, "s>=", weight::JUMP;
    /// `dst < src`, unsigned
    Lt: 0xa0, "<", weight::JUMP;
    /// `dst <= src`, unsigned
    Le: 0xb0, "<=", weight::JUMP;
    /// `dst < src`, signed
    Slt: 0xc0, "s<", weight::JUMP;
    /// `dst <= src`, signed
    Sle: 0xd0, "s<=", weight::JUMP;
}

/// Sizes (section 5.1): bits, size, unsigned and signed type in text.
pub(super) const SIZE: &[(u8, Size, &str, &str)] = &[
    (0x00, Size::W, "u32", "s32"),
    (0x08, Size::H, "u16", "s16"),
    (0x10, Size::B, "u8", "s8"),
    (0x18, Size::DW, "u64", "s64"),
];

/// Atomic operations (section 5.3; the last two as in Linux): immediate, operation, name in text.
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
    (0x100, AtomicOp::LoadAcquire, "load_acquire"),
    (0x110, AtomicOp::StoreRelease, "store_release"),
];
