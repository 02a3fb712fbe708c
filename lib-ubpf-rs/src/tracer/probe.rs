//! Probes: programs attached to a site, their counters, and what a hook hands to a program.

use super::{
    arch::current::{Frame, Registers},
    frames::{self, Waiting},
    point::Point,
    pool::{HOOKS, MOST_CONTEXT_BYTES, PROGRAM_STACK},
    ring::Fault,
    site::SiteState,
    stack::StackAt,
    Settings,
};
use crate::{
    platform::copied,
    vm::{Detour, Direct},
};
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::{
    any::Any,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Shortest time between two reports of one failing probe.
pub const REPORT_INTERVAL_NS: u64 = 1_000_000_000;

/// What a probe runs. The runtime implements it over an executable program and its helpers. *Hook path.*
pub trait HookProgram: Any + Send + Sync {
    /// Runs once. A program that is stopped says so through [`Hook::fail`].
    fn run(&self, hook: Hook<'_>) -> Result<(), Failed>;
    /// How its machine code is called.
    ///
    /// # Errors
    /// What it needs that is not there then.
    fn direct(&self) -> Result<Direct, Detour> {
        Err(Detour::Interpreted)
    }
    /// Whether it wants to know, when a function returns, when it was entered.
    fn wants_entry_time(&self) -> bool {
        false
    }
}

/// Where sums are kept to which programs add: what those would have added that need not run is added there.
pub trait Sums: Sync {
    /// Adds to the sum under two keys, as often as that at once.
    fn add_often(&self, key1: u64, key2: u64, more: u64, times: u64);
}

/// What one run of an attached program is given. Everything lies in the hook area.
pub struct Hook<'a> {
    /// Room for the program's argument: the key in the first 8 bytes, zeros after it.
    pub context: &'a mut [u8; MOST_CONTEXT_BYTES],
    /// Stack of the program. Not cleared.
    pub stack: &'a mut [u8; PROGRAM_STACK],
    /// Budget of this run.
    pub budget: u64,
    /// Key of the site; of a timer, where it has interrupted.
    pub key: u64,
    /// Where the function begins; 0 where that is unknown.
    pub start: u64,
    /// The number that the program was attached with.
    pub cookie: u64,
    /// How many arguments the function has, if somebody said so.
    pub arguments: Option<u8>,
    /// Registers of the traced function, at its entry or as it returns.
    pub frame: &'a Frame,
    /// What is known of a call that returns; nothing at an entry.
    pub returned: Option<&'a Returned>,
    /// The stack below the function.
    pub stack_at: StackAt,
    /// What a timer has interrupted; nothing at a function. Its `frame` has the same registers.
    pub sample: Option<&'a Sample<'a>>,
    pub(super) failures: Failures<'a>,
}

/// What a program at a return is told of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returned {
    /// What it returns in its first register.
    pub value: u64,
    /// What it was given in registers.
    pub arguments: [u64; 6],
    /// Where it returns to.
    pub home: u64,
    /// The stack pointer then.
    pub stack: u64,
    /// When it was entered; 0 unless the program [wants to know](HookProgram::wants_entry_time).
    pub entered_ns: u64,
}

/// What a timer has interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The registers, in the order of Linux (`struct pt_regs`).
    pub registers: &'a Registers,
    /// Nanoseconds from one time to the next.
    pub period_ns: u64,
}

/// A program was stopped and its failure counted; made by [`Hook::fail`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed(());

impl Hook<'_> {
    /// Reports that the program of this name was stopped; at a bounded rate this reaches the output ring.
    pub fn fail(self, fault: Fault, name: &str) -> Failed {
        self.failures.report(fault, name)
    }

    /// Takes the hook apart, for callers that lend memory and report apart from each other.
    pub fn split(&mut self) -> (&mut [u8; MOST_CONTEXT_BYTES], &mut [u8; PROGRAM_STACK], Failures<'_>) {
        (&mut *self.context, &mut *self.stack, self.failures)
    }
}

/// Where failures of one probe are reported.
#[derive(Clone, Copy)]
pub struct Failures<'a> {
    pub(super) probe: &'a Probe,
    pub(super) settings: &'a Settings,
}

impl Failures<'_> {
    /// Reports that the program was stopped; at a bounded rate this reaches the output ring.
    pub fn report(&self, fault: Fault, name: &str) -> Failed {
        let now_ns = self.settings.platform.clock.now_ns();
        if self.probe.may_report(now_ns) {
            self.settings.ring.push_error(now_ns, fault, name);
        }
        Failed(())
    }
}

