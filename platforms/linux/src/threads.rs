//! Numbers and names of threads. A number is that of the process and that of the thread in it, so that a child of a fork takes none of its
//! parent's threads for one of its own.

use crate::{counters, own_path};
use std::{
    arch::asm,
    sync::atomic::{compiler_fence, Ordering},
};
use ubpf_rs::platform::{Thread, ThreadWord};

extern "C" {
    fn ubpf_linux_own_thread() -> *mut u64;
    fn ubpf_linux_own_thread_offset() -> libc::c_long;
}

/// Names of the engine's own threads: that which writes what programs say, the shell's, and that which looks after timers.
pub(crate) const DRAIN: &str = "ubpf-drain";
pub(crate) const SHELL: &str = "ushell";
pub(crate) const TIMERS: &str = "ubpf-timer";
/// All of them: no timer interrupts these.
pub(crate) const OURS: [&str; 3] = [DRAIN, SHELL, TIMERS];

/// Says whether the calling thread does the engine's own work from now on; gives what was said before. Meanwhile it has neither a number in its word nor counters: so its calls of
/// traced functions take the way on which they are looked at.
pub(crate) fn set_own(own: bool) -> bool {
    let before = own_path::is_own();
    if own != before {
        // SAFETY: as in `own`.
        unsafe { *ubpf_linux_own_thread() = 0 };
        own_path::with(|path| {
            // A handler that interrupts this must find it to be the engine's own while there are no counters: else it would adopt some.
            path.own = 1;
            compiler_fence(Ordering::SeqCst);
            path.counters = counters::exchange(path.counters);
            compiler_fence(Ordering::SeqCst);
            path.own = own.into();
        });
    }
    before
}

/// Where each thread keeps its number.
pub(crate) fn word() -> Option<ThreadWord> {
    // SAFETY: takes nothing; reads the thread pointer.
    let offset = unsafe { ubpf_linux_own_thread_offset() };
    let offset = i32::try_from(offset).ok()?;
    Some(ThreadWord::OfThread { offset })
}

/// The number of the calling thread. The kernel is asked once: a system call at each hit would be much. *Hook path.*
pub(crate) fn own() -> u64 {
    // SAFETY: points to a variable of the calling thread, which nobody else touches.
    let own = unsafe { &mut *ubpf_linux_own_thread() };
    if *own == 0 {
        // SAFETY: takes nothing, and nothing can go wrong.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        let number = u64::from(process as u32) << 32 | u64::from(thread as u32);
        if own_path::is_own() {
            return number;
        }
        *own = number;
    }
    *own
}

/// The same, apart. *Hook path.*
pub(crate) fn numbers() -> Thread {
    parts(own())
}

fn parts(number: u64) -> Thread {
    Thread { process: (number >> 32) as u32, thread: number as u32 }
}

/// Bytes that the kernel keeps of a name, its NUL included.
const NAME: usize = 16;

/// Writes the name of the calling thread, as much of it as there is room for; how many bytes it has then. *Hook path.*
pub(crate) fn name(into: &mut [u8]) -> usize {
    let mut name = [0u8; NAME];
    // SAFETY: the kernel writes so many bytes at most, and a NUL at their end. It does not fail, so `errno` stays as it is.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let used = name.iter().take_while(|&&byte| byte != 0);
    into.iter_mut().zip(used).map(|(to, from)| *to = *from).count()
}

/// Whether the thread of a number has ended: not for certain if it is of another process, or if another thread has its number now.
pub(crate) fn has_ended(number: u64) -> bool {
    let Thread { process, thread } = parts(number);
    // SAFETY: takes nothing, and nothing can go wrong.
    number != 0 && process == unsafe { libc::getpid() } as u32 && counters::is_gone(process as i32, thread as i32)
}

/// The caller is the only thread of a child: it has another number now.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_number_and_a_name_of_its_own() {
        let of_a_thread = |called: &str| {
            let thread = std::thread::Builder::new().name(called.into()).spawn(|| {
                let mut short = [7; 4];
                let mut long = [7; 32];
                // SAFETY: takes nothing.
                let number = unsafe { libc::gettid() };
                assert_eq!((numbers(), numbers().thread), (numbers(), number as u32));
                let (cut, length) = (name(&mut short), name(&mut long));
                assert_eq!((&short[..cut], name(&mut [])), (&long[..4], 0));
                assert!(long[length..].iter().all(|&byte| byte == 7), "nothing is written behind it");
                (numbers(), String::from_utf8_lossy(&long[..length]).into_owned())
            });
            thread.unwrap().join().unwrap()
        };
        let (one, other) = (of_a_thread("worker"), of_a_thread("a name that is far too long"));
        assert_eq!((one.1.as_str(), other.1.as_str()), ("worker", "a name that is "));
        assert_eq!((one.0.process, other.0.process), (std::process::id(), std::process::id()));
        assert_ne!(one.0.thread, numbers().thread);
    }
}
