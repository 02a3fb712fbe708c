//! Text that is made at once and written page by page.

use crate::{
    backend::Backend,
    command::{Failure, Stream},
    Output,
};
use alloc::vec::Vec;
use core::fmt;
use ubpf_rs::platform::{has_room, SMALL_THINGS};

/// What a command writes, however long: it finds memory and leaves room for small things, or is an error.
#[derive(Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    written: usize,
}

impl Text {
    /// The contents of a file.
    pub(super) fn of(bytes: Vec<u8>) -> Result<Self, Failure> {
        Self { bytes, written: 0 }.checked(has_room(SMALL_THINGS))
    }

    /// Gives the text back if `good`. Otherwise the text is freed, and then the failure is made: it needs memory itself.
    fn checked(self, good: bool) -> Result<Self, Failure> {
        if good {
            return Ok(self);
        }
        drop(self);
        Err(Failure::message("out of memory"))
    }

    /// With one more line.
    pub(super) fn line(mut self, line: fmt::Arguments<'_>) -> Result<Self, Failure> {
        let written = fmt::Write::write_fmt(&mut self, format_args!("{line}\n"));
        self.checked(written.is_ok())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let grows = self.bytes.capacity().saturating_sub(self.bytes.len()) < text.len();
        if grows {
            let room = self.bytes.try_reserve(text.len());
            let left = room.is_ok() && has_room(SMALL_THINGS);
            left.then_some(()).ok_or(fmt::Error)?;
        }
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Stream for Text {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        let rest = self.bytes.get(self.written..).unwrap_or(&[]);
        let page = rest.get(..1024).unwrap_or(rest);
        out.bytes(page);
        self.written = self.written.saturating_add(page.len());
        self.written < self.bytes.len()
    }
}
