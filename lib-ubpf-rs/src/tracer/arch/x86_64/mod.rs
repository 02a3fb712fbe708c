//! x86-64: the entry of hooks, and what it needs to know of the CPU.

mod nops;
pub mod patch;

use super::super::{
    direct,
    frames::{Bucket, ReturnFrame, BUSY, REACH, RETURNS, TIMED},
    hook,
    pool::{Control, Hooks, HOOKS},
    site::{SiteState, SiteTable, GOLDEN},
};
use core::arch::{asm, global_asm, x86_64::__cpuid, x86_64::__cpuid_count};
use core::mem::offset_of;

extern "C" {
    /// What a patched site calls. Not to be called from Rust: it takes its argument from the return address.
    fn ubpf_hook_entry();
    /// Not to be called at all: functions return there.
    fn ubpf_return_pad();
    fn ubpf_sample(registers: &Registers, passed_ns: u64, of: u64);
}

global_asm!(
    include_str!("entry.S"),
    include_str!("returns.S"),
    hooks = sym HOOKS,
    enter = sym enter,
    helper = sym helper,
    GOLDEN = const GOLDEN,
    TABLE = const offset_of!(Hooks, table),
    POOL_BASE = const offset_of!(Hooks, base),
    POOL_LEN = const offset_of!(Hooks, len),
    FREE = const offset_of!(Hooks, free),
    AREA_BYTES = const offset_of!(Hooks, area_bytes),
    FIRST_CONTROL = const offset_of!(Hooks, first_control),
    FP_MODE = const offset_of!(Hooks, fp_mode),
    FP_MASK = const offset_of!(Hooks, fp_mask),
    INSTRUMENTED = const offset_of!(Hooks, instrumented),
    TABLE_SHIFT = const offset_of!(SiteTable, shift),
    TABLE_MASK = const offset_of!(SiteTable, mask),
    TABLE_ENTRIES = const offset_of!(SiteTable, entries),
    SITE_MISSES = const offset_of!(SiteState, misses),
    FP_AREA = const offset_of!(Control, fp),
    HELPERS_MISSED = const offset_of!(Hooks, helpers_missed),
    GENERATION = const offset_of!(Control, generation),
    SITE_FLAGS = const offset_of!(SiteState, flags),
    RETURNS = const RETURNS,
    leave = sym leave,
    SPREAD = const GOLDEN as i64,
    STARTED = const offset_of!(Hooks, started),
    THREAD_KIND = const offset_of!(Hooks, thread_kind),
    THREAD_AT = const offset_of!(Hooks, thread_at),
    OWN_AT = const offset_of!(Hooks, own_at),
    FRAMES = const offset_of!(Hooks, frames),
    FRAMES_SHIFT = const offset_of!(Hooks, frames_shift),
    NOWHERE = const offset_of!(Hooks, nowhere),
    RETURN_MISSES = const offset_of!(SiteState, return_misses),
    tick = sym tick,
    STACK_TEST = const offset_of!(Hooks, stack_test),
    UNSEEN_TICKS = const offset_of!(Hooks, unseen_ticks),
    HOME = const offset_of!(ReturnFrame, home),
    BELOW = const offset_of!(ReturnFrame, below),
    ELSEWHERE = const offset_of!(ReturnFrame, elsewhere),
    FRAME_SITE = const offset_of!(ReturnFrame, site),
    FRAME_THREAD = const offset_of!(ReturnFrame, thread),
    BOUND = const offset_of!(ReturnFrame, bound),
    DEPTH = const offset_of!(ReturnFrame, depth),
    SLOT = const offset_of!(ReturnFrame, slot),
    RETURN_GATE = const offset_of!(SiteState, return_gate),
    ARGUMENTS = const offset_of!(ReturnFrame, arguments),
    CALLED = const offset_of!(ReturnFrame, called),
    ENTERED = const offset_of!(ReturnFrame, entered_ns),
    TIMED = const TIMED,
    TICKS = const offset_of!(Hooks, ticks),
    BUCKET_FRAMES = const offset_of!(Bucket, frames),
    BUCKET_ELSEWHERE = const offset_of!(Bucket, elsewhere),
    BUCKET_BYTES = const size_of::<Bucket>(),
    BUCKET_BITS = const size_of::<Bucket>().trailing_zeros(),
    REACH = const REACH,
    BUSY = const BUSY,
);

