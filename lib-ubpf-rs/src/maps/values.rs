//! Memory that programs read and write at any time. It reads what a program points at, which takes `unsafe`.
//!
//! Values lie together and apart from everything else of their map, so that a program that misuses one hurts values alone. Nothing here
//! takes a reference to such bytes: they are copied word by word, each in one step.

use crate::program::{
    planted::{self, Bug},
    MapDef,
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed},
};

/// Bytes of a word.
const WORD: usize = 8;

/// Bytes to be read, which others may write meanwhile: a key or a value in a program's memory.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    base: usize,
    len: usize,
    memory: PhantomData<&'a [AtomicU8]>,
}

impl<'a> Bytes<'a> {
    /// None.
    pub const NONE: Bytes<'static> = Bytes { base: 0, len: 0, memory: PhantomData };

    /// So many bytes at an address.
    ///
    /// # Safety
    /// They are valid for reads during `'a`, and nobody has a reference by which they are written.
    pub unsafe fn at(base: u64, len: usize) -> Bytes<'a> {
        Bytes { base: base as usize, len, memory: PhantomData }
    }

    /// Those of words.
    pub fn of_words(words: &'a [u64]) -> Bytes<'a> {
        Bytes { base: words.as_ptr() as usize, len: size_of_val(words), memory: PhantomData }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words they make, the last one filled up with zeros.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<'a> {
        let bytes = *self;
        (0..self.len.div_ceil(WORD)).map(move |number| bytes.word(number))
    }

    /// A word; beyond the end it is zeros.
    #[inline]
    pub fn word(&self, number: usize) -> u64 {
        let from = number.saturating_mul(WORD);
        let left = self.len.saturating_sub(from);
        let at = self.base.wrapping_add(from);
        if left >= WORD && at.is_multiple_of(WORD) {
            // SAFETY: eight aligned bytes that lie wholly within those that `at` was promised.
            return unsafe { AtomicU64::from_ptr(at as *mut u64) }.load(Relaxed);
        }
        let mut word = [0; WORD];
        for (offset, byte) in word.iter_mut().take(left).enumerate() {
            // SAFETY: one of the bytes that `at` was promised: its place is below their number.
            *byte = unsafe { AtomicU8::from_ptr(at.wrapping_add(offset) as *mut u8) }.load(Relaxed);
        }
        u64::from_le_bytes(word)
    }

    /// Copies as many as there is room for; gives how many.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let most = self.len.min(out.len());
        let parts = out.get_mut(..most).unwrap_or_default().chunks_mut(WORD);
        for (part, word) in parts.zip(self.words()) {
            let word = word.to_le_bytes();
            part.copy_from_slice(word.get(..part.len()).unwrap_or(&[]));
        }
        most
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Bytes { base: bytes.as_ptr() as usize, len: bytes.len(), memory: PhantomData }
    }
}

/// Bytes to be written, which others may read and write meanwhile: in a program's memory.
pub struct BytesMut<'a> {
    base: usize,
    len: usize,
    memory: PhantomData<&'a [AtomicU8]>,
}

impl<'a> BytesMut<'a> {
    /// None.
    pub const NONE: BytesMut<'static> = BytesMut { base: 0, len: 0, memory: PhantomData };

    /// So many bytes at an address.
    ///
    /// # Safety
    /// They are valid for reads and writes during `'a`, and nobody has a reference to them.
    pub unsafe fn at(base: u64, len: usize) -> BytesMut<'a> {
        BytesMut { base: base as usize, len, memory: PhantomData }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes from a place on, as far as there is room.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let places = offset.min(self.len)..self.len;
        for (place, &byte) in places.zip(bytes) {
            // SAFETY: one of the bytes that `at` was promised: its place is below their number.
            unsafe { AtomicU8::from_ptr(self.base.wrapping_add(place) as *mut u8) }.store(byte, Relaxed);
        }
    }

    /// Writes these, as far as there is room.
    pub fn copy_from(&mut self, from: Bytes<'_>) {
        self.fill(self.len.min(from.len), from.words());
    }

    /// Writes so many bytes of words, which is not more than there are.
    fn fill(&mut self, mut left: usize, words: impl Iterator<Item = u64>) {
        for (number, word) in words.take(left.div_ceil(WORD)).enumerate() {
            let at = self.base.wrapping_add(number.wrapping_mul(WORD));
            if left >= WORD && at.is_multiple_of(WORD) {
                // SAFETY: eight aligned bytes that lie wholly within those that `at` was promised.
                unsafe { AtomicU64::from_ptr(at as *mut u64) }.store(word, Relaxed);
            } else {
                let bytes = word.to_le_bytes();
                self.write(number.wrapping_mul(WORD), bytes.get(..left.min(WORD)).unwrap_or(&[]));
            }
            left = left.saturating_sub(WORD);
        }
    }

    /// They, to be read.
    pub fn bytes(&self) -> Bytes<'_> {
        Bytes { base: self.base, len: self.len, memory: PhantomData }
    }

    /// Fills all with zeros.
    pub fn clear(&mut self) {
        self.fill(self.len, core::iter::repeat(0));
    }
}

