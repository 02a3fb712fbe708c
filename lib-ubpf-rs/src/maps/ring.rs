//! Rings: records of any length, from many writers to one reader.
//!
//! A writer takes room by moving the head on, fills it, and publishes the record through its first word, which was zero until then: the
//! reader leaves zeros behind it. So writers wait for nobody, also in an interrupt, and a record is seen whole or not at all. What finds no
//! room is lost, and counted.
//!
//! A record that a program fills by itself is reserved first: room that lies in one piece, so that what is left before the end of the ring
//! is passed over. Until it is released its first word does not say that it is there (where machine code has reserved it, it has the length
//! beforehand), and the reader, who keeps the order, waits for it alone.

use super::{
    values::{zeroed, Between},
    Bytes, LookupForm, MapError,
};
use alloc::boxed::Box;
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

const WORD: u64 = 8;
/// In the first word of a record, above its length: it is there.
const THERE: u64 = 1 << 32;
/// It is to be passed over.
const SKIPPED: u64 = 1 << 33;
/// Most records that a reader passes over at a time.
const PASSED_OVER: usize = 1024;
/// Times that room is asked for while other writers take it.
const PATIENCE: usize = 1024;

/// What machine code needs to reserve a record. Of one that it has reserved, the first word has the length from the beginning.
#[repr(C)]
pub struct RecordsLayout {
    /// Address of the words.
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    /// Bytes that were taken, and that were read, since the beginning.
    pub(crate) head: AtomicU64,
    pub(crate) tail: AtomicU64,
    /// Records for which machine code found no room.
    pub(crate) lost: AtomicU64,
}

impl RecordsLayout {
    /// In the first word of a record, above its length: it is there, and it is to be passed over.
    pub const THERE: u64 = THERE;
    /// See [`THERE`](Self::THERE).
    pub const SKIPPED: u64 = SKIPPED;
}

/// A ring.
pub(super) struct RingMap {
    words: Box<[AtomicU64]>,
    layout: RecordsLayout,
    reading: AtomicBool,
}

impl RingMap {
    /// A ring of so many bytes, a power of two and at least 8; `None` without memory.
    pub fn new(bytes: u32, between: &mut Between<'_>) -> Option<RingMap> {
        let words: Box<[AtomicU64]> = zeroed((u64::from(bytes) / WORD) as usize, between)?;
        let layout = RecordsLayout {
            words: words.as_ptr() as u64,
            bytes: (words.len() as u64).wrapping_mul(WORD),
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        };
        Some(RingMap { words, layout, reading: AtomicBool::new(false) })
    }

    /// How machine code reserves records.
    pub fn form(&self) -> LookupForm {
        LookupForm::Records(core::ptr::from_ref(&self.layout) as u64)
    }

