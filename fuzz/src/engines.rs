//! Every engine on the same program: the interpreter, machine code that relies on the proofs, machine code that checks every
//! access, machine code for any x86-64. Fails when result, memory, output, budget left, or reason or place of a stop differ, or when
//! what was executed, helpers included, weighs more than what was charged.
#![no_main]

mod input;
#[path = "../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;
#[allow(dead_code, reason = "parts are for other tests")]
#[path = "../../lib-ubpf-rs/tests/engines/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use support::{listing, program_that_probes, Engines, World};
use ubpf_rs::{
    verifier::VerifiedProgram,
    vm::{executed, soundness::Numbers, Executable, Interpreter, Run, Slices, Stop},
};

/// The reference, which sums up what it executes.
struct Weighed<'e> {
    interpreter: &'e Interpreter,
    executed: AtomicU64,
}

impl Executable for Weighed<'_> {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        executed::take();
        let mut weight = 0;
        let result = self.interpreter.run_watched(run, &mut |moment| {
            weight += self.verified().insn_charge(moment.pc);
        });
        self.executed.store(weight + executed::take(), Relaxed);
        result
    }
    fn run_in_slices(&self, run: &mut Run<'_>, _: Slices<'_>) -> Result<u64, Stop> {
        self.run(run)
    }
    fn verified(&self) -> &VerifiedProgram {
        self.interpreter.verified()
    }
    fn engine(&self) -> &'static str {
        self.interpreter.engine()
    }
    fn interprets(&self, run: &Run<'_>, in_slices: bool) -> bool {
        self.interpreter.interprets(run, in_slices)
    }
}

/// What was charged pays for what was executed.
fn weigh(engines: &Engines, world: &mut World, budget: u64) {
    let weighed = Weighed { interpreter: &engines.interpreter, executed: AtomicU64::new(0) };
    let charged = budget - world.run(&weighed, budget).budget_left;
    let executed = weighed.executed.load(Relaxed);
    assert!(executed <= charged, "{executed} executed, {charged} charged\n{}", listing(weighed.verified()));
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    let budget = numbers.pick(&[2000, 300, 40, 20_000]);
    let length = numbers.pick(&[61, 64, 16, 0]);
    let Some(insns) = input::instructions(&mut numbers) else {
        return;
    };
    WORLD.with_borrow_mut(|world| {
        world.argument_len = length;
        let Ok(engines) = Engines::new(program_that_probes(insns), &world.registry) else {
            return;
        };
        let full = engines.agree(world, budget);
        weigh(&engines, world, budget);
        // A stop somewhere on the way too.
        let used = budget - full.budget_left;
        let less = numbers.below(used + 1);
        engines.agree(world, less);
        weigh(&engines, world, less);
    });
});
