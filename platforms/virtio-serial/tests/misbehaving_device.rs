//! The driver against a device that does what devices should not do.
#![allow(missing_docs)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering::SeqCst};

use ubpf_virtio_serial::control::{
    CONSOLE_PORT, DEVICE_READY, PORT_ADD, PORT_NAME, PORT_OPEN, PORT_READY, PORT_REMOVE, RESIZE,
};
use ubpf_virtio_serial::{
    receive_queue, transmit_queue, Areas, Buffers, Driver, Input, Message, Offer, PortId, Queue, Queues, CONTROL_BYTES,
    RECEIVE_BYTES, TRANSMIT_BYTES,
};

const CONTROL_IN: u16 = 2;
const CONTROL_OUT: u16 = 3;
/// Descriptors of each queue.
const SIZE: usize = 64;
/// Buffers of a queue that a port transmits on.
const SENDING: usize = 4;

/// Both sides of one queue: the driver's, and how far the device is.
struct Both {
    driver: Queue<'static>,
    areas: Areas<'static>,
    buffers: Buffers<'static>,
    popped: u16,
    pushed: u16,
}

fn zeros<T: Default>(count: usize) -> &'static [T] {
    Vec::leak((0..count).map(|_| T::default()).collect())
}

impl Both {
    fn new(number: u16) -> Self {
        let (count, each) = match number {
            CONTROL_IN => (32, CONTROL_BYTES),
            CONTROL_OUT => (1, 8),
            queue if queue % 2 == 0 => (1, RECEIVE_BYTES),
            _ => (SENDING, TRANSMIT_BYTES),
        };
        let areas = Areas {
            descriptors: zeros::<AtomicU64>(2 * SIZE),
            driver: zeros::<AtomicU16>(2 + SIZE),
            device: zeros::<AtomicU32>(1 + 2 * SIZE),
        };
        let buffers = Buffers { bytes: zeros::<AtomicU8>(count * each), each, address: u64::from(number) << 32 };
        Self { driver: Queue::new(areas, buffers), areas, buffers, popped: 0, pushed: 0 }
    }

    /// The next buffer that the device was given: its descriptor and memory.
    fn pop(&mut self) -> Option<(u16, &'static [AtomicU8])> {
        if self.areas.driver[1].load(SeqCst) == self.popped {
            return None;
        }
        let head = self.areas.driver[2 + usize::from(self.popped) % SIZE].load(SeqCst);
        self.popped = self.popped.wrapping_add(1);
        let word = |at: usize| self.areas.descriptors[2 * usize::from(head) + at].load(SeqCst);
        let start = (word(0) - self.buffers.address) as usize;
        let length = word(1) as u32 as usize;
        Some((head, &self.buffers.bytes[start..start + length]))
    }

    fn push(&mut self, head: u16, length: usize) {
        self.claim(u32::from(head), length as u32);
    }

    /// Returns a buffer, or says so.
    fn claim(&mut self, head: u32, length: u32) {
        let at = 1 + 2 * (usize::from(self.pushed) % SIZE);
        self.areas.device[at].store(head, SeqCst);
        self.areas.device[at + 1].store(length, SeqCst);
        self.pushed = self.pushed.wrapping_add(1);
        self.areas.device[0].store(u32::from(self.pushed) << 16, SeqCst);
    }
}