    /// Records for which machine code found no room.
    pub fn lost(&self) -> u64 {
        self.layout.lost.load(Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.layout.bytes
    }

    /// Where it lies: address, and length in bytes.
    pub fn place(&self) -> (u64, u64) {
        (self.layout.words, self.bytes())
    }

    fn word(&self, position: u64) -> Option<&AtomicU64> {
        let mask = (self.words.len() as u64).wrapping_sub(1);
        self.words.get(((position / WORD) & mask) as usize)
    }

    /// Adds a record. It has at least one byte, and fits the ring together with its length.
    pub fn write(&self, data: Bytes<'_>) -> Result<(), MapError> {
        let at = self.take(data.len() as u64, false)?;
        for (place, word) in (1..).zip(data.words()) {
            if let Some(slot) = self.word(at.wrapping_add(WORD.wrapping_mul(place))) {
                slot.store(word, Relaxed);
            }
        }
        self.publish(at, THERE | data.len() as u64);
        Ok(())
    }

    fn publish(&self, at: u64, first: u64) {
        if let Some(word) = self.word(at) {
            word.store(first, Release);
        }
    }

    /// Takes room for a record of so many bytes, all zero, until it is [released](Self::release); its address.
    pub fn reserve(&self, len: u64) -> Result<u64, MapError> {
        let at = self.take(len, true)?;
        let word = self.word(at.wrapping_add(WORD)).ok_or(MapError::Invalid)?;
        Ok(core::ptr::from_ref(word) as u64)
    }

    /// What was reserved at this address, of so many bytes, is a record from now on, or is passed over.
    pub fn release(&self, address: u64, len: u64, keep: bool) {
        let first = if keep { THERE | len } else { THERE | SKIPPED | len };
        let at = address.wrapping_sub(self.words.as_ptr() as u64);
        self.publish(at.wrapping_sub(WORD), first);
    }

    /// What a program can ask for, with the numbers of Linux: bytes that wait, bytes there are, and the two positions.
    pub fn number(&self, what: u64) -> u64 {
        match what {
            0 => self.used() as u64,
            1 => self.bytes(),
            2 => self.layout.tail.load(Relaxed),
            3 => self.layout.head.load(Relaxed),
            _ => 0,
        }
    }

    /// Room for a record of so many bytes, in one piece if asked for.
    fn take(&self, len: u64, whole: bool) -> Result<u64, MapError> {
        let full = MapError::Full { capacity: self.bytes() as usize };
        if len == 0 || len > self.bytes().saturating_sub(WORD).min(u64::from(u32::MAX)) {
            return Err(MapError::Invalid);
        }
        let record = size_of_record(len);
        let mut head = self.layout.head.load(Acquire);
        for _ in 0..PATIENCE {
            // What does not fit before the end begins at the start. The rest is taken even where the record has no room then: the next
            // one may have it.
            let left = self.bytes().wrapping_sub(head & self.bytes().wrapping_sub(1));
            let rest = whole && record > left;
            let size = if rest { left } else { record };
            let used = head.wrapping_sub(self.layout.tail.load(Acquire));
            if used > self.bytes() {
                // What was behind this head has been read meanwhile.
                head = self.layout.head.load(Acquire);
                continue;
            }
            if used.saturating_add(size) > self.bytes() {
                return Err(full);
            }
            match self.layout.head.compare_exchange(head, head.wrapping_add(size), SeqCst, Acquire) {
                Ok(at) if rest => {
                    self.publish(at, THERE | SKIPPED | left.wrapping_sub(WORD));
                    head = head.wrapping_add(left);
                }
                Ok(at) => return Ok(at),
                Err(other) => head = other,
            }
        }
        Err(MapError::Busy)
    }

    /// As when somebody stands still in the middle of writing so many bytes.
    #[cfg(test)]
    pub fn stand_still(&self, len: u64) {
        self.take(len, false).unwrap();
    }

    /// Copies the oldest record, as much of it as there is room for, and takes it off; gives its length. `None` where there is none, where it
    /// is being written, or where somebody else reads.
    pub fn read(&self, out: &mut [u8]) -> Option<usize> {
        if self.reading.swap(true, Acquire) {
            return None;
        }
        let mut read = None;
        for _ in 0..PASSED_OVER {
            read = self.read_one(out);
            if !matches!(read, Some((_, false))) {
                break;
            }
        }
        self.reading.store(false, Release);
        read.filter(|read| read.1).map(|read| read.0)
    }

    /// Takes the oldest off; its length, and whether it is a record.
    fn read_one(&self, out: &mut [u8]) -> Option<(usize, bool)> {
        let tail = self.layout.tail.load(Relaxed);
        let first = self.word(tail)?.load(Acquire);
        if first & THERE == 0 {
            return None;
        }
        let len = first & u64::from(u32::MAX);
        let size = size_of_record(len);
        let mut parts = out.get_mut(..(len as usize).min(out.len())).unwrap_or_default().chunks_mut(WORD as usize);
        for offset in (WORD..size).step_by(WORD as usize) {
            // Whoever writes there next must find zeros.
            let word = self.word(tail.wrapping_add(offset))?.swap(0, Relaxed).to_le_bytes();
            if let Some(part) = parts.next() {
                part.copy_from_slice(word.get(..part.len()).unwrap_or(&[]));
            }
        }
        self.word(tail)?.store(0, Relaxed);
        self.layout.tail.store(tail.wrapping_add(size), Release);
        Some((len as usize, first & SKIPPED == 0))
    }

    /// Writes a word of a record that is reserved, as a program does.
    #[cfg(test)]
    pub fn fill(&self, address: u64, word: u64) {
        self.publish(address.wrapping_sub(self.words.as_ptr() as u64), word);
    }

    #[cfg(test)]
    pub fn reset(&self) {
        self.words.iter().chain([&self.layout.head, &self.layout.tail]).for_each(|word| word.store(0, Relaxed));
    }

    /// Bytes that are in it.
    pub fn used(&self) -> usize {
        // In this order: the head is never before a tail that was read earlier.
        let tail = self.layout.tail.load(Acquire);
        self.layout.head.load(Relaxed).wrapping_sub(tail).min(self.bytes()) as usize
    }

    /// Nobody else is there any more: what was being written is gone with those behind it.
    pub fn after_fork(&self) {
        self.reading.store(false, Release);
        let mut at = self.layout.tail.load(Relaxed);
        let head = self.layout.head.load(Relaxed);
        while at < head {
            let first = self.word(at).map_or(0, |word| word.load(Acquire));
            if first & THERE == 0 {
                break;
            }
            at = at.wrapping_add(size_of_record(first & u64::from(u32::MAX)));
        }
        for position in (at..head).step_by(WORD as usize) {
            if let Some(word) = self.word(position) {
                word.store(0, Relaxed);
            }
        }
        self.layout.head.store(at, Release);
    }
}

/// Bytes of a record of so many bytes of data, its first word included.
fn size_of_record(len: u64) -> u64 {
    len.next_multiple_of(WORD).saturating_add(WORD)
}
