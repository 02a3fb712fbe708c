//! The shell's port: the one called "ushell" on any of the virtio-serial devices, served by interrupts.

use alloc::boxed::Box;
use core::ptr::NonNull;
use core::sync::atomic::{fence, AtomicBool, Ordering};

use ubpf_virtio_serial::{receive_queue, transmit_queue, PortId, FEATURE_MULTIPORT, RECEIVE_BYTES};
use ubpf_virtio_serial::{Driver, Input, Queues, CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{virtio_device_type, PciTransport};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use x86_64::instructions::{interrupts, port::Port};

use crate::cell::IrqCell;
use crate::{memory, time};

const PORTS: usize = 8;
const BUFFER: usize = 16 << 10;
const QUEUE: usize = 16;
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
    receive: [Option<Queue>; PORTS + 1],
    transmit: [Option<Queue>; PORTS + 1],
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
        let mut device =
            Self { transport, receive: [const { None }; PORTS + 1], transmit: [const { None }; PORTS + 1] };
        let control = (CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE);
        let queues = (0..ports).map(|port| (receive_queue(PortId(port)), transmit_queue(PortId(port))));
        for (receive, transmit) in queues.chain([control]) {
            device.receive[slot(receive)] = Some(Queue::new(&mut device.transport, receive)?);
            device.transmit[slot(transmit)] = Some(Queue::new(&mut device.transport, transmit)?);
        }
        device.transport.set_status(begun | DeviceStatus::FEATURES_OK | DeviceStatus::DRIVER_OK);
        for queue in device.receive.iter_mut().flatten() {
            queue.offer_all(&mut device.transport);
        }
        Some(device)
    }

    /// Whether the device has taken everything that was given to it for the host.
    fn has_sent_all(&mut self) -> bool {
        let mut queues = self.transmit.iter_mut().flatten();
        queues.all(|queue| {
            queue.take_back();
            queue.free == u16::MAX
        })
    }
}

/// Place of a queue among those of its direction.
fn slot(queue: u16) -> usize {
    usize::from(queue / 2)
}

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        self.receive.get_mut(slot(queue))?.as_mut()?.receive(into, &mut self.transport)
    }

    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool {
        let queue = self.transmit.get_mut(slot(queue)).and_then(Option::as_mut);
        queue.is_some_and(|queue| queue.transmit(bytes, &mut self.transport))
    }
}

/// A queue that owns its buffers. `buffer_of` maps the queue's tokens to buffers.
struct Queue {
    index: u16,
    queue: VirtQueue<Identity, QUEUE>,
    buffers: Box<[[u8; RECEIVE_BYTES]]>,
    lengths: [usize; QUEUE],
    buffer_of: [usize; QUEUE],
    /// One bit per buffer that the device does not have.
    free: u16,
    /// Buffers given back to be filled of which the device was not told. It still has as many others, and waits for a
    /// word only when it has none.
    unannounced: usize,
}

impl Queue {
    fn new(transport: &mut PciTransport, index: u16) -> Option<Self> {
        let queue = VirtQueue::new(transport, index, false, false).ok()?;
        let buffers = alloc::vec![[0; RECEIVE_BYTES]; QUEUE].into_boxed_slice();
        Some(Self { index, queue, buffers, lengths: [0; QUEUE], buffer_of: [0; QUEUE], free: u16::MAX, unannounced: 0 })
    }

    fn offer_all(&mut self, transport: &mut PciTransport) {
        for buffer in 0..QUEUE {
            self.offer(buffer);
        }
        self.notify(transport);
    }

    /// Gives the buffer to the device to be filled.
    fn offer(&mut self, buffer: usize) {
        // SAFETY: the buffer lives as long as the queue and is not touched until the device returns it.
        if let Ok(token) = unsafe { self.queue.add(&[], &mut [&mut self.buffers[buffer]]) } {
            self.given(buffer, token);
        }
    }

    fn given(&mut self, buffer: usize, token: u16) {
        self.free &= !(1 << buffer);
        self.buffer_of[usize::from(token)] = buffer;
    }

    /// The buffer the device returned next, with its token; `None` also when the device names one it cannot have.
    fn returned(&mut self) -> Option<(usize, u16)> {
        let token = self.queue.peek_used()?;
        let buffer = *self.buffer_of.get(usize::from(token))?;
        (self.free & 1 << buffer == 0).then_some((buffer, token))
    }

    fn receive(&mut self, into: &mut [u8], transport: &mut PciTransport) -> Option<usize> {
        let (buffer, token) = self.returned()?;
        // SAFETY: the same buffer was given under this token.
        let claimed = unsafe { self.queue.pop_used(token, &[], &mut [&mut self.buffers[buffer]]) }.ok()? as usize;
        self.free |= 1 << buffer;
        let count = claimed.min(into.len()).min(RECEIVE_BYTES);
        into[..count].copy_from_slice(&self.buffers[buffer][..count]);
        self.offer(buffer);
        self.unannounced += 1;
        if self.unannounced >= QUEUE / 2 {
            self.notify(transport);
        }
        Some(claimed)
    }

    /// Takes back the buffers that the device has sent.
    fn take_back(&mut self) {
        while let Some((buffer, token)) = self.returned() {
            let sent = &self.buffers[buffer][..self.lengths[buffer]];
            // SAFETY: the same bytes were given under this token.
            if unsafe { self.queue.pop_used(token, &[sent], &mut []) }.is_err() {
                return;
            }
            self.free |= 1 << buffer;
        }
    }

    /// A buffer to send. The device interrupts for sent buffers only while there is none.
    fn free_buffer(&mut self) -> Option<usize> {
        self.take_back();
        self.queue.set_dev_notify(self.free == 0);
        if self.free == 0 {
            // One that came back before the device saw the wish would never be told.
            fence(Ordering::SeqCst);
            self.take_back();
        }
        (self.free != 0).then(|| self.free.trailing_zeros() as usize)
    }

    fn transmit(&mut self, bytes: &[u8], transport: &mut PciTransport) -> bool {
        if bytes.is_empty() || bytes.len() > RECEIVE_BYTES {
            return bytes.is_empty();
        }
        let Some(buffer) = self.free_buffer() else {
            return false;
        };
        self.lengths[buffer] = bytes.len();
        self.buffers[buffer][..bytes.len()].copy_from_slice(bytes);
        // SAFETY: as in `offer`.
        let Ok(token) = (unsafe { self.queue.add(&[&self.buffers[buffer][..bytes.len()]], &mut []) }) else {
            return false;
        };
        self.given(buffer, token);
        self.notify(transport);
        true
    }

    fn notify(&mut self, transport: &mut PciTransport) {
        self.unannounced = 0;
        if self.queue.should_notify() {
            transport.notify(self.index);
        }
    }
}

/// Memory is mapped one to one and devices see all of it.
struct Identity;

// SAFETY: the pages come zeroed and page-aligned from the heap; addresses are the same for the device and for us.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = memory::dma_pages(pages).expect("no memory for a device queue");
        (memory.as_ptr() as PhysAddr, memory)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0 // queues are never given up
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
