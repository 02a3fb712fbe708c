//! Memory for generated code: private memory within reach of the text, writable while it is open, then executable. Code in a sealed block
//! is written as a debugger writes, or by changed copies of its pages.

use crate::{
    pages::{self, map, protect, EXECUTE, NONE, PAGE, WRITE},
    sync,
};
use std::{ptr, slice, sync::Mutex};
use ubpf_rs::platform::{ExecBlock, ExecMemory};

/// Address space is set aside in pieces of this size,
const REGION: usize = 4 << 20;
/// which are looked for at distances of this, nearest to the text first, and no farther away than this.
const STEP: usize = 16 << 20;
const REACH: usize = 0x7000_0000;

/// Blocks of private memory near the text. After a fork each process has its own.
#[derive(Default)]
pub struct CodeMemory {
    regions: Mutex<Vec<Region>>,
}

/// Address space that is set aside, with the blocks in it, ascending by address.
struct Region {
    start: usize,
    len: usize,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    at: usize,
    len: usize,
    sealed: bool,
}

impl CodeMemory {
    /// No blocks yet.
    pub const fn new() -> CodeMemory {
        CodeMemory { regions: Mutex::new(Vec::new()) }
    }

    fn regions(&self) -> std::sync::MutexGuard<'_, Vec<Region>> {
        self.regions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writable pages of zeros.
    fn take(&self, len: usize) -> Option<(usize, usize)> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let mut regions = self.regions();
        if let Some(at) = regions.iter_mut().find_map(|region| region.take(len)) {
            return Some((at, len));
        }
        regions.try_reserve(1).ok()?;
        let mut region = Region::new(len)?;
        let at = region.take(len)?;
        regions.push(region);
        Some((at, len))
    }
}

impl Region {
    fn new(len: usize) -> Option<Region> {
        let len = len.max(REGION);
        let aside = |hint| {
            let flags = libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE;
            let start = map(hint, len, NONE, flags, None).ok()?;
            if start != hint {
                unmap(start, len); // an old kernel took the address as a mere hint
                return None;
            }
            Some(start)
        };
        let start = near_text().find_map(aside)?;
        Some(Region { start, len, blocks: Vec::new() })
    }

    fn take(&mut self, len: usize) -> Option<usize> {
        let mut at = self.start;
        let mut index = 0;
        for block in &self.blocks {
            if block.at - at >= len {
                break;
            }
            at = block.at + block.len;
            index += 1;
        }
        let fits = (self.start + self.len).checked_sub(at)? >= len;
        let room = fits && self.blocks.try_reserve(1).is_ok();
        if !room || protect(at, len, WRITE).is_err() {
            return None;
        }
        let sealed = false;
        self.blocks.insert(index, Block { at, len, sealed });
        Some(at)
    }
}

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for CodeMemory {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let (at, len) = self.take(len)?;
        let (write, exec) = (at, at);
        Some(ExecBlock { write, exec, len })
    }

    fn seal(&self, block: ExecBlock) -> bool {
        let mut regions = self.regions();
        let blocks = regions.iter_mut().flat_map(|region| &mut region.blocks);
        let Some(known) = blocks.into_iter().find(|b| b.at == block.exec) else {
            return false;
        };
        known.sealed = protect(known.at, known.len, EXECUTE).is_ok() || replace_by_copy(known);
        known.sealed
    }

    unsafe fn free(&self, block: ExecBlock) {
        let mut regions = self.regions();
        for region in regions.iter_mut() {
            if let Some(at) = region.blocks.iter().position(|b| b.at == block.exec) {
                let known = region.blocks.remove(at);
                // Nothing is left of it but the address space.
                let flags = libc::MAP_FIXED | libc::MAP_NORESERVE;
                let _ = map(known.at, known.len, NONE, flags, None);
            }
        }
    }

    fn data(&self, len: usize) -> Option<usize> {
        self.take(len).map(|(at, _)| at)
    }

    fn enforces_wx(&self) -> bool {
        true
    }

    fn rewrites(&self) -> bool {
        sync::prepare().is_ok()
    }

    unsafe fn rewrite(&self, at: usize, code: &[u8]) -> bool {
        if sync::prepare().is_err() {
            return false;
        }
        let regions = self.regions();
        let inside = |b: &&Block| {
            let end = at.wrapping_sub(b.at).checked_add(code.len());
            b.sealed && end.is_some_and(|end| end <= b.len)
        };
        let mut blocks = regions.iter().flat_map(|region| &region.blocks);
        if !blocks.any(|b| inside(&b)) {
            return false;
        }
        // The caller says that nobody uses these bytes meanwhile.
        let written = pages::write_through(at, code).is_ok() || write_by_copy(at, code);
        written && sync::cores().is_ok()
    }
}

