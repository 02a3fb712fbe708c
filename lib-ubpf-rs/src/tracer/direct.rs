//! Programs that need nothing but their argument and inline helpers run straight from the traced function: through the gate of the site
//! and a trampoline made for the programs that sit there. All others take the general entry of hooks.

use super::{
    arch::current::{
        self,
        patch::{self, STUB_LEN},
    },
    counters,
    frames::ReturnFrame,
    gates::install,
    point::Point,
    probe::{Probe, ProbeList},
    site::SiteState,
    Settings, TRACER,
};
use crate::{
    helpers::Needs,
    jit::trampoline::{self, AtReturn, LanePlace, Surroundings, Take},
    platform::ExecBlock,
    program::limits::BYTES_BEFORE_TIME,
    verifier::planted::{self, Bug},
    vm::{argument_fits, Adds, Detour, Direct, Given},
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    mem::{self, offset_of},
    ptr,
    sync::atomic::Ordering,
};

pub(super) use super::gates::{GateRef, Gates};

/// Bytes of argument that a program called directly may have, from the first to the last that it touches.
const MOST_ARGUMENT: u64 = BYTES_BEFORE_TIME + 8;
/// Bytes that a hook may take of the traced function's stack.
const MOST_STACK: u64 = 256;

pub(super) use trampoline::call_helper_directly as helper;

/// The trampoline of one site, if its programs can have one.
pub(super) struct Trampoline {
    gate: Option<GateRef>,
    /// The thunk by which the site jumps to the gate; else it calls that.
    thunk: Option<u64>,
    /// Code made for the programs; of no length where the gate alone does.
    block: Option<ExecBlock>,
    /// How many came out before the trampoline was made.
    before: u64,
    /// Why there is none, if it is not for a program of its own.
    detour: Detour,
    /// What those programs add that are not in the trampoline: their runs are counted instead.
    adds: Vec<Adds>,
    /// So many of their runs are in the map.
    added: u64,
    /// Whether it is for programs at returns; else for those at entries.
    at_return: bool,
}

impl Trampoline {
    /// None yet. The gate is what the site calls from now on, or jumps to by a thunk; `wanted` says whether it is to have one.
    pub fn new(gate: Option<GateRef>, thunk: Option<u64>, wanted: bool) -> Trampoline {
        let detour = if wanted && gate.is_none() { Detour::Room } else { Detour::Others };
        Trampoline { gate, thunk, block: None, before: 0, detour, adds: Vec::new(), added: 0, at_return: false }
    }

    /// That of programs at returns. Its gate is what the pad calls; it is the site's own for ever.
    pub fn at_return() -> Trampoline {
        Trampoline { at_return: true, ..Trampoline::new(None, None, false) }
    }

    /// Gives one for programs at returns its gate, if there are programs for it.
    pub fn find_gate(&mut self, list: &ProbeList, gate: impl FnOnce() -> Option<GateRef>) {
        let mut probes = list.probes.iter().filter(|probe| probe.point.is_return()).peekable();
        if self.gate.is_none() && probes.peek().is_some() && probes.all(|probe| direct(probe).is_ok()) {
            self.gate = gate();
            self.detour = if self.gate.is_some() { Detour::Others } else { Detour::Room };
        }
    }

    /// Its gate.
    pub fn gate(&self) -> Option<GateRef> {
        self.gate
    }

    /// Whether hooks go the general way for want of room alone.
    pub fn is_cramped(&self) -> bool {
        self.block.is_none() && self.detour == Detour::Room
    }

    /// Why a program of `list` takes the general way; `None` where it does not.
    pub fn detour(&self, probe: &Arc<Probe>, settings: &Settings) -> Option<Detour> {
        if self.block.is_some() {
            return None;
        }
        let own = fitting(probe, settings, self.lane(settings).is_some(), self.at_return);
        Some(own.err().unwrap_or(self.detour))
    }

