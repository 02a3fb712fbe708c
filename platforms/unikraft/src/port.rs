//! The stream the shell talks on: a virtio-serial port, or the unikernel's console.

use crate::glue;
use ubpf_virtio_serial::{Driver, Input, Queues, RECEIVE_BYTES};

/// Ports of the device that are looked at, at most.
const PORTS: usize = 16;
/// Bytes that may wait in each direction.
const BUFFER: usize = 4096;
/// How often a console that cannot wake anybody is looked at.
const CONSOLE_POLL_NS: u64 = 10_000_000;
/// How long the device may take to name its ports before it is said that ours is not among them.
const NAMING_NS: u64 = 2_000_000_000;

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
    /// A named port; until when it is waited for, 0 once it is there or was reported missing.
    Virtio(Driver<PORTS, BUFFER>, u64),
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
            crate::say(format_args!(
                "ushell: no virtio-serial device with named ports; the shell cannot be reached (QEMU: -device \
                 virtio-serial-pci -device virtserialport,chardev=ID,name={name})"
            ));
            return Self::Virtio(Driver::new(name), 0);
        }
        // SAFETY: no preconditions.
        let now = unsafe { glue::ukglue_now() };
        Self::Virtio(Driver::new(name), now + NAMING_NS)
    }

    /// The next thing that happened.
    pub fn read(&mut self, into: &mut [u8; RECEIVE_BYTES]) -> Input {
        match self {
            Self::Virtio(driver, _) => {
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
            Self::Virtio(driver, _) => {
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
    pub fn wait(&mut self, ns: u64) {
        let ns = match self {
            Self::Virtio(_, 0) => ns,
            Self::Virtio(driver, until) => match (ns, naming_left(driver, until)) {
                (0, left) => left,
                (ns, 0) => ns,
                (ns, left) => ns.min(left),
            },
            Self::Console(_) if ns == 0 => CONSOLE_POLL_NS,
            Self::Console(_) => ns.min(CONSOLE_POLL_NS),
        };
        // SAFETY: called from the shell's thread.
        unsafe { glue::ukglue_wait(ns) }
    }
}

/// Nanoseconds in which the wanted port may still get its name; 0 from when it is there, or was reported missing.
fn naming_left(driver: &Driver<PORTS, BUFFER>, until: &mut u64) -> u64 {
    // SAFETY: no preconditions; the configuration's strings are static.
    let (now, name) = unsafe { (glue::ukglue_now(), glue::static_str(glue::config().port)) };
    let found = driver.ports().find(name).is_some();
    if !found && now < *until {
        return *until - now;
    }
    if !found {
        crate::say(format_args!(
            "ushell: the virtio-serial device has no port called {name}; the shell waits for one"
        ));
    }
    *until = 0;
    0
}
