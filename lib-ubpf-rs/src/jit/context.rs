//! What emitted code shares with Rust during one run. Emitted code reaches it through one register, which points
//! [`BIAS`] bytes into it, so that what it names often is within a one-byte displacement.

use crate::{
    helpers::{Inline, InlinePlaces, RingLayout},
    isa::Size,
    maps::TwoKeyLayout,
    platform::Ticks,
    program::limits::MAX_RECORDS,
    vm::Memory,
};
use core::mem::MaybeUninit;

/// Where in the context the context register points.
pub(super) const BIAS: usize = 128;

/// Why emitted code stopped.
pub(super) mod stop {
    /// It did not: the program came to its end.
    pub const NONE: u64 = 0;
    /// A memory access was out of bounds.
    pub const MEMORY: u64 = 1;
    /// The budget could not pay a charge.
    pub const BUDGET: u64 = 2;
    /// Too many nested calls.
    pub const DEPTH: u64 = 3;
    /// A helper stopped the run; the reason is with the caller.
    pub const HELPER: u64 = 4;
    /// An atomic access was not aligned.
    pub const UNALIGNED: u64 = 5;
    /// Between two slices of the run it was said that it is to end.
    pub const CANCELLED: u64 = 6;
    /// It did not: what calls helpers is to read the application's memory.
    pub const PROBE: u64 = 7;
}

/// One region of memory that the program may touch. An access of `size` bytes at `lo + d` is inside exactly when
/// `d < limits[log2(size)]`: one unsigned compare, which an address that wraps around fails too.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Window {
    pub(super) lo: u64,
    /// By log2 of the size.
    pub(super) limits: [u64; 4],
}

impl Window {
    pub(super) const fn new(lo: u64, len: u64) -> Window {
        let past = len.saturating_add(1);
        let limits = [past.saturating_sub(1), past.saturating_sub(2), past.saturating_sub(4), past.saturating_sub(8)];
        Window { lo, limits }
    }
}

/// Addresses of the shared routines (`shared.S`) that emitted code calls, always through the context: so emitted code
/// has no absolute address and no relocation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Routines {
    /// Calls a helper; its number is pushed before. r1 to r5 are lost.
    pub(super) helper: usize,
    /// The same, but r1 to r5 stay.
    pub(super) helper_keep: usize,
    /// `bpf_map_get` and so on, called as helpers are; r1 to r5 stay.
    pub(super) map_get: usize,
    pub(super) map_put: usize,
    pub(super) map_add: usize,
    /// `bpf_map_lookup_elem` and so on of hash maps, called as helpers are, with the key and the address of the layout in the scratch
    /// registers; r1 to r5 stay.
    pub(super) hash_get: usize,
    pub(super) hash_put: usize,
    pub(super) hash_delete: usize,
    /// `bpf_ringbuf_reserve` and so on, likewise.
    pub(super) ring_reserve: usize,
    pub(super) ring_submit: usize,
    pub(super) ring_discard: usize,
    pub(super) notify: usize,
    pub(super) time: usize,
    /// `bpf_get_func_ip` and `bpf_get_attach_cookie`, likewise.
    pub(super) func_ip: usize,
    pub(super) cookie: usize,
    pub(super) stop_budget: usize,
    pub(super) stop_depth: usize,
    /// Expects the address in the first scratch register.
    pub(super) stop_unaligned: usize,
    /// Searches of all regions for the address in the first scratch register, by log2 of the size: loads, then stores.
    pub(super) search: [usize; 8],
}

/// The shared block.
#[repr(C)]
pub(super) struct RunContext {
    pub(super) argument: Window,
    pub(super) arena: Window,
    pub(super) routines: Routines,
    pub(super) budget: u64,
    /// One of [`stop`].
    pub(super) stop: u64,
    /// Return address of the call that stopped: says which instruction it was.
    pub(super) stop_at: u64,
    /// The address of an access that stopped, or is to be probed.
    pub(super) stop_addr: u64,
    /// Stack pointer to return to Rust with.
    pub(super) saved_rsp: u64,
    /// Stack pointer during a helper call.
    pub(super) helper_rsp: u64,
    /// r10 during a helper call.
    pub(super) frame: u64,
    /// r10 of the innermost function that there may be.
    pub(super) floor: u64,
    /// r10 of the outermost function: end of the stack.
    pub(super) top: u64,
    /// r1 to r5 at a helper call; r1 and r2 at the start.
    pub(super) args: [u64; 5],
    pub(super) rodata: Window,
    /// Address of the windows of maps' values, and how many of them a store may be in, and a load.
    pub(super) values: usize,
    pub(super) values_writable: usize,
    pub(super) values_all: usize,
    /// Windows of the records that the run holds, the first so many of them.
    pub(super) records: [MaybeUninit<Window>; MAX_RECORDS],
    pub(super) records_held: usize,
    /// `extern "sysv64" fn(*mut Context, number) -> r0`
    pub(super) call: usize,
    /// `extern "sysv64" fn(*mut Context)`: the next slice of the budget.
    pub(super) refill: usize,
    /// `extern "sysv64" fn(*mut Context, address, size, write) -> bool`, for the values of maps within maps; 0 where there are none.
    pub(super) within: usize,
    /// The two-key map, for the routines that look into it.
    pub(super) map: TwoKeyLayout,
    /// The output ring and the time, for the routines that use them.
    pub(super) output: RingLayout,
    pub(super) ticks: Ticks,
    /// The lane of the run; of a program that runs directly there is a context for each.
    pub(super) lane: u64,
    /// The run, for the function that calls helpers; of a program that runs directly what it needs for them.
    pub(super) session: usize,
}

