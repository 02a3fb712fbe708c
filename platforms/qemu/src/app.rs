//! The demo application in C and what it asks of the image.

use core::ffi::{c_char, c_uint, CStr};

use ubpf_rs::runtime::Runtime;

use crate::{console, fault, thread};

extern "C" {
    fn app_main();
    /// The function of the demo application that is traced.
    pub fn myfun();
}

/// Runs the application and ends the image with it.
pub fn run() -> ! {
    // SAFETY: the application's entry, a C function without arguments.
    unsafe { app_main() };
    fault::exit(fault::Exit::Success)
}

#[no_mangle]
unsafe extern "C" fn demo_print(text: *const c_char) {
    // SAFETY: the application passes a C string.
    let text = unsafe { CStr::from_ptr(text) };
    // What programs said before comes before.
    if let Some(runtime) = Runtime::get() {
        runtime.drain_console();
    }
    console::write(text.to_bytes());
}

#[no_mangle]
extern "C" fn demo_sleep_ms(ms: c_uint) {
    thread::sleep_ms(u64::from(ms));
}
