//! The hook areas: where hooks run. A traced thread's stack may be small, so a hook takes one of a fixed number of
//! preallocated areas (stack, saved vector registers, the program's stack) and gives it back when it returns.
//!
//! An area knows nothing of threads or CPUs: claiming is one compare-and-swap on a word of free bits. A snapshot
//! that a hook may still read is freed after a [`Grace`]: once every area has been seen free or has changed its generation. A hook that
//! left its area by other ways (a longjmp out of a signal handler) is waited for once, then counted as [`Lost`]; what it may read is kept.

use super::{
    arch::current::{self, FpMode, FP_BYTES},
    site::{SiteTable, EMPTY_TABLE},
};
pub use crate::program::limits::{
    CONTEXT_BYTES, MAX_HOOK_AREAS as MAX_AREAS, MOST_CONTEXT_BYTES, STACK_BYTES as PROGRAM_STACK,
};
use alloc::alloc::{alloc_zeroed, dealloc, Layout};
use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{fence, AtomicPtr, AtomicU64, Ordering},
};

/// Memory handed to the program of a hook. Plain bytes: any value is valid.
#[repr(C, align(64))]
pub(super) struct Scratch {
    pub stack: [u8; PROGRAM_STACK],
    pub context: [u8; MOST_CONTEXT_BYTES],
}

/// Top of an area; the area's stack ends where it begins.
#[repr(C, align(64))]
pub(super) struct Control {
    /// Counts the hooks that ran here.
    pub generation: AtomicU64,
    /// Saved vector registers; 64-byte aligned for xsave.
    pub fp: Fp,
    pub scratch: UnsafeCell<Scratch>,
}

#[repr(C, align(64))]
pub(super) struct Fp([u8; FP_BYTES]);

/// What the entry of hooks reads, at fixed offsets.
#[repr(C, align(64))]
pub(super) struct Hooks {
    /// One bit per free area. On a cache line of its own: every hook writes it twice.
    pub free: AtomicU64,
    _apart: [u64; 7],
    pub base: AtomicU64,
    pub len: AtomicU64,
    pub area_bytes: AtomicU64,
    /// Address of the control block of area 0.
    pub first_control: AtomicU64,
    pub fp_mode: AtomicU64,
    /// 32 bits are used.
    pub fp_mask: AtomicU64,
    /// Attached sites by key.
    pub table: AtomicPtr<SiteTable>,
    /// Number of probes on instrumented functions.
    pub instrumented: AtomicU64,
    /// Calls of helpers by programs that run directly that found no area.
    pub helpers_missed: AtomicU64,
    /// Probes run whose id is below: those that came together begin together.
    pub started: AtomicU64,
    /// Address of the buckets of return frames, 0 before there are some.
    pub frames: AtomicU64,
    /// What is left of a slot's product when shifted so far is its bucket.
    pub frames_shift: AtomicU64,
    /// Where the number of the running thread is: 0 nowhere, 1 so far from where fs points, 2 at this address.
    pub thread_kind: AtomicU64,
    pub thread_at: AtomicU64,
    /// With kind 2, the address of a word that is the same while the thread is the engine's own.
    pub own_at: AtomicU64,
    /// How machine code tells the time, where it can: start and scale of [`Ticks`](crate::platform::Ticks).
    pub ticks: [AtomicU64; 2],
    /// Where an unwinder goes that finds no frame: nowhere.
    pub nowhere: AtomicU64,
    /// Ticks of timers that found no area since the last that did.
    pub unseen_ticks: AtomicU64,
    /// What says whether a hook has to stay on the stack that it is called on, a [`StackTest`](crate::platform::StackTest); 0: it has not.
    pub stack_test: AtomicU64,
}

pub(super) static HOOKS: Hooks = Hooks {
    free: AtomicU64::new(0),
    _apart: [0; 7],
    base: AtomicU64::new(0),
    len: AtomicU64::new(0),
    area_bytes: AtomicU64::new(0),
    first_control: AtomicU64::new(0),
    fp_mode: AtomicU64::new(0),
    fp_mask: AtomicU64::new(0),
    table: AtomicPtr::new((&raw const EMPTY_TABLE).cast_mut()),
    instrumented: AtomicU64::new(0),
    helpers_missed: AtomicU64::new(0),
    started: AtomicU64::new(1),
    frames: AtomicU64::new(0),
    frames_shift: AtomicU64::new(63),
    thread_kind: AtomicU64::new(0),
    thread_at: AtomicU64::new(0),
    own_at: AtomicU64::new(0),
    ticks: [const { AtomicU64::new(0) }; 2],
    nowhere: AtomicU64::new(0),
    unseen_ticks: AtomicU64::new(0),
    stack_test: AtomicU64::new(0),
};