/// Seals where what was once written to may not become executable.
fn replace_by_copy(block: &Block) -> bool {
    // SAFETY: an open block is readable, and nobody writes to it while it is sealed.
    let code = unsafe { slice::from_raw_parts(block.at as *const u8, block.len) };
    let mut kept = Vec::new();
    if kept.try_reserve_exact(code.len()).is_err() {
        return false;
    }
    kept.extend_from_slice(code);
    let fresh = map(block.at, block.len, EXECUTE, libc::MAP_FIXED, None);
    fresh.is_ok() && pages::write_through(block.at, &kept).is_ok()
}

/// Writes where `/proc` is not to be had.
fn write_by_copy(at: usize, code: &[u8]) -> bool {
    let (start, into) = (at & !(PAGE - 1), at % PAGE);
    let len = (into + code.len()).next_multiple_of(PAGE);
    let replaced = pages::replace(start, len, None, |copy| {
        copy[into..into + code.len()].copy_from_slice(code);
        true
    });
    replaced.is_ok()
}

/// Addresses within reach of our own text, nearest first.
fn near_text() -> impl Iterator<Item = usize> {
    let text = near_text as *const () as usize & !(STEP - 1);
    (1..REACH / STEP)
        .flat_map(move |n| [text.checked_sub(n * STEP), text.checked_add(n * STEP)])
        .flatten()
        .filter(|&a| a != 0)
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

    fn sealed(memory: &CodeMemory, len: usize) -> ExecBlock {
        let block = memory.alloc(len).unwrap();
        // SAFETY: the block is writable until sealed and longer than the code.
        unsafe { ptr::copy_nonoverlapping(code(42).as_ptr(), block.write as *mut u8, 6) };
        assert!(memory.seal(block));
        block
    }

    #[test]
    fn code_written_runs_near_the_text_after_sealing() {
        let memory = CodeMemory::new();
        let block = sealed(&memory, 6);
        assert_eq!(run(block.exec), 42);
        assert!(block.exec.abs_diff(near_text as *const () as usize) < 1 << 31);
        // SAFETY: nothing of it is executed any more.
        unsafe { memory.free(block) };
    }

    #[test]
    fn code_is_rewritten_beside_code_that_runs() {
        let memory = CodeMemory::new();
        let block = sealed(&memory, 3 * PAGE);
        // SAFETY: nobody executes what is replaced; outside of a block nothing is.
        let rewrite = |at, code: &[u8]| unsafe { memory.rewrite(at, code) };
        std::thread::scope(|scope| {
            let running = scope.spawn(|| (0..200_000).all(|_| run(block.exec) == 42));
            // Across the border of two pages, too.
            for (number, at) in (1..100).zip([16, PAGE - 3, 2 * PAGE].into_iter().cycle()) {
                assert!(rewrite(block.exec + at, &code(number)));
                assert_eq!(run(block.exec + at), i32::from(number));
            }
            assert!(running.join().unwrap());
        });
        assert!(!rewrite(block.exec + block.len - 5, &code(1)));
        assert!(!rewrite(0x1000, &code(1)));
        // It is private and not writable.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let fields = maps.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        let holds = |range: &str| {
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|n| usize::from_str_radix(n, 16).unwrap());
            (start..end).contains(&block.exec)
        };
        let own: Vec<_> = fields.filter(|map| holds(map[0])).collect();
        assert_eq!((own.len(), own[0][1]), (1, "r-xp"), "{own:?}");
        // SAFETY: nothing of it is executed any more.
        unsafe { memory.free(block) };
    }
}
