//! Timers: programs that run again and again, at whatever is interrupted then. The platform has one timer below for all of them. It ticks at
//! least as often as the fastest wants, if it can, and each runs when its own time has come.
//!
//! A timer is a [`Site`] without a place in the text. There are a few places for those that have programs; a hook finds them without a
//! lock, and a place is given to another timer only when every hook that may have seen the one before has ended.

use super::{
    arch::current::{self, Registers},
    pool::HOOKS,
    site::{Site, SiteKind, SiteState},
    Point, Settings,
};
use crate::platform::{StackTest, Ticking};
use core::sync::atomic::{AtomicU64, Ordering};

/// How often programs run, and in whose time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerPeriod {
    /// Nanoseconds from one time to the next, at most [`LONGEST_PERIOD_NS`](Self::LONGEST_PERIOD_NS).
    pub period_ns: u64,
    /// In the time of the clock. Else in that of each CPU, or in a process each thread, that works.
    pub by_clock: bool,
}

impl TimerPeriod {
    /// An hour.
    pub const LONGEST_PERIOD_NS: u64 = 3_600_000_000_000;

    /// The site that stands for it.
    pub const fn site(self) -> Site {
        Site { addr: self.period_ns << 1 | self.by_clock as u64, kind: SiteKind::Timer }
    }

    /// The timer that a site stands for.
    pub const fn of(site: Site) -> Option<TimerPeriod> {
        match site.kind {
            SiteKind::Timer => Some(TimerPeriod { period_ns: site.addr >> 1, by_clock: site.addr & 1 != 0 }),
            SiteKind::Patchable | SiteKind::Mcount | SiteKind::Instrumented => None,
        }
    }
}

/// Whose timers tick: those in the time of CPUs.
pub const OF_CPU: u64 = 1;
/// Whose timers tick: those in the time of the clock.
pub const BY_CLOCK: u64 = 2;

/// Timers that can have programs at a time.
const PLACES: usize = 8;

/// A place for a timer.
struct TimerPlace {
    /// The address of its site; 0 for none.
    site: AtomicU64,
    /// When its time comes next.
    next_ns: AtomicU64,
    state: SiteState,
}

static TIMERS: [TimerPlace; PLACES] =
    [const { TimerPlace { site: AtomicU64::new(0), next_ns: AtomicU64::new(0), state: SiteState::new(0) } }; PLACES];

/// The time of CPUs, and that of the clock, while timers tick.
static TIME_NS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// Nanoseconds between two ticks, for each of them; 0 while there are none.
static TICK_NS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// When the last tick was, by the clock.
static LAST_NS: AtomicU64 = AtomicU64::new(0);
/// In interrupts.
static REST: Rest = Rest { until_ns: AtomicU64::new(0) };

/// Lets what is interrupted go on where programs take longer than a tick: the next interrupt is there already when they end.
struct Rest {
    until_ns: AtomicU64,
}

impl Rest {
    fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.until_ns.load(Ordering::Relaxed)
    }

    /// Programs have run from one moment to another. Those that take more than half of a tick rest as long.
    fn begin(&self, began_ns: u64, now_ns: u64, tick_ns: u64) {
        let took = now_ns.saturating_sub(began_ns);
        if took > tick_ns / 2 {
            self.until_ns.store(now_ns.saturating_add(took), Ordering::Relaxed);
        }
    }
}

impl TimerPlace {
    fn timer(&self) -> Option<TimerPeriod> {
        match self.site.load(Ordering::Acquire) {
            0 => None,
            addr => TimerPeriod::of(Site { addr, kind: SiteKind::Timer }),
        }
    }

    /// How often its time has come, the last time now, where it comes after each `period_ns`, which is no shorter than a tick. A tick that is
    /// early by less than half is in time.
    fn due(&self, now_ns: u64, period_ns: u64, tick_ns: u64) -> u64 {
        let period = period_ns.max(1);
        let now = now_ns.saturating_add(tick_ns / 2);
        let mut due = 0;
        let _ = self.next_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            due = now.checked_sub(next).map_or(0, |late| late / period + 1);
            (due > 0).then(|| next.wrapping_add(due.wrapping_mul(period)))
        });
        due
    }
}

/// Nanoseconds from one time of a timer to the next, and those between two ticks of its kind.
fn period_and_tick_ns(timer: TimerPeriod) -> (u64, u64) {
    let tick = tick_ns(timer);
    (timer.period_ns.max(tick), tick)
}

