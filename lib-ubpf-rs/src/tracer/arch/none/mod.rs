//! A CPU of which nothing is known: no text is patched and no stack is changed. Functions compiled with `-finstrument-functions` can be
//! traced; their hooks run on the stack of the traced function. A hook that comes to a traced function takes another area, so that it is
//! the number of areas that ends a recursion.

pub mod patch;

use super::super::{
    hook,
    pool::{Claimed, HOOKS},
    site::SiteState,
};
use core::{hint::black_box, sync::atomic::Ordering};

/// Registers of the traced function: none is known.
#[repr(C)]
#[derive(Debug)]
pub struct Frame(());

/// Registers that are known of what a timer interrupts.
pub const SAMPLED: usize = 0;

/// Registers of what a timer interrupts: none is known.
pub type Registers = [u64; SAMPLED];

/// There are no programs of timers.
pub fn sample(_registers: &Registers, _passed_ns: u64, _of: u64) {}

impl Frame {
    /// Of what was interrupted.
    pub fn interrupted(_registers: &Registers) -> (Frame, [u64; 3]) {
        (Frame(()), [0; 3])
    }

    /// The `n`-th integer argument of the traced function: not known.
    pub fn argument(&self, _n: usize) -> Option<u64> {
        None
    }

    /// The registers at its entry: none is known. Programs that look at them are refused where a function calls the tracer by itself.
    pub fn registers(&self, _ip: u64, _bp: u64, _returned: Option<[u64; 2]>) -> [u64; 0] {
        []
    }
}

impl Frame {
    /// Where the return address stands: not known.
    pub fn slot(&self) -> Option<u64> {
        None
    }

    /// The word above them: not known.
    ///
    /// # Safety
    /// None.
    pub(in super::super) unsafe fn above(&self) -> u64 {
        0
    }

    /// What the function returns: not known.
    pub fn result(&self) -> u64 {
        0
    }
}

/// Where calls return to that come back to the tracer: nowhere.
pub fn return_pad() -> u64 {
    0
}

/// Bytes of room for vector registers in an area: they are the compiler's business.
pub const FP_BYTES: usize = 0;

/// How vector registers are saved round a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FpMode {
    /// Not at all: a hook is called as a function is.
    None = 0,
}

impl FpMode {
    pub(in super::super) fn from_number(_number: u64) -> FpMode {
        FpMode::None
    }
}

/// The mode, and no components.
pub fn detect_fp() -> (FpMode, u32) {
    (FpMode::None, 0)
}

/// Address that a patched site would call; there is none.
pub fn hook_entry() -> u64 {
    0
}

/// What `__cyg_profile_func_enter` leads to.
#[no_mangle]
pub extern "C" fn ubpf_instrument_entry(function: u64, _call_site: u64) {
    if HOOKS.instrumented.load(Ordering::Relaxed) == 0 {
        return;
    }
    // SAFETY: tables are static or leaked.
    let table = unsafe { &*HOOKS.table.load(Ordering::Acquire) };
    if let Some(site) = table.get(function) {
        run(function, site);
    }
}

fn run(key: u64, site: &'static SiteState) {
    let Some(area) = Claimed::take() else {
        site.misses.fetch_add(1, Ordering::Relaxed);
        return;
    };
    // SAFETY: the state is leaked, and the area is this call's alone until it is given back.
    unsafe { hook::enter(key, site, &Frame(()), area.control(), 0) }
}

/// Address of a function that nobody calls but [`call_subject`].
pub fn subject() -> u64 {
    measured as *const () as u64
}

#[inline(never)]
extern "C" fn measured() {
    black_box(());
}

/// Calls that function so often, with or without the call that `-finstrument-functions` makes.
pub fn call_subject(calls: u64, instrumented: bool) {
    for _ in 0..calls {
        if instrumented {
            ubpf_instrument_entry(subject(), 0);
        }
        measured();
    }
}
