//! Which thread counts in which block. A block whose thread is gone is given to the next one; what was counted in it stays.

use crate::text;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use ubpf_rs::platform::{CounterBlocks, Counting, Owner};

/// Threads that can count in blocks of their own at the same time. Others take the general way.
pub(crate) const BLOCKS: usize = 64;

/// Thread that has the block with this number; 0 for none.
static OWNERS: [AtomicI32; BLOCKS] = [const { AtomicI32::new(0) }; BLOCKS];
/// The process that the owners belong to.
static PROCESS: AtomicI32 = AtomicI32::new(0);
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
    match (text::prepare_sync(), i32::try_from(offset)) {
        (Ok(()), Ok(offset)) => Counting::Own { owner: Owner::Thread, offset, blocks: BLOCKS },
        _ => Counting::Locked,
    }
}

/// Gives the calling thread a block, unless it has one. *Hook path.*
pub(crate) fn adopt(blocks: CounterBlocks) {
    // SAFETY: points to a variable of the calling thread, which nobody else touches.
    let own = unsafe { &mut *ubpf_linux_own_counters() };
    if *own != 0 {
        return;
    }
    match find().and_then(|index| blocks.block(index)) {
        Some(block) => *own = block,
        None => drop(IN_VAIN.fetch_add(1, Ordering::Relaxed)),
    }
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
    if let Some(index) = (0..BLOCKS).find_map(|index| take(index, 0)) {
        PROCESS.store(process, Ordering::Relaxed);
        return Some(index);
    }
    // After a fork the owners are threads of another process; and asking takes a system call for each.
    let often = IN_VAIN.load(Ordering::Relaxed);
    if PROCESS.load(Ordering::Relaxed) != process || often > 64 && !often.is_power_of_two() {
        return None;
    }
    (0..BLOCKS).find_map(|index| {
        let from = owner(index);
        is_gone(process, from).then(|| take(index, from)).flatten()
    })
}

/// Whether no such thread is left. Leaves `errno` as it is: a traced function may be about to look at it.
fn is_gone(process: i32, thread: i32) -> bool {
    // SAFETY: signal 0 is not sent; `errno` belongs to this thread.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        let failed = libc::syscall(libc::SYS_tgkill, process, thread, 0) == -1;
        let gone = failed && *errno == libc::ESRCH;
        *errno = before;
        gone
    }
}
