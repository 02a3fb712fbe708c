//! Programs built to break verifiers. Each is answered within the caps on steps and memory, refused with a reason or admitted; none
//! has an access proved that can go wrong. (The step checker runs its own programs against what the verifier says.)

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/giants.rs"]
mod giants;
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux", not(ubpf_arch = "none")))]
#[path = "engines/pages.rs"]
mod pages;

use common::Nobody;
use counting::{HELD, MOST};
use std::fmt::Write;
use ubpf_rs::{
    helpers::{Helper, HelperFn, RegisterError, Registry},
    isa::{assemble, Insn},
    program::{Abi, ArgType, Cost, HelperSignature, Program, RetType},
    verifier::{self, Access, Event, Policy, VerifiedProgram, VerifyError, Work},
    vm::{Executable, Interpreter, Memory, Run, Stop, StopKind, STACK_BYTES},
};

/// Steps: both analyses, as `verifier::mod` has them.
fn steps(insns: usize, policy: Policy) -> usize {
    match policy {
        Policy::Checked => insns,
        Policy::Guarded => 72 * insns + 18_432,
        Policy::Strict => 128 * insns + 278_528,
    }
}

/// Verifies, and sees that the answer came within the caps.
fn verify(name: &str, insns: &[Insn], policy: Policy) -> Result<VerifiedProgram, VerifyError> {
    let helpers = Registry::with_builtins().unwrap();
    let program =
        Program { name: name.into(), insns: insns.to_vec(), entry: 0, abi: Abi::Classic, probing: Vec::new() };
    let mut taken = 0;
    let mut count = |event: Event<'_>| taken += usize::from(matches!(event, Event::Before { .. }));
    // The program itself counts.
    let before = HELD.get() - size_of_val(insns);
    MOST.set(HELD.get());
    let mut work = Work::default();
    let result =
        verifier::verify_observed(program, policy, &verifier::Environment::new(&helpers), &mut work, Some(&mut count));
    compile(name, result.as_ref().ok(), &mut work);
    let most = MOST.get() - before;
    assert!(taken <= steps(insns.len(), policy), "{name}, {policy:?}: {taken} steps");
    assert!(work.spent() <= Work::LIMIT, "{name}, {policy:?}: {} units", work.spent());
    let (counted, limit) = (work.most_bytes(), Work::BYTES);
    assert!(most <= limit && counted <= limit, "{name}, {policy:?}: {most} bytes, {counted} counted");
    if let Err(error) = &result {
        assert!(!matches!(error, VerifyError::NoMemory), "{name}");
        assert!(error.to_string().len() > 10, "{name}: {error}");
    }
    result
}

