//! Hash maps: values by a key of any bytes.
//!
//! A table of slots, one word each: a kind in the low two bits, the entry, some bits of the hash, and a version, which moves on with each
//! key that leaves. Keys and values of the entries stand elsewhere, values where programs may write, keys where they may not. Whoever looks
//! for a key compares the slot before and after, so he waits for nobody. Keys come one at a time: whoever adds one holds `adding`, which an
//! interrupted thread may hold as well, so waiting for it is bounded and then [`MapError::Busy`]. Entries wait in a list for their next
//! key, which belongs to who holds `adding`; whoever takes a key away while another one does puts its entry on a list of entries that were
//! given back.
//!
//! A value stays where it is also when its key leaves, and may get another key while somebody holds its address: as with Linux's maps that
//! are allocated beforehand.

use super::{
    update,
    values::{zeroed, Between, SlotChange, Values},
    Bytes, BytesMut, Hashed, LookupForm, MapError, Slots,
};
use crate::program::{
    planted::{self, Bug},
    MapDef,
};
use alloc::boxed::Box;
use core::sync::atomic::{
    fence, AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

const EMPTY: u64 = 0;
const FULL: u64 = 1;
const DELETED: u64 = 2;
/// In use, and its value is being changed.
const BUSY: u64 = 3;
const KIND: u64 = 3;
const HELD: u64 = BUSY & !FULL;

/// Entry: 22 bits, for the most entries that a map has.
const ENTRY_SHIFT: u32 = 2;
const ENTRY_MASK: u64 = (1 << 22) - 1;
/// Bits of the hash.
const TAG_SHIFT: u32 = 24;
const TAG_MASK: u64 = (1 << 16) - 1;
/// What the version is counted in.
const VERSION: u64 = 1 << 40;

const _: () = assert!(MapDef::MAX_ENTRIES as u64 <= ENTRY_MASK + 1, "entries have a number in a slot");

/// Slots that a key may stand in. A third of them is always free, so that only keys chosen to meet fill so many that follow each other.
const MOST_PROBES: usize = 256;
/// Times that a slot which changes meanwhile is looked at again.
const MOST_LOOKS: usize = 64;
/// Times that somebody who adds a key, or holds a value, is asked again.
const PATIENCE: usize = 1024;
/// Slots that are walked meanwhile before that ends, too: where keys were chosen to meet, each search walks many. A program may have come over
/// who holds it, and would wait in vain: it waits as long as it is charged for, about a microsecond.
const MOST_WALKED_WAITING: u32 = 20_000;
/// Slots that it takes as long as to wait once.
const WAITED: u32 = 16;
/// Most slots that one deletion makes empty.
const MOST_CLEANED: usize = 64;
/// Slots that are not counted as a walk.
const NEAR: u32 = 8;
/// Entries of which the one that was not used for the longest time is given up, and how often that is tried.
const SAMPLED: usize = 16;
const SAMPLES: usize = 8;

/// Most that a lookup walks beyond what its cost has.
pub const MOST_WALKED_TO_LOOK: u32 = MOST_PROBES as u32 - NEAR;
/// Most that a change walks when it need not wait for another one: the search for the key, the one for its room, and for an entry to give
/// up; or what a deletion makes empty.
pub const MOST_WALKED_TO_CHANGE: u32 = 2 * MOST_PROBES as u32 + (SAMPLED * SAMPLES) as u32 + MOST_CLEANED as u32 - NEAR;

/// What machine code needs to look up and change what is common: keys of a word, found within the nearest slots. Addresses are those of
/// the boxes of the map.
#[repr(C)]
pub struct HashLayout {
    pub(crate) slots: u64,
    /// Slots less one.
    pub(crate) mask: u64,
    pub(crate) keys: u64,
    pub(crate) values: u64,
    /// Bytes from one value to the next, and its words.
    pub(crate) stride: u64,
    pub(crate) words: u64,
    /// Bytes from the values of one lane to those of the next; 0 where all lanes have the same.
    pub(crate) apart: u64,
    /// What a hash begins with.
    pub(crate) seed: u64,
    /// By entry: the next free one.
    pub(crate) next: u64,
    /// The first free entry and one, or 0. Belongs to who is `adding`.
    pub(crate) free: AtomicU32,
    /// The same of those that were given back while somebody was.
    pub(crate) returned: AtomicU32,
    /// Keys that were added, less those that were removed. Belongs to who is `adding`.
    pub(crate) count: AtomicU32,
    /// Keys that were removed while somebody was.
    pub(crate) removed: AtomicU32,
    /// Whether somebody is at it.
    pub(crate) adding: AtomicBool,
}

impl HashLayout {
    /// That of an empty map with this memory: slots, keys, values, the list of what is free.
    fn new(memory: (&[AtomicU64], &[AtomicU64], &Values, &[AtomicU32]), words: u64, seed: u64) -> Self {
        let (slots, keys, values, next) = memory;
        Self {
            slots: slots.as_ptr() as u64,
            mask: slots.len().wrapping_sub(1) as u64,
            keys: keys.as_ptr() as u64,
            values: values.place().0,
            stride: values.stride() as u64,
            words,
            apart: values.apart() as u64,
            seed,
            next: next.as_ptr() as u64,
            free: AtomicU32::new(1),
            returned: AtomicU32::new(0),
            count: AtomicU32::new(0),
            removed: AtomicU32::new(0),
            adding: AtomicBool::new(false),
        }
    }

    /// Factors of a hash.
    pub const FACTORS: [u64; 2] = [ONE, TWO];
    /// Slots that are looked at.
    pub const NEAR: u32 = NEAR;
    /// Slots that a deletion makes empty.
    pub const CLEANED: usize = MOST_CLEANED;
    /// Bits of a slot: in use, being changed, deleted.
    pub const FULL: u64 = FULL;
    /// See [`FULL`](Self::FULL).
    pub const HELD: u64 = HELD;
    /// See [`FULL`](Self::FULL).
    pub const DELETED: u64 = DELETED;
    /// Where the entry stands in a slot, and how long it is.
    pub const ENTRY_SHIFT: u32 = ENTRY_SHIFT;
    /// See [`ENTRY_SHIFT`](Self::ENTRY_SHIFT).
    pub const ENTRY_MASK: u64 = ENTRY_MASK;
    /// Where the bits of the hash stand that a slot has, which are its highest.
    pub const TAG_SHIFT: u32 = TAG_SHIFT;
    /// The lowest bit of the version.
    pub const VERSION_SHIFT: u32 = VERSION.trailing_zeros();
}

/// What becomes of the last entry's successor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WhenFull {
    /// A new key is refused.
    Refuse,
    /// A key that was not used lately makes room.
    GiveUp,
}

