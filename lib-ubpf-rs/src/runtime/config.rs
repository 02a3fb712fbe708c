//! Sizes and limits of one engine instance, with defaults for a small unikernel.

use crate::{
    program::{
        limits::{HOOK_AREAS, HOOK_STACK},
        Abi,
    },
    verifier::Policy,
};

/// Sizes and limits, fixed when the engine starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Budget of a program run by `exec`, in units of which one is a nanosecond of machine code on the machine of
    /// `docs/performance.md`; nothing takes more than four times what it is charged ([`VerifiedProgram`](crate::verifier::VerifiedProgram),
    /// "Charging"). A run that is interpreted gets a thirtieth ([`INTERPRETED`](crate::vm::INTERPRETED)). Any number; 0 stops every
    /// program at its first instruction.
    pub exec_budget: u64,
    /// Budget of a program run by a probe, in the same units. Any number: it is how long the application may be held up by a hit.
    pub hook_budget: u64,
    /// Budget of a program run by a probe in an interrupt, in the same units. Any number.
    pub irq_budget: u64,
    /// Entries of the two-key map: at least 1 (so is 0 taken), and as many as there is memory for. Allocated at start.
    pub map_entries: usize,
    /// Bytes of the output ring (`notify`, `puts` and errors wait there for the console), rounded to a power of two of records: 4 to
    /// 1,048,576 of them. Allocated at start.
    pub ring_bytes: usize,
    /// Stacks for programs run by probes: how many probes can run at the same time, 1 to 64 (what lies outside is taken as the next of
    /// these). Allocated at start.
    pub hook_areas: usize,
    /// Bytes of each of these stacks, at least 4096: [`stack_used`](crate::tracer::stack_used) says what of it is used. Helpers of the
    /// application run on it, and on Linux signal handlers.
    pub hook_stack: usize,
    /// Bytes of memory that programs may share and write (reached through helpers of the application), rounded up to 8; 0 for none.
    pub arena_bytes: usize,
    /// Largest program or symbol file read, in bytes. Any number.
    pub file_limit: usize,
    /// How much must be proved of a program that is loaded without naming a policy.
    pub policy: Policy,
    /// Numbering of helpers for flat programs loaded without naming one.
    pub flat_abi: Abi,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            exec_budget: 1_000_000,
            hook_budget: 62_500,
            irq_budget: 8_192,
            map_entries: 1024,
            ring_bytes: 16 * 1024,
            hook_areas: HOOK_AREAS,
            hook_stack: HOOK_STACK,
            arena_bytes: 4096,
            file_limit: 1024 * 1024,
            policy: Policy::Guarded,
            flat_abi: Abi::Classic,
        }
    }
}

/// Which engine runs a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// The fastest that the platform allows: machine code, but a program that [`exec_file`](super::Runtime::exec_file) runs once and that is
    /// proved to cost at most 1000 units of budget is interpreted, since compiling it takes longer. All engines give the same results.
    #[default]
    Auto,
    /// The interpreter.
    Interpreter,
    /// Machine code; refused where the image has no compiler or no executable memory.
    Jit,
}

/// How a program is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadOptions<'a> {
    /// Numbering of helpers; `None` = the default for the kind of file.
    pub abi: Option<Abi>,
    /// How much must be proved; `None` = the engine's default.
    pub policy: Option<Policy>,
    /// Which engine runs it.
    pub engine: Engine,
    /// Which program of a package that has several.
    pub program: Option<&'a str>,
    /// A pattern of functions may fit more than [`MANY_FUNCTIONS`](super::MANY_FUNCTIONS).
    pub many: bool,
}
