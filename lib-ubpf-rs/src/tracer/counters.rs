//! How often programs that are called directly went in and came out: two counters per gate, so that a site costs two plain additions
//! where the platform allows it. Runs are not counted apart: they are those who came out.
//!
//! Where each thread or CPU has a block of its own, the sum over all blocks is exact for all that has happened before
//! [`Cpu::see_all`](crate::platform::Cpu::see_all), and a block outlives whoever counted in it.

use super::Settings;
use crate::{
    jit::trampoline::{self, Counters, LanePlace},
    platform::{CounterBlocks, Counting},
    program::limits::OWN_LANES,
};
use alloc::alloc::{alloc_zeroed, Layout};
use core::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};
use spin::Once;

/// Counters of one gate. Zeros are those that nobody has counted in.
#[repr(C)]
pub(super) struct Pair {
    entered: AtomicU64,
    left: AtomicU64,
}

impl Pair {
    pub const fn new() -> Pair {
        Pair { entered: AtomicU64::new(0), left: AtomicU64::new(0) }
    }
}

/// Blocks of pairs, one for each who counts, a pair for each gate in each, and behind them the word of its lane. They live for ever.
struct Own {
    base: usize,
    blocks: usize,
    /// Pairs in a block.
    gates: usize,
}

static OWN: Once<Option<Own>> = Once::new();
const MOST_BLOCKS: usize = 256;
/// Bytes of blocks: those of different threads or CPUs share no cache line.
const LINE: usize = 64;
/// Gates that everybody has counters of their own for, at least.
const LEAST: usize = 64;

impl Own {
    /// Room for the gates of twice as many sites: more may come to be known. What is not used needs no memory where zeros need none.
    fn new(blocks: usize, sites: usize) -> Option<Own> {
        let gates = sites.saturating_mul(2).max(LEAST).checked_next_power_of_two()?;
        let blocks = blocks.clamp(1, MOST_BLOCKS);
        let bytes = gates.checked_mul(size_of::<Pair>())?.checked_add(LINE)?.checked_mul(blocks)?;
        // A gate's counters are reached by a 31-bit offset.
        i32::try_from(bytes).ok()?;
        let layout = Layout::from_size_align(bytes, LINE).ok()?;
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) } as usize;
        let own = Own { base, blocks, gates };
        (base != 0).then(|| {
            own.free_lanes();
            own
        })
    }

    fn stride(&self) -> usize {
        self.lane_offset() + LINE
    }

    /// Offset in a block of the word that says which lane is to be had: the first blocks have one each.
    fn lane_offset(&self) -> usize {
        self.gates * size_of::<Pair>()
    }

    fn free_lanes(&self) {
        for block in 0..self.blocks.min(OWN_LANES) {
            let at = self.base + block * self.stride() + self.lane_offset();
            // SAFETY: within the block, aligned, and a number that machine code changes one word at a time.
            let word = unsafe { &*(at as *const AtomicU64) };
            word.store(trampoline::lane_word(block), Ordering::SeqCst);
        }
    }

    /// The pair of a gate in a block.
    fn pair(&self, block: usize, gate: usize) -> Option<&Pair> {
        let at = self.base + block * self.stride() + gate * size_of::<Pair>();
        // SAFETY: within the blocks, which hold nothing but pairs; zeros are valid ones, and all changes are atomic or made by machine
        // code one word at a time.
        (block < self.blocks && gate < self.gates).then(|| unsafe { &*(at as *const Pair) })
    }
}

fn own() -> Option<&'static Own> {
    OWN.get()?.as_ref()
}

/// Makes what the platform's way of counting needs for the gates of so many sites; `None` without memory.
pub(super) fn prepare(settings: &Settings, sites: usize) -> Option<()> {
    let Counting::Own { blocks, .. } = settings.platform.cpu.counting() else {
        return Some(());
    };
    if OWN.get().is_none() {
        let own = Own::new(blocks, sites)?;
        OWN.call_once(|| Some(own));
    }
    Some(())
}

/// Where the gate with this number counts, whose shared counters these are.
pub(super) fn of_gate(settings: &Settings, gate: usize, shared: &'static Pair) -> Counters {
    let counting = settings.platform.cpu.counting();
    let has = own().is_some_and(|own| gate < own.gates);
    if let (Counting::Own { owner, offset, .. }, true) = (counting, has) {
        let entered = (gate * size_of::<Pair>()) as i32;
        return Counters::Own { owner, offset, entered, left: entered + size_of::<AtomicU64>() as i32 };
    }
    Counters::Shared {
        entered: ptr::from_ref(&shared.entered) as u64,
        left: ptr::from_ref(&shared.left) as u64,
        locked: counting != Counting::OneCpu,
    }
}

/// The lane's word where there is one CPU.
static LANE: AtomicU64 = AtomicU64::new(trampoline::lane_word(0));

/// Where runs take their lane behind the gate with this number; `None` where there is none to be had.
pub(super) fn lane(settings: &Settings, gate: usize) -> Option<LanePlace> {
    match settings.platform.cpu.counting() {
        Counting::Own { owner, offset, .. } => {
            let own = own().filter(|own| gate < own.gates)?;
            Some(LanePlace::Own { owner, offset, word: own.lane_offset() as i32 })
        }
        Counting::OneCpu => Some(LanePlace::Shared(ptr::from_ref(&LANE) as u64)),
        Counting::Locked => None,
    }
}

/// All lanes are to be had: whoever had one is not in this process.
pub(super) fn after_fork() {
    LANE.store(trampoline::lane_word(0), Ordering::SeqCst);
    if let Some(own) = own() {
        own.free_lanes();
    }
}

/// Gives whoever runs a hook the general way a block of its own, so that next time it need not. *Hook path.*
pub(super) fn adopt(settings: &Settings) {
    if let Some(own) = own() {
        settings.platform.cpu.adopt_counters(CounterBlocks {
            base: own.base as u64,
            stride: own.stride() as u64,
            count: own.blocks,
        });
    }
}

fn sum(gate: usize, shared: &Pair, one: impl Fn(&Pair) -> &AtomicU64) -> u64 {
    let blocks = own().map_or(0, |own| own.blocks);
    let pair = |block| own()?.pair(block, gate);
    let pairs = (0..blocks).filter_map(pair).chain([shared]);
    pairs.map(|pair| one(pair).load(Ordering::SeqCst)).fold(0, u64::wrapping_add)
}

/// How many came out of the trampolines of the gate with this number; `shared`: where those count who have no block.
pub(super) fn left(gate: usize, shared: &Pair) -> u64 {
    sum(gate, shared, |pair| &pair.left)
}

/// How many went in.
pub(super) fn entered(gate: usize, shared: &Pair) -> u64 {
    sum(gate, shared, |pair| &pair.entered)
}
