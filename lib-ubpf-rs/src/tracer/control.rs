//! The control path: the one tracer of an image, its sites, attach and detach.

use super::{
    arch::current::patch::STUB_LEN,
    direct::{self, Gates, Leaving, Trampoline},
    frames,
    point::Point,
    pool,
    pool::{Grace, Lost, HOOKS},
    probe::{goes_by, Probe, ProbeId, ProbeList, ProbeReport, Started, Sums},
    refused::Refused,
    ring::Ring,
    site::{Site, SiteKind, SiteState},
    slot::Slot,
    timer::{self, TimerPeriod},
};
use crate::platform::{Cancelled, Pace, PatchError, Platform, Taken, Turn};
use crate::program::limits::{HOOK_AREAS, HOOK_STACK, RETURN_FRAMES};
use crate::vm::Detour;
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    mem, ptr,
    sync::atomic::{AtomicBool, Ordering},
};
use spin::{Mutex, MutexGuard};

/// Sizes and limits of the tracer, fixed at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TracerConfig {
    /// How many hooks can run at once (threads, interrupts and CPUs together), at most 64.
    pub hook_areas: usize,
    /// Bytes of stack of each.
    pub hook_stack: usize,
    /// Budget of one run in a thread.
    pub budget: u64,
    /// Budget of one run in an interrupt.
    pub budget_interrupt: u64,
    /// How many calls can be remembered at once that programs wait for the return of; rounded up. The memory for them is taken when the first
    /// such program comes.
    pub return_frames: usize,
}

impl Default for TracerConfig {
    fn default() -> Self {
        TracerConfig {
            hook_areas: HOOK_AREAS,
            hook_stack: HOOK_STACK,
            budget: 62_500,
            budget_interrupt: 8_192,
            return_frames: RETURN_FRAMES,
        }
    }
}

/// Why the tracer could not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitError {
    /// It runs already.
    Twice,
    /// No memory for the hook areas.
    NoMemory {
        /// How many were asked for.
        hook_areas: usize,
    },
}

/// Why a probe could not be detached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DetachError {
    /// No such probe; it may have been detached by itself.
    NotAttached,
    /// The text could not be changed back; the probe is off all the same.
    Patch(PatchError),
    /// Another operation changes what is attached, and takes its time; everything is as it was.
    Busy {
        /// The other operation.
        command: &'static str,
    },
    /// No memory for the list of those that stay; everything is as it was.
    NoMemory,
}

/// Why there is no report on what is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoReport {
    /// The caller wants none any more.
    Cancelled(Cancelled),
    /// No memory for it.
    NoMemory,
}

/// What hooks need, fixed at start.
pub(super) struct Settings {
    pub platform: Platform,
    pub ring: &'static Ring,
    pub budget: u64,
    pub budget_interrupt: u64,
    pub return_frames: usize,
}

/// The tracer of this image.
pub static TRACER: Tracer = Tracer {
    settings: Slot::new(),
    starting: AtomicBool::new(false),
    stats: AtomicBool::new(false),
    sums: Mutex::new(None),
    turn: Turn::new(),
    control: Mutex::new(TracerState {
        sites: Vec::new(),
        refused: Vec::new(),
        attached: Vec::new(),
        kept: Vec::new(),
        leaked: 0,
        lost: Lost::new(),
        stuck: Vec::new(),
        gates: Gates::new(),
        next_id: 1,
        limited: false,
        lookers: 0,
    }),
};

/// The tracer of an image; there is only one, [`TRACER`].
pub struct Tracer {
    settings: Slot<Settings>,
    starting: AtomicBool,
    stats: AtomicBool,
    /// Read on the control path only.
    sums: Mutex<Option<&'static dyn Sums>>,
    /// Who changes what is attached. It waits for hooks to end, and gives way meanwhile.
    turn: Turn,
    /// Held for a moment only: never while somebody waits or gives way.
    pub(super) control: Mutex<TracerState>,
}

/// How long a hook is waited for. Its budget is over in far less; a thread that was taken off its CPU in the midst of it comes back in
/// this time unless it was stopped.
const HOOK_ENDS_NS: u64 = 1_000_000_000;

