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
    /// An escape sequence without a meaning here.
    Unknown,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC O.
    Application,
    /// After ESC [, with the first parameter and whether a modifier followed.
    Control { number: u16, modified: bool },
}

/// Finds keys in a stream of bytes.
pub(crate) struct Decoder {
    state: State,
    after_cr: bool,
    broken: bool,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Text,
            after_cr: false,
            broken: false,
        }
    }

    /// Takes one byte; gives the key it completes, if it does.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        if byte == b'\n' && after_cr {
            return None;
        }
        // A control byte is never part of a sequence: it ends a broken one and counts itself.
        if byte < 0x20 || byte == 0x7f {
            return self.control(byte);
        }
        match core::mem::take(&mut self.state) {
            State::Text => Some(Key::Text(byte)),
            State::Escape => self.after_escape(byte),
            State::Application => Some(letter(byte, false)),
            State::Control { number, modified } => self.in_sequence(byte, number, modified),
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
        match byte {
            b'[' => {
                self.state = State::Control {
                    number: 0,
                    modified: false,
                };
                None
            }
            b'O' => {
                self.state = State::Application;
                None
            }
            b'b' => Some(Key::WordLeft),
            b'f' => Some(Key::WordRight),
            _ => Some(Key::Unknown),
        }
    }

    fn in_sequence(&mut self, byte: u8, number: u16, modified: bool) -> Option<Key> {
        let (number, modified) = match byte {
            b'0'..=b'9' if !modified => {
                let digit = u16::from(byte.wrapping_sub(b'0'));
                (number.saturating_mul(10).saturating_add(digit), false)
            }
            b';' => (number, true),
            0x20..=0x3f => (number, modified),
            b'~' => return Some(numbered(number)),
            0x40..=0x7e => return Some(letter(byte, modified)),
            _ => return Some(Key::Unknown),
        };
        self.state = State::Control { number, modified };
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
        check(
            b"\x1b[3~\x1b[1~\x1b[8~",
            &[Key::Delete, Key::Home, Key::End],
        );
        check(b"\x1b[1;5D\x1bf", &[Key::WordLeft, Key::WordRight]);
        check(
            b"\x1b[200~x\x1b[201~",
            &[Key::Unknown, Key::Text(b'x'), Key::Unknown],
        );
    }

    #[test]
    fn line_ends() {
        check(
            b"\r\n\n\r\r\n",
            &[Key::Enter, Key::Enter, Key::Enter, Key::Enter],
        );
    }

    #[test]
    fn broken_sequences() {
        check(b"\x1b[12\nx", &[Key::Enter, Key::Text(b'x')]);
        check(b"\x1b\x1b[A", &[Key::Up]);
        check(b"\x1b[\xffx", &[Key::Unknown, Key::Text(b'x')]);
        check(
            b"\x1b[99999999999999999~x",
            &[Key::Unknown, Key::Text(b'x')],
        );
    }
}
