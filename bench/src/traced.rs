//! What programs take that ask what they run at: runs as at a traced function, beneath a stack of the bench's own.

use crate::{figure, stacks, stopwatch, Result};
use std::{sync::Arc, time::Instant};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    helpers::{Names, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps},
    isa::assemble,
    jit::{JitProgram, Options},
    maps::{InUse, Map, Maps},
    platform::{Platform, Thread, Ticks, Walk},
    program::{limits::MOST_FRAMES, Abi, MapDef, MapFlags, MapKind, MapName, Program},
    verifier::{self, Environment, Policy, VerifiedProgram, Work},
    vm::{Executable, Interpreter, Memory, Run, STACK_BYTES},
};

/// Surroundings that know of a call and its stack, and of little else.
struct Beneath {
    platform: Platform,
    walk: Walk,
}

impl TwoKeyMaps for Beneath {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Nothing
    }
}

impl Names for Beneath {
    fn symbol_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    fn trace_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
}

impl Output for Beneath {
    fn notify(&self, _address: u64) {}
    fn puts(&self, _text: &[u8]) {}
    fn ring(&self) -> Option<RingLayout> {
        None
    }
}

impl ReadMemory for Beneath {
    fn probe_read(&self, address: u64, dst: &mut [u8]) -> usize {
        self.platform.probe_read.read(address, dst)
    }
}

impl Time for Beneath {
    fn now_ns(&self) -> u64 {
        self.platform.clock.now_ns()
    }
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}

impl TracedCall for Beneath {
    fn traced(&self) -> Option<Traced> {
        Some(Traced { start: 0x40_1000, arguments: Some([7; 6]), argument_count: 6, result: Some(7), cookie: 7 })
    }
    fn stack(&self, out: &mut [u64]) -> usize {
        self.platform.probe_read.walk(&self.walk, out)
    }
}

impl Threads for Beneath {
    fn thread(&self) -> Thread {
        self.platform.cpu.running()
    }
    fn thread_name(&self, into: &mut [u8]) -> usize {
        self.platform.cpu.running_name(into)
    }
}

/// Bytes of a trace as long as it can be, which is what the programs have as their argument.
const TRACE: usize = 8 * MOST_FRAMES;
/// Calls in a round of a program, and rounds.
const CALLS: usize = 16;
const ROUNDS: u64 = 20;
/// A page, in words: frames so far apart are read one by one.
const PAGE: usize = 512;

/// A call, by its name, with the words from each frame to the next.
const CASES: [(&str, usize, &str); 8] = [
    ("func_ip", stacks::APART, "call 173\n"),
    ("func_arg", stacks::APART, "r2 = 3\nr3 = r7\ncall 183\n"),
    ("func_ret", stacks::APART, "r2 = r7\ncall 184\n"),
    ("stackid", stacks::APART, "r2 = map_index(0) ll\nr3 = 0\ncall 27\n"),
    ("stackid_by_hash", stacks::APART, "r2 = map_index(0) ll\nr3 = 512\ncall 27\n"),
    ("stackid_far", PAGE, "r2 = map_index(0) ll\nr3 = 0\ncall 27\n"),
    ("stack", stacks::APART, "r2 = r7\nr3 = 1016\nr4 = 0\ncall 67\n"),
    ("stack_far", PAGE, "r2 = r7\nr3 = 1016\nr4 = 0\ncall 67\n"),
];

fn maps() -> Result<Arc<Maps>> {
    let name = MapName::new("stacks").ok_or("a name")?;
    let (value_size, max_entries, flags) = (TRACE as u32, 64, MapFlags::empty());
    let def = MapDef { kind: MapKind::StackTrace, key_size: 4, value_size, max_entries, flags, inner: None, name };
    let map = Map::new(def).map_err(|error| error.to_string())?;
    Ok(Maps::new([Arc::new(map)].into()).map(Arc::new).ok_or("no room for maps")?)
}

/// The program that makes this call again and again: its counter comes from memory, so that it is charged as it runs.
fn verified(body: &str, helpers: &Registry, maps: &Maps) -> Result<VerifiedProgram> {
    let body = body.repeat(CALLS);
    let text =
        format!("r7 = r1\nr6 = r2\nr6 -= {}\nloop:\n{body}r6 -= 1\nif r6 != 0 goto loop\nexit", TRACE as u64 - ROUNDS);
    let code = assemble(&text).map_err(|error| format!("line {}: {}", error.line, error.problem))?;
    let program = Program::from_flat("stacks", &code, Abi::Linux)?;
    let infos = maps.infos().ok_or("no room for what is known of maps")?;
    let environment = Environment::new(helpers).with_maps(&infos);
    Ok(verifier::verify(program, Policy::Guarded, &environment, &mut Work::default())?)
}

/// The time of one run, the shortest of so many, and what it was charged.
fn least(code: &dyn Executable, helpers: &Registry, maps: &Maps, host: &Beneath, passes: usize) -> Result<(f64, u64)> {
    const BUDGET: u64 = u64::MAX >> 1;
    let (mut argument, mut stack) = (vec![0u64; MOST_FRAMES], vec![0u64; STACK_BYTES / 8]);
    let (mut times, mut charged) = (Vec::new(), 0);
    for _ in 0..passes {
        let memory = Memory::new(bytes(&mut argument), bytes(&mut stack)).with_maps(maps);
        let args = [memory.argument().base, TRACE as u64];
        let mut run = Run { args, memory, budget: BUDGET, helpers, host };
        let begin = Instant::now();
        code.run(&mut run).map_err(|stop| format!("{:?}", stop.kind))?;
        times.push(begin.elapsed().as_nanos() as f64);
        charged = BUDGET - run.budget;
    }
    Ok((stopwatch::least(&times), charged))
}

/// The bytes of words.
fn bytes(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: bytes have no alignment and no values that are none; as many as there are in the words.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

/// All calls, on both engines.
pub fn run(passes: usize) -> Result<()> {
    let (helpers, platform) = (Registry::with_builtins()?, platform(".".into()));
    let memory = platform.exec.ok_or("there is no executable memory")?;
    for (name, apart, body) in CASES {
        let maps = maps()?;
        let _in_use = InUse::new(maps.clone());
        let stack = stacks::stack(apart);
        let host = Beneath { platform, walk: stacks::walk(&stack) };
        let interpreted = Interpreter::new(verified(body, &helpers, &maps)?);
        let (program, bound) = (verified(body, &helpers, &maps)?, Some(maps.clone()));
        let compiled = JitProgram::with_maps(program, bound, memory, Options::default(), &mut Work::default())
            .map_err(|(error, _)| error.to_string())?;
        for (engine, code) in [("jit", &compiled as &dyn Executable), ("interp", &interpreted)] {
            let (time, charged) = least(code, &helpers, &maps, &host, passes)?;
            figure(&format!("charge.{engine}.{name}"), time / charged as f64);
            figure(&format!("charge-ns.{engine}.{name}"), time / (ROUNDS * CALLS as u64) as f64);
        }
    }
    Ok(())
}
