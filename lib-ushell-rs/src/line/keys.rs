//! Bytes to keys: the escape sequences of VT100, xterm and rxvt, in any splitting and with garbage between.

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// A byte of text: ASCII, or part of a UTF-8 sequence.
    Text(u8),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    WordLeft,
    WordRight,
    /// `^A` is 1, `^Z` is 26.
    Control(u8),
    /// The terminal says in which column its cursor is (from 1); a few keys with modifiers look the same.
    Place(u16),
    /// An escape sequence without a meaning here.
    Unknown,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC O, with whether a modifier followed.
    Application { modified: bool },
    /// After ESC [.
    Control(Numbers),
    /// So many more bytes belong to a report of the mouse, or to a key of the Linux console.
    Skip(u8),
    /// A string that a terminal answers with, and whether ESC was its last byte.
    String { escaped: bool },
}

/// Parameters of a sequence.
#[derive(Clone, Copy, Default)]
struct Numbers {
    first: u16,
    last: u16,
    /// Whether a second one followed.
    several: bool,
    /// Whether anything stood before the first one.
    private: bool,
    /// Whether any byte came.
    begun: bool,
}

/// Finds keys in a stream of bytes.
pub(crate) struct Decoder {
    state: State,
    after_cr: bool,
    broken: bool,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self { state: State::Text, after_cr: false, broken: false }
    }

    /// Takes one byte; gives the key it completes, if it does.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        if byte == b'\n' && after_cr {
            return None;
        }
        if let State::String { escaped } = self.state {
            return self.in_string(byte, escaped);
        }
        // A control byte is never part of a sequence: it ends a broken one and counts itself.
        if byte < 0x20 || byte == 0x7f {
            return self.control(byte);
        }
        match core::mem::take(&mut self.state) {
            State::Text | State::String { .. } => Some(Key::Text(byte)),
            State::Escape => self.after_escape(byte),
            State::Application { modified } => self.in_application(byte, modified),
            State::Control(numbers) => self.in_sequence(byte, numbers),
            State::Skip(1) => Some(Key::Unknown),
            State::Skip(left) => {
                self.state = State::Skip(left.saturating_sub(1));
                None
            }
        }
    }

    /// Whether a sequence was broken off since the last call.
    pub(crate) fn take_broken(&mut self) -> bool {
        core::mem::take(&mut self.broken)
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        self.broken |= !matches!(self.state, State::Text);
        self.state = State::Text;
        match byte {
            0x1b => {
                self.state = State::Escape;
                None
            }
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x08 | 0x7f => Some(Key::Backspace),
            _ => Some(Key::Control(byte)),
        }
    }

    fn after_escape(&mut self, byte: u8) -> Option<Key> {
        self.state = match byte {
            b'[' => State::Control(Numbers::default()),
            b'O' => State::Application { modified: false },
            b']' | b'P' | b'X' | b'^' | b'_' => State::String { escaped: false },
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            _ => return Some(Key::Unknown),
        };
        None
    }

    /// Up to BEL or ESC \. A line's end or `^C` ends what has no end.
    fn in_string(&mut self, byte: u8, escaped: bool) -> Option<Key> {
        self.state = State::Text;
        match byte {
            0x07 => Some(Key::Unknown),
            b'\\' if escaped => Some(Key::Unknown),
            0x03 | b'\r' | b'\n' => {
                self.broken = true;
                self.control(byte)
            }
            _ if escaped => self.after_escape(byte),
            _ => {
                self.state = State::String { escaped: byte == 0x1b };
                None
            }
        }
    }

    fn in_application(&mut self, byte: u8, modified: bool) -> Option<Key> {
        if !matches!(byte, b'0'..=b'9' | b';') {
            return Some(letter(byte, modified));
        }
        self.state = State::Application { modified: true };
        None
    }

    fn in_sequence(&mut self, byte: u8, mut numbers: Numbers) -> Option<Key> {
        match byte {
            // A key of the Linux console: one letter follows. A report of the mouse: three bytes do.
            b'[' if !numbers.begun => {
                self.state = State::Skip(1);
                return None;
            }
            b'M' if !numbers.begun => {
                self.state = State::Skip(3);
                return None;
            }
            b'0'..=b'9' => {
                let digit = u16::from(byte.wrapping_sub(b'0'));
                numbers.last = numbers.last.saturating_mul(10).saturating_add(digit);
                if !numbers.several {
                    numbers.first = numbers.last;
                }
            }
            b';' => (numbers.several, numbers.last) = (true, 0),
            // A key with Shift, as rxvt has it; elsewhere more follows.
            b'$' if numbers.begun && !numbers.several && !numbers.private => {
                return Some(Key::Unknown);
            }
            b'<'..=b'?' if !numbers.begun => numbers.private = true,
            0x20..=0x3f => {}
            _ if numbers.private => return Some(Key::Unknown),
            b'~' => return Some(numbered(numbers.first)),
            b'R' if numbers.several => return Some(Key::Place(numbers.last)),
            0x40..=0x7e => return Some(letter(byte, numbers.several)),
            _ => return Some(Key::Unknown),
        }
        numbers.begun = true;
        self.state = State::Control(numbers);
        None
    }
}

