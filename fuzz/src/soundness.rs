//! What the verifier admits runs in the interpreter with every check on. Fails when a proved access faults, when a register or a
//! stack slot leaves what the verifier says of it before any instruction, or when more instructions are executed than were charged.
#![no_main]

mod input;

use libfuzzer_sys::fuzz_target;
use std::{cell::RefCell, ptr, slice};
use ubpf_rs::vm::soundness::{self, random_program_with_maps, Numbers};

/// Instructions of one run at most.
const BUDGET: u64 = 600;

/// The least length of an argument for which proofs do not hold.
const LONG: usize = 1 << 31;

thread_local! {
    static RESERVED: RefCell<&'static mut [u8]> = RefCell::new(reserved());
}

/// An argument of that length. Only the pages that programs touch become memory.
fn reserved() -> &'static mut [u8] {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping replaces nothing; it is zeroed memory, and never unmapped.
    unsafe {
        let at = libc::mmap(ptr::null_mut(), LONG, access, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        slice::from_raw_parts_mut(at.cast(), LONG)
    }
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    let with_maps = numbers.below(4) == 0;
    let insns = if with_maps { Some(random_program_with_maps(&mut numbers)) } else { input::instructions(&mut numbers) };
    let Some(insns) = insns else {
        return;
    };
    let checked = if with_maps { soundness::verify_with_maps(&insns) } else { soundness::verify(&insns) };
    let Some(checked) = checked else {
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
    RESERVED.with_borrow_mut(|argument| {
        if let Err(error) = checked.run(argument, BUDGET) {
            panic!("{error}\n{}", soundness::text(&insns));
        }
    });
});
