//! A hook that comes to the end of its stack is seen, since what lies below may have been written.

#[path = "common/image.rs"]
mod image;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    helpers::{HelperCall, HelperFault, HelperFn},
    isa::assemble,
    program::{ArgType, Cost, HelperSignature, RetType},
    runtime::{AttachLimits, Config, LoadOptions, Runtime},
    tracer::stack_used,
};
use ushell_rs::Shell;

extern "C" {
    fn gcc_patchable_myfun();
}
const MYFUN: &str = "gcc_patchable_myfun";

/// Bytes from the end of the stack to the word that [`reach`] writes.
static DISTANCE: AtomicUsize = AtomicUsize::new(0);
/// Where the stack ends.
static END: AtomicUsize = AtomicUsize::new(0);
const REACH: u32 = 700;

/// Writes a word at the end of the stack that it runs on.
fn reach(_: &mut HelperCall<'_>) -> Result<u64, HelperFault> {
    let write = |at: usize| {
        // SAFETY: a word of an area's stack below all frames, which nobody else uses.
        unsafe { (at as *mut u64).write_volatile(1) }
    };
    if END.load(SeqCst) == 0 {
        // Below all frames of this hook: the lowest that is used then, so that the rest is known.
        const BELOW_OURS: usize = 4096;
        let here = 0u64;
        let lowest = (&raw const here).addr() - BELOW_OURS;
        let (before, _) = stack_used();
        write(lowest);
        let (used, stack) = stack_used();
        assert!(before < used && used < stack, "{before} and {used} of {stack} bytes");
        END.store(lowest - (stack - used), SeqCst);
    }
    write(END.load(SeqCst) + DISTANCE.load(SeqCst));
    Ok(0)
}

fn status(engine: &'static Runtime) -> String {
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    shell.feed(b"status\n");
    let mut text = vec![0; 8192];
    let len = shell.drain(&mut text);
    String::from_utf8_lossy(&text[..len]).into_owned()
}

#[test]
fn a_stack_that_was_used_to_its_end_is_told() {
    let engine = Runtime::init(platform(std::env::temp_dir()), Config::default()).unwrap();
    image::add_image(engine);
    let signature = HelperSignature { args: [ArgType::Unused; 5], ret: RetType::Scalar, cost: Cost::default() };
    engine.register_helper("reach", REACH, signature, HelperFn::Rust(reach)).unwrap();
    let program = assemble(&format!("call {REACH}\nr0 = 0\nexit")).unwrap();
    let program = engine.load("reaches", &program, &LoadOptions::default()).unwrap();
    engine.attach(MYFUN, program, AttachLimits::default()).unwrap();

    let reach = |distance| {
        DISTANCE.store(distance, SeqCst);
        // SAFETY: a C function without arguments.
        unsafe { gcc_patchable_myfun() };
        let (used, stack) = stack_used();
        assert_eq!(used, stack - distance, "hooks that run one by one have the same area");
        engine.status().full_stacks
    };
    assert_eq!(reach(256), 0);
    assert!(!status(engine).contains("hook stacks"));
    assert_eq!(reach(248), 1);
    assert_eq!(reach(0), 1);
    assert!(status(engine).contains("hook stacks used to their end: 1,"));
    engine.detach(MYFUN, None).unwrap();
}
