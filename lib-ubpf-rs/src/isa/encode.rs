//! From [`Insn`] to bytes: the inverse of [`decode`](super::decode).

use super::{
    ops::{class, code, mode, AtomicForm, WIDE, X},
    Call, Endianness, ImmKind, Insn, Operand, RawInsn, Reg, Size, Width,
};
use alloc::vec::Vec;

/// Why an [`Insn`] has no encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The combination of fields does not exist: an atomic byte, a 64-bit sign-extending load and the like.
    NoSuchForm {
        /// Slot.
        pc: usize,
    },
    /// A wide instruction without its second slot, or a second slot without a first.
    HalfWide {
        /// Slot.
        pc: usize,
    },
    /// No memory.
    NoMemory,
}

/// Encodes a whole program, one entry per slot, as [`decode`](super::decode) gives it. A call through a register is
/// written with the register in the destination field, as newer compilers do.
pub fn encode(insns: &[Insn]) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let room = insns.len().saturating_mul(8);
    bytes.try_reserve_exact(room).map_err(|_| EncodeError::NoMemory)?;
    let mut slots = insns.iter().enumerate();
    while let Some((pc, insn)) = slots.next() {
        if matches!(insn, Insn::WideTail) {
            return Err(EncodeError::HalfWide { pc });
        }
        let (first, second) = insn.to_raw().ok_or(EncodeError::NoSuchForm { pc })?;
        bytes.extend_from_slice(&first.to_bytes());
        if let Some(second) = second {
            if !matches!(slots.next(), Some((_, Insn::WideTail))) {
                return Err(EncodeError::HalfWide { pc });
            }
            bytes.extend_from_slice(&second.to_bytes());
        }
    }
    Ok(bytes)
}

impl Insn {
    /// The slots of this instruction: one, or two for [`Insn::LoadImm64`]. Nothing when the combination of fields
    /// does not exist, and for [`Insn::WideTail`], which is part of the instruction before it.
    pub fn to_raw(&self) -> Option<(RawInsn, Option<RawInsn>)> {
        if let Insn::LoadImm64 { kind, dst, imm } = *self {
            return Some(wide(kind, dst, imm));
        }
        self.narrow().map(|raw| (raw, None))
    }

    fn narrow(&self) -> Option<RawInsn> {
        Some(match *self {
            Insn::Alu { op, width, dst, src } => {
                let row = op.row();
                RawInsn { off: row.off, ..two_operands(alu_class(width) | row.code, dst, src) }
            }
            Insn::MovSx { width, from, dst, src } => {
                let off = match (from, width) {
                    (Size::B, _) => 8,
                    (Size::H, _) => 16,
                    (Size::W, Width::W64) => 32,
                    _ => return None,
                };
                let raw = two_operands(alu_class(width) | code::MOV, dst, Operand::Reg(src));
                RawInsn { off, ..raw }
            }
            Insn::Neg { width, dst } => one_operand(alu_class(width) | code::NEG, dst, 0),
            Insn::Endian { kind, size, dst } => endian(kind, size, dst)?,
            Insn::LoadImm64 { .. } | Insn::WideTail => return None,
            Insn::Load { signed: true, size: Size::DW, .. } => return None,
            Insn::Load { size, signed, dst, base, off } => {
                let mode = if signed { mode::MEMSX } else { mode::MEM };
                RawInsn {
                    opcode: class::LDX | mode | size.row().code,
                    dst: dst.number(),
                    src: base.number(),
                    off,
                    imm: 0,
                }
            }
            Insn::Store { size, base, off, src } => store(size, base, off, src),
            Insn::Atomic { op, size: Size::B | Size::H, .. } if !op.is_ordered_access() => return None,
            Insn::Atomic { op, size, base, off, src } => {
                let (dst, src) = if op.row().form == AtomicForm::Load { (src, base) } else { (base, src) };
                RawInsn {
                    opcode: class::STX | mode::ATOMIC | size.row().code,
                    dst: dst.number(),
                    src: src.number(),
                    off,
                    imm: op.row().code,
                }
            }
            Insn::LegacyPacket { size: Size::DW, .. } => return None,
            Insn::LegacyPacket { size, index, imm } => RawInsn {
                opcode: class::LD | size.row().code | index.map_or(mode::ABS, |_| mode::IND),
                src: index.map_or(0, Reg::number),
                imm,
                ..RawInsn::default()
            },
            Insn::Jump { off, long: true } => {
                RawInsn { opcode: class::JMP32 | code::JA, imm: off, ..RawInsn::default() }
            }
            Insn::Jump { off, long: false } => {
                RawInsn { opcode: class::JMP | code::JA, off: i16::try_from(off).ok()?, ..RawInsn::default() }
            }
            Insn::Branch { op, width, dst, src, off } => {
                let class = match width {
                    Width::W32 => class::JMP32,
                    Width::W64 => class::JMP,
                };
                RawInsn { off, ..two_operands(class | op.row().code, dst, src) }
            }
            Insn::Call(target) => call(target),
            Insn::Exit => RawInsn { opcode: class::JMP | code::EXIT, ..RawInsn::default() },
        })
    }
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::ALU,
        Width::W64 => class::ALU64,
    }
}

fn one_operand(opcode: u8, dst: Reg, imm: i32) -> RawInsn {
    RawInsn { opcode, dst: dst.number(), imm, ..RawInsn::default() }
}

fn two_operands(opcode: u8, dst: Reg, src: Operand) -> RawInsn {
    match src {
        Operand::Imm(imm) => one_operand(opcode, dst, imm),
        Operand::Reg(src) => RawInsn { src: src.number(), ..one_operand(opcode | X, dst, 0) },
    }
}

fn endian(kind: Endianness, size: Size, dst: Reg) -> Option<RawInsn> {
    let bits = match size {
        Size::B => return None,
        Size::H => 16,
        Size::W => 32,
        Size::DW => 64,
    };
    Some(one_operand(kind.row().opcode, dst, bits))
}

fn store(size: Size, base: Reg, off: i16, src: Operand) -> RawInsn {
    let bits = mode::MEM | size.row().code;
    let (class, src, imm) = match src {
        Operand::Reg(src) => (class::STX, src.number(), 0),
        Operand::Imm(imm) => (class::ST, 0, imm),
    };
    RawInsn { opcode: class | bits, dst: base.number(), src, off, imm }
}

fn call(target: Call) -> RawInsn {
    let (dst, src, imm) = match target {
        Call::Helper(number) => (0, 0, number as i32),
        Call::Local(off) => (0, 1, off),
        Call::Btf(id) => (0, 2, id as i32),
        Call::Register(reg) => (reg.number(), 0, 0),
    };
    let source = if matches!(target, Call::Register(_)) { X } else { 0 };
    RawInsn { opcode: class::JMP | code::CALL | source, dst, src, off: 0, imm }
}

fn wide(kind: ImmKind, dst: Reg, imm: u64) -> (RawInsn, Option<RawInsn>) {
    let first = RawInsn { src: kind.row().src, ..one_operand(WIDE, dst, imm as i32) };
    let second = RawInsn { imm: (imm >> 32) as i32, ..RawInsn::default() };
    (first, Some(second))
}
