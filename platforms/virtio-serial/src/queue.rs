//! A split virtqueue (VIRTIO 1.2, section 2.7) with buffers of one descriptor each, over memory that the platform provides.
//!
//! A device may keep what it was given to send: QEMU's virtio-serial, when a client leaves, returns everything that waits but the
//! buffer of which it had sent a part. It forgets that one. A console port is a stream, so its device takes buffers in the
//! order in which it was given them: when a later one comes back, all earlier ones that did not are lost, and used again.
//! A client that leaves before it has read a word can take a buffer along without any coming back later, and so can the
//! next: what was given before a session ended is used again when there is no other ([`Queue::end_session`]). The device read the
//! descriptor of a buffer that it holds, and reads its memory at most to send it, so nothing but text of the port can suffer if it does
//! hold one. Buffers to be filled are never reclaimed.

use core::sync::atomic::{fence, AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering};

/// Most buffers of a queue.
pub const MOST_BUFFERS: usize = 32;

/// Of a descriptor: the device writes to the buffer.
const WRITE: u64 = 2 << 32;
/// Of the driver's area: the device need not interrupt.
const NO_INTERRUPT: u16 = 1;
/// Of the device's area: the driver need not notify.
const NO_NOTIFY: u32 = 1;

/// The three areas of a queue, shared with the device. They are zero at first.
#[derive(Clone, Copy)]
pub struct Areas<'m> {
    /// Two words for each descriptor: address, then length and flags. The number of descriptors is the queue's size.
    pub descriptors: &'m [AtomicU64],
    /// Flags, index, and one entry for each descriptor.
    pub driver: &'m [AtomicU16],
    /// Flags and index in one word, then two words for each descriptor: number and length.
    pub device: &'m [AtomicU32],
}

/// Buffers of the same size, one after the other.
#[derive(Clone, Copy)]
pub struct Buffers<'m> {
    /// All of them.
    pub bytes: &'m [AtomicU8],
    /// Bytes of each.
    pub each: usize,
    /// Where the device finds the first one.
    pub address: u64,
}

impl<'m> Buffers<'m> {
    fn count(&self) -> usize {
        let count = self.bytes.len().checked_div(self.each).unwrap_or(0);
        count.min(MOST_BUFFERS)
    }

    fn get(&self, number: usize) -> &'m [AtomicU8] {
        let start = number.saturating_mul(self.each);
        let end = start.saturating_add(self.each);
        self.bytes.get(start..end).unwrap_or(&[])
    }
}

/// What the device had when it was offered buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// It has all of them already.
    Nothing,
    /// It got some back. It had others meanwhile, or this was the first offer.
    Some,
    /// It got all of them back, and had none until now. What it had to say meanwhile may be lost.
    Starved,
}

/// A queue in one direction, with its buffers.
pub struct Queue<'m> {
    areas: Areas<'m>,
    buffers: Buffers<'m>,
    /// One bit for each buffer that the device does not have.
    free: u32,
    /// One bit for each buffer that was given before a session ended and has not come back.
    doubtful: u32,
    /// The value of `put` when the device got the buffer.
    given: [u16; MOST_BUFFERS],
    /// Buffers ever given, modulo 65,536.
    put: u16,
    /// Buffers ever taken back from the device's area, modulo 65,536.
    taken: u16,
    begun: bool,
    reclaimed: u32,
}

impl<'m> Queue<'m> {
    /// A queue that has given nothing to its device; at most [`MOST_BUFFERS`] of the buffers, and as many as the queue has descriptors,
    /// are used.
    pub fn new(areas: Areas<'m>, buffers: Buffers<'m>) -> Self {
        let size = areas.descriptors.len() / 2;
        let count = buffers.count().min(size).min(MOST_BUFFERS);
        let free = u32::MAX.checked_shr((MOST_BUFFERS.saturating_sub(count)) as u32).unwrap_or(0);
        Self {
            areas,
            buffers,
            free,
            doubtful: 0,
            given: [0; MOST_BUFFERS],
            put: 0,
            taken: 0,
            begun: false,
            reclaimed: 0,
        }
    }

    /// How many buffers the device does not have.
    pub fn free(&self) -> u32 {
        self.free.count_ones()
    }

    /// How many buffers there are.
    pub fn count(&self) -> u32 {
        let size = self.areas.descriptors.len() / 2;
        self.buffers.count().min(size) as u32
    }

    /// How many buffers the device did not return and that are used again.
    pub fn reclaimed(&self) -> u32 {
        self.reclaimed
    }

    /// Takes the next filled buffer: copies it into `into` (the leading bytes, if it is longer), and gives the length the device
    /// claims, which may be anything. The device gets the buffer back with the next [`Queue::offer`].
    pub fn receive(&mut self, into: &mut [u8]) -> Option<usize> {
        let (buffer, claimed) = self.returned()?;
        self.free |= bit(buffer);
        let claimed = claimed as usize;
        let from = self.buffers.get(buffer).get(..claimed);
        let from = from.unwrap_or_else(|| self.buffers.get(buffer));
        for (to, from) in into.iter_mut().zip(from) {
            *to = from.load(Ordering::Relaxed);
        }
        Some(claimed)
    }

