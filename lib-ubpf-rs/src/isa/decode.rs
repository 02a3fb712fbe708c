//! From bytes to [`Insn`], strictly: a field that an instruction does not use must be zero.

use super::{
    ops::{class, code, mode, AtomicForm, WIDE, X},
    AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, RawInsn, Reg, Size, Width,
};
use alloc::vec::Vec;

/// Why bytes are no instruction. Slots count from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The length is not a multiple of 8.
    OddLength {
        /// Bytes given.
        len: usize,
    },
    /// No such opcode.
    UnknownOpcode {
        /// Slot.
        pc: usize,
        /// The opcode.
        opcode: u8,
    },
    /// No such register.
    BadRegister {
        /// Slot.
        pc: usize,
        /// The number found.
        register: u8,
    },
    /// A field has a value that its instruction does not define.
    Reserved {
        /// Slot.
        pc: usize,
        /// The opcode.
        opcode: u8,
        /// `dst`, `src`, `off` or `imm`.
        field: &'static str,
        /// Value found.
        found: i64,
    },
    /// A jump through a register, which newer compilers make of a `switch`.
    JumpThroughRegister {
        /// Slot.
        pc: usize,
    },
    /// The program ends within a two-slot instruction.
    HalfWide {
        /// Slot of the first half.
        pc: usize,
    },
    /// The second slot of a two-slot instruction is none: only its `imm` may hold something.
    SecondHalf {
        /// Slot of the first half.
        pc: usize,
        /// `opcode`, `registers` or `off`.
        field: &'static str,
        /// Value found.
        found: u16,
    },
    /// No memory.
    NoMemory,
}

/// Decodes a whole program, one entry per slot.
pub fn decode(bytes: &[u8]) -> Result<Vec<Insn>, DecodeError> {
    let mut insns = Vec::new();
    while decode_some(bytes, &mut insns, usize::MAX)? {}
    Ok(insns)
}

/// Decodes some more of a program: at most `most` slots, or one more where a wide instruction ends them, behind those that are in
/// `insns`. Whether there are others.
pub fn decode_some(bytes: &[u8], insns: &mut Vec<Insn>, most: usize) -> Result<bool, DecodeError> {
    if !bytes.len().is_multiple_of(8) {
        return Err(DecodeError::OddLength { len: bytes.len() });
    }
    let (slots, _) = bytes.as_chunks::<8>();
    let begin = insns.len();
    if begin == 0 {
        insns.try_reserve_exact(slots.len()).map_err(|_| DecodeError::NoMemory)?;
    }
    let end = begin.saturating_add(most);
    let mut slots = slots.iter().enumerate().skip(begin);
    while insns.len() < end {
        let Some((pc, slot)) = slots.next() else {
            return Ok(false);
        };
        let one = SlotDecoder { raw: RawInsn::from_bytes(*slot), pc };
        if one.raw.opcode == WIDE {
            let (_, second) = slots.next().ok_or(DecodeError::HalfWide { pc })?;
            insns.push(one.wide(RawInsn::from_bytes(*second))?);
            insns.push(Insn::WideTail);
        } else {
            insns.push(one.narrow()?);
        }
    }
    Ok(slots.next().is_some())
}

struct SlotDecoder {
    raw: RawInsn,
    pc: usize,
}

impl SlotDecoder {
    fn narrow(&self) -> Result<Insn, DecodeError> {
        match self.raw.opcode & 7 {
            class::ALU => self.alu(Width::W32),
            class::ALU64 => self.alu(Width::W64),
            class::JMP => self.jump(Width::W64),
            class::JMP32 => self.jump(Width::W32),
            class::LDX => self.load(),
            class::ST | class::STX => self.store(),
            _ => self.legacy(),
        }
    }

