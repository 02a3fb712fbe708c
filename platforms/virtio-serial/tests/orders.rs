//! Clients that come, speak and leave at any moment of the driver's work, as QEMU tells of them: what a client says at once in whole lines
//! is carried out in a session of its own.
#![allow(missing_docs)]

use std::collections::VecDeque;
use ubpf_virtio_serial::control::{PORT_ADD, PORT_NAME, PORT_OPEN};
use ubpf_virtio_serial::{Driver, Input, Message, Offer, Queues, CONTROL_RECEIVE_QUEUE};
use Event::{Enter, Leave, Say};

const WORLDS: u64 = 20_000;
/// So many times nothing happens before all that the clients still do happens at once, and before a world ends.
const QUIET: [u32; 2] = [40, 60];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    Enter,
    Say(&'static str),
    Leave,
}

/// What a client says that leaves afterwards.
const WORDS: [&[Event]; 5] =
    [&[], &[Say("part "), Say("rest ")], &[Say("other\n")], &[Say("first\nsecond ")], &[Say("unfinished ")]];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % limit
    }
}

/// A device with one buffer for what clients say. Whenever the driver turns to it, some of what its clients do has happened.
struct Device {
    control: VecDeque<Vec<u8>>,
    has_buffer: bool,
    filled: Option<&'static str>,
    script: VecDeque<Event>,
    random: Random,
    /// How seldom something happens.
    odds: u64,
}

impl Device {
    fn control(&mut self, event: u16, value: u16, name: &[u8]) {
        let head = Message { port: 1, event, value }.encode();
        self.control.push_back([&head, name].concat());
    }

    fn some_happens(&mut self) {
        while self.random.below(self.odds) == 0 && self.next_happens() {}
    }

    /// False where the next thing waits for a buffer, and at the end.
    fn next_happens(&mut self) -> bool {
        match self.script.front() {
            None => return false,
            Some(Enter) => self.control(PORT_OPEN, 1, b""),
            Some(Leave) => self.control(PORT_OPEN, 0, b""),
            Some(Say(words)) if self.has_buffer => {
                self.filled = Some(words);
                self.has_buffer = false;
            }
            // A client that leaves before takes its words along.
            Some(Say(_)) if self.script.get(1) == Some(&Leave) && self.random.below(2) == 0 => {}
            Some(Say(_)) => return false,
        }
        self.script.pop_front();
        true
    }
}

impl Queues for Device {
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize> {
        self.some_happens();
        let bytes = match queue {
            CONTROL_RECEIVE_QUEUE => self.control.pop_front()?,
            _ => self.filled.take()?.into(),
        };
        into[..bytes.len()].copy_from_slice(&bytes);
        Some(bytes.len())
    }

    fn offer(&mut self, queue: u16) -> Offer {
        self.some_happens();
        let gets = queue != CONTROL_RECEIVE_QUEUE && self.filled.is_none() && !self.has_buffer;
        self.has_buffer |= gets;
        if gets {
            Offer::Some
        } else {
            Offer::Nothing
        }
    }

    fn end_session(&mut self, _: u16) {}

    fn transmit(&mut self, _: u16, _: &[u8]) -> bool {
        self.some_happens();
        true
    }
}

/// Up to three clients that leave, then one that says a line.
fn clients(random: &mut Random) -> VecDeque<Event> {
    let mut script = VecDeque::new();
    for _ in 0..random.below(4) {
        script.push_back(Enter);
        script.extend(WORDS[random.below(WORDS.len() as u64) as usize]);
        script.push_back(Leave);
    }
    script.extend([Enter, Say("word\n")]);
    script
}

/// What a reader sees that reads and polls in any order: sessions as brackets, a bar for a cut.
fn transcript(device: &mut Device) -> String {
    let (mut serial, mut text, mut buffer, mut quiet) = (Driver::<4, 4096>::new("ushell"), String::new(), [0; 7], 0);
    while quiet < QUIET[1] {
        quiet += 1;
        if quiet > QUIET[0] {
            while device.next_happens() {}
        }
        if device.random.below(2) == 0 {
            serial.poll(device);
            continue;
        }
        match serial.read(&mut buffer) {
            Input::Nothing => continue,
            Input::Connected => text.push('<'),
            Input::Disconnected => text.push('>'),
            Input::Cut => text.push('|'),
            Input::Bytes(count) => text.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
        }
        quiet = 0;
    }
    text
}

#[test]
fn a_line_said_at_once_is_joined_with_no_other() {
    for seed in 0..WORLDS {
        let mut random = Random(seed);
        let (script, odds) = (clients(&mut random), 2 + random.below(11));
        let mut device =
            Device { control: VecDeque::new(), has_buffer: false, filled: None, script: script.clone(), random, odds };
        device.control(PORT_ADD, 1, b"");
        device.control(PORT_NAME, 1, b"ushell\0");
        let text = transcript(&mut device);
        let last = text.rsplit('<').next().unwrap_or("").trim_end_matches('|');
        // Whole lines of a client before may be in front.
        let line = last.strip_suffix('\n').and_then(|lines| lines.rsplit(['\n', '|']).next());
        assert_eq!(line, Some("word"), "seed {seed}: {script:?} was read as {text:?}");
    }
}