/// Why the tracer's turn is nobody else's: the name of who has it.
type Busy = &'static str;

pub(super) struct TracerState {
    /// Ascending by address, each once.
    pub(super) sites: Vec<Site>,
    /// Stubs that cannot be used; ascending by record, each once.
    pub(super) refused: Vec<Refused>,
    /// Changed by who has the turn.
    pub(super) attached: Vec<Attached>,
    /// Lists that a hook which does not end may still read.
    kept: Vec<KeptList>,
    /// How many of those there was no room for in `kept`: they are never freed.
    leaked: usize,
    lost: Lost,
    /// Sites whose call could not be taken out of the text.
    pub(super) stuck: Vec<Stuck>,
    pub(super) gates: Gates,
    pub(super) next_id: u64,
    /// Whether a probe ever was attached that goes by itself: only then they are looked through for such.
    pub(super) limited: bool,
    /// Probes that may look at the two-key map. While there is none, programs that only add to it need not run: their runs are counted, and
    /// what they would have added is added before anybody else looks ([`Tracer::tally`]).
    pub(super) lookers: usize,
}

/// A call that is still in the text although nothing is attached: it finds no probe.
pub(super) struct Stuck {
    pub site: Site,
    pub call: [u8; STUB_LEN],
    /// The bytes to put back.
    pub stub: [u8; STUB_LEN],
}

/// A list of probes that is published no more.
struct KeptList {
    grace: Grace,
    list: Replaced,
}

/// A list of probes that is published no more. It is freed by [`free`](Self::free) alone.
pub(super) struct Replaced(pub *mut ProbeList);

// SAFETY: a replaced list has one owner; hooks that may still be in it share it read-only.
unsafe impl Send for Replaced {}

