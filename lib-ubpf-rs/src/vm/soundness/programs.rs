//! Random programs: what the verifier must be right about.

use crate::isa::{AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width};
use std::{vec, vec::Vec};

/// Where decisions come from.
pub enum Numbers<'d> {
    /// Random numbers (Marsaglia's xorshift) from this state, which is not 0.
    Random(u64),
    /// Bytes that something else chooses; zeros when there are no more.
    Bytes(&'d [u8]),
}

impl Numbers<'_> {
    fn take(&mut self, bytes: usize) -> u64 {
        match self {
            Numbers::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
            }
            Numbers::Bytes(data) => {
                let (now, later) = data.split_at(bytes.min(data.len()));
                *data = later;
                now.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
            }
        }
    }
    fn next(&mut self) -> u64 {
        self.take(4)
    }
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.take(if limit > 256 { 2 } else { 1 }) % limit
    }
    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
    fn reg(&mut self) -> Reg {
        Reg::new(self.below(10) as u8).unwrap()
    }
    /// Immediates as programs have them, and those at which ranges break.
    fn imm(&mut self) -> i32 {
        match self.below(5) {
            0 => self.below(16) as i32,
            1 => self.below(300) as i32 - 150,
            2 => (1i64 << self.below(32)) as i32,
            3 => ((1i64 << self.below(32)) as i32).wrapping_sub(1),
            _ => self.next() as i32,
        }
    }
    fn operand(&mut self) -> Operand {
        match self.below(2) {
            0 => Operand::Reg(self.reg()),
            _ => Operand::Imm(self.imm()),
        }
    }
    /// Any, more often those that programs are made of.
    fn alu(&mut self) -> AluOp {
        match self.below(4) {
            0 => self.pick(&[AluOp::Add, AluOp::And, AluOp::Mov]),
            _ => self.pick(&AluOp::ALL),
        }
    }
    fn width(&mut self) -> Width {
        self.pick(&[Width::W32, Width::W64])
    }
    fn size(&mut self) -> Size {
        self.pick(&[Size::B, Size::H, Size::W, Size::DW, Size::W, Size::DW])
    }
}

/// A random program: numbers from the argument, arithmetic, comparisons, accesses to stack and argument near and beyond
/// their ends, calls, jumps mostly forwards.
pub fn random_program(numbers: &mut Numbers<'_>) -> Vec<Insn> {
    make(numbers, &[0, 1, 2, 5], None)
}

/// The same with the helpers of Linux that look into maps, and values of [`maps`](super::maps).
pub fn random_program_with_maps(numbers: &mut Numbers<'_>) -> Vec<Insn> {
    make(numbers, &[1, 2, 3, 131, 132, 133], Some(use_maps))
}

/// Adds instructions, at most so many.
type IdiomWriter = fn(&mut Numbers<'_>, &mut Vec<Insn>, usize);

fn make(numbers: &mut Numbers<'_>, helpers: &[u32], often: Option<IdiomWriter>) -> Vec<Insn> {
    let len = if numbers.below(8) == 0 { numbers.below(4) } else { 8 + numbers.below(40) } as usize;
    // r6 is the argument, r7 its length, r8 a number from it.
    let number = Insn::Load { size: numbers.size(), signed: false, dst: Reg::R8, base: Reg::R1, off: 8 };
    let (r6, r7) = (mov(Reg::R6, Reg::R1), mov(Reg::R7, Reg::R2));
    let mut insns = vec![r6, r7, number, mov(Reg::R9, Reg::R10)];
    for number in 0..6 {
        let dst = Reg::new(number).unwrap();
        let src = numbers.pick(&[
            Operand::Reg(Reg::R8),
            Operand::Imm(3),
            Operand::Reg(Reg::R7),
            Operand::Reg(Reg::R10),
            Operand::Reg(Reg::R6),
        ]);
        insns.push(Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src });
    }
    let function = len >= 4 && numbers.below(3) == 0;
    let body = insns.len() + len;
    while insns.len() < body {
        if let Some(idiom) = often.filter(|_| numbers.below(3) == 0) {
            let left = body - insns.len();
            idiom(numbers, &mut insns, left);
        }
        if insns.len() + LONGEST_IDIOM <= body && numbers.below(6) == 0 {
            let left = body - insns.len();
            idiom(numbers, &mut insns, left);
            continue;
        }
        let insn = random_insn(numbers, helpers, insns.len(), body, function.then_some(body + 1));
        insns.push(insn);
    }
    if len < 4 {
        count(numbers, &mut insns);
    }
    insns.push(Insn::Exit);
    if function {
        let end = insns.len() + 6;
        while insns.len() < end {
            let insn = random_insn(numbers, helpers, insns.len(), end, Some(body + 1));
            insns.push(insn);
        }
        insns.push(Insn::Exit);
    }
    insns
}

