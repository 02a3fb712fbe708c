//! The step checker: runs admitted programs with every check on and compares each concrete machine with the states of the
//! verifier. What is proved must hold, whatever the program.

use super::{
    AccessKind, Executable, Interpreter, Memory, Moment, Run, Stop, StopKind, STACK_BYTES,
};
use crate::{
    helpers::{Host, Registry},
    isa::{AluOp, AtomicOp, Call, CmpOp, Endianness, Insn, Operand, Reg, Size, Width},
    program::{Abi, Program},
    verifier::{self, Access, Concrete, Event, Pass, Policy, State, VerifiedProgram},
};
use std::{collections::HashMap, format, string::String, vec, vec::Vec};

/// A host without map, symbols, clock or console.
struct Nobody;

impl Host for Nobody {
    fn map2_get(&self, key1: u64, key2: u64) -> Option<u64> {
        (!key1.is_multiple_of(3)).then_some(key1.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key2)
    }
    fn map2_put(&self, _key1: u64, _key2: u64, _value: u64) -> bool {
        true
    }
    fn map2_del(&self, _key1: u64, _key2: u64) -> bool {
        false
    }
    fn symbol_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    fn trace_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    fn notify(&self, _address: u64) {}
    fn puts(&self, _text: &[u8]) {}
    fn probe_read(&self, _address: u64, _dst: &mut [u8]) -> usize {
        0
    }
    fn now_ns(&self) -> u64 {
        77
    }
}

/// The states that each completed analysis has seen, by instruction.
#[derive(Default)]
struct Seen {
    states: HashMap<(Pass, usize), Vec<State>>,
    complete: Vec<Pass>,
}

/// An admitted program with the states on which that rests.
pub(super) struct Checked {
    verified: VerifiedProgram,
    seen: Seen,
}

/// Verifies a program; `None` when it is refused.
pub(super) fn verify(insns: &[Insn]) -> Option<Checked> {
    let program = Program {
        name: "test".into(),
        insns: insns.into(),
        entry: 0,
        abi: Abi::Classic,
    };
    let helpers = Registry::with_builtins().unwrap();
    let mut seen = Seen::default();
    let mut observe = |event: Event<'_>| match event {
        Event::Before { pass, pc, state } => {
            seen.states
                .entry((pass, pc))
                .or_default()
                .push(state.clone());
        }
        Event::Complete(pass) => seen.complete.push(pass),
    };
    let verified =
        verifier::verify_observed(program, Policy::Guarded, &helpers, Some(&mut observe));
    verified.ok().map(|verified| Checked { verified, seen })
}

impl Checked {
    /// Runs the program once; says where the verifier was wrong.
    pub(super) fn run(&self, argument: &mut [u8], budget: u64) -> Result<(), String> {
        let helpers = Registry::with_builtins().unwrap();
        let mut stack = vec![0u8; STACK_BYTES + 7];
        let aligned = stack.as_ptr().align_offset(8);
        let stack = &mut stack[aligned..aligned + STACK_BYTES];
        let len = argument.len() as u64;
        let memory = Memory::new(argument, stack);
        let mut run = Run {
            args: [memory.argument().base, len],
            memory,
            budget,
            helpers: &helpers,
            host: &Nobody,
        };
        if !super::proofs_hold(&self.verified, &run) {
            return Ok(());
        }
        let interpreter = Interpreter::new(self.verified.clone());
        let (mut steps, mut wrong) = (0u64, None);
        let result = interpreter.run_watched(&mut run, &mut |moment| {
            steps += 1;
            if wrong.is_none() {
                wrong = self.check(&moment, len).err();
            }
        });
        wrong.map_or(Ok(()), Err)?;
        self.check_end(interpreter.verified(), result, steps)
    }

    fn check(&self, moment: &Moment<'_>, len: u64) -> Result<(), String> {
        let pc = moment.pc;
        if !self.verified.reachable(pc) {
            return Err(format!("PC {pc} is reached"));
        }
        self.check_divisor(moment)?;
        let calls: Vec<usize> = moment.calls().collect();
        let machine = Concrete {
            regs: moment.regs,
            calls: &calls,
            argument: (moment.memory.argument().base, len),
            stack_top: moment.memory.stack_top(),
            read: &|addr, size| moment.memory.load(addr, size),
        };
        for &pass in &self.seen.complete {
            let states = self.seen.states.get(&(pass, pc));
            let states = states.map_or(&[][..], |s| s.as_slice());
            if !states.iter().any(|state| state.admits(&machine).is_ok()) {
                let last = states.last();
                let why = last.map(|s| format!("{:?}; {s}", s.admits(&machine)));
                return Err(format!(
                    "{pass:?}: no state at PC {pc} stands for {:x?}: {why:?}",
                    moment.regs
                ));
            }
        }
        Ok(())
    }

