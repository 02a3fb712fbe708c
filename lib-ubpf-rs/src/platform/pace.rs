//! The application goes on while a command works: long operations are done in pieces, and give way between them.

use super::{Clock, Platform};
use spin::Mutex;

/// How long an operation works before it gives way at the next point where it can, in nanoseconds, where the others need little time.
pub const SLICE_NS: u64 = 200_000;

/// The same at most, however long the others take.
const LONGEST_SLICE_NS: u64 = 25_000_000;
/// Of the time that the others took, the part that an operation then works: an application that is busy loses a ninth of its time, and the
/// operation gets on all the same.
const PART: u64 = 8;

/// How long an operation waits for another one to end before it is refused as "busy", in nanoseconds: where threads are
/// cooperative, and the one that waits may be the application's.
pub const PATIENCE_NS: u64 = 100_000_000;

/// The same where threads are preempted: who is at work may wait for a CPU.
pub const PREEMPTED_PATIENCE_NS: u64 = 10_000_000_000;

/// The person or program that gave the command wants no answer any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cancelled;

/// Where threads are cooperative, a command lets the others run now and then. Control path only: never called from a hook, nor by
/// who holds a lock. The engine may be called by other threads meanwhile.
pub trait GiveWay: Sync {
    /// Lets other threads run, and returns.
    fn give_way(&self);
    /// Whether the command that runs on this thread is to end: `^C` was typed, or its client is gone. Asked after
    /// [`give_way`](Self::give_way); where the answer is yes the command ends.
    fn is_cancelled(&self) -> bool {
        false
    }
    /// How long one operation waits for another, in nanoseconds.
    fn patience_ns(&self) -> u64 {
        PATIENCE_NS
    }
}

/// For platforms whose threads are preempted: nobody has to wait for a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preemptive;

impl GiveWay for Preemptive {
    fn give_way(&self) {
        core::hint::spin_loop();
    }
    fn patience_ns(&self) -> u64 {
        PREEMPTED_PATIENCE_NS
    }
}

/// What is called between the pieces of a long operation.
pub type Pause<'p> = dyn FnMut() -> Result<(), Cancelled> + 'p;

/// For callers in whose place nobody waits.
pub fn no_pause() -> Result<(), Cancelled> {
    Ok(())
}

/// A time of work between two give-ways: [`SLICE_NS`], and longer where the others take long when it is their turn.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    begin: u64,
    ns: u64,
}

impl Slice {
    /// From now on.
    pub fn new(now: u64) -> Self {
        Self { begin: now, ns: SLICE_NS }
    }

    /// Gives way if it is over, and begins the next one; whether it was.
    pub fn give_way_if_over(&mut self, clock: impl Fn() -> u64, give_way: impl FnOnce()) -> bool {
        let now = clock();
        let over = now.wrapping_sub(self.begin) >= self.ns;
        if over {
            self.give_way(now, clock, give_way);
        }
        over
    }

    /// Others run from `then` on; behind them the next one begins.
    fn give_way(&mut self, then: u64, clock: impl Fn() -> u64, give_way: impl FnOnce()) {
        give_way();
        let now = clock();
        let ns = (now.wrapping_sub(then) / PART).clamp(SLICE_NS, LONGEST_SLICE_NS);
        *self = Self { begin: now, ns };
    }
}

/// The pace of one operation: it gives way whenever a [`Slice`] is over.
pub struct Pace<'p> {
    clock: &'p dyn Clock,
    way: &'p dyn GiveWay,
    slice: Slice,
}

impl<'p> Pace<'p> {
    /// From now on.
    pub fn new(platform: &'p Platform) -> Pace<'p> {
        let Platform { clock, give_way, .. } = *platform;
        Pace::of(clock, give_way)
    }

    /// From now on, for a part of a platform.
    #[inline(never)]
    pub fn of(clock: &'p dyn Clock, way: &'p dyn GiveWay) -> Pace<'p> {
        Pace { clock, way, slice: Slice::new(clock.now_ns()) }
    }

