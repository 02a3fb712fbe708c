//! Compute programs on every engine beside native code, and what it takes to get a program ready.

use crate::{
    figure,
    peers::{self, Ready},
    stopwatch, Result,
};
use std::{cell::RefCell, sync::LazyLock};
use ubpf_platform_linux::CodeMemory;
use ubpf_rs::{
    helpers::{Names, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps},
    isa::assemble,
    jit::{JitProgram, Listing, Options, CODE_HEAP},
    platform::{Thread, Ticks},
    program::{Abi, Program},
    verifier::{self, Access, Policy, VerifiedProgram},
    vm::{Executable, Interpreter, Memory, Run, STACK_BYTES},
};

type Native = unsafe extern "C" fn(memory: *mut u8, length: u64) -> u64;

struct Variant {
    code: &'static [u8],
    gcc: Native,
    clang: Native,
}

struct Compiled {
    name: &'static str,
    /// Provable, unprovable.
    variants: [Variant; 2],
}

include!(concat!(env!("OUT_DIR"), "/programs.in"));

/// Bytes before the data, of the data, of room; as in `programs/bench.h`.
const HEADER: usize = 16;
const INPUT: usize = 4096;
const WORK: usize = 4096;
/// What programs of the unprovable variant take their limits from.
const SCALE: u32 = 1024;
/// Nanoseconds of one measurement, about.
const SPAN: f64 = 300_000.0;

static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::with_builtins().expect("there is memory at the start"));
static MEMORY: LazyLock<CodeMemory> = LazyLock::new(CodeMemory::new);

/// The programs call no helper.
struct NoHost;

impl TwoKeyMaps for NoHost {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Nothing
    }
}

impl Names for NoHost {
    fn symbol_address(&self, _: &[u8]) -> Option<u64> {
        None
    }
    fn trace_address(&self, _: &[u8]) -> Option<u64> {
        None
    }
}

impl Output for NoHost {
    fn notify(&self, _: u64) {}
    fn puts(&self, _: &[u8]) {}
    fn ring(&self) -> Option<RingLayout> {
        None
    }
}

impl ReadMemory for NoHost {
    fn probe_read(&self, _: u64, _: &mut [u8]) -> usize {
        0
    }
}

impl TracedCall for NoHost {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Threads for NoHost {
    fn thread(&self) -> Thread {
        Thread::ONLY
    }
    fn thread_name(&self, _into: &mut [u8]) -> usize {
        0
    }
}

impl Time for NoHost {
    fn now_ns(&self) -> u64 {
        0
    }
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}

struct Case<'a> {
    /// Engine and program, by which its figures are named.
    name: String,
    run: Ready<'a>,
    times: Vec<f64>,
    calls: u64,
}

/// The data: text with words, numbers and quotes; every fourth block of 64 bytes begins like a packet.
fn memory() -> Vec<u8> {
    let mut memory = vec![0; HEADER + INPUT + WORK];
    memory[..4].copy_from_slice(&SCALE.to_le_bytes());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let letters = b"etaoin shrdlu,cmf 0123456789 \"wyp\\vbgk\nETAOIN.qjxz";
    for byte in &mut memory[HEADER..HEADER + INPUT] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = letters[(state >> 33) as usize % letters.len()];
    }
    for (number, packet) in memory[HEADER..HEADER + INPUT].chunks_exact_mut(64).enumerate().step_by(2) {
        let tagged = number % 8 == 0;
        let mut head = vec![8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, if number % 3 == 0 { 6 } else { 17 }];
        if tagged {
            head.splice(0..0, [0x81, 0, 0, 7]);
        }
        packet[12..12 + head.len()].copy_from_slice(&head);
    }
    memory
}

fn verified(name: &str, code: &[u8], policy: Policy) -> Result<VerifiedProgram> {
    let program = Program::from_flat(name, code, Abi::Classic)?;
    verifier::verify(program, policy, &verifier::Environment::new(&*REGISTRY), &mut verifier::Work::default())
        .map_err(|error| format!("{name}: {error}").into())
}

fn jit(name: &str, code: &[u8], options: Options) -> Result<JitProgram> {
    let program = verified(name, code, Policy::Guarded)?;
    // As an engine has it: programs share the pages of the system's executable memory.
    JitProgram::new(program, CODE_HEAP.over(&*MEMORY), options, &mut verifier::Work::default())
        .map_err(|(error, _)| format!("{name}: {error}").into())
}

