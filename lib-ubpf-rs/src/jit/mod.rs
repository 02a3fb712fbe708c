//! Programs as machine code. The semantics are the interpreter's in everything that can be seen from outside: result,
//! memory, budget left, where and why a run stopped.
//!
//! Each access that the verifier could not prove is checked inline; each charge that it could not take beforehand is taken
//! where the interpreter takes it. Code has no absolute address in it and needs no relocation.
//!
//! - `program`: a program that is machine code; `code`: what is said of the code beside its bytes; `run`, `context`: one run of it.
//! - `analysis`, `adds`, `reciprocal`: what is found out before anything is emitted.
//! - `linked`: code that was made ahead of time; `surroundings`: what code finds that is called from code; `heap`: where code lies.
//! - `x86_64`: what a CPU must have: the bytes of each instruction, the way in and out, trampolines.

use crate::verifier::Cap;

mod adds;
mod analysis;
mod code;
mod context;
mod heap;
mod linked;
#[cfg(all(test, target_os = "linux"))]
mod maps_tests;
mod program;
mod reciprocal;
mod run;
mod surroundings;
mod x86_64;

use x86_64 as arch;

pub use arch::trampoline;
pub use heap::{CodeHeap, CODE_HEAP};
pub use linked::{Ahead, LinkedProgram};
pub use program::{JitProgram, Listing};

impl From<Cap> for JitError {
    fn from(cap: Cap) -> Self {
        JitError::TooComplex { cap }
    }
}

/// What decides how a program is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Check every access at run time, also those that are proved (for comparisons and tests).
    pub guard_all: bool,
    /// Leave out what not every x86-64 CPU has, even if this one has it.
    pub baseline: bool,
    /// Count the budget down as the program runs, also where it could be paid beforehand.
    pub metered: bool,
}

/// Why a program was not compiled. It can still be interpreted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JitError {
    /// No memory to compile in.
    NoMemory,
    /// It would take more work or memory than a program may cost, or was cancelled.
    TooComplex {
        /// Why.
        cap: Cap,
    },
    /// The compiler does not know what to make of an instruction, although the program was verified.
    NoCode {
        /// The instruction.
        pc: usize,
    },
    /// No executable memory.
    NoRoom {
        /// Bytes of the program's code.
        bytes: usize,
    },
    /// The maps are not as those that it was verified for.
    OtherMaps,
    /// The platform did not make the code executable.
    NotExecutable,
}