/// A hash map.
pub(super) struct Hash {
    slots: Box<[AtomicU64]>,
    keys: Box<[AtomicU64]>,
    values: Values,
    next: Box<[AtomicU32]>,
    /// By entry, where the least used makes room: the slot that it has, and when it was used last.
    homes: Box<[AtomicU32]>,
    used: Box<[AtomicU32]>,
    /// The time: keys that were added.
    clock: AtomicU32,
    /// Lists and counters, and where the rest is for machine code.
    layout: HashLayout,
    key_size: usize,
    capacity: usize,
    /// The entry at which the search for one to give up goes on.
    hand: AtomicU32,
    when_full: WhenFull,
    seed: u64,
}

/// An entry that has a key.
struct UsedEntry {
    entry: usize,
    /// Its slot, and what that holds.
    at: usize,
    state: u64,
    /// Keys that were added since it was used.
    age: u32,
}

/// A value, and which slots of the old one it is for.
#[derive(Clone, Copy)]
pub(super) struct New<'v> {
    pub bytes: Bytes<'v>,
    pub change: SlotChange,
}

/// A key as words, and its hash.
struct Key<'k> {
    words: &'k [u64],
    hash: u64,
}

impl Key<'_> {
    fn tag(&self) -> u64 {
        (self.hash >> 48) & TAG_MASK
    }
}

