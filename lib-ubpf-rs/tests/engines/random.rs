//! Random programs: whatever the verifier lets through, all engines run it alike.

use crate::support::{program, program_that_probes, Engines, World};
use ubpf_rs::isa::{AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width};
use ubpf_rs::{program::Program, vm::Executable};

/// xorshift64*, for programs that are the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 33) as usize) % limit
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const IMMEDIATES: [i32; 20] =
    [0, 1, -1, 2, 3, 5, 7, 8, 16, 31, 32, 63, 64, 127, 128, -128, 255, 65535, i32::MAX, i32::MIN];
const WIDE: [u64; 6] = [0, 0x8000_0000, u64::MAX, 1 << 63, 0x7fff_ffff_ffff_ffff, 0x1234_5678_9abc_def0];
const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

impl Random {
    /// r0 to r9.
    fn reg(&mut self) -> Reg {
        Reg::new(self.below(10) as u8).unwrap()
    }
    fn width(&mut self) -> Width {
        self.pick(&[Width::W32, Width::W64])
    }
    fn imm(&mut self) -> i32 {
        if self.chance(80) {
            self.pick(&IMMEDIATES)
        } else {
            self.next() as i32
        }
    }
    fn operand(&mut self) -> Operand {
        if self.chance(50) {
            Operand::Reg(self.reg())
        } else {
            Operand::Imm(self.imm())
        }
    }
    /// A base that often holds an address, and an offset that is often in bounds.
    fn place(&mut self) -> (Reg, i16) {
        let base = self.pick(&[Reg::R10, Reg::R10, Reg::R10, Reg::R6, Reg::R6, Reg::R7, Reg::R1, Reg::R8]);
        let off = match base {
            Reg::R10 if self.chance(95) => -8 * (1 + self.below(8) as i16),
            Reg::R10 => self.pick(&[-1, -3, 0, 1, -511, -512, -513, -520]),
            _ if self.chance(85) => 4 * self.below(14) as i16,
            _ => self.pick(&[-1, 53, 54, 57, 58, 60, 61, 256, 249, 300, i16::MIN, i16::MAX]),
        };
        (base, off)
    }

    fn body(&mut self, code: &mut Vec<Insn>, at: usize, end: usize) {
        let (dst, src, width) = (self.reg(), self.reg(), self.width());
        let insn = match self.below(100) {
            0..=39 => Insn::Alu { op: self.pick(&AluOp::ALL), width, dst, src: self.operand() },
            40..=42 => {
                let from = self.pick(if width == Width::W64 { &SIZES[..3] } else { &SIZES[..2] });
                Insn::MovSx { width, from, dst, src }
            }
            43..=44 => Insn::Neg { width, dst },
            45..=48 => {
                let kind = self.pick(&[Endianness::ToLe, Endianness::ToBe, Endianness::Swap]);
                Insn::Endian { kind, size: self.pick(&SIZES[1..]), dst }
            }
            49..=50 if at + 2 < end => {
                code.push(Insn::LoadImm64 { kind: ImmKind::Value, dst, imm: self.pick(&WIDE) });
                Insn::WideTail
            }
            51..=58 => {
                let ((base, off), size) = (self.place(), self.pick(&SIZES));
                Insn::Load { size, signed: size != Size::DW && self.chance(30), dst, base, off }
            }
            59..=66 => {
                let (base, off) = self.place();
                Insn::Store { size: self.pick(&SIZES), base, off, src: self.operand() }
            }
            67..=72 => {
                let (base, off) = self.place();
                let op = self.pick(&AtomicOp::ALL);
                let least = if op.is_ordered_access() { 0 } else { 2 };
                Insn::Atomic { op, size: self.pick(&SIZES[least..]), base, off, src }
            }
            73..=84 => {
                let op = self.pick(&CmpOp::ALL);
                Insn::Branch { op, width, dst, src: self.operand(), off: self.distance(at, end) as i16 }
            }
            85 => Insn::Jump { off: self.distance(at, end), long: false },
            86..=88 => Insn::Alu {
                op: AluOp::Mov,
                width: Width::W64,
                dst: self.pick(&[Reg::R6, Reg::R7, Reg::R8]),
                src: Operand::Reg(self.pick(&[Reg::R10, Reg::R1, Reg::R6])),
            },
            89..=90 => Insn::Alu { op: AluOp::Add, width: Width::W64, dst: Reg::R7, src: Operand::Imm(self.imm()) },
            91..=95 => Insn::Call(Call::Helper(self.pick(&[0, 1, 2, 3, 5, 100, 101, 101]))),
            96 => Insn::Call(Call::Register(src)),
            _ => Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src: Operand::Imm(self.imm()) },
        };
        code.push(insn);
    }

    fn distance(&mut self, at: usize, end: usize) -> i32 {
        if self.chance(15) {
            -(self.below(at.min(8) + 1) as i32)
        } else {
            self.below((end - at - 1).clamp(1, 6)) as i32
        }
    }

    fn program(&mut self) -> Vec<Insn> {
        let mut code = vec![
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R6, src: Operand::Reg(Reg::R1) },
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R7, src: Operand::Reg(Reg::R10) },
            Insn::Alu { op: AluOp::Add, width: Width::W64, dst: Reg::R7, src: Operand::Imm(-64) },
            Insn::Call(Call::Helper(100)),
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R8, src: Operand::Reg(Reg::R0) },
        ];
        let functions = 1 + self.below(3);
        let mut calls = Vec::new();
        let mut starts = Vec::new();
        for _ in 0..functions {
            starts.push(code.len());
            let end = code.len() + 4 + self.below(24);
            while code.len() < end {
                if functions > 1 && self.chance(6) {
                    calls.push(code.len());
                    code.push(Insn::Call(Call::Local(0)));
                    continue;
                }
                let at = code.len();
                self.body(&mut code, at, end);
            }
            code.push(Insn::Exit);
        }
        starts[0] = 0;
        for at in calls {
            let target = self.pick(&starts);
            code[at] = Insn::Call(Call::Local(target as i32 - at as i32 - 1));
        }
        code
    }
}

