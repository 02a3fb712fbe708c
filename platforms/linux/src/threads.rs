//! Numbers of threads: the process and the thread in it, so that a child of a fork takes none of its parent's threads for one of its own.

use crate::counters;
use std::arch::asm;
use ubpf_rs::platform::ThreadWord;

extern "C" {
    fn ubpf_linux_own_thread() -> *mut u64;
    fn ubpf_linux_own_thread_offset() -> libc::c_long;
}

/// Where each thread keeps its number.
pub(crate) fn word() -> Option<ThreadWord> {
    // SAFETY: takes nothing; reads the thread pointer.
    let offset = unsafe { ubpf_linux_own_thread_offset() };
    let offset = i32::try_from(offset).ok()?;
    Some(ThreadWord::OfThread { offset })
}

/// The number of the calling thread. *Hook path.*
pub(crate) fn own() -> u64 {
    // SAFETY: points to a variable of the calling thread, which nobody else touches.
    let own = unsafe { &mut *ubpf_linux_own_thread() };
    if *own == 0 {
        // SAFETY: takes nothing, and nothing can go wrong.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        *own = u64::from(process as u32) << 32 | u64::from(thread as u32);
    }
    *own
}

/// Whether the thread of a number has ended: not for certain if it is of another process, or if another thread has its number now.
pub(crate) fn has_ended(number: u64) -> bool {
    let (process, thread) = ((number >> 32) as i32, number as i32);
    // SAFETY: takes nothing, and nothing can go wrong.
    number != 0 && process == unsafe { libc::getpid() } && counters::is_gone(process, thread)
}

/// The caller is the only thread of a child.
pub(crate) fn after_fork() {
    // SAFETY: as in `own`.
    unsafe { *ubpf_linux_own_thread() = 0 };
}

/// Whether the calling thread has a shadow stack.
pub(crate) fn has_shadow_stack() -> bool {
    let pointer: u64;
    // SAFETY: `rdsspq` changes its register to the shadow stack's pointer, or nothing where there is none: it is a nop then.
    unsafe { asm!("rdsspq {0}", inlateout(reg) 0u64 => pointer, options(nomem, nostack, preserves_flags)) };
    pointer != 0
}
