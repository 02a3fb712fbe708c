//! The stream the shell talks on: a virtio-serial port, or the unikernel's console.

use crate::glue;
use alloc::alloc::alloc_zeroed;
use core::{alloc::Layout, sync::atomic::AtomicU8};
use ubpf_virtio_serial::{
    control::HEADER_BYTES, Areas, Buffers, ByteRing, Driver, Input, Offer, Queue, Queues, CONTROL_BYTES,
    CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE, MOST_BUFFERS, RECEIVE_BYTES, TRANSMIT_BYTES,
};

/// Ports of the device that are looked at, at most.
const PORTS: usize = 16;
/// Bytes that may wait in each direction.
const BUFFER: usize = 4096;
/// Buffers that may be on their way to the host.
const SENDING: usize = 4;
/// How often a console that cannot wake anybody is looked at.
const CONSOLE_POLL_NS: u64 = 10_000_000;
/// How long the device may take to name its ports before it is said that ours is not among them.
const NAMING_NS: u64 = 2_000_000_000;

/// The queues in use: those for control messages and those of the port. They come with the first use: a port nobody asks for costs
/// none.
pub struct Device([Option<(u16, Queue<'static>)>; 6]);

impl Device {
    const fn new() -> Self {
        Self([const { None }; 6])
    }

    fn get(&mut self, number: u16) -> Option<&mut Queue<'static>> {
        let place = self.0.iter_mut().find(|place| place.as_ref().is_none_or(|(taken, _)| *taken == number))?;
        if place.is_none() {
            *place = Some((number, queue(number)?));
        }
        place.as_mut().map(|(_, queue)| queue)
    }
}

/// The queue with its buffers; `None` where the device has none, or there is no memory.
fn queue(number: u16) -> Option<Queue<'static>> {
    let mut areas = glue::ukglue_queue {
        descriptors: core::ptr::null_mut(),
        driver: core::ptr::null_mut(),
        device: core::ptr::null_mut(),
        size: 0,
    };
    // SAFETY: fills in the structure.
    if unsafe { glue::ukglue_queue(number, &raw mut areas) } != 0 {
        return None;
    }
    let (count, each) = match number {
        CONTROL_RECEIVE_QUEUE => (MOST_BUFFERS, CONTROL_BYTES),
        CONTROL_TRANSMIT_QUEUE => (1, HEADER_BYTES),
        port if port.is_multiple_of(2) => (1, RECEIVE_BYTES),
        _ => (SENDING, TRANSMIT_BYTES),
    };
    let bytes = shared(count * each)?;
    let size = areas.size as usize;
    // SAFETY: the areas have this layout and are zero; they stay for good, and nobody but the device changes them. Each of the
    // atomic integers allows for that.
    let areas = unsafe {
        Areas {
            descriptors: core::slice::from_raw_parts(areas.descriptors.cast(), 2 * size),
            driver: core::slice::from_raw_parts(areas.driver.cast(), 2 + size),
            device: core::slice::from_raw_parts(areas.device.cast(), 1 + 2 * size),
        }
    };
    // SAFETY: asks the page table; the memory is mapped.
    let address = unsafe { glue::ukglue_physical(bytes.as_ptr().cast()) };
    let buffers = Buffers { bytes, each, address };
    Some(Queue::new(areas, buffers))
}

/// Zeroed memory for the device and the driver, within one page.
fn shared(len: usize) -> Option<&'static [AtomicU8]> {
    let layout = Layout::from_size_align(len, len.next_power_of_two()).ok()?;
    // SAFETY: the length is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return None;
    }
    // SAFETY: so many zeros were allocated, and are never freed.
    Some(unsafe { core::slice::from_raw_parts(start.cast(), len) })
}

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        self.get(queue)?.receive(into)
    }

    fn offer(&mut self, queue: u16) -> Offer {
        let Some(its) = self.get(queue) else {
            return Offer::Nothing;
        };
        let offer = its.offer();
        if offer != Offer::Nothing && its.wants_notice() {
            // SAFETY: the device has this queue.
            unsafe { glue::ukglue_queue_notify(queue) }
        }
        offer
    }

    fn end_session(&mut self, queue: u16) {
        if let Some(its) = self.get(queue) {
            its.end_session();
        }
    }

    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool {
        let Some(its) = self.get(queue) else {
            return false;
        };
        let sent = its.transmit(bytes);
        if sent && its.wants_notice() {
            // SAFETY: the device has this queue.
            unsafe { glue::ukglue_queue_notify(queue) }
        }
        sent
    }
}

/// The stream of the shell.
#[allow(clippy::large_enum_variant)] // there is one, and it stays where it is
pub enum Port {
    /// A named port of the device; until when it is waited for, 0 once it is there or was reported missing.
    Virtio(Driver<PORTS, BUFFER>, Device, u64),
    /// A console of Unikraft, or a port of its own driver; whether the shell was told that somebody is there, what was typed
    /// since, and whether the last write found no room for all.
    Console(bool, ByteRing<TYPED>, bool),
}