fn mov(dst: Reg, src: Reg) -> Insn {
    Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src: Operand::Reg(src) }
}

/// Instructions of the longest idiom, [`one_of_two`] aside.
const LONGEST_IDIOM: usize = 6;

/// A few instructions that belong together, at most `left`.
fn idiom(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, left: usize) {
    match numbers.below(7) {
        6 => within_length(numbers, insns),
        4 if left >= RELATED => related(numbers, insns),
        5 if left >= WALK => walk(numbers, insns),
        0 => overwrite(numbers, insns),
        1 => write_at_a_distance(numbers, insns),
        2 if left >= ONE_OF_TWO => one_of_two(numbers, insns),
        _ => count(numbers, insns),
    }
}

/// The argument's length is compared, and the argument read about as far as that says.
fn within_length(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let (op, length, size) =
        (numbers.pick(&[CmpOp::Lt, CmpOp::Lt, CmpOp::Le]), 1 + numbers.below(200) as i16, numbers.size());
    insns.push(Insn::Branch { op, width: Width::W64, dst: Reg::R7, src: Operand::Imm(length.into()), off: 1 });
    let off = length - size.bytes() as i16 + numbers.pick(&[0, 0, 0, 1, -1, -8]);
    insns.push(Insn::Load { size, signed: false, dst: numbers.reg(), base: Reg::R6, off });
}

/// Instructions of [`related`], and of [`walk`].
const RELATED: usize = 9;
const WALK: usize = 6;

/// Registers that hold the same number changed in one or two ways: remainders, masks used twice, sums that are compared.
fn related(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let (from, of) = (Reg::R2, Reg::R3);
    let width = numbers.width();
    let alu = |op, width, dst, src| Insn::Alu { op, width, dst, src };
    insns.push(Insn::Load {
        size: numbers.size(),
        signed: false,
        dst: from,
        base: Reg::R6,
        off: numbers.below(9) as i16,
    });
    let number = numbers.pick(&[3, 7, 63, 100, 255]);
    let by = numbers.pick(&[Operand::Imm(number), Operand::Reg(Reg::R7)]);
    insns.push(alu(AluOp::Mov, width, of, Operand::Reg(from)));
    if numbers.below(2) == 0 {
        let mask = Operand::Imm(numbers.pick(&[15, 63, 255]));
        insns.push(alu(AluOp::And, numbers.width(), of, mask));
    }
    if numbers.below(4) == 0 {
        // Now they are not related any more.
        let op = numbers.pick(&[AluOp::Add, AluOp::Xor]);
        insns.push(alu(op, width, from, Operand::Imm(numbers.pick(&[1, 8, 64, 200]))));
    }
    match numbers.below(3) {
        0 => {
            insns.push(alu(AluOp::Div, width, of, by));
            insns.push(alu(AluOp::Mul, width, of, by));
            insns.push(alu(AluOp::Sub, width, from, Operand::Reg(of)));
        }
        1 => {
            let branch = Insn::Branch {
                op: numbers.pick(&CmpOp::ALL),
                width: numbers.width(),
                dst: of,
                src: Operand::Imm(numbers.below(100) as i32),
                off: 0,
            };
            insns.push(alu(AluOp::And, width, of, Operand::Imm(number)));
            insns.push(branch);
            insns.push(alu(AluOp::And, Width::W64, from, Operand::Imm(number)));
        }
        _ => {
            insns.push(alu(AluOp::Add, width, of, Operand::Imm(numbers.pick(&[-48, -1, 1, 10]))));
            insns.push(Insn::Branch {
                op: numbers.pick(&CmpOp::ALL),
                width: numbers.width(),
                dst: numbers.pick(&[of, from]),
                src: Operand::Imm(numbers.below(100) as i32),
                off: 1,
            });
            insns.push(alu(AluOp::Mov, Width::W64, of, Operand::Reg(from)));
        }
    }
}