/// Says that the time of timers goes on, by `passed_ns`, or as the clock does where that is 0; `of` says which. Calls `each` with the state of each timer
/// whose time has come. *Hook path.*
pub(super) fn tick(
    passed_ns: u64,
    of: u64,
    settings: &Settings,
    mut each: impl FnMut(&'static SiteState, TimerPeriod),
) {
    let passed = match passed_ns {
        0 => {
            let now = settings.platform.clock.now_ns();
            now.saturating_sub(LAST_NS.swap(now, Ordering::Relaxed))
        }
        passed => {
            let unseen = HOOKS.unseen_ticks.swap(0, Ordering::Relaxed);
            passed.saturating_mul(unseen.saturating_add(1))
        }
    };
    let mut now = [0; 2];
    for (class, now) in now.iter_mut().enumerate().filter(|(class, _)| of >> class & 1 != 0) {
        *now = TIME_NS[class].fetch_add(passed, Ordering::Relaxed).wrapping_add(passed);
    }
    let began = settings.platform.cpu.in_interrupt().then(|| settings.platform.clock.now_ns());
    let runs = began.is_none_or(|began| REST.is_over(began));
    for place in &TIMERS {
        let ticks = |timer: &TimerPeriod| of >> usize::from(timer.by_clock) & 1 != 0;
        let Some(timer) = place.timer().filter(ticks) else { continue };
        let (period, tick) = period_and_tick_ns(timer);
        let due = place.due(now[usize::from(timer.by_clock)], period, tick);
        if due > 0 {
            place.state.misses.fetch_add(due - u64::from(runs), Ordering::Relaxed);
            if runs {
                each(&place.state, timer);
            }
        }
    }
    if let Some(began) = began.filter(|_| runs) {
        let ticks = TICK_NS.iter().map(|tick| tick.load(Ordering::Relaxed)).filter(|tick| *tick != 0);
        REST.begin(began, settings.platform.clock.now_ns(), ticks.min().unwrap_or(0));
    }
}

/// Time that the timer of a point has counted; 0 for other points.
pub(super) fn time_of(point: Point) -> u64 {
    match TimerPeriod::of(point.site()) {
        Some(timer) => TIME_NS[usize::from(timer.by_clock)].load(Ordering::Relaxed),
        None => 0,
    }
}

/// Nanoseconds between two ticks of the platform for such a timer, while it ticks. The timer itself can have no shorter period.
pub(super) fn tick_ns(timer: TimerPeriod) -> u64 {
    TICK_NS[usize::from(timer.by_clock)].load(Ordering::Relaxed)
}

/// Ticks of the platform, of its fastest timer; 0 while there are none.
pub(super) fn ticks_per_second() -> u64 {
    let rate = |tick: &AtomicU64| 1_000_000_000u64.checked_div(tick.load(Ordering::Relaxed)).unwrap_or(0);
    TICK_NS.iter().map(rate).fold(0, u64::max)
}

/// The state of a timer's site, which takes a place unless it has one. The place is free again when [`arm`] finds no programs there.
pub(super) fn state(timer: TimerPeriod) -> Result<&'static SiteState, &'static str> {
    if current::SAMPLED == 0 {
        return Err("on this CPU the registers of what is interrupted are not known");
    }
    let addr = timer.site().addr;
    let with = |addr| TIMERS.iter().find(move |place| place.site.load(Ordering::Relaxed) == addr);
    if let Some(place) = with(addr) {
        return Ok(&place.state);
    }
    let place = with(0).ok_or("eight other timers have programs: detach one of them")?;
    place.next_ns.store(u64::MAX, Ordering::Relaxed);
    place.site.store(addr, Ordering::Release);
    Ok(&place.state)
}

/// Lets the platform's timer tick for the timers that have programs; with none it stands still. Control path, for one caller at a time, when
/// no hook has seen a timer that has no programs any more.
pub(super) fn arm(settings: &Settings) -> Result<(), &'static str> {
    let mut wanted = [0; 2];
    for place in &TIMERS {
        if place.state.probes.load(Ordering::SeqCst).is_null() {
            place.site.store(0, Ordering::Release);
        }
        if let Some(timer) = place.timer() {
            let fastest = &mut wanted[usize::from(timer.by_clock)];
            *fastest = if *fastest == 0 { timer.period_ns } else { timer.period_ns.min(*fastest) };
        }
    }
    let timer = settings.platform.timer;
    if wanted == [0; 2] {
        if TICK_NS.iter().any(|tick| tick.load(Ordering::Relaxed) != 0) {
            timer.into_iter().for_each(|timer| timer.stop());
        }
        TICK_NS.iter().for_each(|tick| tick.store(0, Ordering::Relaxed));
        HOOKS.stack_test.store(0, Ordering::SeqCst);
        return Ok(());
    }
    let timer = timer.ok_or("this platform has none")?;
    if wanted[0] != 0 {
        HOOKS.stack_test.store(timer.stack_test().map_or(0, StackTest::address), Ordering::SeqCst);
    }
    // Time that nobody has counted does not count.
    if TICK_NS.iter().any(|tick| tick.load(Ordering::Relaxed) == 0) {
        LAST_NS.store(settings.platform.clock.now_ns(), Ordering::Relaxed);
    }
    let Ticking { of_cpu_ns, by_clock_ns } = timer.start(Ticking { of_cpu_ns: wanted[0], by_clock_ns: wanted[1] })?;
    TICK_NS[0].store(of_cpu_ns, Ordering::Relaxed);
    TICK_NS[1].store(by_clock_ns, Ordering::Relaxed);
    for (place, timer) in TIMERS.iter().filter_map(|place| Some((place, place.timer()?))) {
        if place.next_ns.load(Ordering::Relaxed) == u64::MAX {
            let now = TIME_NS[usize::from(timer.by_clock)].load(Ordering::Relaxed);
            place.next_ns.store(now.wrapping_add(period_and_tick_ns(timer).0), Ordering::Relaxed);
        }
    }
    Ok(())
}