impl Replaced {
    /// # Safety
    /// Every hook that could have read the list has ended.
    pub unsafe fn free(self) {
        // SAFETY: it came from `new_list`, where one of a slice lies as in a box; nobody reads it, as the caller says.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// A site that has probes.
pub(super) struct Attached {
    pub site: Site,
    pub state: &'static SiteState,
    /// The bytes to put back.
    pub stub: [u8; STUB_LEN],
    /// What hooks read; owned here.
    pub list: *mut ProbeList,
    /// The short way to the programs at its entry, and to those at its returns.
    pub trampoline: Trampoline,
    pub returns: Trampoline,
}

// SAFETY: the list belongs to the entry, and both are only touched under the lock of the tracer; hooks share it read-only.
unsafe impl Send for Attached {}

impl Attached {
    fn list(&self) -> &ProbeList {
        // SAFETY: the entry owns its list until it replaces it.
        unsafe { &*self.list }
    }

    pub fn probes(&self) -> &[Arc<Probe>] {
        &self.list().probes
    }

    /// What is in the text in place of the stub; `None` where nothing was patched.
    fn call(&self) -> Option<[u8; STUB_LEN]> {
        let patched = self.site.kind.is_patched();
        patched.then(|| self.trampoline.patch(self.site.addr)).flatten()
    }

    /// Lets the site jump to its gate, and not call it any more, now that calls of the function come back; where that fails it goes on as it was.
    fn jump(&mut self, gates: &mut Gates, settings: &Settings) {
        let returns = self.probes().iter().any(|probe| probe.point.is_return());
        let (Some(gate), true, None) = (self.trampoline.gate(), returns, self.trampoline.thunk()) else { return };
        let (Some(text), Some(call)) = (settings.platform.text, self.call()) else { return };
        let Some(thunk) = gates.thunk(self.state, gate, settings) else { return };
        self.trampoline.jump_by(Some(thunk));
        // SAFETY: both lead to the gate, which keeps every register.
        let jumps =
            self.call().is_some_and(|jump| unsafe { text.replace(self.site.addr as usize, &call, &jump) }.is_ok());
        if !jumps {
            self.trampoline.jump_by(None);
        }
    }

    /// Makes the short way, unless runs are to be timed.
    fn open(&mut self, settings: &Settings, tallies: bool) {
        if !TRACER.stats_on() {
            // SAFETY: the entry owns its list until it replaces it.
            let list = unsafe { &*self.list };
            self.trampoline.open(self.state, list, settings, tallies);
            self.returns.open(self.state, list, settings, tallies);
            self.state.return_gate.store(self.returns.opened(), Ordering::SeqCst);
        }
    }

    /// Sends hooks the general way: [`Trampoline::leave`].
    fn leave(&mut self) -> [Option<Leaving>; 2] {
        self.state.return_gate.store(0, Ordering::SeqCst);
        [self.trampoline.leave(), self.returns.leave()]
    }

    /// After [`leave`](Self::leave); which of the two are empty.
    fn left(&mut self, settings: &Settings, empty: [bool; 2]) {
        // SAFETY: the entry owns its list until it replaces it.
        let list = unsafe { &*self.list };
        let key = self.site.key();
        self.trampoline.left(key, list, settings, empty[0]);
        self.returns.left(key, list, settings, empty[1]);
    }

    /// Adds to the map what the runs that were only counted would have added.
    fn tally(&mut self) {
        let key = self.site.key();
        self.trampoline.tally(key);
        self.returns.tally(key);
    }

    /// How often a program ran. Added up under the lock: a trampoline that is closed gives its runs to the probe.
    fn all_runs(&self, probe: &Probe) -> u64 {
        probe.runs().saturating_add(self.runs(probe.point))
    }

    /// How often the programs of such a point ran without being counted there.
    fn runs(&self, point: Point) -> u64 {
        self.short_way(point).runs()
    }

    fn short_way(&self, point: Point) -> &Trampoline {
        if point.is_return() {
            &self.returns
        } else {
            &self.trampoline
        }
    }

    /// Why one of its programs takes the general way; `None` where it does not.
    fn detour(&self, probe: &Arc<Probe>, settings: &Settings) -> Option<Detour> {
        let trampoline = self.short_way(probe.point);
        match trampoline.detour(probe, settings)? {
            Detour::Others if TRACER.stats_on() => Some(Detour::Measured),
            Detour::Others if !self.site.kind.is_patched() => Some(Detour::Stub),
            detour => Some(detour),
        }
    }
}

impl Tracer {
    /// Starts the tracer: makes the hook areas. Failing programs are reported to `ring`.
    pub fn init(&self, config: TracerConfig, platform: Platform, ring: &'static Ring) -> Result<(), InitError> {
        if self.starting.swap(true, Ordering::AcqRel) {
            return Err(InitError::Twice);
        }
        if !pool::create(config.hook_areas, config.hook_stack) {
            self.starting.store(false, Ordering::Release);
            return Err(InitError::NoMemory { hook_areas: config.hook_areas });
        }
        let TracerConfig { budget, budget_interrupt, return_frames, .. } = config;
        self.settings.put(Box::new(Settings { platform, ring, budget, budget_interrupt, return_frames }));
        Ok(())
    }

    /// Ends the tracer, which has no program any more: waits for hooks, then frees the hook areas and forgets sites and stubs. It can be
    /// started again then. What threads may be in without being seen is kept for that: gates, and the states of sites. After an error it
    /// runs as before.
    ///
    /// # Safety
    /// Nobody else uses the tracer, the platform or the ring that it was started with, nor what it gave out.
    pub unsafe fn stop(&self) -> Result<(), DetachError> {
        let Some(settings) = self.settings() else {
            return Ok(());
        };
        const NEVER_ENDS: &str = "a hook that does not end";
        let busy = |command| DetachError::Busy { command };
        let mut change = Change::begin(self, settings, "stop").map_err(busy)?;
        change.sweep();
        let state = self.control.lock();
        if let Some(stuck) = state.stuck.first() {
            return Err(DetachError::Patch(PatchError::Mismatch { addr: stuck.site.addr as usize }));
        }
        if !state.attached.is_empty() {
            return Err(busy("attach"));
        }
        if !state.kept.is_empty() || state.leaked > 0 || state.gates.any_spoilt() {
            return Err(busy(NEVER_ENDS));
        }
        drop(state);
        if !change.pace.wait_until(HOOK_ENDS_NS, pool::close) {
            return Err(busy(NEVER_ENDS));
        }
        drop(change);
        let mut state = self.control.lock();
        (state.sites, state.refused, state.attached) = (Vec::new(), Vec::new(), Vec::new());
        (state.kept, state.stuck, state.limited) = (Vec::new(), Vec::new(), false);
        state.lost = Lost::new();
        drop(state);
        self.stats.store(false, Ordering::Relaxed);
        *self.sums.lock() = None;
        // SAFETY: the areas are closed, and who is in a hook makes no such call. No hook runs, so nobody has the settings, which came
        // from a box.
        unsafe {
            pool::free();
            drop(Box::from_raw(self.settings.hide()));
        }
        self.starting.store(false, Ordering::Release);
        Ok(())
    }

    pub(super) fn settings(&self) -> Option<&'static Settings> {
        self.settings.get()
    }

    /// Says where sums are kept, so that programs that do nothing but add to one need not run.
    pub fn set_sums(&self, sums: &'static dyn Sums) {
        *self.sums.lock() = Some(sums);
    }

    #[cfg_attr(
        not(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none"))),
        allow(dead_code, reason = "for machine code")
    )]
    pub(super) fn sums(&self) -> Option<&'static dyn Sums> {
        *self.sums.lock()
    }

    /// Whether the caller runs in a hook. The calls that change or list probes wait for hooks to end: none may be made there.
    pub fn in_hook(&self) -> bool {
        pool::inside()
    }

    /// Calls of helpers that came to nothing because no hook area was free.
    pub fn helpers_missed(&self) -> u64 {
        HOOKS.helpers_missed.load(Ordering::Relaxed)
    }

    /// Switches the measuring of run times on or off. An error gives the name of the operation that is at work.
    pub fn set_stats(&self, on: bool) -> Result<(), Busy> {
        let Some(settings) = self.settings() else {
            self.stats.store(on, Ordering::Relaxed);
            return Ok(());
        };
        let mut change = Change::begin(self, settings, "stats")?;
        self.stats.store(on, Ordering::Relaxed);
        let mut at = 0;
        while at < self.control.lock().attached.len() {
            change.open_again(at);
            // All sites are treated alike: it is not left half done.
            change.pace.go_on();
            at += 1;
        }
        Ok(())
    }

    /// Whether run times are measured.
    pub fn stats_on(&self) -> bool {
        self.stats.load(Ordering::Relaxed)
    }

    /// The first site in `start .. start + len`: the one of the function with these bounds.
    pub fn site_in(&self, start: u64, len: u64) -> Option<Site> {
        let state = self.control.lock();
        let at = state.sites.partition_point(|s| s.addr < start);
        state.sites.get(at).copied().filter(|s| s.addr - start < len)
    }

    /// Calls `each` with every known site, ascending by address. `each` must not call the tracer.
    pub fn for_each_site(&self, each: &mut dyn FnMut(Site)) {
        self.control.lock().sites.iter().copied().for_each(each);
    }

    /// Calls `each` with the probes of a site, in attach order. `each` must not call the tracer.
    pub(super) fn for_each_probe(&self, site: Site, each: &mut dyn FnMut(&Arc<Probe>)) {
        let state = self.control.lock();
        let attached = state.attached.iter().filter(|a| a.site == site);
        attached.flat_map(Attached::probes).for_each(each);
    }

    /// Takes a site out of the list of known ones; nothing is attached to it.
    pub(super) fn forget_site(&self, site: Site) {
        self.control.lock().sites.retain(|known| *known != site);
    }

    /// Adds to the two-key map what programs would have added whose runs were only counted: those of one site, or of all. To be called
    /// by whoever is about to look at the map and is no hook; in hooks and interrupts it does nothing.
    pub fn tally(&self, key: Option<u64>) {
        let outside = |s: &&Settings| !s.platform.cpu.in_interrupt() && !self.in_hook();
        if self.settings().filter(outside).is_none() {
            return;
        }
        if let Some(key) = key {
            let mut state = self.control.lock();
            let attached = state.attached.iter_mut().filter(|a| a.site.key() == key);
            return attached.for_each(Attached::tally);
        }
        // Backwards, so that none is left out when one before it is detached meanwhile.
        let mut at = usize::MAX;
        while at > 0 {
            let mut state = self.control.lock();
            at = at.min(state.attached.len()).saturating_sub(1);
            let Some(attached) = state.attached.get_mut(at) else {
                return;
            };
            attached.tally();
        }
    }

    /// Detaches one probe; the others of its site stay. When this returns the program runs no more; the last one
    /// gone, the site's nop is back.
    pub fn detach(&self, id: ProbeId) -> Result<(), DetachError> {
        let settings = self.settings().ok_or(DetachError::NotAttached)?;
        let busy = |command| DetachError::Busy { command };
        let mut change = Change::begin(self, settings, "detach").map_err(busy)?;
        change.detach(id)
    }

    /// Detaches what has used up its runs or its time; returns how many. To be called now and then; without memory,
    /// what cannot be detached yet runs no more and goes with a later call, and so while another operation is at work.
    pub fn poll(&self) -> usize {
        let Some(settings) = self.settings() else {
            return 0;
        };
        let Ok(mut change) = Change::try_begin(self, settings, "poll") else {
            return 0;
        };
        change.sweep();
        change.reap(settings.platform.clock.now_ns())
    }

    /// Nanoseconds between two ticks of the platform for a timer that has programs: it has no shorter period.
    pub fn tick_ns(&self, timer: TimerPeriod) -> u64 {
        timer::tick_ns(timer)
    }

    /// Ticks of the platform's timer, the fastest of them; 0 while it stands still.
    pub fn ticks_per_second(&self) -> u64 {
        timer::ticks_per_second()
    }

    /// Hooks that did not end in time and have kept their area since: (areas, replaced lists of programs that are kept for them).
    pub fn lost(&self) -> (usize, usize) {
        let mut state = self.control.lock();
        let kept = state.kept.len().saturating_add(state.leaked);
        (state.lost.count() as usize, kept)
    }

    /// Areas of hooks whose stack was used to its end: it is too small for what ran there, and memory below it may have been written.
    pub fn full_stacks(&self) -> usize {
        pool::full_stacks()
    }

    /// Gives the areas of hooks back that ran in threads which are not in this process: it is a child of a fork, and this its only thread.
    pub fn after_fork(&self) {
        pool::after_fork();
        direct::after_fork();
        if let Some(settings) = self.settings() {
            frames::after_fork(settings.platform.cpu.thread());
            let _ = timer::arm(settings);
        }
    }

    /// Sites whose hooks take the general way although their programs need it not: there was no memory near the text for the short one.
    pub fn cramped(&self) -> usize {
        let state = self.control.lock();
        let cramped = state.attached.iter().filter(|a| a.trampoline.is_cramped() || a.returns.is_cramped());
        cramped.count()
    }

    /// Reports on the probes of one site, in attach order.
    pub fn probes(&self, site: Site) -> Vec<ProbeReport> {
        self.reports(Some(site), crate::platform::no_pause).unwrap_or_default()
    }

    /// Reports on all probes, by the order in which their sites were first attached to.
    pub fn all_probes(&self) -> Vec<ProbeReport> {
        self.reports(None, crate::platform::no_pause).unwrap_or_default()
    }

    /// Reports on the probes of one site, or on all, as they are attached now; `pause` is called between them.
    pub fn reports(
        &self,
        site: Option<Site>,
        mut pause: impl FnMut() -> Result<(), Cancelled>,
    ) -> Result<Vec<ProbeReport>, NoReport> {
        let Some(settings) = self.settings() else {
            return Ok(Vec::new());
        };
        let (mut seen, mut room) = (Vec::new(), true);
        self.with_reaped(site, |probe, attached| {
            room &= seen.try_reserve(1).is_ok();
            if room {
                seen.push((probe.clone(), attached.all_runs(probe), attached.detour(probe, settings)));
            }
        });
        let mut reports = Vec::new();
        room &= reports.try_reserve_exact(seen.len()).is_ok();
        if !room {
            return Err(NoReport::NoMemory);
        }
        for (probe, runs, detour) in seen {
            let report = probe.report(runs, timer::time_of(probe.point), detour, settings);
            reports.push(report.ok_or(NoReport::NoMemory)?);
            pause().map_err(NoReport::Cancelled)?;
        }
        Ok(reports)
    }

    /// Bytes of the reports on the probes of one site, or on all.
    pub fn report_bytes(&self, site: Option<Site>) -> usize {
        let mut bytes = 0;
        self.with_reaped(site, |p, _| {
            let seen = size_of::<(Arc<Probe>, u64, Option<Detour>)>();
            bytes += seen + size_of::<ProbeReport>() + p.program.len() + p.function.len();
        });
        bytes
    }

    /// Number of attached programs.
    pub fn probe_count(&self) -> usize {
        let mut count = 0;
        self.with_reaped(None, |_, _| count += 1);
        count
    }

    /// The first program of a site that [goes by](goes_by) this name, or the first of all.
    pub fn find_probe(&self, site: Site, program: Option<&str>) -> Option<ProbeId> {
        let mut found = None;
        self.with_reaped(Some(site), |probe, _| {
            if found.is_none() && program.is_none_or(|wanted| goes_by(&probe.program, wanted)) {
                found = Some(probe.id);
            }
        });
        found
    }

    /// Whether there is a probe of this id.
    pub fn has_probe(&self, id: ProbeId) -> bool {
        let state = self.control.lock();
        state.attached.iter().any(|attached| attached.probes().iter().any(|probe| probe.id == id))
    }

    /// One of the attached programs.
    pub fn any_probe(&self) -> Option<ProbeId> {
        let state = self.control.lock();
        Some(state.attached.last()?.probes().last()?.id)
    }

    /// Takes off what is over, unless another operation is at work, and calls `each` with the probes of one site, or with all, and how
    /// often each ran. `each` must not call the tracer.
    fn with_reaped(&self, site: Option<Site>, mut each: impl FnMut(&Arc<Probe>, &Attached)) {
        self.poll();
        let state = self.control.lock();
        self.settings().into_iter().for_each(frames::sweep_all);
        let wanted = |a: &&Attached| site.is_none_or(|site| a.site == site);
        for attached in state.attached.iter().filter(wanted) {
            // Of a program and the one that takes its place just then, one.
            let there = attached.probes().iter().filter(|probe| probe.is_there(Started::now()));
            there.for_each(|probe| each(probe, attached));
        }
    }
}