/// A pointer walks to the argument's end, or to where another one points.
fn walk(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let (at, end) = (Reg::R1, Reg::R3);
    let far = numbers.pick(&[Reg::R7, Reg::R7, Reg::R8]);
    insns.push(mov(at, Reg::R6));
    insns.push(mov(end, Reg::R6));
    insns.push(Insn::Alu { op: AluOp::Add, width: Width::W64, dst: end, src: Operand::Reg(far) });
    insns.push(Insn::Load {
        size: numbers.pick(&[Size::B, Size::B, Size::H]),
        signed: false,
        dst: Reg::R0,
        base: at,
        off: 0,
    });
    insns.push(Insn::Alu { op: AluOp::Add, width: Width::W64, dst: at, src: Operand::Imm(1) });
    insns.push(Insn::Branch {
        op: numbers.pick(&[CmpOp::Ne, CmpOp::Ne, CmpOp::Lt, CmpOp::Le]),
        width: Width::W64,
        dst: at,
        src: Operand::Reg(end),
        off: -3,
    });
}

/// Instructions of [`one_of_two`].
const ONE_OF_TWO: usize = 13;

/// One of two numbers of 32 bits, which one the argument says, is shifted up and down again and compared.
fn one_of_two(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let load = |size, dst, off| Insn::Load { size, signed: false, dst, base: Reg::R6, off };
    let shift = |op| Insn::Alu { op, width: Width::W64, dst: Reg::R4, src: Operand::Imm(32) };
    let branch = |numbers: &mut Numbers<'_>, off| Insn::Branch {
        op: numbers.pick(&[CmpOp::Gt, CmpOp::Lt]),
        width: Width::W64,
        dst: Reg::R4,
        src: Operand::Imm(numbers.below(200) as i32),
        off,
    };
    insns.push(load(Size::W, Reg::R2, 0));
    insns.push(load(Size::W, Reg::R3, 4));
    insns.push(load(Size::B, Reg::R4, 8 + numbers.below(8) as i16));
    insns.push(mov(Reg::R1, Reg::R2));
    insns.push(mov(Reg::R5, Reg::R3));
    insns.push(branch(numbers, 3));
    insns.push(mov(Reg::R4, Reg::R2));
    insns.push(shift(AluOp::Lsh));
    insns.push(Insn::Jump { off: 2, long: false });
    insns.push(mov(Reg::R4, Reg::R3));
    insns.push(shift(AluOp::Lsh));
    insns.push(shift(numbers.pick(&[AluOp::Rsh, AluOp::Arsh])));
    insns.push(branch(numbers, 0));
}

fn use_maps(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, left: usize) {
    match numbers.below(6) {
        0 | 1 => reserve(numbers, insns, left),
        2 => read_number(numbers, insns, left),
        _ => look_up(numbers, insns, left),
    }
}

/// Instructions of [`read_number`].
const READ_NUMBER: usize = 11;

