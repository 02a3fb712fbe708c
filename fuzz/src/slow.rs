//! Programs that are slow to verify and to compile. Small inputs describe programs of up to 65,536 slots; the fuzzer is led to much work
//! and much memory per byte of program. Fails when an account is overdrawn, when more memory is held than there may be, or when an answer
//! takes several times as long as the work it was charged: then there is work that is not counted. What is admitted and compiled is run
//! with the budget of a hook, and fails when the run takes more than four nanoseconds for each unit of that.
#![no_main]

#[path = "../../lib-ubpf-rs/tests/common/counting.rs"]
mod counting;
#[allow(dead_code, reason = "programs are made here")]
mod input;
#[path = "../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;
#[allow(dead_code, reason = "parts are for other tests")]
#[path = "../../lib-ubpf-rs/tests/engines/support.rs"]
mod support;

use counting::{HELD, MOST};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use support::TestHost;
use ubpf_rs::{
    helpers::Registry,
    isa::{AluOp, Call, CmpOp, Insn, Operand, Reg, Size, Width},
    jit::JitProgram,
    program::{Abi, Program},
    verifier::{self, Policy, Work},
    vm::{soundness::Numbers, Executable, Memory, Run, STACK_BYTES},
};

/// Times that the work charged may take, as measured for ordinary programs when the target starts.
const TIMES: f64 = 3.0;
/// Nanoseconds that do not count.
const NOISE: f64 = 2e6;
/// An answer that seems to take too long is asked for so often.
const ATTEMPTS: usize = 6;
/// Budget of a hook in units, and nanoseconds that a run within it may take: each unit four, and a little for the clock. What a program is
/// charged says less here: code that is larger than the caches takes longer than it, as data does.
const HOOK: u64 = 62_500;
/// A run that seems to take too long is made so often: what else is done on the machine can only add to its time.
const RUNS: usize = 100;
const MOST_OF_A_RUN: f64 = HOOK as f64 * 4.0 + 10e3;
/// What may be spent beyond a limit: the piece of work that was refused.
const PIECE: u64 = 1_000_000;

/// What the fuzzer takes for coverage: one more counter set is an input worth keeping.
const BUCKETS: usize = 512;

/// Counters that are not the compiler's.
#[link_section = "__libfuzzer_extra_counters"]
static mut REACHED: [u8; BUCKETS] = [0; BUCKETS];

/// Notes that a measure came so far, in steps of a quarter of an octave.
fn reached(measure: usize, value: f64) {
    let step = (value.max(1.0).log2() * 4.0) as usize;
    let bucket = measure * 128 + step.min(127);
    // SAFETY: the target has one thread, and the fuzzer looks at the counters between its runs only.
    unsafe { (&raw mut REACHED).cast::<u8>().add(bucket).write(1) };
}

/// What an answer took.
struct Answer {
    spent: u64,
    nanoseconds: f64,
    /// The part of both that verification took.
    verified: (u64, f64),
    bytes: usize,
    counted_bytes: usize,
    code: Option<JitProgram>,
}

fn cpu_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and the time is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Verifies and compiles.
fn answer(insns: &[Insn], policy: Policy, limit: u64, helpers: &Registry) -> Answer {
    let before = HELD.get();
    MOST.set(before);
    let program =
        Program { name: String::new(), insns: insns.to_vec(), entry: 0, abi: Abi::Classic, probing: Vec::new() };
    let mut work = Work::new(limit);
    let start = cpu_time();
    let verified = verifier::verify(program, policy, &verifier::Environment::new(helpers), &mut work);
    let part = (work.spent(), cpu_time() - start);
    #[allow(clippy::result_large_err, reason = "the program is given back")]
    let made = verified.ok().map(|verified| JitProgram::new(verified, &pages::Pages, Default::default(), &mut work));
    Answer {
        nanoseconds: cpu_time() - start,
        spent: work.spent(),
        verified: part,
        bytes: MOST.get() - before,
        counted_bytes: work.most_bytes(),
        code: made.and_then(Result::ok),
    }
}