/// A device, with QEMU's ways, and whatever lies a test wants. Devices have four ports.
struct Device {
    queues: BTreeMap<u16, Both>,
    /// What the device has to say, and what it claims is the length of that.
    to_driver: BTreeMap<u16, VecDeque<(Vec<u8>, usize)>>,
    from_driver: BTreeMap<u16, Vec<Vec<u8>>>,
    /// Buffers that the device takes to send from now on; `None` = all.
    places: Option<usize>,
    /// By queue: a buffer that the device has sent a part of.
    half_sent: BTreeMap<u16, u16>,
    /// The client reads nothing: the device sends half of the next buffer.
    blocked: bool,
    /// What happens when the driver has seen that the queue for control messages is empty.
    unseen: Option<fn(&mut Device)>,
    /// What of control messages finds no buffer is lost, as with QEMU; or it waits.
    loses: bool,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            queues: (0..10).map(|number| (number, Both::new(number))).collect(),
            to_driver: BTreeMap::new(),
            from_driver: BTreeMap::new(),
            places: None,
            half_sent: BTreeMap::new(),
            blocked: false,
            unseen: None,
            loses: false,
        }
    }
}

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        self.deliver();
        let received = self.queues.get_mut(&queue)?.driver.receive(into);
        if received.is_none() && queue == CONTROL_IN {
            if let Some(happens) = self.unseen.take() {
                happens(self);
            }
        }
        received
    }

    fn offer(&mut self, queue: u16) -> Offer {
        let offer = self.queues.get_mut(&queue).unwrap().driver.offer();
        self.deliver();
        offer
    }

    fn end_session(&mut self, queue: u16) {
        self.queues.get_mut(&queue).unwrap().driver.end_session();
    }

    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool {
        let taken = self.queues.get_mut(&queue).unwrap().driver.transmit(bytes);
        self.send();
        taken
    }
}

impl Device {
    fn control(&mut self, port: u32, event: u16, value: u16) {
        self.raw_control(&Message { port, event, value }.encode());
    }

    fn name(&mut self, port: u32, name: &[u8]) {
        let mut message = Message { port, event: PORT_NAME, value: 1 }.encode().to_vec();
        message.extend(name);
        self.raw_control(&message);
    }

    fn raw_control(&mut self, bytes: &[u8]) {
        self.claim(CONTROL_IN, bytes, bytes.len());
        self.deliver();
        if self.loses {
            self.to_driver.remove(&CONTROL_IN);
        }
    }

    fn send_bytes(&mut self, port: u8, bytes: &[u8]) {
        for chunk in bytes.chunks(RECEIVE_BYTES) {
            self.claim(receive_queue(PortId(port)), chunk, chunk.len());
        }
        self.deliver();
    }

    fn claim(&mut self, queue: u16, bytes: &[u8], claimed: usize) {
        self.to_driver.entry(queue).or_default().push_back((bytes.to_vec(), claimed));
    }

    /// Fills the buffers that the device has.
    fn deliver(&mut self) {
        for (number, waiting) in &mut self.to_driver {
            let Some(queue) = self.queues.get_mut(number) else {
                continue;
            };
            while !waiting.is_empty() {
                let Some((head, buffer)) = queue.pop() else {
                    break;
                };
                let (bytes, claimed) = waiting.pop_front().unwrap();
                for (to, from) in buffer.iter().zip(&bytes) {
                    to.store(*from, SeqCst);
                }
                queue.push(head, claimed);
            }
        }
    }

    /// Sends what the device was given, as far as it takes it.
    fn send(&mut self) {
        for (number, queue) in &mut self.queues {
            let to_client = *number != CONTROL_OUT;
            while number % 2 == 1 && self.places != Some(0) {
                if to_client && self.blocked && self.half_sent.contains_key(number) {
                    break;
                }
                let Some((head, buffer)) = queue.pop() else {
                    break;
                };
                if to_client && self.blocked {
                    self.half_sent.insert(*number, head);
                    break;
                }
                let bytes = buffer.iter().map(|byte| byte.load(SeqCst)).collect();
                self.from_driver.entry(*number).or_default().push(bytes);
                queue.push(head, 0);
                self.places = self.places.map(|places| places - 1);
            }
        }
    }

    /// The client leaves: QEMU forgets the buffer of which it sent a part, returns the others, and what the client had to say
    /// beyond the buffers that the device has is lost.
    fn leave(&mut self, port: u8) {
        let number = transmit_queue(PortId(port));
        self.half_sent.remove(&number);
        self.blocked = false;
        let queue = self.queues.get_mut(&number).unwrap();
        while let Some((head, _)) = queue.pop() {
            queue.push(head, 0);
        }
        self.to_driver.remove(&receive_queue(PortId(port)));
        self.control(port.into(), PORT_OPEN, 0);
    }

    fn enter(&mut self, port: u8) {
        self.control(port.into(), PORT_OPEN, 1);
    }

