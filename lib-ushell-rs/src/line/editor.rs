//! The line under the cursor.

use super::{
    history::History,
    keys::{Decoder, Key},
    LINE_BYTES,
};

/// What the editor shows; the plain mode shows nothing.
pub(crate) trait Screen {
    /// Writes bytes to the terminal.
    fn put(&mut self, bytes: &[u8]);
    /// Whether there is a terminal.
    fn is_terminal(&self) -> bool;
}

/// What a byte brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Nothing for the shell to do.
    None,
    /// A line is complete: read it with [`Editor::line`], then call [`Editor::next_line`].
    Line,
    /// The person asks for completion of the text in front of the cursor.
    Complete,
    /// The line was given up.
    Abandoned,
    /// The screen was cleared: prompt and line are to be shown again.
    Redraw,
    /// A key of a terminal came in plain mode.
    TerminalKey,
}

/// Why a line must not be executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub(crate) enum LineError {
    #[error("line too long (limit {limit} bytes): ignored")]
    TooLong { limit: usize },
    #[error("line contains control characters: ignored")]
    Control,
    #[error("line is not UTF-8: ignored")]
    NotUtf8,
}

/// A line editor over a fixed buffer.
pub(crate) struct Editor {
    decoder: Decoder,
    history: History,
    text: [u8; LINE_BYTES],
    len: usize,
    cursor: usize,
    damage: Option<LineError>,
}

impl Editor {
    pub(crate) const fn new(history: usize) -> Self {
        Self {
            decoder: Decoder::new(),
            history: History::new(history),
            text: [0; LINE_BYTES],
            len: 0,
            cursor: 0,
            damage: None,
        }
    }