fn kind(state: u64) -> u64 {
    state & KIND
}

fn entry(state: u64) -> usize {
    (state >> ENTRY_SHIFT & ENTRY_MASK) as usize
}

const ONE: u64 = 0x9e37_79b9_7f4a_7c15;
const TWO: u64 = 0xd1b5_4a32_d192_ed03;

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    product as u64 ^ (product >> 64) as u64
}

/// A hash of words, which looks random to whoever does not know the seed.
pub(super) fn hash(seed: u64, words: impl Iterator<Item = u64>) -> u64 {
    let all = words.fold(seed, |all, word| mix(all ^ word ^ ONE, TWO));
    mix(all ^ TWO, ONE)
}

impl Hash {
    pub fn new(def: &MapDef, when_full: WhenFull, seed: u64, between: &mut Between<'_>) -> Option<Hash> {
        let capacity = def.max_entries as usize;
        let slots = capacity.checked_add(capacity / 2)?.max(2).checked_next_power_of_two()?;
        let spare = if when_full == WhenFull::GiveUp { capacity } else { 0 };
        let key_words = (def.key_size as usize).div_ceil(8);
        let slots: Box<[AtomicU64]> = zeroed(slots, between)?;
        let keys: Box<[AtomicU64]> = zeroed(capacity.checked_mul(key_words)?, between)?;
        let values = Values::new(def, between)?;
        let next: Box<[AtomicU32]> = zeroed(capacity, between)?;
        let hash = Hash {
            layout: HashLayout::new((&slots, &keys, &values, &next), (def.value_size as u64).div_ceil(8), seed),
            slots,
            keys,
            values,
            next,
            homes: zeroed(spare, between)?,
            used: zeroed(spare, between)?,
            clock: AtomicU32::new(0),
            key_size: def.key_size as usize,
            capacity,
            hand: AtomicU32::new(0),
            when_full,
            seed,
        };
        hash.free_all(between);
        Some(hash)
    }

    /// Every entry waits for a key, the first one first.
    fn free_all(&self, between: &mut Between<'_>) {
        const PIECE: usize = 4096;
        let mut number = 1;
        for piece in self.next.chunks(PIECE) {
            for next in piece {
                number += 1;
                next.store(if number as usize <= self.capacity { number } else { 0 }, Relaxed);
            }
            between();
        }
        self.layout.free.store(1, Relaxed);
        self.layout.returned.store(0, Relaxed);
    }

