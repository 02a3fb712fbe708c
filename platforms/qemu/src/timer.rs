//! Programs of timers: each CPU has a tick, and while there are such programs each tick looks whether their time has come.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ubpf_rs::platform::{Ticking, Timer};
use ubpf_rs::tracer::{sample, Registers, BY_CLOCK, OF_CPU};

use crate::time;

/// The tick of the image, which is there in any case.
pub struct Ticks;

/// Nanoseconds between two ticks.
const TICK_NS: u64 = 1_000_000;
/// CPUs; the first one counts the time of the clock.
const CPUS: usize = 2;

static ON: AtomicBool = AtomicBool::new(false);
/// When each CPU's last tick was.
static LAST_NS: [AtomicU64; CPUS] = [const { AtomicU64::new(0) }; CPUS];

impl Timer for Ticks {
    fn start(&self, wanted: Ticking) -> Result<Ticking, &'static str> {
        if !ON.load(Ordering::Relaxed) {
            let now = time::now_ns();
            LAST_NS.iter().for_each(|last| last.store(now, Ordering::Relaxed));
        }
        ON.store(true, Ordering::Release);
        let tick = |wanted| if wanted == 0 { 0 } else { TICK_NS };
        Ok(Ticking { of_cpu_ns: tick(wanted.of_cpu_ns), by_clock_ns: tick(wanted.by_clock_ns) })
    }

    fn stop(&self) {
        ON.store(false, Ordering::Release);
    }
}

/// Whether a tick is to be told to [`tick`].
pub fn is_on() -> bool {
    ON.load(Ordering::Acquire)
}

/// A tick of a CPU, which has interrupted something with these registers; interrupts are off.
pub fn tick(cpu: usize, registers: &Registers) {
    let Some(last) = LAST_NS.get(cpu) else { return };
    let now = time::now_ns();
    let passed = now.saturating_sub(last.swap(now, Ordering::Relaxed)).max(1);
    sample(registers, passed, if cpu == 0 { OF_CPU | BY_CLOCK } else { OF_CPU });
}
