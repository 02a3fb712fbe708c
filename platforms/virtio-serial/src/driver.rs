//! One named port as a stream of sessions: connected, bytes, disconnected, connected again.

use crate::ports::{Change, PortId, Ports};
use crate::queue::Offer;
use crate::ring::ByteRing;
use core::fmt;

use crate::{receive_queue, transmit_queue, CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE};

/// Size of the one receive buffer that a port's queue has.
pub const RECEIVE_BYTES: usize = 2048;

/// Size of a buffer for control messages. A name that does not fit into it is too long to match.
pub const CONTROL_BYTES: usize = 64;

/// Most bytes handed to the device at once.
pub const TRANSMIT_BYTES: usize = 1024;
/// Most messages and buffers handled in each direction by one [`Driver::poll`], so that a flood cannot hold it.
const BURST: usize = 64;
/// Sessions that may end before the reader has seen the first end; the device is not asked for more then.
const PENDING_ENDS: usize = 8;
/// Ends that one look at the device may bring.
const NEW_ENDS: usize = 2;

/// The device's queues, by index. The implementation owns the buffers: one on the queue a port receives on, at least 32 on that for
/// received control messages (as many as QEMU can have to say), one on that for sent control messages (so that each is answered
/// before the next is sent), any number on the queue a port transmits on.
pub trait Queues {
    /// Takes the next received buffer off `queue`: copies it into `into` (the leading bytes, if it is longer), and returns the length
    /// the device *claims*, which may be anything. The device gets the buffer back by the next [`Queues::offer`].
    fn receive(&mut self, queue: u16, into: &mut [u8]) -> Option<usize>;
    /// Gives the device all buffers of `queue` that it does not have.
    fn offer(&mut self, queue: u16) -> Offer;
    /// The client to whom `queue` transmits has gone ([`Queue::end_session`](crate::Queue::end_session)).
    fn end_session(&mut self, queue: u16);
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
    /// The lines read since [`Input::Connected`] may be the former client's. A file that they began is not gone on with.
    Cut,
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
    /// How often the device had no buffer left for what it had to tell, and was asked again.
    pub starved: u32,
}

impl fmt::Display for Counters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ignored, oversize, discarded, starved } = self;
        write!(
            out,
            "control messages: {ignored} without sense, asked anew {starved} times; buffers too long: {oversize}; bytes of \
             sessions that were over: {discarded}"
        )
    }
}

/// The end of a session in the bytes received.
#[derive(Clone, Copy)]
struct End {
    /// Its position.
    at: u64,
    /// How many bytes from there on may have come before it, as well as after the next client did.
    unclear: usize,
}

/// What the control queue brought in one look.
#[derive(Default)]
struct News {
    /// How many messages.
    messages: usize,
    /// How many sessions began.
    begun: usize,
    /// How many sessions ended.
    ended: usize,
    /// After that another began.
    again: bool,
    /// The port of the last that ended.
    port: Option<PortId>,
}

/// The port called `wanted` of a device with at most `PORTS` ports; `BUFFER` bytes may wait in each direction.
///
/// The device tells of its clients on another queue than it sends their bytes on, and nothing orders the two but this: a client is
/// announced before its first byte. So the device gets one buffer at a time, and the control queue is looked at after a buffer was
/// taken and before it is given back: where no client left meanwhile, the bytes are those of the client that is there. Where one left
/// and another came, one buffer at most can be of either.
pub struct Driver<const PORTS: usize, const BUFFER: usize> {
    ports: Ports<PORTS>,
    /// The port in use: the wanted one while the host has it open.
    current: Option<PortId>,
    input: ByteRing<BUFFER>,
    output: ByteRing<BUFFER>,
    /// Sessions in `input` that ended and that the reader has not yet seen end.
    ends: [End; PENDING_ENDS],
    ends_len: usize,
    /// What the reader was told last.
    told_connected: bool,
    /// Leading bytes of `input` that may be of the session before.
    unclear: usize,
    /// The reader has to be told of the end of those.
    cut: bool,
    counters: Counters,
}

impl<const PORTS: usize, const BUFFER: usize> Driver<PORTS, BUFFER> {
    /// A driver that has not yet spoken to its device.
    pub const fn new(wanted: &'static str) -> Self {
        assert!(BUFFER >= 2 * RECEIVE_BYTES, "the buffer must hold two receive buffers");
        Self {
            ports: Ports::new(wanted),
            current: None,
            input: ByteRing::new(),
            output: ByteRing::new(),
            ends: [End { at: 0, unclear: 0 }; PENDING_ENDS],
            ends_len: 0,
            told_connected: false,
            unclear: 0,
            cut: false,
            counters: Counters { ignored: 0, oversize: 0, discarded: 0, starved: 0 },
        }
    }

