//! Machine instructions as bytes, each function one form of the manual (Intel SDM volume 2). Knows nothing of BPF.
//!

use super::regs::Gpr;

/// Operand width of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum W {
    /// 32 bits; the upper half of a destination register becomes zero.
    D,
    /// 64 bits.
    Q,
}

/// The eight operations of opcode group 1; the number is both `/n` and opcode bits 3 to 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts and rotates of opcode group 2; the number is `/n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shift {
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// One-operand arithmetic of opcode group 3; the number is `/n`. Division takes rdx:rax, multiplication gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unary {
    Neg = 3,
    Mul = 4,
    Div = 6,
    Idiv = 7,
}

/// Condition codes; the number is the low nibble of `jcc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cc {
    B = 2,
    Ae = 3,
    E = 4,
    Ne = 5,
    Be = 6,
    A = 7,
    L = 12,
    Ge = 13,
    Le = 14,
    G = 15,
}

impl Cc {
    /// The condition that holds when this one does not.
    pub(super) const fn inverse(self) -> Cc {
        match self {
            Cc::B => Cc::Ae,
            Cc::Ae => Cc::B,
            Cc::E => Cc::Ne,
            Cc::Ne => Cc::E,
            Cc::Be => Cc::A,
            Cc::A => Cc::Be,
            Cc::L => Cc::Ge,
            Cc::Ge => Cc::L,
            Cc::Le => Cc::G,
            Cc::G => Cc::Le,
        }
    }
}

/// Width of a memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum M {
    B,
    H,
    D,
    Q,
}

/// A memory operand `[base + disp]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mem {
    pub(super) base: Gpr,
    pub(super) disp: i32,
}

/// A memory operand `[base + index + disp]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Indexed {
    pub(super) base: Gpr,
    pub(super) index: Gpr,
    pub(super) disp: i32,
}

/// `[base + disp]`
pub(super) const fn at(base: Gpr, disp: i32) -> Mem {
    Mem { base, disp }
}

/// Machine registers, one bit each by their number in encodings.
pub(super) type Gprs = u16;

/// The set of some registers.
pub(super) const fn gprs(regs: &[Gpr]) -> Gprs {
    let (mut all, mut at) = (0, 0);
    while at < regs.len() {
        all |= 1 << regs[at].number();
        at += 1;
    }
    all
}

/// Machine code going into a buffer. What is beyond the buffer's end is counted only, so that an empty buffer measures.
#[derive(Default)]
pub(super) struct Asm<'b> {
    out: &'b mut [u8],
    len: usize,
    /// Registers that the code so far changes.
    writes: Gprs,
}

/// A short forward jump whose target is not known yet.
#[must_use]
pub(super) struct Forward(usize);

impl<'b> Asm<'b> {
    pub(super) fn new(out: &'b mut [u8]) -> Self {
        Asm { out, len: 0, writes: 0 }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Registers that the code so far changes, the stack pointer aside.
    pub(super) fn writes(&self) -> Gprs {
        self.writes
    }

    /// Says what code changes that is not emitted here: what is called, or copied.
    pub(super) fn also_writes(&mut self, regs: Gprs) {
        self.writes |= regs;
    }

    #[inline]
    fn wrote(&mut self, reg: Gpr) {
        self.writes |= 1 << reg.number();
    }

    #[inline]
    fn u8(&mut self, byte: u8) {
        if let Some(slot) = self.out.get_mut(self.len) {
            *slot = byte;
        }
        self.len = self.len.wrapping_add(1);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.u8(byte);
        }
    }

    /// `jcc` over the few instructions up to [`Asm::land`].
    pub(super) fn skip_if(&mut self, cc: Cc) -> Forward {
        self.raw(&[0x70 | cc as u8, 0]);
        Forward(self.len)
    }

    /// `jmp` over the few instructions up to [`Asm::land`].
    pub(super) fn skip(&mut self) -> Forward {
        self.raw(&[0xeb, 0]);
        Forward(self.len)
    }

    /// The target of a short forward jump is here.
    pub(super) fn land(&mut self, from: Forward) {
        let distance = self.len.wrapping_sub(from.0);
        if let Some(slot) = self.out.get_mut(from.0.wrapping_sub(1)) {
            *slot = distance as u8;
        }
    }

