//! Maps that hold maps or programs, by numbers or by keys of any bytes. Under a key stands a number, as in an array or a hash map of
//! numbers: the place in the [`Pool`] of what is held there, and one; 0 is nothing.

use super::{
    array::Array,
    hash::{Hash, New, WhenFull},
    pool::{Held, Pool, PoolControl, Stay},
    update,
    values::{Between, SlotChange, Values},
    Bytes, BytesMut, MapError, Slots,
};
use crate::program::{
    planted::{self, Bug},
    MapDef, MapKind,
};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

#[allow(clippy::large_enum_variant, reason = "a map has one, and lies in memory of its own")]
enum HeldNumbers {
    Array(Array),
    Hash(Hash),
}

/// A map that holds maps or programs.
pub(super) struct Holder {
    numbers: HeldNumbers,
    pool: Pool,
    /// Keys that hold something.
    count: AtomicUsize,
    /// What its programs are given, and by which numbers they call: the first one says it for all.
    like: AtomicU32,
    /// Who has it beside programs that maps hold.
    pub users: AtomicUsize,
}

impl Holder {
    pub fn new(def: &MapDef, seed: u64, between: &mut Between<'_>) -> Option<Holder> {
        let numbers = match def.kind {
            MapKind::HashOfMaps => HeldNumbers::Hash(Hash::new(def, WhenFull::Refuse, seed, between)?),
            _ => HeldNumbers::Array(Array::new(def, between)?),
        };
        let pool = Pool::new(def.max_entries as usize, between)?;
        let (count, users) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Some(Holder { numbers, pool, count, like: AtomicU32::new(0), users })
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn values(&self) -> &Values {
        match &self.numbers {
            HeldNumbers::Array(array) => array.values(),
            HeldNumbers::Hash(hash) => hash.values(),
        }
    }

    fn place(&self, key: Bytes<'_>, walked: &mut u32) -> Option<u32> {
        let index = match &self.numbers {
            HeldNumbers::Array(array) => array.lookup(key),
            HeldNumbers::Hash(hash) => hash.lookup(key, walked),
        };
        place_in(self.values().slots(index?)?)
    }

    /// The place of what a key holds, which stays what it is as long as the run stays. *Hook path.*
    pub fn find(&self, key: Bytes<'_>, walked: &mut u32, stay: &Stay) -> Option<u32> {
        stay.begin();
        self.place(key, walked)
    }

    /// What a key holds.
    pub fn get(&self, key: Bytes<'_>) -> Option<Held> {
        let control = self.pool.lock().ok()?;
        self.pool.get(&control, self.place(key, &mut 0)?)
    }

    /// Inserts or replaces, as the flags say.
    pub fn update(&self, key: Bytes<'_>, held: Held, flags: u64) -> Result<(), MapError> {
        self.pool.settle();
        let mut control = self.pool.lock()?;
        let changed = self.change(&mut control, key, held, flags);
        drop(control);
        self.pool.settle();
        changed
    }

    fn change(&self, control: &mut PoolControl, key: Bytes<'_>, held: Held, flags: u64) -> Result<(), MapError> {
        self.pool.prepare(control)?;
        let old = self.place(key, &mut 0);
        match (&self.numbers, flags, old) {
            (HeldNumbers::Array(_), update::ANY, _) => {}
            (HeldNumbers::Array(_), ..) => return Err(MapError::Invalid),
            (_, update::NEW, Some(_)) => return Err(MapError::Exists),
            (_, update::EXISTING, None) => return Err(MapError::NoEntry),
            _ => {}
        }
        let place = self.pool.put(control, held)?;
        if let Err(error) = self.set(key, place.wrapping_add(1)) {
            Pool::take(control, place);
            return Err(error);
        }
        match old {
            Some(old) if planted::active(Bug::StillHeld) => _ = old,
            Some(old) => Pool::take(control, old),
            None => _ = self.count.fetch_add(1, Relaxed),
        }
        Ok(())
    }

    fn set(&self, key: Bytes<'_>, number: u32) -> Result<(), MapError> {
        let number = number.to_le_bytes();
        let bytes = Bytes::from(&number[..]);
        match &self.numbers {
            HeldNumbers::Array(array) => array.update(key, bytes, update::ANY, SlotChange::All),
            HeldNumbers::Hash(hash) => hash.update(key, New { bytes, change: SlotChange::All }, update::ANY, &mut 0),
        }
    }

    /// The key holds nothing any more.
    pub fn delete(&self, key: Bytes<'_>) -> Result<(), MapError> {
        self.pool.settle();
        let mut control = self.pool.lock()?;
        self.pool.prepare(&mut control)?;
        let place = self.place(key, &mut 0).ok_or(MapError::NoEntry)?;
        match &self.numbers {
            HeldNumbers::Array(_) => self.set(key, 0)?,
            HeldNumbers::Hash(hash) => hash.delete(key, &mut 0)?,
        }
        self.count.fetch_sub(1, Relaxed);
        Pool::take(&mut control, place);
        drop(control);
        self.pool.settle();
        Ok(())
    }

    /// Holds nothing any more.
    pub fn clear(&self) {
        // Who died in the midst of a change leaves it as it is.
        let Ok(mut control) = self.pool.lock() else { return };
        if let HeldNumbers::Array(array) = &self.numbers {
            array.values().clear();
        }
        self.count.store(0, Relaxed);
        self.like.store(0, Relaxed);
        Pool::take_all(&mut control);
    }

    /// As [`Map::takes_programs_like`](super::Map::takes_programs_like) says.
    pub fn takes_programs_like(&self, like: u32) -> bool {
        let before = self.like.compare_exchange(0, like, Relaxed, Relaxed);
        before.is_ok() || before == Err(like)
    }

    /// Shows the keys that hold something, as [`Map::for_some`](super::Map::for_some) does, with a number of no meaning.
    pub fn for_some(&self, first: usize, each: &mut dyn FnMut(&[u8], Slots<'_>) -> bool) -> Option<usize> {
        match &self.numbers {
            HeldNumbers::Array(array) => {
                array.for_some(first, &mut |key, value| place_in(value).is_none() || each(key, value))
            }
            HeldNumbers::Hash(hash) => hash.for_some(first, each),
        }
    }

    /// Copies the key in a place, as [`Map::key_at`](super::Map::key_at) does.
    pub fn key_at(&self, index: usize, out: &mut BytesMut<'_>) -> Option<bool> {
        match &self.numbers {
            HeldNumbers::Array(array) => array.key_at(index, out),
            HeldNumbers::Hash(hash) => hash.key_at(index, out),
        }
    }

    pub fn after_fork(&self) {
        if let HeldNumbers::Hash(hash) = &self.numbers {
            hash.after_fork();
        }
    }
}

/// The place that a value names, if it does.
fn place_in(value: Slots<'_>) -> Option<u32> {
    (value.first().word(0) as u32).checked_sub(1)
}
