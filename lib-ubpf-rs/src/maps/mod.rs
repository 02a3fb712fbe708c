//! Map kinds and their storage. Everything is allocated when a map is made; every operation may run in a hook, in an
//! interrupt and on several CPUs at once.
//!
//! [`Map`] is a map of any kind; what differs between kinds stands in one file per kind. [`Maps`] are those of one object, which its programs
//! name by their place.

mod array;
mod bloom;
mod hash;
mod held;
mod lanes;
mod lpm;
mod pool;
mod queue;
mod records;
mod ring;
mod stacks;
mod two_key;
mod values;

#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod tests;

pub use hash::{HashLayout, MOST_WALKED_TO_CHANGE, MOST_WALKED_TO_LOOK};
pub use lanes::Lane;
pub use pool::{settle_left, Held, HeldProgram, Stay};
pub use records::Records;
pub use ring::RecordsLayout;
pub use stacks::Collision;
pub use two_key::{TwoKeyLayout, TwoKeyMap};
pub use values::{Bytes, BytesMut, Slots};

use crate::object::{self, MapEntry};
use crate::program::{
    limits::MAX_MAPS,
    planted::{self, Bug},
    MapDef, MapDefError, MapKind,
};
use crate::verifier::MapInfo;
use alloc::{sync::Arc, vec::Vec};
use array::Array;
use bloom::Bloom;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use hash::{Hash, New, WhenFull};
use held::Holder;
use lpm::Lpm;
use queue::{Queue, TakeOrder, Then};
use ring::RingMap;
use stacks::Stacks;
use values::SlotChange;

/// Ends what other threads were doing to all maps, in a process in which they are not.
pub fn after_fork() {
    lanes::after_fork();
    pool::after_fork();
}

/// What an update is to do, with the numbers of Linux.
pub mod update {
    /// Insert or replace.
    pub const ANY: u64 = 0;
    /// Insert, and do nothing where the key is there.
    pub const NEW: u64 = 1;
    /// Replace, and do nothing where the key is not there.
    pub const EXISTING: u64 = 2;
}

/// Why something was not done to a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// All entries are in use, or all that this key may have; or an array does not have the key.
    Full {
        /// Entries it can hold.
        capacity: usize,
    },
    /// Another writer was at work for too long (an interrupted one on the same CPU).
    Busy,
    /// The key is not there.
    NoEntry,
    /// The key is there already.
    Exists,
    /// Maps of this kind do not do that, or not with these flags.
    Invalid,
    /// It may not be changed.
    ReadOnly,
    /// What is to be held is not what the map holds.
    OtherThing,
    /// A key or a value has another size.
    Size {
        /// Bytes given.
        size: usize,
        /// Bytes of a key or value.
        expected: usize,
    },
    /// There can be no such map.
    Definition(MapDefError),
    /// No memory.
    NoMemory,
}

impl MapError {
    /// What a helper of Linux gives for it: a negative number of an error.
    pub const fn code(&self) -> i64 {
        match self {
            MapError::ReadOnly => -1,
            MapError::NoEntry => -2,
            MapError::Full { .. } => -7,
            MapError::NoMemory => -12,
            MapError::Busy => -16,
            MapError::Exists => -17,
            MapError::Invalid | MapError::OtherThing | MapError::Size { .. } | MapError::Definition(_) => -22,
        }
    }
}

/// How machine code can find a value by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupForm {
    /// It cannot: the helper does.
    Helper,
    /// The key is a number of four bytes; the values lie one behind the other.
    Indexed(Strided),
    /// It is a hash of keys of one word, which machine code looks for itself where they are near.
    Hashed(Hashed),
    /// It is a ring, of which this is the address of its [`RecordsLayout`].
    Records(u64),
}

/// A hash map as machine code reaches it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hashed {
    /// Address of its [`HashLayout`].
    pub layout: u64,
    /// A key has eight bytes, and else four.
    pub wide: bool,
    /// Machine code changes values, too: programs may, and they are whole words, and few.
    pub changes: bool,
    /// It removes keys, too: programs may.
    pub removes: bool,
}

/// Where the values of an array lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strided {
    /// Address of the first value.
    pub base: u64,
    /// How many there are, in each lane.
    pub entries: u32,
    /// Bytes from one to the next.
    pub stride: u32,
    /// Bytes from the values of one lane to those of the next; 0 where all lanes have the same.
    pub apart: u32,
}

