//! Bloom filters: whether a value was put in, where "no" is sure and "yes" is not. Bits are only ever set, each in one step.

use super::{
    hash::hash,
    values::{zeroed, Between},
    Bytes,
};
use crate::program::{
    planted::{self, Bug},
    MapDef,
};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Bits of a value, as with Linux where a definition does not say.
const BITS: u64 = 5;

/// A filter.
pub(super) struct Bloom {
    words: Box<[AtomicU64]>,
    /// Values that came in.
    count: AtomicU32,
    seed: u64,
}

impl Bloom {
    pub fn new(def: &MapDef, seed: u64, between: &mut Between<'_>) -> Option<Bloom> {
        // A power of two.
        let words = (def.bytes() / 8) as usize;
        Some(Bloom { words: zeroed(words, between)?, count: AtomicU32::new(0), seed })
    }

    /// Values that were put in, also again.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Words and the bits in them that stand for a value.
    fn bits(&self, value: Bytes<'_>) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let hash = hash(self.seed, value.words());
        let mask = (self.words.len() as u64).wrapping_mul(64).wrapping_sub(1);
        // Two halves of a hash make as many as are wanted.
        let places = (0..BITS).map(move |n| (hash >> 32).wrapping_mul(n).wrapping_add(hash & 0xffff_ffff) & mask);
        places.filter_map(|place| Some((self.words.get((place / 64) as usize)?, 1 << (place % 64))))
    }

    /// Puts a value in.
    pub fn push(&self, value: Bytes<'_>) {
        let forgotten = usize::from(planted::active(Bug::FewerBits));
        self.bits(value).skip(forgotten).for_each(|(word, bit)| _ = word.fetch_or(bit, Relaxed));
        let more = |count: u32| count.checked_add(1);
        _ = self.count.fetch_update(Relaxed, Relaxed, more);
    }

    /// Whether a value may have been put in.
    pub fn may_have(&self, value: Bytes<'_>) -> bool {
        self.bits(value).all(|(word, bit)| word.load(Relaxed) & bit != 0)
    }
}