/// For the platform's timer, at each tick: runs the programs whose time has come, at what it has interrupted. `passed_ns` is the time since the
/// tick before, of this CPU or of the thread that was interrupted, ticks that were lost included; 0: as the clock says. `of` says which timers
/// tick: [`OF_CPU`], [`BY_CLOCK`], or both. To be called by one at a time of those who pass 0, and not again in a thread, or on a CPU, before it has
/// returned. It takes no lock and allocates nothing. *Hook path.*
pub fn sample(registers: &Registers, passed_ns: u64, of: u64) {
    current::sample(registers, passed_ns, of);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_the_one_of_its_site() {
        for timer in [
            TimerPeriod { period_ns: 1, by_clock: false },
            TimerPeriod { period_ns: 1_001_001, by_clock: true },
            TimerPeriod { period_ns: TimerPeriod::LONGEST_PERIOD_NS, by_clock: false },
        ] {
            assert_eq!(TimerPeriod::of(timer.site()), Some(timer));
        }
        assert_eq!(TimerPeriod::of(Site { addr: 7, kind: SiteKind::Patchable }), None);
    }

    #[test]
    fn ticks_of_one_kind_are_nothing_to_the_other() {
        let timer = |by_clock| period_and_tick_ns(TimerPeriod { period_ns: 500, by_clock });
        TICK_NS[0].store(10, Ordering::Relaxed);
        TICK_NS[1].store(1000, Ordering::Relaxed);
        assert_eq!([timer(false), timer(true)], [(500, 10), (1000, 1000)]);
        TICK_NS.iter().for_each(|tick| tick.store(0, Ordering::Relaxed));
    }

    /// Ticks come every 100 ns, or as soon as the programs of the one before have ended; what is interrupted has at least half of the time then.
    #[test]
    fn what_is_interrupted_goes_on_however_long_programs_take() {
        for (took, most) in [(10, 100), (49, 490), (60, 500), (100, 500), (1000, 5000), (100_000, 500_000)] {
            let rest = Rest { until_ns: AtomicU64::new(0) };
            let (mut now, mut busy, mut tick) = (0, 0, 0);
            let end = 10 * took.max(100);
            while now < end {
                tick += 100;
                now = now.max(tick);
                if rest.is_over(now) {
                    rest.begin(now, now + took, 100);
                    (now, busy) = (now + took, busy + took);
                }
            }
            assert!((most / 2..=most + took).contains(&busy), "{took}: {busy}");
        }
    }

    #[test]
    fn each_time_comes_once() {
        let place =
            |next| TimerPlace { site: AtomicU64::new(0), next_ns: AtomicU64::new(next), state: SiteState::new(0) };
        let exact = place(10);
        let due = [9, 10, 19, 20, 55, 56, 60].map(|now| exact.due(now, 10, 0));
        assert_eq!(due, [0, 1, 0, 1, 3, 0, 1]);
        assert_eq!(exact.due(0, 10, 0), 0);
        // Early by half of a tick, however long the period is.
        let by_ticks = place(100);
        assert_eq!([97, 98, 197, 198, 300].map(|now| by_ticks.due(now, 100, 4)), [0, 1, 0, 1, 1]);
    }
}
