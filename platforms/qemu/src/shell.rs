//! The shell's thread.

use core::sync::atomic::Ordering;

use ubpf_rs::runtime::Runtime;
use ubpf_virtio_serial::Input;

use crate::{serial, thread};

/// Starts the thread.
pub fn start(_: Option<&'static Runtime>) {
    thread::spawn(run);
}

/// Until the shell is there: an echo.
extern "C" fn run() -> ! {
    x86_64::instructions::interrupts::enable();
    let mut buffer = [0; 4096];
    loop {
        serial::EVENT.store(false, Ordering::Release);
        let room = serial::room().min(buffer.len());
        match serial::read(&mut buffer[..room]) {
            Input::Connected => drop(serial::write(b"> ")),
            Input::Bytes(count) => drop(serial::write(&buffer[..count])),
            Input::Disconnected => {}
            Input::Nothing => thread::wait(Some(&serial::EVENT), 100),
        }
        if let Some(runtime) = Runtime::get() {
            runtime.drain_console();
        }
    }
}
