//! One named port as a stream of sessions: connected, bytes, disconnected, connected again.

use crate::control::HEADER_BYTES;
use crate::ports::{Change, PortId, Ports, MAX_NAME};
use crate::ring::ByteRing;
use crate::{receive_queue, transmit_queue, CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE};

/// Size of the largest receive buffer a [`Queues`] may use on a port's queue.
pub const RECEIVE_BYTES: usize = 1024;

/// Most bytes handed to the device at once.
const TRANSMIT_BYTES: usize = 1024;
/// Most messages and buffers handled in each direction by one [`Driver::poll`], so that a flood cannot hold it.
const BURST: usize = 64;
/// Sessions that may end before the reader has seen the first end.
const PENDING_ENDS: usize = 8;

/// The device's queues, by index. The implementation owns the buffers and keeps receive queues filled.
pub trait Queues {
    /// Takes the next received buffer off `queue`: copies it into `into` (the leading bytes, if it is longer),
    /// gives the buffer back to the device and returns the length the device *claims*, which may be anything.
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize>;
    /// Puts a copy of `bytes` into `queue`; false when there is no place at the moment.
    fn transmit(&mut self, queue: u16, bytes: &[u8]) -> bool;
}

/// What the reader of a port finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Nothing at the moment.
    Nothing,
    /// The host opened the port.
    Connected,
    /// So many bytes came.
    Bytes(usize),
    /// The host closed the port; all it sent before was read.
    Disconnected,
}

/// What went wrong so far; nothing of it needs action.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Control messages that made no sense.
    pub ignored: u32,
    /// Buffers whose claimed length was larger than the buffer.
    pub oversize: u32,
    /// Bytes thrown away because their session was over.
    pub discarded: u32,
}

/// The port called `wanted` of a device with at most `PORTS` ports; `BUFFER` bytes may wait in each direction.
pub struct Driver<const PORTS: usize, const BUFFER: usize> {
    ports: Ports<PORTS>,
    /// The port in use: the wanted one while the host has it open.
    current: Option<PortId>,
    input: ByteRing<BUFFER>,
    output: ByteRing<BUFFER>,
    /// Positions in `input` at which sessions ended that the reader has not yet seen end.
    ends: [u64; PENDING_ENDS],
    ends_len: usize,
    /// What the reader was told last.
    told_connected: bool,
    counters: Counters,
}

impl<const PORTS: usize, const BUFFER: usize> Driver<PORTS, BUFFER> {
    /// A driver that has not yet spoken to its device.
    pub const fn new(wanted: &'static str) -> Self {
        assert!(
            BUFFER >= 2 * RECEIVE_BYTES,
            "the buffer must hold two receive buffers"
        );
        Self {
            ports: Ports::new(wanted),
            current: None,
            input: ByteRing::new(),
            output: ByteRing::new(),
            ends: [0; PENDING_ENDS],
            ends_len: 0,
            told_connected: false,
            counters: Counters {
                ignored: 0,
                oversize: 0,
                discarded: 0,
            },
        }
    }

    /// Moves everything that can be moved without waiting. Call it once after the device is set up, on every
    /// interrupt, and after [`Driver::read`] or [`Driver::write`].
    pub fn poll(&mut self, queues: &mut impl Queues) {
        for _ in 0..BURST {
            let mut message = [0; HEADER_BYTES + MAX_NAME + 1];
            let Some(claimed) = queues.receive(CONTROL_RECEIVE_QUEUE, &mut message) else {
                break;
            };
            // A longer name was cut off, which leaves it without its end: too long to match.
            let message = message.get(..claimed.min(message.len())).unwrap_or(&[]);
            match self.ports.receive(message) {
                Some(Change::Opened(port)) => self.open(port),
                Some(Change::Closed(port)) => self.close(port, queues),
                None => {}
            }
        }
        self.counters.ignored = self.ports.ignored();
        self.answer(queues);
        self.take_input(queues);
        self.give_output(queues);
    }

