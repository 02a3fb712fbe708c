//! The driver against a device that does what devices should not do.
#![allow(missing_docs)]

use std::collections::{BTreeMap, VecDeque};

use ubpf_virtio_serial::control::{
    CONSOLE_PORT, DEVICE_READY, PORT_ADD, PORT_NAME, PORT_OPEN, PORT_READY, PORT_REMOVE, RESIZE,
};
use ubpf_virtio_serial::{
    receive_queue, transmit_queue, Driver, Input, Message, PortId, Queues, RECEIVE_BYTES,
};

const CONTROL_IN: u16 = 2;
const CONTROL_OUT: u16 = 3;

#[derive(Default)]
struct Device {
    to_driver: BTreeMap<u16, VecDeque<(Vec<u8>, usize)>>,
    from_driver: BTreeMap<u16, Vec<Vec<u8>>>,
    /// Free places in the transmit queues; `None` = endless.
    places: Option<usize>,
}

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        let (bytes, claimed) = self.to_driver.get_mut(&queue)?.pop_front()?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Some(claimed)
    }

    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool {
        match &mut self.places {
            Some(0) => return false,
            Some(places) => *places -= 1,
            None => {}
        }
        self.from_driver
            .entry(queue)
            .or_default()
            .push(bytes.to_vec());
        true
    }
}

impl Device {
    fn control(&mut self, port: u32, event: u16, value: u16) {
        self.raw_control(&Message { port, event, value }.encode());
    }

    fn name(&mut self, port: u32, name: &[u8]) {
        let mut message = Message {
            port,
            event: PORT_NAME,
            value: 1,
        }
        .encode()
        .to_vec();
        message.extend(name);
        self.raw_control(&message);
    }

    fn raw_control(&mut self, bytes: &[u8]) {
        self.claim(CONTROL_IN, bytes, bytes.len());
    }

    fn send(&mut self, port: u8, bytes: &[u8]) {
        for chunk in bytes.chunks(RECEIVE_BYTES) {
            self.claim(receive_queue(PortId(port)), chunk, chunk.len());
        }
    }

    fn claim(&mut self, queue: u16, bytes: &[u8], claimed: usize) {
        self.to_driver
            .entry(queue)
            .or_default()
            .push_back((bytes.to_vec(), claimed));
    }

    fn answers(&mut self) -> Vec<Message> {
        let sent = self.from_driver.remove(&CONTROL_OUT).unwrap_or_default();
        sent.iter()
            .map(|bytes| Message::decode(bytes).unwrap().0)
            .collect()
    }

    fn output(&mut self, port: u8) -> Vec<u8> {
        self.from_driver
            .remove(&transmit_queue(PortId(port)))
            .unwrap_or_default()
            .concat()
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
            Input::Bytes(count) => text.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
        }
    }
}

#[test]
fn queue_numbers_follow_the_specification() {
    let numbers =
        [0, 1, 2, 30].map(|port| (receive_queue(PortId(port)), transmit_queue(PortId(port))));
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
    assert_eq!(
        device.answers(),
        [
            message(0, PORT_READY, 1),
            message(1, PORT_READY, 1),
            message(1, PORT_OPEN, 1)
        ]
    );
    assert_eq!(serial.ports().find("ushell"), Some(PortId(1)));
    assert_eq!(serial.ports().find("console"), Some(PortId(0)));
    assert_eq!(serial.ports().find("missing"), None);
    assert_eq!(serial.read(&mut []), Input::Nothing);
    device.control(0, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(
        serial.read(&mut []),
        Input::Nothing,
        "another port was opened"
    );
}

#[test]
fn a_name_may_come_after_the_host_opened_the_port() {
    let (mut device, mut serial) = (Device::default(), Serial::new("ushell"));
    device.control(2, PORT_ADD, 1);
    device.control(2, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Nothing);
    device.name(2, b"ushell");
    device.send(2, b"hello");
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
    device.send(1, b"last words");
    device.control(1, PORT_REMOVE, 0);
    device.control(1, PORT_OPEN, 1);
    device.name(1, b"ushell");
    assert_eq!(transcript(&mut serial, &mut device), "last words>");
    assert_eq!(serial.ports().find("ushell"), None);
    device.control(1, PORT_ADD, 1);
    device.name(1, b"ushell");
    device.control(1, PORT_OPEN, 1);
    assert_eq!(transcript(&mut serial, &mut device), "<");
    assert_eq!(
        device.answers(),
        [message(1, PORT_READY, 1), message(1, PORT_OPEN, 1)]
    );
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
        device.send(1, b"");
        device.claim(receive_queue(PortId(1)), b"", 0);
    }
    device.send(1, b"x");
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
    device.send(1, b"still here");
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
    let (mut device, mut serial) = (
        Device::default(),
        Driver::<4, 2048>::new("uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"),
    );
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
    let (mut device, mut serial) = (
        Device {
            places: Some(0),
            ..Device::default()
        },
        Serial::new("ushell"),
    );
    device.control(1, PORT_ADD, 1);
    device.name(1, b"ushell");
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    assert_eq!(serial.read(&mut []), Input::Connected);
    let text: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    let mut accepted = serial.write(&text);
    assert_eq!(
        (accepted, serial.write(&text[accepted..])),
        (4096, 0),
        "the buffer is full"
    );
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
    assert_eq!(
        answers,
        [
            message(0, DEVICE_READY, 1),
            message(1, PORT_READY, 1),
            message(1, PORT_OPEN, 1)
        ]
    );
}

