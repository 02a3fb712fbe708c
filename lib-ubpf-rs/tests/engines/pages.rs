//! Executable memory for tests.

use std::ptr;
use ubpf_rs::platform::{ExecBlock, ExecMemory};

/// Executable memory of a Linux process: pages that are writable first and executable afterwards.
pub struct Pages;

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for Pages {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let len = len.max(1).next_multiple_of(4096);
        // SAFETY: a new anonymous mapping replaces nothing.
        let at = unsafe {
            let (rw, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(ptr::null_mut(), len, rw, private, -1, 0)
        };
        let at = at as usize;
        (at != libc::MAP_FAILED as usize).then_some(ExecBlock { write: at, exec: at, len })
    }
    fn seal(&self, block: ExecBlock) -> bool {
        // SAFETY: the block is a mapping of ours.
        unsafe { libc::mprotect(block.exec as *mut _, block.len, libc::PROT_READ | libc::PROT_EXEC) == 0 }
    }
    unsafe fn free(&self, block: ExecBlock) {
        // SAFETY: the block is a mapping of ours that nobody uses any more.
        unsafe { libc::munmap(block.exec as *mut _, block.len) };
    }
    fn enforces_wx(&self) -> bool {
        true
    }
}