/// Names an attached program until it is detached; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProbeId(pub(super) u64);

impl ProbeId {
    /// As a number for the C interface; counted up from 1.
    pub fn raw(self) -> u64 {
        self.0
    }
    /// From a number; it may name nothing.
    pub fn from_raw(raw: u64) -> Self {
        ProbeId(raw)
    }
}

/// How long a probe stays, and what its program is told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AttachOptions {
    /// Detach after this many runs.
    pub max_runs: Option<u64>,
    /// Detach after this time.
    pub max_ns: Option<u64>,
    /// A number for the program, which it asks for with `bpf_get_attach_cookie`.
    pub cookie: u64,
    /// How many arguments the function has, up to 6; `None` where nobody says so.
    pub arguments: Option<u8>,
    /// To the return of a function: of a program that does not say itself where it belongs.
    pub at_return: bool,
    /// The calls that the engine's own control path makes run it, too: of the thread that serves the shell, where that allocates or reads files. At
    /// a timer of a CPU's time also what that thread does, and the thread that runs where no other can.
    pub own: bool,
}

/// Counters of one probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeReport {
    /// Its id.
    pub id: ProbeId,
    /// Name of the program.
    pub program: String,
    /// Name of the function as it was attached.
    pub function: String,
    /// What it hangs on.
    pub point: Point,
    /// How often the site was passed, or the time had come, since the attach: `runs + misses`, and at returns `outstanding` and `abandoned` beside.
    pub hits: u64,
    /// How often the program ran.
    pub runs: u64,
    /// How often it could not run: no hook area free, or inside another hook; at returns also: no room to remember the call; at a timer: its
    /// time had come again before it ran.
    pub misses: u64,
    /// Calls that have not returned yet, of a program at returns.
    pub outstanding: u64,
    /// Calls that will not return, of such a program: somebody jumped out of them, or their thread has ended.
    pub abandoned: u64,
    /// Calls that the engine's own control path has made, at which it did not run; they are no hits.
    pub left_out: u64,
    /// How many of the runs were stopped.
    pub failures: u64,
    /// Why it takes the general entry of hooks; `None` where it runs straight from the function.
    pub detour: Option<Detour>,
    /// Failures that were not written out, to bound the rate.
    pub unreported: u64,
    /// Run time of those runs that were timed.
    pub run_ns: u64,
    /// How many runs were timed (statistics on).
    pub timed_runs: u64,
    /// Time of its timer since the attach: see [`TimerPeriod`](super::TimerPeriod). 0 at functions.
    pub timer_ns: u64,
}

pub(super) struct Probe {
    pub id: ProbeId,
    pub point: Point,
    pub state: &'static SiteState,
    pub program: Box<str>,
    pub function: Box<str>,
    pub body: Arc<dyn HookProgram>,
    /// It may look at the two-key map, or change it in a way that the number of its runs does not tell.
    pub looks: bool,
    pub max_runs: u64,
    pub cookie: u64,
    pub arguments: Option<u8>,
    /// The engine's own calls run it, too.
    pub own: bool,
    /// It is told `-errno` where the function returns -1.
    pub wants_errno: bool,
    /// Time of auto-detach, `u64::MAX` for never.
    pub deadline_ns: u64,
    /// The timer's time when it was attached.
    pub since_ns: u64,
    /// Misses of the site, and of its returns, before this probe came.
    pub misses_before: [u64; 2],
    /// It runs while the number of those that have started is above this one,
    pub from: u64,
    /// and at most this one, which is that of the program that takes its place.
    pub until: AtomicU64,
    pub counts: Arc<Counts>,
}

/// What is counted of a probe. The program that takes the place of its own goes on with it.
#[derive(Default)]
pub(super) struct Counts {
    /// Calls that could not be made to come back.
    pub refused: AtomicU64,
    /// Calls that will not come back.
    pub abandoned: AtomicU64,
    /// Calls of the engine's own.
    pub left_out: AtomicU64,
    /// Its time is over; the control path detaches it then.
    pub over: AtomicBool,
    pub runs: AtomicU64,
    pub failures: AtomicU64,
    pub unreported: AtomicU64,
    pub next_report_ns: AtomicU64,
    pub run_ns: AtomicU64,
    pub timed_runs: AtomicU64,
}

/// How many probes had started at a moment: of a program and the one that takes its place exactly one runs then. A hook looks once for a
/// call, after it has seen the list of probes.
#[derive(Clone, Copy)]
pub(super) struct Started(u64);

impl Started {
    pub fn now() -> Started {
        Started(HOOKS.started.load(Ordering::Relaxed))
    }
}