impl<'a> From<&'a mut [u8]> for BytesMut<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        BytesMut { base: bytes.as_mut_ptr() as usize, len: bytes.len(), memory: PhantomData }
    }
}

/// One value, or the slots of one that each CPU has for itself, to be read.
#[derive(Clone, Copy)]
pub struct Slots<'a> {
    first: Bytes<'a>,
    /// Bytes from one to the next.
    apart: usize,
    count: usize,
}

impl<'a> Slots<'a> {
    /// The value; of several the first.
    pub fn first(&self) -> Bytes<'a> {
        self.first
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Bytes<'a>> + use<'a> {
        let Slots { first, apart, count } = *self;
        (0..count).map(move |slot| Bytes { base: first.base.wrapping_add(slot.wrapping_mul(apart)), ..first })
    }
}

impl<'a> From<Bytes<'a>> for Slots<'a> {
    fn from(first: Bytes<'a>) -> Self {
        Slots { first, apart: 0, count: 1 }
    }
}

/// Which slots of a value are changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SlotChange {
    /// That of a lane. Where the key is a new one, the others are zeros.
    Lane(u32),
    /// All: the first gets the value, the others zeros, so that it is their sum.
    All,
}

impl SlotChange {
    fn lane(self) -> u32 {
        match self {
            SlotChange::Lane(lane) => lane,
            SlotChange::All => 0,
        }
    }
}

/// The values of one map: all of the first lane, then those of the next. They lie where they are for as long as the map lives.
pub(super) struct Values {
    words: Box<[AtomicU64]>,
    /// How many there are in a lane, and lanes.
    count: usize,
    lanes: usize,
    /// Bytes of one.
    size: usize,
    /// Words from one to the next.
    stride: usize,
    /// They stay as they are.
    frozen: bool,
}

/// Called again and again while memory is filled.
pub(super) type Between<'b> = dyn FnMut() + 'b;

/// So many zeros; `None` without memory. They are filled in piece by piece: there are platforms that need long for that.
pub(super) fn zeroed<T: Default>(count: usize, between: &mut Between<'_>) -> Option<Box<[T]>> {
    const PIECE: usize = 32 * 1024;
    let piece = PIECE / size_of::<T>().max(1);
    let mut list = Vec::new();
    list.try_reserve_exact(count).ok()?;
    while list.len() < count {
        list.resize_with(count.min(list.len().saturating_add(piece)), T::default);
        between();
    }
    Some(list.into_boxed_slice())
}

impl Values {
    /// The values of a map, all zero; `None` without memory.
    pub fn new(def: &MapDef, between: &mut Between<'_>) -> Option<Values> {
        let (count, lanes, size) = (def.max_entries as usize, def.kind.slots(), def.value_size as usize);
        let stride = size.div_ceil(WORD);
        let words = zeroed(count.checked_mul(lanes)?.checked_mul(stride)?, between)?;
        Some(Values { words, count, lanes, size, stride, frozen: false })
    }

    /// Bytes from one lane to the next; 0 where all lanes have the same.
    pub fn apart(&self) -> usize {
        match self.lanes {
            1 => 0,
            _ => self.count.wrapping_mul(self.stride()),
        }
    }

