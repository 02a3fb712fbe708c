//! Time: the TSC, measured against the PIT once at the start; and the PIT's tick.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use ubpf_rs::platform::Ticks;
use x86_64::instructions::port::Port;

const PIT_HZ: u64 = 1_193_182;
const TICK_HZ: u64 = 1000;
const SAMPLE: u64 = PIT_HZ / 100;

/// Nanoseconds per TSC count, times 2^32.
static SCALE: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);
/// Ticks since the start.
pub static TICKS: AtomicU64 = AtomicU64::new(0);

/// Measures the TSC for 10 ms.
pub fn init() {
    let counts = measure();
    let ns = SAMPLE * 1_000_000_000 / PIT_HZ;
    SCALE.store((u128::from(ns) << 32).checked_div(u128::from(counts)).unwrap_or(0) as u64, Ordering::Relaxed);
    START.store(tsc(), Ordering::Relaxed);
}

/// Nanoseconds since the start.
pub fn now_ns() -> u64 {
    ticks().ns(tsc())
}

/// How the TSC becomes time; known from [`init`] on.
pub fn ticks() -> Ticks {
    Ticks { start: START.load(Ordering::Relaxed), scale: SCALE.load(Ordering::Relaxed) }
}

/// Makes the PIT interrupt at 1 kHz.
pub fn start_tick() {
    let divisor = PIT_HZ / TICK_HZ;
    // SAFETY: programs channel 0 of the PIT, whose interrupt has a handler.
    unsafe {
        Port::<u8>::new(0x43).write(0x34);
        Port::<u8>::new(0x40).write(divisor as u8);
        Port::<u8>::new(0x40).write((divisor >> 8) as u8);
    }
}

fn tsc() -> u64 {
    // SAFETY: every 64-bit CPU has a TSC.
    unsafe { _rdtsc() }
}

/// TSC counts while channel 2 of the PIT runs down from `SAMPLE`.
fn measure() -> u64 {
    let mut gate = Port::<u8>::new(0x61);
    // SAFETY: channel 2 belongs to nobody: its gate on, its speaker off, mode 0; then wait for its output.
    unsafe {
        let old = gate.read() & 0xfc;
        gate.write(old | 1);
        Port::<u8>::new(0x43).write(0xb0);
        Port::<u8>::new(0x42).write(SAMPLE as u8);
        Port::<u8>::new(0x42).write((SAMPLE >> 8) as u8);
        let begin = tsc();
        while gate.read() & 0x20 == 0 {
            core::hint::spin_loop();
        }
        let counts = tsc() - begin;
        gate.write(old);
        counts
    }
}