    fn imm32(&mut self, imm: i32) {
        self.raw(&imm.to_le_bytes());
    }

    /// REX prefix where one is needed: W, and the high bits of ModRM.reg and ModRM.rm.
    fn rex(&mut self, w: W, reg: u8, rm: u8) {
        let rex = 0x40 | (u8::from(w == W::Q) << 3) | ((reg >> 3) << 2) | (rm >> 3);
        if rex != 0x40 {
            self.u8(rex);
        }
    }

    /// As `rex`, but present also when a byte register needs it (sil, dil, bpl).
    fn rex_byte(&mut self, reg: u8, rm: u8) {
        let rex = 0x40 | ((reg >> 3) << 2) | (rm >> 3);
        if rex != 0x40 || reg >= 4 {
            self.u8(rex);
        }
    }

    fn modrm_reg(&mut self, reg: u8, rm: u8) {
        self.u8(0xc0 | ((reg & 7) << 3) | (rm & 7));
    }

    fn modrm_mem(&mut self, reg: u8, mem: Mem) {
        let base = mem.base.number();
        let needs_sib = base & 7 == 4;
        let (mode, size) = match mem.disp {
            0 if base & 7 != 5 => (0x00, 0),
            -128..=127 => (0x40, 1),
            _ => (0x80, 4),
        };
        self.u8(mode | ((reg & 7) << 3) | (base & 7));
        if needs_sib {
            self.u8(0x24);
        }
        match size {
            0 => {}
            1 => self.u8(mem.disp as u8),
            _ => self.imm32(mem.disp),
        }
    }

    /// `mov dst, src`
    pub(super) fn mov_rr(&mut self, w: W, dst: Gpr, src: Gpr) {
        self.wrote(dst);
        self.rex(w, src.number(), dst.number());
        self.u8(0x89);
        self.modrm_reg(src.number(), dst.number());
    }

    /// The shortest load of a constant: `xor`, `mov r32, imm32`, `mov r64, simm32` or `movabs`. Changes flags.
    pub(super) fn mov_ri(&mut self, dst: Gpr, imm: u64) {
        self.wrote(dst);
        let n = dst.number();
        if imm == 0 {
            self.alu_rr(W::D, Alu::Xor, dst, dst);
        } else if let Ok(imm) = u32::try_from(imm) {
            self.rex(W::D, 0, n);
            self.u8(0xb8 | (n & 7));
            self.raw(&imm.to_le_bytes());
        } else if let Ok(imm) = i32::try_from(imm as i64) {
            self.rex(W::Q, 0, n);
            self.u8(0xc7);
            self.modrm_reg(0, n);
            self.imm32(imm);
        } else {
            self.rex(W::Q, 0, n);
            self.u8(0xb8 | (n & 7));
            self.raw(&imm.to_le_bytes());
        }
    }

    /// `op dst, src`
    pub(super) fn alu_rr(&mut self, w: W, op: Alu, dst: Gpr, src: Gpr) {
        if op != Alu::Cmp {
            self.wrote(dst);
        }
        self.rex(w, src.number(), dst.number());
        self.u8((op as u8) << 3 | 0x01);
        self.modrm_reg(src.number(), dst.number());
    }

    /// `op dst, imm` with the shortest immediate
    pub(super) fn alu_ri(&mut self, w: W, op: Alu, dst: Gpr, imm: i32) {
        if op != Alu::Cmp {
            self.wrote(dst);
        }
        let n = dst.number();
        self.rex(w, 0, n);
        if let Ok(imm) = i8::try_from(imm) {
            self.u8(0x83);
            self.modrm_reg(op as u8, n);
            self.u8(imm as u8);
        } else if dst == Gpr::Rax {
            self.u8((op as u8) << 3 | 0x05);
            self.imm32(imm);
        } else {
            self.u8(0x81);
            self.modrm_reg(op as u8, n);
            self.imm32(imm);
        }
    }

    /// `op dst, [mem]`
    pub(super) fn alu_rm(&mut self, w: W, op: Alu, dst: Gpr, mem: Mem) {
        if op != Alu::Cmp {
            self.wrote(dst);
        }
        self.rex(w, dst.number(), mem.base.number());
        self.u8((op as u8) << 3 | 0x03);
        self.modrm_mem(dst.number(), mem);
    }

