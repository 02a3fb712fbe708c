//! The framed mode: requests in, answers out (see [`crate::frame`]).

use super::{Activity, Mode, Shell};
use crate::{
    command::Failure,
    frame::{Kind, Outcome, Received, Receiver, START, VERSION},
    upload::Upload,
};
use alloc::{format, string::String};
use ubpf_rs::platform::{has_room, SMALL_THINGS};

/// What is known of a conversation. A reader that seems new to the platform may go on with it.
pub(super) struct Conversation {
    receiver: Receiver,
    nonce: u64,
    /// The last request that came; 0: none has.
    id: u32,
    /// How it ended; `None` while it is being answered.
    end: Option<Outcome>,
    /// Bytes of its answer.
    answered: u32,
    /// A gap was told of, and what belongs there has not come yet.
    gap: bool,
}

impl Conversation {
    pub(super) const fn new() -> Self {
        Self { receiver: Receiver::new(), nonce: 0, id: 0, end: Some(Outcome::Good), answered: 0, gap: false }
    }

    /// The reader has gone, or what it had begun is ended.
    pub(super) fn break_off(&mut self, answered: u32) {
        self.receiver.reset();
        if self.end.is_none() {
            (self.end, self.answered) = (Some(Outcome::BrokenOff), answered);
        }
    }
}

impl Shell {
    /// The command `session`: the reader talks in frames from now on. One that only asks again, since it has heard nothing for a while, disturbs
    /// nothing.
    pub(super) fn greet(&mut self, nonce: u64) {
        if self.conversation.nonce != nonce {
            self.activity = Activity::Line;
            self.conversation = Conversation { nonce, ..Conversation::new() };
        }
        self.set_mode(Mode::Framed);
        let mut payload = [0; 32];
        let words = concat!("ushell-rs ", env!("CARGO_PKG_VERSION"));
        let text = nonce.to_le_bytes().into_iter().chain(words.bytes());
        payload.iter_mut().zip(text).for_each(|(slot, byte)| *slot = byte);
        let payload = payload.get(..words.len().saturating_add(8)).unwrap_or(&payload);
        self.output.frame(Kind::Greeting, self.conversation.id, VERSION, payload);
    }

    /// Takes a byte in this mode.
    pub(super) fn take_framed(&mut self, byte: u8) {
        match self.conversation.receiver.push(byte) {
            Received::Nothing => {}
            Received::Text(byte) => self.take_text(byte),
            Received::Damaged => self.tell_state(),
            Received::Frame => self.take_frame(),
        }
        if byte == START {
            // What stood between the frames is no line.
            self.editor.reset();
        }
    }

    /// Between frames there is `^C`, and the beginning of a conversation.
    fn take_text(&mut self, byte: u8) {
        match byte {
            3 if !matches!(self.activity, Activity::Line) => self.break_off(),
            b'\n' if self.editor.line().is_ok_and(|line| line.starts_with("session ")) => {
                self.set_mode(Mode::Plain);
                self.run_line();
            }
            b'\n' => self.editor.reset(),
            byte => drop(self.editor.push(byte, &mut self.output)),
        }
    }

    /// Ends what is under way before its end.
    pub(super) fn break_off(&mut self) {
        self.activity = Activity::Line;
        self.finish_frames(Outcome::BrokenOff);
    }

    fn take_frame(&mut self) {
        let Some(frame) = self.conversation.receiver.frame() else {
            return;
        };
        let (kind, id, last) = (frame.kind, frame.id, self.conversation.id);
        let idle = self.conversation.end.is_some();
        match kind {
            Kind::Command | Kind::File if idle && id == last.wrapping_add(1) => self.begin(),
            Kind::Piece if id == last && !idle => self.take_piece(),
            // Doubled.
            Kind::Command | Kind::File | Kind::Piece if id == last => {}
            _ => self.tell_state(),
        }
    }

    /// A new request.
    fn begin(&mut self) {
        let Some(frame) = self.conversation.receiver.frame() else {
            return;
        };
        self.output.begin_answer(frame.id);
        let upload = match frame.kind {
            Kind::File => Some(begin_upload(frame.place, frame.payload, self.config.file_limit)),
            _ => {
                self.editor.load(frame.payload);
                None
            }
        };
        (self.conversation.id, self.conversation.end) = (frame.id, None);
        self.conversation.gap = false;
        match upload {
            None => self.run_line(),
            Some(Err(failure)) => self.finish(Err(failure)),
            Some(Ok(upload)) => {
                self.activity = Activity::Receive(upload);
                self.finish_upload();
            }
        }
    }

    fn take_piece(&mut self) {
        let (Some(frame), Activity::Receive(upload)) = (self.conversation.receiver.frame(), &mut self.activity) else {
            return;
        };
        let expected = upload.received();
        if u64::from(frame.place) > expected {
            let told = core::mem::replace(&mut self.conversation.gap, true);
            if !told {
                self.tell_state();
            }
            return;
        }
        if u64::from(frame.place) == expected {
            self.conversation.gap = false;
            upload.take(frame.payload);
        }
        let received = u32::try_from(upload.received()).unwrap_or(u32::MAX);
        match upload.is_complete() {
            true => self.finish_upload(),
            false => self.output.frame(Kind::Taken, frame.id, received, &[]),
        }
    }

    /// Tells how things stand, and again how the last request ended.
    fn tell_state(&mut self) {
        let received = match &self.activity {
            Activity::Receive(upload) => u32::try_from(upload.received()).unwrap_or(u32::MAX),
            _ => 0,
        };
        self.output.frame(Kind::State, self.conversation.id, received, &[]);
        self.tell_end();
    }

    fn tell_end(&mut self) {
        let Conversation { id, end, answered, .. } = self.conversation;
        if let (Some(end), 1..) = (end, id) {
            self.output.frame(Kind::End, id, answered, &[end as u8]);
        }
    }

    /// Ends a request.
    pub(super) fn finish_frames(&mut self, end: Outcome) {
        self.conversation.answered = self.output.end_answer();
        self.conversation.end = Some(end);
        self.tell_end();
    }
}

/// The payload is a CRC-32 and a name.
fn begin_upload(size: u32, payload: &[u8], limit: usize) -> Result<Upload, Failure> {
    if !has_room(SMALL_THINGS) {
        return Err(Failure::message("out of memory; nothing was written"));
    }
    let damaged = || Failure::message("NAME: is not UTF-8");
    let (crc, name) = payload.split_first_chunk::<4>().ok_or_else(damaged)?;
    let name = core::str::from_utf8(name).map_err(|_| damaged())?;
    Upload::begin(String::from(name), size, u32::from_le_bytes(*crc), limit)
}

/// Why `session` is not answered with a greeting.
pub(crate) fn another_version(wanted: u64, nonce: u64) -> Failure {
    Failure::message(format!("session {nonce}: version {VERSION} is spoken here, not {wanted}"))
}
