//! The line under the cursor.

use super::{
    history::History,
    keys::{Decoder, Key},
    width::width,
    LINE_BYTES,
};
use crate::TERSE;

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
pub(crate) enum EditError {
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
    damage: Option<EditError>,
    /// A character of several bytes that is not whole yet.
    part: [u8; 4],
    part_len: usize,
    /// Columns of the terminal; `None`: it has not said.
    columns: Option<usize>,
    /// It was asked.
    asked: bool,
}

/// Columns of the prompt.
const PROMPT: usize = 2;
/// Narrowest terminal that is believed; less is what a key with a modifier looks like.
const NARROWEST: u16 = 10;
/// Puts the cursor as far to the right as it goes, asks where that is, and puts it back.
const ASK: &[u8] = b"\x1b7\x1b[999C\x1b[6n\x1b8";

/// Where something stands on the screen: rows below the prompt, and column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spot {
    row: usize,
    column: usize,
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
            part: [0; 4],
            part_len: 0,
            columns: None,
            asked: false,
        }
    }

    /// Asks the terminal how wide it is.
    pub(crate) fn ask_width(&mut self, screen: &mut impl Screen) {
        self.asked = true;
        screen.put(ASK);
    }

    /// Takes a whole line at once.
    pub(crate) fn load(&mut self, line: &[u8]) {
        self.reset();
        match self.text.get_mut(..line.len()) {
            Some(text) => text.copy_from_slice(line),
            None => return self.damage = Some(EditError::TooLong { limit: LINE_BYTES }),
        }
        (self.len, self.cursor) = (line.len(), line.len());
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            self.damage = Some(EditError::Control);
        }
    }

    /// Takes one byte of input.
    pub(crate) fn push(&mut self, byte: u8, screen: &mut impl Screen) -> Event {
        match self.decoder.push(byte) {
            None => Event::None,
            Some(key) if !TERSE && screen.is_terminal() => self.terminal_key(key, screen),
            Some(key) => self.plain_key(key, screen),
        }
    }

    /// Without a terminal a line is text and nothing else: what would be an editing key marks it as damaged, since
    /// leaving the byte out could make another command of it.
    fn plain_key(&mut self, key: Key, screen: &mut impl Screen) -> Event {
        if self.decoder.take_broken() {
            self.damage = self.damage.or(Some(EditError::Control));
        }
        match key {
            Key::Text(byte) => self.insert(&[byte], screen),
            Key::Tab => self.insert(b" ", screen),
            Key::Enter => return Event::Line,
            Key::Control(3) => return self.abandon(),
            Key::Up | Key::Down | Key::Left | Key::Right if !TERSE => return Event::TerminalKey,
            _ => self.damage = self.damage.or(Some(EditError::Control)),
        }
        Event::None
    }

    fn terminal_key(&mut self, key: Key, screen: &mut impl Screen) -> Event {
        if let Key::Text(byte @ 0x80..) = key {
            self.insert_part(byte, screen);
            return Event::None;
        }
        self.insert_whole(screen);
        match key {
            Key::Text(byte) => self.insert(&[byte], screen),
            Key::Enter => {
                self.leave(screen);
                return Event::Line;
            }
            Key::Tab => return Event::Complete,
            Key::Control(3) => {
                self.step_to(self.len, screen);
                screen.put(b"^C\r\n");
                return self.abandon();
            }
            Key::Control(12) => {
                screen.put(b"\x1b[H\x1b[2J");
                self.ask_width(screen);
                return Event::Redraw;
            }
            Key::Place(column) => {
                if self.asked && column >= NARROWEST {
                    self.asked = false;
                    self.columns = Some(usize::from(column));
                }
            }
            Key::Up | Key::Control(16) => self.recall(History::older, screen),
            Key::Down | Key::Control(14) => self.recall(History::newer, screen),
            key => self.edit(key, screen),
        }
        Event::None
    }

    /// Goes to a new line behind the text.
    pub(crate) fn leave(&self, screen: &mut impl Screen) {
        self.step_to(self.len, screen);
        let end = self.spot(self.len);
        if end.row == 0 || end.column > 0 {
            screen.put(b"\r\n");
        }
    }

    /// Takes a byte of a character; a character is inserted when it is whole.
    fn insert_part(&mut self, byte: u8, screen: &mut impl Screen) {
        if !is_continuation(byte) {
            self.insert_whole(screen);
        }
        if let Some(slot) = self.part.get_mut(self.part_len) {
            *slot = byte;
            self.part_len = self.part_len.saturating_add(1);
        }
        let length = match self.part.first() {
            Some(0xc2..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf4) => 4,
            _ => 1,
        };
        if self.part_len >= length {
            self.insert_whole(screen);
        }
    }

    /// Inserts what has come of a character.
    fn insert_whole(&mut self, screen: &mut impl Screen) {
        let (part, len) = (self.part, core::mem::take(&mut self.part_len));
        if len > 0 {
            self.insert(part.get(..len).unwrap_or(&[]), screen);
        }
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
    pub(crate) fn line(&self) -> Result<&str, EditError> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        core::str::from_utf8(self.bytes(0, self.len)).map_err(|_| EditError::NotUtf8)
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
        (self.columns, self.asked) = (None, false);
        self.clear();
    }

    /// Shows the line after the prompt.
    pub(crate) fn redraw(&self, screen: &mut impl Screen) {
        self.show(0, self.len, screen);
        self.step(self.len, self.cursor, screen);
    }

    /// Inserts at the cursor.
    pub(crate) fn insert(&mut self, new: &[u8], screen: &mut impl Screen) {
        let len = self.len.saturating_add(new.len());
        if len > LINE_BYTES {
            self.damage = Some(EditError::TooLong { limit: LINE_BYTES });
            screen.put(b"\x07");
            return;
        }
        let end = self.cursor.saturating_add(new.len());
        self.text.copy_within(self.cursor..self.len, end);
        let gap = self.text.iter_mut().skip(self.cursor);
        gap.zip(new).for_each(|(slot, &byte)| *slot = byte);
        let mut from = self.cursor;
        self.len = len;
        if from > 0 && self.stands_on_another(from) {
            // It is written with what it stands on, which may end a row.
            from = self.char_before(from);
            self.step_to(from, screen);
        }
        self.cursor = end;
        self.show(from, len, screen);
        self.step(len, end, screen);
    }

    fn remove(&mut self, from: usize, to: usize, screen: &mut impl Screen) {
        if from >= to || to > self.len {
            return;
        }
        self.step_to(from, screen);
        self.erase(from, screen);
        self.text.copy_within(to..self.len, from);
        self.len = self.len.saturating_sub(to.saturating_sub(from));
        self.cursor = from;
        self.show(from, self.len, screen);
        self.step(self.len, from, screen);
    }

    fn recall(&mut self, pick: impl FnOnce(&mut History) -> Option<&[u8]>, screen: &mut impl Screen) {
        self.step_to(0, screen);
        self.erase(0, screen);
        if let Some(line) = pick(&mut self.history) {
            let slots = self.text.iter_mut().zip(line);
            slots.for_each(|(slot, &byte)| *slot = byte);
            self.len = line.len().min(LINE_BYTES);
            self.cursor = self.len;
            self.damage = None;
        }
        self.show(0, self.len, screen);
        self.step(self.len, self.cursor, screen);
    }

    fn abandon(&mut self) -> Event {
        self.clear();
        Event::Abandoned
    }

    fn clear(&mut self) {
        self.history.leave();
        (self.len, self.cursor, self.damage, self.part_len) = (0, 0, None, 0);
    }

    fn move_to(&mut self, place: usize, screen: &mut impl Screen) {
        self.step_to(place, screen);
        self.cursor = place;
    }

    /// Moves the terminal's cursor from where it is.
    fn step_to(&self, place: usize, screen: &mut impl Screen) {
        self.step(self.cursor, place, screen);
    }

    /// Moves the terminal's cursor from one place in the line to another: by writing the text anew, or back.
    fn step(&self, from: usize, to: usize, screen: &mut impl Screen) {
        if !screen.is_terminal() {
            return;
        }
        if from < to {
            return self.show(from, to, screen);
        }
        let (old, new) = (self.spot(from), self.spot(to));
        if old.row == new.row {
            (new.column..old.column).for_each(|_| screen.put(b"\x08"));
            return;
        }
        sequence(screen, old.row.saturating_sub(new.row), b'A');
        screen.put(b"\r");
        if new.column > 0 {
            sequence(screen, new.column, b'C');
        }
    }

    /// Removes what stands on the screen from this place on, where the cursor is.
    fn erase(&self, from: usize, screen: &mut impl Screen) {
        let several = self.spot(from).row < self.spot(self.len).row;
        screen.put(if several { b"\x1b[J" } else { b"\x1b[K" });
    }

    /// Writes a part of the line, where the cursor is at its beginning.
    fn show(&self, from: usize, to: usize, screen: &mut impl Screen) {
        if !screen.is_terminal() {
            return;
        }
        let mut spot = self.spot(from);
        self.walk(from, to, &mut spot, &mut |text, gap| {
            if gap {
                // The terminal leaves a column free; what stood there goes.
                screen.put(b"\x1b[K");
            }
            screen.put(text);
        });
        if self.is_full(spot) {
            screen.put(b"\r\n");
        }
    }

    /// Where the character at a place of the line stands.
    fn spot(&self, place: usize) -> Spot {
        let mut spot = Spot { row: 0, column: PROMPT };
        self.walk(0, place, &mut spot, &mut |_, _| {});
        if self.is_full(spot) {
            spot.row = spot.row.saturating_add(1);
            spot.column = 0;
        }
        spot
    }

    /// Whether the row is, so that what comes next stands in the next one.
    fn is_full(&self, spot: Spot) -> bool {
        self.columns.is_some_and(|columns| spot.column >= columns)
    }

    /// Goes through the characters of a part of the line: `each` gets what is written for one, and whether a column in front
    /// of it stays free because it is too wide.
    fn walk(&self, from: usize, to: usize, spot: &mut Spot, each: &mut dyn FnMut(&[u8], bool)) {
        let columns = self.columns.unwrap_or(usize::MAX);
        let mut take = |text: &[u8], width: usize| {
            let end = spot.column.saturating_add(width);
            let wraps = end > columns;
            each(text, wraps && spot.column < columns);
            if wraps {
                *spot = Spot { row: spot.row.saturating_add(1), column: width };
            } else {
                spot.column = end;
            }
        };
        for chunk in self.bytes(from, to).utf8_chunks() {
            for c in chunk.valid().chars() {
                take(c.encode_utf8(&mut [0; 4]).as_bytes(), width(c));
            }
            chunk.invalid().iter().for_each(|_| take(b"?", 1));
        }
    }

    fn bytes(&self, from: usize, to: usize) -> &[u8] {
        self.text.get(from..to).unwrap_or(&[])
    }

    /// The beginning of the character in front of a place, with what stands on it.
    fn char_before(&self, place: usize) -> usize {
        let mut place = place;
        loop {
            let before = self.bytes(0, place);
            let start = before.iter().rposition(|&b| !is_continuation(b));
            place = start.unwrap_or(0);
            if place == 0 || !self.stands_on_another(place) {
                return place;
            }
        }
    }

    /// The end of the character at a place, with what stands on it.
    fn char_after(&self, place: usize) -> usize {
        let mut place = place;
        loop {
            let after = self.bytes(place.saturating_add(1), self.len);
            let skip = after.iter().take_while(|&&b| is_continuation(b)).count();
            place = place.saturating_add(1).saturating_add(skip).min(self.len);
            if place >= self.len || !self.stands_on_another(place) {
                return place;
            }
        }
    }

    fn stands_on_another(&self, place: usize) -> bool {
        let rest = self.bytes(place, place.saturating_add(4).min(self.len));
        let first = rest.utf8_chunks().next();
        let first = first.and_then(|chunk| chunk.valid().chars().next());
        first.is_some_and(|c| width(c) == 0)
    }

    fn word_before(&self, place: usize) -> usize {
        let before = self.bytes(0, place);
        let end = before.iter().rposition(|&b| b != b' ').map_or(0, |at| at.saturating_add(1));
        let start = self.bytes(0, end).iter().rposition(|&b| b == b' ');
        start.map_or(0, |at| at.saturating_add(1))
    }

    fn word_after(&self, place: usize) -> usize {
        let after = self.bytes(place, self.len);
        let blanks = after.iter().take_while(|&&b| b == b' ').count();
        let word = after.iter().skip(blanks).take_while(|&&b| b != b' ').count();
        place.saturating_add(blanks).saturating_add(word)
    }
}

