//! Operands for the fields of [`RunContext`], and the shared routines as emitted code calls them.

use super::{
    asm::{at, gprs, Gprs, Mem},
    regs::{Gpr, CONTEXT, TMP, TMP2},
};
use crate::{
    isa::Size,
    jit::{
        analysis::Place,
        context::{log2, Routines, RunContext, Window, BIAS},
    },
};
use core::mem::offset_of;

/// A shared routine as emitted code calls it.
#[derive(Clone, Copy)]
pub(super) struct Routine {
    /// Where its address is.
    pub(super) address: Mem,
    /// Registers that it changes when it returns.
    pub(super) writes: Gprs,
}

const ROUTINES: usize = offset_of!(RunContext, routines);

const fn mem(offset: usize) -> Mem {
    at(CONTEXT, offset as i32 - BIAS as i32)
}
const fn routine(field: usize, writes: Gprs) -> Routine {
    Routine { address: mem(ROUTINES + field), writes }
}
/// r0 and scratch.
const RESULT: Gprs = gprs(&[Gpr::Rax, TMP, TMP2]);
/// What a C function may change.
const OF_C: Gprs = RESULT | gprs(&[Gpr::Rcx, Gpr::Rdx, Gpr::Rsi, Gpr::Rdi, Gpr::R8]);
pub(super) const LANE: Mem = mem(offset_of!(RunContext, lane));
pub(super) const STOP: Mem = mem(offset_of!(RunContext, stop));
pub(super) const STOP_ADDR: Mem = mem(offset_of!(RunContext, stop_addr));
pub(super) const FLOOR: Mem = mem(offset_of!(RunContext, floor));
pub(super) const HELPER: Routine = routine(offset_of!(Routines, helper), OF_C);
pub(super) const HELPER_KEEP: Routine = routine(offset_of!(Routines, helper_keep), RESULT);
pub(super) const MAP_GET: Routine = routine(offset_of!(Routines, map_get), RESULT);
pub(super) const MAP_PUT: Routine = routine(offset_of!(Routines, map_put), RESULT);
pub(super) const MAP_ADD: Routine = routine(offset_of!(Routines, map_add), RESULT);
pub(super) const HASH_GET: Routine = routine(offset_of!(Routines, hash_get), RESULT);
pub(super) const HASH_PUT: Routine = routine(offset_of!(Routines, hash_put), RESULT);
pub(super) const HASH_DELETE: Routine = routine(offset_of!(Routines, hash_delete), RESULT);
pub(super) const RING_RESERVE: Routine = routine(offset_of!(Routines, ring_reserve), RESULT);
pub(super) const RING_SUBMIT: Routine = routine(offset_of!(Routines, ring_submit), RESULT);
pub(super) const RING_DISCARD: Routine = routine(offset_of!(Routines, ring_discard), RESULT);
pub(super) const NOTIFY: Routine = routine(offset_of!(Routines, notify), RESULT);
pub(super) const TIME: Routine = routine(offset_of!(Routines, time), RESULT);
pub(super) const FUNC_IP: Routine = routine(offset_of!(Routines, func_ip), RESULT);
pub(super) const COOKIE: Routine = routine(offset_of!(Routines, cookie), RESULT);
pub(super) const STOP_BUDGET: Routine = routine(offset_of!(Routines, stop_budget), 0);
pub(super) const STOP_DEPTH: Routine = routine(offset_of!(Routines, stop_depth), 0);
pub(super) const STOP_UNALIGNED: Routine = routine(offset_of!(Routines, stop_unaligned), 0);

pub(super) const fn search(size: Size, store: bool) -> Routine {
    let kind = log2(size) + if store { 4 } else { 0 };
    routine(offset_of!(Routines, search) + 8 * kind, gprs(&[TMP2]))
}
/// Start of a window and its limit for 1, 2, 4 or 8 bytes. The frame has none.
pub(super) const fn window(place: Place, bytes: i32) -> Option<(Mem, Mem)> {
    let base = match place {
        Place::Argument => offset_of!(RunContext, argument),
        Place::Arena => offset_of!(RunContext, arena),
        Place::Frame => return None,
    };
    let limit = base + offset_of!(Window, limits) + 8 * bytes.trailing_zeros() as usize;
    Some((mem(base + offset_of!(Window, lo)), mem(limit)))
}