    #[cfg(test)]
    pub fn reset(&self) {
        self.slots.iter().chain(&self.keys).for_each(|word| word.store(0, Relaxed));
        self.values.clear();
        self.free_all(&mut || {});
        self.layout.count.store(0, Relaxed);
        self.layout.removed.store(0, Relaxed);
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Entries in use.
    pub fn len(&self) -> usize {
        let HashLayout { count, removed, .. } = &self.layout;
        count.load(Relaxed).wrapping_sub(removed.load(Relaxed)) as usize
    }

    /// How machine code does what is common, where it can. `removes`: programs may change the map.
    pub fn form(&self, removes: bool) -> LookupForm {
        const MOST_WORDS: u64 = 16;
        let wide = match self.key_size {
            4 => false,
            8 => true,
            _ => return LookupForm::Helper,
        };
        if self.when_full != WhenFull::Refuse {
            return LookupForm::Helper;
        }
        let whole = self.layout.words.wrapping_mul(8) == self.values.size() as u64;
        let changes = removes && whole && self.layout.words <= MOST_WORDS;
        LookupForm::Hashed(Hashed { layout: core::ptr::from_ref(&self.layout) as u64, wide, changes, removes })
    }

    /// The entry of a key.
    pub fn lookup(&self, key: Bytes<'_>, walked: &mut u32) -> Option<usize> {
        let found = self.with_key(key, |key| self.find(&key, walked));
        let (_, state) = found?;
        let entry = entry(state);
        self.is_used(entry);
        Some(entry)
    }

    /// Inserts or replaces, as the flags say.
    pub fn update(&self, key: Bytes<'_>, value: New<'_>, flags: u64, walked: &mut u32) -> Result<(), MapError> {
        self.with_key(key, |key| self.try_update(&key, value, flags, walked))
    }

    fn try_update(&self, key: &Key<'_>, value: New<'_>, flags: u64, walked: &mut u32) -> Result<(), MapError> {
        let waiting = match value.change {
            SlotChange::Lane(_) => MOST_WALKED_TO_CHANGE,
            SlotChange::All => MOST_WALKED_WAITING,
        };
        let most = walked.saturating_add(waiting);
        for _ in 0..PATIENCE {
            match self.find(key, walked) {
                Some(_) if flags == update::NEW && !planted::active(Bug::FlagsForgotten) => {
                    return Err(MapError::Exists)
                }
                Some((slot, state)) if self.replace(slot, state, value) => return Ok(()),
                Some(_) => {}
                None if flags == update::EXISTING => return Err(MapError::NoEntry),
                None if !self.layout.adding.swap(true, Acquire) => {
                    let added = self.add(key, value, walked);
                    self.layout.adding.store(false, Release);
                    if let Some(done) = added {
                        return done;
                    }
                }
                None => {}
            }
            if *walked > most {
                break;
            }
            wait(walked);
        }
        Err(MapError::Busy)
    }

    /// Removes.
    pub fn delete(&self, key: Bytes<'_>, walked: &mut u32) -> Result<(), MapError> {
        self.with_key(key, |key| {
            let most = walked.saturating_add(MOST_WALKED_TO_CHANGE);
            for _ in 0..PATIENCE {
                let (at, state) = self.find(&key, walked).ok_or(MapError::NoEntry)?;
                if self.take_off(at, state) {
                    *walked = walked.saturating_add(self.give_back(entry(state), at));
                    return Ok(());
                }
                if *walked > most {
                    break;
                }
                wait(walked);
            }
            Err(MapError::Busy)
        })
    }

    /// Shows the entries of some slots, from slot `first` on, until `each` returns false; gives the slot at which to go on.
    pub fn for_some(&self, first: usize, each: &mut dyn FnMut(&[u8], Slots<'_>) -> bool) -> Option<usize> {
        let mut key = [0; MapDef::MAX_KEY as usize];
        let last = first.checked_add(super::SOME)?.min(self.slots.len());
        for at in first..last {
            let Some(entry) = self.key_of(at, &mut key) else { continue };
            let key = key.get(..self.key_size).unwrap_or(&[]);
            if self.values.slots(entry).is_some_and(|value| !each(key, value)) {
                return Some(at);
            }
        }
        (last < self.slots.len()).then_some(last)
    }

    /// Copies the key in a slot, and says whether there is one; `None` where there are no more slots.
    pub fn key_at(&self, slot: usize, out: &mut BytesMut<'_>) -> Option<bool> {
        let mut key = [0; MapDef::MAX_KEY as usize];
        self.slots.get(slot)?;
        let found = self.key_of(slot, &mut key).is_some();
        if found {
            out.write(0, key.get(..self.key_size).unwrap_or(&[]));
        }
        Some(found)
    }

    /// Ends what other threads were doing, in a process in which they are not.
    pub fn after_fork(&self) {
        for slot in &self.slots {
            let state = slot.load(Acquire);
            if kind(state) == BUSY {
                slot.store(state & !HELD, Release);
            }
        }
        self.layout.adding.store(false, Release);
    }

    /// As when somebody stands still in the middle of changing these keys' values, and of adding one.
    #[cfg(test)]
    pub fn interrupted(&self, adding: bool, keys: &[Bytes<'_>]) {
        self.layout.adding.store(adding, SeqCst);
        for &key in keys {
            let found = self.with_key(key, |key| self.find(&key, &mut 0));
            let (at, state) = found.unwrap();
            assert!(change(&self.slots[at], state, state | HELD));
        }
    }

    /// What is done where a key was not found, by the only one who adds; `None` where it is there by then.
    #[cfg(test)]
    pub fn add_now(&self, key: Bytes<'_>, bytes: Bytes<'_>) -> Option<Result<(), MapError>> {
        self.with_key(key, |key| self.add(&key, New { bytes, change: SlotChange::All }, &mut 0))
    }

    /// How often keys have been taken off slots.
    #[cfg(test)]
    pub fn taken_off(&self) -> u64 {
        self.slots.iter().map(|slot| slot.load(Relaxed) / VERSION).sum()
    }

    /// The slot at which the search for a key begins.
    #[cfg(test)]
    pub fn start(&self, key: Bytes<'_>) -> usize {
        self.with_key(key, |key| self.probe(&key).next().unwrap())
    }

    /// The key in a slot, read consistently, and its entry.
    fn key_of(&self, at: usize, key: &mut [u8]) -> Option<usize> {
        let slot = self.slots.get(at)?;
        for _ in 0..MOST_LOOKS {
            let state = slot.load(Acquire);
            if state & FULL == 0 {
                return None;
            }
            let words = self.entry_key(entry(state))?;
            for (part, word) in key.chunks_mut(8).zip(words) {
                part.copy_from_slice(word.load(Relaxed).to_le_bytes().get(..part.len())?);
            }
            if same(slot, state) {
                return Some(entry(state));
            }
        }
        None
    }

    fn entry_key(&self, entry: usize) -> Option<&[AtomicU64]> {
        let words = self.key_size.div_ceil(8);
        let from = entry.checked_mul(words)?;
        self.keys.get(from..from.checked_add(words)?)
    }

    /// Calls with the key as words: it may change where it lies.
    fn with_key<T>(&self, key: Bytes<'_>, then: impl FnOnce(Key<'_>) -> T) -> T {
        const SHORT: usize = 8;
        let count = self.key_size.div_ceil(8);
        if count <= SHORT {
            let mut words = [0; SHORT];
            return then(self.read_key(key, words.get_mut(..count).unwrap_or_default()));
        }
        let mut words = [0; MapDef::MAX_KEY as usize / 8];
        then(self.read_key(key, words.get_mut(..count).unwrap_or_default()))
    }

    fn read_key<'k>(&self, key: Bytes<'_>, words: &'k mut [u64]) -> Key<'k> {
        for (number, word) in words.iter_mut().enumerate() {
            *word = key.word(number);
        }
        Key { hash: hash(self.seed, words.iter().copied()), words }
    }

    /// The places of the slots that may hold a key, in order.
    fn probe(&self, key: &Key<'_>) -> impl Iterator<Item = usize> + use<> {
        let (start, mask) = (key.hash as usize, self.slots.len().wrapping_sub(1));
        (0..MOST_PROBES.min(self.slots.len())).map(move |step| start.wrapping_add(step) & mask)
    }

    /// The slot of a key; adds what was walked.
    fn find(&self, key: &Key<'_>, walked: &mut u32) -> Option<(usize, u64)> {
        self.find_or_room(key, walked).ok()
    }

    /// The slot of a key, or else the first one that it can be put in, if there is one; adds what was walked.
    fn find_or_room(&self, key: &Key<'_>, walked: &mut u32) -> Result<(usize, u64), Option<usize>> {
        let mut looked = 0u32;
        let found = self.search(key, &mut looked);
        *walked = walked.saturating_add(looked.saturating_sub(NEAR));
        found
    }

    fn search(&self, key: &Key<'_>, looked: &mut u32) -> Result<(usize, u64), Option<usize>> {
        let mut room = None;
        for at in self.probe(key) {
            *looked = looked.saturating_add(1);
            let Some(slot) = self.slots.get(at) else { break };
            let state = slot.load(Acquire);
            if state & FULL == 0 {
                room = room.or(Some(at));
            }
            if kind(state) == EMPTY {
                break;
            }
            let may_be = state & FULL != 0 && state >> TAG_SHIFT & TAG_MASK == key.tag();
            if may_be && self.compare(slot, state, key).is_some() {
                return Ok((at, state));
            }
        }
        Err(room)
    }

    /// Whether a slot has a key; then its state.
    fn compare(&self, slot: &AtomicU64, state: u64, key: &Key<'_>) -> Option<u64> {
        let words = self.entry_key(entry(state))?;
        let equal = words.iter().zip(key.words).all(|(word, &is)| word.load(Relaxed) == is);
        // A slot that has changed has had its key taken off: it is not there, or stands elsewhere as a new one.
        (equal && same(slot, state)).then_some(state)
    }

    /// Replaces the value of a slot that nobody holds, if it is as it was.
    fn replace(&self, at: usize, state: u64, value: New<'_>) -> bool {
        let Some(slot) = self.slots.get(at).filter(|slot| change(slot, state, state | HELD)) else {
            return false;
        };
        self.values.set(value.change, entry(state), value.bytes);
        self.is_used(entry(state));
        slot.store(state, Release);
        true
    }

    /// Adds a key; the caller is the only one who adds. `None`: somebody was quicker, look again.
    fn add(&self, key: &Key<'_>, value: New<'_>, walked: &mut u32) -> Option<Result<(), MapError>> {
        // Keys come only from who adds, and what is free is taken only there.
        let room = self.find_or_room(key, walked).err()?;
        let full = MapError::Full { capacity: self.capacity };
        let Some(at) = room else { return Some(Err(full)) };
        let Some(entry) = self.take_free().or_else(|| self.give_up(walked)) else { return Some(Err(full)) };
        // Nobody else changes it now, and whoever still compares it finds that its slot has changed.
        fence(Release);
        for (word, &is) in self.entry_key(entry).unwrap_or(&[]).iter().zip(key.words) {
            word.store(is, Relaxed);
        }
        self.values.start(value.change, entry, value.bytes);
        if let (Some(home), Some(used)) = (self.homes.get(entry), self.used.get(entry)) {
            home.store(at as u32, Relaxed);
            used.store(self.clock.fetch_add(1, Relaxed).wrapping_add(1), Relaxed);
        }
        if let Some(slot) = self.slots.get(at) {
            let version = slot.load(Relaxed) & !(VERSION - 1);
            let state = version | key.tag() << TAG_SHIFT | (entry as u64) << ENTRY_SHIFT | FULL;
            slot.store(state, Release);
        }
        self.more(1);
        Some(Ok(()))
    }

    /// Takes a key off its slot, if that is as it was; its entry is the caller's.
    fn take_off(&self, at: usize, state: u64) -> bool {
        let deleted = (state & !KIND).wrapping_add(VERSION) | DELETED;
        self.slots.get(at).is_some_and(|slot| change(slot, state, deleted))
    }

    /// Counts keys; the caller is the only one who adds.
    fn more(&self, keys: i32) {
        let count = self.layout.count.load(Relaxed);
        self.layout.count.store(count.wrapping_add_signed(keys), Relaxed);
    }

    /// The entry of a key that was not used for long, taken off. The caller is the only one who adds.
    fn give_up(&self, walked: &mut u32) -> Option<usize> {
        if self.when_full == WhenFull::Refuse {
            return None;
        }
        for _ in 0..SAMPLES {
            let first = self.hand.fetch_add(SAMPLED as u32, Relaxed) as usize;
            let sample = (first..).take(SAMPLED.min(self.capacity)).map(|at| at % self.capacity.max(1));
            *walked = walked.saturating_add(SAMPLED as u32);
            let found = sample.filter_map(|entry| self.in_use(entry)).max_by_key(|found| found.age);
            if let Some(UsedEntry { entry, at, state, .. }) = found {
                if self.take_off(at, state) {
                    self.more(-1);
                    return Some(entry);
                }
            }
        }
        // All of them are being changed, or went by themselves meanwhile.
        self.take_free()
    }

    /// An entry that has a key, if it does.
    fn in_use(&self, entry: usize) -> Option<UsedEntry> {
        let at = self.homes.get(entry)?.load(Relaxed) as usize;
        let state = self.slots.get(at)?.load(Acquire);
        let has = state & FULL != 0 && self::entry(state) == entry;
        let age = self.clock.load(Relaxed).wrapping_sub(self.used.get(entry)?.load(Relaxed));
        has.then_some(UsedEntry { entry, at, state, age })
    }

    fn is_used(&self, entry: usize) {
        let now = self.clock.load(Relaxed);
        if let Some(used) = self.used.get(entry).filter(|used| used.load(Relaxed) != now) {
            used.store(now, Relaxed);
        }
    }

    /// Takes a free entry; the caller is the only one who adds.
    fn take_free(&self) -> Option<usize> {
        let HashLayout { free, returned, .. } = &self.layout;
        let own = free.load(Relaxed);
        let first = if own != 0 || returned.load(Relaxed) == 0 { own } else { returned.swap(0, Acquire) };
        let entry = first.checked_sub(1)? as usize;
        free.store(self.next.get(entry)?.load(Relaxed), Relaxed);
        Some(entry)
    }

    /// Gives back the entry of a key that was taken off, and makes deleted slots empty again where no key can lie behind them, from this one
    /// backwards: a search ends at an empty slot. That is left to a later deletion while somebody adds a key. Gives how many it looked at.
    fn give_back(&self, entry: usize, at: usize) -> u32 {
        let HashLayout { free, returned, removed, adding, .. } = &self.layout;
        let Some(next) = self.next.get(entry) else { return 0 };
        let first = (entry as u32).wrapping_add(1);
        if adding.swap(true, Acquire) {
            removed.fetch_add(1, Relaxed);
            let mut before = returned.load(Relaxed);
            loop {
                next.store(before, Relaxed);
                match returned.compare_exchange(before, first, Release, Relaxed) {
                    Ok(_) => return 0,
                    Err(other) => before = other,
                }
            }
        }
        next.store(free.load(Relaxed), Relaxed);
        free.store(first, Relaxed);
        self.more(-1);
        let looked = self.clean(at);
        adding.store(false, Release);
        looked
    }

    /// The caller is the only one who adds.
    fn clean(&self, at: usize) -> u32 {
        let mut looked = 1;
        let slot = |at: usize| self.slots.get(at & self.slots.len().wrapping_sub(1));
        let is = |at: usize, wanted| slot(at).is_some_and(|slot| kind(slot.load(Acquire)) == wanted);
        if is(at.wrapping_add(1), EMPTY) {
            for step in (0..MOST_CLEANED).take_while(|step| is(at.wrapping_sub(*step), DELETED)) {
                if let Some(slot) = slot(at.wrapping_sub(step)) {
                    slot.store(slot.load(Relaxed) & !(VERSION - 1) | EMPTY, Release);
                }
                looked += 1;
            }
        }
        looked
    }
}

/// Waits for a moment, which counts as so many slots.
fn wait(walked: &mut u32) {
    *walked = walked.saturating_add(WAITED);
    core::hint::spin_loop();
}

/// Whether a slot has had the same key all the time; its value may be in change.
fn same(slot: &AtomicU64, state: u64) -> bool {
    fence(Acquire);
    (slot.load(SeqCst) ^ state) & !HELD == 0
}

/// Moves on the state of a slot that nobody holds, if it still is `state`.
fn change(slot: &AtomicU64, state: u64, next: u64) -> bool {
    kind(state) == FULL && slot.compare_exchange(state, next, SeqCst, Relaxed).is_ok()
}