enum Kind {
    Array(Array),
    Hash(Hash),
    TwoKey(TwoKeyMap),
    Ring(RingMap),
    Lpm(Lpm),
    Queue(Queue),
    Bloom(Bloom),
    Stacks(Stacks),
    Holder(Holder),
    /// It holds nothing.
    Nothing,
}

/// One map.
pub struct Map {
    def: MapDef,
    kind: Kind,
    full: AtomicU64,
    busy: AtomicU64,
}

/// Entries that are looked at before whoever asks may give way.
const SOME: usize = 64;

/// What `Map::new` mixes into the hashes of the next map, so that two maps are not filled by the same chosen keys.
static SEED: AtomicU64 = AtomicU64::new(0x243f_6a88_85a3_08d3);

impl Map {
    /// An empty map.
    pub fn new(def: MapDef) -> Result<Map, MapError> {
        Self::new_in_pieces(def, &mut || {})
    }

    /// As [`new`](Self::new), calling `between` again and again while its memory is filled.
    pub fn new_in_pieces(def: MapDef, between: &mut dyn FnMut()) -> Result<Map, MapError> {
        def.check().map_err(MapError::Definition)?;
        let seed = SEED.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let kind = match def.kind {
            MapKind::Array | MapKind::PercpuArray => Array::new(&def, between).map(Kind::Array),
            MapKind::Hash | MapKind::PercpuHash => Hash::new(&def, WhenFull::Refuse, seed, between).map(Kind::Hash),
            MapKind::LruHash | MapKind::LruPercpuHash => {
                Hash::new(&def, WhenFull::GiveUp, seed, between).map(Kind::Hash)
            }
            MapKind::TwoKey => TwoKeyMap::in_pieces(def.max_entries as usize, between).map(Kind::TwoKey),
            MapKind::Ringbuf => RingMap::new(def.max_entries, between).map(Kind::Ring),
            MapKind::PerfEventArray => RingMap::new(MapDef::EVENT_BYTES, between).map(Kind::Ring),
            MapKind::LpmTrie => Lpm::new(&def, seed, between).map(Kind::Lpm),
            MapKind::Queue => Queue::new(&def, TakeOrder::Oldest, between).map(Kind::Queue),
            MapKind::Stack => Queue::new(&def, TakeOrder::Newest, between).map(Kind::Queue),
            MapKind::BloomFilter => Bloom::new(&def, seed, between).map(Kind::Bloom),
            MapKind::CgroupArray => Some(Kind::Nothing),
            MapKind::ArrayOfMaps | MapKind::HashOfMaps | MapKind::ProgArray => {
                Holder::new(&def, seed, between).map(Kind::Holder)
            }
            MapKind::StackTrace => Stacks::new(&def, seed, between).map(Kind::Stacks),
        };
        let kind = kind.ok_or(MapError::NoMemory)?;
        Ok(Map { def, kind, full: AtomicU64::new(0), busy: AtomicU64::new(0) })
    }

    /// Bytes that a map of this definition takes: values, keys, and what it takes to find them.
    pub fn memory(def: &MapDef) -> u64 {
        let entries = u64::from(def.max_entries);
        let more = match def.kind {
            MapKind::Array | MapKind::PercpuArray | MapKind::Ringbuf | MapKind::PerfEventArray => 0,
            // Fewer than three slots of a word for each entry, a link, and the end of the key's last word.
            MapKind::Hash | MapKind::PercpuHash | MapKind::LpmTrie => 36,
            MapKind::LruHash | MapKind::LruPercpuHash => 44,
            // Slots twice as many as entries, with a state.
            MapKind::TwoKey => 104,
            MapKind::CgroupArray | MapKind::Queue | MapKind::Stack | MapKind::BloomFilter => 0,
            // A place, free or not, and a window.
            MapKind::ArrayOfMaps | MapKind::ProgArray => 36,
            MapKind::HashOfMaps => 72,
            // A state for each place, of which there may be twice as many.
            MapKind::StackTrace => 16,
        };
        // A bit for each length of prefixes.
        let once = if def.kind == MapKind::LpmTrie { u64::from(def.key_size).saturating_add(8) } else { 0 };
        let own = once.saturating_add(size_of::<Map>() as u64);
        def.bytes().saturating_add(entries.saturating_mul(more)).saturating_add(own)
    }

