//! A freestanding x86-64 image for QEMU: the demo application, the engine and the shell, booted with nothing else.
//!
//! It behaves like Unikraft where that matters: cooperative threads, interrupts on their own stacks, read-only text, a
//! heap that runs out. `boot.S` enters, `kernel_main` sets everything up; `platform` is what the engine sees of it.
#![no_std]
#![no_main]

#[cfg_attr(feature = "tests", macro_use)]
extern crate alloc;
#[cfg(feature = "tests")]
extern crate ubpf_tests_std as std;

use core::arch::global_asm;

mod app;
mod cell;
#[macro_use]
mod console;
mod cpu;
mod engine;
mod fault;
mod files;
mod memory;
mod platform;
#[path = "../../../tests/image/selftest.rs"]
mod selftest;
mod serial;
mod shell;
mod startinfo;
mod symbols;
#[cfg(feature = "tests")]
#[path = "../../../tests/image/tests.rs"]
mod tests;
mod thread;
mod time;
mod timer;
mod trap;
mod walk;

global_asm!(include_str!("boot.S"), options(att_syntax));
global_asm!(include_str!("string.S"), options(att_syntax));
global_asm!(include_str!("trap.S"), options(att_syntax));
global_asm!(
    ".global BOOT_STACK_TOP",
    "BOOT_STACK_TOP = {stack} + {size}",
    stack = sym BOOT_STACK,
    size = const size_of::<memory::Stack>(),
);

static BOOT_STACK: cell::RawCell<memory::Stack> = cell::RawCell::new(memory::Stack::new());

/// Called by boot.S on the boot stack.
#[no_mangle]
extern "C" fn kernel_main(start_info: usize) -> ! {
    cpu::init(0);
    console::init();
    // SAFETY: boot.S passes on what it found in EBX; no memory was reused yet.
    let info = unsafe { startinfo::StartInfo::read(start_info) };
    let guards = [BOOT_STACK.get() as usize].into_iter();
    memory::init(&info, guards.chain(thread::guards()).chain(trap::guards()).chain(cpu::guards()));
    trap::init();
    time::init();
    if let Some(complaint) = files::init(info.initrd) {
        println!("{complaint}");
    }
    let mut lines = serial::init().peekable();
    if lines.peek().is_none() {
        println!("no virtio-serial device: no shell");
    }
    if let Err(broken) = walk::survey() {
        panic!("page protection: {broken}");
    }
    time::start_tick();
    trap::enable(lines);
    let mut words = info.command_line.split(' ');
    if let Some(test) = words.find_map(|word| word.strip_prefix("test=")) {
        selftest::run(test);
    }
    engine::start();
    cpu::start_second();
    println!("booted in {} ms, {} symbols", time::now_ns() / 1_000_000, symbols::count());
    shell::start();
    app::run(info.command_line)
}

/// Never called: panics abort. The precompiled libraries refer to both.
#[no_mangle]
extern "C" fn rust_eh_personality() {}

/// See above.
#[no_mangle]
extern "C" fn _Unwind_Resume() {}
