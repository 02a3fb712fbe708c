//! Arguments longer than those for which proofs hold: every access is checked, and the budget is counted down.

use crate::support::{compile, listing, program, registry, TestHost, STYLES};
use std::{ptr, slice};
use ubpf_rs::{
    isa::{assemble, decode},
    verifier::{self, Policy, VerifiedProgram},
    vm::{Executable, Interpreter, Memory, Run, Stop, StopKind, STACK_BYTES},
};

/// Address space of the longest argument of the tests. It is only reserved: nothing in it is ever touched.
const RESERVED: usize = (1 << 31) + 4096;

struct Reserved(*mut libc::c_void);

impl Reserved {
    fn new() -> Reserved {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping replaces nothing.
        let at = unsafe { libc::mmap(ptr::null_mut(), RESERVED, access, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Reserved(at)
    }

    fn bytes(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= RESERVED);
        // SAFETY: zeroed memory of that length that belongs to this value, borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.0.cast(), len) }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody borrows it.
        unsafe { libc::munmap(self.0, RESERVED) };
    }
}

fn run(code: &dyn Executable, argument: &mut [u8], budget: u64) -> (Result<u64, Stop>, u64) {
    let (registry, host) = (registry(), TestHost::new(1));
    let mut stack = [0u64; STACK_BYTES / 8];
    // SAFETY: plain memory of that length, borrowed exclusively.
    let stack = unsafe { slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let len = argument.len() as u64;
    let memory = Memory::new(argument, stack);
    let mut run = Run { args: [memory.argument().base, len], memory, budget, helpers: &registry, host: &host };
    let result = code.run(&mut run);
    (result, run.budget)
}

fn verified(text: &str, policy: Policy) -> VerifiedProgram {
    let insns = decode(&assemble(text).unwrap()).unwrap();
    verifier::verify(program(insns), policy, &verifier::Environment::new(&registry()), &mut verifier::Work::default())
        .unwrap()
}

/// Every engine does the same; what that is.
fn everywhere(program: &VerifiedProgram, len: usize, budget: u64) -> (Result<u64, Stop>, u64) {
    let mut reserved = Reserved::new();
    let expected = run(&Interpreter::plain(program.clone()), reserved.bytes(len), budget);
    let quick = Interpreter::new(program.clone());
    assert_eq!(run(&quick, reserved.bytes(len), budget), expected);
    for (name, options) in STYLES {
        let code = compile(program.clone(), options);
        let found = run(&code, reserved.bytes(len), budget);
        assert_eq!(found, expected, "{name}, {len}\n{}", listing(program));
    }
    expected
}

/// Proved to take the short way with every argument that there can be, and without an end on the other one.
const NEVER_ENDS: &str = "if r2 > 2147483647 goto l\nr0 = 1\nexit\nl: r3 = 0\nm: r3 ^= 1\n\
                          if r3 == 5 goto out\ngoto m\nout: r0 = 2\nexit";

#[test]
fn a_run_that_the_proved_cost_is_not_about_is_metered() {
    for policy in [Policy::Guarded, Policy::Strict] {
        let program = verified(NEVER_ENDS, policy);
        let proved = program.worst_cost().unwrap();
        let (result, left) = everywhere(&program, (1 << 31) - 1, 1_000);
        assert_eq!((result, left), (Ok(1), 1_000 - proved));
        for len in [1 << 31, RESERVED] {
            let (result, _) = everywhere(&program, len, 1_000);
            assert_eq!(result.unwrap_err().kind, StopKind::BudgetExhausted);
        }
    }
}

#[test]
fn an_argument_that_is_too_short_for_the_proofs_is_metered() {
    let program = verified("r0 = *(u64 *)(r1 + 16)\nexit", Policy::Guarded);
    assert_eq!(program.argument_needed(), 24);
    assert_eq!(everywhere(&program, 24, 100).1, 97);
    let (result, left) = everywhere(&program, 23, 100);
    assert!(matches!(result.unwrap_err().kind, StopKind::OutOfBounds { .. }));
    assert_eq!(left, 97);
}
