//! Gates: what the sites with directly called programs call. A gate's code never changes; where it leads stands beside it. Gates are made as
//! they are needed, within reach of the text, and after a detach they wait for the next site.
//!
//! A thread may be in a gate without being counted yet. So a gate that has had another site is marked as moved: trampolines behind it look
//! whether the thread came from their site, and send it the general way if not.

use super::{
    arch::current,
    counters::{self, Pair},
    site::SiteState,
    Settings,
};
use crate::{
    jit::trampoline::{self, Gate, Thunk, GATE_BYTES, THUNK_BYTES},
    platform::{ExecBlock, ExecMemory},
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    ptr, slice,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Gates made first; their data is part of the image.
const FIRST: usize = 64;
/// Gates made at once: as many again as there are, within these bounds, and fewer where memory is scarce.
const MOST: usize = 1024;
const FEWEST: usize = 16;

/// What belongs to a gate and changes.
#[repr(C)]
pub(super) struct GateData {
    /// Where it leads.
    target: AtomicU64,
    /// Used where nobody has counters of its own for this gate.
    pub shared: Pair,
    /// Somebody did not come out of a trampoline: it leads the general way for ever.
    spoilt: AtomicBool,
}

impl GateData {
    const fn new() -> GateData {
        GateData { target: AtomicU64::new(0), shared: Pair::new(), spoilt: AtomicBool::new(false) }
    }
}

static FIRST_DATA: [GateData; FIRST] = [const { GateData::new() }; FIRST];

/// A site's gate.
#[derive(Clone, Copy)]
pub(super) struct GateRef {
    pub index: usize,
    pub data: &'static GateData,
    pub at: u64,
    /// Whether it has had another site.
    pub moved: bool,
}

impl GateRef {
    pub fn lead_to(&self, target: u64) {
        self.data.target.store(target, Ordering::SeqCst);
    }

    /// How many came out of its trampolines.
    pub fn left(&self) -> u64 {
        counters::left(self.index, &self.data.shared)
    }

    /// How many went in.
    pub fn entered(&self) -> u64 {
        counters::entered(self.index, &self.data.shared)
    }

    pub fn is_spoilt(&self) -> bool {
        self.data.spoilt.load(Ordering::Relaxed)
    }

    pub fn spoil(&self) {
        self.data.spoilt.store(true, Ordering::Relaxed);
    }
}

/// Gates that were made together.
struct GateChunk {
    first: usize,
    code: ExecBlock,
    data: &'static [GateData],
}

#[derive(Clone, Copy)]
struct GateSlot {
    key: u64,
    moved: bool,
    /// A thunk leads to it, which is its site's for ever: so it is, too.
    stays: bool,
}

/// All gates.
pub(super) struct Gates {
    chunks: Vec<GateChunk>,
    /// Whose they are or last were; those that have not had a site yet are not in it.
    slots: Vec<GateSlot>,
    /// Those whose site has no program, for the longest time first. There is room for all.
    free: VecDeque<u32>,
    /// Data for gates whose code found no place.
    spare: Option<&'static [GateData]>,
}

impl Gates {
    pub const fn new() -> Gates {
        Gates { chunks: Vec::new(), slots: Vec::new(), free: VecDeque::new(), spare: None }
    }

    /// The gate of a site; `None` where there is no memory for one. `sites` is how many sites are known.
    pub fn of(&mut self, site: &SiteState, sites: usize, settings: &Settings) -> Option<GateRef> {
        let key = site.key;
        // The one that it had may have been given to another.
        let last = (site.gate.load(Ordering::Relaxed) as usize).checked_sub(1);
        if let Some(index) = last.filter(|&index| self.slots.get(index).is_some_and(|slot| slot.key == key)) {
            self.free.retain(|&free| free as usize != index);
            return self.get(index);
        }
        let gate = self.another(key, sites, settings)?;
        site.gate.store(gate.index as u64 + 1, Ordering::Relaxed);
        Some(gate)
    }

    /// The gate of a site's returns: one that no other site ever has. `None` where there is no memory for one.
    pub fn for_returns(&mut self, site: &SiteState, sites: usize, settings: &Settings) -> Option<GateRef> {
        let own = (site.return_place.load(Ordering::Relaxed) as usize).checked_sub(1);
        let gate = match own {
            Some(index) => return self.get(index),
            // No site has this key.
            None => self.fresh(0, sites, settings)?,
        };
        site.return_place.store(gate.index as u64 + 1, Ordering::Relaxed);
        Some(gate)
    }

    /// The thunk by which a site jumps to its gate; `None` where there is no memory for one. It is never freed: from now on no other site gets
    /// the gate, so that a site has one thunk.
    pub fn thunk(&mut self, site: &SiteState, gate: GateRef, settings: &Settings) -> Option<u64> {
        let [thunk, of_gate] = &site.thunk;
        if of_gate.load(Ordering::Relaxed) == gate.index as u64 + 1 {
            return Some(thunk.load(Ordering::Relaxed));
        }
        let block = install(settings.platform.exec?, THUNK_BYTES, |out, block| {
            let at = block.exec as u64;
            let counters = counters::of_gate(settings, gate.index, &gate.data.shared);
            let (gate, return_call) = (gate.at, current::return_call());
            trampoline::write_thunk(out, Thunk { at, key: site.key, gate, counters, return_call })
        })?;
        self.slots.get_mut(gate.index)?.stays = true;
        thunk.store(block.exec as u64, Ordering::Relaxed);
        of_gate.store(gate.index as u64 + 1, Ordering::Relaxed);
        Some(block.exec as u64)
    }

    /// A gate that no site has had.
    fn fresh(&mut self, key: u64, sites: usize, settings: &Settings) -> Option<GateRef> {
        let made = self.made();
        if self.slots.len() == made {
            self.grow(made, sites, settings)?;
        }
        self.slots.try_reserve(1).ok()?;
        // Taken beforehand, so that giving one back needs no memory.
        let held = self.slots.len().saturating_sub(self.free.len()) + 1;
        self.free.try_reserve(held).ok()?;
        self.slots.push(GateSlot { key, moved: false, stays: false });
        self.get(self.slots.len() - 1)
    }

    /// A gate that the site with this key has not had last.
    fn another(&mut self, key: u64, sites: usize, settings: &Settings) -> Option<GateRef> {
        if self.slots.len() == self.made() {
            if let Some(index) = self.free.pop_front() {
                *self.slots.get_mut(index as usize)? = GateSlot { key, moved: true, stays: false };
                return self.get(index as usize);
            }
        }
        self.fresh(key, sites, settings)
    }

    /// Takes a gate back that nothing in the text leads to any more.
    pub fn give_back(&mut self, gate: GateRef) {
        let stays = self.slots.get(gate.index).is_some_and(|slot| slot.stays);
        if !stays && !gate.is_spoilt() {
            self.free.push_back(gate.index as u32);
        }
    }

    /// Whether there is one in whose trampoline somebody may be for ever.
    pub fn any_spoilt(&self) -> bool {
        let mut data = self.chunks.iter().flat_map(|chunk| chunk.data);
        data.any(|data| data.spoilt.load(Ordering::Relaxed))
    }

    fn made(&self) -> usize {
        self.chunks.last().map_or(0, |c| c.first + c.data.len())
    }

    fn get(&self, index: usize) -> Option<GateRef> {
        let at = self.chunks.partition_point(|c| c.first <= index);
        let chunk = self.chunks.get(at.checked_sub(1)?)?;
        let within = index.checked_sub(chunk.first)?;
        Some(GateRef {
            index,
            data: chunk.data.get(within)?,
            at: gate_at(chunk.code, within),
            moved: self.slots.get(index)?.moved,
        })
    }

    fn grow(&mut self, made: usize, sites: usize, settings: &Settings) -> Option<()> {
        counters::prepare(settings, sites)?;
        self.chunks.try_reserve(1).ok()?;
        let mut count = made.clamp(FIRST, MOST);
        loop {
            if let Some(chunk) = self.make(made, count, settings) {
                self.chunks.push(chunk);
                return Some(());
            }
            count /= 2;
            if count < FEWEST {
                return None;
            }
        }
    }

    fn make(&mut self, first: usize, count: usize, settings: &Settings) -> Option<GateChunk> {
        let memory = settings.platform.exec?;
        let data = match self.spare.take() {
            _ if first == 0 => &FIRST_DATA,
            Some(spare) => spare,
            None => new_data(count, memory)?,
        };
        let data = data.get(..count).unwrap_or(data);
        let len = data.len() * GATE_BYTES;
        let code = install(memory, len, |out, block| write_gates(out, block, first, data, settings));
        if code.is_none() && first > 0 {
            self.spare = Some(data);
        }
        code.map(|code| GateChunk { first, code, data })
    }
}

fn gate_at(block: ExecBlock, index: usize) -> u64 {
    block.exec.wrapping_add(index * GATE_BYTES) as u64
}

/// Data for so many gates, which lives for ever: near the code where the platform has such memory, else wherever there is memory.
fn new_data(count: usize, memory: &'static dyn ExecMemory) -> Option<&'static [GateData]> {
    if let Some(at) = memory.data(count * size_of::<GateData>()) {
        // SAFETY: the platform gives memory of this length, aligned for words, that is nobody else's and lives for ever; zeros are data of
        // a gate that is nobody's.
        return Some(unsafe { slice::from_raw_parts(at as *const GateData, count) });
    }
    let mut data = Vec::new();
    data.try_reserve_exact(count).ok()?;
    data.resize_with(count, GateData::new);
    Some(data.leak())
}

fn write_gates(out: &mut [u8], block: ExecBlock, first: usize, data: &'static [GateData], settings: &Settings) -> bool {
    let parts = out.chunks_exact_mut(GATE_BYTES).zip(data).enumerate();
    parts.fold(true, |good, (index, (out, data))| {
        let at = gate_at(block, index);
        data.target.store(trampoline::general_way(at), Ordering::SeqCst);
        let gate = Gate {
            at,
            counters: counters::of_gate(settings, first + index, &data.shared),
            own: settings.platform.cpu.own_mark(),
            target: ptr::from_ref(&data.target) as u64,
            general: current::hook_entry(),
        };
        good & trampoline::write_gate(out, gate)
    })
}

/// Executable memory with what `write` puts there; it says whether that went well.
pub(super) fn install(
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
    // SAFETY: nothing leads there.
    unsafe { memory.free(block) };
    None
}
