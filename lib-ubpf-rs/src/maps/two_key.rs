//! The classic map: two 64-bit keys, one 64-bit value, one global table shared by all programs.
//!
//! Open addressing with linear probing. Each slot has a state word: a kind in the low two bits and a version above,
//! which every change moves on. A reader compares the state before and after, so it never waits. A writer takes the
//! one slot it changes (kind `BUSY`); writers of different keys meet only when both add a key. Waiting is
//! bounded: a writer that interrupted another on the same CPU gives up and is counted. Only the value of a slot changes while it
//! is held: whoever looks for a key passes it, or finds its value as it was, also when the writer stands still. Looking is bounded
//! too: a key stands within a fixed number of slots from where its hash says, or not at all, whatever keys were put and deleted.

use super::{
    values::{zeroed, Between},
    MapError,
};
use alloc::boxed::Box;
use core::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

const EMPTY: u64 = 0;
const FULL: u64 = 1;
const DELETED: u64 = 2;
const BUSY: u64 = 3;
const KIND: u64 = 3;
const VERSION: u64 = 4;

/// Slots that a key may stand in. At most half of all are in use, so that only keys chosen to meet fill so many that follow
/// each other.
const MOST_PROBES: usize = 256;

/// Slots that a writer looks at, again and again, before it gives up on one that another holds. Holding takes some ten instructions, unless
/// who holds was interrupted: then a program would wait in vain for as long as it may, so that is as long as it is charged for, about
/// a microsecond.
const PATIENCE: u32 = 2 * MOST_PROBES as u32;
/// The same of whoever is no program, and may find that another thread is off its CPU.
const PATIENCE_OF_OTHERS: u32 = 320_000;
/// Slots that it takes as long as to wait once.
const WAITED: u32 = 16;

/// Most slots that one deletion makes empty.
const MOST_CLEANED: usize = 64;

/// Slots that are not counted as a walk.
const NEAR: u32 = 8;

/// One entry, laid out for machine code too.
#[derive(Default)]
#[repr(C)]
struct TwoKeyEntry {
    state: AtomicU64,
    key1: AtomicU64,
    key2: AtomicU64,
    value: AtomicU64,
}

impl TwoKeyEntry {
    /// Whether it has this key just now, if it has any.
    fn is(&self, key1: u64, key2: u64) -> bool {
        self.key1.load(Acquire) == key1 && self.key2.load(Acquire) == key2
    }
}

/// What machine code needs to look for a key as [`TwoKeyMap::get`] and [`TwoKeyMap::put`] do. It leaves to them what it does
/// not find at once.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TwoKeyLayout {
    /// Address of the slots: state word, two keys, value, eight bytes each.
    pub slots: u64,
    /// Number of slots less one; a power of two less one.
    pub mask: u64,
}

impl TwoKeyLayout {
    /// Kind of a slot in the low two bits of its state: in use. Otherwise bit 0 is clear.
    pub const FULL: u64 = FULL;
    /// The same: being changed.
    pub const BUSY: u64 = BUSY;
    /// What a change adds to the state.
    pub const VERSION: u64 = VERSION;
    /// Factor of the hash: `m = (key1 ^ rotl(key2, 32)) * FACTOR; m ^ m >> 32`.
    pub const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
}

/// The two-key map.
pub struct TwoKeyMap {
    slots: Box<[TwoKeyEntry]>,
    capacity: usize,
    used: AtomicUsize,
    lost: AtomicU64,
    adding: AtomicBool,
}

/// What a slot holds, read consistently.
enum View {
    Empty,
    Deleted,
    Entry {
        state: u64,
        key1: u64,
        key2: u64,
        value: u64,
    },
    /// Changed while it was read, again and again.
    Unstable,
}

/// Slots gone through at once.
const SOME: usize = 256;

impl TwoKeyMap {
    /// A map for `capacity` entries (at least 1); `None` when memory runs out.
    pub fn new(capacity: usize) -> Option<TwoKeyMap> {
        Self::in_pieces(capacity, &mut || {})
    }

