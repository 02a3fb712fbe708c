//! The stream the shell talks on: a virtio-serial port, or the unikernel's console.

use crate::glue;
use ubpf_virtio_serial::{Driver, Input, Queues, RECEIVE_BYTES};

/// Ports of the device that are looked at, at most.
const PORTS: usize = 16;
/// Bytes that may wait in each direction.
const BUFFER: usize = 4096;
/// How often a console that cannot wake anybody is looked at.
const CONSOLE_POLL_NS: u64 = 10_000_000;

struct Device;

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        // SAFETY: into is writable for its length.
        let claimed =
            unsafe { glue::ukglue_queue_receive(queue, into.as_mut_ptr().cast(), into.len()) };
        usize::try_from(claimed).ok()
    }

    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool {
        // SAFETY: bytes is readable for its length.
        unsafe { glue::ukglue_queue_transmit(queue, bytes.as_ptr().cast(), bytes.len()) != 0 }
    }
}

/// The stream of the shell.
pub enum Port {
    /// A named port.
    Virtio(Driver<PORTS, BUFFER>),
    /// The console; whether the shell was told that somebody is there.
    Console(bool),
}

impl Port {
    /// The port as configured.
    pub fn new() -> Self {
        // SAFETY: no preconditions; the configuration's strings are static.
        let (present, name) = unsafe {
            (
                glue::ukglue_port_present() != 0,
                glue::static_str(glue::config().port),
            )
        };
        if name.is_empty() {
            return Self::Console(false);
        }
        if !present {
            crate::print(b"ushell: no virtio-serial device; the shell cannot be reached\n");
        }
        Self::Virtio(Driver::new(name))
    }

    /// The next thing that happened.
    pub fn read(&mut self, into: &mut [u8; RECEIVE_BYTES]) -> Input {
        match self {
            Self::Virtio(driver) => {
                driver.poll(&mut Device);
                driver.read(into)
            }
            Self::Console(connected @ false) => {
                *connected = true;
                Input::Connected
            }
            Self::Console(true) => {
                // SAFETY: into is writable for its length.
                let count =
                    unsafe { glue::ukglue_console_read(into.as_mut_ptr().cast(), into.len()) };
                match usize::try_from(count) {
                    Ok(count) if count > 0 => Input::Bytes(count.min(into.len())),
                    _ => Input::Nothing,
                }
            }
        }
    }

    /// Hands over bytes, says how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Virtio(driver) => {
                let taken = driver.write(bytes);
                driver.poll(&mut Device);
                taken
            }
            Self::Console(_) => {
                crate::print(bytes);
                bytes.len()
            }
        }
    }

    /// Sleeps until something may have happened, at most `ns` (0: for ever).
    pub fn wait(&self, ns: u64) {
        let ns = match self {
            Self::Virtio(_) => ns,
            Self::Console(_) if ns == 0 => CONSOLE_POLL_NS,
            Self::Console(_) => ns.min(CONSOLE_POLL_NS),
        };
        // SAFETY: called from the shell's thread.
        unsafe { glue::ukglue_wait(ns) }
    }
}
