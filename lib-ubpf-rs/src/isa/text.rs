//! Instructions as text, in the style of `llvm-objdump -d` for BPF.

use super::{ops::AtomicForm, AtomicOp, Call, ImmKind, Insn, Operand, Reg, Size, Width};
use core::fmt::{self, Display, Formatter};

/// A register as a 64-bit (`r1`) or 32-bit (`w1`) operand.
struct RegisterName(Reg, Width);

impl Display for RegisterName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let letter = if self.1 == Width::W32 { 'w' } else { 'r' };
        write!(f, "{letter}{}", self.0.number())
    }
}

/// Second operand.
struct Second(Operand, Width);

impl Display for Second {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operand::Reg(reg) => RegisterName(reg, self.1).fmt(f),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

/// A signed distance with its sign apart: `+ 8`, `- 8`.
struct Apart(i16);

impl Display for Apart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign} {}", self.0.unsigned_abs())
    }
}

/// A memory operand.
struct MemoryOperand {
    size: Size,
    signed: bool,
    base: Reg,
    off: i16,
}

impl Display for MemoryOperand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let row = self.size.row();
        let kind = if self.signed { row.signed } else { row.unsigned };
        write!(f, "*({kind} *)(r{} {})", self.base.number(), Apart(self.off))
    }
}

impl Display for Insn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::Alu { op, width, dst, src } => {
                write!(f, "{} {} {}", RegisterName(dst, width), op.row().sign, Second(src, width))
            }
            Insn::MovSx { width, from, dst, src } => {
                let (bits, dst, src) =
                    (from.bytes().wrapping_mul(8), RegisterName(dst, width), RegisterName(src, width));
                write!(f, "{dst} = (s{bits}){src}")
            }
            Insn::Neg { width, dst } => write!(f, "{0} = -{0}", RegisterName(dst, width)),
            Insn::Endian { kind, size, dst } => {
                let (name, bits) = (kind.row().name, size.bytes().wrapping_mul(8));
                write!(f, "r{0} = {name}{bits} r{0}", dst.number())
            }
            Insn::LoadImm64 { kind, dst, imm } => {
                let (dst, imm) = (dst.number(), imm as i64);
                match kind {
                    ImmKind::Value => write!(f, "r{dst} = {imm} ll"),
                    named => write!(f, "r{dst} = {}({imm}) ll", named.row().name),
                }
            }
            Insn::WideTail => Ok(()),
            Insn::Load { size, signed, dst, base, off } => {
                write!(f, "r{} = {}", dst.number(), MemoryOperand { size, signed, base, off })
            }
            Insn::Store { size, base, off, src } => {
                let at = MemoryOperand { size, signed: false, base, off };
                write!(f, "{at} = {}", Second(src, Width::W64))
            }
            Insn::Atomic { op, size, base, off, src } => {
                let at = MemoryOperand { size, signed: false, base, off };
                atomic(f, op, size, at, src)
            }
            Insn::LegacyPacket { size, index, imm } => {
                let kind = size.row().unsigned;
                match index {
                    Some(reg) if imm == 0 => write!(f, "r0 = *({kind} *)skb[r{}]", reg.number()),
                    Some(reg) => write!(f, "r0 = *({kind} *)skb[r{} {imm:+}]", reg.number()),
                    None => write!(f, "r0 = *({kind} *)skb[{imm}]"),
                }
            }
            Insn::Jump { off, long } => {
                let name = if long { "gotol" } else { "goto" };
                write!(f, "{name} {off:+}")
            }
            Insn::Branch { op, width, dst, src, off } => {
                let (dst, sign, src) = (RegisterName(dst, width), op.row().sign, Second(src, width));
                write!(f, "if {dst} {sign} {src} goto {off:+}")
            }
            Insn::Call(Call::Helper(number)) => write!(f, "call {}", number as i32),
            Insn::Call(Call::Local(off)) => write!(f, "call local {off:+}"),
            Insn::Call(Call::Btf(id)) => write!(f, "call btf {id}"),
            Insn::Call(Call::Register(reg)) => write!(f, "callx r{}", reg.number()),
            Insn::Exit => write!(f, "exit"),
        }
    }
}

fn atomic(f: &mut Formatter<'_>, op: AtomicOp, size: Size, at: MemoryOperand, src: Reg) -> fmt::Result {
    let (row, kind, src) = (op.row(), size.row().unsigned, src.number());
    let (place, base) = (Apart(at.off), at.base.number());
    let text = row.text;
    let half = if size == Size::DW { "r" } else { "w" };
    let suffix = if size == Size::DW { "_64" } else { "32_32" };
    match row.form {
        AtomicForm::Sign => write!(f, "lock {at} {text} r{src}"),
        AtomicForm::Fetch => write!(f, "r{src} = {text}(({kind} *)(r{base} {place}), r{src})"),
        AtomicForm::Exchange => write!(f, "{half}{src} = {text}{suffix}(r{base} {place}, {half}{src})"),
        AtomicForm::CompareExchange => write!(f, "{half}0 = {text}{suffix}(r{base} {place}, {half}0, {half}{src})"),
        AtomicForm::Load => write!(f, "{half}{src} = {text}(({kind} *)(r{base} {place}))"),
        AtomicForm::Store => write!(f, "{text}(({kind} *)(r{base} {place}), {half}{src})"),
    }
}