impl RunContext {
    /// The parts that depend on where the program's memory lies.
    pub(super) fn new(memory: &Memory<'_>, routines: Routines) -> RunContext {
        let argument = memory.argument();
        let arena = memory.arena();
        let rodata = memory.rodata();
        let top = memory.stack_top();
        let below = crate::vm::FRAME_BYTES.wrapping_mul(crate::vm::MAX_FRAMES.wrapping_sub(1));
        RunContext {
            argument: Window::new(argument.base, argument.len),
            arena: Window::new(arena.base, arena.len),
            routines,
            budget: 0,
            stop: stop::NONE,
            stop_at: 0,
            stop_addr: 0,
            saved_rsp: 0,
            helper_rsp: 0,
            frame: top,
            floor: top.wrapping_sub(below as u64),
            top,
            args: [0; 5],
            rodata: Window::new(rodata.base, rodata.len),
            values: 0,
            values_writable: 0,
            values_all: 0,
            records: [const { MaybeUninit::uninit() }; MAX_RECORDS],
            records_held: 0,
            call: 0,
            refill: 0,
            within: 0,
            map: TwoKeyLayout { slots: 0, mask: 0 },
            output: RingLayout::default(),
            ticks: Ticks { start: 0, scale: 0 },
            lane: memory.lane().into(),
            session: 0,
        }
    }

    /// The values of maps lie there from now on, for as long as the context is used. The first `writable` may be written.
    pub(super) fn find_values(&mut self, windows: &[Window], writable: usize) {
        self.values = windows.as_ptr() as usize;
        self.values_writable = writable.min(windows.len());
        self.values_all = windows.len();
    }

    /// After a helper, which takes or gives back one record at most.
    pub(super) fn find_records(&mut self, memory: &Memory<'_>) {
        let records = memory.records();
        if records.is_empty() && self.records_held == 0 {
            return;
        }
        self.records_held = 0;
        for (window, (base, len)) in self.records.iter_mut().zip(records.iter()) {
            window.write(Window::new(base, len));
            self.records_held = self.records_held.wrapping_add(1);
        }
    }

    /// The program runs directly. Records are reserved and released by routines: nobody keeps a list of those that the run holds. What is told of
    /// the site stands above the frame.
    pub(super) fn runs_directly(&mut self, inline: &Routines) {
        self.routines.ring_reserve = inline.ring_reserve;
        self.routines.ring_submit = inline.ring_submit;
        self.routines.ring_discard = inline.ring_discard;
        self.routines.func_ip = inline.func_ip;
        self.routines.cookie = inline.cookie;
    }

    /// Helpers that find there what they need are done by routines from now on, all others by Rust.
    pub(super) fn work_with(&mut self, places: &InlinePlaces, inline: &Routines) {
        let has = places.has();
        let can = |helper: Inline| has.contains(helper.needs());
        if can(Inline::MapGet) {
            self.routines.map_get = inline.map_get;
            self.routines.map_put = inline.map_put;
            self.routines.map_add = inline.map_add;
        }
        self.routines.hash_get = inline.hash_get;
        self.routines.hash_put = inline.hash_put;
        self.routines.hash_delete = inline.hash_delete;
        if can(Inline::Notify) {
            self.routines.notify = inline.notify;
        }
        if can(Inline::Time) {
            self.routines.time = inline.time;
        }
        self.map = places.map.unwrap_or(self.map);
        self.output = places.output.unwrap_or(self.output);
        self.ticks = places.time.unwrap_or(self.ticks);
    }
}

/// 0 to 3 for one to eight bytes.
pub(super) const fn log2(size: Size) -> usize {
    match size {
        Size::B => 0,
        Size::H => 1,
        Size::W => 2,
        Size::DW => 3,
    }
}