    fn answers(&mut self) -> Vec<Message> {
        self.send();
        let sent = self.from_driver.remove(&CONTROL_OUT).unwrap_or_default();
        sent.iter().map(|bytes| Message::decode(bytes).unwrap().0).collect()
    }

    fn output(&mut self, port: u8) -> Vec<u8> {
        self.send();
        self.from_driver.remove(&transmit_queue(PortId(port))).unwrap_or_default().concat()
    }

    fn sending(&mut self, port: u8) -> &mut Queue<'static> {
        let number = transmit_queue(PortId(port));
        &mut self.queues.get_mut(&number).unwrap().driver
    }
}

type Serial = Driver<4, 4096>;

fn message(port: u32, event: u16, value: u16) -> Message {
    Message { port, event, value }
}

/// A device whose port 1 is called "ushell" and open.
fn connected() -> (Device, Serial) {
    let (mut device, mut serial) = (Device::default(), Serial::new("ushell"));
    device.control(1, PORT_ADD, 1);
    device.name(1, b"ushell\0");
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Connected);
    device.answers();
    (device, serial)
}

/// Reads everything: bytes as text, sessions as brackets.
fn transcript(serial: &mut Serial, device: &mut Device) -> String {
    let mut text = String::new();
    let mut buffer = [0; 700];
    loop {
        serial.poll(device);
        match serial.read(&mut buffer) {
            Input::Nothing => return text,
            Input::Connected => text.push('<'),
            Input::Disconnected => text.push('>'),
            Input::Cut => text.push('|'),
            Input::Bytes(count) => text.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
        }
    }
}

#[test]
fn queue_numbers_follow_the_specification() {
    let numbers = [0, 1, 2, 30].map(|port| (receive_queue(PortId(port)), transmit_queue(PortId(port))));
    assert_eq!(numbers, [(0, 1), (4, 5), (6, 7), (62, 63)]);
    assert_eq!(ubpf_virtio_serial::queue_count(31), 64);
}

#[test]
fn greets_the_device_and_opens_only_the_wanted_port() {
    let (mut device, mut serial) = (Device::default(), Serial::new("ushell"));
    serial.poll(&mut device);
    assert_eq!(device.answers(), [message(0, DEVICE_READY, 1)]);
    device.control(0, PORT_ADD, 1);
    device.control(1, PORT_ADD, 1);
    device.control(0, CONSOLE_PORT, 1);
    device.control(0, RESIZE, 0);
    device.name(0, b"console");
    device.name(1, b"ushell\0");
    serial.poll(&mut device);
    assert_eq!(device.answers(), [message(0, PORT_READY, 1), message(1, PORT_READY, 1), message(1, PORT_OPEN, 1)]);
    assert_eq!(serial.ports().find("ushell"), Some(PortId(1)));
    assert_eq!(serial.ports().find("console"), Some(PortId(0)));
    assert_eq!(serial.ports().find("missing"), None);
    assert_eq!(serial.read(&mut []), Input::Nothing);
    device.control(0, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Nothing, "another port was opened");
}

#[test]
fn a_name_may_come_after_the_host_opened_the_port() {
    let (mut device, mut serial) = (Device::default(), Serial::new("ushell"));
    device.control(2, PORT_ADD, 1);
    device.control(2, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Nothing);
    device.name(2, b"ushell");
    device.send_bytes(2, b"hello");
    assert_eq!(transcript(&mut serial, &mut device), "<hello");
}

#[test]
fn a_port_that_loses_its_name_is_closed() {
    let (mut device, mut serial) = connected();
    device.name(1, b"other");
    assert_eq!(transcript(&mut serial, &mut device), ">");
}

#[test]
fn a_port_that_vanishes_is_closed_and_may_come_back() {
    let (mut device, mut serial) = connected();
    device.send_bytes(1, b"last words");
    device.control(1, PORT_REMOVE, 0);
    device.control(1, PORT_OPEN, 1);
    device.name(1, b"ushell");
    assert_eq!(transcript(&mut serial, &mut device), "last words>");
    assert_eq!(serial.ports().find("ushell"), None);
    device.control(1, PORT_ADD, 1);
    device.name(1, b"ushell");
    device.control(1, PORT_OPEN, 1);
    assert_eq!(transcript(&mut serial, &mut device), "<");
    assert_eq!(device.answers(), [message(1, PORT_READY, 1), message(1, PORT_OPEN, 1)]);
}