fn accesses(program: &VerifiedProgram, kind: Access) -> usize {
    (0..program.program().insns.len()).filter(|&pc| program.access(pc) == kind).count()
}

/// A stack for programs; hooks find theirs ready, too.
#[repr(align(16))]
struct Stack([u8; STACK_BYTES]);

fn run_on(code: &dyn Executable, memory: &mut [u8]) -> Result<u64> {
    thread_local!(static STACK: RefCell<Stack> = const { RefCell::new(Stack([0; STACK_BYTES])) });
    STACK.with_borrow_mut(|stack| run_with(code, memory, &mut stack.0))
}

fn run_with(code: &dyn Executable, memory: &mut [u8], stack: &mut [u8]) -> Result<u64> {
    let length = memory.len() as u64;
    let memory = Memory::new(memory, stack);
    let mut run = Run {
        args: [memory.argument().base, length],
        memory,
        budget: u64::MAX >> 1,
        helpers: &REGISTRY,
        host: &NoHost,
    };
    code.run(&mut run).map_err(|stop| format!("{stop}").into())
}

fn native<'a>(function: Native) -> Ready<'a> {
    Box::new(move |memory| {
        // SAFETY: the memory is as long as the programs of bench.h take for granted, and they touch nothing else.
        Ok(unsafe { function(memory.as_mut_ptr(), memory.len() as u64) })
    })
}

fn cases_of<'a>(program: &'a Compiled, cases: &mut Vec<Case<'a>>) -> Result<()> {
    let [provable, unprovable] = &program.variants;
    let name = program.name;
    let mut add = |engine: &str, run: Ready<'a>| {
        cases.push(Case { name: format!("{engine}.{name}"), run, times: Vec::new(), calls: 0 });
    };
    add("gcc", native(provable.gcc));
    add("clang", native(provable.clang));
    add("gcc-unprovable", native(unprovable.gcc));
    let all = Options { guard_all: true, ..Options::default() };
    let engines = [
        ("jit-proved", jit(name, provable.code, Options::default())?),
        ("jit-guarded", jit(name, provable.code, all)?),
        ("jit-unprovable", jit(name, unprovable.code, Options::default())?),
    ];
    for (engine, code) in engines {
        add(engine, Box::new(move |memory| run_on(&code, memory)));
    }
    let interpreter = Interpreter::new(verified(name, provable.code, Policy::Guarded)?);
    add("interp", Box::new(move |memory| run_on(&interpreter, memory)));
    for (engine, run) in peers::engines(provable.code)? {
        add(engine, run);
    }
    Ok(())
}

/// Of the programs: which are admitted under the strict policy, how many accesses are proved and guarded, how dense their code is.
fn census() -> Result<()> {
    let (mut insns, mut proved_bytes, mut guarded_bytes) = (0.0, 0.0, 0.0);
    for program in COMPILED {
        let [provable, unprovable] = &program.variants;
        let name = program.name;
        let strict = verified(name, provable.code, Policy::Strict).is_ok();
        figure(&format!("strict.{name}"), f64::from(u8::from(strict)));
        let known = verified(name, provable.code, Policy::Guarded)?;
        if accesses(&known, Access::Guarded) > 0 {
            return Err(format!("{name}: an access of the provable variant is not proved").into());
        }
        let unknown = verified(name, unprovable.code, Policy::Guarded)?;
        figure(&format!("guards.{name}"), accesses(&unknown, Access::Guarded) as f64);
        let all = Options { guard_all: true, ..Options::default() };
        insns += known.program().insns.len() as f64;
        proved_bytes += jit(name, provable.code, Options::default())?.code().len() as f64;
        guarded_bytes += jit(name, provable.code, all)?.code().len() as f64;
    }
    figure("density.proved", proved_bytes / insns);
    figure("density.guarded", guarded_bytes / insns);
    Ok(())
}

