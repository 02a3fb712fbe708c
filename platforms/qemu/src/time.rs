//! Time: the TSC, measured against the PIT once at the start; and the PIT's tick.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use ubpf_rs::platform::Ticks;
use x86_64::instructions::port::Port;

const PIT_HZ: u64 = 1_193_182;
const TICK_HZ: u64 = 1000;
const SAMPLE: u64 = PIT_HZ / 100;
const TRIES: u32 = 16;
/// More than fit into the time of a sample.
const READINGS: u32 = 100_000;

/// Nanoseconds per TSC count, times 2^32.
static SCALE: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);
/// Ticks since the start.
pub static TICKS: AtomicU64 = AtomicU64::new(0);

/// Measures the TSC for some 10 ms.
pub fn init() {
    let (counts, ticks) = measure();
    let ns = ticks * 1_000_000_000 / PIT_HZ;
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

/// TSC counts and PIT counts that passed together: channel 2 runs down once and is read twice. The host may take the CPU away at any
/// time: what then passes, both count; a reading that was interrupted is not used, and a PIT that ran out is started again.
fn measure() -> (u64, u64) {
    let mut gate = Port::<u8>::new(0x61);
    // SAFETY: channel 2 belongs to nobody: its gate on, its speaker off.
    let old = unsafe { gate.read() } & 0xfc;
    // SAFETY: as above.
    unsafe { gate.write(old | 1) };
    let mut passed = (0, SAMPLE);
    for _ in 0..TRIES {
        // SAFETY: as above: mode 0, from the largest number down.
        unsafe {
            Port::<u8>::new(0x43).write(0xb0);
            Port::<u8>::new(0x42).write(0xff);
            Port::<u8>::new(0x42).write(0xff);
        }
        let first = reading();
        let late = |last: &(u64, u64)| last.1 > first.1 || first.1 - last.1 >= SAMPLE;
        let last = (0..READINGS).map(|_| reading()).find(late).unwrap_or_else(reading);
        passed = (last.0.wrapping_sub(first.0), first.1.saturating_sub(last.1).max(1));
        // SAFETY: as above; the bit says that the count went through zero.
        if unsafe { gate.read() } & 0x20 == 0 {
            break;
        }
    }
    // SAFETY: as it was.
    unsafe { gate.write(old) };
    passed
}

/// TSC and channel 2 at the same time: of some readings the one that took the shortest.
fn reading() -> (u64, u64) {
    let one = |_| {
        let before = tsc();
        // SAFETY: latches channel 2 and reads what it latched.
        let count = unsafe {
            Port::<u8>::new(0x43).write(0x80);
            let low = Port::<u8>::new(0x42).read();
            u64::from(u16::from_le_bytes([low, Port::<u8>::new(0x42).read()]))
        };
        (tsc().wrapping_sub(before), (before, count))
    };
    let readings = (0..4).map(one);
    readings.min_by_key(|reading| reading.0).map_or((0, 0), |reading| reading.1)
}