/// Compiles an admitted program on what is left of the account.
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux", not(ubpf_arch = "none")))]
fn compile(name: &str, program: Option<&VerifiedProgram>, work: &mut Work<'_>) {
    use ubpf_rs::jit::{JitError, JitProgram};
    let Some(program) = program else { return };
    // The copy stands for the program itself.
    let held = HELD.get();
    let copy = program.clone();
    HELD.set(held);
    match JitProgram::new(copy, &pages::Pages, Default::default(), work) {
        Ok(code) => drop(code),
        Err((error, _)) => assert!(matches!(error, JitError::TooComplex { .. }), "{name}: {error}"),
    }
    HELD.set(held);
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux", not(ubpf_arch = "none"))))]
fn compile(_: &str, _: Option<&VerifiedProgram>, _: &mut Work<'_>) {}

/// Runs an admitted program on an argument; a proved access must not be what stops it.
fn run(program: &VerifiedProgram, argument: &mut [u8]) -> Result<u64, Stop> {
    let helpers = Registry::with_builtins().unwrap();
    let mut stack = vec![0u64; STACK_BYTES / 8];
    // SAFETY: plain memory of that length, borrowed exclusively.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let len = argument.len() as u64;
    let memory = Memory::new(argument, stack);
    let mut run =
        Run { args: [memory.argument().base, len], memory, budget: 100_000, helpers: &helpers, host: &Nobody };
    let result = Interpreter::new(program.clone()).run(&mut run);
    if let Err(stop) = &result {
        let memory = matches!(stop.kind, StopKind::OutOfBounds { .. } | StopKind::Unaligned { .. });
        assert!(!memory || program.access(stop.pc) != Access::Proved, "{stop}");
    }
    result
}

#[test]
fn giants_are_answered_within_the_caps() {
    // A line of one operation costs as much as its length says: short ones will do.
    let giants = giants::giants().into_iter().map(|(name, insns)| (name.to_owned(), insns));
    for (name, insns) in giants.chain(giants::operations(500)) {
        let name = name.as_str();
        assert!(insns.len() <= giants::LARGEST, "{name}");
        for policy in [Policy::Checked, Policy::Guarded, Policy::Strict] {
            let result = verify(name, &insns, policy);
            if policy != Policy::Strict {
                let program = result.unwrap_or_else(|error| panic!("{name}: {error}"));
                let _ = run(&program, &mut [0xa5; 32]);
            }
        }
    }
}

/// What is wrong about a small program: the access at `pc` is not proved, strict says why, and guarded stops it or lets it be.
fn unproved(name: &str, source: &str, pc: usize, reason: &str) {
    let code = assemble(source).unwrap();
    let program = Program::from_flat(name, &code, Abi::Classic).unwrap();
    let error = verify(name, &program.insns, Policy::Strict).unwrap_err().to_string();
    assert!(error.contains(reason), "{name}: {error}");
    let admitted = verify(name, &program.insns, Policy::Guarded).unwrap();
    assert_eq!(admitted.access(pc), Access::Guarded, "{name}");
    for byte in [0, 1, 0x7f, 0x80, 0xff] {
        let _ = run(&admitted, &mut [byte; 32]);
        let mut argument = [byte; 32];
        argument[4..8].fill(!byte);
        let _ = run(&admitted, &mut argument);
    }
}

#[test]
fn pointers_that_overflow_are_not_proved() {
    let twice = "r3 = 0x7fffffffffffffff ll\nr1 += r3\nr1 += r3\nr0 = *(u64 *)(r1 + 1)\nexit";
    unproved("argument around the end", twice, 4, "memory access at PC 4");
    let huge = "r3 = r10\nr4 = 0x8000000000000000 ll\nr3 += r4\nr0 = *(u64 *)(r3 - 8)\nexit";
    unproved("half the address space", huge, 4, "through r3-8");
    let scaled = "r2 = *(u64 *)(r1 + 0)\nr2 <<= 56\nr3 = r10\nr3 -= r2\nr0 = *(u8 *)(r3 - 1)\nexit";
    unproved("a scaled index", scaled, 4, "through r3-1");
    let ends = "r2 = *(u16 *)(r1 + 0)\nr2 &= 511\nr3 = r10\nr3 -= r2\nr0 = *(u64 *)(r3 - 5)\nexit";
    unproved("the last bytes of the frame", ends, 4, "an offset from -512 to -8");
}

#[test]
fn spilled_pointers_do_not_outlive_a_write_to_a_part_of_them() {
    for (size, off) in
        [("u8", -8), ("u8", -1), ("u16", -7), ("u16", -9), ("u32", -4), ("u32", -11), ("u64", -15), ("u64", -1)]
    {
        let mut source = String::from("*(u64 *)(r10 - 8) = r10\n");
        if off == -1 && size == "u64" {
            // Beyond the frame: never done, so what follows cannot be either.
            continue;
        }
        let _ = write!(source, "*({size} *)(r10 - {}) = 66\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r3 - 16)\nexit", -off);
        unproved(&source, &source, 3, "through r3-16");
    }
    let atomic = "*(u64 *)(r10 - 8) = r10\nr4 = 1\nlock *(u32 *)(r10 - 4) += r4\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r3 - 1)\nexit";
    unproved("an atomic addition", atomic, 4, "through r3-1");
    let unknown = "*(u64 *)(r10 - 8) = r10\nr2 = *(u8 *)(r1 + 0)\nr2 &= 63\nr3 = r10\nr3 -= r2\n\
                   *(u8 *)(r3 - 1) = 7\nr4 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r4 - 1)\nexit";
    unproved("a write somewhere", unknown, 7, "through r4-1");
}

#[test]
fn halves_and_signs_say_nothing_of_the_rest() {
    let index =
        |check: &str| format!("r2 = *(u64 *)(r1 + 0)\n{check}r3 = r10\nr3 -= r2\nr0 = *(u8 *)(r3 - 1)\nr0 = 0\nexit");
    let cases = [
        ("the low half compared", "if w2 > 15 goto +3\n", 4),
        ("signed, below only", "if r2 s> 15 goto +3\n", 4),
        ("the low half, signed", "if w2 s> 15 goto +3\n", 4),
        ("equal in the low half", "if w2 != 5 goto +3\n", 4),
        ("a byte sign-extended", "r2 = (s8)r2\n", 4),
        ("a half sign-extended after a mask", "r2 &= 0xffff\nr2 = (s16)r2\n", 5),
        ("a word sign-extended after a mask of its sign", "w2 &= -2147483647\nr2 = (s32)r2\n", 5),
        ("an or in the low half", "w4 = 0\nr2 |= r4\n", 5),
        ("shifted by its width", "r4 = 64\nr2 >>= r4\n", 5),
        ("divided by zero", "r4 = 0\nr2 %= r4\n", 5),
        ("negated", "r2 &= 15\nr2 = -r2\n", 5),
        ("the least number divided by -1", "r4 = -1\nr2 s/= r4\n", 5),
        ("a difference that wraps", "r2 &= 15\nr2 -= 16\n", 5),
    ];
    for (name, check, pc) in cases {
        unproved(name, &index(check), pc, "through r3-1");
    }
}

/// On one way r3 is r6, shifted up and down again; on the other it is r7. What is then learnt of r3 says nothing of r6.
#[test]
fn ways_that_shift_different_numbers_are_not_taken_for_one() {
    let source = "r6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\nr8 = *(u8 *)(r1 + 8)\nr4 = r6\nr5 = r7\n\
                  if r8 == 0 goto +4\nr8 = 0\nr3 = r6\nr3 <<= 32\ngoto +2\nr3 = r7\nr3 <<= 32\nr3 >>= 32\n\
                  if r3 > 15 goto +3\nr4 = r10\nr4 -= r6\nr0 = *(u8 *)(r4 - 1)\nr0 = 0\nexit";
    unproved("one of two shifted", source, 16, "through r4-1");
}

#[test]
fn control_flow_that_nests_in_no_way_is_answered() {
    // A loop with two ways in.
    let irreducible = "r2 = *(u64 *)(r1 + 0)\nr3 = 0\nif r2 > 5 goto +1\nr3 += 1\nr2 >>= 1\nif r2 == 0 goto +1\n\
                       goto -4\nr0 = r3\nexit";
    let code = assemble(irreducible).unwrap();
    let program = Program::from_flat("irreducible", &code, Abi::Classic).unwrap();
    let error = verify("irreducible", &program.insns, Policy::Strict).map(|p| p.worst_cost());
    assert!(error.as_ref().is_ok_and(Option::is_some) || error.is_err());
    let admitted = verify("irreducible", &program.insns, Policy::Guarded).unwrap();
    assert!(run(&admitted, &mut [0xff; 32]).is_ok());
    // A loop that ends when the argument says so.
    let data = "r2 = *(u64 *)(r1 + 0)\nr0 = 0\nif r2 == 0 goto +3\nr0 += 1\nr2 += 3\ngoto -4\nexit";
    let program = Program::from_flat("data", &assemble(data).unwrap(), Abi::Classic).unwrap();
    let error = verify("data", &program.insns, Policy::Strict).unwrap_err();
    assert!(error.to_string().starts_with("loop at PC"), "{error}");
    let admitted = verify("data", &program.insns, Policy::Guarded).unwrap();
    assert_eq!(admitted.worst_cost(), None);
    let stop = run(&admitted, &mut [1; 32]).unwrap_err();
    assert_eq!(stop.kind, StopKind::BudgetExhausted);
}

/// The table of helpers grows in place, and what it outgrew stays small: 900 helpers, each with a table of its own, took 57 MB.
#[test]
fn hundreds_of_helpers_take_kilobytes() {
    const KEEP: isize = 256 << 10;
    let before = HELD.get();
    let mut registry: &'static Registry = Box::leak(Box::new(Registry::with_builtins().unwrap()));
    for number in 256..1024u32 {
        let helper = Helper {
            name: format!("helper{number}").leak(),
            signature: HelperSignature { args: [ArgType::Scalar; 5], ret: RetType::Scalar, cost: Cost::default() },
            function: HelperFn::Rust(|call| Ok(call.args[0])),
        };
        let numbers = [(Abi::Classic, number), (Abi::Linux, number)];
        if registry.add(helper, &numbers) == Err(RegisterError::Full) {
            registry = Box::leak(Box::new(registry.larger().unwrap()));
            registry.add(helper, &numbers).unwrap();
        }
        assert_eq!(registry.add(helper, &numbers), Err(RegisterError::NameTaken));
    }
    assert_eq!(registry.get(Abi::Linux, 999).unwrap().name, "helper999");
    assert!(registry.by_name("helper256").is_some() && registry.get(Abi::Uio, 999).is_none());
    let held = HELD.get().wrapping_sub(before) as isize;
    assert!(held < KEEP, "{held} bytes");
}