/// Nanoseconds of a unit in this build, on this machine: the most of some programs, made by the same generator.
fn unit(helpers: &Registry) -> f64 {
    static UNIT: OnceLock<f64> = OnceLock::new();
    *UNIT.get_or_init(|| {
        let mut numbers = Numbers::Random(0x9e37_79b9_7f4a_7c15);
        let mut ratios = Vec::new();
        while ratios.len() < 24 {
            let insns = expand(&mut numbers);
            let times = (0..3).map(|_| answer(&insns, Policy::Guarded, Work::LIMIT / 8, helpers));
            let least = times.map(|a| a.nanoseconds / a.spent as f64);
            let spent = answer(&insns, Policy::Guarded, Work::LIMIT / 8, helpers).spent;
            if spent > 1_000_000 {
                ratios.push(least.fold(f64::MAX, f64::min));
            }
        }
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    })
}

/// Runs with the budget of a hook: the nanoseconds that it takes at least, and what it is charged.
fn run(code: &JitProgram, helpers: &Registry) -> (f64, u64) {
    let (mut argument, mut stack) = ([0x5a; 128], vec![0u64; STACK_BYTES / 8]);
    // SAFETY: plain memory of that length, borrowed exclusively.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let (mut least, mut charged) = (f64::MAX, 0);
    for _ in 0..RUNS {
        let host = TestHost::new(64);
        let memory = Memory::new(&mut argument, stack);
        let args = [memory.argument().base, 128];
        let mut run = Run { args, memory, budget: HOOK, helpers, host: &host };
        let start = cpu_time();
        let _ = code.run(&mut run);
        least = least.min(cpu_time() - start);
        charged = HOOK - run.budget;
        if least <= MOST_OF_A_RUN {
            break;
        }
    }
    (least, charged)
}

fn prepare() {
    // A unit is measured without a mistake.
    let helpers = Registry::with_builtins().unwrap();
    eprintln!("a unit takes {:.2} ns", unit(&helpers));
    input::plant();
}

fuzz_target!(init: prepare(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    let policy = numbers.pick(&[Policy::Guarded, Policy::Strict, Policy::Guarded, Policy::Checked]);
    let limit = numbers.pick(&[Work::LIMIT / 8, Work::LIMIT / 8, Work::LIMIT / 8, Work::LIMIT]);
    let insns = expand(&mut numbers);
    let helpers = Registry::with_builtins().unwrap();
    let unit = unit(&helpers);
    let mut least = f64::MAX;
    for attempt in 0..ATTEMPTS {
        let answer = answer(&insns, policy, limit, &helpers);
        let Answer { spent, nanoseconds, verified, bytes, counted_bytes, code } = answer;
        assert!(spent <= limit + PIECE, "{spent} of {limit} units were spent");
        assert!(bytes <= Work::BYTES, "{bytes} bytes were held, {counted_bytes} counted");
        least = least.min(nanoseconds);
        let charged = spent as f64 * unit;
        if attempt == 0 {
            let slots = insns.len() as f64;
            reached(0, spent as f64 / slots);
            reached(1, bytes as f64 / slots);
            reached(2, nanoseconds / charged * 16.0);
            if let Some((took, charged)) = code.map(|code| run(&code, &helpers)) {
                assert!(
                    took <= MOST_OF_A_RUN,
                    "a run that was charged {charged} units took {took:.0} ns; {} instructions, {policy:?}, in the middle {:?}",
                    insns.len(),
                    insns.get(insns.len() / 2..).unwrap_or(&[]).iter().take(12).map(ToString::to_string).collect::<Vec<_>>()
                );
                reached(3, took);
            }
        }
        if least <= charged * TIMES + NOISE {
            return;
        }
        if attempt + 1 == ATTEMPTS {
            panic!(
                "{spent} units took {:.1} ms, at {unit:.2} ns a unit; {} units and {:.1} ms of it in the verifier; {} instructions, {policy:?}",
                least / 1e6,
                verified.0,
                verified.1 / 1e6,
                insns.len()
            );
        }
    }
});

const LARGEST: usize = 65_536;

fn mov(dst: Reg, src: Operand) -> Insn {
    alu(AluOp::Mov, dst, src)
}

fn alu(op: AluOp, dst: Reg, src: Operand) -> Insn {
    Insn::Alu { op, width: Width::W64, dst, src }
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, signed: false, dst, base, off }
}

