//! A line's words: quoting, and numbers.

use alloc::{string::String, vec::Vec};

/// Why a line is not a list of words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum WordError {
    /// A quote that never ends.
    #[error("quote {quote} at column {column} is not closed")]
    OpenQuote {
        /// The quote character.
        quote: char,
        /// Where it stands, from 1.
        column: usize,
    },
    /// No memory for the words.
    #[error("out of memory")]
    NoMemory,
    /// A backslash with nothing after it.
    #[error("nothing follows the backslash at the end of the line")]
    OpenEscape,
}

/// Words of a line of which the last is still being written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// The complete words.
    pub words: Vec<String>,
    /// The last word as far as it is written; empty after a space.
    pub last: String,
}

/// Splits a line at blanks. `'…'` takes everything as it is, `"…"` and bare text know the backslash.
pub fn split(line: &str) -> Result<Vec<String>, WordError> {
    let mut splitter = Splitter::default();
    splitter.take(line);
    splitter.check()?;
    splitter.end_word();
    match splitter.full {
        true => Err(WordError::NoMemory),
        false => Ok(splitter.words),
    }
}

/// Splits the line in front of the cursor for completion; unfinished quotes are no error.
pub fn split_partial(line: &str) -> Partial {
    let mut splitter = Splitter::default();
    splitter.take(line);
    Partial { words: splitter.words, last: splitter.word.unwrap_or_default() }
}

#[derive(Default)]
struct Splitter {
    words: Vec<String>,
    word: Option<String>,
    /// Open quote and its column.
    quote: Option<(char, usize)>,
    escaped: bool,
    /// There was no memory for all of it.
    full: bool,
}

impl Splitter {
    fn take(&mut self, line: &str) {
        for (index, c) in line.chars().enumerate() {
            self.take_char(c, index.saturating_add(1));
        }
    }

    fn take_char(&mut self, c: char, column: usize) {
        let quote = self.quote.map(|(quote, _)| quote);
        if core::mem::take(&mut self.escaped) {
            return self.push(c);
        }
        match (quote, c) {
            (None | Some('"'), '\\') => self.escaped = true,
            (Some(open), c) if c == open => self.quote = None,
            (Some(_), c) => self.push(c),
            (None, '\'' | '"') => {
                self.quote = Some((c, column));
                self.word.get_or_insert_default();
            }
            (None, ' ' | '\t') => self.end_word(),
            (None, c) => self.push(c),
        }
    }

    fn push(&mut self, c: char) {
        let word = self.word.get_or_insert_default();
        match word.try_reserve(c.len_utf8()) {
            Ok(()) => word.push(c),
            Err(_) => self.full = true,
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        match self.words.try_reserve(1) {
            Ok(()) => self.words.push(word),
            Err(_) => self.full = true,
        }
    }

    fn check(&self) -> Result<(), WordError> {
        match self.quote {
            _ if self.escaped => Err(WordError::OpenEscape),
            Some((quote, column)) => Err(WordError::OpenQuote { quote, column }),
            None => Ok(()),
        }
    }
}

/// Why a word is not a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum NumberError {
    /// Something else than digits.
    #[error("is not a number (decimal, or hexadecimal with 0x)")]
    NotANumber,
    /// Too large.
    #[error("does not fit into {bits} bits")]
    TooLarge {
        /// Width asked for.
        bits: u32,
    },
}

/// Parses a decimal or, with `0x`, a hexadecimal number of at most 64 bits.
pub fn number(word: &str) -> Result<u64, NumberError> {
    let (digits, radix) = match word.strip_prefix("0x").or(word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NumberError::NotANumber);
    }
    u64::from_str_radix(digits, radix).map_err(|_| NumberError::TooLarge { bits: 64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        assert_eq!(split(line).unwrap(), expected, "{line:?}");
    }

    #[test]
    fn words() {
        check("", &[]);
        check("  \t ", &[]);
        check("a  b\tc ", &["a", "b", "c"]);
        check("'a b' \"c d\" e\\ f", &["a b", "c d", "e f"]);
        check("a'b'\"c\"", &["abc"]);
        check("''", &[""]);
        check(r#"'a\b' "a\"b""#, &["a\\b", "a\"b"]);
        check("größe ☃", &["größe", "☃"]);
    }

    #[test]
    fn unfinished() {
        let open = |quote, column| Err(WordError::OpenQuote { quote, column });
        assert_eq!(split("ab 'cd"), open('\'', 4));
        assert_eq!(split("\""), open('"', 1));
        assert_eq!(split("a\\"), Err(WordError::OpenEscape));
        let partial = split_partial("bpf_exec 'a b");
        assert_eq!(partial.words, ["bpf_exec"]);
        assert_eq!(partial.last, "a b");
        assert_eq!(split_partial("ls ").last, "");
    }

    #[test]
    fn numbers() {
        assert_eq!(number("0"), Ok(0));
        assert_eq!(number("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(number("0xFFFFFFFFFFFFFFFF"), Ok(u64::MAX));
        assert_eq!(number("0X1f"), Ok(31));
        for word in ["", "0x", "-1", "+1", "1f", "0xg", "1_0", " 1", "٣"] {
            assert_eq!(number(word), Err(NumberError::NotANumber), "{word:?}");
        }
        for word in ["18446744073709551616", "0x10000000000000000"] {
            assert_eq!(number(word), Err(NumberError::TooLarge { bits: 64 }));
        }
    }
}
