//! Stack traces by number, which is a part of their hash: as with Linux a trace has one place, and where that is taken it is refused or takes it.
//!
//! A place has a state. Whoever changes it takes the state first, and who finds it taken asks for a while and goes: it may have interrupted
//! the other. Words that are read while somebody changes them are told by the state, which has another number of changes then.

use super::{
    hash::hash,
    values::{zeroed, Between, SlotChange, Slots, Values},
    Bytes, MapError, SOME,
};
use crate::program::{
    limits::MOST_FRAMES,
    planted::{self, Bug},
    MapDef,
};
use alloc::boxed::Box;
use core::sync::atomic::{
    fence, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Times that a place is asked for that somebody changes.
const PATIENCE: usize = 16;

/// What is to be done where a place is taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Collision {
    /// A trace of the same hash is taken for the same.
    pub by_hash: bool,
    /// The new trace takes the place of another one.
    pub replace: bool,
}

/// The phase of a place, in the low bits of its state; above it the length of its trace, the number of its changes, and the hash.
const EMPTY: u64 = 0;
const CHANGING: u64 = 1;
const FULL: u64 = 2;
const PHASE: u64 = 0xff;
const CHANGES: u64 = 0xffff << 16;

/// The traces.
pub(super) struct Stacks {
    states: Box<[AtomicU64]>,
    values: Values,
    count: AtomicU32,
    seed: u64,
}

impl Stacks {
    pub fn new(def: &MapDef, seed: u64, between: &mut Between<'_>) -> Option<Stacks> {
        let max_entries = def.max_entries.checked_next_power_of_two()?;
        let values = Values::new(&MapDef { max_entries, ..*def }, between)?;
        Some(Stacks { states: zeroed(max_entries as usize, between)?, values, count: AtomicU32::new(0), seed })
    }

    /// Traces that are in it.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// The number of a trace, which is put in unless it is there. *Hook path.*
    pub fn number(&self, trace: &[u64], taken: Collision) -> Result<u32, MapError> {
        let trace = trace.get(..self.values.stride() / 8).unwrap_or(trace);
        let hash = hash(self.seed, trace.iter().copied()) >> 32;
        let index = (hash as usize) & self.states.len().wrapping_sub(1);
        let new = hash << 32 | (trace.len() as u64) << 8 | FULL;
        for _ in 0..PATIENCE {
            let state = self.state(index)?.load(Acquire);
            match state & PHASE {
                EMPTY => {}
                FULL => {
                    let alike = state & !CHANGES == new || planted::active(Bug::SameHash);
                    if alike && (taken.by_hash || planted::active(Bug::SameHash) || self.is(index, state, trace)) {
                        return Ok(index as u32);
                    }
                    if !taken.replace {
                        return Err(MapError::Exists);
                    }
                }
                _ => {
                    core::hint::spin_loop();
                    continue;
                }
            }
            if let Some(changing) = self.begin(index, state) {
                self.values.set(SlotChange::All, index, Bytes::of_words(trace));
                self.end(index, changing & CHANGES | new);
                return Ok(index as u32);
            }
        }
        Err(MapError::Busy)
    }

    fn state(&self, index: usize) -> Result<&AtomicU64, MapError> {
        self.states.get(index).ok_or(MapError::Full { capacity: self.states.len() })
    }

    /// Whether a place holds this trace, and is in this state all the time.
    fn is(&self, index: usize, state: u64, trace: &[u64]) -> bool {
        let words = self.values.slots(index).map(|slots| slots.first().words());
        words.is_some_and(|words| words.zip(trace).all(|(word, address)| word == *address))
            && self.is_still(index, state)
    }

    /// Whether nobody changed a place since it was in this state, as far as what was read of it since says.
    fn is_still(&self, index: usize, state: u64) -> bool {
        fence(Acquire);
        self.states.get(index).is_some_and(|now| now.load(Relaxed) == state)
    }

    /// Takes a place in this state for a change; the state that it is in then.
    fn begin(&self, index: usize, state: u64) -> Option<u64> {
        let changing = state.wrapping_add(1 << 16) & CHANGES | CHANGING;
        self.states.get(index)?.compare_exchange(state, changing, Acquire, Relaxed).ok()?;
        if state & PHASE == EMPTY {
            _ = self.count.fetch_add(1, Relaxed);
        }
        fence(Release);
        Some(changing)
    }

    fn end(&self, index: usize, state: u64) {
        if state & PHASE == EMPTY {
            _ = self.count.fetch_sub(1, Relaxed);
        }
        if let Some(place) = self.states.get(index) {
            place.store(state, Release);
        }
    }

    /// The place of a key, which has four bytes.
    fn index(key: Bytes<'_>) -> usize {
        key.word(0) as u32 as usize
    }

    /// The trace of a number with zeros behind it; while somebody puts another one there, it may be of both.
    pub fn value(&self, key: Bytes<'_>) -> Option<Slots<'_>> {
        let index = Self::index(key);
        let full = self.states.get(index)?.load(Acquire) & PHASE == FULL;
        full.then(|| self.values.slots(index))?
    }

    pub fn delete(&self, key: Bytes<'_>) -> Result<(), MapError> {
        let index = Self::index(key);
        for _ in 0..PATIENCE {
            let state = self.state(index)?.load(Acquire);
            match state & PHASE {
                EMPTY => return Err(MapError::NoEntry),
                FULL => {}
                _ => continue,
            }
            if let Some(changing) = self.begin(index, state) {
                self.end(index, changing & CHANGES | EMPTY);
                return Ok(());
            }
        }
        Err(MapError::Busy)
    }

    /// Shows whole traces, as [`Map::for_some`](super::Map::for_some) does.
    pub fn for_some(&self, first: usize, each: &mut dyn FnMut(&[u8], Slots<'_>) -> bool) -> Option<usize> {
        let last = first.checked_add(SOME)?.min(self.states.len());
        for index in first..last {
            let mut copy = [0; MOST_FRAMES];
            let shown = self.copy(index, &mut copy);
            let key = (index as u32).to_le_bytes();
            if shown.is_some_and(|trace| !each(&key, Bytes::of_words(trace).into())) {
                return Some(index);
            }
        }
        (last < self.states.len()).then_some(last)
    }

    /// A trace as it was at a moment.
    fn copy<'c>(&self, index: usize, copy: &'c mut [u64; MOST_FRAMES]) -> Option<&'c [u64]> {
        let words = self.values.stride() / 8;
        for _ in 0..PATIENCE {
            let state = self.states.get(index)?.load(Acquire);
            if state & PHASE != FULL {
                return None;
            }
            let now = self.values.slots(index)?.first().words();
            copy.iter_mut().zip(now).for_each(|(to, word)| *to = word);
            if self.is_still(index, state) {
                return copy.get(..words);
            }
        }
        None
    }

    /// Whoever was at work is not there any more: what was left half done is taken off.
    pub fn after_fork(&self) {
        let changing = |state: &&AtomicU64| state.load(Relaxed) & PHASE == CHANGING;
        self.states.iter().filter(changing).for_each(|state| state.store(EMPTY, Relaxed));
        let full = self.states.iter().filter(|state| state.load(Relaxed) & PHASE == FULL).count();
        self.count.store(full as u32, Relaxed);
    }

    /// As when somebody stands still while a place is changed.
    #[cfg(test)]
    pub fn stand_still(&self, index: u32) {
        let index = index as usize;
        let state = self.states[index].load(Relaxed);
        self.begin(index, state).unwrap();
    }
}