    /// The next thing that happened on the port. The device tells of its sessions on another queue than it sends bytes on;
    /// what a host sends right after it opened may thus count as the session's before. A host that waits for the first
    /// output is safe.
    pub fn read(&mut self, into: &mut [u8]) -> Input {
        if !self.told_connected {
            if self.ends_len == 0 && self.current.is_none() {
                return Input::Nothing;
            }
            self.told_connected = true;
            return Input::Connected;
        }
        let end = self.ends.first().copied().filter(|_| self.ends_len > 0);
        let before_end = match end {
            Some(end) => end.saturating_sub(self.input.start()) as usize,
            None => usize::MAX,
        };
        let limit = into.len().min(before_end);
        match self.input.pop(into.get_mut(..limit).unwrap_or(&mut [])) {
            0 if end.is_some() && before_end == 0 => {
                self.ends.rotate_left(1);
                self.ends_len = self.ends_len.saturating_sub(1);
                self.told_connected = false;
                Input::Disconnected
            }
            0 => Input::Nothing,
            count => Input::Bytes(count),
        }
    }

    /// Queues bytes for the host and says how many were taken. Bytes for a session that is over are taken and
    /// thrown away, so a writer never waits for a reader that is gone.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if !self.is_connected() {
            self.discard(bytes.len());
            return bytes.len();
        }
        self.output.push(bytes)
    }

    /// How many bytes [`Driver::write`] takes now.
    pub fn room(&self) -> usize {
        self.output.room()
    }

    /// Whether the reader's session is the one the host has open.
    pub fn is_connected(&self) -> bool {
        self.told_connected && self.ends_len == 0 && self.current.is_some()
    }

    /// Whether [`Driver::read`] would give something.
    pub fn has_input(&self) -> bool {
        self.ends_len > 0
            || !self.input.is_empty()
            || (self.current.is_some() && !self.told_connected)
    }

    /// The ports of the device.
    pub fn ports(&self) -> &Ports<PORTS> {
        &self.ports
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn open(&mut self, port: PortId) {
        // A second port of the same name waits for nothing: the first one stays.
        if self.current.is_none() {
            self.current = Some(port);
            self.output.clear();
        }
    }

    fn close(&mut self, port: PortId, queues: &mut impl Queues) {
        if self.current != Some(port) {
            return;
        }
        // What the host sent before it closed is in the queue by now and belongs to this session; what of it finds no
        // room must not become the next session's.
        self.take_input(queues);
        self.drop_input(port, queues);
        self.current = None;
        self.discard(self.output.len());
        self.output.clear();
        match self.ends.get_mut(self.ends_len) {
            Some(end) => {
                *end = self.input.end();
                self.ends_len = self.ends_len.saturating_add(1);
            }
            // Too many sessions unread: the last of them become one.
            None => {
                if let Some(end) = self.ends.last_mut() {
                    *end = self.input.end();
                }
            }
        }
    }

    fn answer(&mut self, queues: &mut impl Queues) {
        for _ in 0..BURST {
            let Some(message) = self.ports.answer() else {
                return;
            };
            if !queues.transmit(CONTROL_TRANSMIT_QUEUE, &message.encode()) {
                return;
            }
            self.ports.sent();
        }
    }

    /// Takes received buffers while a whole one fits; the rest stays with the device, which holds the host back.
    fn take_input(&mut self, queues: &mut impl Queues) {
        let Some(port) = self.current else { return };
        let mut buffer = [0; RECEIVE_BYTES];
        for _ in 0..BURST {
            if self.input.room() < RECEIVE_BYTES {
                return;
            }
            let Some(claimed) = queues.receive(receive_queue(port), &mut buffer) else {
                return;
            };
            if claimed > buffer.len() {
                self.counters.oversize = self.counters.oversize.saturating_add(1);
            }
            let bytes = buffer.get(..claimed.min(buffer.len())).unwrap_or(&[]);
            self.input.push(bytes);
        }
    }

    /// Throws away what is left in the device.
    fn drop_input(&mut self, port: PortId, queues: &mut impl Queues) {
        for _ in 0..BURST {
            match queues.receive(receive_queue(port), &mut [0; RECEIVE_BYTES]) {
                Some(claimed) => self.discard(claimed.min(RECEIVE_BYTES)),
                None => return,
            }
        }
    }

    fn give_output(&mut self, queues: &mut impl Queues) {
        let Some(port) = self.current else { return };
        while !self.output.is_empty() {
            let front = self.output.front();
            let chunk = front
                .get(..front.len().min(TRANSMIT_BYTES))
                .unwrap_or(front);
            if !queues.transmit(transmit_queue(port), chunk) {
                return;
            }
            let count = chunk.len();
            self.output.consume(count);
        }
    }

    fn discard(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.counters.discarded = self.counters.discarded.saturating_add(bytes);
    }
}