/// A program of functions, each a few stretches of many instructions of a kind.
fn expand(numbers: &mut Numbers<'_>) -> Vec<Insn> {
    let size = numbers.pick(&[300, 2_000, 2_000, 8_000, 8_000, 20_000, 65_536]);
    let functions = 1 + numbers.below(8) as usize;
    let mut insns = Vec::new();
    let (mut starts, mut calls) = (Vec::new(), Vec::new());
    for function in 0..functions {
        starts.push(insns.len());
        let end = (size * (function + 1) / functions).min(LARGEST);
        insns.push(match function {
            0 => load(Size::B, Reg::R6, Reg::R1, 0),
            _ => mov(Reg::R6, Operand::Reg(Reg::R1)),
        });
        insns.push(mov(Reg::R8, Operand::Reg(Reg::R6)));
        insns.push(mov(Reg::R0, Operand::Imm(0)));
        let stretches = 1 + numbers.below(6);
        for _ in 0..stretches {
            let room = end.saturating_sub(insns.len() + 4);
            let count = (1usize << numbers.below(16)) + numbers.below(16) as usize;
            stretch(numbers, &mut insns, count, room, &mut |at, to| {
                // Mostly to the next one.
                let to = if to < 13 { function + 1 } else { to as usize };
                calls.push((at, to % functions));
            });
        }
        insns.push(Insn::Exit);
    }
    for (at, function) in calls {
        insns[at] = Insn::Call(Call::Local(starts[function] as i32 - at as i32 - 1));
    }
    insns
}

/// Farthest jump that the generator makes.
const FAR: usize = 32_000;

/// About `count` times instructions of one kind, within `room`.
fn stretch(
    numbers: &mut Numbers<'_>,
    insns: &mut Vec<Insn>,
    count: usize,
    room: usize,
    call: &mut impl FnMut(usize, u64),
) {
    let kind = numbers.below(14);
    let reg = numbers.pick(&[Reg::R6, Reg::R7, Reg::R8, Reg::R0]);
    let imm = numbers.below(256) as i32;
    let op = numbers.pick(&[CmpOp::Eq, CmpOp::Gt, CmpOp::Slt, CmpOp::Set, CmpOp::Ne]);
    let mut stretch = Stretch { insns, count, room, reg, imm, op };
    match kind {
        0 => stretch.fill(Size::W, 4),
        1 => stretch.fill(Size::DW, 8),
        2 => stretch.branches(),
        3 => stretch.diamonds(),
        4 => stretch.jumps_back(),
        5 => stretch.nested_loops(numbers.pick(&[Reg::R3, Reg::R4, Reg::R7])),
        6 => stretch.loops(),
        7 => stretch.loads(numbers.pick(&[Reg::R1, reg, Reg::R10])),
        8 | 9 => {
            let to = numbers.below(16);
            stretch.calls(&mut |at| call(at, to));
        }
        10 => stretch.helpers(numbers.pick(&[0, 1, 2, 3, 4, 5])),
        11 => stretch.copies(),
        12 => stretch.writes(),
        _ => stretch.arithmetic(numbers.pick(&[AluOp::Mul, AluOp::And, AluOp::Rsh, AluOp::Div, AluOp::Or])),
    }
}

/// What the instructions of a stretch have in common.
struct Stretch<'a> {
    insns: &'a mut Vec<Insn>,
    count: usize,
    room: usize,
    reg: Reg,
    imm: i32,
    op: CmpOp,
}

