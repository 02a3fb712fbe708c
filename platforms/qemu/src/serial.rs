//! The shell's port: the one called "ushell" on any of the virtio-serial devices, served by interrupts.

use alloc::boxed::Box;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use ubpf_virtio_serial::{control::HEADER_BYTES, CONTROL_BYTES, MOST_BUFFERS, RECEIVE_BYTES, TRANSMIT_BYTES};
use ubpf_virtio_serial::{receive_queue, transmit_queue, Areas, Buffers, PortId, FEATURE_MULTIPORT};
use ubpf_virtio_serial::{
    Counters, Driver, Input, Offer, Queue, Queues, CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE,
};
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{virtio_device_type, PciTransport};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use x86_64::instructions::{interrupts, port::Port};

use crate::cell::IrqCell;
use crate::{memory, time};

const PORTS: usize = 8;
const BUFFER: usize = 16 << 10;
/// Buffers that may be on their way to the host.
const SENDING: usize = 16;
const FEATURE_VERSION_1: u64 = 1 << 32;
const CONFIG_MAX_PORTS: usize = 4;
const CONFIG_INTERRUPT_LINE: u8 = 0x3c;

/// How many devices are looked at.
const DEVICES: usize = 2;
const WANTED: &str = "ushell";
/// How long the end waits for the host to take the last words.
const LAST_WORDS_NS: u64 = 200_000_000;

static SERIAL: IrqCell<[Option<Box<Serial>>; DEVICES]> = IrqCell::new([const { None }; DEVICES]);
/// Becomes true when something may have happened on the port; whoever waits for it sets it back.
pub static EVENT: AtomicBool = AtomicBool::new(false);

struct Serial {
    device: Device,
    driver: Driver<PORTS, BUFFER>,
}

/// Finds and starts the devices; returns their interrupt lines. What it builds on the stack is gone when it returns.
#[inline(never)]
pub fn init() -> impl Iterator<Item = u8> {
    let mut root = PciRoot::new(ConfigPorts);
    let mut lines = [None; DEVICES];
    let is_console = |info: &_| virtio_device_type(info) == Some(DeviceType::Console);
    let found = PciRoot::new(ConfigPorts).enumerate_bus(0);
    let functions = found.filter_map(|(function, info)| is_console(&info).then_some(function));
    for (number, function) in functions.take(DEVICES).enumerate() {
        root.set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER);
        let transport = PciTransport::new::<Identity, _>(&mut root, function).ok();
        let Some(device) = transport.and_then(Device::start) else {
            println!("a virtio-serial device does not work");
            continue;
        };
        let mut serial = Box::new(Serial { device, driver: Driver::new(WANTED) });
        serial.poll();
        SERIAL.with(|serials| serials[number] = Some(serial));
        lines[number] = Some(ConfigPorts.read_word(function, CONFIG_INTERRUPT_LINE) as u8);
    }
    lines.into_iter().flatten()
}

/// The next thing that happened on the port.
pub fn read(into: &mut [u8]) -> Input {
    if ECHO.load(Ordering::Relaxed) {
        return Input::Nothing;
    }
    with(|serial| {
        let input = serial.driver.read(into);
        serial.poll();
        input
    })
    .unwrap_or(Input::Nothing)
}

/// Whether the command that runs is to end: `^C` came, which is taken, or its client is gone.
pub fn is_cancelled() -> bool {
    with(|serial| serial.driver.take_interrupt() || !serial.driver.is_connected()).unwrap_or(false)
}

/// Takes the `^C` that came behind other input.
pub fn take_interrupt() -> bool {
    with(|serial| serial.driver.take_interrupt()).unwrap_or(false)
}

/// How many bytes are to be read at once while the shell waits for a line.
pub fn piece() -> usize {
    with(|serial| serial.driver.piece()).unwrap_or(0)
}

/// Whether [`read`] would give something.
pub fn has_input() -> bool {
    with(|serial| serial.driver.has_input()).unwrap_or(false)
}

/// Queues bytes for the host and says how many were taken.
pub fn write(bytes: &[u8]) -> usize {
    with(|serial| {
        let count = serial.driver.write(bytes);
        serial.poll();
        count
    })
    .unwrap_or(bytes.len())
}

/// How many bytes [`write`] takes now.
pub fn room() -> usize {
    with(|serial| serial.driver.room()).unwrap_or(0)
}

/// Throws away what may be of the session of which [`read`] just told the end.
pub fn drop_unclear() {
    with(|serial| serial.driver.drop_unclear());
}

