//! One editable line: bytes to keys, keys to edits and screen updates. Knows no commands. Fixed buffers, no heap.

mod editor;
mod history;
mod keys;
mod width;

pub(crate) use editor::{EditError, Editor, Event, Screen};

/// Longest line in bytes.
pub(crate) const LINE_BYTES: usize = 1024;
