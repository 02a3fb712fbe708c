//! The one Rust archive of a Unikraft image: engine, tracer and shell over `ukglue.c`.
#![no_std]

extern crate alloc;

mod glue;
mod platform;
#[cfg(feature = "shell")]
mod port;

use core::{
    alloc::{GlobalAlloc, Layout},
    fmt::{self, Write},
    panic::PanicInfo,
};
use platform::print;

/// Unikraft's default allocator. A failure is reported as such: null.
struct UkAlloc;

// SAFETY: blocks come from uk_posix_memalign and go back to uk_free, both safe from any thread.
unsafe impl GlobalAlloc for UkAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two; the glue returns null without memory.
        unsafe { glue::ukglue_alloc(layout.align(), layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from `alloc`.
        unsafe { glue::ukglue_free(block.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: UkAlloc = UkAlloc;

/// The kernel's console for `write!`.
struct Stdout;

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print(text.as_bytes());
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Stdout, "ubpf: {info}");
    // SAFETY: does not return.
    unsafe { glue::ukglue_crash() }
}

/// Called by the glue once files and devices are there, before the application's `main`.
#[no_mangle]
pub extern "C" fn ubpf_uk_start() {
    start();
}

fn start() {
    let _ = writeln!(Stdout, "ubpf: on {}", platform::platform().name);
    #[cfg(feature = "shell")]
    // SAFETY: called once, in a thread that may make threads.
    unsafe {
        glue::ukglue_thread_start(serve);
    }
}

#[cfg(feature = "shell")]
extern "C" fn serve() {
    use ubpf_virtio_serial::Input;
    let mut port = port::Port::new();
    let mut buffer = [0; ubpf_virtio_serial::RECEIVE_BYTES];
    loop {
        match port.read(&mut buffer) {
            Input::Nothing => port.wait(0),
            Input::Connected => {
                port.write(b"hello\n");
            }
            Input::Bytes(count) => {
                port.write(&buffer[..count]);
            }
            Input::Disconnected => {}
        }
    }
}
