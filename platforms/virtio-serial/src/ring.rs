//! A fixed-size queue of bytes.

use crate::typed;

/// Bytes in the order they came; at most `N` at a time.
pub struct ByteRing<const N: usize> {
    bytes: [u8; N],
    /// Bytes ever taken out; the position of the next one to come out.
    taken: u64,
    /// Bytes ever put in.
    put: u64,
}

impl<const N: usize> ByteRing<N> {
    /// An empty ring.
    pub const fn new() -> Self {
        Self { bytes: [0; N], taken: 0, put: 0 }
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.put.wrapping_sub(self.taken) as usize
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many more bytes fit.
    pub fn room(&self) -> usize {
        N.saturating_sub(self.len())
    }

    /// How many bytes were ever put in: marks the end of what waits now.
    pub fn end(&self) -> u64 {
        self.put
    }

    /// How many bytes were ever taken out: marks the next byte to come out.
    pub fn start(&self) -> u64 {
        self.taken
    }

    /// Puts in as many leading bytes as fit and says how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        let (tail, head) = (self.slot(self.put), N);
        let first = count.min(head.saturating_sub(tail));
        copy(self.bytes.get_mut(tail..), bytes.get(..first));
        copy(self.bytes.get_mut(..), bytes.get(first..count));
        self.put = self.put.wrapping_add(count as u64);
        count
    }

    /// The waiting bytes that lie together at the front (all of them, or those up to the ring's seam).
    pub fn front(&self) -> &[u8] {
        let at = self.slot(self.taken);
        let end = at.saturating_add(self.len()).min(N);
        self.bytes.get(at..end).unwrap_or(&[])
    }

    /// Takes out `count` bytes (at most those that wait).
    pub fn consume(&mut self, count: usize) {
        self.taken = self.taken.wrapping_add(count.min(self.len()) as u64);
    }

    /// Takes bytes out into `into` and says how many.
    pub fn pop(&mut self, into: &mut [u8]) -> usize {
        let mut done: usize = 0;
        while done < into.len() && !self.is_empty() {
            let front = self.front();
            let count = front.len().min(into.len().saturating_sub(done));
            copy(into.get_mut(done..), front.get(..count));
            self.consume(count);
            done = done.saturating_add(count);
        }
        done
    }

    /// The waiting bytes in their order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        let places = (0..self.len() as u64).map(|at| self.slot(self.taken.wrapping_add(at)));
        places.filter_map(|at| self.bytes.get(at).copied())
    }

    /// Takes out the waiting byte number `at`; those before it stay in front of those behind it.
    pub fn remove(&mut self, at: usize) {
        if at >= self.len() {
            return;
        }
        for place in (1..=at as u64).rev() {
            let (to, from) =
                (self.slot(self.taken.wrapping_add(place)), self.slot(self.taken.wrapping_add(place.wrapping_sub(1))));
            let byte = self.bytes.get(from).copied();
            if let (Some(to), Some(byte)) = (self.bytes.get_mut(to), byte) {
                *to = byte;
            }
        }
        self.consume(1);
    }

    /// How many bytes go to the shell at once: up to the first with which it may begin to work. What follows waits here, where a
    /// `^C` in it is found.
    pub fn piece(&self) -> usize {
        typed::piece(self.iter())
    }

    /// Takes out the `^C` among the first `limit` bytes that ends the command which runs; whether there was one. The contents of a file
    /// are none.
    pub fn take_interrupt(&mut self, limit: usize) -> bool {
        let found = typed::interrupt(self.iter().take(limit));
        found.inspect(|&at| self.remove(at)).is_some()
    }

    /// Forgets all waiting bytes.
    pub fn clear(&mut self) {
        self.taken = self.put;
    }

    fn slot(&self, position: u64) -> usize {
        position.checked_rem(N as u64).unwrap_or(0) as usize
    }
}

impl<const N: usize> Default for ByteRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies as much of `from` as `to` holds.
fn copy(to: Option<&mut [u8]>, from: Option<&[u8]>) {
    for (to, from) in to.into_iter().flatten().zip(from.into_iter().flatten()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_over_the_seam_and_refuses_what_does_not_fit() {
        let mut ring = ByteRing::<5>::new();
        let mut out = [0; 8];
        assert_eq!(ring.push(b"abc"), 3);
        assert_eq!(ring.pop(&mut out[..2]), 2);
        assert_eq!(ring.push(b"defgh"), 4);
        assert_eq!(ring.room(), 0);
        assert_eq!(ring.push(b"x"), 0);
        assert_eq!(ring.front(), b"cde");
        assert_eq!(ring.pop(&mut out), 5);
        assert_eq!(&out[..5], b"cdefg");
        assert!(ring.is_empty());
    }

    #[test]
    fn a_byte_is_taken_out_of_the_midst_and_the_others_keep_their_order() {
        for start in 0..7 {
            for at in 0..6 {
                let mut ring = ByteRing::<7>::new();
                ring.push(&b"xxxxxxx"[..start]);
                ring.consume(start);
                ring.push(b"abcdef");
                ring.remove(at);
                let others = (b'a'..=b'f').filter(|byte| *byte != b'a' + at as u8);
                assert!(ring.iter().eq(others), "{start} {at}");
                ring.remove(5);
                assert_eq!((ring.len(), ring.room()), (5, 2));
            }
        }
    }

    #[test]
    fn an_interrupt_is_taken_out_of_what_was_typed_ahead() {
        let mut ring = ByteRing::<32>::new();
        ring.push(b"ls\n\x03status\n");
        assert!(!ring.take_interrupt(3));
        assert!(ring.take_interrupt(4) && !ring.take_interrupt(32));
        let mut out = [0; 16];
        let first = ring.piece();
        assert_eq!(ring.pop(&mut out[..first]), 3);
        assert_eq!(ring.pop(&mut out), 7);
        assert_eq!(&out[..7], b"status\n");
    }

    #[test]
    fn a_ring_without_bytes_holds_nothing() {
        let mut ring = ByteRing::<0>::new();
        assert_eq!(ring.push(b"a"), 0);
        assert_eq!(ring.front(), b"");
    }
}