#[test]
fn lengths_beyond_the_buffer_are_cut() {
    let (mut device, mut serial) = connected();
    device.claim(receive_queue(PortId(1)), b"abc", usize::MAX);
    device.claim(CONTROL_IN, &message(1, RESIZE, 0).encode(), usize::MAX);
    serial.poll(&mut device);
    let mut buffer = [0; 4096];
    assert_eq!(serial.read(&mut buffer), Input::Bytes(RECEIVE_BYTES));
    assert_eq!(&buffer[..3], b"abc");
    assert_eq!(serial.counters().oversize, 1);
}

#[test]
fn empty_buffers_are_nothing() {
    let (mut device, mut serial) = connected();
    for _ in 0..1000 {
        device.send_bytes(1, b"");
        device.claim(receive_queue(PortId(1)), b"", 0);
    }
    device.send_bytes(1, b"x");
    for _ in 0..40 {
        serial.poll(&mut device);
    }
    assert_eq!(transcript(&mut serial, &mut device), "x");
}

#[test]
fn garbage_control_messages_change_nothing() {
    let (mut device, mut serial) = connected();
    for length in 0..8 {
        device.raw_control(&[0xff; 8][..length]);
    }
    device.raw_control(&[0xff; 8]);
    device.raw_control(&[0xff; 40]);
    device.control(1, 99, 1);
    device.control(3, PORT_OPEN, 1);
    device.control(3, PORT_REMOVE, 1);
    device.name(3, b"ushell");
    device.control(u32::MAX, PORT_OPEN, 1);
    device.control(256 + 1, PORT_REMOVE, 0);
    device.control(1, DEVICE_READY, 1);
    device.send_bytes(1, b"still here");
    assert_eq!(transcript(&mut serial, &mut device), "still here");
    assert_eq!(serial.counters().ignored, 17);
    assert_eq!(device.answers(), []);
}

#[test]
fn ports_beyond_the_table_are_refused() {
    let (mut device, mut serial) = connected();
    device.control(4, PORT_ADD, 1);
    serial.poll(&mut device);
    assert_eq!(device.answers(), [message(4, PORT_READY, 0)]);
    device.control(u32::MAX, PORT_ADD, 1);
    serial.poll(&mut device);
    assert_eq!(device.answers(), [message(u32::MAX, PORT_READY, 0)]);
}

#[test]
fn names_that_are_too_long_or_empty_match_nothing() {
    let (mut device, mut serial) = (Device::default(), Driver::<4, 4096>::new("uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"));
    device.control(1, PORT_ADD, 1);
    device.control(1, PORT_OPEN, 1);
    for name in [&[b'u'; 33][..], &[b'u'; 500], b"", b"\0uuuu", &[0xff; 32]] {
        device.name(1, name);
        serial.poll(&mut device);
        assert_eq!(serial.read(&mut []), Input::Nothing, "{name:?}");
    }
    assert_eq!(serial.ports().find(""), None);
    device.name(1, &[b'u'; 32]);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Connected);
}

#[test]
fn a_full_queue_delays_answers_and_output_but_loses_none() {
    let (mut device, mut serial) = (Device { places: Some(0), ..Device::default() }, Serial::new("ushell"));
    device.control(1, PORT_ADD, 1);
    device.name(1, b"ushell");
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Connected);
    let text: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    let mut accepted = serial.write(&text);
    assert_eq!((accepted, serial.write(&text[accepted..])), (4096, 0), "the buffer is full");
    let mut output = Vec::new();
    let mut answers = Vec::new();
    while output.len() < text.len() {
        device.places = Some(1);
        serial.poll(&mut device);
        output.extend(device.output(1));
        answers.extend(device.answers());
        accepted += serial.write(&text[accepted..]);
    }
    assert_eq!(output, text);
    assert_eq!(answers, [message(0, DEVICE_READY, 1), message(1, PORT_READY, 1), message(1, PORT_OPEN, 1)]);
}

