//! The operations of the instruction set, one row each: its number, its text, what it is charged, what it computes. The enums, their
//! lists, decoder, encoder, text forms and both ways of the interpreter derive from the rows. Every number of RFC 9669 stands here once.

use super::Reg;

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

/// The opcode of the wide load, the only instruction of two slots.
pub(super) const WIDE: u8 = class::LD | mode::IMM | Size::DW.row().code;

/// Operation codes that are not in a table, high four bits of the opcode.
pub(super) mod code {
    pub const NEG: u8 = 0x80;
    pub const MOV: u8 = super::AluOp::Mov.row().code;
    pub const END: u8 = 0xd0;
    pub const JA: u8 = 0x00;
    pub const CALL: u8 = 0x80;
    pub const EXIT: u8 = 0x90;
}

/// An enum with a row for each variant. The rows are where the enum, its list and its table come from, and where wanted `$each`, which
/// gives the names of all variants to another macro.
macro_rules! rows {
    (
        $dollar:tt $each:ident;
        $(#[$about:meta])*
        $name:ident: $row:ty;
        $($(#[$doc:meta])* $variant:ident: $cells:expr;)*
    ) => {
        rows! {
            $(#[$about])*
            $name: $row;
            $($(#[$doc])* $variant: $cells;)*
        }

        macro_rules! $each {
            ($dollar callback:ident $dollar given:tt) => {
                $dollar callback! { $dollar given [$($variant)*] }
            };
        }
        pub(crate) use $each;
    };
    (
        $(#[$about:meta])*
        $name:ident: $row:ty;
        $($(#[$doc:meta])* $variant:ident: $cells:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: [$name; [$($name::$variant),*].len()] = [$($name::$variant),*];

            /// Every one of them with its row.
            pub(super) const TABLE: [($name, $row); $name::ALL.len()] = [$(($name::$variant, $cells)),*];

            pub(super) const fn row(self) -> $row {
                match self {
                    $($name::$variant => $cells,)*
                }
            }
        }
    };
}

/// Rows that also say what the operation gives for `a` and `b`, once for both widths: `U` is the unsigned number, `S` the signed one.
macro_rules! operations {
    (
        $dollar:tt $each:ident, $compute64:ident -> $result64:ty, $compute32:ident -> $result32:ty;
        $(#[$about:meta])*
        $name:ident: $row:ty;
        $($(#[$doc:meta])* $variant:ident: $cells:expr, |$a:ident, $b:ident| $meaning:expr;)*
    ) => {
        rows! {
            $dollar $each;
            $(#[$about])*
            $name: $row;
            $($(#[$doc])* $variant: $cells;)*
        }

        impl $name {
            /// What one execution is charged.
            pub const fn weight(self) -> u32 {
                self.row().weight
            }

            /// What it gives for 64-bit operands.
            #[cfg_attr(debug_assertions, inline(never))]
            #[cfg_attr(not(debug_assertions), inline(always))]
            #[allow(clippy::arithmetic_side_effects, reason = "the rows wrap around, and look at a divisor first")]
            pub fn $compute64(self, first: u64, second: u64) -> $result64 {
                #[allow(dead_code, reason = "not every table of operations has use for both")]
                type U = u64;
                type S = i64;
                match self {
                    $($name::$variant => {
                        let ($a, $b) = (first, second);
                        $meaning
                    })*
                }
            }

            /// What it gives for 32-bit operands.
            #[cfg_attr(debug_assertions, inline(never))]
            #[cfg_attr(not(debug_assertions), inline(always))]
            #[allow(clippy::arithmetic_side_effects, reason = "the rows wrap around, and look at a divisor first")]
            pub fn $compute32(self, first: u32, second: u32) -> $result32 {
                #[allow(dead_code, reason = "not every table of operations has use for both")]
                type U = u32;
                type S = i32;
                match self {
                    $($name::$variant => {
                        let ($a, $b) = (first, second);
                        $meaning
                    })*
                }
            }
        }

    };
}

/// What one execution of an instruction is charged, in units of budget: one is a nanosecond of machine code on the machine of
/// `docs/performance.md`, with warm caches. No operation takes longer than four times its weight; most take less than their weight. The weights of
/// operations stand in their tables.
pub(crate) mod weight {
    /// What moves and changes bits.
    pub const PLAIN: u32 = 1;
    /// A division with the slowest operands.
    pub const DIVISION: u32 = 4;
    /// An access that goes across a page, or waits for a store of another size.
    pub const ACCESS: u32 = 2;
    /// What an access that is checked at run time is charged beside that. Warm it takes next to nothing; in a long line of such accesses,
    /// each executed once, the branches of the checks are foreseen by nothing.
    pub const CHECK: u32 = 4;
    /// A read of the application's memory that may fail, of at most 128 bytes: a system call on Linux.
    pub const READ: u32 = 400;
    /// An atomic access.
    pub const ATOMIC: u32 = 4;
    /// A jump, foreseen wrongly or not.
    pub const JUMP: u32 = 1;
    /// Call of a function of the program: what it keeps, its frame, its return.
    pub const LOCAL_CALL: u32 = 2;
    /// Way into a helper and out; what the helper does has a cost of its own.
    pub const HELPER_CALL: u32 = 4;
}

/// What there is to say of an arithmetic operation.
pub(super) struct AluRow {
    /// High four bits of the opcode.
    pub code: u8,
    /// Value of the offset field.
    pub off: i16,
    /// What stands between `dst` and `src` in text.
    pub sign: &'static str,
    weight: u32,
    low_half: LowHalf,
}

/// What the low half of a result depends on.
#[derive(Clone, Copy)]
enum LowHalf {
    /// On the operands' low halves alone, by the same operation.
    Closed,
    /// On more.
    Open,
}
use LowHalf::{Closed, Open};

const fn alu(code: u8, off: i16, sign: &'static str, weight: u32, low_half: LowHalf) -> AluRow {
    AluRow { code, off, sign, weight, low_half }
}

operations! {
    $ each_alu_op, compute64 -> u64, compute32 -> u32;
    /// Two-operand arithmetic (RFC 9669 section 4.1). Division by zero gives 0, modulo by zero leaves the
    /// dividend; shift counts are masked to the width; the smallest negative number divided by -1 is itself.
    AluOp: AluRow;
    /// `dst += src`
    Add: alu(0x00, 0, "+=", weight::PLAIN, Closed), |a, b| a.wrapping_add(b);
    /// `dst -= src`
    Sub: alu(0x10, 0, "-=", weight::PLAIN, Closed), |a, b| a.wrapping_sub(b);
    /// `dst *= src`
    Mul: alu(0x20, 0, "*=", weight::PLAIN, Closed), |a, b| a.wrapping_mul(b);
    /// `dst = src != 0 ? dst / src : 0`, unsigned
    Div: alu(0x30, 0, "/=", weight::DIVISION, Open), |a, b| a.checked_div(b).unwrap_or(0);
    /// `dst = src != 0 ? dst / src : 0`, signed
    Sdiv: alu(0x30, 1, "s/=", weight::DIVISION, Open), |a, b| if b == 0 { 0 } else { (a as S).wrapping_div(b as S) as U };
    /// `dst |= src`
    Or: alu(0x40, 0, "|=", weight::PLAIN, Closed), |a, b| a | b;
    /// `dst &= src`
    And: alu(0x50, 0, "&=", weight::PLAIN, Closed), |a, b| a & b;
    /// `dst <<= src & mask`
    Lsh: alu(0x60, 0, "<<=", weight::PLAIN, Open), |a, b| a.wrapping_shl(b as u32);
    /// `dst >>= src & mask`, zeroes shifted in
    Rsh: alu(0x70, 0, ">>=", weight::PLAIN, Open), |a, b| a.wrapping_shr(b as u32);
    /// `dst = src != 0 ? dst % src : dst`, unsigned
    Mod: alu(0x90, 0, "%=", weight::DIVISION, Open), |a, b| a.checked_rem(b).unwrap_or(a);
    /// `dst = src != 0 ? dst % src : dst`, signed
    Smod: alu(0x90, 1, "s%=", weight::DIVISION, Open), |a, b| if b == 0 { a } else { (a as S).wrapping_rem(b as S) as U };
    /// `dst ^= src`
    Xor: alu(0xa0, 0, "^=", weight::PLAIN, Closed), |a, b| a ^ b;
    /// `dst = src`
    Mov: alu(0xb0, 0, "=", weight::PLAIN, Closed), |_a, b| b;
    /// `dst >>= src & mask`, sign bit shifted in
    Arsh: alu(0xc0, 0, "s>>=", weight::PLAIN, Open), |a, b| (a as S).wrapping_shr(b as u32) as U;
}

impl AluOp {
    /// Whether the result's low half depends on the operands' low halves alone, by the same operation.
    pub const fn low_half_is_closed(self) -> bool {
        matches!(self.row().low_half, Closed)
    }
}

/// What there is to say of a condition.
pub(super) struct CmpRow {
    /// High four bits of the opcode.
    pub code: u8,
    /// What stands between `dst` and `src` in text.
    pub sign: &'static str,
    weight: u32,
}

const fn cmp(code: u8, sign: &'static str) -> CmpRow {
    CmpRow { code, sign, weight: weight::JUMP }
}

operations! {
    $ each_cmp_op, holds64 -> bool, holds32 -> bool;
    /// Condition of a jump (RFC 9669 section 4.3).
    CmpOp: CmpRow;
    /// `dst == src`
    Eq: cmp(0x10, "=="), |a, b| a == b;
    /// `dst > src`, unsigned
    Gt: cmp(0x20, ">"), |a, b| a > b;
    /// `dst >= src`, unsigned
    Ge: cmp(0x30, ">="), |a, b| a >= b;
    /// `dst & src`
    Set: cmp(0x40, "&"), |a, b| a & b != 0;
    /// `dst != src`
    Ne: cmp(0x50, "!="), |a, b| a != b;
    /// `dst > src`, signed
    Sgt: cmp(0x60, "s>"), |a, b| (a as S) > b as S;
    /// `dst >= src`, signed
    Sge: cmp(0x70, "s>="), |a, b| (a as S) >= b as S;
    /// `dst < src`, unsigned
    Lt: cmp(0xa0, "<"), |a, b| a < b;
    /// `dst <= src`, unsigned
    Le: cmp(0xb0, "<="), |a, b| a <= b;
    /// `dst < src`, signed
    Slt: cmp(0xc0, "s<"), |a, b| (a as S) < b as S;
    /// `dst <= src`, signed
    Sle: cmp(0xd0, "s<="), |a, b| (a as S) <= b as S;
}

/// What there is to say of the size of an access.
pub(super) struct SizeRow {
    /// Bits 3 and 4 of the opcode.
    pub code: u8,
    bytes: usize,
    /// The unsigned and the signed type in text.
    pub unsigned: &'static str,
    pub signed: &'static str,
}

const fn size(code: u8, bytes: usize, unsigned: &'static str, signed: &'static str) -> SizeRow {
    SizeRow { code, bytes, unsigned, signed }
}

rows! {
    $ each_size;
    /// Size of a memory access (RFC 9669 section 5.1).
    Size: SizeRow;
    /// One byte.
    B: size(0x10, 1, "u8", "s8");
    /// Two bytes.
    H: size(0x08, 2, "u16", "s16");
    /// Four bytes.
    W: size(0x00, 4, "u32", "s32");
    /// Eight bytes.
    DW: size(0x18, 8, "u64", "s64");
}

impl Size {
    /// The size in bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> usize {
        self.row().bytes
    }
}

/// What there is to say of an atomic operation.
pub(super) struct AtomicRow {
    /// The immediate.
    pub code: i32,
    /// Its name in text, or the sign between memory and `src`.
    pub text: &'static str,
    pub form: AtomicForm,
}

/// How an atomic operation is written, which sizes it has, and where it leaves what it found in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AtomicForm {
    /// `lock *(u64 *)(r1 + 0) += r2`: 4 or 8 bytes; nothing is left.
    Sign,
    /// `r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)`: 4 or 8 bytes; the old value goes to `src`.
    Fetch,
    /// `r2 = xchg_64(r1 + 0, r2)`: 4 or 8 bytes; the old value goes to `src`.
    Exchange,
    /// `r0 = cmpxchg_64(r1 + 0, r0, r2)`: 4 or 8 bytes; the old value goes to r0.
    CompareExchange,
    /// `r2 = load_acquire((u64 *)(r1 + 0))`: any size.
    Load,
    /// `store_release((u64 *)(r1 + 0), r2)`: any size.
    Store,
}

const fn atomic(code: i32, text: &'static str, form: AtomicForm) -> AtomicRow {
    AtomicRow { code, text, form }
}

rows! {
    /// Atomic operation: read-modify-write (RFC 9669 section 5.3), or a load or store that orders the accesses around it, as
    /// compilers write it for `-mcpu=v4` (Linux, `BPF_LOAD_ACQ` and `BPF_STORE_REL`).
    AtomicOp: AtomicRow;
    /// Adds `src`.
    Add: atomic(0x00, "+=", AtomicForm::Sign);
    /// Adds `src`; the old value goes there.
    FetchAdd: atomic(0x01, "atomic_fetch_add", AtomicForm::Fetch);
    /// Sets the bits of `src`.
    Or: atomic(0x40, "|=", AtomicForm::Sign);
    /// Sets the bits of `src`; the old value goes there.
    FetchOr: atomic(0x41, "atomic_fetch_or", AtomicForm::Fetch);
    /// Keeps the bits of `src` alone.
    And: atomic(0x50, "&=", AtomicForm::Sign);
    /// Keeps the bits of `src` alone; the old value goes there.
    FetchAnd: atomic(0x51, "atomic_fetch_and", AtomicForm::Fetch);
    /// Flips the bits of `src`.
    Xor: atomic(0xa0, "^=", AtomicForm::Sign);
    /// Flips the bits of `src`; the old value goes there.
    FetchXor: atomic(0xa1, "atomic_fetch_xor", AtomicForm::Fetch);
    /// Exchange; the old value goes to `src`.
    Xchg: atomic(0xe1, "xchg", AtomicForm::Exchange);
    /// Compare with r0 and exchange; the old value goes to r0.
    CmpXchg: atomic(0xf1, "cmpxchg", AtomicForm::CompareExchange);
    /// Load to `src`, zero-extended; no access after it takes place before it.
    LoadAcquire: atomic(0x100, "load_acquire", AtomicForm::Load);
    /// Store of `src`; no access before it takes place after it.
    StoreRelease: atomic(0x110, "store_release", AtomicForm::Store);
}

impl AtomicOp {
    /// Whether it only loads or stores, of any size; the others are of 4 or 8 bytes.
    pub const fn is_ordered_access(self) -> bool {
        matches!(self.row().form, AtomicForm::Load | AtomicForm::Store)
    }

    /// The register that receives the old value, `src` being the instruction's (RFC 9669 section 5.3).
    pub const fn result(self, src: Reg) -> Option<Reg> {
        match self.row().form {
            AtomicForm::Sign | AtomicForm::Store => None,
            AtomicForm::Fetch | AtomicForm::Exchange | AtomicForm::Load => Some(src),
            AtomicForm::CompareExchange => Some(Reg::R0),
        }
    }
}

/// What there is to say of a wide immediate: the `src` field, and its name in text; llvm-objdump, which knows them by their
/// relocations, prints the number alone.
pub(super) struct ImmRow {
    pub src: u8,
    pub name: &'static str,
}

const fn imm(src: u8, name: &'static str) -> ImmRow {
    ImmRow { src, name }
}

rows! {
    /// What the 64-bit immediate of [`Insn::LoadImm64`](super::Insn::LoadImm64) stands for (RFC 9669 section 5.4, field `src`).
    ImmKind: ImmRow;
    /// A plain number.
    Value: imm(0, "");
    /// Address of the map with this file descriptor.
    MapFd: imm(1, "map_fd");
    /// Address of the first value of the map with this descriptor, plus the upper half.
    MapValue: imm(2, "map_value");
    /// Address of a platform variable.
    Variable: imm(3, "variable");
    /// Address of code, relative in instructions.
    Code: imm(4, "code");
    /// Address of the map with this index.
    MapIndex: imm(5, "map_index");
    /// Address of the first value of the map with this index, plus the upper half.
    MapIndexValue: imm(6, "map_index_value");
}

/// What there is to say of a conversion of byte order: the opcode, and the name in text.
pub(super) struct EndianRow {
    pub opcode: u8,
    pub name: &'static str,
}

const fn endian(opcode: u8, name: &'static str) -> EndianRow {
    EndianRow { opcode, name }
}

rows! {
    /// What an [`Insn::Endian`](super::Insn::Endian) does (RFC 9669 section 4.2).
    Endianness: EndianRow;
    /// To little endian: on a little-endian host, truncation.
    ToLe: endian(class::ALU | code::END, "le");
    /// To big endian.
    ToBe: endian(class::ALU | code::END | X, "be");
    /// Byte swap, always.
    Swap: endian(class::ALU64 | code::END, "bswap");
}