    /// As [`new`](Self::new), calling `between` again and again while its memory is filled.
    pub(crate) fn in_pieces(capacity: usize, between: &mut Between<'_>) -> Option<TwoKeyMap> {
        let capacity = capacity.max(1);
        let len = capacity.checked_mul(2)?.checked_next_power_of_two()?;
        Some(TwoKeyMap {
            slots: zeroed(len, between)?,
            capacity,
            used: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            adding: AtomicBool::new(false),
        })
    }

    /// Where machine code finds the entries, for as long as the map lives.
    pub fn layout(&self) -> TwoKeyLayout {
        TwoKeyLayout { slots: self.slots.as_ptr() as u64, mask: self.slots.len().wrapping_sub(1) as u64 }
    }

    /// Entries it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Entries in use.
    pub fn len(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Updates that were lost because the map was full or busy.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// The value of a key. Waits for nobody.
    pub fn get(&self, key1: u64, key2: u64) -> Option<u64> {
        self.get_walking(key1, key2, &mut 0)
    }

    /// Most that [`get_walking`](Self::get_walking) adds.
    pub const MOST_WALKED_TO_GET: u32 = MOST_PROBES as u32 - NEAR;
    /// Most that [`put_walking`](Self::put_walking) and [`del_walking`](Self::del_walking) add when they need not wait for another
    /// writer: one search, and the one for a free slot; or what a deletion makes empty.
    pub const MOST_WALKED: u32 = 2 * MOST_PROBES as u32 - NEAR;

    /// As [`get`](Self::get); adds the slots that were walked, those nearby aside.
    pub fn get_walking(&self, key1: u64, key2: u64, walked: &mut u32) -> Option<u64> {
        let mut looked = 0;
        let found = self.find(key1, key2, &mut looked);
        *walked = walked.saturating_add(looked.saturating_sub(NEAR));
        match found? {
            (_, View::Entry { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// Inserts or replaces.
    pub fn put(&self, key1: u64, key2: u64, value: u64) -> Result<(), MapError> {
        let result = self.try_put(key1, key2, value, &mut 0, PATIENCE_OF_OTHERS);
        self.told(result, 0, &mut 0)
    }

    /// As [`put`](Self::put), for a program; adds the slots that were walked, those nearby aside, and what it has waited.
    pub fn put_walking(&self, key1: u64, key2: u64, value: u64, walked: &mut u32) -> Result<(), MapError> {
        let mut looked = 0;
        let result = self.try_put(key1, key2, value, &mut looked, PATIENCE);
        self.told(result, looked, walked)
    }

    /// Adds to the value of a key, in one step: of several that add at a time none is lost. A key that is not there counts as 0. One who
    /// adds while the key is deleted, and its slot is given to another, may add to that one.
    pub fn add_to(&self, key1: u64, key2: u64, more: u64) -> Result<(), MapError> {
        let result = self.try_add(key1, key2, more, &mut 0, PATIENCE_OF_OTHERS);
        self.told(result, 0, &mut 0)
    }

    /// As [`add_to`](Self::add_to), for a program; adds the slots that were walked, those nearby aside, and what it has waited.
    pub fn add_walking(&self, key1: u64, key2: u64, more: u64, walked: &mut u32) -> Result<(), MapError> {
        let mut looked = 0;
        let result = self.try_add(key1, key2, more, &mut looked, PATIENCE);
        self.told(result, looked, walked)
    }

    /// Adds what a change has walked, and counts it where it was lost.
    fn told<T>(&self, result: Result<T, MapError>, looked: u32, walked: &mut u32) -> Result<T, MapError> {
        *walked = walked.saturating_add(looked.saturating_sub(NEAR));
        if result.is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        result
    }

    /// Adds as often as that, at once.
    pub fn add_often(&self, key1: u64, key2: u64, more: u64, times: u64) {
        if times > 0 && self.add_to(key1, key2, more.wrapping_mul(times)).is_err() {
            // One is counted already.
            self.lost.fetch_add(times.wrapping_sub(1), Relaxed);
        }
    }

    fn try_add(&self, key1: u64, key2: u64, more: u64, looked: &mut u32, patience: u32) -> Result<(), MapError> {
        while *looked < patience {
            // Also while somebody puts another value there: then it came before.
            if let Some((slot, View::Entry { .. })) = self.find(key1, key2, looked) {
                slot.value.fetch_add(more, SeqCst);
                return Ok(());
            }
            if !self.adding.swap(true, Acquire) {
                let added = self.add(key1, key2, more, looked);
                self.adding.store(false, Release);
                if let Some(done) = added {
                    return done;
                }
            }
            wait(looked);
        }
        Err(MapError::Busy)
    }

    /// Ends what other threads were doing in a copy of the process in which they are not: in a child of a fork.
    pub fn after_fork(&self) {
        for slot in &self.slots {
            let state = slot.state.load(Acquire);
            if state & KIND == BUSY {
                let free = (state & !KIND).wrapping_add(VERSION) | FULL;
                slot.state.store(free, Release);
            }
        }
        self.adding.store(false, Release);
    }

    /// Removes; whether there was an entry.
    pub fn del(&self, key1: u64, key2: u64) -> bool {
        let deleted = self.try_del(key1, key2, &mut 0, PATIENCE_OF_OTHERS);
        self.told(deleted, 0, &mut 0).unwrap_or(false)
    }

    /// As [`del`](Self::del), for a program; adds the slots that were walked, those nearby aside, and what it has waited.
    pub fn del_walking(&self, key1: u64, key2: u64, walked: &mut u32) -> bool {
        let mut looked = 0;
        let deleted = self.try_del(key1, key2, &mut looked, PATIENCE);
        self.told(deleted, looked, walked).unwrap_or(false)
    }

    fn try_del(&self, key1: u64, key2: u64, looked: &mut u32, patience: u32) -> Result<bool, MapError> {
        while *looked < patience {
            let Some((slot, View::Entry { state, .. })) = self.find(key1, key2, looked) else {
                return Ok(false);
            };
            let deleted = (state & !KIND).wrapping_add(VERSION) | DELETED;
            if change(slot, state, deleted) {
                self.used.fetch_sub(1, Relaxed);
                *looked = looked.saturating_add(self.clean(slot));
                return Ok(true);
            }
            wait(looked);
        }
        Err(MapError::Busy)
    }

    /// Calls `each` with every entry (keys and value), in no order.
    pub fn for_each(&self, mut each: impl FnMut(u64, u64, u64)) {
        for slot in &self.slots {
            if let View::Entry { key1, key2, value, .. } = view(slot) {
                each(key1, key2, value);
            }
        }
    }

    /// Calls `each` with the entries of some slots, from slot `first` on, until it returns false; gives the slot at which to go on, that
    /// of the entry that was refused if one was, and `None` at the end.
    pub fn for_some(&self, first: usize, each: &mut dyn FnMut(u64, u64, u64) -> bool) -> Option<usize> {
        let rest = self.slots.get(first..)?;
        for (at, slot) in rest.iter().take(SOME).enumerate() {
            if let View::Entry { key1, key2, value, .. } = view(slot) {
                if !each(key1, key2, value) {
                    return first.checked_add(at);
                }
            }
        }
        (rest.len() > SOME).then(|| first.saturating_add(SOME))
    }

    fn try_put(&self, key1: u64, key2: u64, value: u64, looked: &mut u32, patience: u32) -> Result<(), MapError> {
        while *looked < patience {
            if let Some(done) = self.replace(key1, key2, value, looked, patience) {
                return done;
            }
            if !self.adding.swap(true, Acquire) {
                let added = self.add(key1, key2, value, looked);
                self.adding.store(false, Release);
                if let Some(done) = added {
                    return done;
                }
            }
            wait(looked);
        }
        Err(MapError::Busy)
    }

    /// Replaces the value of a present key. `None`: it is not there.
    fn replace(
        &self,
        key1: u64,
        key2: u64,
        value: u64,
        looked: &mut u32,
        patience: u32,
    ) -> Option<Result<(), MapError>> {
        while *looked < patience {
            let (slot, View::Entry { state, .. }) = self.find(key1, key2, looked)? else {
                wait(looked);
                continue;
            };
            if change(slot, state, state | BUSY) {
                slot.value.store(value, Relaxed);
                slot.state.store(state.wrapping_add(VERSION), Release);
                return Some(Ok(()));
            }
            wait(looked);
        }
        Some(Err(MapError::Busy))
    }

    /// Adds a key; the caller is the only one who adds. `None`: somebody was quicker, look again.
    fn add(&self, key1: u64, key2: u64, value: u64, looked: &mut u32) -> Option<Result<(), MapError>> {
        let mut free = None;
        for slot in self.probe(key1, key2) {
            *looked = looked.saturating_add(1);
            let state = slot.state.load(Acquire);
            match state & KIND {
                EMPTY | DELETED => free = free.or(Some((slot, state))),
                // Keys come only from who adds.
                _ if slot.is(key1, key2) => return None,
                _ => {}
            }
            if state & KIND == EMPTY {
                break;
            }
        }
        let full = MapError::Full { capacity: self.capacity };
        let Some((slot, state)) = free.filter(|_| self.len() < self.capacity) else {
            return Some(Err(full));
        };
        // Nobody else changes it now, and whoever reads it finds no entry until the state says that there is one.
        slot.key1.store(key1, Release);
        slot.key2.store(key2, Release);
        slot.value.store(value, Release);
        slot.state.store((state & !KIND).wrapping_add(VERSION) | FULL, Release);
        self.used.fetch_add(1, Relaxed);
        Some(Ok(()))
    }

    /// Makes deleted slots empty again where no key can lie behind them, from this one backwards: a search ends at an empty slot.
    /// Left to a later deletion while somebody adds a key. Gives how many it looked at.
    fn clean(&self, slot: &TwoKeyEntry) -> u32 {
        if self.adding.swap(true, Acquire) {
            return 0;
        }
        let mut looked = 1;
        let offset = core::ptr::from_ref(slot).addr().wrapping_sub(self.slots.as_ptr().addr());
        let at = offset / size_of::<TwoKeyEntry>();
        let slot = |at: usize| self.slots.get(at & self.slots.len().wrapping_sub(1));
        let kind = |slot: &TwoKeyEntry| slot.state.load(Acquire) & KIND;
        if slot(at.wrapping_add(1)).is_some_and(|next| kind(next) == EMPTY) {
            let backwards = (0..MOST_CLEANED).filter_map(|step| slot(at.wrapping_sub(step)));
            for slot in backwards.take_while(|slot| kind(slot) == DELETED) {
                let state = slot.state.load(Relaxed);
                slot.state.store((state & !KIND).wrapping_add(VERSION) | EMPTY, Release);
                looked += 1;
            }
        }
        self.adding.store(false, Release);
        looked
    }

    /// The entry of a key; adds the slots that were looked at.
    fn find(&self, key1: u64, key2: u64, looked: &mut u32) -> Option<(&TwoKeyEntry, View)> {
        for slot in self.probe(key1, key2) {
            *looked = looked.saturating_add(1);
            match slot.state.load(Acquire) & KIND {
                EMPTY => return None,
                DELETED => continue,
                // Whose key is another was not this one's at that moment; a second look would say no more.
                _ if !slot.is(key1, key2) => continue,
                _ => {}
            }
            match view(slot) {
                View::Empty => return None,
                View::Deleted => {}
                View::Entry { key1: k1, key2: k2, .. } if (k1, k2) != (key1, key2) => {}
                found => return Some((slot, found)),
            }
        }
        None
    }

    /// The slots that may hold a key, in order.
    fn probe(&self, key1: u64, key2: u64) -> impl Iterator<Item = &TwoKeyEntry> {
        let start = hash(key1, key2) as usize & self.slots.len().wrapping_sub(1);
        let (before, from) = self.slots.split_at(start);
        from.iter().chain(before).take(MOST_PROBES)
    }
}

/// Waits for a moment, which counts as so many slots.
fn wait(looked: &mut u32) {
    *looked = looked.saturating_add(WAITED);
    core::hint::spin_loop();
}

fn hash(key1: u64, key2: u64) -> u64 {
    let mixed = (key1 ^ key2.rotate_left(32)).wrapping_mul(TwoKeyLayout::FACTOR);
    mixed ^ (mixed >> 32)
}

/// Moves on the state of an entry that nobody holds, if it still is `state`.
fn change(slot: &TwoKeyEntry, state: u64, next: u64) -> bool {
    let swap = || slot.state.compare_exchange(state, next, SeqCst, Relaxed);
    state & KIND == FULL && swap().is_ok()
}

fn view(slot: &TwoKeyEntry) -> View {
    for _ in 0..64 {
        let state = slot.state.load(Acquire);
        match state & KIND {
            EMPTY => return View::Empty,
            DELETED => return View::Deleted,
            // The keys of an entry stay as long as it is one, which shows in the second look.
            _ => {}
        }
        let key1 = slot.key1.load(Acquire);
        let key2 = slot.key2.load(Acquire);
        let value = slot.value.load(Acquire);
        if slot.state.load(SeqCst) == state {
            return View::Entry { state, key1, key2, value };
        }
        core::hint::spin_loop();
    }
    View::Unstable
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, thread, vec::Vec};

    /// An interrupt's hook comes over a thread's: it would wait in vain.
    #[test]
    fn a_program_waits_for_a_change_that_stands_still_as_long_as_it_is_charged_for() {
        let map = TwoKeyMap::new(4).unwrap();
        map.put(1, 2, 3).unwrap();
        let waits = |work: &dyn Fn(&mut u32) -> bool| {
            let (mut walked, lost) = (0, map.lost());
            assert!(!work(&mut walked) && map.lost() == lost + 1);
            assert!((1..=TwoKeyMap::MOST_WALKED + WAITED).contains(&walked), "{walked}");
        };
        map.adding.store(true, Relaxed);
        waits(&|walked| map.put_walking(7, 2, 3, walked).is_ok());
        waits(&|walked| map.add_walking(7, 2, 3, walked).is_ok());
        map.slots.iter().filter(|slot| slot.state.load(Relaxed) & KIND == FULL).for_each(|slot| {
            slot.state.fetch_or(BUSY, Relaxed);
        });
        waits(&|walked| map.put_walking(1, 2, 3, walked).is_ok());
        waits(&|walked| map.del_walking(1, 2, walked));
        assert_eq!((map.add_walking(1, 2, 4, &mut 0), map.get(1, 2)), (Ok(()), Some(7)));
    }

    #[test]
    fn put_get_replace_del() {
        let map = TwoKeyMap::new(4).unwrap();
        assert_eq!(map.get(1, 2), None);
        map.put(1, 2, 3).unwrap();
        map.put(2, 1, 4).unwrap();
        map.put(1, 2, 5).unwrap();
        assert_eq!((map.get(1, 2), map.get(2, 1), map.len()), (Some(5), Some(4), 2));
        assert!(map.del(1, 2));
        assert!(!map.del(1, 2));
        assert_eq!((map.get(1, 2), map.len()), (None, 1));
    }

    #[test]
    fn a_full_map_refuses_counts_and_keeps_what_it_has() {
        let map = TwoKeyMap::new(3).unwrap();
        for key in 0..3 {
            map.put(key, 0, key).unwrap();
        }
        assert_eq!(map.put(9, 0, 9), Err(MapError::Full { capacity: 3 }));
        assert_eq!((map.lost(), map.get(0, 0), map.get(9, 0)), (1, Some(0), None));
        map.put(1, 0, 7).unwrap();
        assert!(map.del(0, 0));
        map.put(9, 0, 9).unwrap();
        assert_eq!((map.get(1, 0), map.get(9, 0)), (Some(7), Some(9)));
    }

    #[test]
    fn deleted_slots_are_used_again_for_ever() {
        let map = TwoKeyMap::new(2).unwrap();
        for key in 0..10_000 {
            map.put(key, key, key).unwrap();
            assert!(map.del(key, key));
        }
        assert_eq!((map.len(), map.lost()), (0, 0));
    }

    /// A search for what is not there would look at all of them.
    #[test]
    fn deleted_slots_do_not_pile_up() {
        let map = TwoKeyMap::new(64).unwrap();
        for round in 0..1_000 {
            let keys = round * 32..round * 32 + 32;
            keys.clone().for_each(|key| map.put(key, 1, key).unwrap());
            assert!(keys.clone().all(|key| map.get(key, 1) == Some(key)));
            assert!(keys.clone().all(|key| map.del(key, 1)));
            assert!(keys.clone().all(|key| map.get(key, 1).is_none()));
        }
        let kinds = map.slots.iter().map(|slot| slot.state.load(Relaxed) & KIND);
        assert_eq!(kinds.filter(|&kind| kind != EMPTY).count(), 0);
    }

    /// Neither keys of one hash nor what deleted keys leave behind make a lookup longer.
    #[test]
    fn chosen_keys_fill_their_own_slots_alone() {
        let map = TwoKeyMap::new(4096).unwrap();
        let taken = (0..4096u64).filter(|&n| map.put(n << 32, n, n).is_ok()).count();
        assert_eq!((taken, map.lost()), (MOST_PROBES, 4096 - taken as u64));
        // Only a key whose own slots are among those finds no place.
        let others: Vec<u64> = (0..2048).filter(|&n| map.put(n, 1 << 40, n).is_ok()).collect();
        assert!(others.len() >= 2048 - MOST_PROBES, "{}", others.len());
        assert!(others.iter().all(|&n| map.get(n, 1 << 40) == Some(n)));
        for n in 0..20_000 {
            if map.put(n, 3, n).is_ok() {
                assert!(map.del(n, 3));
            }
        }
        assert!((0..20_000).all(|n| map.probe(n, 3).count() <= MOST_PROBES));
        assert!((0..taken as u64).all(|n| map.get(n << 32, n) == Some(n)));
    }

    /// What programs are charged for.
    #[test]
    fn walks_are_counted_and_bounded() {
        let map = TwoKeyMap::new(4096).unwrap();
        fn walked<T>(work: impl Fn(&mut u32) -> T) -> u32 {
            let mut walked = 0;
            work(&mut walked);
            walked
        }
        let put = |n: u64| walked(|w| map.put_walking(n << 32, n, n, w));
        let get = |n: u64| walked(|w| map.get_walking(n << 32, n, w));
        let del = |n: u64| walked(|w| map.del_walking(n << 32, n, w));
        // The first few stand near.
        assert_eq!((put(0), put(1), get(1), get(9)), (0, 0, 0, 0));
        (2..MOST_PROBES as u64).for_each(|n| {
            // One search for the key, one for a free slot.
            assert_eq!(u64::from(put(n)), (2 * (n + 1)).saturating_sub(NEAR.into()));
        });
        let most = TwoKeyMap::MOST_WALKED;
        assert_eq!(get(255), TwoKeyMap::MOST_WALKED_TO_GET);
        assert_eq!(get(1000), TwoKeyMap::MOST_WALKED_TO_GET);
        assert_eq!((put(1000), put(255)), (most, most / 2 - NEAR / 2));
        // From the first on: the last one finds a row of deleted slots to make empty.
        assert!((0..MOST_PROBES as u64).all(|n| del(n) <= most));
    }

    #[test]
    fn threads_with_their_own_keys_lose_nothing() {
        let map = Arc::new(TwoKeyMap::new(64).unwrap());
        let work = |id: u64, map: Arc<TwoKeyMap>| {
            for _ in 0..100_000 {
                let count = map.get(id, 0).unwrap_or(0);
                map.put(id, 0, count + 1).unwrap();
            }
        };
        let threads: Vec<_> = (0..4)
            .map(|id| {
                let map = map.clone();
                thread::spawn(move || work(id, map))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!((0..4).all(|id| map.get(id, 0) == Some(100_000)));
    }

    /// As when a thread is sent to sleep, or interrupted, in the middle of an update.
    #[test]
    fn a_slot_whose_value_is_being_changed_hides_neither_it_nor_others() {
        let map = TwoKeyMap::new(8).unwrap();
        let start = |key: &u64| hash(*key, 0) as usize & (map.slots.len() - 1);
        let together: Vec<u64> = (0..).filter(|key| start(key) == 3).take(4).collect();
        let [a, b, c, d] = together.try_into().unwrap();
        for key in [a, b, c] {
            map.put(key, 0, key + 1).unwrap();
        }
        let Some((slot, View::Entry { state, .. })) = map.find(a, 0, &mut 0) else {
            panic!("there is an entry");
        };
        assert!(change(slot, state, state | BUSY));
        assert_eq!((map.get(a, 0), map.get(b, 0)), (Some(a + 1), Some(b + 1)));
        map.put(b, 0, 7).unwrap();
        assert!(map.del(c, 0));
        map.put(d, 0, 9).unwrap();
        assert_eq!([b, c, d].map(|key| map.get(key, 0)), [Some(7), None, Some(9)]);
        assert_eq!((map.put(a, 0, 0), map.lost()), (Err(MapError::Busy), 1));
        slot.state.store(state.wrapping_add(VERSION), Release);
        assert_eq!((map.get(a, 0), map.len()), (Some(a + 1), 3));
        map.put(a, 0, 5).unwrap();
        assert_eq!(map.get(a, 0), Some(5));
    }

    #[test]
    fn threads_that_add_to_one_key_lose_nothing() {
        let map = Arc::new(TwoKeyMap::new(64).unwrap());
        let threads: Vec<_> = (0..4u64)
            .map(|id| {
                let map = map.clone();
                thread::spawn(move || {
                    for n in 0..50_000 {
                        map.add_to(n % 16, 0, 1).unwrap();
                        map.put(100 + id, 0, n).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!((0..16).all(|key| map.get(key, 0) == Some(12_500)));
        assert_eq!(map.lost(), 0);
    }

    /// A fork takes along what another thread had half done.
    #[test]
    fn after_a_fork_nothing_is_held_by_threads_that_are_not_there() {
        let map = TwoKeyMap::new(4).unwrap();
        map.put(1, 2, 3).unwrap();
        let Some((slot, View::Entry { state, .. })) = map.find(1, 2, &mut 0) else {
            panic!("there is an entry");
        };
        assert!(change(slot, state, state | BUSY));
        map.adding.store(true, SeqCst);
        assert_eq!(map.put(1, 2, 4), Err(MapError::Busy));
        assert_eq!(map.put(5, 5, 5), Err(MapError::Busy));
        map.after_fork();
        map.put(1, 2, 4).unwrap();
        map.put(5, 5, 5).unwrap();
        assert_eq!((map.get(1, 2), map.get(5, 5)), (Some(4), Some(5)));
    }

    /// Slots come and go around a key that is counted, and one that is never there.
    #[test]
    fn keys_that_come_and_go_disturb_no_other() {
        // A thread that holds a slot may stand still for long; who is told so tries again. How often that was is counted.
        fn put(map: &TwoKeyMap, key: u64, value: u64) -> u64 {
            let busy = (0..).take_while(|_| {
                let answer = map.put(key, 0, value);
                assert!(matches!(answer, Ok(()) | Err(MapError::Busy)), "{answer:?}");
                answer.is_err()
            });
            busy.count() as u64
        }
        let map = Arc::new(TwoKeyMap::new(8).unwrap());
        let start = |key: &u64| hash(*key, 0) as usize & (map.slots.len() - 1);
        let together: Vec<u64> = (1..).filter(|key| start(key) == 3).take(6).collect();
        let churn = map.clone();
        let keys = together.clone();
        let other = thread::spawn(move || {
            let mut busy = 0;
            for n in 0..200_000 {
                let key = keys[1 + n % 4];
                busy += put(&churn, key, key);
                assert_eq!(churn.get(key, 0), Some(key));
                assert!(churn.del(key, 0));
            }
            busy
        });
        let (mut count, mut busy) = (0, 0);
        while !other.is_finished() {
            let before = map.get(together[0], 0).unwrap_or(0);
            assert_eq!(before, count);
            busy += put(&map, together[0], before + 1);
            assert_eq!(map.get(together[5], 0), None);
            count += 1;
        }
        busy += other.join().unwrap();
        assert_eq!((map.len(), map.lost()), (1, busy));
    }

    #[test]
    fn two_threads_adding_the_same_key_make_one_entry() {
        for _ in 0..200 {
            let map = Arc::new(TwoKeyMap::new(8).unwrap());
            let threads: Vec<_> = (0..2)
                .map(|id| {
                    let map = map.clone();
                    thread::spawn(move || map.put(5, 5, id).unwrap())
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(map.len(), 1);
        }
    }
}