/// A change of what is attached. It has the turn, and takes the lock for a moment at a time.
pub(super) struct Change<'t> {
    tracer: &'t Tracer,
    pub settings: &'t Settings,
    pub pace: Pace<'t>,
    _turn: Taken<'t>,
}

impl<'t> Change<'t> {
    /// Takes the turn, waiting for it; else gives the name of who has it.
    pub(super) fn begin(tracer: &'t Tracer, settings: &'t Settings, name: Busy) -> Result<Self, Busy> {
        let mut pace = Pace::new(&settings.platform);
        let turn = tracer.turn.take(name, &mut pace)?;
        Ok(Change { tracer, settings, pace, _turn: turn })
    }

    /// Takes the turn if nobody has it.
    fn try_begin(tracer: &'t Tracer, settings: &'t Settings, name: Busy) -> Result<Self, Busy> {
        let turn = tracer.turn.try_take(name)?;
        Ok(Change { tracer, settings, pace: Pace::new(&settings.platform), _turn: turn })
    }

    pub(super) fn lock(&self) -> MutexGuard<'t, TracerState> {
        self.tracer.control.lock()
    }

    /// Sends the hooks of a site the general way, and waits until nobody is in its trampoline: the state after that.
    pub(super) fn closed(&mut self, at: usize) -> MutexGuard<'t, TracerState> {
        let mut state = self.lock();
        let leaving = state.attached.get_mut(at).map_or([None; 2], Attached::leave);
        if leaving.iter().all(Option::is_none) {
            return state;
        }
        drop(state);
        let empty = leaving.map(|leaving| {
            leaving.is_none_or(|leaving| {
                leaving.begin(self.settings);
                self.pace.wait_until(HOOK_ENDS_NS, || leaving.is_over())
            })
        });
        let mut state = self.lock();
        if let Some(attached) = state.attached.get_mut(at) {
            attached.left(self.settings, empty);
        }
        state
    }

    /// Makes the short way of a site.
    pub(super) fn open(&mut self, at: usize) {
        let mut state = self.lock();
        let tallies = state.lookers == 0;
        let TracerState { attached, gates, sites, .. } = &mut *state;
        if let Some(Attached { list, returns, state, .. }) = attached.get_mut(at) {
            // SAFETY: the entry owns its list until it replaces it.
            let list = unsafe { &**list };
            returns.find_gate(list, || gates.for_returns(state, sites.len(), self.settings));
        }
        if let Some(attached) = attached.get_mut(at) {
            attached.jump(gates, self.settings);
            attached.open(self.settings, tallies);
        }
    }

    /// Makes the trampoline of a site anew.
    pub(super) fn open_again(&mut self, at: usize) {
        drop(self.closed(at));
        self.open(at);
    }

    /// From here on programs run that could be counted: so many come that may look at the map.
    pub(super) fn expect_lookers(&mut self, coming: usize) {
        if coming == 0 {
            return;
        }
        let mut state = self.lock();
        state.lookers += coming;
        let mut at = state.attached.len();
        drop(state);
        while at > 0 {
            at -= 1;
            let is_tallied = |a: &Attached| a.trampoline.is_tallied() || a.returns.is_tallied();
            if self.lock().attached.get(at).is_some_and(is_tallied) {
                self.open_again(at);
            }
            self.pace.go_on();
        }
    }

    /// Publishes `list` at a site that has one, and sends its hooks the general way; what was published before.
    pub(super) fn publish(&mut self, at: usize, list: *mut ProbeList) -> Option<Replaced> {
        let mut state = self.closed(at);
        let attached = state.attached.get_mut(at)?;
        attached.state.show(list);
        Some(Replaced(mem::replace(&mut attached.list, list)))
    }

    /// Frees a list that is published no more when every hook that could have read it has ended. One that does not end is waited for
    /// once; from then on it is known to be lost, and what it may read is kept.
    pub(super) fn retire(&mut self, list: Replaced) {
        let mut grace = Grace::begin();
        let tracer = self.tracer;
        let over = |grace: &mut Grace| grace.is_hopeless(&tracer.control.lock().lost);
        self.pace.wait_until(HOOK_ENDS_NS, || over(&mut grace));
        if grace.is_over() {
            // SAFETY: the list was unpublished before the grace period began.
            return unsafe { list.free() };
        }
        let mut state = self.lock();
        state.lost.add(&mut grace);
        match state.kept.try_reserve(1) {
            Ok(()) => state.kept.push(KeptList { grace, list }),
            Err(_) => state.leaked += 1,
        }
    }

    /// Frees what was kept for hooks that have ended after all.
    fn sweep(&mut self) {
        loop {
            let mut state = self.lock();
            let Some(at) = state.kept.iter_mut().position(|k| k.grace.is_over()) else {
                return;
            };
            let kept = state.kept.swap_remove(at);
            drop(state);
            // SAFETY: its grace period is over.
            unsafe { kept.list.free() };
        }
    }

    fn detach(&mut self, id: ProbeId) -> Result<(), DetachError> {
        let state = self.lock();
        let has = |a: &Attached| a.probes().iter().any(|p| p.id == id);
        // From the end: what goes in the order in which it came back takes no time to find, and none to close the gap behind it.
        let at = state.attached.iter().rposition(has);
        let at = at.ok_or(DetachError::NotAttached)?;
        let attached = &state.attached[at];
        let site = attached.site;
        let instrumented = u64::from(site.kind == SiteKind::Instrumented);
        let looks = attached.probes().iter().any(|p| p.id == id && p.looks);
        let rest = copy_of(attached.probes(), |p| p.id != id, 0);
        let rest = rest.ok_or(DetachError::NoMemory)?;
        if !rest.is_empty() {
            let list = new_list(rest).ok_or(DetachError::NoMemory)?;
            HOOKS.instrumented.fetch_sub(instrumented, Ordering::SeqCst);
            drop(state);
            let old = self.publish(at, list);
            self.open(at);
            old.into_iter().for_each(|old| self.retire(old));
            self.lock().lookers -= usize::from(looks);
            return Ok(());
        }
        drop(state);
        HOOKS.instrumented.fetch_sub(instrumented, Ordering::SeqCst);
        let mut state = self.closed(at);
        let attached = state.attached.remove(at);
        let restored = patch_out(self.settings, &attached);
        state.let_go(&attached, restored.is_ok());
        attached.state.show(ptr::null_mut());
        drop(state);
        self.retire(Replaced(attached.list));
        if site.kind == SiteKind::Timer {
            self.arm();
        }
        self.lock().lookers -= usize::from(looks);
        restored.map_err(DetachError::Patch)
    }

    /// Lets the platform's timer tick for what is attached. It did for more, or for the same.
    pub(super) fn arm(&self) {
        let _ = timer::arm(self.settings);
    }

    /// Detaches probes whose runs or time are used up. Those that the others' list finds no memory without stay, and run
    /// no more.
    pub(super) fn reap(&mut self, now_ns: u64) -> usize {
        let mut count = 0;
        loop {
            let Some(id) = self.lock().first_over(now_ns) else {
                return count;
            };
            // A stub that cannot be put back leaves a call that finds no probe: harmless, and nobody waits for the answer.
            if self.detach(id) == Err(DetachError::NoMemory) {
                self.silence(now_ns);
                return count;
            }
            count += 1;
        }
    }

    /// Ends the runs of probes whose runs or time are used up.
    fn silence(&mut self, now_ns: u64) {
        let mut at = 0;
        loop {
            let state = self.lock();
            let Some(attached) = state.attached.get(at) else {
                return;
            };
            let over = attached.probes().iter().filter(|p| p.is_over(now_ns));
            let count = over.map(|p| p.counts.over.store(true, Ordering::Relaxed)).count();
            drop(state);
            if count > 0 {
                // The general way looks whether they live.
                drop(self.closed(at));
            }
            at += 1;
        }
    }
}