    fn lane(&self, settings: &Settings) -> Option<LanePlace> {
        self.gate.and_then(|gate| counters::lane(settings, gate.index))
    }

    /// The thunk by which the site jumps to the gate.
    pub fn thunk(&self) -> Option<u64> {
        self.thunk
    }

    /// The site jumps by it from now on, or calls the gate.
    pub fn jump_by(&mut self, thunk: Option<u64>) {
        self.thunk = thunk;
    }

    /// What stands at the site in place of its stub; `None` where that does not reach.
    pub fn patch(&self, at: u64) -> Option<[u8; STUB_LEN]> {
        match self.thunk {
            Some(thunk) => patch::jump(at, thunk),
            None => patch::call(at, self.gate.map_or_else(current::hook_entry, |gate| gate.at)),
        }
    }

    /// The gate that leads to it; 0 while there is none.
    pub fn opened(&self) -> u64 {
        self.gate.filter(|_| self.block.is_some()).map_or(0, |gate| gate.at)
    }

    /// Runs of each program since the trampoline was made.
    pub fn runs(&self) -> u64 {
        match (self.gate, self.block) {
            (Some(gate), Some(_)) => gate.left().wrapping_sub(self.before),
            _ => 0,
        }
    }

    /// Whether the runs of a program are counted instead of it being run.
    pub fn is_tallied(&self) -> bool {
        self.block.is_some() && !self.adds.is_empty()
    }

    /// Adds to the map what the runs that were only counted would have added.
    pub fn tally(&mut self, key: u64) {
        if !self.is_tallied() {
            return;
        }
        let runs = self.runs();
        let more = runs.wrapping_sub(self.added);
        self.added = runs;
        if let Some(sums) = TRACER.sums().filter(|_| more != 0) {
            self.adds.iter().for_each(|adds| sums.add_often(key, adds.key2, adds.more, more));
        }
    }

    /// Makes a trampoline for the programs of `list` when all of them can have one; else hooks go the general way. With `tallies`, programs
    /// that only add to the map are left out of it.
    pub fn open(&mut self, site: &'static SiteState, list: &ProbeList, settings: &Settings, tallies: bool) {
        if let (Some(gate), None) = (self.gate, self.block) {
            self.detour = self.make(gate, site, list, settings, tallies).err().unwrap_or(Detour::Others);
        }
    }

    fn make(
        &mut self,
        gate: GateRef,
        site: &'static SiteState,
        list: &ProbeList,
        settings: &Settings,
        tallies: bool,
    ) -> Result<(), Detour> {
        let key = site.key;
        let memory = settings.platform.exec.ok_or(Detour::Stub)?;
        if gate.is_spoilt() {
            return Err(Detour::Stuck);
        }
        let lane = self.lane(settings);
        let mut programs = programs(list, settings, lane.is_some(), self.at_return)?;
        let take = self.take(site, list, settings)?;
        let returns = match self.at_return {
            false => None,
            true => Some(at_return(list).ok_or(Detour::Stub)?),
        };
        let adds = if tallies && TRACER.sums().is_some() { tallied(&programs) } else { Vec::new() };
        if !adds.is_empty() {
            programs.retain(|program| program.adds.is_none());
        }
        let way_out = match self.thunk {
            Some(thunk) => trampoline::way_out_of_thunk(thunk, take.is_some()),
            None => trampoline::way_out(gate.at),
        };
        let start = site.start.load(Ordering::Relaxed);
        let moved = gate.moved;
        let around = |at| Surroundings { at, gate: gate.at, way_out, key, start, moved, lane, returns, take };
        if trampoline::stack_bytes(around(gate.at), &programs) > MOST_STACK {
            return Err(Detour::Stack);
        }
        // The length does not depend on the place; what is out of reach of the gate is out of reach anyhow.
        let len = trampoline::write(&mut [], around(gate.at), &programs).ok_or(Detour::Stub)?;
        counters::adopt(settings);
        let counts_alone = programs.is_empty() && !gate.moved && !self.at_return && take.is_none();
        let block = match counts_alone {
            true => Some(ExecBlock { write: 0, exec: way_out as usize, len: 0 }),
            false => install(memory, len, |out, block| {
                trampoline::write(out, around(block.exec as u64), &programs) == Some(len)
            }),
        };
        let block = block.ok_or(Detour::Room)?;
        self.block = Some(block);
        self.before = gate.left();
        (self.adds, self.added) = (adds, 0);
        gate.lead_to(block.exec as u64);
        Ok(())
    }

