//! Running a program with a host that answers nothing.
#![allow(dead_code, reason = "each test file uses a part")]

use ubpf_rs::{
    helpers::{Names, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps},
    platform::{Thread, Ticks},
    program::{Abi, Program},
    verifier::{self, Policy, VerifiedProgram, VerifyError},
    vm::{Executable, Interpreter, Memory, Run, StopKind, STACK_BYTES},
};

/// Bytes from hexadecimal digits; blanks do not count.
pub fn insns(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Verifies a classic program.
pub fn verify(bytes: &[u8], policy: Policy) -> Result<VerifiedProgram, VerifyError> {
    let program = Program::from_flat("test", bytes, Abi::Classic).unwrap();
    verifier::verify(
        program,
        policy,
        &verifier::Environment::new(&Registry::with_builtins().unwrap()),
        &mut verifier::Work::default(),
    )
}

/// What became of a run.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// r0, or where and why it stopped.
    pub result: Result<u64, (usize, StopKind)>,
    /// Budget left.
    pub left: u64,
}

/// Runs a classic program in the interpreter.
pub fn run(bytes: &[u8], argument: &mut [u8], budget: u64) -> Outcome {
    let program = verify(bytes, Policy::Guarded).unwrap();
    let helpers = Registry::with_builtins().unwrap();
    let mut stack = vec![0u64; STACK_BYTES / 8];
    let len = argument.len() as u64;
    // SAFETY: the words are plain memory of that size, borrowed for as long as the bytes are used.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let memory = Memory::new(argument, stack);
    let mut run = Run { args: [memory.argument().base, len], memory, budget, helpers: &helpers, host: &Nobody };
    let result = Interpreter::new(program).run(&mut run);
    Outcome { result: result.map_err(|stop| (stop.pc, stop.kind)), left: run.budget }
}

mod silent;

/// A host without map, symbols, clock or console.
pub struct Nobody;

impl TwoKeyMaps for Nobody {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Nothing
    }
}

impl TracedCall for Nobody {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Time for Nobody {
    fn now_ns(&self) -> u64 {
        0
    }
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}