    fn check_divisor(&self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(Insn::Alu {
            op,
            width,
            src: Operand::Reg(src),
            ..
        }) = self.verified.program().insns.get(moment.pc)
        else {
            return Ok(());
        };
        if !matches!(op, AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod) {
            return Ok(());
        }
        let value = moment.regs[src.index()];
        let (zero, minus_one) = match width {
            Width::W64 => (value == 0, value == u64::MAX),
            Width::W32 => (value as u32 == 0, value as u32 == u32::MAX),
        };
        if zero && self.verified.divisor_is_not_zero(moment.pc)
            || minus_one && self.verified.divisor_is_not_minus_one(moment.pc)
        {
            return Err(format!("the divisor at PC {} is {value:#x}", moment.pc));
        }
        Ok(())
    }

    fn check_end(
        &self,
        program: &VerifiedProgram,
        result: Result<u64, Stop>,
        steps: u64,
    ) -> Result<(), String> {
        if program.worst_cost().is_some_and(|cost| steps > cost) {
            return Err(format!(
                "{steps} steps cost more than {:?}",
                program.worst_cost()
            ));
        }
        let Err(stop) = result else { return Ok(()) };
        let faults = matches!(
            stop.kind,
            StopKind::OutOfBounds { .. } | StopKind::Unaligned { .. }
        );
        let helper = matches!(
            stop.kind,
            StopKind::OutOfBounds {
                access: AccessKind::HelperRead | AccessKind::HelperWrite,
                ..
            }
        );
        if (faults || helper) && program.access(stop.pc) == Access::Proved {
            return Err(format!("a proved access faults: {stop}"));
        }
        Ok(())
    }
}

/// Random numbers (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
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
    fn width(&mut self) -> Width {
        self.pick(&[Width::W32, Width::W64])
    }
    fn size(&mut self) -> Size {
        self.pick(&[Size::B, Size::H, Size::W, Size::DW, Size::W, Size::DW])
    }
}

const ALU: [AluOp; 18] = [
    AluOp::Add,
    AluOp::Add,
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::Sdiv,
    AluOp::Or,
    AluOp::And,
    AluOp::And,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Mod,
    AluOp::Smod,
    AluOp::Xor,
    AluOp::Mov,
    AluOp::Mov,
    AluOp::Arsh,
];

const CMP: [CmpOp; 11] = [
    CmpOp::Eq,
    CmpOp::Gt,
    CmpOp::Ge,
    CmpOp::Set,
    CmpOp::Ne,
    CmpOp::Sgt,
    CmpOp::Sge,
    CmpOp::Lt,
    CmpOp::Le,
    CmpOp::Slt,
    CmpOp::Sle,
];

/// A random program: numbers from the argument, arithmetic, comparisons, accesses to stack and argument near and beyond
/// their ends, calls, jumps mostly forwards.
fn random_program(numbers: &mut Numbers) -> Vec<Insn> {
    let len = 8 + numbers.below(40) as usize;
    // r6 is the argument, r7 its length, r8 a number from it.
    let number = Insn::Load {
        size: numbers.size(),
        signed: false,
        dst: Reg::R8,
        base: Reg::R1,
        off: 8,
    };
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
        insns.push(Insn::Alu {
            op: AluOp::Mov,
            width: Width::W64,
            dst,
            src,
        });
    }
    let function = numbers.below(3) == 0;
    let body = insns.len() + len;
    while insns.len() < body {
        let insn = random_insn(numbers, insns.len(), body, function.then_some(body + 1));
        insns.push(insn);
    }
    insns.push(Insn::Exit);
    if function {
        let end = insns.len() + 6;
        while insns.len() < end {
            let insn = random_insn(numbers, insns.len(), end, None);
            insns.push(insn);
        }
        insns.push(Insn::Exit);
    }
    insns
}

fn mov(dst: Reg, src: Reg) -> Insn {
    Insn::Alu {
        op: AluOp::Mov,
        width: Width::W64,
        dst,
        src: Operand::Reg(src),
    }
}