/// Bytes of the console that wait for the shell.
const TYPED: usize = 256;

impl Port {
    /// The port as configured.
    pub fn new() -> Self {
        // SAFETY: no preconditions; the configuration's strings are static.
        let (present, name) = unsafe { (glue::ukglue_port_present() != 0, glue::static_str(glue::config().port)) };
        if name.is_empty() {
            return Self::Console(false, ByteRing::new(), false);
        }
        if !present {
            crate::say(format_args!(
                "ushell: no virtio-serial device with named ports; the shell cannot be reached (QEMU: -device \
                 virtio-serial-pci -device virtserialport,chardev=ID,name={name})"
            ));
            return Self::Virtio(Driver::new(name), Device::new(), 0);
        }
        // SAFETY: no preconditions.
        let now = unsafe { glue::ukglue_now() };
        Self::Virtio(Driver::new(name), Device::new(), now + NAMING_NS)
    }

    /// The next thing that happened.
    pub fn read(&mut self, into: &mut [u8]) -> Input {
        match self {
            Self::Virtio(driver, device, _) => {
                driver.poll(device);
                driver.read(into)
            }
            Self::Console(connected @ false, ..) => {
                *connected = true;
                Input::Connected
            }
            Self::Console(true, typed, _) => {
                read_console(typed);
                match typed.pop(into) {
                    0 => Input::Nothing,
                    count => Input::Bytes(count),
                }
            }
        }
    }

    /// How many bytes are to be read at once while the shell waits for a line.
    pub fn piece(&self) -> usize {
        match self {
            Self::Virtio(driver, ..) => driver.piece(),
            Self::Console(_, typed, _) => typed.piece(),
        }
    }

    /// Takes the `^C` that ends the command which runs; whether there was one.
    pub fn take_interrupt(&mut self) -> bool {
        match self {
            Self::Virtio(driver, device, _) => {
                driver.poll(device);
                driver.take_interrupt()
            }
            Self::Console(_, typed, _) => {
                read_console(typed);
                typed.take_interrupt(TYPED)
            }
        }
    }

    /// Whether the reader of what a command says is gone.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Virtio(driver, ..) => !driver.is_connected(),
            Self::Console(..) => false,
        }
    }

    /// Throws away what may be of the session of which [`Port::read`] just told the end.
    pub fn drop_unclear(&mut self) {
        if let Self::Virtio(driver, ..) = self {
            driver.drop_unclear();
        }
    }

    /// Hands over bytes, says how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Virtio(driver, device, _) => {
                // What the device has sent makes room. Were that only found afterwards, nothing would be taken, and nobody would
                // be told again.
                driver.poll(device);
                let taken = driver.write(bytes);
                driver.poll(device);
                taken
            }
            Self::Console(_, _, full) => {
                // SAFETY: readable for its length.
                let taken = unsafe { glue::ukglue_console_write(bytes.as_ptr().cast(), bytes.len()) };
                let taken = usize::try_from(taken).unwrap_or(0).min(bytes.len());
                *full = taken < bytes.len();
                taken
            }
        }
    }

    /// Sleeps until something may have happened, at most `ns` (0: for ever).
    pub fn wait(&mut self, ns: u64) {
        let ns = match self {
            Self::Virtio(_, _, 0) => ns,
            Self::Virtio(driver, _, until) => match (ns, naming_left(driver, until)) {
                (0, left) => left,
                (ns, 0) => ns,
                (ns, left) => ns.min(left),
            },
            // SAFETY: called from the shell's thread.
            Self::Console(_, _, false) if unsafe { glue::ukglue_console_wakes() } != 0 => ns,
            // Nobody tells when there is room again.
            Self::Console(..) if ns == 0 => CONSOLE_POLL_NS,
            Self::Console(..) => ns.min(CONSOLE_POLL_NS),
        };
        // SAFETY: called from the shell's thread.
        unsafe { glue::ukglue_wait(ns) }
    }
}

fn read_console(typed: &mut ByteRing<TYPED>) {
    let mut bytes = [0u8; TYPED];
    let room = bytes.get_mut(..typed.room()).unwrap_or_default();
    // SAFETY: writable for its length.
    let count = unsafe { glue::ukglue_console_read(room.as_mut_ptr().cast(), room.len()) };
    let count = usize::try_from(count).unwrap_or(0);
    typed.push(room.get(..count).unwrap_or_default());
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
        crate::say(format_args!("ushell: the virtio-serial device has no port called {name}; the shell waits for one (QEMU: -device virtserialport,chardev=ID,name={name} \
             behind the first virtio-serial-pci)"));
    }
    *until = 0;
    0
}
