//! Frames: how a program and the shell talk, so that what is lost, doubled or damaged on the way is found, and contents of
//! files are never taken for commands.
//!
//! # On the line
//! A frame is [`START`], its bytes, [`END`]. Control characters among the bytes are written as [`ESCAPE`] and the byte with
//! bit 6 changed, so a frame holds no newline, no `^C` and no escape sequence, whatever is in it: a shell that takes it for
//! text runs nothing. The bytes are a kind (1), the number of a request (4), a place (4), the length of the payload (2), the
//! payload, and the CRC-32 of all these (4); numbers are little-endian.
//!
//! # A conversation
//! It begins in text: `^C`, then the command `session VERSION NONCE CRC32` with [`sum`]. A shell of this version answers with
//! [`Kind::Greeting`]; another one says in text which version it speaks; one without frames does not know the command. The
//! same line, with [`ESCAPE`] and a newline before it instead of `^C`, asks again without disturbing what runs.
//!
//! Requests are numbered from 1, each has one [`Kind::End`], and there is one at a time. The shell remembers the last one
//! of the conversation, even where its platform takes the reader for a new one, and runs none twice. `^C` between frames ends
//! what runs. [`Kind::Ask`] can be sent at any time, and a damaged frame is answered as it is. While a command works and has nothing to say
//! yet, a shell whose platform has [`Beats`](crate::Beats) sends [`Kind::Working`] now and then.

use crate::crc32::Crc32;

/// Version of what is described here.
pub const VERSION: u32 = 1;
/// Begins a frame.
pub const START: u8 = 2;
/// Ends a frame.
pub const END: u8 = 4;
/// The next byte stands for a control character.
pub const ESCAPE: u8 = 1;
/// Most bytes of payload.
pub const PAYLOAD: usize = 1024;

const HEAD: usize = 11;
const TAIL: usize = 4;
/// What a frame takes on the line at most beside its payload.
pub(crate) const AROUND: usize = 2 * (HEAD + TAIL) + 2;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// To the shell. The payload is a command.
    Command = b'R',
    /// To the shell. A file comes: the place is its size, the payload its CRC-32 and its name.
    File = b'P',
    /// To the shell. A piece of the file: the place is its offset.
    Piece = b'D',
    /// To the shell. How do things stand?
    Ask = b'Q',
    /// From the shell. The request is the last one that came, the place is the version, the payload is the nonce and the
    /// version in words.
    Greeting = b'G',
    /// From the shell. The payload is output of the command: the place is its offset.
    Output = b'O',
    /// From the shell. The request is done: the place is how many bytes of output there were, the payload an [`Outcome`].
    End = b'E',
    /// From the shell. The place is how many bytes of the file have come in their order.
    Taken = b'A',
    /// From the shell. The request is the last one that came, the place as for [`Kind::Taken`]; what comes next is to be
    /// sent from there. If that request is done, its [`Kind::End`] follows.
    State = b'S',
    /// From the shell, with request and place 0. It is at work.
    Working = b'W',
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::*;
        [Command, File, Piece, Ask, Greeting, Output, End, Taken, State, Working]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// It did well.
    Good = 0,
    /// It failed; its output says why.
    Failed = 1,
    /// A new connection or `^C` ended it before its end.
    BrokenOff = 2,
}

/// One frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// Number of the request that it belongs to.
    pub id: u32,
    /// What each kind says.
    pub place: u32,
    /// At most [`PAYLOAD`] bytes; what is longer is cut.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Gives the frame's bytes to `put`, as they go on the line.
    pub fn write(&self, mut put: impl FnMut(u8)) {
        let payload = self.payload.get(..PAYLOAD).unwrap_or(self.payload);
        let length = u16::try_from(payload.len()).unwrap_or(0).to_le_bytes();
        let mut crc = Crc32::new();
        put(START);
        let mut part = |bytes: &[u8]| {
            for &byte in bytes {
                if byte.is_ascii_control() {
                    put(ESCAPE);
                }
                put(if byte.is_ascii_control() { byte ^ 0x40 } else { byte });
            }
        };
        let (id, place) = (self.id.to_le_bytes(), self.place.to_le_bytes());
        for bytes in [&[self.kind as u8], &id[..], &place, &length, payload] {
            crc.add(bytes);
            part(bytes);
        }
        part(&crc.value().to_le_bytes());
        put(END);
    }
}

/// What a byte brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// Nothing yet.
    Nothing,
    /// The byte stands between frames.
    Text(u8),
    /// A frame is whole: [`Receiver::frame`] gives it.
    Frame,
    /// A frame that is not whole, or damaged.
    Damaged,
}

/// The checksum in the line that begins a conversation: it is text, and might be damaged into another number.
pub fn sum(version: u64, nonce: u64) -> u32 {
    let mut crc = Crc32::new();
    crc.add(&version.to_le_bytes());
    crc.add(&nonce.to_le_bytes());
    crc.value()
}