/// A list in memory of its own, as a box would have it; `None` where there is none.
pub(super) fn new_list(probes: Vec<Arc<Probe>>) -> Option<*mut ProbeList> {
    let mut list = Vec::new();
    list.try_reserve_exact(1).ok()?;
    list.push(ProbeList { probes });
    Some(Box::into_raw(list.into_boxed_slice()).cast())
}

impl TracerState {
    /// Gives its gate back where the stub is as before; where that failed, keeps for good what the stub still calls.
    fn let_go(&mut self, attached: &Attached, restored: bool) {
        match (restored, attached.call()) {
            (true, _) => attached.trampoline.gate().into_iter().for_each(|gate| self.gates.give_back(gate)),
            (false, Some(call)) => self.stuck.push(Stuck { site: attached.site, call, stub: attached.stub }),
            (false, None) => {}
        }
    }

    fn first_over(&self, now_ns: u64) -> Option<ProbeId> {
        if !self.limited {
            return None;
        }
        let mut probes = self.attached.iter().flat_map(|a| a.probes());
        probes.find(|p| p.is_over(now_ns)).map(|p| p.id)
    }
}

fn patch_out(settings: &Settings, attached: &Attached) -> Result<(), PatchError> {
    match (settings.platform.text, attached.call()) {
        // SAFETY: the stub as it was takes the place of the call.
        (Some(text), Some(call)) => unsafe { text.replace(attached.site.addr as usize, &call, &attached.stub) },
        _ => Ok(()),
    }
}

/// The probes that `keep` wants, with room for more, in memory that was asked for; `None` where there is none.
pub(super) fn copy_of(probes: &[Arc<Probe>], keep: impl Fn(&Probe) -> bool, more: usize) -> Option<Vec<Arc<Probe>>> {
    let kept = probes.iter().filter(|probe| keep(probe));
    let mut copy = Vec::new();
    copy.try_reserve_exact(kept.clone().count() + more).ok()?;
    copy.extend(kept.cloned());
    Some(copy)
}
