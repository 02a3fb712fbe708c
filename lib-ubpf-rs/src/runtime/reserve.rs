//! An allocator that small things always find room in.

use crate::platform::{Reserve, GRANULE, RESERVE};
use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
};

/// An image's allocator with the [`RESERVE`] behind it: a small allocation that the allocator fails gets its memory there. Small things
/// are allocated by code that expects no failure; it runs only after [`has_room`](crate::platform::has_room) said yes. An image has one.
pub struct WithReserve<A>(pub A);

#[repr(align(64))]
struct ReserveMemory(UnsafeCell<[u8; Reserve::BYTES]>);

// SAFETY: only pieces of it are used, each by who took it from `RESERVE`.
unsafe impl Sync for ReserveMemory {}

const _: () = assert!(align_of::<ReserveMemory>() >= GRANULE);

static MEMORY: ReserveMemory = ReserveMemory(UnsafeCell::new([0; Reserve::BYTES]));

impl ReserveMemory {
    fn start(&self) -> *mut u8 {
        self.0.get().cast()
    }

    /// The place of a block in it.
    fn place(&self, block: *mut u8) -> Option<usize> {
        let place = block.addr().checked_sub(self.start().addr())?;
        (place < Reserve::BYTES).then_some(place)
    }
}

// SAFETY: a block is the inner allocator's, or a piece of `MEMORY` that is large and aligned enough and nobody else's until it is given
// back; which one, its address tells.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WithReserve<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.alloc(layout) };
        if !block.is_null() {
            return block;
        }
        match RESERVE.take(layout) {
            // SAFETY: the place is within the memory.
            Some(place) => unsafe { MEMORY.start().add(place) },
            None => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match MEMORY.place(block) {
            Some(place) => RESERVE.give_back(place, layout),
            // SAFETY: the inner allocator's block, since it is none of ours.
            None => unsafe { self.0.dealloc(block, layout) },
        }
    }
}
