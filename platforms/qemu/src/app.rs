//! The demo application in C (app-demo/main.c) and what its C library (libc/calls.c, libc/libc.c) needs from below.

use core::alloc::Layout;
use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ubpf_rs::{platform::find, runtime::Runtime};

use crate::{console, cpu, fault, memory, thread};

/// The application's name and the words of the command line that it is given.
const ARGUMENTS: usize = 8;
/// The longest of those words, with its end.
const WORD: usize = 32;

extern "C" {
    fn main(argc: c_int, argv: *const *const c_char) -> c_int;
    /// The function of the demo application that is traced.
    pub fn myfun();
    /// How often `second_cpu_work` was called.
    pub static second_cpu_calls: c_ulong;
    /// What the second CPU runs, in batches of calls; never returns.
    fn second_cpu_main();
    /// Allocates, loses memory and sleeps, as much as is known.
    fn work_round();
    /// How often it did.
    static work_rounds: c_ulong;
    /// Takes all memory there is for applications.
    pub fn greedy();
    /// Ends in a fault.
    pub fn faulty();
}

/// Runs the application and ends the image with it. Its arguments are what follows `--` on the command line.
pub fn run(command_line: &str) -> ! {
    const BEFORE: &str = "-- ";
    let given = find(command_line, BEFORE).and_then(|at| command_line.get(at + BEFORE.len()..)).unwrap_or("");
    let mut texts = [[0u8; WORD]; ARGUMENTS];
    let mut count = 0;
    for (text, word) in texts.iter_mut().zip(["app-demo"].into_iter().chain(given.split_ascii_whitespace())) {
        let len = word.len().min(WORD - 1);
        text[..len].copy_from_slice(&word.as_bytes()[..len]);
        count += 1;
    }
    let mut argv = [core::ptr::null(); ARGUMENTS + 1];
    for (pointer, text) in argv.iter_mut().zip(&texts[..count]) {
        *pointer = text.as_ptr().cast::<c_char>();
    }
    // SAFETY: C's entry; the arguments are strings with their ends, the list ends with a null pointer, and both stay
    // until it returns.
    let status = unsafe { main(count as c_int, argv.as_ptr()) };
    fault::exit(if status == 0 { fault::Exit::Success } else { fault::Exit::Failure })
}

/// Runs the application's part on the second CPU.
pub fn run_second() -> ! {
    // SAFETY: a C function without arguments.
    unsafe { second_cpu_main() };
    fault::stop()
}

/// Between two batches.
#[no_mangle]
extern "C" fn second_cpu_pause() {
    cpu::pause();
}

#[no_mangle]
unsafe extern "C" fn console_write(text: *const u8, length: usize) {
    // What programs said before comes before.
    if let Some(runtime) = Runtime::get() {
        runtime.drain_console();
    }
    // SAFETY: the C library passes its buffer and how much of it is filled.
    console::write(unsafe { core::slice::from_raw_parts(text, length) });
}

#[no_mangle]
extern "C" fn thread_wait(ns: c_ulong) {
    thread::wait(None, ns);
}

/// Rounds that are still to be made, and whether somebody wanted some.
static WANTED: AtomicU64 = AtomicU64::new(0);
static ANY: AtomicBool = AtomicBool::new(false);

/// So many rounds are still to be made by the thread of [`work`]; how many were made since the start.
pub fn want_rounds(count: u64) -> u64 {
    WANTED.store(count, Ordering::Relaxed);
    ANY.store(true, Ordering::Release);
    // SAFETY: one aligned number, which only another thread of this CPU changes.
    unsafe { (&raw const work_rounds).read_volatile() }
}

/// A thread that makes the rounds that are wanted.
pub extern "C" fn work() -> ! {
    x86_64::instructions::interrupts::enable();
    loop {
        ANY.store(false, Ordering::Release);
        while WANTED.load(Ordering::Relaxed) > 0 {
            WANTED.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: a C function without arguments.
            unsafe { work_round() };
        }
        thread::wait(Some(&ANY), u64::MAX);
    }
}

/// Bytes before each block of the application: its size.
const HEADER: usize = 16;

fn block(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEADER)?, HEADER).ok()
}

#[no_mangle]
extern "C" fn take_block(size: usize) -> *mut c_void {
    let Some(layout) = block(size).filter(|layout| memory::leaves_enough(layout.size(), memory::SHELL_RESERVE)) else {
        return core::ptr::null_mut();
    };
    // SAFETY: the size is not zero; the header lies in the block.
    unsafe {
        let start = alloc::alloc::alloc(layout);
        if start.is_null() {
            return core::ptr::null_mut();
        }
        start.cast::<usize>().write(size);
        start.add(HEADER).cast()
    }
}

#[no_mangle]
unsafe extern "C" fn give_block(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: the application passes what `take_block` gave, before which the size stands.
    unsafe {
        let start = memory.cast::<u8>().sub(HEADER);
        if let Some(layout) = block(start.cast::<usize>().read()) {
            alloc::alloc::dealloc(start, layout);
        }
    }
}
