// SPDX-License-Identifier: BSD-3-Clause
//! What the bank asks for a posting: the Rust part of the application, without a standard library.
#![no_std]

extern crate alloc;

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_void,
    panic::PanicInfo,
};

extern "C" {
    fn memalign(align: usize, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn abort() -> !;
}

/// Memory of the unikernel.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: the C library gives memory of the size and alignment that it is asked for.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a power of two, and not less than that of a pointer.
        unsafe { memalign(layout.align().max(8), layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { free(block.cast()) }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing.
    unsafe { abort() }
}

/// Named by the precompiled `alloc`, which is made for programs that unwind. Here nothing does.
#[no_mangle]
extern "C" fn rust_eh_personality() {}

#[no_mangle]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: takes nothing.
    unsafe { abort() }
}

/// How a price is found.
trait Tariff {
    fn price(&self, amount: u64) -> u64;
}

/// The same for every posting.
struct Flat(u64);

impl Tariff for Flat {
    #[inline(never)]
    fn price(&self, _: u64) -> u64 {
        self.0
    }
}

/// By steps: from so many on, that much.
struct Steps(BTreeMap<u64, u64>);

impl Tariff for Steps {
    #[inline(never)]
    fn price(&self, amount: u64) -> u64 {
        self.0.range(..=amount).next_back().map_or(0, |step| *step.1)
    }
}

/// The highest of several amounts' prices.
#[inline(never)]
fn quote<T: Tariff>(tariff: &T, amounts: &[u64]) -> u64 {
    amounts.iter().map(|amount| tariff.price(*amount)).max().unwrap_or(0)
}

/// What a posting costs, called by the C++ part.
#[no_mangle]
pub extern "C" fn price_of(amount: u64) -> u64 {
    let steps = Steps((0..8).map(|step| (step * 250, 10 + step)).collect());
    let amounts: Vec<u64> = (0..4).map(|more| amount + more).collect();
    quote(&steps, &amounts) + quote(&Flat(1), &amounts)
}
