//! From the fuzzer's bytes to programs.

use ubpf_rs::{
    isa::Insn,
    program::{Abi, Program},
    verifier::planted::{self, Bug},
    vm::soundness::{random_program, Numbers},
};

/// A program: made by the generator as the bytes decide, or the bytes themselves.
pub fn instructions(numbers: &mut Numbers<'_>) -> Option<Vec<Insn>> {
    if numbers.below(4) != 0 {
        return Some(random_program(numbers));
    }
    let slots = 1 + numbers.below(40) as usize;
    let Numbers::Bytes(data) = numbers else {
        return None;
    };
    let (code, rest) = data.split_at((slots * 8).min(data.len()));
    *data = rest;
    let program = Program::from_flat("fuzz", code, Abi::Classic).ok()?;
    Some(program.insns)
}

/// Plants the mistake that the environment variable `UBPF_PLANT` names, if any.
pub fn plant() {
    let Ok(name) = std::env::var("UBPF_PLANT") else {
        return;
    };
    match Bug::ALL.iter().find(|bug| format!("{bug:?}") == name) {
        Some(bug) => planted::plant(*bug),
        None => {
            eprintln!("UBPF_PLANT: no mistake {name}; there are {:?}", Bug::ALL);
            std::process::exit(2);
        }
    }
}
