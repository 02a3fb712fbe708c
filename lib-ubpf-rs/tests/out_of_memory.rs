//! Memory runs out at the first, the second, … the last allocation: each time there is an error and nothing else.

mod common;

use common::Nobody;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use ubpf_rs::{
    helpers::Registry,
    isa::{assemble, decode, encode},
    maps::TwoKeyMap,
    program::{Abi, Program},
    runtime::SymbolTable,
    verifier::{self, Policy},
    vm::{Executable, Interpreter, Memory, Run, STACK_BYTES},
};

/// Fails every allocation of this thread from number `FAIL_FROM` on.
struct Failing;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

fn fails() -> bool {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    left == 0
}

// SAFETY: what is not refused is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Does `job` with one allocation more before memory runs out, until it succeeds; gives the number of failures.
fn at_every_allocation<T, E: std::fmt::Debug>(job: impl Fn() -> Result<T, E>, is_memory: impl Fn(&E) -> bool) -> u64 {
    for allocations in 0.. {
        LEFT.set(allocations);
        let result = job();
        LEFT.set(u64::MAX);
        match result {
            Ok(_) => return allocations,
            Err(error) => assert!(is_memory(&error), "{error:?} after {allocations}"),
        }
    }
    0
}

/// Says whether an error is that of memory.
fn is_memory<E: std::fmt::Display>(error: &E) -> bool {
    error.to_string().contains("out of memory")
}

const SOURCE: &str = "
    r6 = r1
    r0 = 0
    r7 = 10
loop: r7 -= 1
    *(u64 *)(r10 - 8) = r7
    r1 = r7
    call local f
    if r7 != 0 goto loop
    r0 = r3
    exit
f:  r2 = 0x1122334455667788 ll
    call 0
    exit
";

#[test]
fn the_registry_of_helpers() {
    let failures = at_every_allocation(Registry::with_builtins, is_memory);
    assert!(failures > 0);
}

#[test]
fn the_two_key_map() {
    let make = || TwoKeyMap::new(64).ok_or(());
    assert!(at_every_allocation(make, |()| true) > 0);
}

#[test]
fn assembling_decoding_and_encoding() {
    assert!(at_every_allocation(|| assemble(SOURCE), is_memory) > 0);
    let bytes = assemble(SOURCE).unwrap();
    assert!(at_every_allocation(|| decode(&bytes), is_memory) > 0);
    let insns = decode(&bytes).unwrap();
    assert!(at_every_allocation(|| encode(&insns), is_memory) > 0);
}

#[test]
fn loading_and_verifying() {
    let bytes = assemble(SOURCE).unwrap();
    let load = || Program::from_flat("name", &bytes, Abi::Classic);
    assert!(at_every_allocation(load, is_memory) > 0);
    let helpers = Registry::with_builtins().unwrap();
    for policy in [Policy::Checked, Policy::Guarded] {
        // A program is taken by value, so that one is needed for each try.
        let programs = std::cell::RefCell::new(vec![load().unwrap(); 2000]);
        let verify = || {
            let program = programs.borrow_mut().pop().unwrap();
            verifier::verify(program, policy, &verifier::Environment::new(&helpers), &mut verifier::Work::default())
        };
        assert!(at_every_allocation(verify, is_memory) > 0);
    }
}

#[test]
fn running_allocates_nothing() {
    let helpers = Registry::with_builtins().unwrap();
    let program = Program::from_flat("name", &assemble(SOURCE).unwrap(), Abi::Classic).unwrap();
    let program = verifier::verify(
        program,
        Policy::Guarded,
        &verifier::Environment::new(&helpers),
        &mut verifier::Work::default(),
    )
    .unwrap();
    let code = Interpreter::new(program);
    let mut stack = vec![0u64; STACK_BYTES / 8];
    // SAFETY: the words are plain memory of that size, borrowed for as long as the bytes are used.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let mut run =
        Run { args: [0, 0], memory: Memory::new(&mut [], stack), budget: 10_000, helpers: &helpers, host: &Nobody };
    LEFT.set(0);
    let result = code.run(&mut run);
    LEFT.set(u64::MAX);
    assert_eq!(result, Ok(0));
}

#[test]
fn reading_symbols() {
    let text = b"0000000000001000 T main\n0000000000002000 t helper\n";
    let failures = at_every_allocation(|| SymbolTable::from_nm(text), is_memory);
    assert!(failures > 2);
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux", not(ubpf_arch = "none")))]
#[path = "engines/pages.rs"]
mod pages;

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux", not(ubpf_arch = "none")))]
#[test]
fn compiling() {
    use ubpf_rs::jit::{JitProgram, Options};
    let helpers = Registry::with_builtins().unwrap();
    let program = Program::from_flat("name", &assemble(SOURCE).unwrap(), Abi::Classic).unwrap();
    let program = verifier::verify(
        program,
        Policy::Guarded,
        &verifier::Environment::new(&helpers),
        &mut verifier::Work::default(),
    )
    .unwrap();
    // A refusal gives the program back.
    let kept = Cell::new(Some(program));
    let compile = || {
        let program = kept.take().unwrap();
        JitProgram::new(program, &pages::Pages, Options::default(), &mut verifier::Work::default()).map_err(
            |(error, program)| {
                kept.set(Some(program));
                error
            },
        )
    };
    assert!(at_every_allocation(compile, is_memory) > 0);
}
