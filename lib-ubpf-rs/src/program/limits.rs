//! Sizes that several layers build on: what the verifier proves holds because the engines give just that.

/// Bytes of stack of one frame (RFC 9669 leaves it to the runtime; Linux has 512).
pub const FRAME_BYTES: usize = 512;
/// Frames a program may have: the outermost function and seven nested calls.
pub const MAX_FRAMES: usize = 8;
/// Bytes of stack that a run needs.
pub const STACK_BYTES: usize = FRAME_BYTES * MAX_FRAMES;
/// Longest string argument of a helper in bytes, its NUL included.
pub const MAX_STRING: usize = 256;
/// Bytes of the context of a hook: the key, then scratch. The verifier takes so much of any argument for granted, and runs with less
/// are checked.
pub const CONTEXT_BYTES: usize = 128;
/// Bytes of the context of a hook that is given registers: those of the traced function, in the order of Linux (`struct pt_regs` of x86-64).
pub const HOOK_CONTEXT_BYTES: usize = 168;
/// Bytes of the argument of a flat program at a return that stand before the time that the call took, which is the last that it is told: the
/// key, the result, and the arguments.
pub const BYTES_BEFORE_TIME: u64 = (2 + MOST_ARGUMENTS as u64) * 8;
/// Integer arguments that functions are given in registers: those that are known of a call.
pub const MOST_ARGUMENTS: usize = 6;
/// Addresses of a stack trace at most: of the traced function, and of calls that led to it, as with Linux (`kernel.perf_event_max_stack`).
pub const MOST_FRAMES: usize = 127;
/// Bytes of a record of a trace point, as Linux has them at most (`PERF_MAX_TRACE_SIZE`).
pub const TRACEPOINT_BYTES: usize = 8192;
/// Bytes of the words that Linux gives to `raw_tp`, `iter` and the like: twelve at most (`MAX_BPF_FUNC_ARGS`).
pub const WORDS_BYTES: usize = 12 * 8;
/// Bytes of a sample: `struct bpf_perf_event_data` of x86-64.
pub const SAMPLE_BYTES: usize = 168 + 2 * 8;
/// Most bytes that the context of a hook may have.
pub const MOST_CONTEXT_BYTES: usize = SAMPLE_BYTES;
/// Most slots a program may have.
pub const MAX_INSNS: usize = 65_536;
/// Slots of a program that are looked at between two pauses.
pub const PIECE: usize = 512;
/// Hooks that can run at the same time, where nobody says how many.
pub const HOOK_AREAS: usize = 8;
/// Bytes of stack that each of them has, where nobody says how many. Code that is not optimised keeps every copy in memory.
pub const HOOK_STACK: usize = if cfg!(debug_assertions) { 96 << 10 } else { 24 << 10 };
/// Most hooks that can run at the same time: one word of free bits.
pub const MAX_HOOK_AREAS: usize = 64;
/// Calls that can be remembered at once that programs wait for the return of, where nobody says how many.
pub const RETURN_FRAMES: usize = 448;
/// Most bytes of all maps of an image, the two-key map aside.
pub const MAX_MAP_MEMORY: u64 = 64 << 20;
/// Most maps that the programs of one object may share.
pub const MAX_MAPS: usize = 64;
/// Most maps of an object that hold maps: each access that is checked when it happens may be looked up in all that they hold.
pub const MAX_MAPS_OF_MAPS: usize = 8;
/// Most records that a run may hold at a time: reserved in rings, and neither submitted nor discarded yet.
pub const MAX_RECORDS: usize = 4;
/// Slots that a value per CPU has: the number of a CPU, as programs see it, is below that.
pub const LANES: usize = 16;
/// Of them those that threads or CPUs have for themselves, for programs that run straight from the traced function.
pub const OWN_LANES: usize = 8;