/// Finds frames in a stream of bytes.
pub struct Receiver {
    bytes: [u8; HEAD + PAYLOAD + TAIL],
    /// Bytes taken; `None` between frames. More than there is room for: too long.
    len: Option<usize>,
    escaped: bool,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Between frames.
    pub const fn new() -> Self {
        Self { bytes: [0; HEAD + PAYLOAD + TAIL], len: None, escaped: false }
    }

    /// Forgets a frame that is not whole yet.
    pub fn reset(&mut self) {
        self.len = None;
    }

    /// Takes one byte.
    pub fn push(&mut self, byte: u8) -> Received {
        let Some(len) = self.len else {
            return self.between(byte);
        };
        let escaped = core::mem::take(&mut self.escaped);
        let byte = match byte {
            START => {
                self.len = Some(0);
                return Received::Damaged;
            }
            END if !escaped && self.frame().is_some() => {
                self.len = None;
                return Received::Frame;
            }
            END => {
                self.len = None;
                return Received::Damaged;
            }
            ESCAPE if !escaped => {
                self.escaped = true;
                return Received::Nothing;
            }
            byte if byte.is_ascii_control() => {
                self.len = None;
                return Received::Text(byte);
            }
            byte if escaped => byte ^ 0x40,
            byte => byte,
        };
        if let Some(slot) = self.bytes.get_mut(len) {
            *slot = byte;
        }
        self.len = Some(len.saturating_add(1));
        Received::Nothing
    }

    fn between(&mut self, byte: u8) -> Received {
        if byte != START {
            return Received::Text(byte);
        }
        (self.len, self.escaped) = (Some(0), false);
        Received::Nothing
    }

    /// The frame that is whole, until the next byte is pushed.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let (head, rest) = self.bytes.split_first_chunk::<HEAD>()?;
        let [kind, i0, i1, i2, i3, p0, p1, p2, p3, l0, l1] = *head;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let payload = rest.get(..length)?;
        let crc = rest.get(length..)?.first_chunk::<TAIL>()?;
        let mut sum = Crc32::new();
        sum.add(head);
        sum.add(payload);
        let whole = HEAD.saturating_add(length).saturating_add(TAIL);
        let good = self.len.is_none_or(|len| len == whole) && *crc == sum.value().to_le_bytes();
        Some(Frame {
            kind: Kind::of(kind).filter(|_| good)?,
            id: u32::from_le_bytes([i0, i1, i2, i3]),
            place: u32::from_le_bytes([p0, p1, p2, p3]),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    const PIECE: Frame<'_> =
        Frame { kind: Kind::Piece, id: 7, place: 0x0a03_0d1b, payload: b"rm a\n\x00\x01\x02\x03\x04\x1b\x7f\xff" };

    fn line(frame: &Frame<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.write(|byte| bytes.push(byte));
        bytes
    }

    fn receive(bytes: &[u8]) -> Vec<Received> {
        let mut receiver = Receiver::new();
        let all = bytes.iter().map(|&byte| receiver.push(byte));
        all.filter(|received| *received != Received::Nothing).collect()
    }

    #[test]
    fn what_is_sent_arrives() {
        for length in [0, 1, PAYLOAD] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let frame = Frame { payload: &payload, ..PIECE };
            let mut receiver = Receiver::new();
            let ends: Vec<Received> = line(&frame).iter().map(|&b| receiver.push(b)).collect();
            assert_eq!(ends.last(), Some(&Received::Frame));
            assert_eq!(receiver.frame(), Some(frame));
        }
        let (frame, long) = (line(&PIECE), vec![b'x'; 3 * PAYLOAD]);
        assert!(frame.iter().all(|byte| !b"\n\r\x03\x1b".contains(byte)));
        assert_eq!(receive(&[&frame[..], &frame].concat()), [Received::Frame; 2]);
        assert_eq!(receive(&[&[START], &long[..], &[END]].concat()), [Received::Damaged]);
    }

    /// Every byte lost, doubled or changed.
    #[test]
    fn what_is_damaged_is_no_frame() {
        let whole = line(&PIECE);
        let damaged = |bytes: &[u8], what: &str| {
            assert!(!receive(bytes).contains(&Received::Frame), "{what}");
        };
        for at in 0..whole.len() {
            let mut lost = whole.clone();
            lost.remove(at);
            damaged(&lost, "lost");
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                damaged(&changed, "changed");
            }
            if (1..whole.len() - 1).contains(&at) {
                let mut doubled = whole.clone();
                doubled.insert(at, whole[at]);
                damaged(&doubled, "doubled");
            }
            // The next one is found behind it.
            let both = receive(&[&lost[..], &whole].concat());
            assert_eq!(both.last(), Some(&Received::Frame), "behind a lost byte {at}");
        }
    }
}