/// Programs that were admitted of `count` tried.
fn compare(seed: u64, count: usize, program: fn(Vec<Insn>) -> Program, check: impl Fn(&Engines, &mut World)) -> usize {
    let mut random = Random(seed);
    let mut world = World::new();
    let mut admitted = 0;
    for _ in 0..count {
        let code = random.program();
        if let Ok(engines) = Engines::new(program(code), &world.registry) {
            check(&engines, &mut world);
            admitted += 1;
        }
    }
    admitted
}

#[test]
fn random_programs_run_alike() {
    let admitted = compare(0x1234_5678_9abc_def1, 20_000, program_that_probes, |engines, world| {
        engines.agree(world, 3000);
    });
    assert!(admitted > 5_000, "only {admitted} programs were admitted");
}

#[test]
fn random_programs_stop_alike_at_every_budget() {
    let admitted = compare(0xfeed_beef_0bad_cafe, 1_000, program, |engines, world| {
        engines.agree_at_every_budget(world, 600, 600);
    });
    assert!(admitted > 200, "only {admitted} programs were admitted");
}

/// A straight line of map calls with few keys, so that they meet; r0 depends on every answer.
fn map_calls(random: &mut Random, count: usize) -> Vec<Insn> {
    let mov = |dst, imm| Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src: Operand::Imm(imm) };
    let alu = |op, dst, src| Insn::Alu { op, width: Width::W64, dst, src };
    let mut code = vec![mov(Reg::R6, 1)];
    for _ in 0..count {
        code.push(mov(Reg::R1, random.below(12) as i32 * 0x10_0000));
        code.push(mov(Reg::R2, random.below(3) as i32));
        code.push(mov(Reg::R3, random.imm()));
        code.push(Insn::Call(Call::Helper(random.pick(&[0, 0, 1, 1, 1, 2, 3]))));
        code.push(alu(AluOp::Mul, Reg::R6, Operand::Imm(31)));
        code.push(alu(AluOp::Add, Reg::R6, Operand::Reg(Reg::R0)));
        // The arguments are as they were.
        code.push(alu(AluOp::Add, Reg::R6, Operand::Reg(Reg::R1)));
        code.push(alu(AluOp::Xor, Reg::R6, Operand::Reg(Reg::R3)));
    }
    code.push(alu(AluOp::Mov, Reg::R0, Operand::Reg(Reg::R6)));
    code.push(Insn::Exit);
    code
}

#[test]
fn the_map_is_the_same_from_machine_code() {
    let mut random = Random(0x0dd0_5eed);
    let mut world = World::new();
    for _ in 0..300 {
        let code = map_calls(&mut random, 100);
        let engines = Engines::new(program(code), &world.registry).unwrap();
        let most = engines.interpreter.verified().worst_cost();
        assert!(most.is_some(), "the calls are paid for beforehand");
        assert!(engines.agree(&mut world, 100_000).result.is_ok());
    }
}

#[test]
fn random_programs_compiled_ahead_of_time_stop_alike_at_every_budget() {
    let mut random = Random(0x5a5a_1234_0f0f_9876);
    let mut world = World::new();
    let mut admitted = 0;
    for _ in 0..600 {
        if let Ok(engines) = Engines::new(program(random.program()), &world.registry) {
            let engines = engines.with_linked();
            engines.agree_at_every_budget(&mut world, 600, 200);
            admitted += 1;
        }
    }
    assert!(admitted > 100, "only {admitted} programs were admitted");
}
