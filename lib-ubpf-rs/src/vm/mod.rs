//! Running a verified program: the memory it may touch, the limits of a run, why a run stops, and the interpreter,
//! which is the reference for every other engine.

mod call;
mod direct;
#[cfg(any(test, feature = "fuzz"))]
pub mod executed;
mod interpreter;
mod machine;
mod memory;
mod quick;
mod slices;
mod stop;
mod tail;

#[cfg(any(test, feature = "fuzz"))]
pub mod soundness;

pub use crate::program::limits::{FRAME_BYTES, MAX_FRAMES, MAX_STRING, STACK_BYTES};
pub use call::{call_helper, Called};
pub use direct::{Adds, CodeAddress, Detour, Direct, Given};
pub use interpreter::Interpreter;
pub use machine::Moment;
pub use memory::{AccessMode, Memory, Region, Regions};
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(crate) use slices::{BudgetReserve, ENDLESS};
pub use slices::{Slices, AT_A_STRETCH, SLICE};
pub use stop::{AccessKind, Stop, StopKind};
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(crate) use tail::go_on;
pub use tail::{Callee, MOST_TAIL_CALLS};

use crate::{
    helpers::{Host, Registry},
    isa::Size,
    verifier::{
        planted::{self, Bug},
        VerifiedProgram,
    },
};

/// How much longer an interpreter may take than machine code, for which a budget is meant: what runs interpreted and is given no
/// budget of its own gets the configured one divided by this. Helpers are no slower there: their charges are divided, too.
pub const INTERPRETED: u64 = 30;

/// A program ready to run on one of the engines.
pub trait Executable: Send + Sync {
    /// Runs it to its end and gives r0. Allocates nothing, blocks on nothing; `run.budget` is what is left afterwards.
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop>;
    /// Runs it as [`run`](Self::run) does, with the same result, memory, charges and budget left, but calls `slices.pause` again and
    /// again meanwhile. Not for hooks.
    fn run_in_slices(&self, run: &mut Run<'_>, slices: Slices<'_>) -> Result<u64, Stop>;
    /// The program.
    fn verified(&self) -> &VerifiedProgram;
    /// Name of the engine: `interp` or `jit`.
    fn engine(&self) -> &'static str;
    /// Whether this run would be interpreted, also where there is machine code; its budget buys less then ([`INTERPRETED`]).
    fn interprets(&self, run: &Run<'_>, in_slices: bool) -> bool;
    /// Bytes of its machine code, where there is some.
    fn machine_code(&self) -> Option<usize> {
        None
    }
    /// How its machine code is called from machine code.
    ///
    /// # Errors
    /// What it needs that is not there then.
    fn direct(&self) -> Result<Direct, Detour> {
        Err(Detour::Interpreted)
    }
}

/// All that one run needs. Built on the caller's stack; nothing in it is allocated.
pub struct Run<'a> {
    /// r1 and r2 at the start.
    pub args: [u64; 2],
    /// What the program may touch; the stack is zeroed by the caller if that matters to it.
    pub memory: Memory<'a>,
    /// Units of budget that may still be charged ([`VerifiedProgram`], "Charging").
    pub budget: u64,
    /// Helpers that exist.
    pub helpers: &'a Registry,
    /// What helpers ask of the layers above.
    pub host: &'a dyn Host,
}

/// How a run is charged (see [`VerifiedProgram`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Metering {
    /// All is paid: nothing is charged any more.
    Prepaid,
    /// Charged at function entries, backward jumps and helper calls.
    Metered,
}

/// The charge at the start of a run: the whole proved cost where the proofs hold in this run and the budget has it, else that of the
/// first function's entry. To be called by every engine before the first instruction.
#[inline]
pub fn begin(program: &VerifiedProgram, run: &mut Run<'_>) -> Result<Metering, Stop> {
    run.memory.chain().leaves(program);
    let whole = program.worst_cost().and_then(|cost| run.budget.checked_sub(cost));
    if let Some(left) = whole.filter(|_| proofs_hold(program, run)) {
        run.budget = left;
        return Ok(Metering::Prepaid);
    }
    let entry = program.program().entry;
    charge(&mut run.budget, program.function_charge(entry), entry)?;
    Ok(Metering::Metered)
}

/// Whether what the proofs of `program` assume is so in this run. Where it is not, proved accesses must be checked too, and the proved
/// cost says nothing.
#[inline]
pub fn proofs_hold(program: &VerifiedProgram, run: &Run<'_>) -> bool {
    let argument = run.memory.argument();
    run.args == [argument.base, argument.len] && argument_fits(program.argument_needed(), argument.base, argument.len)
}

/// Whether the proofs of a program that needs `needed` bytes hold for an argument of `len` bytes at `base`.
#[inline]
pub fn argument_fits(needed: u64, base: u64, len: u64) -> bool {
    let longest = if planted::active(Bug::AnyArgument) { u64::MAX } else { VerifiedProgram::ARGUMENT_MAX };
    (needed..=longest).contains(&len) && base <= VerifiedProgram::ARGUMENT_BASE_MAX
}

/// What a probing load gives of memory that is not the program's: what is there, or 0 where it cannot be read.
pub fn probe(host: &dyn Host, addr: u64, size: Size) -> u64 {
    let mut word = [0; 8];
    let read = word.get_mut(..size.bytes()).is_some_and(|into| host.probe_read(addr, into) == into.len());
    if read {
        u64::from_le_bytes(word)
    } else {
        0
    }
}

/// Takes a charge from the budget, or stops at `pc` and leaves the budget as it was.
#[inline(always)]
pub fn charge(budget: &mut u64, cost: u64, pc: usize) -> Result<(), Stop> {
    match budget.checked_sub(cost) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => Err(Stop { pc, kind: StopKind::BudgetExhausted }),
    }
}
