//! Small parts of executable memory: platforms give whole pages, and most programs are much smaller.
//!
//! A block of the platform is filled with breakpoints and sealed at once. Code is written to ordinary memory first, and when it is
//! sealed put where it will run ([`ExecMemory::rewrite`]), while code beside it may be running.

use crate::platform::{ExecBlock, ExecMemory};
use alloc::vec::Vec;
use core::slice;
use spin::Mutex;

/// Every part starts at a multiple of this,
const UNIT: usize = 16;
/// and one that is as long as a cache line at a multiple of that: how fast loops are does not depend on what stands before them.
const LINE: usize = 64;
/// What stands where no code is: `int3`.
const NOTHING: u8 = 0xcc;

/// The executable memory of an image in small parts.
pub static CODE_HEAP: CodeHeap = CodeHeap::new();

/// Executable memory in small parts over that of a platform.
pub struct CodeHeap {
    below: Mutex<Option<&'static dyn ExecMemory>>,
    state: Mutex<HeapState>,
}

struct HeapState {
    chunks: Vec<SealedChunk>,
    open: Vec<Open>,
}

/// A sealed block of the platform.
struct SealedChunk {
    block: ExecBlock,
    /// Offset and length of what is in use, ascending.
    used: Vec<(usize, usize)>,
    /// A length for which no place was found since something was given back; what is longer has none either.
    too_long: usize,
}

/// Code that is being written.
struct Open {
    exec: usize,
    bytes: Vec<u8>,
}

impl CodeHeap {
    /// Nothing yet.
    pub const fn new() -> CodeHeap {
        CodeHeap { below: Mutex::new(None), state: Mutex::new(HeapState { chunks: Vec::new(), open: Vec::new() }) }
    }

    /// Takes its blocks from `memory`, or goes on with the one it has.
    pub fn over(&'static self, memory: &'static dyn ExecMemory) -> &'static dyn ExecMemory {
        self.below.lock().get_or_insert(memory);
        self
    }

    /// Gives back what is not in use, and forgets whose memory it was.
    pub fn stop(&self) {
        let below = self.below.lock().take();
        let mut state = self.state.lock();
        while let Some(at) = state.chunks.iter().position(|chunk| chunk.used.is_empty()) {
            let chunk = state.chunks.swap_remove(at);
            // SAFETY: no part of the block is in use.
            below.inspect(|below| unsafe { below.free(chunk.block) });
        }
    }

    fn below(&self) -> Option<&'static dyn ExecMemory> {
        *self.below.lock()
    }
}

impl Default for CodeHeap {
    fn default() -> Self {
        Self::new()
    }
}

