//! What the verifier admits runs in the interpreter with every check on. Fails when a proved access faults, when a register or a
//! stack slot leaves what the verifier says of it before any instruction, or when a run costs more than was proved.
#![no_main]

mod input;

use libfuzzer_sys::fuzz_target;
use ubpf_rs::vm::soundness::{self, Numbers};

/// Instructions of one run at most.
const BUDGET: u64 = 600;

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    let Some(insns) = input::instructions(&mut numbers) else {
        return;
    };
    let Some(checked) = soundness::verify(&insns) else {
        return;
    };
    for len in [16, 40, 200] {
        let mut argument = vec![0u8; len];
        for byte in &mut argument {
            *byte = numbers.pick(&[0, 0, 0, 1, 0x7f, 0x80, 0xff]);
        }
        if let Err(error) = checked.run(&mut argument, BUDGET) {
            panic!("{error}\n{}", soundness::text(&insns));
        }
    }
});
