//! Runs one program on several engines over the same memory and compares everything that can be seen from outside.

use crate::pages::Pages;
use std::cell::Cell;
use ubpf_rs::{
    helpers::{
        Helper, HelperFn, Names, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey,
        TwoKeyMaps,
    },
    isa::{encode, Insn},
    jit::{Ahead, JitProgram, LinkedProgram, Options},
    maps::TwoKeyMap,
    platform::{ExecMemory, Thread, Ticks},
    program::{Abi, ArgType, Cost, HelperSignature, Program, RetType},
    tracer::{RecordKind, Ring},
    verifier::{self, Policy, VerifiedProgram, VerifyError},
    vm::{Executable, Interpreter, Memory, Run, Stop, STACK_BYTES},
};

/// What a helper call leaves behind: a map, and a record of what was said. Time stands still, unless it is given ticks.
pub struct TestHost {
    map: TwoKeyMap,
    ring: Ring,
    ticks: Ticks,
}

impl TestHost {
    pub fn new(capacity: usize) -> TestHost {
        TestHost {
            map: TwoKeyMap::new(capacity).unwrap(),
            // The smallest there is, so that it overflows.
            ring: Ring::new(0).unwrap(),
            ticks: Ticks { start: 0, scale: 0 },
        }
    }

    pub fn with_output(ring: Ring, ticks: Ticks) -> TestHost {
        TestHost { ring, ticks, ..TestHost::new(1) }
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    pub fn map(&self) -> &TwoKeyMap {
        &self.map
    }
}

impl TwoKeyMaps for TestHost {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Map(&self.map)
    }
}

impl Names for TestHost {
    fn symbol_address(&self, name: &[u8]) -> Option<u64> {
        (name == b"known").then_some(0x1234)
    }
    fn trace_address(&self, name: &[u8]) -> Option<u64> {
        (name == b"known").then_some(0x1239)
    }
}

impl Output for TestHost {
    fn notify(&self, address: u64) {
        self.ring.push_notify(self.now_ns(), address);
    }
    fn puts(&self, text: &[u8]) {
        self.ring.push_text(self.now_ns(), text);
    }
    fn ring(&self) -> Option<RingLayout> {
        Some(self.ring.layout())
    }
}

impl ReadMemory for TestHost {
    /// Half of all memory can be read.
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        let word = address.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes();
        dst.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        if address & 16 == 0 {
            dst.len()
        } else {
            0
        }
    }
}

impl TracedCall for TestHost {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Time for TestHost {
    fn now_ns(&self) -> u64 {
        // SAFETY: every 64-bit CPU has a TSC.
        self.ticks.ns(unsafe { std::arch::x86_64::_rdtsc() })
    }
    fn ticks(&self) -> Option<Ticks> {
        Some(self.ticks)
    }
}

impl Threads for TestHost {
    fn thread(&self) -> Thread {
        Thread::ONLY
    }
    fn thread_name(&self, _into: &mut [u8]) -> usize {
        0
    }
}

thread_local! {
    static ARENA: Cell<u64> = const { Cell::new(0) };
}

/// Helper 100: address of the arena; disturbs every register that a C function may.
extern "C" fn arena(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    ARENA.get()
}

/// Helper 101: all its arguments in one number.
extern "C" fn mix(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
    [b, c, d, e].iter().fold(a, |sum, &x| sum.rotate_left(7) ^ x)
}

pub fn registry() -> Registry {
    let registry = Registry::with_builtins().unwrap().larger().unwrap();
    let cost = Cost { base: 9, per_8_bytes: 2, walk: 0 };
    for (name, number, function) in [("arena", 100, arena as _), ("mix", 101, mix as _)] {
        let signature = HelperSignature { args: [ArgType::Scalar; 5], ret: RetType::Scalar, cost };
        let helper = Helper { name, signature, function: HelperFn::C(function) };
        registry.add(helper, &[(Abi::Classic, number), (Abi::Uio, number)]).unwrap();
    }
    let args = [ArgType::MemWrite, ArgType::Length, ArgType::Unused, ArgType::Unused, ArgType::Unused];
    let signature = HelperSignature { args, ret: RetType::Scalar, cost };
    let helper = Helper { name: "touch", signature, function: HelperFn::C(touch) };
    registry.add(helper, &[(Abi::Classic, 102)]).unwrap();
    registry
}

/// Helper 102: writes a byte at the start and at the end of the memory it is given.
extern "C" fn touch(at: u64, len: u64, _: u64, _: u64, _: u64) -> u64 {
    if len == 0 {
        return 0;
    }
    // SAFETY: the engine checked that the program may write all of it.
    unsafe {
        *(at as *mut u8) = 0xaa;
        *((at + len - 1) as *mut u8) = 0xbb;
    }
    len
}

pub fn program(insns: Vec<Insn>) -> Program {
    Program { name: "test".into(), insns, entry: 0, abi: Abi::Classic, probing: Vec::new() }
}

/// The same, with every fourth load from the application's memory where it is not from the program's.
#[allow(dead_code, reason = "not for every test")]
pub fn program_that_probes(insns: Vec<Insn>) -> Program {
    let loads = (0..).zip(&insns).filter(|(pc, insn)| pc % 4 == 3 && matches!(insn, Insn::Load { .. }));
    let probing = loads.map(|(pc, _)| pc).collect();
    Program { probing, ..program(insns) }
}

/// Memory of a run at addresses that stay the same from run to run.
pub struct World {
    argument: Vec<u64>,
    pub argument_len: usize,
    stack: Vec<u64>,
    arena: Vec<u64>,
    rodata: Vec<u64>,
    pub registry: Registry,
}

/// All that can be seen of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub result: Result<u64, Stop>,
    pub budget_left: u64,
    argument: Vec<u64>,
    stack: Vec<u64>,
    arena: Vec<u64>,
    said: Vec<(u64, RecordKind, Vec<u8>)>,
    unsaid: u64,
    map: Vec<(u64, u64, u64)>,
}

