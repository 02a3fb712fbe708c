//! Memory for generated code: an anonymous file mapped twice, once writable, once executable and within reach of the text.
//! Sealing takes the writable mapping away for good; what is rewritten later goes through the file.

use crate::text;
use std::{
    fs::File,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    ptr,
    sync::Mutex,
};
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
    file: File,
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
        let (file, write, exec) = map_twice(len)?;
        self.blocks().push(Block {
            exec,
            write: Some(write),
            len,
            file,
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

    fn rewrites(&self) -> bool {
        text::prepare_sync().is_ok()
    }

    fn rewrite(&self, at: usize, code: &[u8]) -> bool {
        if text::prepare_sync().is_err() {
            return false;
        }
        let blocks = self.blocks();
        let inside = |b: &&Block| {
            let offset = at.wrapping_sub(b.exec);
            offset
                .checked_add(code.len())
                .is_some_and(|end| end <= b.len)
        };
        let Some(block) = blocks.iter().find(inside).filter(|b| b.write.is_none()) else {
            return false;
        };
        // Through the file, which needs no mapping that could be written; the caller says that nobody uses these bytes meanwhile.
        let offset = (at - block.exec) as u64;
        if block.file.write_all_at(code, offset).is_err() {
            return false;
        }
        text::sync_cores().is_ok()
    }
}

/// The file, writable and executable address of `len` fresh bytes.
fn map_twice(len: usize) -> Option<(File, usize, usize)> {
    // SAFETY: the name is a C string; a descriptor that is given is new and belongs to nobody else.
    let file = unsafe {
        let fd = libc::memfd_create(c"ubpf-code".as_ptr(), libc::MFD_CLOEXEC);
        File::from((fd >= 0).then(|| OwnedFd::from_raw_fd(fd))?)
    };
    file.set_len(len as u64).ok()?;
    let (write, exec) = map_both(&file, len)?;
    Some((file, write, exec))
}

fn map_both(file: &File, len: usize) -> Option<(usize, usize)> {
    let write = map(0, len, libc::PROT_READ | libc::PROT_WRITE, 0, file)?;
    let exec = near_text().find_map(|hint| {
        map(
            hint,
            len,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_FIXED_NOREPLACE,
            file,
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

fn map(hint: usize, len: usize, protection: i32, flags: i32, file: &File) -> Option<usize> {
    let (flags, hint_at) = (flags | libc::MAP_SHARED, hint as *mut libc::c_void);
    let fd = file.as_raw_fd();
    // SAFETY: without MAP_FIXED a new mapping replaces nothing.
    let at = unsafe { libc::mmap(hint_at, len, protection, flags, fd, 0) };
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

    /// `mov eax, number; ret`
    fn code(number: u8) -> [u8; 6] {
        [0xb8, number, 0, 0, 0, 0xc3]
    }

    fn run(at: usize) -> i32 {
        // SAFETY: whole functions that were written by this test.
        let run: extern "C" fn() -> i32 = unsafe { std::mem::transmute(at) };
        run()
    }

    fn sealed(memory: &DualMapping, len: usize) -> ExecBlock {
        let block = memory.alloc(len).unwrap();
        // SAFETY: the block is writable until sealed and longer than the code.
        unsafe { ptr::copy_nonoverlapping(code(42).as_ptr(), block.write as *mut u8, 6) };
        assert!(memory.seal(block));
        block
    }

    #[test]
    fn code_written_runs_near_the_text_after_sealing() {
        let memory = DualMapping::new();
        let block = sealed(&memory, 6);
        assert_eq!(run(block.exec), 42);
        assert!(block.exec.abs_diff(map_both as *const () as usize) < 1 << 31);
        memory.free(block);
    }

    #[test]
    fn code_is_rewritten_beside_code_that_runs() {
        let memory = DualMapping::new();
        let block = sealed(&memory, 3 * PAGE);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| (0..200_000).all(|_| run(block.exec) == 42));
            // Across the border of two pages, too.
            for (number, at) in (1..100).zip([16, PAGE - 3, 2 * PAGE].into_iter().cycle()) {
                assert!(memory.rewrite(block.exec + at, &code(number)));
                assert_eq!(run(block.exec + at), i32::from(number));
            }
            assert!(running.join().unwrap());
        });
        assert!(!memory.rewrite(block.exec + block.len - 5, &code(1)));
        assert!(!memory.rewrite(0x1000, &code(1)));
        // No other mapping of the file is left.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let maps: Vec<Vec<&str>> = maps
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        let start = format!("{:x}-", block.exec);
        let own = maps.iter().find(|map| map[0].starts_with(&start)).unwrap();
        let same: Vec<_> = maps.iter().filter(|map| map[4] == own[4]).collect();
        assert_eq!((same.len(), own[1]), (1, "r-xs"), "{same:?}");
        memory.free(block);
    }
}
