//! Proofs that the image's protection holds, run instead of the application when the kernel's command line says
//! `test=NAME`. Some end in a fault on purpose; `cargo xtask qemu test` knows how each has to end.

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};

use ubpf_rs::platform::{ExecMemory, PatchError, TextChange, Walk};
use ubpf_rs::program::Abi;
use ubpf_rs::runtime::{AttachLimits, LoadOptions, Runtime};
use ushell_rs::Command;
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::memory::{self, CodeMemory};
use crate::{app, cpu, engine, fault, platform, shell, symbols, thread, trap, walk};

/// Runs the test that the command line names and ends the image.
pub fn run(name: &str) -> ! {
    match name {
        "start" => {}
        "greedy" => with_shell(|| {
            // SAFETY: a C function without arguments.
            unsafe { app::greedy() };
            println!("the application has all memory");
        }),
        "fault" => with_shell(|| {
            if FAULT_WANTED.load(Ordering::Relaxed) {
                // SAFETY: none: this ends in a fault.
                unsafe { app::faulty() };
            }
        }),
        "patch" => patch(),
        "code" => code(),
        "probe" => probe(),
        "read-in-trap" => read_in_trap(),
        "heap" => heap(),
        #[cfg(feature = "tests")]
        "programs" => crate::tests::programs(),
        #[cfg(feature = "tests")]
        "shell" => crate::tests::shell(),
        "two-cpus" => two_cpus(),
        "fault-two-cpus" => {
            cpu::start_second();
            read(8);
        }
        "panic" => panic!("on purpose"),
        "null" => read(8),
        "write-text" => write(app::myfun as *const () as usize),
        "write-rodata" => write(RODATA.as_ptr() as usize),
        "run-data" => run_at(DATA.as_ptr() as usize),
        "run-rodata" => run_at(RODATA.as_ptr() as usize),
        "stack" => drop(black_box(endless(0))),
        _ => panic!("no test is called {name}"),
    }
    println!("test {name} passed");
    fault::exit(fault::Exit::Success)
}

/// Set by the shell's command `fault`, which exists in the test of that name.
static FAULT_WANTED: AtomicBool = AtomicBool::new(false);

/// Starts everything but the application, and does this every millisecond in its stead.
fn with_shell(job: fn()) -> ! {
    engine::start();
    let fault = Command::new("fault", "", "let the application fault", |_| {
        FAULT_WANTED.store(true, Ordering::Relaxed);
        Ok(())
    });
    ushell_rs::register_command(fault).or_fail("the name is free");
    shell::start();
    loop {
        job();
        // SAFETY: a C function without arguments.
        unsafe { app::myfun() };
        thread::wait(None, 1_000_000);
    }
}

/// A `ret`, in memory where it must not run.
static RODATA: [u8; 4] = [0xc3; 4];
static DATA: crate::cell::IrqCell<[u8; 4]> = crate::cell::IrqCell::new([0xc3; 4]);

trait Address {
    fn as_ptr(&self) -> *const u8;
}

impl Address for crate::cell::IrqCell<[u8; 4]> {
    fn as_ptr(&self) -> *const u8 {
        self.with(|bytes| bytes.as_ptr())
    }
}

/// Two values that must be the same. Neither is shown: what shows values takes more room in the image than all of its proofs.
#[track_caller]
fn same<T: PartialEq>(found: T, wanted: T) {
    assert!(found == wanted);
}

/// As `expect`, for errors that say in words what they are.
trait OrFail<T> {
    fn or_fail(self, wanted: &str) -> T;
}

impl<T, E: core::fmt::Display> OrFail<T> for Result<T, E> {
    #[track_caller]
    fn or_fail(self, wanted: &str) -> T {
        self.unwrap_or_else(|error| panic!("{wanted}: {error}"))
    }
}

fn protected(address: usize) -> bool {
    let flags = memory::rights(address);
    let executable = flags.contains(Flags::PRESENT) && !flags.contains(Flags::NO_EXECUTE);
    executable && !flags.contains(Flags::WRITABLE) && walk::survey().is_ok()
}

fn patch() {
    let site = app::myfun as *const () as usize;
    let mut old = [0; 5];
    same(platform::PLATFORM.probe_read.read(site as u64, &mut old), 5);
    let text = platform::PLATFORM.text.expect("the image patches text");
    let jump = [0xe9, 0, 0, 0, 0];
    // SAFETY: the jump leads to the instruction behind the stub; elsewhere nothing is changed.
    let replace = |at, old: &[u8], new: &[u8]| unsafe { text.replace(at, old, new) };
    assert!(replace(site, &jump, &old).is_err(), "other bytes were expected there");
    assert!(protected(site));
    replace(site, &old, &jump).or_fail("the stub can be patched");
    assert!(protected(site));
    // SAFETY: the function is the application's; its stub now jumps to the instruction after the stub.
    unsafe { app::myfun() };
    replace(site, &jump, &old).or_fail("and back");
    // SAFETY: as above, the stub is as compiled.
    unsafe { app::myfun() };
    assert!(replace(0, &old, &jump).is_err());
    assert!(replace(DATA.as_ptr() as usize, &old, &jump).is_err());
    assert!(protected(site));
}

