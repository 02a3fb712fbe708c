//! An allocator over whole pages. An allocator of an image may hand out nothing smaller (Unikraft's takes a page for each byte, and for
//! 4096 bytes two), and a string of ten bytes should not cost one.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::{null_mut, NonNull},
};
use spin::Mutex;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes in which a page is divided, and the alignment of each piece.
const PIECE: usize = 64;
/// The largest allocation that shares a page with others: all but the [`Head`].
const SHARED: usize = PAGE - PIECE;

/// Where pages come from.
///
/// # Safety
/// A run of pages that was given belongs to the caller alone until it is given back, and begins at a multiple of 4096.
pub unsafe trait Pages {
    /// So many pages that follow each other; null without memory.
    fn take(&self, count: usize) -> *mut u8;
    /// Gives back what [`take`](Self::take) has given for this count.
    ///
    /// # Safety
    /// Nobody uses it any more.
    unsafe fn give_back(&self, start: *mut u8, count: usize);
}

/// Blocks in pages: small ones share a page, larger ones have some of their own, without a header.
pub struct Blocks<P> {
    pages: P,
    /// The pages that are shared, the newest first.
    shared: Mutex<BlockList>,
}

struct BlockList(*mut Head);

// SAFETY: the pages of the list belong to it.
unsafe impl Send for BlockList {}

/// The first piece of a page that is shared.
#[repr(C)]
struct Head {
    /// One bit for each piece that is in use; the lowest is this one.
    used: u64,
    next: *mut Head,
    before: *mut Head,
}

const _: () = assert!(size_of::<Head>() <= PIECE && PAGE / PIECE == u64::BITS as usize);

/// Where `count` pieces that follow each other are free.
fn run(used: u64, count: u32) -> Option<u32> {
    // A bit stays where all of the next ones are free.
    let (mut free, mut have) = (!used, 1);
    while have < count {
        let more = have.min(count.wrapping_sub(have));
        free &= free >> more;
        have = have.wrapping_add(more);
    }
    (free != 0).then(|| free.trailing_zeros())
}

fn mask(at: u32, count: u32) -> u64 {
    (u64::MAX >> u64::BITS.wrapping_sub(count)) << at
}

fn pieces(bytes: usize) -> u32 {
    bytes.div_ceil(PIECE).max(1) as u32
}

impl<P: Pages> Blocks<P> {
    /// An allocator that has no page yet.
    pub const fn new(pages: P) -> Self {
        Blocks { pages, shared: Mutex::new(BlockList(null_mut())) }
    }

    fn take_shared(&self, count: u32) -> *mut u8 {
        let mut list = self.shared.lock();
        let mut at = list.0;
        // SAFETY: the list has pages that are shared, and is locked.
        while let Some(head) = unsafe { at.as_mut() } {
            if let Some(place) = run(head.used, count) {
                head.used |= mask(place, count);
                // SAFETY: the piece lies in the page.
                return unsafe { at.cast::<u8>().add(place as usize * PIECE) };
            }
            at = head.next;
        }
        let Some(fresh) = NonNull::new(self.pages.take(1).cast::<Head>()) else {
            return null_mut();
        };
        let next = list.0;
        // SAFETY: the page is ours, and large and aligned enough; the other is one of the list.
        unsafe {
            fresh.write(Head { used: 1 | mask(1, count), next, before: null_mut() });
            if let Some(next) = next.as_mut() {
                next.before = fresh.as_ptr();
            }
            list.0 = fresh.as_ptr();
            fresh.cast::<u8>().add(PIECE).as_ptr()
        }
    }

    /// # Safety
    /// The block was taken for so many pieces, and nobody uses it any more.
    unsafe fn give_back_shared(&self, block: *mut u8, count: u32) {
        let offset = block.addr() % PAGE;
        let mut list = self.shared.lock();
        // SAFETY: each page that is shared begins with its head, and all of them are the list's, which is locked.
        unsafe {
            let head = block.sub(offset).cast::<Head>();
            (*head).used &= !mask((offset / PIECE) as u32, count);
            if (*head).used != 1 {
                return;
            }
            let (next, before) = ((*head).next, (*head).before);
            match before.as_mut() {
                Some(before) => before.next = next,
                None => list.0 = next,
            }
            if let Some(next) = next.as_mut() {
                next.before = before;
            }
            self.pages.give_back(head.cast(), 1);
        }
    }
}