    /// `test a, b`
    pub(super) fn test_rr(&mut self, w: W, a: Gpr, b: Gpr) {
        self.rex(w, b.number(), a.number());
        self.u8(0x85);
        self.modrm_reg(b.number(), a.number());
    }

    /// `test a, imm32` (sign-extended)
    pub(super) fn test_ri(&mut self, w: W, a: Gpr, imm: i32) {
        if (0..=0x7f).contains(&imm) {
            self.rex_byte(if a.number() >= 4 { a.number() & 7 } else { 0 }, a.number());
            self.u8(0xf6);
            self.modrm_reg(0, a.number());
            self.u8(imm as u8);
            return;
        }
        let w = if imm >= 0 { W::D } else { w };
        self.rex(w, 0, a.number());
        self.u8(0xf7);
        self.modrm_reg(0, a.number());
        self.imm32(imm);
    }

    /// `lea dst, [mem]`
    pub(super) fn lea(&mut self, w: W, dst: Gpr, mem: Mem) {
        self.wrote(dst);
        self.rex(w, dst.number(), mem.base.number());
        self.u8(0x8d);
        self.modrm_mem(dst.number(), mem);
    }

    /// `lea dst, [base + index]`
    pub(super) fn lea_sum(&mut self, dst: Gpr, base: Gpr, index: Gpr) {
        self.lea_scaled(W::Q, dst, base, index, 0);
    }

    /// `lea dst, [base + index * 2^scale]`
    pub(super) fn lea_scaled(&mut self, w: W, dst: Gpr, base: Gpr, index: Gpr, scale: u8) {
        self.wrote(dst);
        // rbp and r13 as base need a displacement; rsp is never an index.
        let (d, b, i) = (dst.number(), base.number(), index.number());
        let rex = 0x40 | u8::from(w == W::Q) << 3 | (d >> 3) << 2 | (i >> 3) << 1 | b >> 3;
        if rex != 0x40 {
            self.u8(rex);
        }
        let short = b & 7 != 5;
        let mode = if short { 0x04 } else { 0x44 };
        self.raw(&[0x8d, mode | ((d & 7) << 3)]);
        self.u8(scale << 6 | ((i & 7) << 3) | (b & 7));
        if !short {
            self.u8(0);
        }
    }

    /// `inc` or `dec`
    pub(super) fn step(&mut self, w: W, up: bool, reg: Gpr) {
        self.wrote(reg);
        self.rex(w, 0, reg.number());
        self.u8(0xff);
        self.modrm_reg(u8::from(!up), reg.number());
    }

    /// `imul dst, src`
    pub(super) fn imul_rr(&mut self, w: W, dst: Gpr, src: Gpr) {
        self.wrote(dst);
        self.rex(w, dst.number(), src.number());
        self.raw(&[0x0f, 0xaf]);
        self.modrm_reg(dst.number(), src.number());
    }

    /// `imul dst, src, imm`
    pub(super) fn imul_rri(&mut self, w: W, dst: Gpr, src: Gpr, imm: i32) {
        self.wrote(dst);
        self.rex(w, dst.number(), src.number());
        if let Ok(imm) = i8::try_from(imm) {
            self.u8(0x6b);
            self.modrm_reg(dst.number(), src.number());
            self.u8(imm as u8);
        } else {
            self.u8(0x69);
            self.modrm_reg(dst.number(), src.number());
            self.imm32(imm);
        }
    }

    /// `neg`, `mul`, `div` or `idiv` of a register (the last three with rdx:rax)
    pub(super) fn unary(&mut self, w: W, op: Unary, reg: Gpr) {
        match op {
            Unary::Neg => self.wrote(reg),
            Unary::Mul | Unary::Div | Unary::Idiv => self.also_writes(gprs(&[Gpr::Rax, Gpr::Rdx])),
        }
        self.rex(w, 0, reg.number());
        self.u8(0xf7);
        self.modrm_reg(op as u8, reg.number());
    }

    /// `cdq` or `cqo`: sign of rax into rdx
    pub(super) fn sign_to_rdx(&mut self, w: W) {
        self.wrote(Gpr::Rdx);
        self.rex(w, 0, 0);
        self.u8(0x99);
    }

