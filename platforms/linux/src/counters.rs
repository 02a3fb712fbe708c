//! Which thread counts in which block. A block whose thread is gone is given to the next one; what was counted in it stays.

use crate::{own_path, sync};
use std::{
    ops::Range,
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};
use ubpf_rs::{
    platform::{CounterBlocks, Counting, Owner},
    program::limits::OWN_LANES,
};

/// Threads that can count in blocks of their own at the same time. Others take the general way.
pub(crate) const BLOCKS: usize = 64;

/// Thread that has the block with this number; 0 for none.
static OWNERS: [AtomicI32; BLOCKS] = [const { AtomicI32::new(0) }; BLOCKS];
/// The process that the owners belong to.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// Where the blocks are, once somebody has one.
static FIRST: AtomicU64 = AtomicU64::new(0);
static STRIDE: AtomicU64 = AtomicU64::new(0);
/// Searches that found no block: they become rare.
static IN_VAIN: AtomicU64 = AtomicU64::new(0);

extern "C" {
    fn ubpf_linux_own_counters() -> *mut u64;
    fn ubpf_linux_own_counters_offset() -> libc::c_long;
}

/// Blocks of their own where the kernel can make all threads see each other's counters.
pub(crate) fn counting() -> Counting {
    // SAFETY: takes nothing; reads the thread pointer.
    let offset = unsafe { ubpf_linux_own_counters_offset() };
    match (sync::prepare(), i32::try_from(offset)) {
        (Ok(()), Ok(offset)) => Counting::Own { owner: Owner::Thread, offset, blocks: BLOCKS },
        _ => Counting::Locked,
    }
}

/// Gives the calling thread a block, unless it has one. *Hook path.*
pub(crate) fn adopt(blocks: CounterBlocks) {
    // SAFETY: points to a variable of the calling thread, which nobody else touches.
    let own = unsafe { &mut *ubpf_linux_own_counters() };
    if *own != 0 || own_path::is_own() {
        return;
    }
    FIRST.store(blocks.base, Ordering::Relaxed);
    STRIDE.store(blocks.stride, Ordering::Relaxed);
    match find().and_then(|index| blocks.block(index)) {
        Some(block) => *own = block,
        None => drop(IN_VAIN.fetch_add(1, Ordering::Relaxed)),
    }
}

/// Gives the calling thread this block, or none (0), instead of the one that it has; gives that.
pub(crate) fn exchange(block: u64) -> u64 {
    // SAFETY: as in `adopt`.
    std::mem::replace(unsafe { &mut *ubpf_linux_own_counters() }, block)
}

/// The next searches ask again whose threads are gone: what is attached now shall not wait for that as long as hooks do.
pub(crate) fn ask_again() {
    IN_VAIN.store(0, Ordering::Relaxed);
}

/// The caller is the only thread of a child: it keeps its block, under the number that it has now, and all others are free.
pub(crate) fn after_fork() {
    // SAFETY: as in `adopt`, and nothing can go wrong with the other two.
    let (own, thread, process) = unsafe { (*ubpf_linux_own_counters(), libc::gettid(), libc::getpid()) };
    let place = own.wrapping_sub(FIRST.load(Ordering::Relaxed));
    let place = place.checked_div(STRIDE.load(Ordering::Relaxed)).filter(|_| own != 0);
    for (index, owner) in (0..).zip(&OWNERS) {
        owner.store(if place == Some(index) { thread } else { 0 }, Ordering::Release);
    }
    PROCESS.store(process, Ordering::Relaxed);
}

fn find() -> Option<usize> {
    // SAFETY: takes nothing, and nothing can go wrong.
    let (thread, process) = unsafe { (libc::gettid(), libc::getpid()) };
    let take = |index: usize, from: i32| {
        let owner = OWNERS.get(index)?;
        let taken = owner.compare_exchange(from, thread, Ordering::AcqRel, Ordering::Relaxed);
        taken.ok().map(|_| index)
    };
    let owner = |index: usize| OWNERS.get(index).map_or(0, |o| o.load(Ordering::Acquire));
    let abandoned = |index: usize| {
        let from = owner(index);
        is_gone(process, from).then(|| take(index, from)).flatten()
    };
    let free = |blocks: Range<usize>| blocks.into_iter().find_map(|index| take(index, 0));
    // After a fork that nobody told of, the owners are threads of another process; and asking takes a system call for each.
    let often = IN_VAIN.load(Ordering::Relaxed);
    let asked = PROCESS.load(Ordering::Relaxed) == process && (often <= 64 || often.is_power_of_two());
    let ask = |blocks: Range<usize>| blocks.into_iter().filter(|_| asked).find_map(abandoned);
    // The first ones have lanes.
    let (with_lanes, others) = (0..OWN_LANES, OWN_LANES..BLOCKS);
    let found = free(with_lanes.clone()).or_else(|| ask(with_lanes)).or_else(|| free(others.clone()));
    if found.is_some() {
        PROCESS.store(process, Ordering::Relaxed);
    }
    found.or_else(|| ask(others))
}

/// Whether no such thread is left. Leaves `errno` as it is: a traced function may be about to look at it.
pub(crate) fn is_gone(process: i32, thread: i32) -> bool {
    crate::keeping_errno(|| {
        // SAFETY: signal 0 is not sent.
        let failed = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) } == -1;
        failed && crate::errno() == libc::ESRCH
    })
}