/// A helper writes over a word of the stack that was known.
fn read_number(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, left: usize) {
    if left < READ_NUMBER {
        return;
    }
    let mut imm = |dst, op, imm| insns.push(Insn::Alu { op, width: Width::W64, dst, src: Operand::Imm(imm) });
    imm(Reg::R2, AluOp::Mov, 8);
    imm(Reg::R3, AluOp::Mov, numbers.pick(&[10, 10, 16, 7]));
    let result = -16 - numbers.below(2) as i16 * 4;
    for (dst, by) in [(Reg::R1, -8), (Reg::R4, result)] {
        insns.push(mov(dst, Reg::R10));
        insns.push(Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(by.into()) });
    }
    insns.push(store(Size::DW, Reg::R10, -8, Operand::Imm(numbers.pick(&[0x3531, 0x30, 0x7a, 0x2d31]))));
    insns.push(store(Size::DW, Reg::R10, -16, Operand::Imm(numbers.below(9) as i32)));
    insns.push(Insn::Call(Call::Helper(numbers.pick(&[105, 106]))));
    insns.push(Insn::Load { size: numbers.size(), signed: false, dst: numbers.reg(), base: Reg::R10, off: -16 });
}

/// Instructions of [`reserve`].
const RESERVE: usize = 18;

/// A record is reserved, mostly compared with 0, filled, mostly released, now and then on one of two ways alone, and accessed once more.
fn reserve(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, left: usize) {
    if left < RESERVE {
        return;
    }
    let alu = |op, dst, src| Insn::Alu { op, width: Width::W64, dst, src };
    insns.extend([Insn::LoadImm64 { dst: Reg::R1, kind: ImmKind::MapIndex, imm: 4 }, Insn::WideTail]);
    if numbers.below(4) == 0 {
        insns.push(mov(Reg::R2, Reg::R8));
        insns.push(alu(AluOp::And, Reg::R2, Operand::Imm(15)));
        insns.push(alu(AluOp::Add, Reg::R2, Operand::Imm(8)));
    } else {
        let size = numbers.pick(&[8, 8, 13, 24]);
        insns.push(alu(AluOp::Mov, Reg::R2, Operand::Imm(size)));
    }
    insns.push(alu(AluOp::Mov, Reg::R3, Operand::Imm(0)));
    insns.push(Insn::Call(Call::Helper(131)));
    let copy = numbers.pick(&[Reg::R6, Reg::R7, Reg::R9]);
    if numbers.below(2) == 0 {
        insns.push(mov(copy, Reg::R0));
    }
    let compare = insns.len();
    let op = numbers.pick(&[CmpOp::Eq, CmpOp::Eq, CmpOp::Eq, CmpOp::Ne]);
    insns.push(Insn::Branch { op, width: Width::W64, dst: Reg::R0, src: Operand::Imm(0), off: 0 });
    let mut access = |insns: &mut Vec<Insn>, base| {
        let off = numbers.below(28) as i16 - 4;
        insns.push(match numbers.below(2) {
            0 => store(numbers.size(), base, off, numbers.operand()),
            _ => Insn::Load { size: numbers.size(), signed: false, dst: Reg::R4, base, off },
        });
    };
    access(insns, Reg::R0);
    if numbers.below(3) == 0 {
        let src = Operand::Imm(numbers.below(4) as i32);
        insns.push(Insn::Branch { op: CmpOp::Gt, width: Width::W64, dst: Reg::R8, src, off: 3 });
    }
    if numbers.below(6) != 0 {
        insns.push(mov(Reg::R1, numbers.pick(&[Reg::R0, Reg::R0, Reg::R0, copy])));
        insns.push(alu(AluOp::Mov, Reg::R2, Operand::Imm(0)));
        insns.push(Insn::Call(Call::Helper(numbers.pick(&[132, 133]))));
    }
    let over = (insns.len() - compare - 1) as i16;
    if let (Some(Insn::Branch { off, .. }), true) = (insns.get_mut(compare), numbers.below(8) != 0) {
        *off = over;
    }
    let base = numbers.pick(&[copy, Reg::R0]);
    insns.push(Insn::Load { size: numbers.size(), signed: false, dst: Reg::R5, base, off: 0 });
}

/// Instructions of [`look_up`].
const LOOK_UP: usize = 14;

