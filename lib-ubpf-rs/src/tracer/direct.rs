//! Programs that need nothing but their argument and the two-key map run straight from the traced function: through the gate of the site
//! and a trampoline made for the programs that sit there. All others take the general entry of hooks.

use super::{
    arch::current,
    pool::{CONTEXT_BYTES, HOOKS},
    probe::{Probe, ProbeList},
    Settings, TRACER,
};
use crate::{
    jit::trampoline::{self, Gate, Surroundings, GATE_BYTES},
    platform::{ExecBlock, ExecMemory},
    vm::Direct,
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    hint, mem, ptr, slice,
    sync::atomic::{AtomicU64, Ordering},
};
use spin::Once;

/// Sites that can have a gate. A gate is never freed, and what it counts in lies within reach of the text.
const GATES: usize = 64;

/// Bytes of argument that a program called directly may touch: they lie on the traced function's stack, which pays for at
/// most 256 bytes in all.
const MOST_ARGUMENT: u64 = 64;

/// What a gate refers to. On a cache line of its own.
#[repr(C, align(64))]
struct Slot {
    /// Hooks that went into trampolines.
    entered: AtomicU64,
    /// Those that came out again.
    left: AtomicU64,
    /// Where the gate leads.
    target: AtomicU64,
}

#[allow(clippy::declare_interior_mutable_const)] // a pattern for the array, never used as a value
const FREE: Slot = Slot {
    entered: AtomicU64::new(0),
    left: AtomicU64::new(0),
    target: AtomicU64::new(0),
};
static SLOTS: [Slot; GATES] = [FREE; GATES];

/// A site's gate.
#[derive(Clone, Copy)]
pub(super) struct GateRef {
    slot: &'static Slot,
    at: u64,
}

/// All gates, each for the site with the key beside it.
pub(super) struct Gates {
    block: Option<ExecBlock>,
    keys: Vec<u64>,
}

impl Gates {
    pub const fn new() -> Gates {
        Gates {
            block: None,
            keys: Vec::new(),
        }
    }

    /// The gate of the site with this key; `None` where there is none to be had.
    pub fn of(&mut self, key: u64, settings: &Settings) -> Option<GateRef> {
        let block = match self.block {
            Some(block) => block,
            None => *self.block.insert(make_gates(settings.platform.exec?)?),
        };
        let known = self.keys.iter().position(|&k| k == key);
        let index = known.unwrap_or(self.keys.len());
        let slot = SLOTS.get(index)?;
        if known.is_none() {
            self.keys.try_reserve(1).ok()?;
            self.keys.push(key);
        }
        Some(GateRef {
            slot,
            at: gate_at(block, index),
        })
    }
}

fn gate_at(block: ExecBlock, index: usize) -> u64 {
    block.exec.wrapping_add(index * GATE_BYTES) as u64
}

fn make_gates(memory: &'static dyn ExecMemory) -> Option<ExecBlock> {
    install(memory, GATES * GATE_BYTES, |out, block| {
        let parts = out.chunks_exact_mut(GATE_BYTES).zip(&SLOTS).enumerate();
        parts.fold(true, |good, (index, (out, slot))| {
            let at = gate_at(block, index);
            slot.target
                .store(trampoline::general_way(at), Ordering::SeqCst);
            let gate = Gate {
                at,
                entered: ptr::from_ref(&slot.entered) as u64,
                left: ptr::from_ref(&slot.left) as u64,
                target: ptr::from_ref(&slot.target) as u64,
                general: current::hook_entry(),
            };
            good & trampoline::write_gate(out, gate)
        })
    })
}

/// Executable memory with what `write` puts there; it says whether that went well.
fn install(
    memory: &'static dyn ExecMemory,
    len: usize,
    write: impl FnOnce(&mut [u8], ExecBlock) -> bool,
) -> Option<ExecBlock> {
    let block = memory.alloc(len)?;
    // SAFETY: an open block is writable memory of its length that belongs to whom it was given.
    let out = unsafe { slice::from_raw_parts_mut(block.write as *mut u8, len.min(block.len)) };
    if out.len() == len && write(out, block) && memory.seal(block) {
        return Some(block);
    }
    memory.free(block);
    None
}

/// The trampoline of one site, if its programs can have one.
pub(super) struct Trampoline {
    gate: Option<GateRef>,
    block: Option<ExecBlock>,
    /// How many came out before the trampoline was made.
    before: u64,
}

