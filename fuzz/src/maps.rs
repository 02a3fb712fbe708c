//! Maps of every kind against models of std: the fuzzer's bytes say which map it is, and what is done to it. Answers, contents and counts
//! must be those of the model, and nothing walks further than it may be charged for.
#![no_main]

#[allow(dead_code, reason = "no programs are made here")]
mod input;

use libfuzzer_sys::fuzz_target;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};
use ubpf_rs::{
    maps::{
        handle, settle_left, update, BytesMut, Collision, Held, HeldProgram, InUse, Map, MapError, Maps, Stay,
        MOST_WALKED_TO_CHANGE, MOST_WALKED_TO_LOOK,
    },
    program::{limits::LANES, InnerDef, MapDef, MapFlags, MapKind, MapName},
    vm::soundness::Numbers,
};

/// The slots of a value.
type Slots = Vec<Vec<u8>>;

const KEYED: [MapKind; 7] = [
    MapKind::Array,
    MapKind::Hash,
    MapKind::LruHash,
    MapKind::PercpuArray,
    MapKind::PercpuHash,
    MapKind::LruPercpuHash,
    MapKind::LpmTrie,
];
const KEYLESS: [MapKind; 3] = [MapKind::Queue, MapKind::Stack, MapKind::BloomFilter];

fn is_array(kind: MapKind) -> bool {
    matches!(kind, MapKind::Array | MapKind::PercpuArray)
}

fn is_lru(kind: MapKind) -> bool {
    matches!(kind, MapKind::LruHash | MapKind::LruPercpuHash)
}

fn bytes(numbers: &mut Numbers<'_>, len: usize, different: u64) -> Vec<u8> {
    let first = numbers.below(different) as u8;
    (0..len).map(|at| if at == 0 { first } else { first.wrapping_mul(31) ^ at as u8 }).collect()
}

fn slots_of(map: &Map, key: &[u8]) -> Option<Slots> {
    Some(map.value(key.into())?.iter().map(copied).collect())
}

fn copied(slot: ubpf_rs::maps::Bytes<'_>) -> Vec<u8> {
    let mut copy = vec![0; slot.len()];
    slot.copy_to(&mut copy);
    copy
}

fn contents(map: &Map) -> HashMap<Vec<u8>, Slots> {
    let (mut all, mut next) = (HashMap::new(), Some(0));
    while let Some(first) = next {
        next = map.for_some(first, &mut |key, slots| {
            assert!(all.insert(key.to_vec(), slots.iter().map(copied).collect()).is_none(), "a key is shown twice");
            true
        });
    }
    all
}

/// So many bits of what follows the number in front, which says how many.
fn cut(key: &[u8], length: usize) -> Vec<u8> {
    let bit = |at: usize| u8::from(at < length) * (key[4 + at / 8] >> (7 - at % 8) & 1);
    let data = (0..key.len() - 4).map(|byte| (0..8).fold(0, |all, at| all << 1 | bit(8 * byte + at)));
    (length as u32).to_le_bytes().into_iter().chain(data).collect()
}

fn length(key: &[u8]) -> usize {
    u32::from_le_bytes([key[0], key[1], key[2], key[3]]) as usize
}

fn make(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    let name = MapName::new("fuzzed").expect("a name");
    let flags = MapFlags::empty();
    Map::new(MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }).expect("a map")
}

/// A map with keys beside its model.
struct Keyed {
    map: Map,
    kind: MapKind,
    key_size: usize,
    value_size: usize,
    entries: usize,
    lanes: usize,
    model: HashMap<Vec<u8>, Slots>,
}

impl Keyed {
    fn new(numbers: &mut Numbers<'_>) -> Self {
        let kind = KEYED[numbers.below(KEYED.len() as u64) as usize];
        let key_size = match kind {
            kind if is_array(kind) => 4,
            MapKind::LpmTrie => 5 + numbers.below(3) as usize,
            _ => 1 + numbers.below(20) as usize,
        };
        let (value_size, entries) = (1 + numbers.below(20) as usize, 1 + numbers.below(6) as usize);
        let map = make(kind, key_size as u32, value_size as u32, entries as u32);
        let lanes = if kind.is_per_cpu() { LANES } else { 1 };
        let mut model = HashMap::new();
        if is_array(kind) {
            let keys = (0..entries as u32).map(|key| key.to_le_bytes().to_vec());
            model.extend(keys.map(|key| (key, vec![vec![0; value_size]; lanes])));
        }
        Self { map, kind, key_size, value_size, entries, lanes, model }
    }

