//! Memory for machine code: pages that are writable until they are executable.

use std::ptr;
use ubpf_rs::platform::{ExecBlock, ExecMemory};

const PAGE: usize = 4096;

/// Pages of this process.
pub struct Pages;

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for Pages {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let at = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        let block = ExecBlock { write: at as usize, exec: at as usize, len };
        (at != libc::MAP_FAILED).then_some(block)
    }

    fn seal(&self, block: ExecBlock) -> bool {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the block is a mapping of ours, whose writer is done.
        unsafe { libc::mprotect(block.exec as *mut libc::c_void, block.len, protection) == 0 }
    }

    unsafe fn free(&self, block: ExecBlock) {
        // SAFETY: the block is a mapping of ours, which nobody uses any more.
        unsafe { libc::munmap(block.exec as *mut libc::c_void, block.len) };
    }

    fn enforces_wx(&self) -> bool {
        true
    }
}