    /// What it is.
    pub fn def(&self) -> &MapDef {
        &self.def
    }

    /// Entries in use; of an array all, of a ring the bytes of records that wait, of a filter those that were put in.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Array(_) => self.def.max_entries as usize,
            Kind::Hash(hash) => hash.len(),
            Kind::Lpm(lpm) => lpm.hash().len(),
            Kind::TwoKey(map) => map.len(),
            Kind::Ring(ring) => ring.used(),
            Kind::Queue(queue) => queue.len(),
            Kind::Bloom(filter) => filter.len(),
            Kind::Stacks(stacks) => stacks.len(),
            Kind::Holder(holder) => holder.len(),
            Kind::Nothing => 0,
        }
    }

    /// Whether no entry is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Updates that were lost because it was full.
    pub fn lost_full(&self) -> u64 {
        let by_machine_code = self.ring().map_or(0, RingMap::lost);
        self.full.load(Relaxed).saturating_add(by_machine_code)
    }

    /// Updates that were lost because another one stood still.
    pub fn lost_busy(&self) -> u64 {
        self.busy.load(Relaxed)
    }

    /// Puts bytes into the values, the first of which is at offset 0: the contents of a data section.
    pub fn fill(&mut self, offset: usize, bytes: &[u8]) -> Result<(), MapError> {
        let filled = match &self.kind {
            Kind::Array(array) => array.values().fill(offset, bytes),
            _ => false,
        };
        filled.then_some(()).ok_or(MapError::Invalid)
    }

    /// From now on nobody changes it: for the map of a read-only section, whose contents decide what programs can do.
    pub fn freeze(&mut self) -> Result<(), MapError> {
        match &mut self.kind {
            // As memory that is only read is what programs get such values.
            Kind::Array(array) if !self.def.is_writable_by_programs() => {
                array.freeze();
                Ok(())
            }
            _ => Err(MapError::Invalid),
        }
    }

    /// What its only value holds, if nobody can ever change that.
    pub fn frozen(&self) -> Option<&[u8]> {
        self.values().filter(|_| self.def.has_one_value())?.frozen()
    }

    fn values(&self) -> Option<&values::Values> {
        match &self.kind {
            Kind::Array(array) => Some(array.values()),
            Kind::Hash(hash) => Some(hash.values()),
            Kind::Lpm(lpm) => Some(lpm.hash().values()),
            _ => None,
        }
    }

    /// The two-key map that it is.
    pub fn two_key(&self) -> Option<&TwoKeyMap> {
        match &self.kind {
            Kind::TwoKey(map) => Some(map),
            _ => None,
        }
    }

    /// The address of a key's value, for as long as the map lives: of several that of a lane. Adds what was walked for it. *Hook path.*
    pub fn lookup(&self, key: Bytes<'_>, lane: u32, walked: &mut u32) -> Option<u64> {
        let values = self.values()?;
        values.address(lane, self.find(key, walked)?)
    }

    fn find(&self, key: Bytes<'_>, walked: &mut u32) -> Option<usize> {
        match &self.kind {
            Kind::Array(array) => array.lookup(key),
            Kind::Hash(hash) => hash.lookup(key, walked),
            Kind::Lpm(lpm) => lpm.lookup(key, walked),
            _ => None,
        }
    }

    fn holder(&self) -> Option<&Holder> {
        match &self.kind {
            Kind::Holder(holder) => Some(holder),
            _ => None,
        }
    }

    /// What a register holds for the map under a key of a map that holds maps; `handle` is what it holds for that one. *Hook path.*
    pub fn find_map(&self, handle: u64, key: Bytes<'_>, walked: &mut u32, stay: &Stay) -> Option<u64> {
        inner_handle(slot_of(handle)?, self.holder()?.find(key, walked, stay)?)
    }

    /// The program in a place of a map that holds programs, for as long as the run stays. *Hook path.*
    pub fn program<'s>(&'s self, index: u32, stay: &'s Stay) -> Option<&'s HeldProgram> {
        let (holder, key) = (self.holder()?, index.to_le_bytes());
        let place = holder.find(Bytes::from(&key[..]), &mut 0, stay)?;
        match holder.pool().at(place, stay)? {
            Held::Program(program) => Some(program),
            Held::Map(_) => None,
        }
    }

    /// Whether a program of this likeness, a number other than 0, may be held by this map or call those that it holds; from then on only such
    /// may. So all of them are given the same.
    pub fn takes_programs_like(&self, like: u32) -> bool {
        self.holder().is_some_and(|holder| holder.takes_programs_like(like))
    }

    /// What a key of a map holds that holds maps or programs.
    pub fn held(&self, key: Bytes<'_>) -> Option<Held> {
        self.holder()?.get(key)
    }

    /// Puts a map or a program under a key, as one of [`update`] says. What was there goes when the runs that may use it are over.
    pub fn hold(&self, key: Bytes<'_>, held: Held, flags: u64) -> Result<(), MapError> {
        self.has_sizes(Some(key), None)?;
        let holder = self.holder().ok_or(MapError::Invalid)?;
        let fits = match (&held, self.def.inner) {
            (Held::Map(map), Some(inner)) => inner.fits(map.def()) || planted::active(Bug::AnyInner),
            (Held::Program(_), None) => true,
            _ => false,
        };
        match fits && flags <= update::EXISTING {
            true => self.told(holder.update(key, held, flags)),
            false if flags > update::EXISTING => Err(MapError::Invalid),
            false => Err(MapError::OtherThing),
        }
    }

    /// Frees what was held and nobody can use any more; whether nothing of that is left.
    pub fn settle(&self) -> bool {
        self.holder().is_none_or(|holder| holder.pool().settle())
    }

    /// A key's value, to be copied. The value of a two-key map is not copied so.
    pub fn value(&self, key: Bytes<'_>) -> Option<Slots<'_>> {
        if let Kind::Stacks(stacks) = &self.kind {
            return stacks.value(key);
        }
        self.values()?.slots(self.find(key, &mut 0)?)
    }

    /// Inserts or replaces as one of [`update`] says; adds what was walked. Of a value with several slots the first is it, and the others
    /// are zeros.
    pub fn update(&self, key: Bytes<'_>, value: Bytes<'_>, flags: u64, walked: &mut u32) -> Result<(), MapError> {
        self.change(key, New { bytes: value, change: SlotChange::All }, flags, walked)
    }

    /// The same for a program, which changes the slot of its lane. *Hook path.*
    pub fn update_in(
        &self,
        lane: u32,
        key: Bytes<'_>,
        value: Bytes<'_>,
        flags: u64,
        walked: &mut u32,
    ) -> Result<(), MapError> {
        self.change(key, New { bytes: value, change: SlotChange::Lane(lane) }, flags, walked)
    }

    fn change(&self, key: Bytes<'_>, new: New<'_>, flags: u64, walked: &mut u32) -> Result<(), MapError> {
        let value = new.bytes;
        self.has_sizes(Some(key), Some(value))?;
        if flags > update::EXISTING {
            return Err(MapError::Invalid);
        }
        if self.frozen().is_some() {
            return Err(MapError::ReadOnly);
        }
        self.told(match &self.kind {
            Kind::Array(array) => array.update(key, value, flags, new.change),
            Kind::Hash(hash) => hash.update(key, new, flags, walked),
            Kind::Lpm(lpm) => lpm.update(key, new, flags, walked),
            Kind::TwoKey(map) if flags == update::ANY => {
                map.put_walking(key.word(0), key.word(1), value.word(0), walked)
            }
            _ => Err(MapError::Invalid),
        })
    }

    fn ring(&self) -> Result<&RingMap, MapError> {
        match &self.kind {
            Kind::Ring(ring) => Ok(ring),
            _ => Err(MapError::Invalid),
        }
    }

    /// Puts a value into a queue, a stack or a filter, as one of [`update`] says: with [`update::EXISTING`] in place of the oldest one where
    /// there is no room. *Hook path.*
    pub fn push(&self, value: Bytes<'_>, flags: u64) -> Result<(), MapError> {
        self.has_sizes(None, Some(value))?;
        self.told(match &self.kind {
            Kind::Queue(queue) => queue.push(value, flags),
            Kind::Bloom(filter) if flags == update::ANY => {
                filter.push(value);
                Ok(())
            }
            _ => Err(MapError::Invalid),
        })
    }

    /// Takes the first value of a queue or a stack; zeros where there is none. *Hook path.*
    pub fn pop(&self, out: &mut BytesMut<'_>) -> Result<(), MapError> {
        self.told(match &self.kind {
            Kind::Queue(queue) => queue.take(out, Then::Goes),
            _ => Err(MapError::Invalid),
        })
        .inspect_err(|_| out.clear())
    }

    /// Copies the first value of a queue or a stack, or zeros where there is none; says whether a filter may have the value that is there.
    /// *Hook path.*
    pub fn peek(&self, out: &mut BytesMut<'_>) -> Result<(), MapError> {
        let result = self.told(match &self.kind {
            Kind::Queue(queue) => queue.take(out, Then::Stays),
            Kind::Bloom(filter) => return filter.may_have(out.bytes()).then_some(()).ok_or(MapError::NoEntry),
            _ => Err(MapError::Invalid),
        });
        result.inspect_err(|_| out.clear())
    }

    /// The number of a stack trace in a map of such, which is put in unless it is there. *Hook path.*
    pub fn stack_number(&self, trace: &[u64], taken: Collision) -> Result<u32, MapError> {
        self.told(match &self.kind {
            Kind::Stacks(stacks) => stacks.number(trace, taken),
            _ => Err(MapError::Invalid),
        })
    }

    /// Adds a record to a ring. *Hook path.*
    pub fn write_record(&self, data: Bytes<'_>) -> Result<(), MapError> {
        self.told(self.ring().and_then(|ring| ring.write(data)))
    }

    /// Takes room in a ring for a record of so many bytes; its address. Who reads the ring waits there until it is released. *Hook path.*
    fn reserve(&self, len: u64) -> Result<u64, MapError> {
        self.told(self.ring().and_then(|ring| ring.reserve(len)))
    }

    /// What was reserved there, of so many bytes, can be read from now on, or is passed over. *Hook path.*
    fn release(&self, address: u64, len: u64, keep: bool) {
        if let Ok(ring) = self.ring() {
            ring.release(address, len, keep);
        }
    }

    /// What a ring says of itself, with the numbers of Linux: 0 the bytes that wait, 1 the bytes that it has, 2 and 3 the bytes that were read
    /// and written since the beginning. 0 for everything else.
    pub fn ring_number(&self, what: u64) -> u64 {
        self.ring().map_or(0, |ring| ring.number(what))
    }

    /// Copies the oldest record of a ring, as much of it as there is room for, and takes it off; gives its length. `None` where there is none,
    /// where it is being written, or where somebody else reads.
    pub fn read_record(&self, out: &mut [u8]) -> Option<usize> {
        self.ring().ok()?.read(out)
    }

    /// Removes; adds what was walked. *Hook path.*
    pub fn delete(&self, key: Bytes<'_>, walked: &mut u32) -> Result<(), MapError> {
        self.has_sizes(Some(key), None)?;
        self.told(match &self.kind {
            Kind::Hash(hash) => hash.delete(key, walked),
            Kind::Lpm(lpm) => lpm.delete(key, walked),
            Kind::Holder(holder) => holder.delete(key),
            Kind::Stacks(stacks) => stacks.delete(key),
            Kind::TwoKey(map) => match map.del_walking(key.word(0), key.word(1), walked) {
                true => Ok(()),
                false => Err(MapError::NoEntry),
            },
            _ => Err(MapError::Invalid),
        })
    }

    fn told<T>(&self, result: Result<T, MapError>) -> Result<T, MapError> {
        match result {
            Err(MapError::Full { .. }) => _ = self.full.fetch_add(1, Relaxed),
            Err(MapError::Busy) => _ = self.busy.fetch_add(1, Relaxed),
            _ => {}
        }
        result
    }

    fn has_sizes(&self, key: Option<Bytes<'_>>, value: Option<Bytes<'_>>) -> Result<(), MapError> {
        let sizes = [(key, self.def.key_size), (value, self.def.value_size)];
        for (bytes, expected) in sizes {
            let (size, expected) = (bytes.map(|bytes| bytes.len()), expected as usize);
            if let Some(size) = size.filter(|&size| size != expected) {
                return Err(MapError::Size { size, expected });
            }
        }
        Ok(())
    }

    /// Shows some entries (key and value) from place `first` on (0 is the start), until `each` returns false; gives the place at which to
    /// go on, that of the entry that was refused if one was, and `None` at the end.
    pub fn for_some(&self, first: usize, each: &mut dyn FnMut(&[u8], Slots<'_>) -> bool) -> Option<usize> {
        match &self.kind {
            Kind::Array(array) => array.for_some(first, each),
            Kind::Holder(holder) => holder.for_some(first, each),
            Kind::Hash(hash) => hash.for_some(first, each),
            Kind::Lpm(lpm) => lpm.hash().for_some(first, each),
            Kind::Stacks(stacks) => stacks.for_some(first, each),
            Kind::Queue(queue) => {
                let last = first.checked_add(SOME)?;
                for number in first..last {
                    if !each(&[], queue.waiting(number)?) {
                        return Some(number);
                    }
                }
                Some(last)
            }
            Kind::Ring(_) | Kind::Bloom(_) | Kind::Nothing => None,
            Kind::TwoKey(map) => map.for_some(first, &mut |key1, key2, value| {
                let mut key = [0; 16];
                key.iter_mut()
                    .zip(key1.to_le_bytes().into_iter().chain(key2.to_le_bytes()))
                    .for_each(|(to, from)| *to = from);
                each(&key, Bytes::from(&value.to_le_bytes()[..]).into())
            }),
        }
    }

    /// Copies the key in a place, of which there are fewer than three for each entry, and says whether there is one; `None` behind the last
    /// place. So all keys that stay are found, and each at most once unless it was added again. *Hook path.*
    pub fn key_at(&self, place: u64, out: &mut BytesMut<'_>) -> Option<bool> {
        let index = usize::try_from(place).ok()?;
        match &self.kind {
            Kind::Array(array) => array.key_at(index, out),
            Kind::Holder(holder) => holder.key_at(index, out),
            Kind::Hash(hash) => hash.key_at(index, out),
            Kind::Lpm(lpm) => lpm.hash().key_at(index, out),
            _ => None,
        }
    }

    /// How machine code finds a value by itself.
    pub fn lookup_form(&self) -> LookupForm {
        match &self.kind {
            Kind::Array(array) => array.lookup_form(),
            Kind::Hash(hash) => hash.form(self.def.is_writable_by_programs()),
            Kind::Ring(ring) => ring.form(),
            _ => LookupForm::Helper,
        }
    }

    /// Where the records of a ring lie: address and bytes.
    fn records_place(&self) -> Option<(u64, u64)> {
        self.ring().ok().map(RingMap::place)
    }

    /// Where its values lie that programs reach by their own instructions.
    pub fn window(&self) -> Option<ValueWindow> {
        let (base, len) = self.values()?.place();
        Some(ValueWindow { base, len, writable: self.def.is_writable_by_programs() })
    }

    /// As it was made, its address included.
    #[cfg(test)]
    pub(crate) fn reset(&self) {
        match &self.kind {
            Kind::Array(array) => array.values().clear(),
            Kind::Hash(hash) => hash.reset(),
            Kind::Lpm(lpm) => lpm.hash().reset(),
            Kind::Ring(ring) => ring.reset(),
            _ => {}
        }
    }

    /// As when somebody stands still in the middle of changing these keys' values, and of adding one.
    #[cfg(test)]
    pub(crate) fn interrupted(&self, adding: bool, keys: &[Bytes<'_>]) {
        if let Kind::Hash(hash) = &self.kind {
            hash.interrupted(adding, keys);
        }
    }

    /// How often keys have been taken off the slots of a hash map.
    #[cfg(test)]
    pub(crate) fn taken_off(&self) -> u64 {
        match &self.kind {
            Kind::Hash(hash) => hash.taken_off(),
            _ => 0,
        }
    }

    /// Ends what other threads were doing, in a process in which they are not.
    pub fn after_fork(&self) {
        match &self.kind {
            Kind::Array(_) | Kind::Bloom(_) | Kind::Nothing => {}
            Kind::Hash(hash) => hash.after_fork(),
            Kind::Lpm(lpm) => lpm.hash().after_fork(),
            Kind::TwoKey(map) => map.after_fork(),
            Kind::Ring(ring) => ring.after_fork(),
            Kind::Queue(queue) => queue.after_fork(),
            Kind::Stacks(stacks) => stacks.after_fork(),
            Kind::Holder(holder) => holder.after_fork(),
        }
    }
}

/// Maps that somebody has beside programs that maps hold. When nobody has a map of programs any more it lets go of them: they may have it
/// themselves, and would stay with it for ever.
pub struct InUse(Arc<Maps>);

impl InUse {
    /// These are in use until it is dropped.
    pub fn new(maps: Arc<Maps>) -> InUse {
        maps.iter().for_each(|map| map.is_used());
        InUse(maps)
    }

    /// The maps, for who does not keep them in use.
    pub fn maps(&self) -> Arc<Maps> {
        self.0.clone()
    }
}

impl core::ops::Deref for InUse {
    type Target = Maps;
    fn deref(&self) -> &Maps {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.iter().for_each(Map::is_left);
    }
}

/// A map that somebody keeps.
pub struct Kept(Arc<Map>);

impl Kept {
    /// It is in use until it is dropped.
    pub fn new(map: Arc<Map>) -> Kept {
        map.is_used();
        Kept(map)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        Map::is_left(&self.0);
    }
}

impl Map {
    fn is_used(&self) {
        if let Some(holder) = self.holder() {
            holder.users.fetch_add(1, Relaxed);
        }
    }

    fn is_left(self: &Arc<Map>) {
        let Some(holder) = self.holder().filter(|_| self.def.kind == MapKind::ProgArray) else { return };
        if holder.users.fetch_sub(1, Relaxed) == 1 && !planted::active(Bug::KeptPrograms) {
            holder.clear();
            if !holder.pool().settle() {
                pool::leave(self.clone());
            }
        }
    }
}

/// Memory of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueWindow {
    /// First address.
    pub base: u64,
    /// Bytes: a multiple of 8, and not 0.
    pub len: u64,
    /// Whether programs may write there.
    pub writable: bool,
}

/// What a program's register holds for the map in a place: no address, so that it is the same in every run, and everybody who gets it looks
/// it up. Nothing can be at such an address.
pub const fn handle(slot: u16) -> u64 {
    HANDLE | slot as u64
}

const HANDLE: u64 = 0x6d61_7073_0000_0000;

/// The place of the map that a register's value stands for.
fn slot_of(value: u64) -> Option<u16> {
    u16::try_from(value.wrapping_sub(HANDLE)).ok()
}

/// What a register holds for the map in a place of a map that holds maps: again no address.
fn inner_handle(slot: u16, place: u32) -> Option<u64> {
    let fits = usize::from(slot) < MAX_MAPS && place <= INNER_PLACE;
    fits.then(|| HANDLE | INNER | u64::from(slot) << INNER_SLOT | u64::from(place))
}

const INNER: u64 = 1 << 31;
const INNER_SLOT: u32 = 24;
const INNER_PLACE: u32 = (1 << INNER_SLOT) - 1;
const _: () = assert!(MAX_MAPS <= 1 << 6 && MapDef::MAX_ENTRIES < INNER_PLACE / 2);

/// The map that a register's value stands for, of those in a map that holds maps: the place of that one, and its own there.
fn inner_of(value: u64) -> Option<(u16, u32)> {
    let number = u32::try_from(value.wrapping_sub(HANDLE)).ok()?;
    let slot = (u64::from(number) ^ INNER) >> INNER_SLOT;
    Some((u16::try_from(slot).ok().filter(|&slot| usize::from(slot) < MAX_MAPS)?, number & INNER_PLACE))
}

/// The maps of one object, which its programs name by their place.
pub struct Maps {
    list: Vec<Arc<Map>>,
    /// Of all of them, those that may be written first.
    windows: Vec<ValueWindow>,
    /// Where the records of rings lie: address and bytes.
    rings: Vec<(u64, u64)>,
    /// Whether one of them holds maps.
    hold_maps: bool,
    /// What a search among all of them, and all maps within them, is charged.
    search: u32,
}

impl Maps {
    /// These maps; `None` without memory, or where they are too many.
    pub fn new(list: Vec<Arc<Map>>) -> Option<Maps> {
        if list.len() > MAX_MAPS {
            return None;
        }
        let mut windows = Vec::new();
        windows.try_reserve_exact(list.len()).ok()?;
        for writable in [true, false] {
            let all = list.iter().filter_map(|map| map.window());
            windows.extend(all.filter(|window| window.writable == writable));
        }
        let mut rings = Vec::new();
        rings.try_reserve_exact(list.iter().filter_map(|map| map.records_place()).count()).ok()?;
        rings.extend(list.iter().filter_map(|map| map.records_place()));
        let hold_maps = list.iter().any(|map| map.def.kind.holds_maps());
        let search = MapDef::search_all(list.iter().map(|map| map.def));
        Some(Maps { list, windows, rings, hold_maps, search })
    }

    /// All of them, by their places.
    pub fn list(&self) -> &[Arc<Map>] {
        &self.list
    }

    /// The map in this place.
    pub fn get(&self, slot: u16) -> Option<&Arc<Map>> {
        self.list.get(usize::from(slot))
    }

    /// The map that a register's value stands for, for as long as the run stays.
    #[inline]
    pub fn by_handle<'s>(&'s self, value: u64, stay: &'s Stay) -> Option<&'s Map> {
        match slot_of(value) {
            Some(slot) => self.get(slot).map(|map| &**map),
            None => self.inner(value, stay),
        }
    }

    #[cold]
    fn inner<'s>(&'s self, value: u64, stay: &'s Stay) -> Option<&'s Map> {
        let (slot, place) = inner_of(value)?;
        let map = self.get(slot).filter(|map| map.def.kind.holds_maps())?;
        match map.holder()?.pool().at(place, stay)? {
            Held::Map(map) => Some(map),
            Held::Program(_) => None,
        }
    }

    /// Puts under a key of one of them what their object says that it holds at first.
    pub fn hold(&self, entry: &MapEntry, program: &mut dyn FnMut(u32) -> Option<HeldProgram>) -> Result<(), MapError> {
        let find = |slot: u32| self.get(u16::try_from(slot).ok()?);
        let held = match entry.value {
            object::MapContent::Map(slot) => find(slot).cloned().map(Held::Map),
            object::MapContent::Program(index) => program(index).map(Held::Program),
        };
        let holder = find(entry.map).ok_or(MapError::NoEntry)?;
        let key = entry.key.to_le_bytes();
        holder.hold(Bytes::from(&key[..]), held.ok_or(MapError::OtherThing)?, update::ANY)
    }

    /// Whether one of them holds maps, the values of which are reached by [`inner_window`](Self::inner_window).
    pub fn hold_maps(&self) -> bool {
        self.hold_maps
    }

    /// What a search among all of them, and all maps within them, is charged.
    pub fn search(&self) -> u32 {
        self.search
    }

    /// Where the records of their rings lie: address and bytes.
    pub(crate) fn rings(&self) -> &[(u64, u64)] {
        &self.rings
    }

    /// The values of a map within one of them in which an address lies, or begins to.
    pub fn inner_window(&self, address: u64, stay: &Stay) -> Option<ValueWindow> {
        let mut holders = self.iter().filter(|map| map.def.kind.holds_maps()).filter_map(|map| map.holder());
        let near = |window: &ValueWindow| address.wrapping_sub(window.base) < window.len;
        holders.find_map(|holder| holder.pool().window(address, stay).filter(near))
    }

    /// Whether a run of a program with them needs a lane of its own.
    pub fn need_lane(&self) -> bool {
        self.iter().any(|map| map.def.kind.is_per_cpu() || map.def.inner.is_some_and(|inner| inner.is_per_cpu()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Map>> {
        self.list.iter()
    }

    /// Where their values lie; those that programs may write come first.
    pub fn windows(&self) -> &[ValueWindow] {
        &self.windows
    }

    /// As the verifier sees them; `None` without memory.
    pub fn infos(&self) -> Option<Vec<MapInfo<'_>>> {
        let mut infos = Vec::new();
        infos.try_reserve_exact(self.list.len()).ok()?;
        infos.extend(self.list.iter().map(|map| MapInfo { def: map.def, frozen: map.frozen() }));
        Some(infos)
    }

    /// The number that a wide load of a map, or of a place in its only value, gives; `None` where there is no such map or place.
    pub fn loaded(&self, kind: crate::isa::ImmKind, imm: u64) -> Option<u64> {
        use crate::isa::ImmKind;
        let (slot, offset) = (u16::try_from(imm as u32).ok()?, imm >> 32);
        let map = self.get(slot)?;
        match kind {
            ImmKind::MapIndex => Some(handle(slot)),
            ImmKind::MapIndexValue => {
                let window = map.window().filter(|_| map.def.has_one_value() && offset < map.def.value_size.into())?;
                Some(window.base.wrapping_add(offset))
            }
            ImmKind::Value | ImmKind::MapFd | ImmKind::MapValue | ImmKind::Variable | ImmKind::Code => None,
        }
    }
}
