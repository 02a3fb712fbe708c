//! Memory for what is small. A size that comes from input is allocated fallibly where it is needed; for the many small
//! things of an operation (a name, a message, a reference count) it is asked once, before anything is changed, whether there is
//! room for all of them. Where the allocator is ours, it keeps a [`Reserve`] for those that find nothing all the same.

use alloc::{boxed::Box, vec::Vec};
use core::{alloc::Layout, hint::black_box};
use spin::Mutex;

/// Bytes that the small allocations of one operation stay below, by a good margin.
pub const SMALL_THINGS: usize = 16 * 1024;

/// Bytes that an operation asks for which keeps memory (a file, an attached program): what it leaves of them is what the operations
/// need that give memory back.
pub const SMALL_THINGS_THAT_STAY: usize = 2 * SMALL_THINGS;

/// Whether `bytes` are free in one piece, and the reserve is good for the small things of an operation. Allocates them and gives them
/// back: what is smaller finds room afterwards, from the reserve where somebody else has taken it in between.
pub fn has_room(bytes: usize) -> bool {
    let mut room: Vec<u8> = Vec::new();
    let found = RESERVE.is_good_for(SMALL_THINGS) && room.try_reserve_exact(bytes).is_ok();
    // An allocation that nobody looks at could be left out by the compiler.
    black_box(room.as_ptr());
    found
}

/// One thing in memory of its own; `None` without memory.
pub fn boxed<T>(thing: T) -> Option<Box<[T; 1]>> {
    let mut room = Vec::new();
    room.try_reserve_exact(1).ok()?;
    room.push(thing);
    room.into_boxed_slice().try_into().ok()
}

/// The reserve of this image.
pub static RESERVE: Reserve = Reserve(Mutex::new([0; WORDS]));

/// Bytes that are given from the reserve at a time, and the alignment of each piece.
pub const GRANULE: usize = 64;
const WORDS: usize = 12;
const GRANULES: usize = WORDS * 64;

/// Which parts of a piece of memory are in use: small allocations get theirs there when there is no other memory. It is good for three
/// operations at a time; while less is left than one may take, [`has_room`] says no.
pub struct Reserve(Mutex<[u64; WORDS]>);

impl Reserve {
    /// Bytes of the memory.
    pub const BYTES: usize = GRANULES * GRANULE;
    /// The largest piece. What is larger may fail, and who asks for it expects that.
    pub const LARGEST: usize = 8192;

    /// Takes room for a small allocation: its place in the memory, in bytes.
    pub fn take(&self, layout: Layout) -> Option<usize> {
        if layout.size() > Self::LARGEST || layout.align() > GRANULE {
            return None;
        }
        let wanted = layout.size().div_ceil(GRANULE).max(1);
        let mut used = self.0.lock();
        let first = place(&used, wanted)?;
        mark(&mut used, first, wanted, true);
        Some(first * GRANULE)
    }

    /// Gives back what was taken at `place` for an allocation.
    pub fn give_back(&self, place: usize, layout: Layout) {
        let count = layout.size().div_ceil(GRANULE).max(1);
        mark(&mut self.0.lock(), place / GRANULE, count, false);
    }

    /// Whether so many bytes are free in one piece.
    pub fn is_good_for(&self, bytes: usize) -> bool {
        place(&self.0.lock(), bytes.div_ceil(GRANULE)).is_some()
    }
}

/// The first place where so many granules are free.
fn place(used: &[u64; WORDS], wanted: usize) -> Option<usize> {
    let free = |at: &usize| used.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 0);
    let mut run = 0;
    let last = (0..GRANULES).find(|at| {
        run = if free(at) { run + 1 } else { 0 };
        run == wanted
    })?;
    Some(last + 1 - wanted)
}

fn mark(used: &mut [u64; WORDS], first: usize, count: usize, taken: bool) {
    for at in first..first + count {
        if let Some(word) = used.get_mut(at / 64) {
            let bit = 1 << (at % 64);
            *word = if taken { *word | bit } else { *word & !bit };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_the_reserve_do_not_overlap_and_come_back() {
        let reserve = Reserve(Mutex::new([0; WORDS]));
        let layout = |bytes| Layout::from_size_align(bytes, 8).unwrap();
        let mut taken: Vec<(usize, Layout)> = Vec::new();
        for bytes in [0, 1, 64, 65, 4096, 200].into_iter().cycle() {
            let Some(at) = reserve.take(layout(bytes)) else {
                break;
            };
            assert!(at % GRANULE == 0 && at + bytes.max(1) <= Reserve::BYTES);
            let apart = |&(other, of): &(usize, Layout)| at + bytes.max(1) <= other || other + of.size().max(1) <= at;
            assert!(taken.iter().all(apart));
            taken.push((at, layout(bytes)));
        }
        assert!(taken.len() > 50 && !reserve.is_good_for(SMALL_THINGS));
        // Every other one, then the rest.
        let (odd, even): (Vec<_>, Vec<_>) = taken.iter().enumerate().partition(|(n, _)| n % 2 == 1);
        for (_, &(at, layout)) in odd.into_iter().chain(even) {
            reserve.give_back(at, layout);
        }
        assert!(reserve.is_good_for(Reserve::BYTES));
        assert_eq!(reserve.take(layout(Reserve::LARGEST + 1)), None);
        assert_eq!(reserve.take(Layout::from_size_align(8, 128).unwrap()), None);
    }
}
