//! The hook areas: where hooks run. A traced thread's stack may be small, so a hook takes one of a fixed number of
//! preallocated areas (stack, saved vector registers, the program's stack) and gives it back when it returns.
//!
//! An area knows nothing of threads or CPUs: claiming is one compare-and-swap on a word of free bits. A snapshot
//! that a hook may still read is freed after [`grace`]: once every area has been seen free or has changed its generation.

use super::{
    arch::current::{self, FpMode, FP_BYTES},
    site::{Table, EMPTY_TABLE},
};
use alloc::alloc::{alloc_zeroed, Layout};
use core::{
    cell::UnsafeCell,
    hint, ptr,
    sync::atomic::{fence, AtomicPtr, AtomicU64, Ordering},
};

/// Most areas: one word of free bits.
pub const MAX_AREAS: usize = 64;

/// Bytes of the stack of a BPF program: 8 frames of 512.
pub const PROGRAM_STACK: usize = 8 * 512;

/// Bytes of the context that a classic program is given: the key, then scratch.
pub const CONTEXT_BYTES: usize = 128;

/// Memory handed to the program of a hook. Plain bytes: any value is valid.
#[repr(C, align(64))]
pub(super) struct Scratch {
    pub context: [u8; CONTEXT_BYTES],
    pub stack: [u8; PROGRAM_STACK],
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

/// What the trampoline reads, at fixed offsets.
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
    pub table: AtomicPtr<Table>,
    /// Number of probes on instrumented functions.
    pub instrumented: AtomicU64,
    /// Updates of the two-key map that found no area.
    pub map_lost: AtomicU64,
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
    map_lost: AtomicU64::new(0),
};

/// Makes `count` areas with `stack` bytes of stack each. False without memory. To be called once.
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
    HOOKS
        .first_control
        .store(base + stack as u64, Ordering::Relaxed);
    HOOKS.free.store(all_free(count), Ordering::SeqCst);
    true
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

/// How vector registers are saved (for `status`).
pub fn fp_mode() -> FpMode {
    match HOOKS.fp_mode.load(Ordering::Relaxed) {
        1 => FpMode::Fxsave,
        2 => FpMode::Xsave,
        3 => FpMode::Xsavec,
        _ => FpMode::None,
    }
}

fn control(area: usize) -> &'static Control {
    let first = HOOKS.first_control.load(Ordering::Relaxed);
    let at = first + area as u64 * HOOKS.area_bytes.load(Ordering::Relaxed);
    // SAFETY: callers pass numbers of areas made by `create`, which live for ever; the parts of a control block that
    // change are atomics or cells.
    unsafe { &*(at as *const Control) }
}

/// Waits until every hook that was running when this was called has returned. Hooks end in finite time, so this does
/// too; should one have left its area by other ways (a longjmp out of a signal handler), the wait is given up and the answer
/// is false: what it guarded must then be leaked, not freed.
pub(super) fn grace() -> bool {
    const ROUNDS: u32 = 100_000_000;
    fence(Ordering::SeqCst);
    let area_bytes = HOOKS.area_bytes.load(Ordering::Relaxed).max(1);
    let count = HOOKS.len.load(Ordering::Relaxed) / area_bytes;
    (0..count as usize).all(|area| {
        let bit = 1u64 << area;
        let generation = || control(area).generation.load(Ordering::Acquire);
        let before = generation();
        (0..ROUNDS).any(|_| {
            let gone = HOOKS.free.load(Ordering::Acquire) & bit != 0 || generation() != before;
            if !gone {
                hint::spin_loop();
            }
            gone
        })
    })
}