/// Says how the port is doing.
pub fn survey() -> Option<PortSurvey> {
    with(|serial| {
        let port = serial.driver.ports().find(WANTED)?;
        let queue = serial.device.sending(port)?;
        queue.take_back();
        let (free, count, reclaimed) = (queue.free(), queue.count(), queue.reclaimed());
        Some(PortSurvey { free, count, reclaimed, counters: serial.driver.counters() })
    })?
}

/// How the port is doing.
pub struct PortSurvey {
    free: u32,
    count: u32,
    reclaimed: u32,
    counters: Counters,
}

impl fmt::Display for PortSurvey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { free, count, reclaimed, counters } = self;
        writeln!(out, "transmit buffers: {free} of {count} free, {reclaimed} kept by the device and used again")?;
        writeln!(out, "{counters}")
    }
}

/// True while the interrupt itself sends back what comes: the yardstick for the shell's speed.
static ECHO: AtomicBool = AtomicBool::new(false);

/// From now on all that comes on the port is sent back, until the host closes it.
pub fn echo() {
    ECHO.store(true, Ordering::Relaxed);
}

/// Called by the interrupt of a device's line. Devices may share it: then they are served until none asks any more, as
/// a line that stays raised may not interrupt again.
pub fn interrupt() {
    const PASSES: usize = 16;
    SERIAL.with(|serials| {
        let shared = serials.iter().flatten().count() > 1;
        for _ in 0..PASSES {
            let mut asked = false;
            for serial in serials.iter_mut().flatten() {
                asked |= !serial.device.transport.ack_interrupt().is_empty();
                serial.poll();
            }
            if !(shared && asked) {
                break;
            }
        }
        if let Some(serial) = chosen(serials).filter(|_| ECHO.load(Ordering::Relaxed)) {
            serial.send_back();
        }
    });
    if ECHO.load(Ordering::Relaxed) {
        return;
    }
    EVENT.store(true, Ordering::Release);
}

/// Sends a line while the image dies, if the port is in a state to do so.
pub fn last_words(words: &[u8]) {
    SERIAL.with_patience(|serials| {
        if let Some(serial) = chosen(serials) {
            for part in [b"\r\n", words, b"\r\n"] {
                serial.driver.write(part);
            }
            serial.poll();
            // The device looks at its queues on a thread of its own; after the image's end it no longer does.
            let end = time::now_ns().saturating_add(LAST_WORDS_NS);
            while !serial.device.has_sent_all() && time::now_ns() < end {
                serial.poll();
                core::hint::spin_loop();
            }
        }
    });
}

fn with<R>(job: impl FnOnce(&mut Serial) -> R) -> Option<R> {
    SERIAL.with(|serials| chosen(serials).map(job))
}

/// The device that has the port.
fn chosen(serials: &mut [Option<Box<Serial>>; DEVICES]) -> Option<&mut Serial> {
    let mut serials = serials.iter_mut().flatten().map(|serial| &mut **serial);
    serials.find(|serial| serial.driver.ports().find(WANTED).is_some())
}

impl Serial {
    fn poll(&mut self) {
        self.driver.poll(&mut self.device);
    }

    fn send_back(&mut self) {
        let mut bytes = [0; 256];
        while let Input::Bytes(count) = self.driver.read(&mut bytes) {
            self.driver.write(&bytes[..count]);
            self.poll();
        }
        if !self.driver.is_connected() {
            ECHO.store(false, Ordering::Relaxed);
        }
    }
}