    /// Gives the device all buffers to be filled. It has to be notified unless that was none ([`Queue::wants_notice`]).
    pub fn offer(&mut self) -> Offer {
        let offer = match (self.free, self.begun && self.free() == self.count()) {
            (0, _) => return Offer::Nothing,
            (_, true) => Offer::Starved,
            (_, false) => Offer::Some,
        };
        self.begun = true;
        while self.free != 0 {
            let buffer = self.free.trailing_zeros() as usize;
            let flags_and_length = WRITE | self.buffers.each as u64;
            self.give(buffer, flags_and_length);
        }
        offer
    }

    /// Gives the device a copy of `bytes` to send; false when there is no buffer at the moment, or they do not fit into one. The
    /// device interrupts for returned buffers only after there was none. It has to be notified after a success.
    pub fn transmit(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() || bytes.len() > self.buffers.each {
            return bytes.is_empty();
        }
        self.take_back();
        self.interrupts(self.free == 0);
        if self.free == 0 {
            // One that came back before the device saw the wish would never be told.
            fence(Ordering::SeqCst);
            self.take_back();
        }
        if self.free == 0 {
            let doubtful = core::mem::take(&mut self.doubtful);
            self.reclaim(doubtful);
        }
        if self.free == 0 {
            return false;
        }
        let buffer = self.free.trailing_zeros() as usize;
        for (to, from) in self.buffers.get(buffer).iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
        self.give(buffer, bytes.len() as u64);
        true
    }

    /// The client has gone for whom the device has buffers: it returned what it does not keep.
    pub fn end_session(&mut self) {
        self.take_back();
        let all = (0..self.count() as usize).fold(0, |all, buffer| all | bit(buffer));
        self.doubtful = all & !self.free;
    }

    /// Uses buffers again that the device did not return.
    fn reclaim(&mut self, buffers: u32) {
        self.free |= buffers;
        self.reclaimed = self.reclaimed.saturating_add(buffers.count_ones());
    }

    /// Takes back the buffers that the device has sent, and those that it must have lost.
    pub fn take_back(&mut self) {
        while let Some((buffer, _)) = self.returned() {
            let age = self.age(buffer);
            self.free |= bit(buffer);
            self.doubtful &= !bit(buffer);
            for other in 0..self.count() as usize {
                if self.free & bit(other) == 0 && self.age(other) > age {
                    self.reclaim(bit(other));
                }
            }
        }
    }

    /// Whether the device wants to be notified of what it was given.
    pub fn wants_notice(&self) -> bool {
        fence(Ordering::SeqCst);
        let device = self.areas.device.first();
        device.is_none_or(|word| word.load(Ordering::Relaxed) & NO_NOTIFY == 0)
    }

    fn interrupts(&self, wanted: bool) {
        if let Some(flags) = self.areas.driver.first() {
            flags.store(if wanted { 0 } else { NO_INTERRUPT }, Ordering::Relaxed);
        }
    }

    /// How many buffers were given since this one was.
    fn age(&self, buffer: usize) -> u16 {
        let given = self.given.get(buffer).copied().unwrap_or(0);
        self.put.wrapping_sub(given)
    }

    /// Puts the buffer's descriptor into the driver's area.
    fn give(&mut self, buffer: usize, flags_and_length: u64) {
        self.free &= !bit(buffer);
        self.doubtful &= !bit(buffer);
        let size = self.areas.descriptors.len() / 2;
        let at = usize::from(self.put).checked_rem(size).unwrap_or(0);
        let address = (buffer.saturating_mul(self.buffers.each) as u64).wrapping_add(self.buffers.address);
        store64(self.areas.descriptors, buffer.saturating_mul(2), address);
        let second = buffer.saturating_mul(2).saturating_add(1);
        store64(self.areas.descriptors, second, flags_and_length);
        if let Some(entry) = self.areas.driver.get(at.saturating_add(2)) {
            entry.store(buffer as u16, Ordering::Relaxed);
        }
        if let Some(given) = self.given.get_mut(buffer) {
            *given = self.put;
        }
        self.put = self.put.wrapping_add(1);
        if let Some(index) = self.areas.driver.get(1) {
            index.store(self.put, Ordering::Release);
        }
    }

    /// The buffer the device returned next, with the length it claims. Entries for buffers that it cannot have are passed over.
    fn returned(&mut self) -> Option<(usize, u32)> {
        let index = self.areas.device.first()?.load(Ordering::Acquire) >> 16;
        let size = self.areas.descriptors.len() / 2;
        // A device that is ahead by more than the queue holds tells nonsense: no more of it is looked at than the queue holds.
        for _ in 0..size {
            if index as u16 == self.taken {
                return None;
            }
            let at = usize::from(self.taken).checked_rem(size)?.saturating_mul(2);
            self.taken = self.taken.wrapping_add(1);
            let word = |at: usize| {
                let word = self.areas.device.get(at)?;
                Some(word.load(Ordering::Relaxed))
            };
            let buffer = word(at.saturating_add(1))? as usize;
            let claimed = word(at.saturating_add(2))?;
            if buffer < self.count() as usize && self.free & bit(buffer) == 0 {
                return Some((buffer, claimed));
            }
        }
        None
    }
}

fn bit(buffer: usize) -> u32 {
    1u32.checked_shl(buffer as u32).unwrap_or(0)
}

fn store64(words: &[AtomicU64], at: usize, value: u64) {
    if let Some(word) = words.get(at) {
        word.store(value, Ordering::Relaxed);
    }
}
