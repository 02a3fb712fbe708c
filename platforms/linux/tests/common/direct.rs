//! Machine code of tests that runs straight from the function.

use ubpf_rs::{
    helpers::Needs,
    vm::{CodeAddress, Direct, Given},
};

/// A program that is this function, lives for ever and changes all registers but the stack pointer; what it is given, and the bytes of its
/// argument that it looks at.
pub fn records_directly(code: unsafe extern "C" fn(), given: Given, argument_first: u64, argument: u64) -> Direct {
    Direct {
        // SAFETY: a function of the test's own; it changes the registers named below.
        code: unsafe { CodeAddress::new(code as *const () as usize) },
        inline: 0,
        clobbers: !(1 << 4),
        reads_argument: true,
        reads_length: true,
        needs: Needs::empty(),
        block: 0,
        cookie: 0,
        stack: 0,
        given,
        argument_first,
        argument,
        argument_needed: 0,
        cost: 30,
        adds: None,
    }
}
