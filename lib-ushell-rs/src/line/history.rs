//! Past lines in one fixed buffer: newest last, the oldest make room.

/// None where no key asks for them.
const BYTES: usize = if crate::TERSE { 0 } else { 4096 };

/// Past lines.
pub(crate) struct History {
    /// Lines, each followed by a newline.
    text: [u8; BYTES],
    len: usize,
    /// How many lines back the person has gone; 0 = at the line being written.
    back: usize,
    /// Most lines kept.
    limit: usize,
}

impl History {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { text: [0; BYTES], len: 0, back: 0, limit }
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let text = self.text.get(..self.len).unwrap_or(&[]);
        text.split_inclusive(|&b| b == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// Adds a line, unless it is empty or equals the last one.
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.back = 0;
        if BYTES == 0 {
            return;
        }
        let needed = line.len().saturating_add(1);
        let repeated = self.lines().next_back() == Some(line);
        if line.is_empty() || needed > BYTES || self.limit == 0 || repeated {
            return;
        }
        while self.len.saturating_add(needed) > BYTES || self.lines().count() >= self.limit {
            self.drop_oldest();
        }
        let new = self.text.iter_mut().skip(self.len);
        new.zip(line.iter().chain(b"\n")).for_each(|(slot, &byte)| *slot = byte);
        self.len = self.len.saturating_add(needed);
    }

    fn drop_oldest(&mut self) {
        let oldest = self.lines().next().map_or(self.len, |line| line.len().saturating_add(1));
        let oldest = oldest.min(self.len);
        self.text.copy_within(oldest..self.len, 0);
        self.len = self.len.saturating_sub(oldest);
    }

    /// The line before the one shown.
    pub(crate) fn older(&mut self) -> Option<&[u8]> {
        let count = self.lines().count();
        if self.back >= count {
            return None;
        }
        self.back = self.back.saturating_add(1);
        self.shown()
    }

    /// The line after the one shown; empty when that is the one being written.
    pub(crate) fn newer(&mut self) -> Option<&[u8]> {
        if self.back == 0 {
            return None;
        }
        self.back = self.back.saturating_sub(1);
        Some(self.shown().unwrap_or(&[]))
    }

    fn shown(&self) -> Option<&[u8]> {
        self.lines().nth_back(self.back.checked_sub(1)?)
    }

    /// Back to the line being written.
    pub(crate) fn leave(&mut self) {
        self.back = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_both_ways() {
        let mut history = History::new(64);
        for line in ["a", "", "b", "b"] {
            history.add(line.as_bytes());
        }
        assert_eq!(history.older(), Some(&b"b"[..]));
        assert_eq!(history.older(), Some(&b"a"[..]));
        assert_eq!(history.older(), None);
        assert_eq!(history.newer(), Some(&b"b"[..]));
        assert_eq!(history.newer(), Some(&b""[..]));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn oldest_make_room() {
        let mut history = History::new(64);
        for n in 0..100u8 {
            history.add(&[b'a' + n % 26; 500]);
        }
        assert_eq!(history.lines().count(), 8);
        assert_eq!(history.older(), Some(&[b'a' + 99 % 26; 500][..]));
        history.add(&[b'x'; BYTES]);
        assert_eq!(history.lines().count(), 8);
    }

    #[test]
    fn keeps_no_more_lines_than_asked_for() {
        let mut history = History::new(2);
        for line in ["a", "b", "c"] {
            history.add(line.as_bytes());
        }
        assert_eq!(history.older(), Some(&b"c"[..]));
        assert_eq!(history.older(), Some(&b"b"[..]));
        assert_eq!(history.older(), None);
        let mut none = History::new(0);
        none.add(b"a");
        assert_eq!(none.older(), None);
    }
}
