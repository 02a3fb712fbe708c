//! The decoded instruction; its operations stand in [`ops`](super::ops). Consumers match on [`Insn`] without a wildcard, so that a
//! new form fails to compile until each of them handles it.

use super::{AluOp, AtomicOp, CmpOp, Endianness, ImmKind, Size};

/// A register number, 0 to 10 (RFC 9669 section 2.1). r10 is the read-only frame pointer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reg(u8);

impl Reg {
    /// Result of calls and of the program.
    pub const R0: Reg = Reg(0);
    /// First argument.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// First register kept across calls.
    pub const R6: Reg = Reg(6);
    /// Second register kept across calls.
    pub const R7: Reg = Reg(7);
    /// Third register kept across calls.
    pub const R8: Reg = Reg(8);
    /// Fourth register kept across calls.
    pub const R9: Reg = Reg(9);
    /// The frame pointer.
    pub const R10: Reg = Reg(10);
    /// How many registers there are.
    pub const COUNT: usize = 11;

    /// The register with this number, if there is one.
    pub const fn new(number: u8) -> Option<Reg> {
        if number <= 10 {
            Some(Reg(number))
        } else {
            None
        }
    }

    /// The number, 0 to 10.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number, 0 to 10.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Width of an arithmetic or jump operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// 32 bits; arithmetic zeroes the upper half of the destination.
    W32,
    /// 64 bits.
    W64,
}

/// Second operand: a register, or a 32-bit immediate that is sign-extended for 64-bit operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// An immediate.
    Imm(i32),
}

/// Target of a call (RFC 9669 section 4.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Helper by number, in the numbering of the program's ABI.
    Helper(u32),
    /// Program-local function: the target is the next slot plus this.
    Local(i32),
    /// Helper by BTF id; no program for this runtime has one.
    Btf(u32),
    /// Helper whose number is in a register at run time (`callx`).
    Register(Reg),
}

/// One decoded instruction. A program is a slice with one entry per 8-byte slot, so that an index is a PC;
/// the second slot of a wide instruction holds [`Insn::WideTail`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Insn {
    /// `dst = dst op src`
    Alu {
        /// Operation.
        op: AluOp,
        /// Width.
        width: Width,
        /// Destination and first operand.
        dst: Reg,
        /// Second operand.
        src: Operand,
    },
    /// `dst = (sign-extend) low bits of src`; `from` is 8, 16 or 32 bits as [`Size`].
    MovSx {
        /// Width of the result.
        width: Width,
        /// Width of the source.
        from: Size,
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
    },
    /// `dst = -dst`
    Neg {
        /// Width.
        width: Width,
        /// Operand.
        dst: Reg,
    },
    /// Byte order conversion of the low 16, 32 or 64 bits; the rest becomes zero.
    Endian {
        /// Kind.
        kind: Endianness,
        /// Size: H, W or DW.
        size: Size,
        /// Operand.
        dst: Reg,
    },
    /// `dst = imm`, two slots.
    LoadImm64 {
        /// Meaning of the number.
        kind: ImmKind,
        /// Destination.
        dst: Reg,
        /// The number; low half from the first slot.
        imm: u64,
    },
    /// Second slot of a [`Insn::LoadImm64`]; never executed, never a jump target.
    WideTail,
    /// `dst = *(size *)(base + off)`
    Load {
        /// Size.
        size: Size,
        /// Whether the value is sign-extended to 64 bits.
        signed: bool,
        /// Destination.
        dst: Reg,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
    },
    /// `*(size *)(base + off) = src`
    Store {
        /// Size.
        size: Size,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// Value.
        src: Operand,
    },
    /// Atomic operation on `*(size *)(base + off)`.
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// Size: W or DW; of an ordered load or store any.
        size: Size,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// Operand, and where the old value goes.
        src: Reg,
    },
    /// Legacy packet access (RFC 9669 section 5.5); decoded to be named in an error, never run.
    LegacyPacket {
        /// Size.
        size: Size,
        /// Index register of the indirect form.
        index: Option<Reg>,
        /// Offset.
        imm: i32,
    },
    /// Unconditional jump to the next slot plus `off`.
    Jump {
        /// Offset in slots.
        off: i32,
        /// Whether the offset came from `imm` (`gotol`).
        long: bool,
    },
    /// Conditional jump to the next slot plus `off`.
    Branch {
        /// Condition.
        op: CmpOp,
        /// Width of the comparison.
        width: Width,
        /// First operand.
        dst: Reg,
        /// Second operand.
        src: Operand,
        /// Offset in slots.
        off: i16,
    },
    /// Call.
    Call(Call),
    /// Return from the function; from the outermost, end of the program.
    Exit,
}