    /// `op dst, imm8`
    pub(super) fn shift_ri(&mut self, w: W, op: Shift, dst: Gpr, count: u8) {
        self.wrote(dst);
        self.rex(w, 0, dst.number());
        if count == 1 {
            self.u8(0xd1);
            self.modrm_reg(op as u8, dst.number());
        } else {
            self.u8(0xc1);
            self.modrm_reg(op as u8, dst.number());
            self.u8(count);
        }
    }

    /// `rol dst, imm8`
    pub(super) fn rotate_left(&mut self, w: W, dst: Gpr, count: u8) {
        self.wrote(dst);
        self.rex(w, 0, dst.number());
        self.u8(0xc1);
        self.modrm_reg(0, dst.number());
        self.u8(count);
    }

    /// `op dst, cl`
    pub(super) fn shift_cl(&mut self, w: W, op: Shift, dst: Gpr) {
        self.wrote(dst);
        self.rex(w, 0, dst.number());
        self.u8(0xd3);
        self.modrm_reg(op as u8, dst.number());
    }

    /// `shlx`/`shrx`/`sarx dst, src, count` (BMI2)
    pub(super) fn shiftx(&mut self, w: W, op: Shift, dst: Gpr, src: Gpr, count: Gpr) {
        self.wrote(dst);
        let (d, s, c) = (dst.number(), src.number(), count.number());
        let pp = match op {
            Shift::Shl => 0b01,
            Shift::Sar => 0b10,
            Shift::Shr => 0b11,
        };
        let r = u8::from(d < 8) << 7;
        let b = u8::from(s < 8) << 5;
        self.raw(&[0xc4, r | 0x40 | b | 0x02]);
        self.u8(u8::from(w == W::Q) << 7 | ((!c & 0xf) << 3) | pp);
        self.u8(0xf7);
        self.modrm_reg(d, s);
    }

    /// `bswap`
    pub(super) fn bswap(&mut self, w: W, reg: Gpr) {
        self.wrote(reg);
        self.rex(w, 0, reg.number());
        self.raw(&[0x0f, 0xc8 | (reg.number() & 7)]);
    }

    /// `rol r16, 8`
    pub(super) fn swap_bytes_16(&mut self, reg: Gpr) {
        self.wrote(reg);
        self.u8(0x66);
        self.rex(W::D, 0, reg.number());
        self.u8(0xc1);
        self.modrm_reg(0, reg.number());
        self.u8(8);
    }

    /// `movzx dst, src` of 8 or 16 bits, `mov r32, r32` for 32
    pub(super) fn movzx_rr(&mut self, from: M, dst: Gpr, src: Gpr) {
        self.wrote(dst);
        let (d, s) = (dst.number(), src.number());
        match from {
            M::B => {
                self.byte_source_rex(W::D, d, s);
                self.raw(&[0x0f, 0xb6]);
            }
            M::H => {
                self.rex(W::D, d, s);
                self.raw(&[0x0f, 0xb7]);
            }
            M::D => return self.mov_rr(W::D, dst, src),
            M::Q => return self.mov_rr(W::Q, dst, src),
        }
        self.modrm_reg(d, s);
    }

    /// `movsx`/`movsxd dst, src` from 8, 16 or 32 bits
    pub(super) fn movsx_rr(&mut self, w: W, from: M, dst: Gpr, src: Gpr) {
        self.wrote(dst);
        let (d, s) = (dst.number(), src.number());
        match from {
            M::B => {
                self.byte_source_rex(w, d, s);
                self.raw(&[0x0f, 0xbe]);
            }
            M::H => {
                self.rex(w, d, s);
                self.raw(&[0x0f, 0xbf]);
            }
            M::D if w == W::Q => {
                self.rex(w, d, s);
                self.u8(0x63);
            }
            M::D | M::Q => return self.mov_rr(w, dst, src),
        }
        self.modrm_reg(d, s);
    }

    /// REX for an instruction whose r/m is a byte register: needed for spl, bpl, sil, dil.
    fn byte_source_rex(&mut self, w: W, reg: u8, rm: u8) {
        let rex = 0x40 | (u8::from(w == W::Q) << 3) | ((reg >> 3) << 2) | (rm >> 3);
        if rex != 0x40 || rm >= 4 {
            self.u8(rex);
        }
    }

