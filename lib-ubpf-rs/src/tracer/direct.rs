//! Programs that need nothing but their argument and inline helpers run straight from the traced function: through the gate of the site
//! and a trampoline made for the programs that sit there. All others take the general entry of hooks.

use super::{
    arch::current,
    counters,
    frames::ReturnFrame,
    gates::install,
    point::Point,
    pool::CONTEXT_BYTES,
    probe::{Probe, ProbeList},
    Settings, TRACER,
};
use crate::{
    helpers::Needs,
    jit::trampoline::{self, AtReturn, Surroundings},
    platform::ExecBlock,
    verifier::planted::{self, Bug},
    vm::{argument_fits, Adds, Direct},
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    mem::{self, offset_of},
    ptr,
    sync::atomic::Ordering,
};

pub(super) use super::gates::{GateRef, Gates};

/// Bytes of argument that a program called directly may touch: they are cleared for each run.
const MOST_ARGUMENT: u64 = 64;
/// Bytes that a hook may take of the traced function's stack.
const MOST_STACK: u64 = 256;

pub(super) use trampoline::call_helper_directly as helper;

/// The trampoline of one site, if its programs can have one.
pub(super) struct Trampoline {
    gate: Option<GateRef>,
    /// Code made for the programs; of no length where the gate alone does.
    block: Option<ExecBlock>,
    /// How many came out before the trampoline was made.
    before: u64,
    /// There was no room for gate or trampoline.
    cramped: bool,
    /// What those programs add that are not in the trampoline: their runs are counted instead.
    adds: Vec<Adds>,
    /// So many of their runs are in the map.
    added: u64,
    /// Whether it is for programs at returns; else for those at entries.
    at_return: bool,
}

impl Trampoline {
    /// None yet. The gate is what the site calls from now on; `wanted` says whether it is to have one.
    pub fn new(gate: Option<GateRef>, wanted: bool) -> Trampoline {
        let cramped = wanted && gate.is_none();
        Trampoline { gate, block: None, before: 0, cramped, adds: Vec::new(), added: 0, at_return: false }
    }

    /// That of programs at returns. Its gate is what the pad calls; it is the site's own for ever.
    pub fn at_return() -> Trampoline {
        Trampoline { at_return: true, ..Trampoline::new(None, false) }
    }

    /// Gives one for programs at returns its gate, if there are programs for it.
    pub fn find_gate(&mut self, list: &ProbeList, gate: impl FnOnce() -> Option<GateRef>) {
        let mut probes = list.probes.iter().filter(|probe| probe.point.is_return()).peekable();
        if self.gate.is_none() && probes.peek().is_some() && probes.all(|probe| direct(probe).is_some()) {
            self.gate = gate();
            self.cramped = self.gate.is_none();
        }
    }

    /// Its gate.
    pub fn gate(&self) -> Option<GateRef> {
        self.gate
    }

    /// Whether hooks go the general way for want of room alone.
    pub fn is_cramped(&self) -> bool {
        self.cramped
    }

    /// What the site calls.
    pub fn call_target(&self) -> u64 {
        self.gate.map_or_else(current::hook_entry, |gate| gate.at)
    }

    /// The gate that leads to it; 0 while there is none.
    pub fn opened(&self) -> u64 {
        self.gate.filter(|_| self.block.is_some()).map_or(0, |gate| gate.at)
    }

    /// Runs of each program since the trampoline was made.
    pub fn runs(&self) -> u64 {
        match (self.gate, self.block) {
            (Some(gate), Some(_)) => counters::left(&gate).wrapping_sub(self.before),
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
    pub fn open(&mut self, key: u64, list: &ProbeList, settings: &Settings, tallies: bool) {
        let (Some(gate), Some(memory), None) = (self.gate, settings.platform.exec, self.block) else {
            return;
        };
        if gate.is_spoilt() {
            return;
        }
        let lane = counters::lane(settings, gate.index);
        let Some(mut programs) = programs(list, settings, lane.is_some(), self.at_return) else {
            return;
        };
        let returns = match self.at_return {
            false => None,
            true => match at_return(list) {
                Some(returns) => Some(returns),
                None => return,
            },
        };
        let adds = if tallies && TRACER.sums().is_some() { tallied(&programs) } else { Vec::new() };
        if !adds.is_empty() {
            programs.retain(|program| program.adds.is_none());
        }
        let argument_len = CONTEXT_BYTES as u32;
        let around = |at| Surroundings { at, gate: gate.at, key, moved: gate.moved, argument_len, lane, returns };
        if trampoline::stack_bytes(around(gate.at), &programs) > MOST_STACK {
            return;
        }
        // The length does not depend on the place; what is out of reach of the gate is out of reach anyhow.
        let Some(len) = trampoline::write(&mut [], around(gate.at), &programs) else {
            return;
        };
        counters::adopt(settings);
        self.block = match programs.is_empty() && !gate.moved && !self.at_return {
            true => Some(ExecBlock { write: 0, exec: trampoline::way_out(gate.at) as usize, len: 0 }),
            false => install(memory, len, |out, block| {
                trampoline::write(out, around(block.exec as u64), &programs) == Some(len)
            }),
        };
        self.cramped = self.block.is_none();
        if let Some(block) = self.block {
            self.before = counters::left(&gate);
            (self.adds, self.added) = (adds, 0);
            gate.lead_to(block.exec as u64);
        }
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
            probe.runs.fetch_add(runs, Ordering::Relaxed);
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
        let left = counters::left(&self.gate);
        counters::entered(&self.gate) == left
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

/// The programs as machine code, when all can be called directly, each within every budget and for an unlimited number of runs.
fn programs(list: &ProbeList, settings: &Settings, lanes: bool, at_return: bool) -> Option<Vec<Direct>> {
    let budget = settings.budget.min(settings.budget_interrupt);
    let mut programs = Vec::new();
    // The argument will lie on a stack, in the same part of the address space as this one.
    let stack = ptr::from_ref(&programs) as u64;
    let fits = |d: &Direct| {
        d.cost <= budget
            && d.argument <= MOST_ARGUMENT
            && (d.needs.is_empty() || d.block != 0)
            && (lanes || !d.needs.contains(Needs::LANE))
            && argument_fits(d.argument_needed, stack, CONTEXT_BYTES as u64)
    };
    programs.try_reserve_exact(list.probes.len()).ok()?;
    for probe in &list.probes {
        match (probe.point.is_return(), at_return) {
            // The entry makes the call come back, which no trampoline does.
            (true, false) => return None,
            (false, true) => {}
            (_, _) => programs.push(direct(probe).filter(fits)?),
        }
    }
    (!programs.is_empty()).then_some(programs)
}

/// What a trampoline for the programs at returns finds on the stack; `None` where one of them has too high a number.
fn at_return(list: &ProbeList) -> Option<AtReturn> {
    let last = list.probes.iter().filter(|probe| probe.point.is_return()).map(|probe| probe.id.raw()).max()?;
    Some(AtReturn {
        since: i32::try_from(last).ok()?.checked_add(1)?,
        bound: offset_of!(ReturnFrame, bound) as i32,
        arguments: offset_of!(ReturnFrame, arguments) as i32,
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

fn direct(probe: &Arc<Probe>) -> Option<Direct> {
    match probe.point {
        Point::Entry(_) | Point::Return(_) => probe.body.direct().filter(|_| probe.max_runs == u64::MAX),
    }
}