fn letter(byte: u8, modified: bool) -> Key {
    match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if modified => Key::WordRight,
        b'D' if modified => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => Key::Unknown,
    }
}

fn numbered(number: u16) -> Key {
    match number {
        1 | 7 => Key::Home,
        3 => Key::Delete,
        4 | 8 => Key::End,
        _ => Key::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn check(bytes: &[u8], expected: &[Key]) {
        let mut decoder = Decoder::new();
        let keys: Vec<Key> = bytes.iter().filter_map(|&b| decoder.push(b)).collect();
        assert_eq!(keys, expected, "{bytes:?}");
    }

    #[test]
    fn sequences() {
        check(b"\x1b[A\x1bOB", &[Key::Up, Key::Down]);
        check(b"\x1b[3~\x1b[1~\x1b[8~", &[Key::Delete, Key::Home, Key::End]);
        check(b"\x1b[1;5D\x1bf", &[Key::WordLeft, Key::WordRight]);
        check(b"\x1b[200~x\x1b[201~", &[Key::Unknown, Key::Text(b'x'), Key::Unknown]);
    }

    /// What terminals send for keys and reports that mean nothing here: nothing of it is text, and the next key counts.
    #[test]
    fn unknown_sequences_are_swallowed_whole() {
        for sequence in [
            "[[A",
            "[[E",
            "[3$",
            "[23^",
            "[2@",
            "O5P",
            "OP",
            "O5c",
            "[M !!",
            "[Mabc",
            "[<0;10;20M",
            "[<0;10;20m",
            "[?62;1;6c",
            "[>0;276;0c",
            "[?1$y",
            "[4;1$y",
            "[I",
            "[200~",
            "[1;5P",
            "[[[",
            "]11;rgb:ffff/ffff/ffff\x07",
            "]11;rgb:1/2/3\x1b\\",
            "P1$r0m\x1b\\",
            "P>|term(1)\x1b\\",
            "_Gi=31;OK\x1b\\",
            "^x\x1b\\",
            "Xx\x1b\\",
            "[8;24;80t",
            "%",
            "c",
        ] {
            let bytes = [b"\x1b", sequence.as_bytes(), b"x"].concat();
            check(&bytes, &[Key::Unknown, Key::Text(b'x')]);
        }
        check(b"\x1bO5D\x1bO5C", &[Key::WordLeft, Key::WordRight]);
        check(b"\x1b[24;80R", &[Key::Place(80)]);
        // Strings that do not end: the line's end and ^C do.
        check(b"\x1b]0;abc\rx", &[Key::Enter, Key::Text(b'x')]);
        check(b"\x1bPabc\x03x", &[Key::Control(3), Key::Text(b'x')]);
        check(b"\x1b]0;abc\x1b[A", &[Key::Up]);
    }

    #[test]
    fn line_ends() {
        check(b"\r\n\n\r\r\n", &[Key::Enter, Key::Enter, Key::Enter, Key::Enter]);
    }

    #[test]
    fn broken_sequences() {
        check(b"\x1b[12\nx", &[Key::Enter, Key::Text(b'x')]);
        check(b"\x1b\x1b[A", &[Key::Up]);
        check(b"\x1b[\xffx", &[Key::Unknown, Key::Text(b'x')]);
        check(b"\x1b[99999999999999999~x", &[Key::Unknown, Key::Text(b'x')]);
    }
}
