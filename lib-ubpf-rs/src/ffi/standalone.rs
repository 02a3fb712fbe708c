//! Allocator and panic handler of the stand-alone archives, over what the application defines (`platform.h`).

use super::{bindings, codes::CText};
use crate::runtime::WithReserve;
use core::{
    alloc::{GlobalAlloc, Layout},
    fmt::Write,
    panic::PanicInfo,
};

/// The application's memory. A failure is reported as such: null.
struct Allocator;

#[global_allocator]
static ALLOCATOR: WithReserve<Allocator> = WithReserve(Allocator);

// SAFETY: the application promises memory of the size and alignment it is asked for, from any thread.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two; NULL is an answer.
        unsafe { bindings::ubpf_platform_alloc(layout.align(), layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from `alloc`.
        unsafe { bindings::ubpf_platform_free(block.cast()) }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut bytes = [0; 256];
    // What does not fit is cut.
    let _ = write!(CText::new(&mut bytes), "ubpf: {info}");
    let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(0);
    end(bytes.get(..len).unwrap_or(&[]))
}

/// Tells the application of a fault of the library.
fn end(text: &[u8]) -> ! {
    // SAFETY: the text is readable for its length.
    unsafe { bindings::ubpf_platform_panic(text.as_ptr().cast(), text.len()) }
    // The application was asked not to return.
    loop {
        core::hint::spin_loop();
    }
}

/// Named by the unwind tables of the precompiled `alloc`. Nothing unwinds: a panic ends in [`panic`].
#[no_mangle]
extern "C" fn rust_eh_personality() {}

/// Stands for `_Unwind_Resume` in the archives of `cargo xtask archive`. A function of the precompiled `alloc` names it for the case that
/// something unwinds through it.
#[no_mangle]
extern "C" fn ubpf_unwind_resume() -> ! {
    end(b"ubpf: something unwinds through the engine")
}