impl Stretch<'_> {
    /// How often, with so many instructions each time.
    fn turns(&self, each: usize) -> usize {
        self.count.min(self.room / each).min(FAR / each)
    }

    fn branch(&mut self, imm: i32, off: i64) {
        let (op, width, dst, src) = (self.op, Width::W64, self.reg, Operand::Imm(imm));
        self.insns.push(Insn::Branch { op, width, dst, src, off: off as i16 });
    }

    fn back(&self, to: usize) -> i64 {
        to as i64 - self.insns.len() as i64 - 1
    }

    /// The stack is filled, with words or longs that are known to be equal or are not.
    fn fill(&mut self, size: Size, step: i16) {
        for cell in 0..self.turns(1).min(512 / step as usize) as i16 {
            let (base, off, src) = (Reg::R10, -step * (cell + 1), Operand::Reg(self.reg));
            self.insns.push(Insn::Store { size, base, off, src });
        }
    }

    /// Branches to one place.
    fn branches(&mut self) {
        for left in (0..self.turns(1)).rev() {
            self.branch(self.imm + (left % 31) as i32, left as i64);
        }
    }

    /// Two ways that meet again, with something in between.
    fn diamonds(&mut self) {
        for turn in 0..self.turns(2) {
            self.branch(self.imm + (turn % 29) as i32, 1);
            self.insns.push(alu(AluOp::Add, Reg::R0, Operand::Imm(1 << (turn % 20))));
        }
    }

    /// Jumps back to one place.
    fn jumps_back(&mut self) {
        let start = self.insns.len();
        for turn in 0..self.turns(2) {
            self.insns.push(alu(AluOp::Add, self.reg, Operand::Imm(1)));
            self.branch(self.imm + turn as i32, self.back(start));
        }
    }

    /// Loops in loops, each with a counter.
    fn nested_loops(&mut self, counter: Reg) {
        let (start, depth) = (self.insns.len(), self.turns(4));
        self.insns.extend((0..depth).map(|_| mov(counter, Operand::Imm(0))));
        for head in (start..start + depth).rev() {
            self.insns.push(alu(AluOp::Add, counter, Operand::Imm(1)));
            let (op, width, src) = (CmpOp::Lt, Width::W64, Operand::Imm(2 + self.imm));
            let off = self.back(head) as i16;
            self.insns.push(Insn::Branch { op, width, dst: counter, src, off });
        }
    }

    /// Loops one after the other.
    fn loops(&mut self) {
        for _ in 0..self.turns(3) {
            self.insns.push(alu(AluOp::Xor, self.reg, Operand::Reg(Reg::R0)));
            self.insns.push(alu(AluOp::Add, Reg::R0, Operand::Reg(self.reg)));
            self.branch(self.imm, -3);
        }
    }

    /// Accesses through a number, or the argument.
    fn loads(&mut self, base: Reg) {
        for turn in 0..self.turns(1) {
            self.insns.push(load(Size::B, Reg::R3, base, (turn % 97) as i16 - self.imm as i16));
        }
    }

    /// Calls of functions.
    fn calls(&mut self, call: &mut impl FnMut(usize)) {
        for _ in 0..self.turns(2) {
            self.insns.push(mov(Reg::R1, Operand::Reg(self.reg)));
            call(self.insns.len());
            self.insns.push(Insn::Exit);
        }
    }

    /// Calls of a helper.
    fn helpers(&mut self, number: u32) {
        for turn in 0..self.turns(4) {
            self.insns.push(mov(Reg::R1, Operand::Reg(Reg::R10)));
            let off = -(self.imm + (turn % 200) as i32);
            self.insns.push(alu(AluOp::Add, Reg::R1, Operand::Imm(off)));
            self.insns.push(mov(Reg::R2, Operand::Reg(Reg::R1)));
            self.insns.push(Insn::Call(Call::Helper(number)));
        }
    }

    /// Copies, reads of the stack.
    fn copies(&mut self) {
        for turn in 0..self.turns(2) {
            self.insns.push(mov(Reg::R4, Operand::Reg(self.reg)));
            self.insns.push(load(Size::DW, Reg::R5, Reg::R10, -8 * (1 + (turn % 64) as i16)));
        }
    }

    /// Writes that may go anywhere.
    fn writes(&mut self) {
        for turn in 0..self.turns(2) {
            let (size, off, src) = (Size::DW, (turn % 64) as i16, Operand::Imm(1));
            self.insns.push(Insn::Store { size, base: self.reg, off, src });
            self.insns.push(load(Size::W, self.reg, Reg::R10, -8));
        }
    }

    fn arithmetic(&mut self, op: AluOp) {
        for turn in 0..self.turns(1) {
            self.insns.push(alu(op, self.reg, Operand::Imm(1 + (turn % 17) as i32)));
        }
    }
}
