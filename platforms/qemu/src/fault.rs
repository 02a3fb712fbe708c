//! The last words: what happened, the registers, the stack by names; then the end with a status for the host.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::{hlt, interrupts, port::Port};

use crate::trap::{self, Frame};
use crate::{console, cpu, serial, symbols};

/// How the image ends; QEMU's exit status is `2 value + 1`.
#[derive(Clone, Copy)]
pub enum Exit {
    /// The application ended (33).
    Success = 16,
    /// A Rust panic or the application's wish (35).
    Failure = 17,
    /// An exception (37).
    Fault = 18,
}

const NAMES: [&str; 20] = [
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "no FPU",
    "double fault",
    "?",
    "invalid TSS",
    "segment not present",
    "stack segment",
    "general protection",
    "page fault",
    "?",
    "x87",
    "alignment",
    "machine check",
    "SIMD",
];

/// Set when one CPU has begun to report the end.
static DYING: AtomicBool = AtomicBool::new(false);

/// Whether the image is about to end.
pub fn is_dying() -> bool {
    DYING.load(Ordering::Relaxed)
}

/// Waits for the end.
pub fn stop() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}

/// Ends the virtual machine; needs `-device isa-debug-exit,iobase=0xf4`.
pub fn exit(how: Exit) -> ! {
    // SAFETY: the port belongs to the exit device or to nobody.
    unsafe { Port::<u32>::new(0xf4).write(how as u32) };
    stop()
}

/// Reports an exception and ends.
pub fn report(frame: &Frame, cr2: u64) -> ! {
    if DYING.swap(true, Ordering::Relaxed) {
        exit(Exit::Fault);
    }
    cpu::stop_other();
    let name = NAMES.get(frame.vector as usize).unwrap_or(&"?");
    let mut words = Words::default();
    let _ = write!(words, "fault: {name} at {}, address {cr2:#x}, error {:#x}", Place(frame.rip), frame.error);
    println!("{}", words.text());
    println!("rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", frame.rax, frame.rbx, frame.rcx, frame.rdx);
    println!("rsi {:016x} rdi {:016x} rbp {:016x} rsp {:016x}", frame.rsi, frame.rdi, frame.rbp, frame.rsp);
    println!("r8  {:016x} r9  {:016x} r10 {:016x} r11 {:016x}", frame.r8, frame.r9, frame.r10, frame.r11);
    println!("r12 {:016x} r13 {:016x} r14 {:016x} r15 {:016x}", frame.r12, frame.r13, frame.r14, frame.r15);
    println!("rip {:016x} rflags {:08x}", frame.rip, frame.rflags);
    stack(frame.rbp);
    serial::last_words(words.text().as_bytes());
    exit(Exit::Fault)
}

/// Prints the callers along the frame pointers.
fn stack(mut frame: u64) {
    for _ in 0..32 {
        let mut words = [0; 16];
        if !frame.is_multiple_of(8) || trap::probe_read(frame as usize, &mut words) != 16 {
            return;
        }
        let (next, address) = words.split_at(8);
        let [next, address] =
            [next, address].map(|bytes| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        // The call stands before the address it returns to, which may lie in the next function or in none.
        let call = address.wrapping_sub(1);
        if symbols::by_address(call as usize).is_none() {
            return;
        }
        println!("  called from {}", Place(call));
        if next <= frame {
            return;
        }
        frame = next;
    }
}

/// An address with the function it lies in.
struct Place(u64);

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match symbols::by_address(self.0 as usize) {
            Some((name, offset)) => write!(out, "{name}+{offset:#x} ({:#x})", self.0),
            None => write!(out, "{:#x}", self.0),
        }
    }
}

/// A line without allocation; what does not fit is cut.
struct Words {
    bytes: [u8; 256],
    len: usize,
}

impl Default for Words {
    fn default() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }
}

impl Words {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("fault")
    }
}

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let count = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + count].copy_from_slice(&text.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    interrupts::disable();
    if !DYING.swap(true, Ordering::Relaxed) {
        cpu::stop_other();
        println!("panic: {info}");
        let frame: u64;
        // SAFETY: only reads a register.
        unsafe { core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack)) };
        stack(frame);
        serial::last_words(b"the image panicked; see the console");
    }
    console::write(b"\n");
    exit(Exit::Failure)
}