/// A value is looked for under a key from the argument, mostly compared with 0, moved by a number, and accessed; or data is.
fn look_up(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, left: usize) {
    if left < LOOK_UP {
        return;
    }
    let value = Reg::R0;
    let wide = |dst, kind, imm| [Insn::LoadImm64 { dst, kind, imm }, Insn::WideTail];
    let slot = numbers.below(4);
    let known = slot >= 2 && numbers.below(2) == 0;
    if known {
        let offset = numbers.below(if slot == 2 { 12 } else { 32 });
        insns.extend(wide(value, ImmKind::MapIndexValue, slot | offset << 32));
    } else {
        let size = numbers.pick(&[Size::B, Size::B, Size::DW]);
        insns.push(Insn::Load { size, signed: false, dst: Reg::R2, base: Reg::R6, off: numbers.below(9) as i16 });
        if numbers.below(2) == 0 {
            insns.push(Insn::Alu { op: AluOp::And, width: Width::W64, dst: Reg::R2, src: Operand::Imm(3) });
        }
        insns.push(store(Size::DW, Reg::R10, -8, Operand::Reg(Reg::R2)));
        insns.push(mov(Reg::R2, Reg::R10));
        insns.push(Insn::Alu { op: AluOp::Add, width: Width::W64, dst: Reg::R2, src: Operand::Imm(-8) });
        insns.extend(wide(Reg::R1, ImmKind::MapIndex, slot));
        insns.push(Insn::Call(Call::Helper(1)));
        let op = numbers.pick(&[CmpOp::Eq, CmpOp::Eq, CmpOp::Eq, CmpOp::Ne]);
        if numbers.below(8) != 0 {
            insns.push(Insn::Branch { op, width: Width::W64, dst: value, src: Operand::Imm(0), off: 3 });
        }
    }
    let by =
        numbers.pick(&[Operand::Imm(0), Operand::Imm(0), Operand::Imm(4), Operand::Imm(-4), Operand::Reg(Reg::R8)]);
    let other = numbers.reg();
    insns.push(mov(other, value));
    insns.push(Insn::Alu { op: AluOp::Add, width: Width::W64, dst: other, src: by });
    let off = numbers.below(30) as i16 - 4;
    let size = numbers.size();
    insns.push(match numbers.below(4) {
        0 => store(size, other, off, numbers.operand()),
        1 => Insn::Atomic { op: AtomicOp::FetchAdd, size: Size::DW, base: value, off: off & !7, src: numbers.reg() },
        _ => Insn::Load { size, signed: false, dst: numbers.reg(), base: other, off },
    });
}

/// A register goes to the stack, a part of it is written over, and it comes back.
fn overwrite(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let off = -8 * (1 + numbers.below(4) as i16);
    let part = numbers.size();
    insns.push(store(Size::DW, Reg::R10, off, Operand::Reg(numbers.reg())));
    insns.push(store(part, Reg::R10, off + numbers.below(12) as i16 - 2, numbers.operand()));
    insns.push(Insn::Load {
        size: numbers.pick(&[Size::DW, Size::W]),
        signed: false,
        dst: numbers.reg(),
        base: Reg::R10,
        off,
    });
}

/// A number stands in the stack while something is written at a distance that only the argument knows.
fn write_at_a_distance(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let off = -8 * (1 + numbers.below(4) as i16);
    let (by, to) = (Reg::R4, Reg::R3);
    insns.push(store(Size::DW, Reg::R10, off, numbers.operand()));
    insns.push(Insn::Load {
        size: numbers.pick(&[Size::H, Size::B, Size::DW]),
        signed: false,
        dst: by,
        base: Reg::R6,
        off: numbers.below(16) as i16,
    });
    insns.push(mov(to, Reg::R10));
    insns.push(Insn::Alu { op: AluOp::Sub, width: Width::W64, dst: to, src: Operand::Reg(by) });
    insns.push(store(numbers.size(), to, -(numbers.below(16) as i16), numbers.operand()));
    insns.push(Insn::Load { size: Size::DW, signed: false, dst: numbers.reg(), base: Reg::R10, off });
}