#[test]
fn a_flood_waits_in_the_device_until_it_is_read() {
    let (mut device, mut serial) = connected();
    let flood = vec![b'f'; 100 * RECEIVE_BYTES];
    device.send_bytes(1, &flood);
    serial.poll(&mut device);
    assert_eq!(device.to_driver[&receive_queue(PortId(1))].len(), 98, "only whole buffers that fit are taken");
    assert_eq!(transcript(&mut serial, &mut device).len(), flood.len());
}

#[test]
fn a_flood_of_control_messages_is_taken_in_portions() {
    let (mut device, mut serial) = connected();
    for _ in 0..1000 {
        device.control(1, PORT_ADD, 1);
    }
    serial.poll(&mut device);
    assert!(device.to_driver[&CONTROL_IN].len() > 900);
    assert!(device.answers().len() <= 4, "few answers for many messages");
}

#[test]
fn sessions_stay_apart_when_the_reader_is_late() {
    let (mut device, mut serial) = connected();
    device.send_bytes(1, b"one");
    serial.poll(&mut device);
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    device.send_bytes(1, b"two");
    serial.poll(&mut device);
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    device.send_bytes(1, b"three");
    assert_eq!(serial.write(b"for the first"), 13);
    assert_eq!(transcript(&mut serial, &mut device), "one><two><three");
    assert_eq!(device.output(1), b"", "output of an old session went to a new one");
    assert_eq!(serial.write(b"for the third"), 13);
    serial.poll(&mut device);
    assert_eq!(device.output(1), b"for the third");
}

#[test]
fn the_rest_of_a_flood_is_not_the_next_sessions_input() {
    let (mut device, mut serial) = connected();
    device.send_bytes(1, &vec![b'f'; 20 * RECEIVE_BYTES]);
    serial.poll(&mut device);
    device.leave(1);
    device.enter(1);
    serial.poll(&mut device);
    device.send_bytes(1, b"mine");
    let text = transcript(&mut serial, &mut device);
    assert_eq!(text.trim_start_matches('f'), "><mine");
}

#[test]
fn many_sessions_that_nobody_reads_stay_apart() {
    let (mut device, mut serial) = connected();
    for _ in 0..15 {
        device.leave(1);
        device.enter(1);
        serial.poll(&mut device);
    }
    let text = transcript(&mut serial, &mut device);
    assert_eq!(text, "><".repeat(8), "those without a word at the end are one");
    assert!(serial.is_connected());
}

/// A first line that comes before the driver has looked is the new session's, and no unfinished line is joined with it.
#[test]
fn what_is_sent_at_once_is_neither_lost_nor_joined() {
    for (before, old, new, told) in [
        ("", "", "new\n", "><new\n|"),
        ("unfinished", "", "new\n", "unfinished><new\n|"),
        ("unfinished", "more", "new\n", "unfinishedmore><new\n"),
        ("", "last words\n", "new\n", "><last words\n|new\n"),
        ("line\n", "", "two\nlines\n", "line\n><two\nlines\n|"),
    ] {
        let (mut device, mut serial) = connected();
        device.send_bytes(1, before.as_bytes());
        serial.poll(&mut device);
        device.send_bytes(1, old.as_bytes());
        device.control(1, PORT_OPEN, 0);
        device.enter(1);
        device.send_bytes(1, new.as_bytes());
        assert_eq!(transcript(&mut serial, &mut device), told);
    }
}

/// The next client comes while the driver looks: after it has seen that the former one left, before it takes what that one sent.
#[test]
fn a_client_that_comes_while_the_driver_looks_loses_nothing() {
    let (mut device, mut serial) = connected();
    device.send_bytes(1, b"unfinished");
    serial.poll(&mut device);
    device.leave(1);
    device.unseen = Some(|device| {
        device.enter(1);
        device.send_bytes(1, b"new\n");
    });
    assert_eq!(transcript(&mut serial, &mut device), "unfinished><new\n|");
    device.unseen = Some(|device| {
        device.send_bytes(1, b"last words");
        device.leave(1);
        device.enter(1);
    });
    serial.poll(&mut device);
    assert_eq!(transcript(&mut serial, &mut device), "last words><");
}