    fn key(&self, numbers: &mut Numbers<'_>) -> Vec<u8> {
        match self.kind {
            kind if is_array(kind) => (numbers.below(self.entries as u64 + 2) as u32).to_le_bytes().to_vec(),
            MapKind::LpmTrie => {
                let length = numbers.below(self.most_bits() as u64 + 2) as u32;
                let data = (4..self.key_size).map(|_| [0, 0xff, 0xf0, 0xa5][numbers.below(4) as usize]);
                length.to_le_bytes().into_iter().chain(data).collect()
            }
            _ => bytes(numbers, self.key_size, 9),
        }
    }

    /// Bits of the longest prefix.
    fn most_bits(&self) -> usize {
        8 * (self.key_size - 4)
    }

    /// The key as the model has it, unless there can be none of this sort.
    fn known(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.kind {
            MapKind::LpmTrie if length(key) > self.most_bits() => None,
            MapKind::LpmTrie => Some(cut(key, length(key))),
            _ => Some(key.to_vec()),
        }
    }

    fn update(&mut self, key: &[u8], numbers: &mut Numbers<'_>) {
        let value = bytes(numbers, self.value_size, 256);
        let (flags, whose) = (numbers.below(4), numbers.below(LANES as u64 + 1) as usize);
        let expected = self.may_update(key, flags);
        let mut walked = 0;
        let put = match whose {
            LANES => self.map.update(key.into(), value[..].into(), flags, &mut walked),
            lane => self.map.update_in(lane as u32, key.into(), value[..].into(), flags, &mut walked),
        };
        assert_eq!(put, expected.clone().map(drop));
        assert!(walked <= MOST_WALKED_TO_CHANGE);
        let Ok(known) = expected else { return };
        let none = vec![0; self.value_size];
        let slots = self.model.entry(known).or_insert_with(|| vec![none.clone(); self.lanes]);
        if whose == LANES {
            slots.fill(none);
        }
        slots[if whose == LANES || self.lanes == 1 { 0 } else { whose }] = value;
        if is_lru(self.kind) {
            // Others may have gone, and this one has not.
            assert!(slots_of(&self.map, key).is_some());
            self.model.retain(|key, _| slots_of(&self.map, key).is_some());
        }
    }