/// Text changes under the other CPU while it runs through it without a pause: no call is torn, and while a program is
/// attached each call is a run. Each round compiles it anew, into memory that the round before gave back.
fn two_cpus() {
    const ROUNDS: usize = 500;
    engine::start();
    cpu::start_second();
    assert!(cpu::two_running(), "the machine has one CPU");
    let batches = cpu::Batches::take();
    let runtime = Runtime::get().expect("the engine was started");
    let site = "second_cpu_work";
    let address = runtime.symbol_address(site).expect("the image has symbols");
    let bytes = || {
        let mut bytes = [0; 5];
        same(runtime.probe_read(address, &mut bytes), 5);
        bytes
    };
    let stub = bytes();
    let text = platform::PLATFORM.text.expect("the image patches text");
    let jump = [0xe9, 0, 0, 0, 0];
    batches.endless();
    let other = runtime.symbol_address("myfun").expect("the image has symbols") as usize;
    let both = |old, new, wrong| {
        let places = [(address as usize, old), (other, wrong), (other, old)];
        let mut changes = places.map(|(addr, old)| TextChange::new(addr, old, new));
        // SAFETY: the jump leads to the instruction behind the stub, and the stub is as it was.
        unsafe { text.replace_all(&mut changes) };
        let mismatch = Err(PatchError::Mismatch { addr: other });
        assert!(changes.map(|change| change.result) == [Ok(()), mismatch, Ok(())]);
    };
    for _ in 0..ROUNDS {
        both(&stub, &jump, &jump);
        both(&jump, &stub, &[0xcc; 5]);
        same(bytes(), stub);
    }
    let exit = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let calls = || {
        let mut bytes = [0; 8];
        let counter = (&raw const app::second_cpu_calls) as u64;
        same(runtime.probe_read(counter, &mut bytes), 8);
        u64::from_le_bytes(bytes)
    };
    let runs = || runtime.list(Some(site)).or_fail("a site")[0].probes[0].runs;
    for _ in 0..ROUNDS {
        batches.endless();
        let program = runtime.load("noop", &exit, &LoadOptions::default()).or_fail("a program");
        runtime.attach(site, program, AttachLimits::default()).or_fail("attached");
        batches.run(0);
        let before = (calls(), runs());
        batches.run(10);
        let after = (calls(), runs());
        let (called, ran) = (after.0 - before.0, after.1 - before.1);
        assert!(called > 0 && called == ran, "{called} calls, {ran} runs");
        batches.endless();
        runtime.detach(site, None).or_fail("detached");
        runtime.unload(program).or_fail("unloaded");
        same(bytes(), stub);
        assert!(walk::survey().is_ok());
    }
}

fn code() {
    let forty_two = [0xb8, 42, 0, 0, 0, 0xc3];
    let mut blocks = Vec::new();
    while let Some(block) = CodeMemory.alloc(5000) {
        assert!(walk::survey().is_ok());
        // SAFETY: the block is open: writable for its length.
        unsafe { core::ptr::copy_nonoverlapping(forty_two.as_ptr(), block.write as *mut u8, forty_two.len()) };
        assert!(CodeMemory.seal(block) && protected(block.exec));
        // SAFETY: a function without arguments was just written there and sealed.
        let function: extern "C" fn() -> u32 = unsafe { core::mem::transmute(block.exec) };
        same(function(), 42);
        blocks.push(block);
    }
    assert!(blocks.len() == 32, "the pool has 64 pages");
    for block in blocks {
        // SAFETY: nothing of it is executed any more.
        unsafe { CodeMemory.free(block) };
        assert!(!protected(block.exec));
    }
    assert!(CodeMemory.alloc(64 * memory::PAGE).is_some(), "all pages came back");
}

fn probe() {
    let read = |address: u64, into: &mut [u8]| platform::PLATFORM.probe_read.read(address, into);
    let mut bytes = [0; 16];
    same(read(DATA.as_ptr() as u64, &mut bytes[..4]), 4);
    assert!(bytes[..4] == [0xc3; 4]);
    for unreadable in [0, 0xfec0_0000, 0x9000_0000, 1 << 40, 1 << 47, u64::MAX - 3] {
        assert!(read(unreadable, &mut bytes) == 0, "{unreadable:#x}");
    }
    same(read(memory::ram_end() as u64 - 5, &mut bytes), 5);
    same(read(memory::PAGE as u64 - 5, &mut bytes), 0);
    walk();
    assert!(symbols::by_address(app::myfun as *const () as usize).is_some_and(|(name, _)| name == "myfun"));
}

