//! Memory for generated code: an anonymous file mapped twice, once writable, once executable and within reach of the text.
//! Sealing takes the writable mapping away.

use std::{ptr, sync::Mutex};
use ubpf_rs::platform::{ExecBlock, ExecMemory};

const PAGE: usize = 4096;
const STEP: usize = 16 << 20;
const REACH: usize = 0x7000_0000;

/// Blocks of doubly mapped memory.
pub struct DualMapping {
    blocks: Mutex<Vec<Block>>,
}

struct Block {
    exec: usize,
    /// `None` once sealed.
    write: Option<usize>,
    len: usize,
}

impl Default for DualMapping {
    fn default() -> Self {
        Self::new()
    }
}

impl DualMapping {
    /// No blocks yet.
    pub fn new() -> DualMapping {
        DualMapping {
            blocks: Mutex::new(Vec::new()),
        }
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Vec<Block>> {
        self.blocks
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ExecMemory for DualMapping {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let (write, exec) = map_twice(len)?;
        self.blocks().push(Block {
            exec,
            write: Some(write),
            len,
        });
        Some(ExecBlock { write, exec, len })
    }

    fn seal(&self, block: ExecBlock) -> bool {
        let mut blocks = self.blocks();
        let Some(known) = blocks.iter_mut().find(|b| b.exec == block.exec) else {
            return false;
        };
        if let Some(write) = known.write.take() {
            unmap(write, known.len);
        }
        true
    }

    fn free(&self, block: ExecBlock) {
        let mut blocks = self.blocks();
        let Some(at) = blocks.iter().position(|b| b.exec == block.exec) else {
            return;
        };
        let known = blocks.swap_remove(at);
        unmap(known.exec, known.len);
        if let Some(write) = known.write {
            unmap(write, known.len);
        }
    }

    fn enforces_wx(&self) -> bool {
        true
    }
}

/// Writable and executable address of `len` fresh bytes.
fn map_twice(len: usize) -> Option<(usize, usize)> {
    // SAFETY: the name is a C string; the descriptor is ours and is closed below, which leaves the mappings.
    unsafe {
        let fd = libc::memfd_create(c"ubpf-code".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return None;
        }
        let sized = libc::ftruncate(fd, len as libc::off_t) == 0;
        let maps = if sized { map_both(fd, len) } else { None };
        libc::close(fd);
        maps
    }
}

fn map_both(fd: i32, len: usize) -> Option<(usize, usize)> {
    let write = map(0, len, libc::PROT_READ | libc::PROT_WRITE, 0, fd)?;
    let exec = near_text().find_map(|hint| {
        map(
            hint,
            len,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_FIXED_NOREPLACE,
            fd,
        )
    });
    if exec.is_none() {
        unmap(write, len);
    }
    exec.map(|exec| (write, exec))
}

/// Addresses within reach of our own text, nearest first.
fn near_text() -> impl Iterator<Item = usize> {
    let text = map_both as *const () as usize & !(STEP - 1);
    (1..REACH / STEP)
        .flat_map(move |n| [text.checked_sub(n * STEP), text.checked_add(n * STEP)])
        .flatten()
        .filter(|&a| a != 0)
}

fn map(hint: usize, len: usize, protection: i32, flags: i32, fd: i32) -> Option<usize> {
    let flags = flags | libc::MAP_SHARED;
    // SAFETY: without MAP_FIXED a new mapping replaces nothing.
    let at = unsafe { libc::mmap(hint as *mut libc::c_void, len, protection, flags, fd, 0) };
    if at == libc::MAP_FAILED {
        return None;
    }
    if hint != 0 && at as usize != hint {
        unmap(at as usize, len); // an old kernel took the address as a mere hint
        return None;
    }
    Some(at as usize)
}

fn unmap(at: usize, len: usize) {
    // SAFETY: callers pass a mapping of ours, which nobody uses any more.
    unsafe { libc::munmap(ptr::without_provenance_mut(at), len) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_written_runs_near_the_text_after_sealing() {
        let memory = DualMapping::new();
        let block = memory.alloc(6).unwrap();
        let code = [0xb8, 42, 0, 0, 0, 0xc3]; // mov eax, 42; ret
                                              // SAFETY: the block is writable until sealed and longer than the code, which is a whole function.
        let answer = unsafe {
            ptr::copy_nonoverlapping(code.as_ptr(), block.write as *mut u8, code.len());
            assert!(memory.seal(block));
            let run: extern "C" fn() -> i32 = std::mem::transmute(block.exec);
            run()
        };
        assert_eq!(answer, 42);
        assert!(block.exec.abs_diff(map_both as *const () as usize) < 1 << 31);
        memory.free(block);
    }
}