    /// What makes calls come back on the way in, where programs wait for their returns.
    ///
    /// # Errors
    /// Why that takes the general way.
    fn take(&self, site: &'static SiteState, list: &ProbeList, settings: &Settings) -> Result<Option<Take>, Detour> {
        let mut returns = list.probes.iter().filter(|probe| probe.point.is_return() && !self.at_return).peekable();
        if returns.peek().is_none() {
            return Ok(None);
        }
        if returns.any(|probe| probe.body.wants_entry_time()) && settings.platform.clock.ticks().is_none() {
            return Err(Detour::Stub);
        }
        // It is told whether the function is called above the pad.
        let site = ptr::from_ref(site) as u64 | u64::from(self.thunk.is_some());
        Ok(Some(Take { routine: current::take(), site }))
    }

    /// Sends hooks the general way. What is given says when nobody is in the trampoline any more; [`left`](Self::left) is to be called
    /// then. `None` where there is no trampoline.
    pub fn leave(&mut self) -> Option<Leaving> {
        let (Some(gate), Some(_)) = (self.gate, self.block) else {
            return None;
        };
        gate.lead_to(trampoline::general_way(gate.at));
        Some(Leaving { gate })
    }

    /// After [`leave`](Self::leave): the trampoline's runs are added to the probes' own, and it is freed if it is `empty`. If not, neither
    /// trampoline nor programs are ever freed, and its gate gets no other one.
    pub fn left(&mut self, key: u64, list: &ProbeList, settings: &Settings, empty: bool) {
        self.tally(key);
        let (Some(gate), Some(block)) = (self.gate, self.block) else {
            return;
        };
        let runs = self.runs();
        self.block = None;
        let counted = match planted::active(Bug::OneCounted) {
            true => 1,
            false => list.probes.len(),
        };
        let own = list.probes.iter().filter(|probe| probe.point.is_return() == self.at_return);
        for probe in own.take(counted) {
            probe.counts.runs.fetch_add(runs, Ordering::Relaxed);
        }
        match settings.platform.exec {
            // The gate alone: nothing was made for it.
            Some(_) if empty && block.len == 0 => {}
            // SAFETY: nobody is in the trampoline, and its gate leads elsewhere.
            Some(memory) if empty => unsafe { memory.free(block) },
            _ => {
                list.probes.iter().cloned().for_each(mem::forget);
                gate.spoil();
            }
        }
    }
}

/// Hooks that are leaving a trampoline.
#[derive(Clone, Copy)]
pub(super) struct Leaving {
    gate: GateRef,
}

impl Leaving {
    /// Whoever read the old target is seen to have gone in, from now on. To be called once, no lock being held.
    pub fn begin(&self, settings: &Settings) {
        settings.platform.cpu.see_all();
    }

    /// Whether there was a moment with nobody in the trampoline. Programs end in finite time, so there should be.
    pub fn is_over(&self) -> bool {
        // In this order: who comes in meanwhile, on the way to the general entry, can only make them differ.
        let left = self.gate.left();
        self.gate.entered() == left
    }
}

/// Nobody is in a trampoline any more: for a process in which no other thread is.
pub(super) fn after_fork() {
    counters::after_fork();
}

