// SPDX-License-Identifier: BSD-3-Clause
//! The engine where there is no standard library: its own allocator, its own panic handler, and a platform of which nearly every part is
//! missing. The C library gives `main` its start and memory its bytes; in a kernel the kernel does.
#![no_std]
#![no_main]

extern crate alloc;

use core::{
    alloc::{GlobalAlloc, Layout},
    ffi::{c_char, c_int, c_void},
    panic::PanicInfo,
};
use ubpf_rs::{
    isa::assemble,
    platform::{Clock, Console, Platform},
    runtime::{Config, LoadOptions, Runtime},
};

#[link(name = "c")]
unsafe extern "C" {
    fn write(file: c_int, bytes: *const c_void, length: usize) -> isize;
    fn aligned_alloc(align: usize, length: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn abort() -> !;
}

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: the C library gives memory of the size and alignment that it is asked for, from any thread.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let whole = layout.pad_to_align();
        // SAFETY: a power of two, and a multiple of it.
        unsafe { aligned_alloc(whole.align(), whole.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { free(block.cast()) }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing.
    unsafe { abort() }
}

/// Named by the precompiled `alloc`, which is made for programs that unwind. Here nothing does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: takes nothing.
    unsafe { abort() }
}

/// A clock that counts how often it was looked at: there is no other one here.
struct Looks;

impl Clock for Looks {
    fn now_ns(&self) -> u64 {
        use core::sync::atomic::{AtomicU64, Ordering};
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        LOOKS.fetch_add(1, Ordering::Relaxed)
    }
}

struct Terminal;

impl Console for Terminal {
    fn write(&self, bytes: &[u8]) {
        // SAFETY: the bytes are readable.
        unsafe { write(1, bytes.as_ptr().cast(), bytes.len()) };
    }
}

const PLATFORM: Platform = Platform { console: &Terminal, ..Platform::bare("example", &Looks) };

fn run() -> Result<u64, ubpf_rs::runtime::Error> {
    let engine = Runtime::init(PLATFORM, Config::default())?;
    let code = assemble("r0 = *(u8 *)(r1 + 0)\nr2 = *(u8 *)(r1 + 1)\nr0 *= r2\nexit").unwrap_or_default();
    let program = engine.load("product", &code, &LoadOptions::default())?;
    Ok(engine.exec(program, &mut [6, 7], None)?.value)
}

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let said = match run() {
        Ok(value) => alloc::format!("the product is {value}\n"),
        Err(error) => alloc::format!("{error}\n"),
    };
    Terminal.write(said.as_bytes());
    0
}