#[test]
fn a_flood_waits_in_the_device_until_it_is_read() {
    let (mut device, mut serial) = connected();
    let flood = vec![b'f'; 100 * RECEIVE_BYTES];
    device.send(1, &flood);
    serial.poll(&mut device);
    assert_eq!(
        device.to_driver[&receive_queue(PortId(1))].len(),
        96,
        "only whole buffers that fit are taken"
    );
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
    assert_eq!(
        device.answers(),
        [message(1, PORT_READY, 1)],
        "one answer for many messages"
    );
}

#[test]
fn sessions_stay_apart_when_the_reader_is_late() {
    let (mut device, mut serial) = connected();
    device.send(1, b"one");
    serial.poll(&mut device);
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    device.send(1, b"two");
    serial.poll(&mut device);
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    device.send(1, b"three");
    assert_eq!(serial.write(b"for the first"), 13);
    assert_eq!(transcript(&mut serial, &mut device), "one><two><three");
    assert_eq!(
        device.output(1),
        b"",
        "output of an old session went to a new one"
    );
    assert_eq!(serial.write(b"for the third"), 13);
    serial.poll(&mut device);
    assert_eq!(device.output(1), b"for the third");
}

#[test]
fn the_rest_of_a_flood_is_not_the_next_sessions_input() {
    let (mut device, mut serial) = connected();
    device.send(1, &vec![b'f'; 20 * RECEIVE_BYTES]);
    serial.poll(&mut device);
    device.control(1, PORT_OPEN, 0);
    device.control(1, PORT_OPEN, 1);
    serial.poll(&mut device);
    device.send(1, b"mine");
    let text = transcript(&mut serial, &mut device);
    assert_eq!(text.trim_start_matches('f'), "><mine");
    assert_eq!(serial.counters().discarded as usize, 16 * RECEIVE_BYTES);
}

#[test]
fn many_sessions_unread_end_as_few() {
    let (mut device, mut serial) = connected();
    for _ in 0..100 {
        device.control(1, PORT_OPEN, 0);
        device.control(1, PORT_OPEN, 1);
        serial.poll(&mut device);
    }
    assert_eq!(transcript(&mut serial, &mut device), "><><><><><><><><");
    assert!(serial.is_connected());
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
    device.send(1, b"x");
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
            bytes.push(if seed & 3 == 0 {
                (seed >> 8) as u8
            } else {
                (seed >> 8) as u8 & 7
            });
        }
        seed = seed.wrapping_add(0x1234_5677);
        device.raw_control(&bytes);
        device.claim(
            receive_queue(PortId(seed as u8 & 3)),
            &bytes,
            seed as usize & 0xfff,
        );
        serial.poll(&mut device);
        serial.read(&mut [0; 64]);
        serial.write(&bytes);
        device.from_driver.clear();
    }
}