    /// Where they lie: address, and length in bytes, which is a multiple of 8.
    pub fn place(&self) -> (u64, u64) {
        (self.words.as_ptr() as u64, self.words.len().wrapping_mul(WORD) as u64)
    }

    /// Bytes of one.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes from one to the next.
    pub fn stride(&self) -> usize {
        self.stride.wrapping_mul(WORD)
    }

    fn of(&self, lane: u32, index: usize) -> Option<&[AtomicU64]> {
        let lane = if self.lanes == 1 || planted::active(Bug::OneSlot) { 0 } else { lane as usize };
        let place = lane.checked_mul(self.count)?.checked_add(index).filter(|_| index < self.count)?;
        let from = place.checked_mul(self.stride)?;
        self.words.get(from..from.checked_add(self.stride)?)
    }

    /// The address of one, in a lane.
    pub fn address(&self, lane: u32, index: usize) -> Option<u64> {
        self.of(lane, index).map(|words| words.as_ptr() as u64)
    }

    /// One, to be read.
    pub fn slots(&self, index: usize) -> Option<Slots<'_>> {
        let words = self.of(0, index)?;
        let first = Bytes { base: words.as_ptr() as usize, len: self.size, memory: PhantomData };
        Some(Slots { first, apart: self.apart(), count: self.lanes })
    }

    /// Gives one to a key that has just come, unless they are frozen. What is missing of it is zeros.
    pub fn start(&self, change: SlotChange, index: usize, value: Bytes<'_>) {
        for lane in 0..self.lanes as u32 {
            let mine = self.lanes == 1 || lane == change.lane();
            if !mine && change != SlotChange::All && planted::active(Bug::OldSlots) {
                continue;
            }
            self.store(lane, index, if mine { value } else { Bytes::NONE });
        }
    }

    /// Changes one, unless they are frozen. What is missing of it is zeros.
    pub fn set(&self, change: SlotChange, index: usize, value: Bytes<'_>) {
        match change {
            SlotChange::Lane(lane) => self.store(lane, index, value),
            SlotChange::All => self.start(change, index, value),
        }
    }

    fn store(&self, lane: u32, index: usize, value: Bytes<'_>) {
        if self.frozen {
            return;
        }
        for (number, word) in self.of(lane, index).unwrap_or(&[]).iter().enumerate() {
            word.store(value.word(number), Relaxed);
        }
    }

    /// Changes bytes of all values taken together, from `offset` on; false where they do not lie within. For whoever has the map alone.
    pub fn fill(&self, offset: usize, bytes: &[u8]) -> bool {
        let len = self.words.len().wrapping_mul(WORD);
        if self.frozen || offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
            return false;
        }
        for (at, &byte) in (offset..).zip(bytes) {
            if let Some(word) = self.words.get(at / WORD) {
                let mut changed = word.load(Relaxed).to_le_bytes();
                if let Some(slot) = changed.get_mut(at % WORD) {
                    *slot = byte;
                }
                word.store(u64::from_le_bytes(changed), Relaxed);
            }
        }
        true
    }

    /// All zeros again.
    pub fn clear(&self) {
        let changeable = self.words.iter().filter(|_| !self.frozen);
        changeable.for_each(|word| word.store(0, Relaxed));
    }

    /// From now on nobody changes them. Programs must be given them as memory that is only read.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// The first one as plain memory, if they are frozen.
    pub fn frozen(&self) -> Option<&[u8]> {
        let len = self.words.len().wrapping_mul(WORD).min(self.size);
        // SAFETY: the words are plain memory of at least that length. Nothing here changes them once they are frozen, and whoever froze
        // them keeps programs from writing.
        self.frozen.then(|| unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{limits::LANES, MapFlags, MapKind, MapName};

    #[test]
    fn words_of_any_place_and_length_are_read() {
        let bytes: Vec<u8> = (1..=20).collect();
        for from in 0..8 {
            let part = &bytes[from..];
            let read = Bytes::from(part);
            let mut copy = [0xff; 20];
            assert_eq!(read.copy_to(&mut copy), part.len());
            assert_eq!(&copy[..part.len()], part);
            assert_eq!(read.words().count(), part.len().div_ceil(8));
        }
        assert_eq!(Bytes::from(&bytes[..3]).word(0), 0x03_02_01);
        assert_eq!(Bytes::from(&bytes[..3]).word(1), 0);
        assert_eq!(Bytes::NONE.words().count(), 0);
    }

    #[test]
    fn bytes_of_any_place_and_length_are_copied() {
        let from: Vec<u8> = (1..=20).collect();
        for (first, last) in (0..8).flat_map(|first| (first..20).map(move |last| (first, last))) {
            let mut memory = [0xee; 24];
            BytesMut::from(&mut memory[first..last]).copy_from(Bytes::from(&from[..]));
            assert_eq!(memory[first..last], from[..last - first]);
            assert!(memory[..first].iter().chain(&memory[last..]).all(|&byte| byte == 0xee));
        }
        let mut memory = [0xee; 24];
        BytesMut::from(&mut memory[..]).copy_from(Bytes::from(&from[..3]));
        assert_eq!(memory[..4], [1, 2, 3, 0xee]);
    }

    #[test]
    fn bytes_are_written_where_there_is_room() {
        let mut memory = [9u8; 6];
        // SAFETY: the middle of an array that nobody else has.
        let mut bytes = unsafe { BytesMut::at(memory.as_mut_ptr() as u64 + 1, 4) };
        bytes.write(1, &[1, 2, 3, 4, 5]);
        bytes.write(4, &[7]);
        bytes.write(usize::MAX, &[7]);
        assert_eq!(memory, [9, 9, 1, 2, 3, 9]);
    }

    #[test]
    fn values_keep_apart() {
        let values = Values::new(&def(MapKind::Array), &mut || {}).unwrap();
        assert_eq!((values.stride(), values.place().1), (16, 48));
        // All lanes have the same.
        values.set(SlotChange::Lane(5), 1, Bytes::from(&[0xaa; 12][..]));
        assert_eq!([0, 1, 2].map(|index| slots(&values, index)), [[0], [0xaa], [0]]);
        assert!(values.slots(3).is_none());
        assert!(values.fill(46, &[1, 2]));
        assert!(!values.fill(47, &[1, 2]));
        assert!(!values.fill(usize::MAX, &[1]));
    }

    #[test]
    fn slots_keep_apart() {
        let values = Values::new(&def(MapKind::PercpuArray), &mut || {}).unwrap();
        assert_eq!(values.place().1, (48 * LANES) as u64);
        let value = |byte: u8| [byte; 12];
        let last = LANES as u32 - 1;
        values.set(SlotChange::Lane(2), 1, Bytes::from(&value(7)[..]));
        values.set(SlotChange::Lane(last), 1, Bytes::from(&value(9)[..]));
        let mut expected = [0; LANES];
        (expected[2], expected[LANES - 1]) = (7, 9);
        assert_eq!([0, 1, 2].map(|index| slots(&values, index)), [[0; LANES], expected, [0; LANES]]);
        assert_eq!(values.address(last, 2), Some(values.place().0 + values.place().1 - 16));
        for (lane, index) in [(last + 1, 0), (last, 3), (0, 3), (u32::MAX, 0)] {
            assert_eq!(values.address(lane, index), None);
        }
        // A new key has nothing of the old one's.
        values.start(SlotChange::Lane(4), 1, Bytes::from(&value(1)[..]));
        expected = [0; LANES];
        expected[4] = 1;
        assert_eq!(slots(&values, 1), expected);
        values.set(SlotChange::All, 1, Bytes::from(&value(3)[..]));
        expected = [0; LANES];
        expected[0] = 3;
        assert_eq!(slots(&values, 1), expected);
    }

    fn def(kind: MapKind) -> MapDef {
        let name = MapName::new("test").unwrap();
        MapDef { kind, key_size: 4, value_size: 12, max_entries: 3, flags: MapFlags::empty(), inner: None, name }
    }

    /// What the slots of a value have in each of their bytes.
    fn slots<const N: usize>(values: &Values, index: usize) -> [u8; N] {
        let slots = values.slots(index).unwrap();
        let read = slots.iter().map(|slot| {
            let mut out = [1; 12];
            slot.copy_to(&mut out);
            assert_eq!(out, [out[0]; 12]);
            out[0]
        });
        read.collect::<Vec<u8>>().try_into().unwrap()
    }
}
