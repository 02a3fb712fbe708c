//! Threads that leave a running hook by other ways than its end, as `siglongjmp` out of a signal handler does: what such a hook had is
//! counted and said, an operation that waits for it waits once and not for ever, and when no place for a hook is left that is seen too.

#[path = "common/image.rs"]
mod image;

use std::{
    arch::global_asm,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    helpers::{HelperCall, HelperFault, HelperFn},
    isa::assemble,
    platform::{Clock, Platform},
    program::{ArgType, Cost, HelperSignature, RetType},
    runtime::{AttachLimits, Config, LoadOptions, ProgramId, Runtime},
};
use ushell_rs::Shell;

extern "C" {
    fn gcc_patchable_myfun();
    fn gcc_patchable_empty();
    /// Calls it; whether it was left by [`escape_leave`].
    fn escape_call(function: unsafe extern "C" fn()) -> u64;
    /// Goes on where the last [`escape_call`] ends, whatever has been called since.
    fn escape_leave() -> !;
}

// What `sigsetjmp` and `siglongjmp` do, for one place.
global_asm!(
    ".globl escape_call, escape_leave",
    "escape_call: push rbx; push rbp; push r12; push r13; push r14; push r15",
    "mov [rip + {way_out}], rsp",
    "sub rsp, 8",
    "call rdi",
    "add rsp, 8",
    "xor eax, eax",
    "2: pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx",
    "ret",
    "escape_leave: mov rsp, [rip + {way_out}]",
    "mov eax, 1",
    "jmp 2b",
    way_out = sym WAY_OUT,
);
static WAY_OUT: AtomicUsize = AtomicUsize::new(0);

/// Time that goes on by a step at each look.
struct Steps(AtomicU64);
const STEP_NS: u64 = 100_000;
static CLOCK: Steps = Steps(AtomicU64::new(0));

impl Clock for Steps {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(STEP_NS, SeqCst)
    }
}

/// Longest that hooks are waited for, and what everything else may take.
const WAIT_NS: u64 = 1_000_000_000;
const REST_NS: u64 = 50_000_000;

const LEAVE: u32 = 700;
const AREAS: usize = 8;

fn start() -> &'static Runtime {
    let platform = Platform { clock: &CLOCK, ..platform(std::env::temp_dir()) };
    let config = Config { hook_areas: AREAS, ..Config::default() };
    let engine = Runtime::init(platform, config).unwrap();
    image::add_image(engine);
    let signature = HelperSignature { args: [ArgType::Unused; 5], ret: RetType::Scalar, cost: Cost::default() };
    let function = HelperFn::Rust(leave);
    engine.register_helper("leave", LEAVE, signature, function).unwrap();
    engine
}

fn leave(_: &mut HelperCall<'_>) -> Result<u64, HelperFault> {
    // SAFETY: called below `escape_call`, by this thread; no frame between has anything to be dropped.
    unsafe { escape_leave() }
}

fn load(engine: &Runtime, name: &str, text: &str) -> ProgramId {
    let bytes = assemble(text).unwrap();
    engine.load(name, &bytes, &LoadOptions::default()).unwrap()
}

fn attach(engine: &Runtime, function: &str, program: ProgramId) {
    let limits = AttachLimits::default();
    engine.attach(function, program, limits).unwrap();
}

/// What detaching takes; what it waits for is not there any more.
fn detach(engine: &Runtime, function: &str) -> u64 {
    let begin = CLOCK.0.load(SeqCst);
    assert_eq!(engine.detach(function, None).unwrap(), 1);
    CLOCK.0.load(SeqCst) - begin
}

/// Runs and misses of the program at a function.
fn runs(engine: &Runtime, function: &str) -> (u64, u64) {
    let probe = &engine.list(Some(function)).unwrap()[0].probes[0];
    (probe.runs, probe.misses)
}

fn status(engine: &'static Runtime) -> String {
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    shell.feed(b"status\n");
    let mut text = vec![0; 8192];
    let len = shell.drain(&mut text);
    String::from_utf8_lossy(&text[..len]).into_owned()
}

const MYFUN: &str = "gcc_patchable_myfun";
const EMPTY: &str = "gcc_patchable_empty";

#[test]
fn hooks_that_are_left_by_a_jump_are_counted_said_and_waited_for_once() {
    let engine = start();
    let leaves = load(engine, "leaves", &format!("call {LEAVE}\nr0 = 0\nexit"));
    let myfun = || {
        // SAFETY: a C function without arguments.
        unsafe { escape_call(gcc_patchable_myfun) }
    };
    let empty = || {
        // SAFETY: as above.
        unsafe { escape_call(gcc_patchable_empty) }
    };
    attach(engine, MYFUN, leaves);
    (0..5).for_each(|_| assert_eq!(myfun(), 1));
    // What detaches first waits, and knows them from then on.
    let took = detach(engine, MYFUN);
    assert!((WAIT_NS..WAIT_NS + REST_NS).contains(&took), "{took}");
    assert_eq!(engine.status().lost_hooks, (5, 1));
    assert!(status(engine).contains("hooks that never returned: 5,"));
    assert_eq!(myfun(), 0, "nothing is attached");
    for round in 0..3 {
        attach(engine, MYFUN, leaves);
        let took = detach(engine, MYFUN);
        assert!(took < REST_NS, "{took} in round {round}");
    }

    // The rest of the places, and no more.
    attach(engine, EMPTY, leaves);
    (5..AREAS).for_each(|_| assert_eq!(empty(), 1));
    assert_eq!(runs(engine, EMPTY), (3, 0));
    (0..4).for_each(|_| assert_eq!(empty(), 0, "the function itself goes on"));
    assert_eq!(runs(engine, EMPTY), (3, 4));
    let took = detach(engine, EMPTY);
    assert!((WAIT_NS..WAIT_NS + REST_NS).contains(&took), "{took}");
    assert_eq!(engine.status().lost_hooks.0, AREAS);
    assert!(status(engine).contains("hooks that never returned: 8,"));
    for function in [MYFUN, EMPTY] {
        attach(engine, function, leaves);
        assert_eq!((myfun(), empty()), (0, 0));
        let took = detach(engine, function);
        assert!(took < REST_NS, "{took}");
    }
}