impl SealedChunk {
    /// An unused place for `len` bytes, with the place in `used` where it belongs.
    fn gap(&self, len: usize) -> Option<(usize, usize)> {
        let ends = [(self.block.len, 0)];
        let mut free: usize = 0;
        let align = if len < LINE { UNIT } else { LINE };
        for (index, &(at, taken)) in self.used.iter().chain(&ends).enumerate() {
            let start = free.checked_next_multiple_of(align)?;
            if at.checked_sub(start).is_some_and(|room| room >= len) {
                return Some((index, start));
            }
            free = at.saturating_add(taken);
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<usize> {
        if len >= self.too_long {
            return None;
        }
        let Some((index, at)) = self.gap(len) else {
            self.too_long = len;
            return None;
        };
        self.used.try_reserve(1).ok()?;
        self.used.insert(index, (at, len));
        Some(self.block.exec.wrapping_add(at))
    }

    fn give_back(&mut self, exec: usize) {
        let offset = exec.wrapping_sub(self.block.exec);
        self.too_long = usize::MAX;
        self.used.retain(|&(at, _)| at != offset);
    }

    fn holds(&self, exec: usize) -> bool {
        exec.wrapping_sub(self.block.exec) < self.block.len
    }
}

impl HeapState {
    fn take(&mut self, len: usize, below: &dyn ExecMemory) -> Option<usize> {
        if let Some(exec) = self.chunks.iter_mut().find_map(|chunk| chunk.take(len)) {
            return Some(exec);
        }
        self.chunks.try_reserve(1).ok()?;
        let block = below.alloc(len)?;
        // SAFETY: an open block is writable memory of its length that belongs to whom it was given.
        unsafe { slice::from_raw_parts_mut(block.write as *mut u8, block.len) }.fill(NOTHING);
        if !below.seal(block) {
            // SAFETY: nothing was put there.
            unsafe { below.free(block) };
            return None;
        }
        self.chunks.push(SealedChunk { block, used: Vec::new(), too_long: usize::MAX });
        self.chunks.last_mut()?.take(len)
    }

    /// Gives a part back, and what was empty before too: one empty block is kept.
    fn give_back(&mut self, exec: usize, below: &dyn ExecMemory) {
        let empty = |chunk: &SealedChunk| chunk.used.is_empty();
        let kept = self.chunks.iter().position(empty);
        if let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.holds(exec)) {
            chunk.give_back(exec);
        }
        if let Some(spare) = kept.filter(|_| self.chunks.iter().filter(|c| empty(c)).count() > 1) {
            // SAFETY: no part of the block is in use.
            unsafe { below.free(self.chunks.swap_remove(spare).block) };
        }
    }

    fn take_open(&mut self, exec: usize) -> Option<Open> {
        let at = self.open.iter().position(|open| open.exec == exec)?;
        Some(self.open.swap_remove(at))
    }
}

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for CodeHeap {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let below = self.below()?;
        if !below.rewrites() {
            return below.alloc(len);
        }
        let len = len.max(1).checked_next_multiple_of(UNIT)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).ok()?;
        let mut state = self.state.lock();
        state.open.try_reserve(1).ok()?;
        let exec = state.take(len, below)?;
        // What is too long for the memory that there is, is not filled.
        bytes.resize(len, NOTHING);
        let write = bytes.as_mut_ptr() as usize;
        state.open.push(Open { exec, bytes });
        Some(ExecBlock { write, exec, len })
    }

    fn seal(&self, block: ExecBlock) -> bool {
        let Some(below) = self.below() else {
            return false;
        };
        if !below.rewrites() {
            return below.seal(block);
        }
        // The place is the part's until it is given back.
        let open = self.state.lock().take_open(block.exec);
        // SAFETY: the part belongs to whoever seals it, and nothing executes there yet.
        open.is_some_and(|open| unsafe { below.rewrite(open.exec, &open.bytes) })
    }

    unsafe fn free(&self, block: ExecBlock) {
        let Some(below) = self.below() else { return };
        if !below.rewrites() {
            // SAFETY: as the caller promises.
            return unsafe { below.free(block) };
        }
        let mut state = self.state.lock();
        drop(state.take_open(block.exec));
        state.give_back(block.exec, below);
    }

    fn data(&self, len: usize) -> Option<usize> {
        self.below()?.data(len)
    }

    fn enforces_wx(&self) -> bool {
        self.below().is_some_and(|below| below.enforces_wx())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::boxed::Box;

    const PAGE: usize = 256;
    const PAGES: usize = 4;

    /// A few small pages, of which blocks are made in order; how many are in use.
    struct Few {
        memory: [AtomicUsize; PAGE * PAGES / size_of::<usize>()],
        taken: Mutex<[bool; PAGES]>,
        rewrites: bool,
    }

    impl Few {
        fn new(rewrites: bool) -> &'static Few {
            Box::leak(Box::new(Few {
                memory: [const { AtomicUsize::new(0) }; PAGE * PAGES / size_of::<usize>()],
                taken: Mutex::new([false; PAGES]),
                rewrites,
            }))
        }
        fn base(&self) -> usize {
            self.memory.as_ptr() as usize
        }
        fn in_use(&self) -> usize {
            self.taken.lock().iter().filter(|&&taken| taken).count()
        }
        fn bytes(&self, at: usize, len: usize) -> Vec<u8> {
            let word = |i: usize| self.memory[i / 8].load(Ordering::Relaxed).to_le_bytes()[i % 8];
            (at - self.base()..).take(len).map(word).collect()
        }
    }

    // SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
    unsafe impl ExecMemory for Few {
        fn alloc(&self, len: usize) -> Option<ExecBlock> {
            let count = len.div_ceil(PAGE);
            let mut taken = self.taken.lock();
            let at = (0..=PAGES.checked_sub(count)?).find(|&at| !taken[at..at + count].contains(&true))?;
            taken[at..at + count].fill(true);
            let exec = self.base() + at * PAGE;
            Some(ExecBlock { write: exec, exec, len: count * PAGE })
        }
        fn seal(&self, _: ExecBlock) -> bool {
            true
        }
        unsafe fn free(&self, block: ExecBlock) {
            let at = (block.exec - self.base()) / PAGE;
            self.taken.lock()[at..at + block.len / PAGE].fill(false);
        }
        fn enforces_wx(&self) -> bool {
            true
        }
        fn rewrites(&self) -> bool {
            self.rewrites
        }
        unsafe fn rewrite(&self, at: usize, code: &[u8]) -> bool {
            for (word, bytes) in self.memory[(at - self.base()) / 8..].iter().zip(code.chunks(8)) {
                word.store(usize::from_le_bytes(bytes.try_into().unwrap()), Ordering::Relaxed);
            }
            true
        }
    }

    fn put(heap: &CodeHeap, len: usize, byte: u8) -> Option<ExecBlock> {
        let block = heap.alloc(len)?;
        // SAFETY: the block is open and ours.
        unsafe { slice::from_raw_parts_mut(block.write as *mut u8, len) }.fill(byte);
        assert!(heap.seal(block));
        Some(block)
    }

    #[test]
    fn small_programs_share_pages_and_large_ones_still_fit() {
        let few = Few::new(true);
        let heap: &'static CodeHeap = Box::leak(Box::new(CodeHeap::new()));
        heap.over(few);
        let small: Vec<_> = (0..30).map(|i| put(heap, 20, i).unwrap()).collect();
        assert_eq!(few.in_use(), 4, "of 32 bytes each, eight to a page");
        for (i, block) in (0..).zip(&small) {
            let mut expected = [NOTHING; 32];
            expected[..20].fill(i);
            assert_eq!(few.bytes(block.exec, 32), expected);
        }
        assert!(put(heap, PAGE, 0).is_none(), "full");
        for block in &small[8..] {
            // SAFETY: nothing of it is executed.
            unsafe { heap.free(*block) };
        }
        assert!(few.in_use() <= 2, "one spare page is kept");
        let large = put(heap, 2 * PAGE, 0xee).unwrap();
        assert_eq!(few.bytes(large.exec, 2 * PAGE), [0xee; 2 * PAGE]);
        assert_eq!(few.bytes(small[7].exec, 20), [7; 20], "neighbours stay");
        // SAFETY: nothing of it is executed.
        unsafe { heap.free(small[3]) };
        let again = put(heap, 32, 0x55).unwrap();
        assert_eq!(again.exec, small[3].exec, "a gap is used again");
    }

    #[test]
    fn what_is_not_sealed_is_given_back_too() {
        let few = Few::new(true);
        let heap: &'static CodeHeap = Box::leak(Box::new(CodeHeap::new()));
        heap.over(few);
        for _ in 0..100 {
            let block = heap.alloc(PAGE).unwrap();
            // SAFETY: nothing of it is executed.
            unsafe { heap.free(block) };
        }
        assert_eq!(few.in_use(), 1);
        assert!(heap.alloc(PAGES * PAGE + 1).is_none() && heap.alloc(usize::MAX).is_none());
    }

    #[test]
    fn without_rewriting_each_program_has_pages_of_its_own() {
        let few = Few::new(false);
        let heap: &'static CodeHeap = Box::leak(Box::new(CodeHeap::new()));
        let memory = heap.over(few);
        let blocks: Vec<_> = (0..PAGES).map(|_| memory.alloc(1).unwrap()).collect();
        assert!(memory.alloc(1).is_none() && blocks.iter().all(|b| memory.seal(*b)));
        // SAFETY: nothing of them is executed.
        blocks.into_iter().for_each(|b| unsafe { memory.free(b) });
        assert_eq!(few.in_use(), 0);
    }
}