    /// Zero-extending load
    pub(super) fn load(&mut self, size: M, dst: Gpr, mem: Mem) {
        self.wrote(dst);
        let w = if size == M::Q { W::Q } else { W::D };
        self.rex(w, dst.number(), mem.base.number());
        match size {
            M::B => self.raw(&[0x0f, 0xb6]),
            M::H => self.raw(&[0x0f, 0xb7]),
            M::D | M::Q => self.u8(0x8b),
        }
        self.modrm_mem(dst.number(), mem);
    }

    /// Load sign-extended to 64 bits
    pub(super) fn load_sx(&mut self, size: M, dst: Gpr, mem: Mem) {
        self.wrote(dst);
        self.rex(W::Q, dst.number(), mem.base.number());
        match size {
            M::B => self.raw(&[0x0f, 0xbe]),
            M::H => self.raw(&[0x0f, 0xbf]),
            M::D => self.u8(0x63),
            M::Q => self.u8(0x8b),
        }
        self.modrm_mem(dst.number(), mem);
    }

    /// REX, with the index register's high bit.
    fn rex_indexed(&mut self, w: W, reg: u8, place: Indexed, byte: bool) {
        let (base, index) = (place.base.number(), place.index.number());
        let wide = u8::from(w == W::Q) << 3;
        let rex = 0x40 | wide | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0x40 || byte && reg >= 4 {
            self.u8(rex);
        }
    }

    /// ModRM, SIB and displacement; rsp is never an index.
    fn modrm_indexed(&mut self, reg: u8, place: Indexed) {
        let (base, index) = (place.base.number() & 7, place.index.number() & 7);
        let mode = match place.disp {
            0 if base != 5 => 0x00,
            -128..=127 => 0x40,
            _ => 0x80,
        };
        self.raw(&[mode | (reg & 7) << 3 | 4, index << 3 | base]);
        match mode {
            0x00 => {}
            0x40 => self.u8(place.disp as u8),
            _ => self.imm32(place.disp),
        }
    }

    /// Zero-extending load
    pub(super) fn load_indexed(&mut self, size: M, dst: Gpr, place: Indexed) {
        self.wrote(dst);
        let w = if size == M::Q { W::Q } else { W::D };
        self.rex_indexed(w, dst.number(), place, false);
        match size {
            M::B => self.raw(&[0x0f, 0xb6]),
            M::H => self.raw(&[0x0f, 0xb7]),
            M::D | M::Q => self.u8(0x8b),
        }
        self.modrm_indexed(dst.number(), place);
    }

    /// `mov [base + index + disp], src`
    pub(super) fn store_indexed(&mut self, size: M, place: Indexed, src: Gpr) {
        if size == M::H {
            self.u8(0x66);
        }
        let w = if size == M::Q { W::Q } else { W::D };
        self.rex_indexed(w, src.number(), place, size == M::B);
        self.u8(if size == M::B { 0x88 } else { 0x89 });
        self.modrm_indexed(src.number(), place);
    }

    fn prefix_for(&mut self, size: M, reg: u8, base: u8) {
        match size {
            M::B => self.rex_byte(reg, base),
            M::H => {
                self.u8(0x66);
                self.rex(W::D, reg, base);
            }
            M::D => self.rex(W::D, reg, base),
            M::Q => self.rex(W::Q, reg, base),
        }
    }

    /// `mov [mem], src`
    pub(super) fn store(&mut self, size: M, mem: Mem, src: Gpr) {
        self.prefix_for(size, src.number(), mem.base.number());
        self.u8(if size == M::B { 0x88 } else { 0x89 });
        self.modrm_mem(src.number(), mem);
    }

    /// `mov [mem], imm` (sign-extended for 64 bits)
    pub(super) fn store_imm(&mut self, size: M, mem: Mem, imm: i32) {
        self.prefix_for(size, 0, mem.base.number());
        self.u8(if size == M::B { 0xc6 } else { 0xc7 });
        self.modrm_mem(0, mem);
        match size {
            M::B => self.u8(imm as u8),
            M::H => self.raw(&(imm as u16).to_le_bytes()),
            M::D | M::Q => self.imm32(imm),
        }
    }