/// A counted loop.
fn count(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let dst = Reg::R5;
    let imm = |op, imm| Insn::Alu { op, width: Width::W64, dst, src: Operand::Imm(imm) };
    let step = 1 + numbers.below(4) as i32;
    let (from, step, op) = match numbers.below(2) {
        0 => (0, step, numbers.pick(&[CmpOp::Lt, CmpOp::Le, CmpOp::Slt])),
        _ => (20, -step, CmpOp::Sgt),
    };
    insns.push(imm(AluOp::Mov, from));
    insns.push(imm(AluOp::Add, step));
    insns.push(Insn::Branch { op, width: Width::W64, dst, src: Operand::Imm(numbers.below(20) as i32), off: -2 });
}

fn store(size: Size, base: Reg, off: i16, src: Operand) -> Insn {
    Insn::Store { size, base, off, src }
}

fn random_insn(numbers: &mut Numbers<'_>, helpers: &[u32], pc: usize, end: usize, function: Option<usize>) -> Insn {
    let base = numbers.pick(&[Reg::R10, Reg::R10, Reg::R9, Reg::R6, Reg::R6, Reg::R1, Reg::R2, Reg::R3]);
    let size = numbers.size();
    let off = match base {
        Reg::R10 => -(numbers.below(40) as i16) - if numbers.below(9) == 0 { 500 } else { 0 },
        _ => numbers.below(40) as i16 - 12,
    };
    match numbers.below(20) {
        0..=6 => Insn::Alu { op: numbers.alu(), width: numbers.width(), dst: numbers.reg(), src: numbers.operand() },
        7 => Insn::MovSx {
            width: Width::W64,
            from: numbers.pick(&[Size::B, Size::H, Size::W]),
            dst: numbers.reg(),
            src: numbers.reg(),
        },
        8 => Insn::Neg { width: numbers.width(), dst: numbers.reg() },
        9 => Insn::Endian {
            kind: numbers.pick(&[Endianness::ToLe, Endianness::ToBe, Endianness::Swap]),
            size: numbers.pick(&[Size::H, Size::W, Size::DW]),
            dst: numbers.reg(),
        },
        10 | 11 => {
            Insn::Load { size, signed: size != Size::DW && numbers.below(3) == 0, dst: numbers.reg(), base, off }
        }
        12 | 13 => Insn::Store { size, base, off, src: numbers.operand() },
        14 => atomic(numbers, base, off),
        15 if function.is_some() || numbers.below(4) == 0 => {
            // To the other function, mostly; backwards and to itself too.
            let target = match function {
                Some(start) if numbers.below(8) != 0 => start,
                _ => 0,
            };
            Insn::Call(Call::Local(target as i32 - pc as i32 - 1))
        }
        15 => Insn::Call(Call::Helper(numbers.pick(helpers))),
        _ => branch(numbers, pc, end),
    }
}

fn atomic(numbers: &mut Numbers<'_>, base: Reg, off: i16) -> Insn {
    let op = numbers.pick(&[
        AtomicOp::FetchAdd,
        AtomicOp::Or,
        AtomicOp::Xchg,
        AtomicOp::CmpXchg,
        AtomicOp::LoadAcquire,
        AtomicOp::StoreRelease,
    ]);
    let sizes = [Size::W, Size::DW, Size::B, Size::H];
    let sizes = if op.is_ordered_access() { &sizes[..] } else { &sizes[..2] };
    Insn::Atomic { op, size: numbers.pick(sizes), base, off: off & !7, src: numbers.reg() }
}

fn branch(numbers: &mut Numbers<'_>, pc: usize, end: usize) -> Insn {
    let target = match numbers.below(4) {
        0 => pc - numbers.below(pc.min(12) as u64) as usize,
        _ => pc + 1 + numbers.below((end - pc) as u64) as usize,
    };
    let off = target as i64 - pc as i64 - 1;
    Insn::Branch {
        op: numbers.pick(&CmpOp::ALL),
        width: numbers.width(),
        dst: numbers.reg(),
        src: numbers.operand(),
        off: off as i16,
    }
}