    /// Between two pieces of work, no lock being held: gives way when it is time. An error when the operation is to end.
    pub fn point(&mut self) -> Result<(), Cancelled> {
        match self.give_way_if_over() && self.way.is_cancelled() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    /// As [`point`](Self::point), for an operation that goes on in any case.
    pub fn go_on(&mut self) {
        self.give_way_if_over();
    }

    #[inline(never)]
    fn give_way_if_over(&mut self) -> bool {
        self.slice.give_way_if_over(|| self.clock.now_ns(), || self.way.give_way())
    }

    /// Gives way now, no lock being held. An error when the operation is to end.
    pub fn wait(&mut self) -> Result<(), Cancelled> {
        self.give_way(self.clock.now_ns());
        match self.way.is_cancelled() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    fn give_way(&mut self, then: u64) {
        self.slice.give_way(then, || self.clock.now_ns(), || self.way.give_way());
    }

    /// Gives way until `done` says true, or `ns` have passed; the last answer of `done`. Whether the operation is to end is not asked:
    /// for what was begun and cannot be left half done.
    pub fn wait_until(&mut self, ns: u64, mut done: impl FnMut() -> bool) -> bool {
        let start = self.clock.now_ns();
        loop {
            if done() {
                return true;
            }
            let now = self.clock.now_ns();
            if now.wrapping_sub(start) >= ns {
                return done();
            }
            self.give_way(now);
        }
    }
}

/// Whose turn it is to change something: one operation at a time, which may give way meanwhile. Whoever comes second waits by giving
/// way, not for ever, and is then told who is at work.
pub struct Turn(Mutex<Option<&'static str>>);

/// Held by the operation whose turn it is.
pub struct Taken<'t>(&'t Turn);

impl Turn {
    /// Nobody's turn.
    #[allow(clippy::new_without_default)] // for statics
    pub const fn new() -> Turn {
        Turn(Mutex::new(None))
    }

    /// Takes the turn if it is nobody's, else gives the name of who has it.
    pub fn try_take(&self, name: &'static str) -> Result<Taken<'_>, &'static str> {
        let mut holder = self.0.lock();
        match *holder {
            Some(other) => Err(other),
            None => {
                *holder = Some(name);
                Ok(Taken(self))
            }
        }
    }

    /// Takes the turn, waiting for it as long as the platform says; else gives the name of who has it.
    pub fn take(&self, name: &'static str, pace: &mut Pace<'_>) -> Result<Taken<'_>, &'static str> {
        let start = pace.clock.now_ns();
        loop {
            let holder = match self.try_take(name) {
                Ok(taken) => return Ok(taken),
                Err(holder) => holder,
            };
            let waited = pace.clock.now_ns().wrapping_sub(start);
            if waited >= pace.way.patience_ns() || pace.wait().is_err() {
                return Err(holder);
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0 .0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Time goes on by a step at each reading.
    struct Steps(AtomicU64, u64);

    impl Clock for Steps {
        fn now_ns(&self) -> u64 {
            self.0.fetch_add(self.1, Relaxed)
        }
    }

    struct Counted(AtomicU64);

    impl GiveWay for Counted {
        fn give_way(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn an_operation_gives_way_once_a_slice() {
        let clock = Steps(AtomicU64::new(0), SLICE_NS / 4);
        let way = Counted(AtomicU64::new(0));
        let mut pace = Pace::of(&clock, &way);
        for _ in 0..100 {
            pace.point().unwrap();
        }
        // A reading at each point, and one behind each give-way.
        assert_eq!(way.0.load(Relaxed), 25);
    }

    /// A busy application has its turn, and the operation a ninth of the time, but never too long at once.
    #[test]
    fn an_operation_works_longer_where_the_others_do() {
        let clock = Steps(AtomicU64::new(0), 0);
        struct Others<'c>(&'c AtomicU64, AtomicU64);
        impl GiveWay for Others<'_> {
            fn give_way(&self) {
                self.0.fetch_add(self.1.load(Relaxed), Relaxed);
            }
        }
        let others = Others(&clock.0, AtomicU64::new(0));
        let mut pace = Pace::of(&clock, &others);
        let mut worked = |turn: u64| {
            others.1.store(turn, Relaxed);
            pace.wait().unwrap();
            let begin = clock.0.load(Relaxed);
            loop {
                let now = clock.0.fetch_add(1000, Relaxed) + 1000;
                pace.point().unwrap();
                if clock.0.load(Relaxed) != now {
                    return now - begin;
                }
            }
        };
        assert_eq!(worked(1), SLICE_NS);
        assert_eq!(worked(8 * SLICE_NS), SLICE_NS);
        assert_eq!(worked(80 * SLICE_NS), 10 * SLICE_NS);
        assert_eq!(worked(3_600_000_000_000), LONGEST_SLICE_NS);
    }

    #[test]
    fn who_comes_second_waits_and_is_told_who_is_at_work() {
        let clock = Steps(AtomicU64::new(0), PATIENCE_NS / 20);
        let way = Counted(AtomicU64::new(0));
        let mut pace = Pace::of(&clock, &way);
        let turn = Turn::new();
        let first = turn.try_take("detach").unwrap();
        assert_eq!(turn.take("attach", &mut pace).err(), Some("detach"));
        assert!(way.0.load(Relaxed) >= 4);
        drop(first);
        assert!(turn.take("attach", &mut pace).is_ok());
    }
}
