//! Instructions as text, in the style of `llvm-objdump -d` for BPF.

use super::{table, AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width};
use core::fmt::{self, Display, Formatter};

/// Names of the wide immediates that are no plain numbers; llvm-objdump, which knows them by their relocations, prints
/// the number alone.
pub(super) const IMM_KINDS: &[(ImmKind, &str)] = &[
    (ImmKind::MapFd, "map_fd"),
    (ImmKind::MapValue, "map_value"),
    (ImmKind::Variable, "variable"),
    (ImmKind::Code, "code"),
    (ImmKind::MapIndex, "map_index"),
    (ImmKind::MapIndexValue, "map_index_value"),
];

/// A register as a 64-bit (`r1`) or 32-bit (`w1`) operand.
struct Named(Reg, Width);

impl Display for Named {
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
            Operand::Reg(reg) => Named(reg, self.1).fmt(f),
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
struct At {
    size: Size,
    signed: bool,
    base: Reg,
    off: i16,
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let row = table::SIZE.iter().find(|row| row.1 == self.size);
        let (unsigned, signed) = row.map_or(("?", "?"), |row| (row.2, row.3));
        let kind = if self.signed { signed } else { unsigned };
        write!(f, "*({kind} *)(r{} {})", self.base.number(), Apart(self.off))
    }
}

fn alu_sign(op: AluOp) -> &'static str {
    table::ALU.iter().find(|row| row.2 == op).map_or("?", |row| row.3)
}

fn condition_sign(op: CmpOp) -> &'static str {
    table::JUMP.iter().find(|row| row.1 == op).map_or("?", |row| row.2)
}

impl Display for Insn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::Alu { op, width, dst, src } => {
                write!(f, "{} {} {}", Named(dst, width), alu_sign(op), Second(src, width))
            }
            Insn::MovSx { width, from, dst, src } => {
                let (bits, dst, src) = (from.bytes().wrapping_mul(8), Named(dst, width), Named(src, width));
                write!(f, "{dst} = (s{bits}){src}")
            }
            Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(dst, width)),
            Insn::Endian { kind, size, dst } => {
                let name = match kind {
                    Endianness::ToLe => "le",
                    Endianness::ToBe => "be",
                    Endianness::Swap => "bswap",
                };
                write!(f, "r{0} = {name}{1} r{0}", dst.number(), size.bytes().wrapping_mul(8))
            }
            Insn::LoadImm64 { kind, dst, imm } => {
                let (dst, imm) = (dst.number(), imm as i64);
                match IMM_KINDS.iter().find(|row| row.0 == kind) {
                    Some((_, name)) => write!(f, "r{dst} = {name}({imm}) ll"),
                    None => write!(f, "r{dst} = {imm} ll"),
                }
            }
            Insn::WideTail => Ok(()),
            Insn::Load { size, signed, dst, base, off } => {
                write!(f, "r{} = {}", dst.number(), At { size, signed, base, off })
            }
            Insn::Store { size, base, off, src } => {
                let at = At { size, signed: false, base, off };
                write!(f, "{at} = {}", Second(src, Width::W64))
            }
            Insn::Atomic { op, size, base, off, src } => {
                let at = At { size, signed: false, base, off };
                atomic(f, op, size, at, src)
            }
            Insn::LegacyPacket { size, index, imm } => {
                let row = table::SIZE.iter().find(|row| row.1 == size);
                let kind = row.map_or("?", |row| row.2);
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
                let (dst, sign, src) = (Named(dst, width), condition_sign(op), Second(src, width));
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

fn atomic(f: &mut Formatter<'_>, op: AtomicOp, size: Size, at: At, src: Reg) -> fmt::Result {
    let sign = match op {
        AtomicOp::Add { fetch: false } => Some("+="),
        AtomicOp::Or { fetch: false } => Some("|="),
        AtomicOp::And { fetch: false } => Some("&="),
        AtomicOp::Xor { fetch: false } => Some("^="),
        _ => None,
    };
    let src = src.number();
    if let Some(sign) = sign {
        return write!(f, "lock {at} {sign} r{src}");
    }
    let name = table::ATOMIC.iter().find(|row| row.1 == op).map_or("?", |row| row.2);
    let (prefix, suffix) = if size == Size::W { ("w", "32_32") } else { ("r", "_64") };
    let row = table::SIZE.iter().find(|row| row.1 == size);
    let kind = row.map_or("?", |row| row.2);
    let (at, base) = (Apart(at.off), at.base.number());
    let half = if size == Size::DW { "r" } else { "w" };
    match op {
        AtomicOp::LoadAcquire => write!(f, "{half}{src} = {name}(({kind} *)(r{base} {at}))"),
        AtomicOp::StoreRelease => write!(f, "{name}(({kind} *)(r{base} {at}), {half}{src})"),
        AtomicOp::Xchg => write!(f, "{prefix}{src} = xchg{suffix}(r{base} {at}, {prefix}{src})"),
        AtomicOp::CmpXchg => {
            write!(f, "{prefix}0 = cmpxchg{suffix}(r{base} {at}, {prefix}0, {prefix}{src})")
        }
        _ => {
            let name = name.strip_prefix("fetch_").unwrap_or(name);
            write!(f, "r{src} = atomic_fetch_{name}(({kind} *)(r{base} {at}), r{src})")
        }
    }
}
