//! Programs that call themselves or each other, in any direction: no engine executes more than it charges.

use crate::support::{program, Engines, World};
use std::fmt::Write;
use ubpf_rs::{
    helpers::Registry,
    isa::{assemble, decode, Insn},
    verifier::{self, Policy},
    vm::{Executable, Interpreter, Memory, Run, STACK_BYTES},
};

/// `f` does nothing much for a while, and calls `callees` as long as what is in r2, less one each time, is no less than `down_to`.
fn function(label: &str, filler: usize, callees: &[&str], down_to: u32) -> String {
    let mut text = format!("{label}: r6 = r2\nr6 += -1\nr3 = {down_to} ll\n");
    (0..filler).for_each(|_| text += "r4 = 1\n");
    let _ = writeln!(text, "if r6 < r3 goto end_{label}");
    for callee in callees {
        let _ = write!(text, "r2 = r6\ncall local {callee}\n");
    }
    let _ = write!(text, "end_{label}: r0 = 0\nexit\n");
    text
}

/// Each with its name. The numbers are beyond the lengths that an argument can have, so that the outermost call has to set one.
fn recursions() -> Vec<(&'static str, Vec<Insn>)> {
    const FROM: u32 = 0x8000_0000;
    let start = "if r2 > 2147483647 goto +2\nr2 = 0x80000006 ll\n";
    let outer = format!("{start}call local f\nexit\n");
    let itself = |filler, calls| outer.clone() + &function("f", filler, &vec!["f"; calls], FROM);
    // To slot 0: the check of r2 is part of the function.
    let entry = |filler, calls| {
        let body = function("f", filler, &vec!["main"; calls], FROM);
        format!("main: {start}{body}")
    };
    let pair = outer.clone() + &function("f", 2, &["g", "g"], FROM) + &function("g", 30, &["f", "g", "f"], FROM);
    let chain = outer.clone()
        + &function("f", 0, &["g"], FROM)
        + &function("g", 1, &["h", "f"], FROM)
        + &function("h", 50, &["f", "g", "h"], FROM);
    let texts = [
        ("calls slot 0 twice", entry(50, 2)),
        ("calls slot 0 three times", entry(1_400, 3)),
        ("calls slot 0 once", entry(3, 1)),
        ("calls itself twice", itself(50, 2)),
        ("calls itself five times", itself(0, 5)),
        ("two that call each other", pair),
        ("three in a circle", chain),
    ];
    let program = |text: &str| decode(&assemble(text).unwrap()).unwrap();
    texts.map(|(name, text)| (name, program(&text))).into()
}

/// Instructions that a run executes, and what it is charged.
fn executed(code: &Interpreter, registry: &Registry, budget: u64) -> (u64, u64) {
    let mut stack = [0u64; STACK_BYTES / 8];
    // SAFETY: plain memory of that length, borrowed exclusively.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let host = crate::support::TestHost::new(1);
    let mut run = Run { args: [0, 0], memory: Memory::new(&mut [], stack), budget, helpers: registry, host: &host };
    let mut steps = 0;
    let _ = code.run_watched(&mut run, &mut |_| steps += 1);
    (steps, budget - run.budget)
}

#[test]
fn what_a_recursion_executes_is_charged() {
    let mut world = World::new();
    for (name, insns) in recursions() {
        let engines = Engines::new(program(insns), &world.registry).unwrap();
        for budget in [80, 1_000, 65_536, 100_000_000] {
            let (steps, charged) = executed(&engines.interpreter, &world.registry, budget);
            assert!(steps <= charged, "{name}, {budget}: {steps} > {charged}");
            let outcome = engines.agree(&mut world, budget);
            assert_eq!(outcome.budget_left, budget - charged, "{name}, {budget}");
        }
    }
}

#[test]
fn a_recursion_is_charged_under_every_policy_that_takes_it() {
    let registry = crate::support::registry();
    for (name, insns) in recursions() {
        for policy in [Policy::Checked, Policy::Guarded, Policy::Strict] {
            let Ok(verified) = verifier::verify(
                program(insns.clone()),
                policy,
                &verifier::Environment::new(&registry),
                &mut verifier::Work::default(),
            ) else {
                continue;
            };
            let code = Interpreter::plain(verified);
            let (steps, charged) = executed(&code, &registry, 1_000_000);
            assert!(steps <= charged, "{name}, {policy:?}: {steps} > {charged}");
            assert!(code.verified().worst_cost().is_none_or(|cost| steps <= cost));
        }
    }
}