    /// The key under which the model gets the value.
    fn may_update(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, MapError> {
        let known = self.known(key).filter(|_| flags < 3).ok_or(MapError::Invalid)?;
        let there = self.model.contains_key(&known);
        let full = !there && self.model.len() == self.entries && !is_lru(self.kind);
        match flags {
            _ if is_array(self.kind) && !there => Err(MapError::Full { capacity: self.entries }),
            update::NEW if there => Err(MapError::Exists),
            update::EXISTING if !there => Err(MapError::NoEntry),
            _ if full => Err(MapError::Full { capacity: self.entries }),
            _ => Ok(known),
        }
    }

    fn delete(&mut self, key: &[u8]) {
        let expected = match self.known(key).filter(|_| !is_array(self.kind)) {
            Some(known) => self.model.remove(&known).map(drop).ok_or(MapError::NoEntry),
            None => Err(MapError::Invalid),
        };
        let mut walked = 0;
        assert_eq!(self.map.delete(key.into(), &mut walked), expected);
        assert!(walked <= MOST_WALKED_TO_CHANGE);
    }

    fn look(&self, key: &[u8]) {
        let expected = match self.kind {
            MapKind::LpmTrie => {
                let most = length(key).min(self.most_bits());
                (0..=most).rev().find_map(|length| self.model.get(&cut(key, length)))
            }
            _ => self.model.get(key),
        };
        assert_eq!(slots_of(&self.map, key).as_ref(), expected);
        let mut walked = 0;
        let found = self.map.lookup(key.into(), 0, &mut walked);
        assert_eq!(found.is_some(), expected.is_some());
        assert!(walked <= self.map.def().most_walked(MOST_WALKED_TO_LOOK));
    }
}

fn keyed(numbers: &mut Numbers<'_>) {
    let mut keyed = Keyed::new(numbers);
    for _ in 0..numbers.below(64) {
        let key = keyed.key(numbers);
        match numbers.below(5) {
            0 | 1 => keyed.update(&key, numbers),
            2 => keyed.delete(&key),
            3 => keyed.look(&key),
            _ => assert_eq!(contents(&keyed.map), keyed.model),
        }
        assert_eq!(keyed.map.len(), keyed.model.len());
    }
    assert_eq!(contents(&keyed.map), keyed.model);
}

fn keyless(numbers: &mut Numbers<'_>) {
    let kind = KEYLESS[numbers.below(KEYLESS.len() as u64) as usize];
    let (value_size, entries) = (1 + numbers.below(20) as usize, 1 + numbers.below(6) as usize);
    let map = make(kind, 0, value_size as u32, entries as u32);
    let (mut model, mut seen) = (VecDeque::new(), HashSet::new());
    for _ in 0..numbers.below(64) {
        let value = bytes(numbers, value_size, 256);
        if kind == MapKind::BloomFilter {
            if numbers.below(2) == 0 {
                map.push(value[..].into(), update::ANY).expect("it is put in");
                seen.insert(value);
            }
            assert!(seen.iter().all(|value| map.peek(&mut BytesMut::from(&mut value.clone()[..])).is_ok()));
            continue;
        }
        let full = model.len() == entries;
        let mut out = vec![0xee; value_size];
        let first = match kind {
            MapKind::Queue => model.front().cloned(),
            _ => model.back().cloned(),
        };
        let first = first.ok_or(MapError::NoEntry);
        match numbers.below(4) {
            0 | 1 => {
                let flags = numbers.below(4);
                let expected = match flags {
                    update::NEW | 3.. => Err(MapError::Invalid),
                    update::ANY if full => Err(MapError::Full { capacity: entries }),
                    _ => Ok(()),
                };
                assert_eq!(map.push(value[..].into(), flags), expected);
                if expected.is_ok() {
                    model.drain(..usize::from(full));
                    model.push_back(value);
                }
            }
            2 => {
                let taken = map.pop(&mut BytesMut::from(&mut out[..])).map(|()| out);
                assert_eq!(taken, first);
                match kind {
                    MapKind::Queue => model.pop_front(),
                    _ => model.pop_back(),
                };
            }
            _ => assert_eq!(map.peek(&mut BytesMut::from(&mut out[..])).map(|()| out), first),
        }
        assert_eq!(map.len(), model.len());
    }
}

/// A run that has found a map: its number stands for that one until the run is over.
struct Found {
    stay: Stay,
    number: u64,
    map: usize,
}

/// A map that holds maps, its model (which of the maps is held), and runs that go on meanwhile.
struct Holders {
    inner: Vec<Arc<Map>>,
    holder: Arc<Map>,
    maps: Maps,
    model: HashMap<Vec<u8>, usize>,
    runs: Vec<Found>,
}

impl Holders {
    /// The last of the maps is of another definition.
    fn new(numbers: &mut Numbers<'_>) -> Self {
        let max_entries = 1 + numbers.below(6) as u32;
        let inner: Vec<_> = (0..4).map(|other| Arc::new(make(MapKind::Array, 4, 8 + other / 3, 2))).collect();
        let kind = if numbers.below(2) == 0 { MapKind::ArrayOfMaps } else { MapKind::HashOfMaps };
        let key_size = if kind == MapKind::ArrayOfMaps { 4 } else { 1 + numbers.below(8) as u32 };
        let name = MapName::new("fuzzed").expect("a name");
        let (flags, definition) = (MapFlags::empty(), Some(InnerDef::of(inner[0].def())));
        let def = MapDef { kind, key_size, value_size: 4, max_entries, flags, inner: definition, name };
        let holder = Arc::new(Map::new(def).expect("a map"));
        let maps = Maps::new(vec![holder.clone()]).expect("a list");
        Self { inner, holder, maps, model: HashMap::new(), runs: Vec::new() }
    }

    fn is_array(&self) -> bool {
        self.holder.def().kind == MapKind::ArrayOfMaps
    }