fn pattern(words: &mut [u64], seed: u64) {
    for (i, word) in words.iter_mut().enumerate() {
        *word = (i as u64 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

fn bytes(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: plain memory of that length, borrowed exclusively.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

impl World {
    pub fn new() -> World {
        World {
            argument: vec![0; 8],
            argument_len: 61,
            stack: vec![0; STACK_BYTES / 8],
            arena: vec![0; 32],
            rodata: vec![0; 4],
            registry: registry(),
        }
    }

    /// Address of the constant data.
    pub fn rodata(&self) -> u64 {
        self.rodata.as_ptr() as u64
    }

    pub fn run(&mut self, code: &dyn Executable, budget: u64) -> Outcome {
        pattern(&mut self.argument, 1);
        pattern(&mut self.arena, 1000);
        pattern(&mut self.rodata, 2000);
        self.stack.fill(0);
        let host = TestHost::new(64);
        host.map.put(1, 2, 3).unwrap();
        ARENA.set(self.arena.as_ptr() as u64);
        let argument = &mut bytes(&mut self.argument)[..self.argument_len];
        let memory = Memory::new(argument, bytes(&mut self.stack));
        let (arena, rodata) = (self.arena.as_mut_ptr() as u64, self.rodata.as_ptr() as u64);
        // SAFETY: both outlive the run, and nothing else touches them meanwhile.
        let memory = unsafe { memory.with_arena(arena, 256).with_rodata(rodata, 32) };
        let args = [memory.argument().base, self.argument_len as u64];
        let mut run = Run { args, memory, budget, helpers: &self.registry, host: &host };
        let result = code.run(&mut run);
        let budget_left = run.budget;
        drop(run);
        let mut map = Vec::new();
        host.map.for_each(|a, b, c| map.push((a, b, c)));
        map.sort_unstable();
        let mut said = Vec::new();
        host.ring.drain(&mut |r| said.push((r.sequence, r.kind, r.text().to_vec())));
        Outcome {
            result,
            budget_left,
            argument: self.argument.clone(),
            stack: self.stack.clone(),
            arena: self.arena.clone(),
            said,
            unsaid: host.ring.lost(),
            map,
        }
    }
}

/// One program on every engine.
pub struct Engines {
    /// Instruction by instruction: what the others are compared with.
    pub interpreter: Interpreter,
    quick: Interpreter,
    pub compiled: Vec<(&'static str, JitProgram)>,
}

pub const STYLES: [(&str, Options); 4] = [
    ("proved", Options { guard_all: false, baseline: false, metered: false }),
    ("all guarded", Options { guard_all: true, baseline: false, metered: false }),
    ("baseline", Options { guard_all: false, baseline: true, metered: false }),
    ("metered", Options { guard_all: false, baseline: false, metered: true }),
];

pub fn compile(verified: VerifiedProgram, options: Options) -> JitProgram {
    JitProgram::new(verified, &Pages, options, &mut verifier::Work::default())
        .unwrap_or_else(|(error, _)| panic!("{error}"))
}

/// The program as an image has it that was linked with what `ubpf aot` writes. What it consists of stays for ever.
fn linked(verified: VerifiedProgram) -> JitProgram {
    let bytecode: &'static [u8] = encode(&verified.program().insns).unwrap().leak();
    let options = Options { baseline: true, ..Options::default() };
    let ahead = Ahead::new(&verified, bytecode, options).unwrap();
    let words = |bytes: &[u8]| -> &'static mut [u64] {
        let word = |part: &[u8]| {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            u64::from_le_bytes(word)
        };
        bytes.chunks(8).map(word).collect::<Vec<_>>().leak()
    };
    let block = Pages.alloc(ahead.code.len()).unwrap();
    // SAFETY: the block is open and long enough.
    unsafe {
        let to = block.write as *mut u8;
        std::ptr::copy_nonoverlapping(ahead.code.as_ptr(), to, ahead.code.len());
    }
    assert!(Pages.seal(block));
    let (sites, entry) = (words(&ahead.sites), words(&ahead.entry));
    let name = verified.program().name.clone().leak();
    for (offset, at) in [
        (Ahead::NAME, name.as_ptr() as u64),
        (Ahead::BYTECODE, bytecode.as_ptr() as u64),
        (Ahead::CODE, block.exec as u64),
        (Ahead::SITES, sites.as_ptr() as u64),
    ] {
        entry[offset as usize / 8] = at;
    }
    // SAFETY: an entry as the linker would have made it.
    let record = unsafe { &*entry.as_ptr().cast::<LinkedProgram>() };
    assert!(record.is_known());
    JitProgram::linked(verified, record).unwrap()
}

impl Engines {
    /// With code that was compiled ahead of time too.
    pub fn with_linked(mut self) -> Engines {
        let verified = self.interpreter.verified().clone();
        self.compiled.push(("ahead of time", linked(verified)));
        self
    }

    pub fn new(program: Program, registry: &Registry) -> Result<Engines, VerifyError> {
        let verified = verifier::verify(
            program,
            Policy::Guarded,
            &verifier::Environment::new(registry),
            &mut verifier::Work::default(),
        )?;
        let compiled = STYLES.map(|(name, options)| (name, compile(verified.clone(), options)));
        Ok(Engines {
            interpreter: Interpreter::plain(verified.clone()),
            quick: Interpreter::new(verified),
            compiled: compiled.into(),
        })
    }

    /// Runs all of them with `budget`; what came out, the same everywhere.
    pub fn agree(&self, world: &mut World, budget: u64) -> Outcome {
        let expected = world.run(&self.interpreter, budget);
        let compiled = self.compiled.iter();
        let compiled = compiled.map(|(name, code)| (*name, code as &dyn Executable));
        let quick = ("interpreted quickly", &self.quick as &dyn Executable);
        for (name, code) in compiled.chain([quick]) {
            let found = world.run(code, budget);
            assert!(
                found == expected,
                "{name}, budget {budget}\ninterpreter: {:?}, left {}\nit: {:?}, left {}\n{}\n{}",
                expected.result,
                expected.budget_left,
                found.result,
                found.budget_left,
                difference(&expected, &found),
                listing(self.interpreter.verified()),
            );
        }
        expected
    }

    /// Runs all of them with every budget from none to the one that suffices, at most `limit` different ones.
    pub fn agree_at_every_budget(&self, world: &mut World, most: u64, limit: u64) -> Outcome {
        let full = self.agree(world, most);
        let used = most - full.budget_left;
        for budget in (0..=used).take(limit as usize) {
            self.agree(world, budget);
        }
        full
    }
}

fn difference(a: &Outcome, b: &Outcome) -> String {
    let mut text = String::new();
    for (name, a, b) in
        [("argument", &a.argument, &b.argument), ("stack", &a.stack, &b.stack), ("arena", &a.arena, &b.arena)]
    {
        for (i, (x, y)) in a.iter().zip(b).enumerate().filter(|(_, (x, y))| x != y) {
            text += &format!("{name}[{i}]: {x:#x}, {y:#x}\n");
        }
    }
    if a.map != b.map || a.said != b.said {
        text += &format!("map or output: {:?} {:?}\n{:?} {:?}\n", a.map, a.said, b.map, b.said);
    }
    text
}

pub fn listing(program: &VerifiedProgram) -> String {
    let insns = program.program().insns.iter().enumerate();
    let lines = insns.filter(|(_, insn)| !matches!(insn, Insn::WideTail));
    lines.map(|(pc, insn)| format!("{pc:4}: {insn}\n")).collect()
}

/// Runs code without an argument, over a map that others use meanwhile.
pub fn run_on(host: &TestHost, registry: &Registry, code: &dyn Executable) -> Result<u64, Stop> {
    let mut stack = [0; STACK_BYTES / 8];
    let memory = Memory::new(&mut [], bytes(&mut stack));
    let mut run = Run { args: [0, 0], memory, budget: 10_000, helpers: registry, host };
    code.run(&mut run)
}
