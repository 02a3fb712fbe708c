//! Streams that several commands use.

use crate::{backend::Backend, command::Stream, Output};
use alloc::{string::String, vec::Vec};

/// Lines that exist already.
pub(super) struct Lines(alloc::vec::IntoIter<String>);

impl Lines {
    pub(super) fn new(lines: Vec<String>) -> Self {
        Self(lines.into_iter())
    }
}

impl Stream for Lines {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        while out.has_room() {
            match self.0.next() {
                Some(line) => out.line(&line),
                None => return false,
            }
        }
        true
    }
}

/// The contents of a file.
pub(super) struct Contents {
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
}

impl Stream for Contents {
    fn page(&mut self, _: &dyn Backend, out: &mut Output) -> bool {
        let rest = self.bytes.get(self.written..).unwrap_or(&[]);
        let page = rest.get(..1024).unwrap_or(rest);
        out.bytes(page);
        self.written = self.written.saturating_add(page.len());
        self.written < self.bytes.len()
    }
}
