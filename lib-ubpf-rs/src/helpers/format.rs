//! Text of a format and numbers, as `printf` makes it: `%d %i %u %x %X %p %c %s %%`, with `0`, `-`, a width and the lengths of C.

use super::ReadMemory;

/// Most that is made of one format, and most of a string that is read for it, in bytes.
pub(super) const LONGEST: usize = 256;
const STRING: usize = 128;
/// Units that a conversion takes, and that of a string.
const NUMBER: u32 = 24;
const READ: u32 = 420;
/// Most arguments, as on Linux, and most units.
pub(super) const ARGUMENTS: usize = 12;
pub(super) const MOST_WALKED: u32 = ARGUMENTS as u32 * READ + LONGEST as u32;

/// Where the text goes.
pub(super) struct FormattedText {
    bytes: [u8; LONGEST],
    /// Bytes that it has, those included for which there was no room.
    len: usize,
}

impl FormattedText {
    /// What there was room for.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
        }
        self.len = self.len.wrapping_add(1);
    }

    fn padded(&mut self, text: &[u8], width: usize, (left, zeros): (bool, bool)) {
        // A sign stands before zeros.
        let sign = text.first().filter(|&&byte| zeros && byte == b'-');
        let missing = width.saturating_sub(text.len());
        sign.iter().for_each(|&&sign| self.put(sign));
        if !left {
            (0..missing).for_each(|_| self.put(if zeros { b'0' } else { b' ' }));
        }
        text.iter().skip(sign.iter().count()).for_each(|&byte| self.put(byte));
        if left {
            (0..missing).for_each(|_| self.put(b' '));
        }
    }
}

/// The text of a format and numbers; strings are read from `memory`. `None` where the format is none, or where there are fewer numbers.
pub(super) fn format(
    format: &[u8],
    numbers: &[u64],
    memory: &dyn ReadMemory,
    walked: &mut u32,
) -> Option<FormattedText> {
    let mut text = FormattedText { bytes: [0; LONGEST], len: 0 };
    let mut numbers = numbers.iter().copied();
    let mut argument = || numbers.next();
    let mut rest = format.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            text.put(byte);
            continue;
        }
        let (mut left, mut zeros, mut width, mut long) = (false, false, 0usize, false);
        let conversion = loop {
            match rest.next()? {
                b'-' => left = true,
                b'0' if width == 0 => zeros = true,
                digit @ b'0'..=b'9' => {
                    width = width.saturating_mul(10).saturating_add((digit & 15).into()).min(LONGEST)
                }
                b'l' | b'z' => long = true,
                b'h' | b'#' | b' ' | b'+' => {}
                other => break other,
            }
        };
        *walked = walked.saturating_add(NUMBER);
        let style = (left, zeros && !left);
        match conversion {
            b'%' => text.put(b'%'),
            b'c' => text.padded(&[argument()? as u8], width, (left, false)),
            b'd' | b'i' => {
                let number = argument()?;
                let number = if long { number as i64 } else { i64::from(number as i32) };
                digits(number.unsigned_abs(), 10, b'a', number < 0, |digits| text.padded(digits, width, style));
            }
            b'u' | b'x' | b'X' | b'p' => {
                let number = argument()?;
                let number = if long || conversion == b'p' { number } else { u64::from(number as u32) };
                let base = if conversion == b'u' { 10 } else { 16 };
                let letter = if conversion == b'X' { b'A' } else { b'a' };
                digits(number, base, letter, false, |digits| text.padded(digits, width, style));
            }
            b's' => {
                *walked = walked.saturating_add(READ - NUMBER);
                let mut string = [0; STRING];
                let readable = memory.probe_read(argument()?, &mut string);
                let string = string.get(..readable)?;
                let end = string.iter().position(|&byte| byte == 0).unwrap_or(readable);
                text.padded(string.get(..end)?, width, (left, false));
            }
            _ => return None,
        }
    }
    Some(text)
}

/// Shows the digits of a number.
fn digits(mut number: u64, base: u64, letter: u8, negative: bool, show: impl FnOnce(&[u8])) {
    let mut buffer = [0; 21];
    let mut from = buffer.len();
    let mut put = |byte| {
        from -= 1;
        if let Some(slot) = buffer.get_mut(from) {
            *slot = byte;
        }
    };
    loop {
        let digit = (number % base) as u8;
        put(if digit < 10 { b'0' + digit } else { letter + digit - 10 });
        number /= base;
        if number == 0 {
            break;
        }
    }
    if negative {
        put(b'-');
    }
    show(buffer.get(from..).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    /// Memory with a string in one place.
    struct Five;

    impl ReadMemory for Five {
        fn probe_read(&self, address: u64, out: &mut [u8]) -> usize {
            let text = if address == 5 { "five\0and more" } else { "" };
            let len = text.len().min(out.len());
            out[..len].copy_from_slice(&text.as_bytes()[..len]);
            len
        }
    }

    fn made(text: &str, numbers: &[u64]) -> Option<String> {
        let mut walked = 0;
        let made = format(text.as_bytes(), numbers, &Five, &mut walked)?;
        assert!(walked <= MOST_WALKED || numbers.len() > ARGUMENTS);
        Some(String::from_utf8(made.bytes().into()).unwrap())
    }

    #[test]
    fn numbers_and_strings_are_as_printf_has_them() {
        let minus = -7i64 as u64;
        for (text, numbers, expected) in [
            ("plain 100%%", &[][..], "plain 100%"),
            ("%d %i|%5d|%-5d|%05d", &[minus, 7, minus, minus, minus], "-7 7|   -7|-7   |-0007"),
            ("%ld %lld %d", &[1 << 40, minus, 1 << 40], "1099511627776 -7 0"),
            ("%u %lu", &[minus, u64::MAX], "4294967289 18446744073709551615"),
            (
                "%x %X %lx %08x %p",
                &[0xbeef, 0xbeef, u64::MAX, 0xabc, 0x1000],
                "beef BEEF ffffffffffffffff 00000abc 1000",
            ),
            ("%c%c|%s|%8s|%-8s|", &[104, 105, 5, 5, 5], "hi|five|    five|five    |"),
            ("%s", &[6], ""),
            ("%d", &[i32::MIN as u64], "-2147483648"),
            ("%ld", &[i64::MIN as u64], "-9223372036854775808"),
            ("%zu %hhx", &[3, 0x12], "3 12"),
        ] {
            assert_eq!(made(text, numbers).as_deref(), Some(expected), "{text}");
        }
        for (text, numbers) in [("%d", &[][..]), ("%", &[1]), ("%q", &[1]), ("%5", &[1]), ("%l", &[1])] {
            assert_eq!(made(text, numbers), None, "{text}");
        }
    }

    #[test]
    fn what_is_too_long_ends() {
        let long = made("%99999999999d%300s", &[1, 5]).unwrap();
        assert_eq!(long.len(), LONGEST);
        let mut walked = 0;
        let text = format(b"%255u%255u", &[1, 1], &Five, &mut walked).unwrap();
        assert_eq!((text.len(), text.bytes().len()), (510, LONGEST));
    }
}
