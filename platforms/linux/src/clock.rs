//! Time: the TSC where the kernel itself goes by it, measured against the kernel's monotonic clock once; else that clock.

use std::{fs, sync::OnceLock};
use ubpf_rs::platform::{Clock, Ticks};

/// How long the TSC is measured: an error of some ten ns is some ten millionths then.
const MEASURED_NS: u64 = 2_000_000;

/// Monotonic time.
pub struct Monotonic;

impl Clock for Monotonic {
    fn now_ns(&self) -> u64 {
        match ticks() {
            Some(ticks) => ticks.ns(counter()),
            None => kernel(),
        }
    }

    fn ticks(&self) -> Option<Ticks> {
        ticks()
    }
}

/// Measures the TSC, when that was not done yet; later calls only look.
pub(crate) fn ticks() -> Option<Ticks> {
    static TICKS: OnceLock<Option<Ticks>> = OnceLock::new();
    *TICKS.get_or_init(|| counter_is_trusted().then(measure).flatten())
}

fn counter_is_trusted() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    cfg!(target_arch = "x86_64") && fs::read(SOURCE).is_ok_and(|name| name.trim_ascii() == b"tsc")
}

fn measure() -> Option<Ticks> {
    let first = both();
    while kernel().wrapping_sub(first.1) < MEASURED_NS {
        std::hint::spin_loop();
    }
    Ticks::between(first, both())
}

/// Counter and time of one moment: of several pairs the one that took the shortest.
fn both() -> (u64, u64) {
    let pair = || {
        let before = counter();
        let now = kernel();
        let took = counter().wrapping_sub(before);
        (took, (before.wrapping_add(took / 2), now))
    };
    (0..16).map(|_| pair()).min().map_or((0, 0), |(_, pair)| pair)
}

fn kernel() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct behind the pointer; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every 64-bit CPU has a TSC, and Linux lets processes read it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_as_the_kernel_says() {
        let apart = || kernel().abs_diff(Monotonic.now_ns());
        let tolerance = 1_000_000;
        // A moment in which the thread had to wait says nothing.
        let close = || (0..100).any(|_| apart() < tolerance);
        assert!(close());
        let before = Monotonic.now_ns();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(Monotonic.now_ns() - before >= 19_990_000 && close());
    }
}