    /// Takes a whole line at once.
    pub(crate) fn load(&mut self, line: &[u8]) {
        self.reset();
        match self.text.get_mut(..line.len()) {
            Some(text) => text.copy_from_slice(line),
            None => return self.damage = Some(LineError::TooLong { limit: LINE_BYTES }),
        }
        (self.len, self.cursor) = (line.len(), line.len());
        if line
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            self.damage = Some(LineError::Control);
        }
    }

    /// Takes one byte of input.
    pub(crate) fn push(&mut self, byte: u8, screen: &mut impl Screen) -> Event {
        match self.decoder.push(byte) {
            None => Event::None,
            Some(key) if screen.is_terminal() => self.terminal_key(key, screen),
            Some(key) => self.plain_key(key, screen),
        }
    }

    /// Without a terminal a line is text and nothing else: what would be an editing key marks it as damaged, since
    /// leaving the byte out could make another command of it.
    fn plain_key(&mut self, key: Key, screen: &mut impl Screen) -> Event {
        if self.decoder.take_broken() {
            self.damage = self.damage.or(Some(LineError::Control));
        }
        match key {
            Key::Text(byte) => self.insert(&[byte], screen),
            Key::Tab => self.insert(b" ", screen),
            Key::Enter => return Event::Line,
            Key::Control(3) => return self.abandon(),
            Key::Up | Key::Down | Key::Left | Key::Right => return Event::TerminalKey,
            _ => self.damage = self.damage.or(Some(LineError::Control)),
        }
        Event::None
    }

    fn terminal_key(&mut self, key: Key, screen: &mut impl Screen) -> Event {
        match key {
            Key::Text(byte) => self.insert(&[byte], screen),
            Key::Enter => {
                screen.put(b"\r\n");
                return Event::Line;
            }
            Key::Tab => return Event::Complete,
            Key::Control(3) => {
                screen.put(b"^C\r\n");
                return self.abandon();
            }
            Key::Control(12) => {
                screen.put(b"\x1b[H\x1b[2J");
                return Event::Redraw;
            }
            Key::Up | Key::Control(16) => self.recall(History::older, screen),
            Key::Down | Key::Control(14) => self.recall(History::newer, screen),
            key => self.edit(key, screen),
        }
        Event::None
    }

    fn edit(&mut self, key: Key, screen: &mut impl Screen) {
        let (cursor, len) = (self.cursor, self.len);
        match key {
            Key::Left | Key::Control(2) => self.move_to(self.char_before(cursor), screen),
            Key::Right | Key::Control(6) => self.move_to(self.char_after(cursor), screen),
            Key::Home | Key::Control(1) => self.move_to(0, screen),
            Key::End | Key::Control(5) => self.move_to(len, screen),
            Key::WordLeft => self.move_to(self.word_before(cursor), screen),
            Key::WordRight => self.move_to(self.word_after(cursor), screen),
            Key::Backspace => self.remove(self.char_before(cursor), cursor, screen),
            Key::Delete | Key::Control(4) => self.remove(cursor, self.char_after(cursor), screen),
            Key::Control(11) => self.remove(cursor, len, screen),
            Key::Control(21) => self.remove(0, cursor, screen),
            Key::Control(23) => self.remove(self.word_before(cursor), cursor, screen),
            _ => {}
        }
        if self.len == 0 {
            self.damage = None;
        }
    }

    /// The line without its end, or why it must not be executed.
    pub(crate) fn line(&self) -> Result<&str, LineError> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        core::str::from_utf8(self.bytes(0, self.len)).map_err(|_| LineError::NotUtf8)
    }

    /// The text in front of the cursor, if it is whole.
    pub(crate) fn before_cursor(&self) -> Option<&str> {
        core::str::from_utf8(self.bytes(0, self.cursor)).ok()
    }

    /// Starts a new line; a good one goes into the history.
    pub(crate) fn next_line(&mut self) {
        if self.line().is_ok() {
            let line = self.text.get(..self.len).unwrap_or(&[]);
            self.history.add(line);
        }
        self.clear();
    }

    /// Forgets line and partial input, not the history.
    pub(crate) fn reset(&mut self) {
        self.decoder = Decoder::new();
        self.clear();
    }

    /// Shows the line after the prompt.
    pub(crate) fn redraw(&self, screen: &mut impl Screen) {
        screen.put(self.bytes(0, self.len));
        self.step_back(self.cursor, screen);
    }

    /// Inserts at the cursor.
    pub(crate) fn insert(&mut self, new: &[u8], screen: &mut impl Screen) {
        let len = self.len.saturating_add(new.len());
        if len > LINE_BYTES {
            self.damage = Some(LineError::TooLong { limit: LINE_BYTES });
            screen.put(b"\x07");
            return;
        }
        let end = self.cursor.saturating_add(new.len());
        self.text.copy_within(self.cursor..self.len, end);
        let gap = self.text.iter_mut().skip(self.cursor);
        gap.zip(new).for_each(|(slot, &byte)| *slot = byte);
        screen.put(self.bytes(self.cursor, len));
        (self.len, self.cursor) = (len, end);
        self.step_back(end, screen);
    }

    fn remove(&mut self, from: usize, to: usize, screen: &mut impl Screen) {
        if from >= to || to > self.len {
            return;
        }
        self.step(self.cursor, from, screen);
        self.text.copy_within(to..self.len, from);
        self.len = self.len.saturating_sub(to.saturating_sub(from));
        self.cursor = from;
        screen.put(b"\x1b[K");
        screen.put(self.bytes(from, self.len));
        self.step_back(from, screen);
    }

    fn recall(
        &mut self,
        pick: impl FnOnce(&mut History) -> Option<&[u8]>,
        screen: &mut impl Screen,
    ) {
        self.step(self.cursor, 0, screen);
        if let Some(line) = pick(&mut self.history) {
            let slots = self.text.iter_mut().zip(line);
            slots.for_each(|(slot, &byte)| *slot = byte);
            self.len = line.len().min(LINE_BYTES);
            self.cursor = self.len;
            self.damage = None;
        }
        screen.put(b"\x1b[K");
        screen.put(self.bytes(0, self.len));
        self.step_back(self.cursor, screen);
    }

    fn abandon(&mut self) -> Event {
        self.clear();
        Event::Abandoned
    }

    fn clear(&mut self) {
        self.history.leave();
        (self.len, self.cursor, self.damage) = (0, 0, None);
    }

    fn move_to(&mut self, place: usize, screen: &mut impl Screen) {
        self.step(self.cursor, place, screen);
        self.cursor = place;
    }

    /// Moves the terminal's cursor from the end of the line to `place`.
    fn step_back(&self, place: usize, screen: &mut impl Screen) {
        self.step(self.len, place, screen);
    }

    /// Moves the terminal's cursor from one place in the line to another: by backspaces, or by writing the text anew.
    fn step(&self, from: usize, to: usize, screen: &mut impl Screen) {
        if !screen.is_terminal() {
            return;
        }
        screen.put(self.bytes(from, to));
        for &byte in self.bytes(to, from) {
            if !is_continuation(byte) {
                screen.put(b"\x08");
            }
        }
    }

    fn bytes(&self, from: usize, to: usize) -> &[u8] {
        self.text.get(from..to).unwrap_or(&[])
    }

    fn char_before(&self, place: usize) -> usize {
        let before = self.bytes(0, place);
        before
            .iter()
            .rposition(|&b| !is_continuation(b))
            .unwrap_or(0)
    }

    fn char_after(&self, place: usize) -> usize {
        let after = self.bytes(place.saturating_add(1), self.len);
        let skip = after.iter().take_while(|&&b| is_continuation(b)).count();
        place.saturating_add(1).saturating_add(skip).min(self.len)
    }

    fn word_before(&self, place: usize) -> usize {
        let before = self.bytes(0, place);
        let end = before
            .iter()
            .rposition(|&b| b != b' ')
            .map_or(0, |at| at.saturating_add(1));
        let start = self.bytes(0, end).iter().rposition(|&b| b == b' ');
        start.map_or(0, |at| at.saturating_add(1))
    }

    fn word_after(&self, place: usize) -> usize {
        let after = self.bytes(place, self.len);
        let blanks = after.iter().take_while(|&&b| b == b' ').count();
        let word = after
            .iter()
            .skip(blanks)
            .take_while(|&&b| b != b' ')
            .count();
        place.saturating_add(blanks).saturating_add(word)
    }
}