/// Makes `count` areas with `stack` bytes of stack each, where there are none. False without memory.
pub(super) fn create(count: usize, stack: usize) -> bool {
    let count = count.clamp(1, MAX_AREAS);
    let stack = stack.max(4096).next_multiple_of(64);
    let area = stack + size_of::<Control>();
    let Ok(layout) = Layout::from_size_align(count * area, 64) else {
        return false;
    };
    // SAFETY: the layout is not empty.
    let base = unsafe { alloc_zeroed(layout) } as u64;
    if base == 0 {
        return false;
    }
    let (mode, mask) = current::detect_fp();
    HOOKS.fp_mode.store(mode as u64, Ordering::Relaxed);
    HOOKS.fp_mask.store(mask.into(), Ordering::Relaxed);
    HOOKS.base.store(base, Ordering::Relaxed);
    HOOKS.len.store((count * area) as u64, Ordering::Relaxed);
    HOOKS.area_bytes.store(area as u64, Ordering::Relaxed);
    HOOKS.first_control.store(base + stack as u64, Ordering::Relaxed);
    HOOKS.free.store(all_free(count), Ordering::SeqCst);
    true
}

/// Takes all areas, if no hook runs, so that none runs from now on.
pub(super) fn close() -> bool {
    let all = all_free(count());
    HOOKS.free.compare_exchange(all, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Frees the areas.
///
/// # Safety
/// They were closed, and the caller does not run on one.
pub(super) unsafe fn free() {
    let base = HOOKS.base.swap(0, Ordering::SeqCst);
    let len = HOOKS.len.swap(0, Ordering::SeqCst);
    if let Ok(layout) = Layout::from_size_align(len as usize, 64) {
        // SAFETY: `create` has made it with this layout; no hook is in it, as the caller says, and none comes.
        unsafe { dealloc(base as *mut u8, layout) };
    }
}

fn all_free(count: usize) -> u64 {
    u64::MAX >> (MAX_AREAS - count)
}

/// Whether the caller runs on the stack of an area: in a hook, or in what interrupted one.
pub(super) fn inside() -> bool {
    let here = 0u8;
    let base = HOOKS.base.load(Ordering::Relaxed);
    let distance = (ptr::from_ref(&here) as u64).wrapping_sub(base);
    distance < HOOKS.len.load(Ordering::Relaxed)
}

/// Bytes of the stack of each area.
fn stack() -> usize {
    HOOKS.first_control.load(Ordering::Relaxed).wrapping_sub(HOOKS.base.load(Ordering::Relaxed)) as usize
}

/// Of so many bytes at the lower end of an area's stack, which is no longer, those below the first that a hook has used.
fn unused(area: usize, of: usize) -> usize {
    let end = (ptr::from_ref(control(area)) as usize).wrapping_sub(stack());
    // SAFETY: the area's stack lies below its control block, and is zero where no hook came; a hook may write it meanwhile.
    let is_zero = |at: &usize| unsafe { (*at as *const u64).read_volatile() } == 0;
    (end..end.wrapping_add(of)).step_by(8).take_while(is_zero).count().wrapping_mul(8)
}

/// Bytes that hooks have used at most of the stack of an area, and what it has.
pub fn stack_used() -> (usize, usize) {
    let stack = stack();
    let used = (0..count()).map(|area| stack.wrapping_sub(unused(area, stack)));
    (used.max().unwrap_or(0), stack)
}

/// Bytes at the end of a stack that no hook should come to: a function may leave some of its own out.
const LAST: usize = 256;

/// Areas of whose stack a hook has come to the end, and perhaps into what lies below it.
pub(super) fn full_stacks() -> usize {
    (0..count()).filter(|&area| unused(area, LAST) < LAST).count()
}

/// How vector registers are saved (for `status`).
pub fn fp_mode() -> FpMode {
    FpMode::from_number(HOOKS.fp_mode.load(Ordering::Relaxed))
}

/// All areas are free but those on whose stack the caller is: there is no other thread.
pub(super) fn after_fork() {
    if !inside() {
        HOOKS.free.store(all_free(count()), Ordering::SeqCst);
    }
}

fn control(area: usize) -> &'static Control {
    let first = HOOKS.first_control.load(Ordering::Relaxed);
    let at = first + area as u64 * HOOKS.area_bytes.load(Ordering::Relaxed);
    // SAFETY: callers pass numbers of areas made by `create`, which live for ever; the parts of a control block that
    // change are atomics or cells.
    unsafe { &*(at as *const Control) }
}

/// An area that a hook has to itself until this is dropped, where the entry of hooks is written in Rust.
#[cfg(any(not(target_arch = "x86_64"), ubpf_arch = "none"))]
pub(super) struct Claimed {
    area: usize,
}

#[cfg(any(not(target_arch = "x86_64"), ubpf_arch = "none"))]
impl Claimed {
    /// Takes a free one; `None` where there is none.
    pub fn take() -> Option<Claimed> {
        let taken = HOOKS
            .free
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |free| (free != 0).then(|| free & free.wrapping_sub(1)));
        taken.ok().map(|free| Claimed { area: free.trailing_zeros() as usize })
    }

    /// Its control block.
    pub fn control(&self) -> &'static Control {
        control(self.area)
    }
}