impl Trampoline {
    /// None yet. The gate is what the site calls from now on.
    pub fn new(gate: Option<GateRef>) -> Trampoline {
        Trampoline {
            gate,
            block: None,
            before: 0,
        }
    }

    /// What the site calls.
    pub fn call_target(&self) -> u64 {
        self.gate.map_or_else(current::hook_entry, |gate| gate.at)
    }

    /// Runs of each program since the trampoline was made.
    pub fn runs(&self) -> u64 {
        match (self.gate, self.block) {
            (Some(gate), Some(_)) => gate
                .slot
                .left
                .load(Ordering::SeqCst)
                .wrapping_sub(self.before),
            _ => 0,
        }
    }

    /// Makes a trampoline for the programs of `list` when all of them can have one; else hooks go the general way.
    pub fn open(&mut self, key: u64, list: &ProbeList, settings: &Settings) {
        let (Some(gate), Some(memory), None) = (self.gate, settings.platform.exec, self.block)
        else {
            return;
        };
        let Some(programs) = programs(list, settings) else {
            return;
        };
        let map_block = match programs.iter().any(|p| p.uses_map).then(map_block) {
            Some(None) => return,
            Some(Some(block)) => block,
            None => 0,
        };
        let around = |at| Surroundings {
            at,
            map_block,
            gate: gate.at,
            key,
            argument_len: CONTEXT_BYTES as u32,
            hooks: (
                ptr::from_ref(&HOOKS.base) as u64,
                ptr::from_ref(&HOOKS.len) as u64,
            ),
        };
        // The length does not depend on the place; what is out of reach of the gate is out of reach anyhow.
        let Some(len) = trampoline::write(&mut [], around(gate.at), &programs) else {
            return;
        };
        self.block = install(memory, len, |out, block| {
            trampoline::write(out, around(block.exec as u64), &programs) == Some(len)
        });
        if let Some(block) = self.block {
            self.before = gate.slot.left.load(Ordering::SeqCst);
            gate.slot.target.store(block.exec as u64, Ordering::SeqCst);
        }
    }

    /// Sends hooks the general way and waits until nobody is in the trampoline; its runs are added to the probes' own.
    pub fn close(&mut self, list: &ProbeList, settings: &Settings) {
        let (Some(gate), Some(block)) = (self.gate, self.block) else {
            return;
        };
        gate.slot
            .target
            .store(trampoline::general_way(gate.at), Ordering::SeqCst);
        let empty = gate.slot.wait_until_empty();
        let runs = self.runs();
        self.block = None;
        for probe in &list.probes {
            probe.runs.fetch_add(runs, Ordering::Relaxed);
        }
        match settings.platform.exec {
            Some(memory) if empty => memory.free(block),
            // Somebody may still be in there: neither trampoline nor programs are ever freed.
            _ => list.probes.iter().cloned().for_each(mem::forget),
        }
    }
}

/// What programs that use the two-key map need in r9.
fn map_block() -> Option<u64> {
    static BLOCK: Once<Option<u64>> = Once::new();
    let map = TRACER.map()?;
    *BLOCK.call_once(|| trampoline::map_block(map.layout(), current::map_ways()))
}

impl Slot {
    /// Whether there was a moment with nobody inside. Programs end in finite time, so there should be.
    fn wait_until_empty(&self) -> bool {
        const ROUNDS: u32 = 100_000_000;
        (0..ROUNDS).any(|_| {
            let left = self.left.load(Ordering::SeqCst);
            let empty = self.entered.load(Ordering::SeqCst) == left;
            if !empty {
                hint::spin_loop();
            }
            empty
        })
    }
}

/// The programs as machine code, when all can be called directly, each within every budget and for an unlimited number of runs.
fn programs(list: &ProbeList, settings: &Settings) -> Option<Vec<Direct>> {
    let budget = settings.budget.min(settings.budget_interrupt);
    let mut programs = Vec::new();
    programs.try_reserve_exact(list.probes.len()).ok()?;
    for probe in &list.probes {
        let direct = direct(probe).filter(|d| d.cost <= budget && d.argument <= MOST_ARGUMENT)?;
        programs.push(direct);
    }
    (!programs.is_empty()).then_some(programs)
}

fn direct(probe: &Arc<Probe>) -> Option<Direct> {
    probe.body.direct().filter(|_| probe.max_runs == u64::MAX)
}
