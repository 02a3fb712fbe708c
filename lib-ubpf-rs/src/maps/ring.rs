//! Rings: records of any length, from many writers to one reader.
//!
//! A writer takes room by moving the head on, fills it, and publishes the record through its first word, which was zero until then: the
//! reader leaves zeros behind it. So writers wait for nobody, also in an interrupt, and a record is seen whole or not at all. What finds no
//! room is lost, and counted.

use super::{
    values::{zeroed, Between},
    Bytes, MapError,
};
use alloc::boxed::Box;
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

const WORD: u64 = 8;
/// In the first word of a record, above its length: it is there.
const THERE: u64 = 1 << 32;
/// Times that room is asked for while other writers take it.
const PATIENCE: usize = 1024;

/// A ring.
pub(super) struct Ring {
    words: Box<[AtomicU64]>,
    /// Bytes that were taken, and that were read, since the beginning.
    head: AtomicU64,
    tail: AtomicU64,
    reading: AtomicBool,
}

impl Ring {
    /// A ring of so many bytes, a power of two and at least 8; `None` without memory.
    pub fn new(bytes: u32, between: &mut Between<'_>) -> Option<Ring> {
        Some(Ring {
            words: zeroed((u64::from(bytes) / WORD) as usize, between)?,
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            reading: AtomicBool::new(false),
        })
    }

    fn bytes(&self) -> u64 {
        (self.words.len() as u64).wrapping_mul(WORD)
    }

    fn word(&self, position: u64) -> Option<&AtomicU64> {
        let mask = (self.words.len() as u64).wrapping_sub(1);
        self.words.get(((position / WORD) & mask) as usize)
    }

    /// Adds a record. It has at least one byte, and fits the ring together with its length.
    pub fn write(&self, data: Bytes<'_>) -> Result<(), MapError> {
        let at = self.take(data.len() as u64)?;
        for (place, word) in (1..).zip(data.words()) {
            if let Some(slot) = self.word(at.wrapping_add(WORD.wrapping_mul(place))) {
                slot.store(word, Relaxed);
            }
        }
        if let Some(first) = self.word(at) {
            first.store(THERE | data.len() as u64, Release);
        }
        Ok(())
    }

    /// Room for a record of so many bytes.
    fn take(&self, len: u64) -> Result<u64, MapError> {
        let full = MapError::Full { capacity: self.bytes() as usize };
        if len == 0 || len > self.bytes().saturating_sub(WORD).min(u64::from(u32::MAX)) {
            return Err(MapError::Invalid);
        }
        let size = size_of_record(len);
        let mut head = self.head.load(Acquire);
        for _ in 0..PATIENCE {
            let used = head.wrapping_sub(self.tail.load(Acquire));
            if used.saturating_add(size) > self.bytes() {
                return Err(full);
            }
            match self.head.compare_exchange(head, head.wrapping_add(size), SeqCst, Acquire) {
                Ok(at) => return Ok(at),
                Err(other) => head = other,
            }
        }
        Err(MapError::Busy)
    }

    /// As when somebody stands still in the middle of writing so many bytes.
    #[cfg(test)]
    pub fn stand_still(&self, len: u64) {
        self.take(len).unwrap();
    }

    /// Copies the oldest record, as much of it as there is room for, and takes it off; gives its length. `None` where there is none, where it
    /// is being written, or where somebody else reads.
    pub fn read(&self, out: &mut [u8]) -> Option<usize> {
        if self.reading.swap(true, Acquire) {
            return None;
        }
        let read = self.read_one(out);
        self.reading.store(false, Release);
        read
    }

    fn read_one(&self, out: &mut [u8]) -> Option<usize> {
        let tail = self.tail.load(Relaxed);
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
        self.tail.store(tail.wrapping_add(size), Release);
        Some(len as usize)
    }

    /// Bytes that are in it.
    pub fn used(&self) -> usize {
        self.head.load(Relaxed).wrapping_sub(self.tail.load(Relaxed)).min(self.bytes()) as usize
    }

    /// Nobody else is there any more: what was being written is gone with those behind it.
    pub fn after_fork(&self) {
        self.reading.store(false, Release);
        let mut at = self.tail.load(Relaxed);
        let head = self.head.load(Relaxed);
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
        self.head.store(at, Release);
    }
}

/// Bytes of a record of so many bytes of data, its first word included.
fn size_of_record(len: u64) -> u64 {
    len.next_multiple_of(WORD).saturating_add(WORD)
}
