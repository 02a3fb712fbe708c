//! The bounded queue of bytes on their way to the reader.

use crate::{
    frame::{Frame, Kind, AROUND},
    shell::Mode,
};
use alloc::collections::VecDeque;
use core::fmt::{self, Write};

const TRUNCATED: &[u8] = b"[output truncated]\n";

/// What commands write to. Never grows beyond its limit: what does not fit is dropped, and the reader is told.
pub struct Output {
    queue: VecDeque<u8>,
    limit: usize,
    mode: Mode,
    at_line_start: bool,
    truncated: bool,
    answer: Answer,
}

/// Output that is cut into frames.
struct Answer {
    /// The request.
    id: u32,
    /// Bytes in frames so far.
    sent: u32,
    piece: [u8; PIECE],
    /// Bytes in the piece.
    len: usize,
}

/// Most output in one frame.
const PIECE: usize = 512;

impl Output {
    /// `None` without memory.
    pub(crate) fn new(limit: usize) -> Option<Self> {
        let mut queue = VecDeque::new();
        queue.try_reserve_exact(limit).ok()?;
        Some(Self {
            queue,
            limit,
            mode: Mode::Plain,
            at_line_start: true,
            truncated: false,
            answer: Answer { id: 0, sent: 0, piece: [0; PIECE], len: 0 },
        })
    }

    /// Writes bytes as text: line ends and framing as the mode wants them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // Room for the worst case of one byte and for saying that the rest is gone.
            if self.truncated || self.free() < TRUNCATED.len().saturating_add(8) {
                self.truncated = true;
                return;
            }
            self.byte(byte);
        }
    }

    /// Writes one line of text.
    pub fn line(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(b"\n");
    }

    /// Whether a further page of output may be written without loss.
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.limit / 2
    }

    fn byte(&mut self, byte: u8) {
        if self.mode == Mode::Machine && self.at_line_start {
            self.queue.push_back(b'|');
        }
        match (self.mode, byte) {
            (Mode::Framed, _) => self.add_to_piece(byte),
            (Mode::Terminal, b'\n') => self.queue.extend(b"\r\n"),
            // Contents of files must not drive the person's terminal.
            (Mode::Terminal, 0..=8 | 11..=31 | 127) => self.queue.push_back(b'?'),
            _ => self.queue.push_back(byte),
        }
        self.at_line_start = byte == b'\n';
    }

    /// Ends what a command wrote: says so if something is missing, and starts a new line.
    /// Returns whether the last line was whole.
    pub(crate) fn end_command(&mut self) -> bool {
        if core::mem::take(&mut self.truncated) {
            if !self.at_line_start {
                self.byte(b'\n');
            }
            TRUNCATED.iter().for_each(|&byte| self.byte(byte));
        }
        let whole = self.at_line_start;
        if self.mode == Mode::Framed {
            self.at_line_start = true;
        } else if !whole {
            self.byte(b'\n');
        }
        whole
    }

    fn add_to_piece(&mut self, byte: u8) {
        if let Some(slot) = self.answer.piece.get_mut(self.answer.len) {
            *slot = byte;
            self.answer.len = self.answer.len.saturating_add(1);
        }
        if self.answer.len >= PIECE {
            self.send_piece();
        }
    }

    fn send_piece(&mut self) {
        let Answer { id, sent, len, .. } = self.answer;
        if len == 0 {
            return;
        }
        let payload = self.answer.piece.get(..len).unwrap_or(&[]);
        let frame = Frame { kind: Kind::Output, id, place: sent, payload };
        frame.write(|byte| self.queue.push_back(byte));
        self.answer.sent = sent.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        self.answer.len = 0;
    }

    /// Writes a frame. There is room: it is written only when a page could be.
    pub(crate) fn frame(&mut self, kind: Kind, id: u32, place: u32, payload: &[u8]) {
        let frame = Frame { kind, id, place, payload };
        frame.write(|byte| self.queue.push_back(byte));
    }

    /// Starts the answer to a request.
    pub(crate) fn begin_answer(&mut self, id: u32) {
        (self.answer.id, self.answer.sent, self.answer.len) = (id, 0, 0);
        self.at_line_start = true;
    }

    /// Ends what a command wrote, in frames; gives how many bytes that was.
    pub(crate) fn end_answer(&mut self) -> u32 {
        self.end_command();
        self.send_piece();
        self.answer.sent
    }

    /// Sends what is in no whole frame yet: nothing may follow for long.
    pub(crate) fn flush(&mut self) {
        if self.mode == Mode::Framed {
            self.send_piece();
        }
    }

    /// Bytes of the answer so far.
    pub(crate) fn answered(&self) -> u32 {
        let len = u32::try_from(self.answer.len).unwrap_or(u32::MAX);
        self.answer.sent.saturating_add(len)
    }

    /// Writes bytes as they are: prompts, echo, escape sequences.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.free() {
            self.queue.extend(bytes);
        }
    }

    /// Starts a new line unless at the start of one.
    pub(crate) fn fresh_line(&mut self) {
        if !self.at_line_start {
            self.bytes(b"\n");
        }
    }

    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    fn free(&self) -> usize {
        let piece = match self.mode {
            // As it may be on the line, with what ends the answer behind it.
            Mode::Framed => self.answer.len.saturating_add(AROUND).saturating_mul(2),
            _ => 0,
        };
        self.limit.saturating_sub(self.queue.len().saturating_add(piece))
    }

    /// Whether no part of a frame waits.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.answer.len == 0
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.answer.len = 0;
        self.at_line_start = true;
        self.truncated = false;
    }

    /// Moves bytes to `into`; returns how many.
    pub(crate) fn take(&mut self, into: &mut [u8]) -> usize {
        if self.queue.is_empty() {
            self.send_piece();
        }
        let count = into.len().min(self.queue.len());
        for (slot, byte) in into.iter_mut().zip(self.queue.drain(..count)) {
            *slot = byte;
        }
        count
    }
}

/// A name in a list: control characters in it are shown as escapes.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c.is_control() {
                true => write!(f, "\\x{:02x}", u32::from(c))?,
                false => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