/// Called in hooks that took the general way. *Hook path.*
pub(super) fn adopt_counters(settings: &Settings) {
    counters::adopt(settings);
}

/// Whether a program at a return that touches so much of its argument is told all of it directly: how long the call took where ticks are
/// known, and when it was entered never.
fn told_directly(argument: u64, settings: &Settings) -> bool {
    let is_told_time = || argument <= MOST_ARGUMENT && settings.platform.clock.ticks().is_some();
    argument <= BYTES_BEFORE_TIME || is_told_time()
}

/// The programs as machine code, when all can be called directly, each within every budget and for an unlimited number of runs.
fn programs(list: &ProbeList, settings: &Settings, lanes: bool, at_return: bool) -> Result<Vec<Direct>, Detour> {
    let mut programs = Vec::new();
    programs.try_reserve_exact(list.probes.len()).map_err(|_| Detour::Memory)?;
    for probe in &list.probes {
        if probe.point.is_return() == at_return {
            programs.push(fitting(probe, settings, lanes, at_return).map_err(|_| Detour::Others)?);
        }
    }
    (!at_return || !programs.is_empty()).then_some(programs).ok_or(Detour::Others)
}

/// One of them.
fn fitting(probe: &Arc<Probe>, settings: &Settings, lanes: bool, at_return: bool) -> Result<Direct, Detour> {
    let direct = direct(probe)?;
    let budget = settings.budget.min(settings.budget_interrupt);
    // The argument will lie on a stack, in the same part of the address space as this one.
    let stack = ptr::from_ref(&direct) as u64;
    let fits_argument = direct.argument.saturating_sub(direct.argument_first) <= MOST_ARGUMENT
        && (!at_return || direct.given != Given::Call || told_directly(direct.argument, settings))
        && argument_fits(direct.argument_needed, stack, direct.given.length() as u64);
    let has_helpers = direct.needs.is_empty() || direct.block != 0;
    let has_lane = lanes || !direct.needs.contains(Needs::LANE);
    match () {
        () if direct.cost > budget => Err(Detour::Cost),
        () if !fits_argument => Err(Detour::Argument),
        () if !has_helpers || !has_lane => Err(Detour::Stub),
        () => Ok(direct),
    }
}

/// What a trampoline for the programs at returns finds on the stack; `None` where one of them has too high a number.
fn at_return(list: &ProbeList) -> Option<AtReturn> {
    let last = list.probes.iter().filter(|probe| probe.point.is_return()).map(|probe| probe.id.raw()).max()?;
    Some(AtReturn {
        since: i32::try_from(last).ok()?.checked_add(1)?,
        bound: offset_of!(ReturnFrame, bound) as i32,
        arguments: offset_of!(ReturnFrame, arguments) as i32,
        home: offset_of!(ReturnFrame, home) as i32,
        took: current::took(),
    })
}

/// What the programs add that do nothing else; nothing without memory for all of it.
fn tallied(programs: &[Direct]) -> Vec<Adds> {
    let adds = programs.iter().filter_map(|program| program.adds);
    let mut all = Vec::new();
    if all.try_reserve_exact(adds.clone().count()).is_ok() {
        all.extend(adds);
    }
    all
}

fn direct(probe: &Arc<Probe>) -> Result<Direct, Detour> {
    let direct = probe.body.direct()?;
    match probe.point {
        Point::Timer(_) => return Err(Detour::Timer),
        Point::Entry(_) | Point::Return(_) if probe.max_runs != u64::MAX => return Err(Detour::Limited),
        Point::Entry(_) | Point::Return(_) if probe.wants_errno => return Err(Detour::Errno),
        Point::Entry(_) | Point::Return(_) => {}
    }
    let given = match direct.given {
        Given::Arguments(most) => Given::Arguments(probe.arguments.map_or(most, |count| count.min(most))),
        given => given,
    };
    Ok(Direct { given, cookie: probe.cookie, ..direct })
}