// SAFETY: a block is some pieces of a page or some pages, nobody else's until it is given back; which of them, its layout tells.
unsafe impl<P: Pages> GlobalAlloc for Blocks<P> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match (layout.size(), layout.align()) {
            (bytes @ ..=SHARED, ..=PIECE) => self.take_shared(pieces(bytes)),
            (bytes, ..=PAGE) => self.pages.take(bytes.div_ceil(PAGE).max(1)),
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            match (layout.size(), layout.align()) {
                (bytes @ ..=SHARED, ..=PIECE) => self.give_back_shared(block, pieces(bytes)),
                (bytes, _) => self.pages.give_back(block, bytes.div_ceil(PAGE).max(1)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use std::{
        alloc::{alloc, dealloc},
        vec::Vec,
    };

    /// Pages of the test's own allocator; it counts those that are out.
    #[derive(Default)]
    struct Counted(RefCell<(usize, usize)>);

    fn layout(count: usize) -> Layout {
        Layout::from_size_align(count * PAGE, PAGE).expect("a layout")
    }

    // SAFETY: as the allocator promises.
    unsafe impl Pages for Counted {
        fn take(&self, count: usize) -> *mut u8 {
            let (out, most) = *self.0.borrow();
            if out + count > most {
                return null_mut();
            }
            self.0.borrow_mut().0 += count;
            // SAFETY: not empty.
            unsafe { alloc(layout(count)) }
        }

        unsafe fn give_back(&self, start: *mut u8, count: usize) {
            self.0.borrow_mut().0 -= count;
            // SAFETY: of `take`.
            unsafe { dealloc(start, layout(count)) }
        }
    }

    fn blocks(most: usize) -> Blocks<Counted> {
        Blocks::new(Counted(RefCell::new((0, most))))
    }

    fn pages_out(blocks: &Blocks<Counted>) -> usize {
        blocks.pages.0.borrow().0
    }

    #[test]
    fn runs_of_free_pieces_are_found_where_there_are_some() {
        for count in 1..64 {
            assert_eq!(run(1, count), Some(1));
            assert_eq!(run(1 | mask(1, count), 63 - count), (count < 63).then_some(1 + count));
            assert_eq!(run(u64::MAX, count), None);
        }
        assert_eq!(run(0b1011_0001, 2), Some(1));
        assert_eq!(run(0b1011_0001 | mask(8, 56), 4), None);
    }

    #[test]
    fn blocks_do_not_overlap_and_all_pages_come_back() {
        let blocks = blocks(1000);
        let mut kept: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut random = 7u32;
        for round in 0..6000u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (bytes, align) =
                ([1, 24, 64, 65, 700, 4032, 4033, 4096, 9000][random as usize >> 8 & 7], 1 << (round % 13));
            if (random >> 30 == 0 && !kept.is_empty()) || kept.len() > 150 {
                let (block, layout, mark) = kept.swap_remove((random >> 12) as usize % kept.len());
                // SAFETY: it is allocated, and filled.
                unsafe {
                    assert!(core::slice::from_raw_parts(block, layout.size()).iter().all(|byte| *byte == mark));
                    blocks.dealloc(block, layout);
                }
                continue;
            }
            let (layout, mark) = (Layout::from_size_align(bytes, align).expect("a layout"), round as u8);
            // SAFETY: not empty.
            unsafe {
                let block = blocks.alloc(layout);
                assert!(!block.is_null() && block.addr().is_multiple_of(align));
                block.write_bytes(mark, bytes);
                kept.push((block, layout, mark));
            }
        }
        assert!(kept.len() > 50);
        for (block, layout, _) in kept {
            // SAFETY: it is allocated.
            unsafe { blocks.dealloc(block, layout) };
        }
        assert_eq!(pages_out(&blocks), 0);
    }

    #[test]
    fn small_things_share_a_page_and_large_ones_have_no_header() {
        let blocks = blocks(3);
        let small = Layout::from_size_align(40, 8).expect("a layout");
        // SAFETY: not empty.
        let all: Vec<_> = (0..63).map(|_| unsafe { blocks.alloc(small) }).collect();
        assert_eq!((all.iter().any(|block| block.is_null()), pages_out(&blocks)), (false, 1));
        // SAFETY: not empty.
        let large = unsafe { blocks.alloc(layout(2)) };
        assert_eq!((large.is_null(), pages_out(&blocks)), (false, 3));
        // SAFETY: not empty; then what is allocated, once each.
        unsafe {
            assert!(blocks.alloc(small).is_null(), "there is no more memory");
            blocks.dealloc(large, layout(2));
            all.into_iter().for_each(|block| blocks.dealloc(block, small));
        }
        assert_eq!(pages_out(&blocks), 0);
    }

    #[test]
    fn what_cannot_be_aligned_is_refused() {
        let layout = Layout::from_size_align(64, 2 * PAGE).expect("a layout");
        // SAFETY: not empty.
        assert!(unsafe { blocks(9).alloc(layout) }.is_null());
    }
}