/// What the entry of hooks calls.
///
/// # Safety
/// As for [`hook::enter`].
unsafe extern "sysv64" fn enter(
    key: u64,
    site: *const SiteState,
    frame: *const Frame,
    control: *const Control,
    frame_pointer: u64,
) {
    // SAFETY: see above.
    unsafe { hook::enter(key, site, frame, control, frame_pointer) }
}

/// What the pad calls.
///
/// # Safety
/// As for [`hook::leave`].
unsafe extern "sysv64" fn leave(
    frame: &'static ReturnFrame,
    registers: *const Frame,
    control: *const Control,
    frame_pointer: u64,
) {
    // SAFETY: see above.
    unsafe { hook::leave(frame, registers, control, frame_pointer) }
}

/// What the entry of ticks calls.
///
/// # Safety
/// As for [`hook::tick`].
unsafe extern "sysv64" fn tick(registers: *const Registers, passed_ns: u64, of: u64, control: *const Control) {
    // SAFETY: see above.
    unsafe { hook::tick(registers, passed_ns, of, control) }
}

/// What the platform's timer calls.
pub fn sample(registers: &Registers, passed_ns: u64, of: u64) {
    // SAFETY: it takes an area like any hook, and keeps what a function keeps.
    unsafe { ubpf_sample(registers, passed_ns, of) }
}

/// What a program that is called directly calls for a helper.
///
/// # Safety
/// As for [`direct::helper`].
unsafe extern "sysv64" fn helper(block: u64, number: u64, args: &[u64; 5], frame_end: u64) -> u64 {
    // SAFETY: see above.
    unsafe { direct::helper(block, number, args, frame_end) }
}

global_asm!(include_str!("subject.S"));

extern "C" {
    fn ubpf_subject();
    fn ubpf_call_subject(calls: u64);
    fn ubpf_call_instrumented_subject(calls: u64);
}

/// Address of a function with an entry stub that nobody calls but [`call_subject`].
pub fn subject() -> u64 {
    ubpf_subject as *const () as u64
}

/// Calls that function so often, with or without the call that `-finstrument-functions` makes.
pub fn call_subject(calls: u64, instrumented: bool) {
    if calls == 0 {
        return;
    }
    // SAFETY: both loops take a number and call a function that does nothing; hooks keep every register.
    unsafe {
        if instrumented {
            ubpf_call_instrumented_subject(calls);
        } else {
            ubpf_call_subject(calls);
        }
    }
}

/// Address that a site calls.
pub fn hook_entry() -> u64 {
    ubpf_hook_entry as *const () as u64
}

/// Where calls return to that come back to the tracer.
pub fn return_pad() -> u64 {
    ubpf_return_pad as *const () as u64
}

#[cfg(feature = "jit")]
pub use for_machine_code::{helper_entry, return_call, take, took};

/// Where generated code goes.
#[cfg(feature = "jit")]
mod for_machine_code {
    // Not to be called from Rust: the registers and the stack are as generated code has them.
    extern "C" {
        fn ubpf_hook_helper();
        fn ubpf_hook_take();
        fn ubpf_hook_took();
        fn ubpf_return_call();
    }

    /// Where a program that is called directly goes for a helper: see [`Helpers`](crate::jit::trampoline::Helpers).
    pub fn helper_entry() -> usize {
        ubpf_hook_helper as *const () as usize
    }

    /// What makes a call come back: see [`Take`](crate::jit::trampoline::Take).
    pub fn take() -> u64 {
        ubpf_hook_take as *const () as u64
    }

    /// What says how long a call took: see [`AtReturn`](crate::jit::trampoline::AtReturn).
    pub fn took() -> u64 {
        ubpf_hook_took as *const () as u64
    }

    /// What calls the body of a function whose call comes back: see [`Thunk`](crate::jit::trampoline::Thunk).
    pub fn return_call() -> u64 {
        ubpf_return_call as *const () as u64
    }
}

/// Registers of the traced function as the entry of hooks saved them, and what lies above them on its stack.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Frame {
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    /// Where the traced function goes on; as it returns, where its caller does.
    pub return_address: u64,
}