#[cfg(any(not(target_arch = "x86_64"), ubpf_arch = "none"))]
impl Drop for Claimed {
    fn drop(&mut self) {
        self.control().generation.fetch_add(1, Ordering::Release);
        HOOKS.free.fetch_or(bit(self.area), Ordering::SeqCst);
    }
}

/// The hooks that run at a moment: those that may still read what was unpublished before it. It waits for nobody: whoever must know asks
/// again, holding no lock meanwhile.
pub(super) struct Grace {
    /// Areas, one bit each, whose hook has not been seen to end.
    areas: u64,
    /// What their generations were.
    generations: [u64; MAX_AREAS],
}

/// The areas whose hooks were waited for in vain, with their generations. Touched by whoever has the tracer's turn.
pub(super) struct Lost {
    areas: u64,
    generations: [u64; MAX_AREAS],
}

impl Grace {
    /// The hooks that run now.
    pub fn begin() -> Grace {
        fence(Ordering::SeqCst);
        let mut grace = Grace { areas: 0, generations: [0; MAX_AREAS] };
        for (area, kept) in (0..count()).zip(&mut grace.generations) {
            *kept = control(area).generation.load(Ordering::Acquire);
            if HOOKS.free.load(Ordering::Acquire) & bit(area) == 0 {
                grace.areas |= bit(area);
            }
        }
        grace
    }

    /// Whether all of them have returned.
    pub fn is_over(&mut self) -> bool {
        self.areas = still(self.areas, &self.generations);
        self.areas == 0
    }

    /// Whether all of them have returned but those that are known to be lost: it is no use to wait longer.
    pub fn is_hopeless(&mut self, lost: &Lost) -> bool {
        let known = still(lost.areas, &lost.generations);
        self.is_over() || self.areas & !known == 0
    }
}

impl Lost {
    pub const fn new() -> Lost {
        Lost { areas: 0, generations: [0; MAX_AREAS] }
    }

    /// How many there are. A hook that comes back after all is taken off.
    pub fn count(&mut self) -> u32 {
        self.areas = still(self.areas, &self.generations);
        self.areas.count_ones()
    }

    /// Takes in what was waited for long enough.
    pub fn add(&mut self, grace: &mut Grace) {
        if grace.is_over() {
            return;
        }
        for area in (0..MAX_AREAS).filter(|&area| grace.areas & bit(area) != 0) {
            self.areas |= bit(area);
            self.generations[area] = grace.generations[area];
        }
    }
}

fn bit(area: usize) -> u64 {
    1 << area
}

/// How many areas there are.
fn count() -> usize {
    let area_bytes = HOOKS.area_bytes.load(Ordering::Relaxed).max(1);
    (HOOKS.len.load(Ordering::Relaxed) / area_bytes) as usize
}

/// Those of `areas` that neither are free nor have another generation: the same hook has them.
fn still(areas: u64, generations: &[u64; MAX_AREAS]) -> u64 {
    let same = |area: &usize| {
        areas & bit(*area) != 0
            && HOOKS.free.load(Ordering::Acquire) & bit(*area) == 0
            && control(*area).generation.load(Ordering::Acquire) == generations[*area]
    };
    (0..count()).filter(same).fold(0, |all, area| all | bit(area))
}