/// Whether a byte continues a UTF-8 sequence and so takes no column of its own.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A terminal of one endless row, to see what a person would see.
    #[derive(Default)]
    struct Row {
        cells: Vec<u8>,
        column: usize,
        escape: Vec<u8>,
    }

    impl Screen for Row {
        fn put(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                match byte {
                    _ if !self.escape.is_empty() || byte == 0x1b => {
                        self.escape.push(byte);
                        if self.escape.ends_with(b"K") {
                            self.cells.truncate(self.column);
                            self.escape.clear();
                        }
                    }
                    8 => self.column -= 1,
                    7 => {}
                    byte => {
                        if self.column < self.cells.len() {
                            self.cells[self.column] = byte;
                        } else {
                            self.cells.push(byte);
                        }
                        self.column += 1;
                    }
                }
            }
        }
        fn is_terminal(&self) -> bool {
            true
        }
    }

    fn check(keys: &[u8], line: &str, column: usize) {
        let (mut editor, mut row) = (Editor::new(64), Row::default());
        editor.history.add(b"first");
        editor.history.add(b"second");
        for &key in keys {
            editor.push(key, &mut row);
        }
        assert_eq!(editor.line(), Ok(line), "{keys:?}");
        assert_eq!(row.cells, line.as_bytes(), "screen after {keys:?}");
        assert_eq!(
            (editor.cursor, row.column),
            (column, column),
            "cursor after {keys:?}"
        );
    }

    #[test]
    fn editing() {
        check(b"abc\x02\x02X", "aXbc", 2);
        check(b"abc\x01X\x05Y", "XabcY", 5);
        check(b"abc def\x17", "abc ", 4);
        check(b"abc def  \x17\x17", "", 0);
        check(b"abc def\x01\x06\x0b", "a", 1);
        check(b"abc def\x02\x15", "f", 0);
        check(b"abc\x7f\x7f", "a", 1);
        check(b"abc\x1b[D\x1b[3~", "ab", 2);
        check(b"abc\x1b[H\x1b[3~", "bc", 0);
        check(b"one two\x1b[1;5D\x1b[1;5D\x1b[1;5C", "one two", 3);
        check(b"\x7f\x1b[3~\x17\x0b\x15", "", 0);
    }

    #[test]
    fn recalling() {
        check(b"\x1b[A", "second", 6);
        check(b"\x1b[A\x1b[A", "first", 5);
        check(b"\x1b[A\x1b[A\x1b[A\x1b[B", "second", 6);
        check(b"abc\x1b[A\x1b[B", "", 0);
        check(b"abc\x1b[D\x1b[B", "abc", 2);
    }

    #[test]
    fn characters_are_whole() {
        let (mut editor, mut row) = (Editor::new(64), Row::default());
        for &key in "aäb".as_bytes().iter().chain(b"\x02\x7f") {
            editor.push(key, &mut row);
        }
        assert_eq!(editor.line(), Ok("ab"));
    }
}