    /// `lock op [mem], src`
    pub(super) fn lock_alu(&mut self, w: W, op: Alu, mem: Mem, src: Gpr) {
        self.u8(0xf0);
        self.rex(w, src.number(), mem.base.number());
        self.u8((op as u8) << 3 | 0x01);
        self.modrm_mem(src.number(), mem);
    }

    /// `lock xadd [mem], src`
    pub(super) fn lock_xadd(&mut self, w: W, mem: Mem, src: Gpr) {
        self.wrote(src);
        self.u8(0xf0);
        self.rex(w, src.number(), mem.base.number());
        self.raw(&[0x0f, 0xc1]);
        self.modrm_mem(src.number(), mem);
    }

    /// `lock cmpxchg [mem], src` (with rax)
    pub(super) fn lock_cmpxchg(&mut self, w: W, mem: Mem, src: Gpr) {
        self.wrote(Gpr::Rax);
        self.u8(0xf0);
        self.rex(w, src.number(), mem.base.number());
        self.raw(&[0x0f, 0xb1]);
        self.modrm_mem(src.number(), mem);
    }

    /// `xchg [mem], src` (locked by itself)
    pub(super) fn xchg(&mut self, w: W, mem: Mem, src: Gpr) {
        self.wrote(src);
        self.rex(w, src.number(), mem.base.number());
        self.u8(0x87);
        self.modrm_mem(src.number(), mem);
    }

    /// `push`
    pub(super) fn push(&mut self, reg: Gpr) {
        self.rex(W::D, 0, reg.number());
        self.u8(0x50 | (reg.number() & 7));
    }

    /// `push imm`, sign-extended
    pub(super) fn push_imm(&mut self, imm: i32) {
        if let Ok(imm) = i8::try_from(imm) {
            self.raw(&[0x6a, imm as u8]);
        } else {
            self.u8(0x68);
            self.imm32(imm);
        }
    }

    /// `pop`
    pub(super) fn pop(&mut self, reg: Gpr) {
        self.wrote(reg);
        self.rex(W::D, 0, reg.number());
        self.u8(0x58 | (reg.number() & 7));
    }

    /// `ret`
    pub(super) fn ret(&mut self) {
        self.u8(0xc3);
    }

    /// `call [mem]`, of a routine that changes these registers.
    pub(super) fn call_mem(&mut self, mem: Mem, writes: Gprs) {
        self.also_writes(writes);
        self.rex(W::D, 0, mem.base.number());
        self.u8(0xff);
        self.modrm_mem(2, mem);
    }

    /// `call target`, a position in this buffer
    pub(super) fn call(&mut self, target: usize) {
        let rel = self.relative(target, 5);
        self.u8(0xe8);
        self.imm32(rel);
    }

    /// `jmp target`, short where it reaches
    pub(super) fn jmp(&mut self, target: usize) {
        if let Ok(rel) = i8::try_from(self.relative(target, 2)) {
            self.raw(&[0xeb, rel as u8]);
        } else {
            self.jmp_long(target);
        }
    }

    /// `jcc target`, short where it reaches
    pub(super) fn jcc(&mut self, cc: Cc, target: usize) {
        if let Ok(rel) = i8::try_from(self.relative(target, 2)) {
            self.raw(&[0x70 | cc as u8, rel as u8]);
        } else {
            self.jcc_long(cc, target);
        }
    }

    /// `jmp target` in its long form
    pub(super) fn jmp_long(&mut self, target: usize) {
        let rel = self.relative(target, 5);
        self.u8(0xe9);
        self.imm32(rel);
    }

    /// `jcc target` in its long form
    pub(super) fn jcc_long(&mut self, cc: Cc, target: usize) {
        let rel = self.relative(target, 6);
        self.raw(&[0x0f, 0x80 | cc as u8]);
        self.imm32(rel);
    }

    /// Distance from the end of an instruction of `size` bytes emitted now. Code is bounded far below 2 GiB.
    fn relative(&self, target: usize, size: usize) -> i32 {
        (target as i64).wrapping_sub(self.len as i64).wrapping_sub(size as i64) as i32
    }
}