fn random_insn(numbers: &mut Numbers, pc: usize, end: usize, function: Option<usize>) -> Insn {
    let base = numbers.pick(&[
        Reg::R10,
        Reg::R10,
        Reg::R9,
        Reg::R6,
        Reg::R6,
        Reg::R1,
        Reg::R2,
        Reg::R3,
    ]);
    let size = numbers.size();
    let off = match base {
        Reg::R10 => -(numbers.below(40) as i16) - if numbers.below(9) == 0 { 500 } else { 0 },
        _ => numbers.below(40) as i16 - 12,
    };
    match numbers.below(20) {
        0..=6 => Insn::Alu {
            op: numbers.pick(&ALU),
            width: numbers.width(),
            dst: numbers.reg(),
            src: numbers.operand(),
        },
        7 => Insn::MovSx {
            width: Width::W64,
            from: numbers.pick(&[Size::B, Size::H, Size::W]),
            dst: numbers.reg(),
            src: numbers.reg(),
        },
        8 => Insn::Neg {
            width: numbers.width(),
            dst: numbers.reg(),
        },
        9 => Insn::Endian {
            kind: numbers.pick(&[Endianness::ToLe, Endianness::ToBe, Endianness::Swap]),
            size: numbers.pick(&[Size::H, Size::W, Size::DW]),
            dst: numbers.reg(),
        },
        10 | 11 => Insn::Load {
            size,
            signed: size != Size::DW && numbers.below(3) == 0,
            dst: numbers.reg(),
            base,
            off,
        },
        12 | 13 => Insn::Store {
            size,
            base,
            off,
            src: numbers.operand(),
        },
        14 => atomic(numbers, base, off),
        15 if function.is_some() => {
            Insn::Call(Call::Local(function.unwrap() as i32 - pc as i32 - 1))
        }
        15 => Insn::Call(Call::Helper(numbers.pick(&[0, 1, 2, 5]))),
        _ => branch(numbers, pc, end),
    }
}

fn atomic(numbers: &mut Numbers, base: Reg, off: i16) -> Insn {
    let op = numbers.pick(&[
        AtomicOp::Add { fetch: true },
        AtomicOp::Or { fetch: false },
        AtomicOp::Xchg,
        AtomicOp::CmpXchg,
    ]);
    Insn::Atomic {
        op,
        size: numbers.pick(&[Size::W, Size::DW]),
        base,
        off: off & !7,
        src: numbers.reg(),
    }
}

fn branch(numbers: &mut Numbers, pc: usize, end: usize) -> Insn {
    let target = match numbers.below(4) {
        0 => pc - numbers.below(pc.min(12) as u64) as usize,
        _ => pc + 1 + numbers.below((end - pc) as u64) as usize,
    };
    let off = target as i64 - pc as i64 - 1;
    Insn::Branch {
        op: numbers.pick(&CMP),
        width: numbers.width(),
        dst: numbers.reg(),
        src: numbers.operand(),
        off: off as i16,
    }
}

/// Runs many random programs, each with several arguments; the first mistake of the verifier.
pub(super) fn random_programs(seed: u64, programs: usize) -> Result<usize, String> {
    let mut numbers = Numbers(seed);
    let (mut admitted, mut proved) = (0, 0);
    for _ in 0..programs {
        let insns = random_program(&mut numbers);
        let Some(checked) = verify(&insns) else {
            continue;
        };
        admitted += 1;
        proved += (0..insns.len())
            .filter(|&pc| checked.verified.access(pc) == Access::Proved)
            .count();
        for _ in 0..6 {
            let len = numbers.pick(&[16, 24, 40, 128, 128, 200]);
            let mut argument: Vec<u8> = (0..len)
                .map(|_| numbers.pick(&[0, 0, 0, 1, 0x7f, 0x80, 0xff]))
                .collect();
            checked
                .run(&mut argument, 600)
                .map_err(|error| format!("{error}\n{}", text(&insns)))?;
        }
    }
    assert!(
        admitted > programs / 4,
        "{admitted} of {programs} programs are admitted"
    );
    Ok(proved)
}

fn text(insns: &[Insn]) -> String {
    let lines = insns
        .iter()
        .enumerate()
        .map(|(pc, insn)| format!("{pc:3}: {}", insn));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn random_programs_stay_within_what_the_verifier_says() {
    let seed = std::env::var("UBPF_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0x0123_4567_89ab_cdef);
    let programs = std::env::var("UBPF_PROGRAMS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(3_000);
    let proved = random_programs(seed, programs).unwrap_or_else(|error| panic!("{error}"));
    assert!(proved > programs, "{proved} accesses are proved");
}