#[test]
fn a_session_that_nobody_saw_is_carried_out() {
    let (mut device, mut serial) = connected();
    device.send_bytes(1, b"unfinished");
    serial.poll(&mut device);
    device.leave(1);
    device.enter(1);
    device.send_bytes(1, b"line\n");
    device.control(1, PORT_OPEN, 0);
    assert_eq!(transcript(&mut serial, &mut device), "unfinished><line\n|>");
    device.enter(1);
    device.send_bytes(1, b"whole\n");
    device.control(1, PORT_OPEN, 0);
    assert_eq!(transcript(&mut serial, &mut device), "<whole\n>");
}

/// The rest of a file whose client has gone is not the next one's, who waits for the prompt; nor is what a client sent that came and
/// went between two looks.
#[test]
fn a_file_broken_off_is_not_the_next_sessions() {
    let (mut device, mut serial) = connected();
    let long = "c".repeat(RECEIVE_BYTES);
    device.send_bytes(1, long.as_bytes());
    device.leave(1);
    device.enter(1);
    assert_eq!(transcript(&mut serial, &mut device), format!("{long}><"));
    device.send_bytes(1, b"unfinished");
    serial.poll(&mut device);
    device.leave(1);
    device.enter(1);
    device.send_bytes(1, long.as_bytes());
    device.leave(1);
    device.enter(1);
    let told = transcript(&mut serial, &mut device);
    assert_eq!(told, format!("unfinished><{long}|><"));
    device.leave(1);
    assert_eq!(transcript(&mut serial, &mut device), ">");
    device.enter(1);
    device.send_bytes(1, long.as_bytes());
    device.leave(1);
    device.enter(1);
    let told = transcript(&mut serial, &mut device);
    assert_eq!(told, format!("<><{long}|><"));
}

/// A reader in the middle of a file's contents asks for that, so that contents are never taken for commands.
#[test]
fn what_may_be_the_former_clients_can_be_dropped() {
    for drops in [false, true] {
        let (mut device, mut serial) = connected();
        serial.poll(&mut device);
        device.send_bytes(1, b"contents\n");
        device.control(1, PORT_OPEN, 0);
        device.enter(1);
        serial.poll(&mut device);
        assert_eq!(serial.read(&mut [0; 64]), Input::Disconnected);
        if drops {
            serial.drop_unclear();
        }
        device.send_bytes(1, b"command\n");
        let told = transcript(&mut serial, &mut device);
        let wanted = ["<contents\n|command\n", "<command\n"];
        assert_eq!(told, wanted[usize::from(drops)]);
    }
}

/// QEMU keeps the buffer of which it had sent a part when the client left.
#[test]
fn buffers_that_the_device_keeps_are_used_again() {
    let (mut device, mut serial) = connected();
    for session in 0..1000 {
        device.blocked = true;
        for _ in 0..10 {
            serial.write(&[b'o'; 1000]);
            serial.poll(&mut device);
        }
        assert_eq!(device.sending(1).free(), 0, "session {session}");
        device.leave(1);
        device.enter(1);
        let told = transcript(&mut serial, &mut device);
        assert_eq!(told, "><", "session {session}");
        assert_eq!(serial.write(b"greeting"), 8);
        serial.poll(&mut device);
        assert_eq!(device.output(1), b"greeting", "session {session}");
        device.sending(1).take_back();
        let free = device.sending(1).free();
        assert_eq!(free as usize, SENDING, "session {session}");
    }
    assert_eq!(device.sending(1).reclaimed(), 1000);
}

/// Clients that leave before the first word has reached them: each takes a buffer along, and none comes back.
#[test]
fn buffers_are_used_again_though_none_comes_back() {
    let (mut device, mut serial) = connected();
    for session in 0..100 {
        device.blocked = true;
        assert_eq!(serial.write(b"greeting"), 8);
        serial.poll(&mut device);
        assert_eq!(device.half_sent.len(), 1, "session {session}");
        device.leave(1);
        device.enter(1);
        assert_eq!(transcript(&mut serial, &mut device), "><");
    }
    assert_eq!(serial.write(b"greeting"), 8);
    serial.poll(&mut device);
    assert_eq!(device.output(1), b"greeting");
    device.sending(1).take_back();
    assert_eq!(device.sending(1).free() as usize, SENDING);
}