/// Frames of a stack are followed to where they lead to, and a fault there ends the walk alone.
fn walk() {
    let walk = |frame_pointer: u64| {
        let (mut out, home) = ([0; 4], |_| None);
        let found = platform::PLATFORM.probe_read.walk(&Walk { frame_pointer, pad: 0, home }, &mut out);
        (found, out)
    };
    let ends = [0, 8, 0x9000_0000, 1 << 40, 1 << 47, u64::MAX - 7, memory::ram_end() as u64 - 8];
    for nowhere in ends {
        same(walk(nowhere), (0, [0; 4]));
        let mut frames = [0u64, 11, nowhere, 22];
        frames[0] = (&raw const frames[2]) as u64;
        same(walk((&raw const frames) as u64), (2, [11, 22, 0, 0]));
    }
}

/// A function that the handler of a fault calls is traced by a program that reads: nothing is readable there, and no fault is
/// taken, which would begin the handler's stack anew.
fn read_in_trap() {
    const SITE: &str = "second_cpu_work";
    const READABLE: u64 = 0xc3c3_c3c3;
    engine::start();
    let runtime = Runtime::get().expect("the engine was started");
    let address = RODATA.as_ptr() as u64;
    // map_put(1, 2, read(RODATA, 4) + read(8, 8)), by uIO's numbers.
    let insns = [
        0x18 | 1 << 8 | address << 32,
        address >> 32 << 32,
        0xb7 | 2 << 8 | 4 << 32,
        0x85 | 5 << 32,
        0xbf | 0x06 << 8,
        0xb7 | 1 << 8 | 8 << 32,
        0xb7 | 2 << 8 | 8 << 32,
        0x85 | 5 << 32,
        0x0f | 0x06 << 8,
        0xb7 | 1 << 8 | 1 << 32,
        0xb7 | 2 << 8 | 2 << 32,
        0xbf | 0x63 << 8,
        0x85 | 2 << 32,
        0xb7,
        0x95,
    ];
    let bytes: Vec<u8> = insns.iter().flat_map(|insn: &u64| insn.to_le_bytes()).collect();
    let options = LoadOptions { abi: Some(Abi::Uio), ..LoadOptions::default() };
    let program = runtime.load("reads", &bytes, &options).or_fail("a program");
    runtime.attach(SITE, program, AttachLimits::default()).or_fail("attached");
    let work = runtime.symbol_address(SITE).expect("the image has symbols");
    // SAFETY: a C function without arguments, which counts its calls.
    let work: extern "C" fn() = unsafe { core::mem::transmute(work as usize) };
    let runs = || runtime.list(Some(SITE)).or_fail("a site")[0].probes[0].runs;
    let read = |address: u64, into: &mut [u8]| platform::PLATFORM.probe_read.read(address, into);

    work();
    same((runs(), runtime.map_get(1, 2)), (1, Some(READABLE)));
    *trap::AT_FAULT.lock() = Some(work);
    // From a thread, and from a program in a hook.
    same(read(8, &mut [0; 8]), 0);
    same((runs(), runtime.map_get(1, 2)), (2, Some(0)));
    work();
    same((runs(), runtime.map_get(1, 2)), (4, Some(READABLE)));
    for _ in 0..1000 {
        same(read(8, &mut [0; 8]), 0);
        work();
    }
    same(runs(), 3004);
}

fn heap() {
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(4096);
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(64 << 10).is_err() {
            break;
        }
        blocks.push(block);
    }
    assert!(blocks.len() > 100);
    let (used, size) = memory::heap_usage();
    assert!(used <= size);
    drop(blocks);
    assert!(memory::heap_usage().0 < used / 10);
}

fn read(address: usize) {
    // SAFETY: none: this ends in a fault.
    black_box(unsafe { (address as *const u8).read_volatile() });
}

fn write(address: usize) {
    // SAFETY: none: this ends in a fault.
    unsafe { (address as *mut u8).write_volatile(0xc3) };
}

fn run_at(address: usize) {
    // SAFETY: none: this ends in a fault.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address) };
    function();
}

#[allow(unconditional_recursion)] // on purpose
#[inline(never)]
fn endless(depth: u64) -> u64 {
    let space = black_box([depth; 64]);
    black_box(endless(depth + 1)) + space[depth as usize % 64]
}
