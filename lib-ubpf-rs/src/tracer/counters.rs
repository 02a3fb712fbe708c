//! How often programs that are called directly went in and came out: two counters per gate, so that a site costs two plain additions
//! where the platform allows it. Runs are not counted apart: they are those who came out.
//!
//! Where each thread or CPU has a block of its own, the sum over all blocks is exact for all that has happened before
//! [`Cpu::see_all`](crate::platform::Cpu::see_all), and a block outlives whoever counted in it.

use super::{direct::GATES, Settings};
use crate::{
    jit::trampoline::Counters,
    platform::{CounterBlocks, Counting},
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};
use spin::Once;

/// Counters of one gate.
#[repr(C)]
struct Pair {
    entered: AtomicU64,
    left: AtomicU64,
}

/// Counters of all gates.
#[repr(C, align(64))]
struct Block([Pair; GATES]);

impl Block {
    const fn new() -> Block {
        Block(
            [const {
                Pair {
                    entered: AtomicU64::new(0),
                    left: AtomicU64::new(0),
                }
            }; GATES],
        )
    }
}

/// Used by everybody, unless each has its own.
static SHARED: Block = Block::new();
static OWN: Once<&'static [Block]> = Once::new();
const MOST_BLOCKS: usize = 256;

/// Makes what the platform's way of counting needs; `None` without memory.
pub(super) fn prepare(settings: &Settings) -> Option<Counting> {
    let counting = settings.platform.cpu.counting();
    if let Counting::Own { blocks, .. } = counting {
        if OWN.get().is_none() {
            let count = blocks.clamp(1, MOST_BLOCKS);
            let mut list = Vec::new();
            list.try_reserve_exact(count).ok()?;
            list.resize_with(count, Block::new);
            OWN.call_once(|| Box::leak(list.into_boxed_slice()));
        }
    }
    Some(counting)
}

/// Where the gate with this number counts.
pub(super) fn of_gate(counting: Counting, gate: usize) -> Counters {
    if let Counting::Own {
        segment, offset, ..
    } = counting
    {
        let entered = (gate * size_of::<Pair>()) as i32;
        return Counters::Own {
            segment,
            offset,
            entered,
            left: entered + size_of::<AtomicU64>() as i32,
        };
    }
    let pair = &SHARED.0[gate];
    Counters::Shared {
        entered: ptr::from_ref(&pair.entered) as u64,
        left: ptr::from_ref(&pair.left) as u64,
        locked: counting == Counting::Locked,
    }
}

/// Gives whoever runs a hook the general way a block of its own, so that next time it need not. *Hook path.*
pub(super) fn adopt(settings: &Settings) {
    if let Some(own) = OWN.get() {
        settings.platform.cpu.adopt_counters(CounterBlocks {
            base: own.as_ptr() as u64,
            stride: size_of::<Block>() as u64,
            count: own.len(),
        });
    }
}

fn sum(gate: usize, one: impl Fn(&Pair) -> &AtomicU64) -> u64 {
    let own = OWN.get().copied().unwrap_or(&[]);
    let blocks = own.iter().chain([&SHARED]);
    let counts = blocks.filter_map(|block| Some(one(block.0.get(gate)?).load(Ordering::SeqCst)));
    counts.fold(0, u64::wrapping_add)
}

/// How many came out of the gate's trampolines.
pub(super) fn left(gate: usize) -> u64 {
    sum(gate, |pair| &pair.left)
}

/// How many went in.
pub(super) fn entered(gate: usize) -> u64 {
    sum(gate, |pair| &pair.entered)
}