    fn entries(&self) -> u32 {
        self.holder.def().max_entries
    }

    fn key(&self, numbers: &mut Numbers<'_>) -> Vec<u8> {
        match self.is_array() {
            true => (numbers.below(u64::from(self.entries()) + 2) as u32).to_le_bytes().to_vec(),
            false => bytes(numbers, self.holder.def().key_size as usize, 9),
        }
    }

    /// Whether it was refused because of runs, of which there must be some then.
    fn is_busy(&self, done: Result<(), MapError>) -> bool {
        let busy = done == Err(MapError::Busy);
        assert!(!busy || !self.runs.is_empty(), "busy without a run");
        busy
    }

    fn hold(&mut self, key: Vec<u8>, numbers: &mut Numbers<'_>) {
        let (flags, which) = (numbers.below(4), numbers.below(4) as usize);
        let (there, capacity) = (self.model.contains_key(&key), self.entries() as usize);
        let expected = match flags {
            3.. => Err(MapError::Invalid),
            _ if which == 3 => Err(MapError::OtherThing),
            update::NEW | update::EXISTING if self.is_array() => Err(MapError::Invalid),
            update::NEW if there => Err(MapError::Exists),
            update::EXISTING if !there => Err(MapError::NoEntry),
            _ if self.is_array() && key[..] >= self.entries().to_le_bytes()[..] => Err(MapError::Full { capacity }),
            _ if !there && self.model.len() == capacity => Err(MapError::Full { capacity }),
            _ => Ok(()),
        };
        let put = self.holder.hold(key[..].into(), Held::Map(self.inner[which].clone()), flags);
        if self.is_busy(put) {
            return;
        }
        assert_eq!(put, expected);
        if put.is_ok() {
            self.model.insert(key, which);
        }
    }

    fn delete(&mut self, key: &[u8]) {
        let gone = self.holder.delete(key.into(), &mut 0);
        if !self.is_busy(gone) {
            assert_eq!(gone, self.model.remove(key).map(drop).ok_or(MapError::NoEntry));
        }
    }

    /// A run begins, if it finds a map.
    fn run(&mut self, key: &[u8]) {
        let stay = Stay::default();
        let found = self.holder.find_map(handle(0), key.into(), &mut 0, &stay);
        assert_eq!(found.is_some(), self.model.contains_key(key));
        if let Some((number, &map)) = found.zip(self.model.get(key)) {
            self.runs.push(Found { stay, number, map });
        }
    }

