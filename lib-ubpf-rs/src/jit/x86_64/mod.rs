//! The x86-64 compiler and what runs its code.
//!
//! Emitted code is called with r9 = context, r12 = budget, rbp = end of the program's stack, rdi and rsi = r1 and r2; it gives
//! r0 in rax. It may change every register but rsp, r9 and, where nothing is metered, r12.

mod asm;
mod emit;
mod field;
mod regs;
#[cfg(test)]
mod tests;
pub mod trampoline;

pub(super) use emit::{map_form, Draft};

use super::{
    context::{stop, Routines, RunContext, Window, BIAS},
    run,
};
use crate::{
    helpers::RingLayout,
    maps::{HashLayout, MapError, RecordsLayout, TwoKeyLayout},
    platform::Ticks,
    vm::{AccessMode, FRAME_BYTES},
};
use core::{
    arch::{global_asm, x86_64::__cpuid, x86_64::__cpuid_count},
    mem::offset_of,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

extern "sysv64" {
    fn ubpf_jit_enter(context: *mut RunContext, code: usize) -> u64;
}
extern "C" {
    // Not to be called from Rust: emitted code reaches them with arguments in registers of its own.
    fn ubpf_jit_helper();
    fn ubpf_jit_helper_keep();
    fn ubpf_jit_map_get();
    fn ubpf_jit_map_put();
    fn ubpf_jit_map_add();
    fn ubpf_jit_hash_get();
    fn ubpf_jit_hash_put();
    fn ubpf_jit_hash_delete();
    fn ubpf_jit_ring_reserve();
    fn ubpf_jit_ring_submit();
    fn ubpf_jit_ring_discard();
    fn ubpf_jit_notify();
    fn ubpf_jit_func_ip();
    fn ubpf_jit_cookie();
    fn ubpf_jit_time();
    #[cfg(test)]
    fn ubpf_jit_end();
    fn ubpf_jit_stop_budget();
    fn ubpf_jit_refill();
    fn ubpf_jit_stop_depth();
    fn ubpf_jit_stop_unaligned();
    fn ubpf_jit_load_1();
    fn ubpf_jit_load_2();
    fn ubpf_jit_load_4();
    fn ubpf_jit_load_8();
    fn ubpf_jit_store_1();
    fn ubpf_jit_store_2();
    fn ubpf_jit_store_4();
    fn ubpf_jit_store_8();
}

global_asm!(
    include_str!("shared.S"),
    BIAS = const BIAS,
    SAVED_RSP = const offset(offset_of!(RunContext, saved_rsp)),
    BUDGET = const offset(offset_of!(RunContext, budget)),
    TOP = const offset(offset_of!(RunContext, top)),
    ARGS = const offset(offset_of!(RunContext, args)),
    STOP = const offset(offset_of!(RunContext, stop)),
    STOP_AT = const offset(offset_of!(RunContext, stop_at)),
    STOP_ADDR = const offset(offset_of!(RunContext, stop_addr)),
    HELPER_RSP = const offset(offset_of!(RunContext, helper_rsp)),
    FRAME = const offset(offset_of!(RunContext, frame)),
    CALL = const offset(offset_of!(RunContext, call)),
    REFILL = const offset(offset_of!(RunContext, refill)),
    WITHIN = const offset(offset_of!(RunContext, within)),
    ARGUMENT = const offset(offset_of!(RunContext, argument)),
    ARENA = const offset(offset_of!(RunContext, arena)),
    RODATA = const offset(offset_of!(RunContext, rodata)),
    VALUES = const offset(offset_of!(RunContext, values)),
    VALUES_WRITABLE = const offset(offset_of!(RunContext, values_writable)),
    VALUES_ALL = const offset(offset_of!(RunContext, values_all)),
    RECORDS = const offset(offset_of!(RunContext, records)),
    RECORDS_HELD = const offset(offset_of!(RunContext, records_held)),
    WINDOW_BYTES = const size_of::<Window>(),
    RING_SLOTS = const offset(offset_of!(RunContext, output) + offset_of!(RingLayout, slots)),
    RING_MASK = const offset(offset_of!(RunContext, output) + offset_of!(RingLayout, mask)),
    RING_HEAD = const offset(offset_of!(RunContext, output) + offset_of!(RingLayout, head)),
    RING_LOST = const offset(offset_of!(RunContext, output) + offset_of!(RingLayout, lost)),
    RECORD_TURN = const RingLayout::TURN,
    RECORD_TIME = const RingLayout::TIME,
    RECORD_KEY = const RingLayout::KEY,
    RECORD_KIND = const RingLayout::KIND,
    RECORD_NOTIFY = const RingLayout::NOTIFY,
    RECORD_BITS = const RingLayout::SLOT_BITS,
    TICKS_START = const offset(offset_of!(RunContext, ticks) + offset_of!(Ticks, start)),
    TICKS_SCALE = const offset(offset_of!(RunContext, ticks) + offset_of!(Ticks, scale)),
    STOP_NONE = const stop::NONE,
    STOP_MEMORY = const stop::MEMORY,
    STOP_BUDGET = const stop::BUDGET,
    STOP_DEPTH = const stop::DEPTH,
    STOP_UNALIGNED = const stop::UNALIGNED,
    FRAME_BYTES = const FRAME_BYTES,
);

// Inline code of kinds of maps: a file per kind.
global_asm!(
    include_str!("hash.S"),
    HELPER_KEEP = const offset(offset_of!(RunContext, routines) + offset_of!(Routines, helper_keep)),
    LANE = const offset(offset_of!(RunContext, lane)),
    BUSY_CODE = const MapError::Busy.code(),
    NO_ENTRY_CODE = const MapError::NoEntry.code(),
    HASH_ONE = const HashLayout::FACTORS[0] as i64,
    HASH_TWO = const HashLayout::FACTORS[1] as i64,
    HASH_SEED = const offset_of!(HashLayout, seed),
    HASH_SLOTS = const offset_of!(HashLayout, slots),
    HASH_MASK = const offset_of!(HashLayout, mask),
    HASH_KEYS = const offset_of!(HashLayout, keys),
    HASH_VALUES = const offset_of!(HashLayout, values),
    HASH_STRIDE = const offset_of!(HashLayout, stride),
    HASH_WORDS = const offset_of!(HashLayout, words),
    HASH_APART = const offset_of!(HashLayout, apart),
    HASH_NEXT = const offset_of!(HashLayout, next),
    HASH_FREE = const offset_of!(HashLayout, free),
    HASH_RETURNED = const offset_of!(HashLayout, returned),
    HASH_COUNT = const offset_of!(HashLayout, count),
    HASH_REMOVED = const offset_of!(HashLayout, removed),
    HASH_ADDING = const offset_of!(HashLayout, adding),
    HASH_NEAR = const HashLayout::NEAR,
    HASH_CLEANED = const HashLayout::CLEANED,
    HASH_FULL = const HashLayout::FULL,
    HASH_HELD = const HashLayout::HELD,
    HASH_DELETED = const HashLayout::DELETED,
    HASH_ENTRY_SHIFT = const HashLayout::ENTRY_SHIFT,
    HASH_ENTRY_MASK = const HashLayout::ENTRY_MASK,
    HASH_TAG_SHIFT = const HashLayout::TAG_SHIFT,
    HASH_VERSION_SHIFT = const HashLayout::VERSION_SHIFT,
);
global_asm!(
    include_str!("ring.S"),
    RECORDS_WORDS = const offset_of!(RecordsLayout, words),
    RECORDS_BYTES = const offset_of!(RecordsLayout, bytes),
    RECORDS_HEAD = const offset_of!(RecordsLayout, head),
    RECORDS_TAIL = const offset_of!(RecordsLayout, tail),
    RECORDS_LOST = const offset_of!(RecordsLayout, lost),
    RECORDS_THERE = const RecordsLayout::THERE,
    RECORDS_SKIPPED = const RecordsLayout::SKIPPED,
);
global_asm!(
    // The last, with the end of all of them.
    include_str!("two_key.S"),
    MAP = const offset(offset_of!(RunContext, map)),
    HELPER_KEEP = const offset(offset_of!(RunContext, routines) + offset_of!(Routines, helper_keep)),
    MAP_FACTOR = const TwoKeyLayout::FACTOR,
    MAP_FULL = const TwoKeyLayout::FULL,
    MAP_BUSY = const TwoKeyLayout::BUSY,
    MAP_VERSION = const TwoKeyLayout::VERSION,
);

/// Of a field, counted from where the context register points.
const fn offset(field: usize) -> isize {
    field as isize - BIAS as isize
}

fn address(routine: unsafe extern "C" fn()) -> usize {
    routine as *const () as usize
}

/// With inline helpers done by Rust, as all others.
pub(super) fn routines() -> Routines {
    let helper = address(ubpf_jit_helper_keep);
    Routines {
        map_get: helper,
        map_put: helper,
        map_add: helper,
        hash_get: helper,
        hash_put: helper,
        hash_delete: helper,
        ring_reserve: helper,
        ring_submit: helper,
        ring_discard: helper,
        notify: helper,
        time: helper,
        func_ip: helper,
        cookie: helper,
        helper: address(ubpf_jit_helper),
        helper_keep: address(ubpf_jit_helper_keep),
        stop_budget: address(ubpf_jit_stop_budget),
        stop_depth: address(ubpf_jit_stop_depth),
        stop_unaligned: address(ubpf_jit_stop_unaligned),
        search: [
            address(ubpf_jit_load_1),
            address(ubpf_jit_load_2),
            address(ubpf_jit_load_4),
            address(ubpf_jit_load_8),
            address(ubpf_jit_store_1),
            address(ubpf_jit_store_2),
            address(ubpf_jit_store_4),
            address(ubpf_jit_store_8),
        ],
    }
}

/// With inline helpers done by routines of their own.
pub(super) fn inline_routines() -> Routines {
    Routines {
        map_get: address(ubpf_jit_map_get),
        map_put: address(ubpf_jit_map_put),
        map_add: address(ubpf_jit_map_add),
        hash_get: address(ubpf_jit_hash_get),
        hash_put: address(ubpf_jit_hash_put),
        hash_delete: address(ubpf_jit_hash_delete),
        ring_reserve: address(ubpf_jit_ring_reserve),
        ring_submit: address(ubpf_jit_ring_submit),
        ring_discard: address(ubpf_jit_ring_discard),
        notify: address(ubpf_jit_notify),
        time: address(ubpf_jit_time),
        func_ip: address(ubpf_jit_func_ip),
        cookie: address(ubpf_jit_cookie),
        ..routines()
    }
}

/// Where what is written in `shared.S` starts and ends.
#[cfg(test)]
fn shared_code() -> (usize, usize) {
    (ubpf_jit_enter as *const () as usize, address(ubpf_jit_end))
}

/// Runs emitted code.
///
/// # Safety
/// There is code for a verified program, and the context is made for this run of it.
#[inline]
pub(super) unsafe fn enter(context: *mut RunContext, code: usize) -> u64 {
    // SAFETY: as the caller promises.
    unsafe { ubpf_jit_enter(context, code) }
}

/// Says where emitted code finds Rust: for helpers, in slices for the next one, and for values of maps within maps.
#[inline]
pub(super) fn connect(context: &mut RunContext, in_slices: bool, with_maps_within: bool) {
    context.call = call as *const () as usize;
    if with_maps_within {
        context.within = within as *const () as usize;
    }
    if in_slices {
        context.routines.stop_budget = address(ubpf_jit_refill);
        context.refill = refill as *const () as usize;
    }
}

/// # Safety
/// As for [`run::call`].
unsafe extern "sysv64" fn call(context: *mut RunContext, number: u64) -> u64 {
    // SAFETY: see above.
    unsafe { run::call(context, number) }
}

/// # Safety
/// As for [`run::refill`].
unsafe extern "sysv64" fn refill(context: *mut RunContext) {
    // SAFETY: see above.
    unsafe { run::refill(context) }
}

/// # Safety
/// As for [`run::within`].
unsafe extern "sysv64" fn within(context: *mut RunContext, address: u64, size: u64, writes: bool) -> bool {
    let access = if writes { AccessMode::Write } else { AccessMode::Read };
    // SAFETY: see above.
    unsafe { run::within(context, address, size, access) }
}

/// Why code that uses BMI2 is not run.
pub(super) const NOT_EXTENDED: &str = "it was compiled for CPUs with BMI2";

/// Whether the CPU has BMI2. Asked once: under a hypervisor each `cpuid` takes microseconds.
pub(super) fn is_extended() -> bool {
    const BMI2: u32 = 1 << 8;
    const UNKNOWN: u8 = 2;
    static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    let known = KNOWN.load(Relaxed);
    if known != UNKNOWN {
        return known == 1;
    }
    let has = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & BMI2 != 0;
    KNOWN.store(has.into(), Relaxed);
    has
}