/// Writes a control sequence with one number.
fn sequence(screen: &mut impl Screen, number: usize, letter: u8) {
    let mut digits = [0; 5];
    let (mut rest, mut count) = (number, 0usize);
    for slot in digits.iter_mut().rev() {
        *slot = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        count = count.saturating_add(1);
        if rest == 0 {
            break;
        }
    }
    screen.put(b"\x1b[");
    screen.put(digits.get(digits.len().saturating_sub(count)..).unwrap_or(&[]));
    screen.put(&[letter]);
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
        assert_eq!((editor.cursor, row.column), (column, column), "cursor after {keys:?}");
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

    /// A terminal that is believed to show what a person sees.
    struct Emulator(vt100::Parser);

    impl Screen for Emulator {
        fn put(&mut self, bytes: &[u8]) {
            self.0.process(bytes);
        }
        fn is_terminal(&self) -> bool {
            true
        }
    }

    impl Emulator {
        fn new(columns: u16) -> Self {
            let mut new = Self(vt100::Parser::new(60, columns, 0));
            new.put(b"> ");
            new
        }

        fn rows(&self) -> Vec<std::string::String> {
            let (_, columns) = self.0.screen().size();
            let mut rows: Vec<_> = self.0.screen().rows(0, columns).collect();
            rows.iter_mut().for_each(|row| row.truncate(row.trim_end().len()));
            rows
        }

        /// Row and column of the cursor, the end of a full row being the beginning of the next one.
        fn cursor(&self, columns: u16) -> (u16, u16) {
            match self.0.screen().cursor_position() {
                (row, column) if column >= columns => (row + 1, 0),
                place => place,
            }
        }
    }

    /// Random keys on terminals of every width: the screen shows what a terminal shows that was given the line at once, and
    /// the cursor stands where it ends that was given the line up to there.
    #[test]
    fn the_screen_shows_the_line() {
        let keys = [
            "a",
            "b",
            " ",
            "word",
            "ä",
            "漢",
            "字",
            "🦀",
            "한",
            "x\u{301}",
            "\x1b[D",
            "\x1b[C",
            "\x1b[H",
            "\x1b[F",
            "\x7f",
            "\x1b[3~",
            "\x01",
            "\x05",
            "\x0b",
            "\x15",
            "\x17",
            "\x1b[A",
            "\x1b[B",
            "\x1b[1;5D",
            "\x1b[1;5C",
            "\x1b[[A",
            "0123456789",
            "漢字漢字漢字",
        ];
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        for round in 0..155 {
            let columns = 10 + round % 31;
            let (mut editor, mut screen) = (Editor::new(64), Emulator::new(columns));
            editor.ask_width(&mut screen);
            for line in
                ["short", "a line of the history that is longer than most of the terminals here", "漢字 ä 🦀 漢字 漢字"]
            {
                editor.history.add(line.as_bytes());
            }
            let answer = std::format!("\x1b[1;{columns}R");
            let mut pressed = std::vec![answer.as_str()];
            for _ in 0..30 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                pressed.push(keys[(random % keys.len() as u64) as usize]);
            }
            for (index, key) in pressed.iter().enumerate() {
                for byte in key.bytes() {
                    editor.push(byte, &mut screen);
                }
                let mut whole = Emulator::new(columns);
                whole.put(editor.line().unwrap().as_bytes());
                let mut part = Emulator::new(columns);
                part.put(editor.before_cursor().unwrap().as_bytes());
                let keys = &pressed[..=index];
                assert_eq!(screen.rows(), whole.rows(), "{columns} columns, {keys:?}");
                assert_eq!(screen.cursor(columns), part.cursor(columns), "{columns} columns, {keys:?}");
            }
        }
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