    fn look(&self) {
        for run in &self.runs {
            let is = self.maps.by_handle(run.number, &run.stay).map(|map| core::ptr::eq(map, &*self.inner[run.map]));
            assert_eq!(is, Some(true), "a run has lost its map");
        }
        let mut shown = HashSet::new();
        assert_eq!(self.holder.for_some(0, &mut |key, _| shown.insert(key.to_vec())), None);
        assert!(shown.len() == self.model.len() && shown.iter().all(|key| self.model.contains_key(key)));
        assert_eq!(self.holder.len(), self.model.len());
        for (key, &which) in &self.model {
            let Some(Held::Map(map)) = self.holder.held(key[..].into()) else { panic!("{key:?} holds nothing") };
            assert!(Arc::ptr_eq(&map, &self.inner[which]));
        }
    }
}

fn holders(numbers: &mut Numbers<'_>) {
    let mut holders = Holders::new(numbers);
    for _ in 0..numbers.below(64) {
        let key = holders.key(numbers);
        match numbers.below(5) {
            0 | 1 => holders.hold(key, numbers),
            2 => holders.delete(&key),
            3 => holders.run(&key),
            _ => {
                let some = numbers.below(holders.runs.len() as u64 + 1) as usize;
                holders.runs.drain(..some);
            }
        }
        holders.look();
    }
    holders.runs.clear();
    assert!(holders.holder.settle(), "no run is left");
    for (which, map) in holders.inner.iter().enumerate() {
        let held = holders.model.values().filter(|&&other| other == which).count();
        assert_eq!(Arc::strong_count(map), 1 + held, "map {which}");
    }
}

/// A program that has the map in which it is held.
struct Program(#[allow(dead_code, reason = "kept")] Arc<Maps>);

/// A map that holds programs, which have it; nobody has them when nobody has it.
fn programs(numbers: &mut Numbers<'_>) {
    let entries = 1 + numbers.below(6) as u32;
    let map = Arc::new(make(MapKind::ProgArray, 4, 4, entries));
    let maps = Arc::new(Maps::new(vec![map.clone()]).expect("a list"));
    let in_use = InUse::new(maps.clone());
    let all: Vec<HeldProgram> = (0..3).map(|_| Arc::new(Program(maps.clone())) as HeldProgram).collect();
    let left: Vec<_> = all.iter().map(Arc::downgrade).collect();
    let mut model: HashMap<u32, usize> = HashMap::new();
    for _ in 0..numbers.below(32) {
        let (index, which) = (numbers.below(u64::from(entries) + 2) as u32, numbers.below(4) as usize);
        let key = index.to_le_bytes();
        match all.get(which) {
            Some(program) => {
                let full = Err(MapError::Full { capacity: entries as usize });
                let expected = if index < entries { Ok(()) } else { full };
                assert_eq!(map.hold(key[..].into(), Held::Program(program.clone()), update::ANY), expected);
                if expected.is_ok() {
                    model.insert(index, which);
                }
            }
            None => {
                let expected = model.remove(&index).map(drop).ok_or(MapError::NoEntry);
                assert_eq!(map.delete(key[..].into(), &mut 0), expected);
            }
        }
        let stay = Stay::default();
        let found = map.program(index, &stay);
        assert_eq!(found.is_some(), model.contains_key(&index));
        assert!(found.is_none_or(|found| Arc::ptr_eq(found, &all[model[&index]])));
        assert_eq!(map.len(), model.len());
    }
    assert!(map.settle(), "no run is left");
    for (which, program) in all.iter().enumerate() {
        let held = model.values().filter(|&&other| other == which).count();
        assert_eq!(Arc::strong_count(program), 1 + held, "program {which}");
    }
    drop((all, maps, in_use));
    assert!(settle_left() && left.iter().all(|program| program.upgrade().is_none()), "programs are left behind");
}

/// A map of stack traces: a number stands for the trace that it was given for, until that is taken out or another one takes its place.
fn traces(numbers: &mut Numbers<'_>) {
    let (longest, entries) = (1 + numbers.below(4) as usize, 1 + numbers.below(8) as u32);
    let map = make(MapKind::StackTrace, 4, 8 * longest as u32, entries);
    let mut model: HashMap<u32, Vec<u64>> = HashMap::new();
    for _ in 0..numbers.below(64) {
        let trace: Vec<u64> = (0..numbers.below(longest as u64 + 2)).map(|_| 1 + numbers.below(3)).collect();
        let kept = &trace[..trace.len().min(longest)];
        if numbers.below(4) == 0 {
            let number = numbers.below(u64::from(entries.next_power_of_two()) + 1) as u32;
            let gone = map.delete(number.to_le_bytes()[..].into(), &mut 0);
            assert_eq!(gone.is_ok(), model.remove(&number).is_some());
            continue;
        }
        let taken = Collision { by_hash: numbers.below(2) == 0, replace: numbers.below(2) == 0 };
        let there = model.iter().find(|(_, other)| *other == kept).map(|(number, _)| *number);
        match map.stack_number(&trace, taken) {
            Ok(number) => {
                assert!(there.is_none_or(|before| before == number), "a trace has two numbers");
                let before = model.insert(number, kept.to_vec());
                let same = before.is_none_or(|before| before == kept);
                assert!(same || taken.replace, "another trace has its place");
                let mut words: Vec<u8> = kept.iter().flat_map(|word| word.to_le_bytes()).collect();
                words.resize(8 * longest, 0);
                assert_eq!(slots_of(&map, &number.to_le_bytes()), Some(vec![words]));
            }
            Err(error) => {
                assert_eq!(error, MapError::Exists);
                assert!(there.is_none() && !taken.replace && !model.is_empty(), "a trace is refused");
            }
        }
        assert_eq!(map.len(), model.len());
    }
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    match numbers.below(6) {
        0 => keyless(&mut numbers),
        5 => traces(&mut numbers),
        3 => holders(&mut numbers),
        4 => programs(&mut numbers),
        _ => keyed(&mut numbers),
    }
});