/// Registers that are known of what a timer interrupts.
pub const SAMPLED: usize = 21;

/// Registers of what a timer interrupts, in the order of Linux (`struct pt_regs`).
pub type Registers = [u64; SAMPLED];

impl Frame {
    /// Of what was interrupted, where that was, its stack, and its frame pointer.
    pub fn interrupted(registers: &Registers) -> (Frame, [u64; 3]) {
        let &[_, _, _, _, bp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, _, ip, _, _, sp, _] = registers;
        (Frame { rbx, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax, return_address: ip }, [ip, sp, bp])
    }

    /// The `n`-th integer argument of the traced function by the System V convention, for n below 6.
    pub fn argument(&self, n: usize) -> Option<u64> {
        [self.rdi, self.rsi, self.rdx, self.rcx, self.r8, self.r9].get(n).copied()
    }

    /// At an entry, where the address stands that the traced function returns to: above that where it goes on.
    pub fn slot(&self) -> Option<u64> {
        (core::ptr::from_ref(&self.return_address) as u64).checked_add(8)
    }

    /// The word above all that: at an entry the address that the traced function returns to.
    ///
    /// # Safety
    /// The registers lie on a stack, with what was there when they were saved above them.
    pub(in super::super) unsafe fn above(&self) -> u64 {
        // SAFETY: as the caller promises.
        unsafe { core::ptr::from_ref(&self.return_address).add(1).read_volatile() }
    }

    /// As it returns, what the traced function returns in its first register.
    pub fn result(&self) -> u64 {
        self.rax
    }

    /// The registers at the entry of the traced function in the order of Linux (`struct pt_regs`), `ip` given, or as it returns, with stack pointer
    /// and result given, too. Those that the entry does not keep are 0: r12 to r15, flags and segments.
    pub fn registers(&self, ip: u64, bp: u64, returned: Option<[u64; 2]>) -> [u64; 21] {
        let Frame { rbx, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax, .. } = *self;
        // Above the place where the function goes on lies what was there when it was called.
        let [sp, rax] = returned.unwrap_or([core::ptr::from_ref(&self.return_address) as u64 + 8, rax]);
        [0, 0, 0, 0, bp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, 0, ip, 0, 0, sp, 0]
    }
}

/// Bytes of [`Control::fp`]: enough for x87, SSE, AVX, MPX and AVX-512 in both formats.
pub const FP_BYTES: usize = 2752;

/// x87, SSE, AVX, AVX-512; not MPX (gone), PKRU (no data) or AMX (8 KiB, and no compiler uses it unasked).
const XSAVE_COMPONENTS: u64 = 0b1110_0111;

/// How vector registers are saved round a hook, as the entry reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum FpMode {
    /// Not at all: the image's code uses none.
    None = 0,
    /// `fxsave64`: no AVX enabled.
    Fxsave = 1,
    /// `xsave64`.
    Xsave = 2,
    /// `xsavec64`: writes only what is in use.
    Xsavec = 3,
}

impl FpMode {
    /// From what the entry reads.
    pub(in super::super) fn from_number(number: u64) -> FpMode {
        match number {
            1 => FpMode::Fxsave,
            2 => FpMode::Xsave,
            3 => FpMode::Xsavec,
            _ => FpMode::None,
        }
    }
}

/// The mode for this CPU as it is configured now, with the mask of state components.
pub fn detect_fp() -> (FpMode, u32) {
    const OSXSAVE: u32 = 1 << 27;
    const XSAVEC: u32 = 1 << 1;
    if cfg!(not(target_feature = "sse")) {
        return (FpMode::None, 0);
    }
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return (FpMode::Fxsave, 0);
    }
    let mask = (enabled_components() & XSAVE_COMPONENTS) as u32;
    let has_xsavec = __cpuid_count(0xd, 1).eax & XSAVEC != 0;
    (if has_xsavec { FpMode::Xsavec } else { FpMode::Xsave }, mask)
}

fn enabled_components() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: xgetbv exists when CPUID says OSXSAVE, which the caller checked; it reads XCR0 and nothing else.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(low) | u64::from(high) << 32
}