/// The device's queues with their buffers.
struct Device {
    transport: PciTransport,
    receive: [Option<Queue<'static>>; PORTS + 1],
    transmit: [Option<Queue<'static>>; PORTS + 1],
}

impl Device {
    fn start(mut transport: PciTransport) -> Option<Self> {
        let begun = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(begun);
        let wanted = FEATURE_MULTIPORT | FEATURE_VERSION_1;
        if transport.read_device_features() & wanted != wanted {
            transport.set_status(DeviceStatus::FAILED);
            return None;
        }
        transport.write_driver_features(wanted);
        transport.set_status(begun | DeviceStatus::FEATURES_OK);
        let ports = transport.read_config_space::<u32>(CONFIG_MAX_PORTS).ok()?.min(PORTS as u32) as u8;
        let (mut receive, mut transmit) = ([const { None }; PORTS + 1], [const { None }; PORTS + 1]);
        let (from, to) = (CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE);
        receive[slot(from)] = Some(queue(&mut transport, from, MOST_BUFFERS, CONTROL_BYTES)?);
        transmit[slot(to)] = Some(queue(&mut transport, to, 1, HEADER_BYTES)?);
        for port in (0..ports).map(PortId) {
            let (from, to) = (receive_queue(port), transmit_queue(port));
            receive[slot(from)] = Some(queue(&mut transport, from, 1, RECEIVE_BYTES)?);
            transmit[slot(to)] = Some(queue(&mut transport, to, SENDING, TRANSMIT_BYTES)?);
        }
        transport.set_status(begun | DeviceStatus::FEATURES_OK | DeviceStatus::DRIVER_OK);
        Some(Self { transport, receive, transmit })
    }

    /// Whether the device has taken everything that was given to it for the host.
    fn has_sent_all(&mut self) -> bool {
        let mut queues = self.transmit.iter_mut().flatten();
        queues.all(|queue| {
            queue.take_back();
            queue.free() == queue.count()
        })
    }

    /// What `port` shows of the queue that a port transmits on.
    fn sending(&mut self, port: PortId) -> Option<&mut Queue<'static>> {
        self.transmit.get_mut(slot(transmit_queue(port)))?.as_mut()
    }
}

/// Place of a queue among those of its direction.
fn slot(queue: u16) -> usize {
    usize::from(queue / 2)
}

/// Makes a queue with so many buffers of this size and tells the device where it is.
fn queue(transport: &mut PciTransport, index: u16, buffers: usize, each: usize) -> Option<Queue<'static>> {
    let size = buffers.next_power_of_two();
    if transport.max_queue_size(index) < size as u32 {
        return None;
    }
    let areas = Areas {
        descriptors: memory::shared(2 * size)?,
        driver: memory::shared(2 + size)?,
        device: memory::shared(1 + 2 * size)?,
    };
    let bytes = memory::shared(buffers * each)?;
    let at = |address: usize| address as PhysAddr;
    let [descriptors, driver, device] =
        [areas.descriptors.as_ptr() as usize, areas.driver.as_ptr() as usize, areas.device.as_ptr() as usize].map(at);
    transport.queue_set(index, size as u32, descriptors, driver, device);
    Some(Queue::new(areas, Buffers { bytes, each, address: at(bytes.as_ptr() as usize) }))
}

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        self.receive.get_mut(slot(queue))?.as_mut()?.receive(into)
    }

    fn offer(&mut self, queue: u16) -> Offer {
        let Some(Some(its)) = self.receive.get_mut(slot(queue)) else { return Offer::Nothing };
        let offer = its.offer();
        if offer != Offer::Nothing && its.wants_notice() {
            self.transport.notify(queue);
        }
        offer
    }

    fn end_session(&mut self, queue: u16) {
        if let Some(Some(its)) = self.transmit.get_mut(slot(queue)) {
            its.end_session();
        }
    }

    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool {
        let Some(Some(its)) = self.transmit.get_mut(slot(queue)) else { return false };
        let sent = its.transmit(bytes);
        if sent && its.wants_notice() {
            self.transport.notify(queue);
        }
        sent
    }
}

/// Memory is mapped one to one and devices see all of it.
struct Identity;

// SAFETY: gives out no memory; addresses are the same for the device and for us.
unsafe impl Hal for Identity {
    fn dma_alloc(_: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        unreachable!("the queues are not the crate's")
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(paddr as *mut u8).expect("a device at address 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// PCI configuration through the ports 0xcf8 and 0xcfc.
struct ConfigPorts;

impl ConfigPorts {
    fn at<R>(function: DeviceFunction, register: u8, access: impl FnOnce(Port<u32>) -> R) -> R {
        let place =
            u32::from(function.bus) << 16 | u32::from(function.device) << 11 | u32::from(function.function) << 8;
        interrupts::without_interrupts(|| {
            // SAFETY: selects a configuration register; interrupts are off until it was accessed.
            unsafe { Port::<u32>::new(0xcf8).write(1 << 31 | place | u32::from(register & 0xfc)) };
            access(Port::new(0xcfc))
        })
    }
}

impl ConfigurationAccess for ConfigPorts {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        // SAFETY: reading configuration has no effects.
        Self::at(function, register, |mut port| unsafe { port.read() })
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, data: u32) {
        // SAFETY: the PCI code writes command registers, and address registers back to what they were.
        Self::at(function, register, |mut port| unsafe { port.write(data) });
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}