    /// Moves everything that can be moved without waiting. Call it once after the device is set up, on every
    /// interrupt, and after [`Driver::read`] or [`Driver::write`].
    pub fn poll(&mut self, queues: &mut impl Queues) {
        let mut messages: usize = 0;
        for _ in 0..BURST {
            match self.look(queues) {
                Some(more) => messages = messages.saturating_add(more),
                None => break,
            }
            // There was an interrupt for each, so there is another call.
            if messages >= BURST {
                break;
            }
        }
        self.counters.ignored = self.ports.ignored();
        self.give_output(queues);
    }

    /// The next thing that happened on the port.
    ///
    /// What a client sends by one write of whole lines, of up to [`RECEIVE_BYTES`] bytes, is its own session's even when it sends it at once.
    /// Of other bytes that came while a client left and another came nobody knows whose they are: a client that wants to send such waits
    /// for the first output.
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
            Some(end) => end.at.saturating_sub(self.input.start()) as usize,
            None => usize::MAX,
        };
        if self.unclear == 0 && core::mem::take(&mut self.cut) {
            return Input::Cut;
        }
        let before_cut = if self.cut { self.unclear } else { usize::MAX };
        let limit = into.len().min(before_end).min(before_cut);
        match (self.input.pop(into.get_mut(..limit).unwrap_or(&mut [])), end) {
            (0, Some(end)) if before_end == 0 => {
                self.ends.rotate_left(1);
                self.ends_len = self.ends_len.saturating_sub(1);
                self.told_connected = false;
                self.unclear = end.unclear;
                self.cut = end.unclear > 0;
                Input::Disconnected
            }
            (0, _) => Input::Nothing,
            (count, _) => {
                self.unclear = self.unclear.saturating_sub(count);
                Input::Bytes(count)
            }
        }
    }

    /// Throws away what may be of the session that [`Driver::read`] just told the end of. For a reader to whom bytes of that one
    /// would mean something else in the next, as when it ended in the middle of a file's contents.
    pub fn drop_unclear(&mut self) {
        if !self.told_connected {
            self.discard(self.unclear);
            self.input.consume(self.unclear);
            self.unclear = 0;
            self.cut = false;
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
        self.ends_len > 0 || !self.input.is_empty() || (self.current.is_some() && !self.told_connected)
    }

    /// How many bytes [`Driver::read`] should be asked for, so that what a command does not need waits here ([`ByteRing::piece`]).
    pub fn piece(&self) -> usize {
        self.input.piece()
    }

    /// Takes the `^C` out of the session's waiting bytes that ends the command which runs; whether there was one.
    pub fn take_interrupt(&mut self) -> bool {
        let end = self.ends.first().filter(|_| self.ends_len > 0);
        let limit = end.map_or(usize::MAX, |end| end.at.saturating_sub(self.input.start()) as usize);
        self.told_connected && self.input.take_interrupt(limit)
    }

    /// The ports of the device.
    pub fn ports(&self) -> &Ports<PORTS> {
        &self.ports
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// One look at the device; `None` when another would find no more, else how many messages there were.
    fn look(&mut self, queues: &mut impl Queues) -> Option<usize> {
        if self.ends_len.saturating_add(NEW_ENDS) > PENDING_ENDS {
            return None;
        }
        let mut bytes = [0; RECEIVE_BYTES];
        let mut taken = self.take_bytes(self.current, &mut bytes, queues);
        let before = self.current;
        let mut news = News::default();
        self.take_news(&mut news, queues);
        // A client that left may have said something just before, and so may each that left meanwhile.
        let mut seen = 0;
        while taken.is_none() && news.ended > seen && news.messages < BURST {
            seen = news.ended;
            taken = self.take_bytes(news.port, &mut bytes, queues);
            self.take_news(&mut news, queues);
        }
        let bytes = bytes.get(..taken.unwrap_or(0)).unwrap_or(&[]);
        if news.ended > 0 {
            if let Some(port) = news.port {
                queues.end_session(transmit_queue(port));
            }
            self.end_session(&news, bytes);
        } else {
            self.input.push(bytes);
        }
        if news.ended > 0 || before.is_none() {
            self.discard(self.output.len());
            self.output.clear();
        }
        // Nobody there: the next one may come, say something and leave before the device is looked at again.
        let port = self.current.or_else(|| self.ports.wanted());
        if let Some(port) = port.filter(|_| self.input.room() >= RECEIVE_BYTES) {
            queues.offer(receive_queue(port));
        }
        let more = self.answer(queues) || taken.is_some() || news.messages > 0;
        more.then_some(news.messages)
    }

    /// All control messages. Only a look that finds no more of them says whose the bytes are that were taken before.
    fn take_news(&mut self, news: &mut News, queues: &mut impl Queues) {
        for _ in 0..BURST {
            let mut message = [0; CONTROL_BYTES];
            let Some(claimed) = queues.receive(CONTROL_RECEIVE_QUEUE, &mut message) else {
                break;
            };
            news.messages = news.messages.saturating_add(1);
            let message = message.get(..claimed.min(message.len())).unwrap_or(&[]);
            match self.ports.receive(message) {
                // A second port of the same name waits for nothing: the first one stays.
                Some(Change::Opened(port)) if self.current.is_none() => {
                    self.current = Some(port);
                    news.begun = news.begun.saturating_add(1);
                    news.again |= news.ended > 0;
                }
                Some(Change::Closed(port)) if self.current == Some(port) => {
                    self.current = None;
                    news.ended = news.ended.saturating_add(1);
                    news.port = Some(port);
                }
                _ => {}
            }
        }
        if queues.offer(CONTROL_RECEIVE_QUEUE) == Offer::Starved {
            self.ask_again(news);
        }
    }

    /// The device had no buffer for messages, and drops what it cannot tell: it is asked how things stand.
    fn ask_again(&mut self, news: &mut News) {
        self.counters.starved = self.counters.starved.saturating_add(1);
        self.ports.ask_again();
        if let Some(port) = self.current.take() {
            news.port = Some(port);
            news.again = true;
            news.ended = news.ended.saturating_add(1);
        }
    }

    /// Marks the end of a session in the input, to which `bytes` came about then.
    fn end_session(&mut self, news: &News, bytes: &[u8]) {
        // Lines of the former client would be carried out in either session. What ends in the middle of a line is not what the next
        // one says at once in whole lines; a client that came and went in between is the likeliest to have sent it.
        let whole = bytes.ends_with(b"\n");
        let between = news.begun > usize::from(self.current.is_some());
        let (next, alone) = match (whole, between) {
            (true, _) => (news.again, self.current.is_none()),
            (false, between) => (between && !bytes.is_empty(), true),
        };
        let (before, after) = if next { (&[][..], bytes) } else { (bytes, &[][..]) };
        self.input.push(before);
        self.mark_end(after.len());
        self.input.push(after);
        if next && alone {
            self.mark_end(0);
        }
    }

    fn mark_end(&mut self, unclear: usize) {
        if let Some(end) = self.ends.get_mut(self.ends_len) {
            let at = self.input.end();
            *end = End { at, unclear };
            self.ends_len = self.ends_len.saturating_add(1);
        }
    }

    /// Sends the next answer; whether it went. The device answers it before the next is sent, and thus has room to.
    fn answer(&mut self, queues: &mut impl Queues) -> bool {
        let Some(message) = self.ports.answer() else {
            return false;
        };
        let sent = queues.transmit(CONTROL_TRANSMIT_QUEUE, &message.encode());
        if sent {
            self.ports.sent();
        }
        sent
    }

    /// Takes a received buffer when a whole one fits; the length of what it holds.
    fn take_bytes(
        &mut self,
        port: Option<PortId>,
        into: &mut [u8; RECEIVE_BYTES],
        queues: &mut impl Queues,
    ) -> Option<usize> {
        if self.input.room() < RECEIVE_BYTES {
            return None;
        }
        let claimed = queues.receive(receive_queue(port?), into)?;
        if claimed > RECEIVE_BYTES {
            self.counters.oversize = self.counters.oversize.saturating_add(1);
        }
        Some(claimed.min(RECEIVE_BYTES))
    }

    fn give_output(&mut self, queues: &mut impl Queues) {
        let Some(port) = self.current else { return };
        // QEMU ends a connection in the middle of a write when its client is gone and the driver takes no input at the moment. Then it
        // sends nothing to the next client until that one leaves too. So output waits for input to be taken again, as long as it can.
        let takes_input = self.input.room() >= RECEIVE_BYTES;
        while !self.output.is_empty() && (takes_input || self.output.room() == 0) {
            let front = self.output.front();
            let chunk = front.get(..front.len().min(TRANSMIT_BYTES)).unwrap_or(front);
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