    fn alu(&self, width: Width) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        let dst = self.dst()?;
        match raw.opcode & 0xf0 {
            code::NEG => {
                self.source_bit_clear()?;
                self.zero("src", raw.src)?;
                self.zero("off", raw.off)?;
                self.zero("imm", raw.imm)?;
                Ok(Insn::Neg { width, dst })
            }
            code::END => self.endian(width, dst),
            code::MOV if raw.off != 0 && raw.opcode & X != 0 => self.mov_sx(width, dst),
            op => {
                let rows = AluOp::TABLE.iter().filter(|(_, row)| row.code == op);
                if rows.clone().next().is_none() {
                    return Err(self.unknown());
                }
                let row = rows.clone().find(|(_, row)| row.off == raw.off);
                let &(op, _) = row.ok_or_else(|| self.reserved("off", raw.off))?;
                let src = self.operand()?;
                Ok(Insn::Alu { op, width, dst, src })
            }
        }
    }

    fn endian(&self, width: Width, dst: Reg) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        self.zero("src", raw.src)?;
        self.zero("off", raw.off)?;
        let kind = match (width, raw.opcode & X != 0) {
            (Width::W32, false) => Endianness::ToLe,
            (Width::W32, true) => Endianness::ToBe,
            (Width::W64, false) => Endianness::Swap,
            (Width::W64, true) => return Err(self.unknown()),
        };
        let size = match raw.imm {
            16 => Size::H,
            32 => Size::W,
            64 => Size::DW,
            _ => return Err(self.reserved("imm", raw.imm)),
        };
        Ok(Insn::Endian { kind, size, dst })
    }

    fn mov_sx(&self, width: Width, dst: Reg) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        let from = match (raw.off, width) {
            (8, _) => Size::B,
            (16, _) => Size::H,
            (32, Width::W64) => Size::W,
            _ => return Err(self.reserved("off", raw.off)),
        };
        self.zero("imm", raw.imm)?;
        let src = self.src()?;
        Ok(Insn::MovSx { width, from, dst, src })
    }

    fn jump(&self, width: Width) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        match raw.opcode & 0xf0 {
            code::JA => self.goto(width),
            code::CALL if width == Width::W64 => self.call(),
            code::EXIT if width == Width::W64 => {
                self.source_bit_clear()?;
                self.zero("dst", raw.dst)?;
                self.zero("src", raw.src)?;
                self.zero("off", raw.off)?;
                self.zero("imm", raw.imm)?;
                Ok(Insn::Exit)
            }
            op => {
                let row = CmpOp::TABLE.iter().find(|(_, row)| row.code == op);
                let &(op, _) = row.ok_or_else(|| self.unknown())?;
                let (dst, src) = (self.dst()?, self.operand()?);
                Ok(Insn::Branch { op, width, dst, src, off: raw.off })
            }
        }
    }

    fn goto(&self, width: Width) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        if raw.opcode == class::JMP | code::JA | X {
            return Err(DecodeError::JumpThroughRegister { pc: self.pc });
        }
        self.source_bit_clear()?;
        self.zero("dst", raw.dst)?;
        self.zero("src", raw.src)?;
        if width == Width::W32 {
            self.zero("off", raw.off)?;
            return Ok(Insn::Jump { off: raw.imm, long: true });
        }
        self.zero("imm", raw.imm)?;
        Ok(Insn::Jump { off: i32::from(raw.off), long: false })
    }

    fn call(&self) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        self.zero("off", raw.off)?;
        if raw.opcode & X != 0 {
            // The register stands in `dst` (newer compilers) or in `imm` (older ones).
            self.zero("src", raw.src)?;
            let number = if raw.imm == 0 { Some(raw.dst) } else { u8::try_from(raw.imm).ok() };
            if raw.imm != 0 {
                self.zero("dst", raw.dst)?;
            }
            let register = number.and_then(Reg::new);
            let register = register.ok_or_else(|| self.reserved("imm", raw.imm))?;
            return Ok(Insn::Call(Call::Register(register)));
        }
        self.zero("dst", raw.dst)?;
        match raw.src {
            0 => Ok(Insn::Call(Call::Helper(raw.imm as u32))),
            1 => Ok(Insn::Call(Call::Local(raw.imm))),
            2 => Ok(Insn::Call(Call::Btf(raw.imm as u32))),
            _ => Err(self.reserved("src", raw.src)),
        }
    }

    fn load(&self) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        let size = self.size()?;
        let signed = match raw.opcode & 0xe0 {
            mode::MEM => false,
            mode::MEMSX if size != Size::DW => true,
            _ => return Err(self.unknown()),
        };
        self.zero("imm", raw.imm)?;
        let (dst, base) = (self.dst()?, self.src()?);
        Ok(Insn::Load { size, signed, dst, base, off: raw.off })
    }

    fn store(&self) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        let (size, base, off) = (self.size()?, self.dst()?, raw.off);
        let register = raw.opcode & 7 == class::STX;
        match raw.opcode & 0xe0 {
            mode::MEM if register => {
                self.zero("imm", raw.imm)?;
                let src = Operand::Reg(self.src()?);
                Ok(Insn::Store { size, base, off, src })
            }
            mode::MEM => {
                self.zero("src", raw.src)?;
                Ok(Insn::Store { size, base, off, src: Operand::Imm(raw.imm) })
            }
            mode::ATOMIC if register => {
                let any_size = |op: AtomicOp| size >= Size::W || op.is_ordered_access();
                let row = AtomicOp::TABLE.iter().find(|(op, row)| any_size(*op) && row.code == raw.imm);
                let &(op, _) = row.ok_or_else(|| self.reserved("imm", raw.imm))?;
                // A load has its operands where loads have them.
                let src = self.src()?;
                let (base, src) = if op.row().form == AtomicForm::Load { (src, base) } else { (base, src) };
                Ok(Insn::Atomic { op, size, base, off, src })
            }
            _ => Err(self.unknown()),
        }
    }

    fn legacy(&self) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        let size = self.size()?;
        let index = match raw.opcode & 0xe0 {
            mode::ABS if size != Size::DW => None,
            mode::IND if size != Size::DW => Some(self.src()?),
            _ => return Err(self.unknown()),
        };
        self.zero("dst", raw.dst)?;
        self.zero("off", raw.off)?;
        if index.is_none() {
            self.zero("src", raw.src)?;
        }
        Ok(Insn::LegacyPacket { size, index, imm: raw.imm })
    }

    fn wide(&self, second: RawInsn) -> Result<Insn, DecodeError> {
        let raw = self.raw;
        let row = ImmKind::TABLE.iter().find(|(_, row)| row.src == raw.src);
        let &(kind, _) = row.ok_or_else(|| self.reserved("src", raw.src))?;
        self.zero("off", raw.off)?;
        let dst = self.dst()?;
        self.second_half(second)?;
        let imm = u64::from(second.imm as u32) << 32 | u64::from(raw.imm as u32);
        Ok(Insn::LoadImm64 { kind, dst, imm })
    }

    fn second_half(&self, second: RawInsn) -> Result<(), DecodeError> {
        let registers = u16::from(second.src) << 4 | u16::from(second.dst);
        let fields = [("opcode", u16::from(second.opcode)), ("registers", registers), ("off", second.off as u16)];
        match fields.into_iter().find(|&(_, found)| found != 0) {
            None => Ok(()),
            Some((field, found)) => Err(DecodeError::SecondHalf { pc: self.pc, field, found }),
        }
    }

    fn operand(&self) -> Result<Operand, DecodeError> {
        if self.raw.opcode & X == 0 {
            self.zero("src", self.raw.src)?;
            return Ok(Operand::Imm(self.raw.imm));
        }
        self.zero("imm", self.raw.imm)?;
        Ok(Operand::Reg(self.src()?))
    }

    fn size(&self) -> Result<Size, DecodeError> {
        let row = Size::TABLE.iter().find(|(_, row)| row.code == self.raw.opcode & 0x18);
        row.map(|(size, _)| *size).ok_or_else(|| self.unknown())
    }

    fn dst(&self) -> Result<Reg, DecodeError> {
        self.register(self.raw.dst)
    }

    fn src(&self) -> Result<Reg, DecodeError> {
        self.register(self.raw.src)
    }

    fn register(&self, register: u8) -> Result<Reg, DecodeError> {
        Reg::new(register).ok_or(DecodeError::BadRegister { pc: self.pc, register })
    }

    fn source_bit_clear(&self) -> Result<(), DecodeError> {
        if self.raw.opcode & X == 0 {
            return Ok(());
        }
        Err(self.unknown())
    }

    fn zero(&self, field: &'static str, found: impl Into<i64>) -> Result<(), DecodeError> {
        match found.into() {
            0 => Ok(()),
            found => Err(self.reserved(field, found)),
        }
    }

    fn reserved(&self, field: &'static str, found: impl Into<i64>) -> DecodeError {
        let (pc, opcode, found) = (self.pc, self.raw.opcode, found.into());
        DecodeError::Reserved { pc, opcode, field, found }
    }

    fn unknown(&self) -> DecodeError {
        DecodeError::UnknownOpcode { pc: self.pc, opcode: self.raw.opcode }
    }
}