/// About `count` instructions as tracing programs have them: loads, stores, arithmetic, branches forward.
fn straight(count: usize) -> Result<Vec<u8>> {
    const BLOCK: &str = "r3 = *(u64 *)(r1 + 8)\nr3 += 7\nr3 ^= r4\nw5 = w3\nr5 &= 255\nif r5 > 100 goto +1\nr4 += r5\n\
                         *(u64 *)(r10 - 8) = r4\nr4 = *(u64 *)(r10 - 8)\nr0 += r4\n";
    let text = format!("r0 = 0\nr4 = 0\n{}exit\n", BLOCK.repeat(count / 10));
    assemble(&text).map_err(|error| format!("line {}: {}", error.line, error.problem).into())
}

/// The same as making a program ready, into plain memory: without what the system takes to map executable memory.
fn emits(code: &[u8]) -> bool {
    verified("p", code, Policy::Guarded).is_ok_and(|program| Listing::new(&program, Options::default()).is_some())
}

/// Microseconds to get programs of two lengths ready.
fn preparation(rounds: usize) -> Result<()> {
    for (label, count) in [("100", 97), ("4000", 3997)] {
        let code = straight(count)?;
        let repeats = 40_000 / count as u64 + 3;
        let mut steps: Vec<(&str, Vec<f64>)> = Vec::new();
        for _ in 0..rounds {
            let mut time = |name, work: &mut dyn FnMut()| {
                let each = stopwatch::per_call(repeats, |calls| (0..calls).for_each(|_| work())) / 1e3;
                match steps.iter_mut().find(|step| step.0 == name) {
                    Some(step) => step.1.push(each),
                    None => steps.push((name, vec![each])),
                }
            };
            let mut failures = 0;
            time("load", &mut || failures += usize::from(Program::from_flat("p", &code, Abi::Classic).is_err()));
            time("load+verify", &mut || failures += usize::from(verified("p", &code, Policy::Guarded).is_err()));
            time("load+verify+jit", &mut || failures += usize::from(jit("p", &code, Options::default()).is_err()));
            time("verify+emit", &mut || failures += usize::from(!emits(&code)));
            // Its compiler panics at the long one: it reserves too little memory.
            if count < 1000 {
                time("rbpf", &mut || failures += usize::from(peers::rbpf_ready(&code).is_err()));
            }
            #[cfg(feature = "ubpf")]
            time("ubpf", &mut || failures += usize::from(peers::ubpf_ready(&code).is_err()));
            if failures > 0 {
                return Err(format!("{failures} of the programs of {label} instructions were not made ready").into());
            }
        }
        for (name, times) in steps {
            figure(&format!("ready.{name}.{label}"), stopwatch::least(&times));
        }
    }
    Ok(())
}

/// Every engine gives what native code gives, before anything is measured.
fn check(cases: &[Case<'_>]) -> Result<()> {
    for program in COMPILED {
        let mut expected: Option<(u64, Vec<u8>)> = None;
        let of_program = |case: &&Case<'_>| case.name.split_once('.').is_some_and(|name| name.1 == program.name);
        for case in cases.iter().filter(of_program) {
            let mut memory = memory();
            let value = (case.run)(&mut memory).map_err(|error| format!("{}: {}", case.name, error.0))?;
            let (wanted, contents) = expected.get_or_insert((value, memory.clone()));
            if (value, &memory) != (*wanted, contents) {
                return Err(
                    format!("{} gives {value:#x}, native code {wanted:#x}, or leaves other memory", case.name).into()
                );
            }
        }
    }
    Ok(())
}

/// One sample of everything: the least of `rounds` in turns.
pub fn run(rounds: usize) -> Result<()> {
    census()?;
    let mut cases = Vec::new();
    COMPILED.iter().try_for_each(|program| cases_of(program, &mut cases))?;
    check(&cases)?;
    let mut memory = memory();
    let mut failed = 0;
    let mut batch = |case: &Case<'_>, calls: u64| {
        for _ in 0..calls {
            failed += usize::from((case.run)(&mut memory).is_err());
        }
    };
    for case in &mut cases {
        case.calls = stopwatch::calls_for(SPAN, |calls| batch(case, calls));
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let time = stopwatch::per_call(case.calls, |calls| batch(case, calls));
            case.times.push(time);
        }
    }
    if failed > 0 {
        return Err(format!("{failed} runs were stopped").into());
    }
    for case in &cases {
        figure(&case.name, stopwatch::least(&case.times));
    }
    preparation(rounds)
}