/// Without a proof that a buffer is lost it stays with the device, however long that takes.
#[test]
fn a_slow_device_keeps_its_buffers() {
    let (mut device, mut serial) = connected();
    device.blocked = true;
    for _ in 0..1000 {
        serial.write(&[b'o'; 1000]);
        serial.poll(&mut device);
    }
    assert_eq!(device.sending(1).free(), 0);
    assert_eq!(device.sending(1).reclaimed(), 0);
}

/// QEMU drops the control messages for which the driver has given it no buffer.
#[test]
fn a_device_without_room_for_its_messages_is_asked_again() {
    for open in [true, false] {
        let (mut device, mut serial) = connected();
        device.send_bytes(1, b"unfinished");
        serial.poll(&mut device);
        device.loses = true;
        for _ in 0..100 {
            device.leave(1);
            device.enter(1);
        }
        let told = transcript(&mut serial, &mut device);
        assert_eq!(told.trim_end_matches("<>"), "unfinished>", "{told}");
        assert_eq!(device.answers(), [message(0, DEVICE_READY, 1)]);
        assert_eq!(serial.counters().starved, 1);
        device.control(1, PORT_ADD, 1);
        serial.poll(&mut device);
        assert_eq!(device.answers(), [message(1, PORT_READY, 1)]);
        device.name(1, b"ushell\0");
        if open {
            device.enter(1);
        }
        device.send_bytes(1, b"new\n");
        let told = transcript(&mut serial, &mut device);
        assert_eq!(told, if open { "<new\n" } else { "" });
    }
}

#[test]
fn lies_about_returned_buffers_are_passed_over() {
    let (mut device, mut serial) = connected();
    let sending = transmit_queue(PortId(1));
    for head in [0, 1, 3, 31, 32, 64, 0xffff, u32::MAX] {
        let queue = device.queues.get_mut(&sending).unwrap();
        queue.claim(head, u32::MAX);
        serial.write(b"x");
        serial.poll(&mut device);
        assert_eq!(device.output(1), b"x");
    }
    // An index far ahead, without anything behind it.
    let queue = device.queues.get_mut(&sending).unwrap();
    queue.areas.device[0].store(0x7fff_0000, SeqCst);
    for _ in 0..10 {
        serial.write(b"x");
        serial.poll(&mut device);
    }
    assert!(device.sending(1).free() as usize <= SENDING);
}

#[test]
fn output_waiting_at_the_close_is_thrown_away() {
    let (mut device, mut serial) = connected();
    device.places = Some(0);
    assert_eq!(serial.write(b"old"), 3);
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 1);
    assert_eq!(transcript(&mut serial, &mut device), "><");
    device.places = None;
    assert_eq!(serial.write(b"new"), 3);
    serial.poll(&mut device);
    assert_eq!(device.output(1), b"new");
    assert_eq!(serial.counters().discarded, 3);
}

#[test]
fn messages_said_twice_are_one_event() {
    let (mut device, mut serial) = connected();
    device.control(1, PORT_ADD, 1);
    device.control(1, PORT_OPEN, 1);
    device.name(1, b"ushell");
    device.send_bytes(1, b"x");
    assert_eq!(transcript(&mut serial, &mut device), "x");
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 0);
    assert_eq!(transcript(&mut serial, &mut device), ">");
}

#[test]
fn any_control_bytes_are_survived() {
    let (mut device, mut serial) = connected();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..seed % 14 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.push(if seed & 3 == 0 { (seed >> 8) as u8 } else { (seed >> 8) as u8 & 7 });
        }
        seed = seed.wrapping_add(0x1234_5677);
        device.raw_control(&bytes);
        device.claim(receive_queue(PortId(seed as u8 & 3)), &bytes, seed as usize & 0xfff);
        serial.poll(&mut device);
        serial.read(&mut [0; 64]);
        serial.write(&bytes);
        device.from_driver.clear();
    }
}
