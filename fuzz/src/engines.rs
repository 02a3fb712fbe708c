//! Every engine on the same program: the interpreter, machine code that relies on the proofs, machine code that checks every
//! access, machine code for any x86-64. Fails when result, memory, output, budget left, or reason or place of a stop differ.
#![no_main]

mod input;
#[path = "../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;
#[allow(dead_code, reason = "parts are for other tests")]
#[path = "../../lib-ubpf-rs/tests/engines/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use support::{program, Engines, World};
use ubpf_rs::vm::soundness::Numbers;

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    let budget = numbers.pick(&[2000, 300, 40, 2000]);
    let length = numbers.pick(&[61, 64, 16, 0]);
    let Some(insns) = input::instructions(&mut numbers) else {
        return;
    };
    WORLD.with_borrow_mut(|world| {
        world.argument_len = length;
        let Ok(engines) = Engines::new(program(insns), &world.registry) else {
            return;
        };
        let full = engines.agree(world, budget);
        // A stop somewhere on the way too.
        let used = budget - full.budget_left;
        engines.agree(world, numbers.below(used + 1));
    });
});
