//! Values by the longest prefix of a key: four bytes say how many bits it has, those that follow are the bits, the first one on top.
//!
//! Prefixes stand in a hash map with nothing behind their end, so that a search asks for each length that there is, the longest first: it
//! waits for nobody, as searches there. A length that was there once is asked for from then on.

use super::{
    hash::{Hash, New, WhenFull},
    values::{zeroed, Between},
    Bytes, MapError,
};
use crate::program::{
    planted::{self, Bug},
    MapDef,
};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of the number in front.
const FRONT: usize = 4;

/// A map by prefixes.
pub(super) struct Lpm {
    hash: Hash,
    /// Lengths that there are, one bit each.
    lengths: Box<[AtomicU64]>,
    bits: usize,
    /// What each of them is charged.
    asked: u32,
}

/// A key that is cut shorter and shorter.
#[repr(C, align(8))]
struct Prefix {
    bytes: [u8; MapDef::MAX_PREFIX as usize],
    /// Bytes of the key, and those from which on there are only zeros.
    size: usize,
    end: usize,
}

impl Prefix {
    fn new(key: Bytes<'_>, size: usize) -> Prefix {
        let mut prefix = Prefix { bytes: [0; MapDef::MAX_PREFIX as usize], size, end: size };
        key.copy_to(prefix.bytes.get_mut(..size).unwrap_or_default());
        prefix
    }

    /// Bits that it is said to have.
    fn length(&self) -> usize {
        self.bytes.first_chunk().map_or(0, |&front| u32::from_le_bytes(front) as usize)
    }

    /// Leaves so many bits, which are no more than before.
    fn cut(&mut self, length: usize) -> Bytes<'_> {
        if let Some(front) = self.bytes.first_chunk_mut::<FRONT>() {
            *front = (length as u32).to_le_bytes();
        }
        let whole = FRONT.saturating_add(length / 8);
        if let Some([part, rest @ ..]) = self.bytes.get_mut(whole..self.end) {
            if !planted::active(Bug::PrefixUncut) || length.is_multiple_of(8) {
                *part &= !(0xff >> (length % 8));
            }
            rest.fill(0);
            self.end = whole.saturating_add(1);
        }
        Bytes::from(self.bytes.get(..self.size).unwrap_or(&[]))
    }
}

impl Lpm {
    pub fn new(def: &MapDef, seed: u64, between: &mut Between<'_>) -> Option<Lpm> {
        let hash = Hash::new(def, WhenFull::Refuse, seed, between)?;
        let bits = (def.key_size as usize).saturating_sub(FRONT).saturating_mul(8);
        Some(Lpm { hash, lengths: zeroed(bits / 64 + 1, between)?, bits, asked: def.walked_to_ask() })
    }

    /// What has the prefixes.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    fn prefix(&self, key: Bytes<'_>) -> Prefix {
        Prefix::new(key, self.bits / 8 + FRONT)
    }

    /// The entry of the longest prefix of a key.
    pub fn lookup(&self, key: Bytes<'_>, walked: &mut u32) -> Option<usize> {
        let mut prefix = self.prefix(key);
        let most = prefix.length().min(self.bits);
        let shorter = u64::MAX >> (63 - most % 64);
        for (place, word) in self.lengths.iter().enumerate().take(most / 64 + 1).rev() {
            let mut lengths = word.load(Relaxed) & if place == most / 64 { shorter } else { u64::MAX };
            while let Some(top) = lengths.checked_ilog2() {
                lengths ^= 1 << top;
                *walked = walked.saturating_add(self.asked);
                let found = self.hash.lookup(prefix.cut(place * 64 + top as usize), walked);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// Inserts or replaces a prefix, as the flags say.
    pub fn update(&self, key: Bytes<'_>, value: New<'_>, flags: u64, walked: &mut u32) -> Result<(), MapError> {
        let mut prefix = self.prefix(key);
        let length = prefix.length();
        let word = self.lengths.get(length / 64).filter(|_| length <= self.bits).ok_or(MapError::Invalid)?;
        // Before it is there, so that nobody misses it afterwards.
        word.fetch_or(1 << (length % 64), Relaxed);
        self.hash.update(prefix.cut(length), value, flags, walked)
    }

    /// Removes a prefix of just this length.
    pub fn delete(&self, key: Bytes<'_>, walked: &mut u32) -> Result<(), MapError> {
        let mut prefix = self.prefix(key);
        let length = prefix.length();
        match length <= self.bits {
            true => self.hash.delete(prefix.cut(length), walked),
            false => Err(MapError::Invalid),
        }
    }
}