/// The probes of a site in attach order; immutable once published.
pub(super) struct ProbeList {
    pub probes: Vec<Arc<Probe>>,
}

impl ProbeList {
    /// Counts a call of the engine's own for those of these programs that do not run at such. *Hook path.*
    pub fn leave_out(&self, of: impl Fn(&Probe) -> bool) {
        for probe in self.probes.iter().filter(|probe| !probe.is_for(true) && of(probe)) {
            probe.counts.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Probe {
    /// Whether it runs at calls that are the engine's own, or are not.
    pub fn is_for(&self, own: bool) -> bool {
        !own || self.own
    }

    /// What its program is told of a call that returns. *Hook path.*
    pub fn told(&self, returned: Returned, settings: &Settings) -> Returned {
        let failed = self.wants_errno && returned.value == u64::MAX;
        match failed.then(|| settings.platform.cpu.errno()).flatten() {
            Some(errno) => Returned { value: i64::from(errno).wrapping_neg() as u64, ..returned },
            None => returned,
        }
    }

    /// Whether it is there already, and no other one in its place.
    pub fn is_there(&self, started: Started) -> bool {
        self.from < started.0 && started.0 <= self.until.load(Ordering::Relaxed)
    }

    /// Counts one run; false while the probe does not run, and when its runs are used up.
    pub fn begin(&self, started: Started) -> bool {
        if !self.is_there(started) || self.counts.over.load(Ordering::Relaxed) {
            return false;
        }
        let before = self.counts.runs.fetch_add(1, Ordering::Relaxed);
        if before < self.max_runs {
            return true;
        }
        self.counts.runs.fetch_sub(1, Ordering::Relaxed);
        self.counts.over.store(true, Ordering::Relaxed);
        false
    }

    /// Whether runs or time are used up.
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.counts.over.load(Ordering::Relaxed)
            || self.runs() >= self.max_runs
            || self.deadline_ns != u64::MAX && now_ns >= self.deadline_ns
    }

    fn may_report(&self, now_ns: u64) -> bool {
        let next_report_ns = &self.counts.next_report_ns;
        let due = next_report_ns.load(Ordering::Relaxed);
        let next = now_ns.saturating_add(REPORT_INTERVAL_NS);
        let swap = |due| next_report_ns.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        let ours = now_ns >= due && swap(due).is_ok();
        if !ours {
            self.counts.unreported.fetch_add(1, Ordering::Relaxed);
        }
        ours
    }

    /// How often it could not run.
    fn misses(&self) -> u64 {
        let [before, returns_before] = self.misses_before;
        let misses = self.state.misses.load(Ordering::Relaxed).wrapping_sub(before);
        match self.point {
            Point::Entry(_) | Point::Timer(_) => misses,
            Point::Return(_) => {
                let returns = self.state.return_misses.load(Ordering::Relaxed).wrapping_sub(returns_before);
                misses.saturating_add(returns).saturating_add(self.counts.refused.load(Ordering::Relaxed))
            }
        }
    }

    /// Runs that were counted here.
    pub fn runs(&self) -> u64 {
        self.counts.runs.load(Ordering::Relaxed)
    }

    /// Its counters; `runs` is how often it ran, `time_ns` the time of its timer. `None` without memory for the names.
    pub fn report(&self, runs: u64, time_ns: u64, detour: Option<Detour>, settings: &Settings) -> Option<ProbeReport> {
        let counts = &self.counts;
        let misses = self.misses();
        let Waiting { outstanding, abandoned } = frames::waiting(self, settings);
        let abandoned = abandoned.saturating_add(counts.abandoned.load(Ordering::Relaxed));
        Some(ProbeReport {
            id: self.id,
            program: copied(&self.program)?,
            function: copied(&self.function)?,
            point: self.point,
            hits: [misses, outstanding, abandoned].into_iter().fold(runs, u64::saturating_add),
            runs,
            misses,
            outstanding,
            abandoned,
            left_out: counts.left_out.load(Ordering::Relaxed),
            failures: counts.failures.load(Ordering::Relaxed),
            detour,
            unreported: counts.unreported.load(Ordering::Relaxed),
            run_ns: counts.run_ns.load(Ordering::Relaxed),
            timed_runs: counts.timed_runs.load(Ordering::Relaxed),
            timer_ns: time_ns.saturating_sub(self.since_ns),
        })
    }
}

/// Whether an attached program is meant by a name: its own, or that of the object, or the file, that it came with (`x.pkg` of `x.pkg:enter`).
pub fn goes_by(program: &str, name: &str) -> bool {
    program.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}
