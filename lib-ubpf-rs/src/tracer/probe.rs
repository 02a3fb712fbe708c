//! Probes: programs attached to a site, their counters, and what a hook hands to a program.

use super::{
    arch::current::Frame,
    frames::{self, Waiting},
    point::Point,
    pool::{HOOKS, HOOK_CONTEXT_BYTES, PROGRAM_STACK},
    site::SiteState,
    Settings,
};
use crate::{platform::copied, vm::Direct};
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Shortest time between two reports of one failing probe.
pub const REPORT_INTERVAL_NS: u64 = 1_000_000_000;

/// What a probe runs. The runtime implements it over an executable program and its helpers. *Hook path.*
pub trait HookProgram: Send + Sync {
    /// Runs once. A program that is stopped says so through [`Hook::fail`].
    fn run(&self, hook: Hook<'_>) -> Result<(), Failed>;
    /// How its machine code is called, where it needs nothing but its argument.
    fn direct(&self) -> Option<Direct> {
        None
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
    /// Room for the program's argument: the site's key in the first 8 bytes, zeros after it.
    pub context: &'a mut [u8; HOOK_CONTEXT_BYTES],
    /// Stack of the program. Not cleared.
    pub stack: &'a mut [u8; PROGRAM_STACK],
    /// Budget of this run.
    pub budget: u64,
    /// Key of the site.
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

/// A program was stopped and its failure counted; made by [`Hook::fail`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed(());

impl Hook<'_> {
    /// Reports that the program was stopped; at a bounded rate this reaches the output ring.
    pub fn fail(self, why: fmt::Arguments<'_>) -> Failed {
        self.failures.report(why)
    }

    /// Takes the hook apart, for callers that lend memory and report apart from each other.
    pub fn split(&mut self) -> (&mut [u8; HOOK_CONTEXT_BYTES], &mut [u8; PROGRAM_STACK], Failures<'_>) {
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
    pub fn report(&self, why: fmt::Arguments<'_>) -> Failed {
        let now_ns = self.settings.platform.clock.now_ns();
        if self.probe.may_report(now_ns) {
            self.settings.ring.push_error(now_ns, why);
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
    /// How often the site was passed since the attach: `runs + misses`, and at returns `outstanding` and `abandoned` beside.
    pub hits: u64,
    /// How often the program ran.
    pub runs: u64,
    /// How often it could not run: no hook area free, or inside another hook; at returns also: no room to remember the call.
    pub misses: u64,
    /// Calls that have not returned yet, of a program at returns.
    pub outstanding: u64,
    /// Calls that will not return, of such a program: somebody jumped out of them, or their thread has ended.
    pub abandoned: u64,
    /// How many of the runs were stopped.
    pub failures: u64,
    /// Failures that were not written out, to bound the rate.
    pub unreported: u64,
    /// Run time of those runs that were timed.
    pub run_ns: u64,
    /// How many runs were timed (statistics on).
    pub timed_runs: u64,
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
    /// Time of auto-detach, `u64::MAX` for never.
    pub deadline_ns: u64,
    /// Misses of the site, and of its returns, before this probe came.
    pub misses_before: [u64; 2],
    /// Calls that could not be made to come back.
    pub refused: AtomicU64,
    /// Calls that will not come back.
    pub abandoned: AtomicU64,
    /// Cleared when its time is over; the control path detaches it then.
    pub live: AtomicBool,
    pub runs: AtomicU64,
    pub failures: AtomicU64,
    pub unreported: AtomicU64,
    pub next_report_ns: AtomicU64,
    pub run_ns: AtomicU64,
    pub timed_runs: AtomicU64,
}

/// The probes of a site in attach order; immutable once published.
pub(super) struct ProbeList {
    pub probes: Vec<Arc<Probe>>,
}

impl Probe {
    /// Whether it is there already.
    pub fn has_started(&self) -> bool {
        self.id.0 < HOOKS.started.load(Ordering::Relaxed)
    }

    /// Counts one run; false before the probe runs, and when its runs are used up.
    pub fn begin(&self) -> bool {
        if !self.has_started() || !self.live.load(Ordering::Relaxed) {
            return false;
        }
        let before = self.runs.fetch_add(1, Ordering::Relaxed);
        if before < self.max_runs {
            return true;
        }
        self.runs.fetch_sub(1, Ordering::Relaxed);
        self.live.store(false, Ordering::Relaxed);
        false
    }

    /// Whether runs or time are used up.
    pub fn is_over(&self, now_ns: u64) -> bool {
        !self.live.load(Ordering::Relaxed)
            || self.runs.load(Ordering::Relaxed) >= self.max_runs
            || self.deadline_ns != u64::MAX && now_ns >= self.deadline_ns
    }

    fn may_report(&self, now_ns: u64) -> bool {
        let due = self.next_report_ns.load(Ordering::Relaxed);
        let next = now_ns.saturating_add(REPORT_INTERVAL_NS);
        let swap = |due| self.next_report_ns.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        let ours = now_ns >= due && swap(due).is_ok();
        if !ours {
            self.unreported.fetch_add(1, Ordering::Relaxed);
        }
        ours
    }

    /// How often it could not run.
    fn misses(&self) -> u64 {
        let [before, returns_before] = self.misses_before;
        let misses = self.state.misses.load(Ordering::Relaxed).wrapping_sub(before);
        match self.point {
            Point::Entry(_) => misses,
            Point::Return(_) => {
                let returns = self.state.return_misses.load(Ordering::Relaxed).wrapping_sub(returns_before);
                misses.saturating_add(returns).saturating_add(self.refused.load(Ordering::Relaxed))
            }
        }
    }

    /// Its counters; `direct` is how often it ran without being counted here. `None` without memory for the names.
    pub fn report(&self, direct: u64, settings: &Settings) -> Option<ProbeReport> {
        let runs = self.runs.load(Ordering::Relaxed).saturating_add(direct);
        let misses = self.misses();
        let Waiting { outstanding, abandoned } = frames::waiting(self, settings);
        let abandoned = abandoned.saturating_add(self.abandoned.load(Ordering::Relaxed));
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
            failures: self.failures.load(Ordering::Relaxed),
            unreported: self.unreported.load(Ordering::Relaxed),
            run_ns: self.run_ns.load(Ordering::Relaxed),
            timed_runs: self.timed_runs.load(Ordering::Relaxed),
        })
    }
}
