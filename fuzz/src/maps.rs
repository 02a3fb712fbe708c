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
        handle, settle_left, update, BytesMut, Held, HeldProgram, InUse, Map, MapError, Maps, Stay,
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

fn keyed(numbers: &mut Numbers<'_>) {
    let kind = KEYED[numbers.below(KEYED.len() as u64) as usize];
    let key_size = match kind {
        kind if is_array(kind) => 4,
        MapKind::LpmTrie => 5 + numbers.below(3) as usize,
        _ => 1 + numbers.below(20) as usize,
    };
    let (value_size, entries) = (1 + numbers.below(20) as usize, 1 + numbers.below(6) as usize);
    let map = make(kind, key_size as u32, value_size as u32, entries as u32);
    let lanes = if kind.is_per_cpu() { LANES } else { 1 };
    let mut model: HashMap<Vec<u8>, Slots> = HashMap::new();
    if is_array(kind) {
        let keys = (0..entries as u32).map(|key| key.to_le_bytes().to_vec());
        model.extend(keys.map(|key| (key, vec![vec![0; value_size]; lanes])));
    }
    for _ in 0..numbers.below(64) {
        let key = match kind {
            kind if is_array(kind) => (numbers.below(entries as u64 + 2) as u32).to_le_bytes().to_vec(),
            MapKind::LpmTrie => {
                let length = numbers.below(8 * (key_size as u64 - 4) + 2) as u32;
                let data = (4..key_size).map(|_| [0, 0xff, 0xf0, 0xa5][numbers.below(4) as usize]);
                length.to_le_bytes().into_iter().chain(data).collect()
            }
            _ => bytes(numbers, key_size, 9),
        };
        let mut walked = 0;
        match numbers.below(5) {
            0 | 1 => {
                let value = bytes(numbers, value_size, 256);
                let (flags, whose) = (numbers.below(4), numbers.below(LANES as u64 + 1) as usize);
                let known = if kind == MapKind::LpmTrie && length(&key) <= 8 * (key_size - 4) {
                    cut(&key, length(&key))
                } else {
                    key.clone()
                };
                let there = model.contains_key(&known);
                let expected = match flags {
                    3.. => Err(MapError::Invalid),
                    _ if kind == MapKind::LpmTrie && length(&key) > 8 * (key_size - 4) => Err(MapError::Invalid),
                    _ if is_array(kind) && !there => Err(MapError::Full { capacity: entries }),
                    update::NEW if there => Err(MapError::Exists),
                    update::EXISTING if !there => Err(MapError::NoEntry),
                    _ if !there && model.len() == entries && !is_lru(kind) => Err(MapError::Full { capacity: entries }),
                    _ => Ok(()),
                };
                let put = match whose {
                    LANES => map.update(key[..].into(), value[..].into(), flags, &mut walked),
                    lane => map.update_in(lane as u32, key[..].into(), value[..].into(), flags, &mut walked),
                };
                assert_eq!(put, expected);
                assert!(walked <= MOST_WALKED_TO_CHANGE);
                if put.is_err() {
                    continue;
                }
                let slots = model.entry(known).or_insert_with(|| vec![vec![0; value_size]; lanes]);
                if whose == LANES {
                    slots.fill(vec![0; value_size]);
                }
                slots[if whose == LANES || lanes == 1 { 0 } else { whose }] = value;
                if is_lru(kind) {
                    // Others may have gone, and this one has not.
                    assert!(slots_of(&map, &key).is_some());
                    model.retain(|key, _| slots_of(&map, key).is_some());
                }
            }
            2 => {
                let known = match kind {
                    MapKind::LpmTrie if length(&key) > 8 * (key_size - 4) => None,
                    MapKind::LpmTrie => Some(cut(&key, length(&key))),
                    kind if is_array(kind) => None,
                    _ => Some(key.clone()),
                };
                let expected = match known {
                    Some(known) => model.remove(&known).map(drop).ok_or(MapError::NoEntry),
                    None => Err(MapError::Invalid),
                };
                assert_eq!(map.delete(key[..].into(), &mut walked), expected);
                assert!(walked <= MOST_WALKED_TO_CHANGE);
            }
            3 => {
                let expected = match kind {
                    MapKind::LpmTrie => {
                        let most = length(&key).min(8 * (key_size - 4));
                        (0..=most).rev().find_map(|length| model.get(&cut(&key, length)))
                    }
                    _ => model.get(&key),
                };
                assert_eq!(slots_of(&map, &key).as_ref(), expected);
                let found = map.lookup(key[..].into(), 0, &mut walked);
                assert_eq!(found.is_some(), expected.is_some());
                assert!(walked <= map.def().most_walked(MOST_WALKED_TO_LOOK));
            }
            _ => assert_eq!(contents(&map), model),
        }
        assert_eq!(map.len(), model.len());
    }
    assert_eq!(contents(&map), model);
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

/// Maps that hold maps, of which some are of another definition, with runs that go on meanwhile.
fn holders(numbers: &mut Numbers<'_>) {
    let entries = 1 + numbers.below(6) as usize;
    let inner: Vec<Arc<Map>> = (0..4).map(|other| make(MapKind::Array, 4, 8 + other / 3, 2)).map(Arc::new).collect();
    let kind = if numbers.below(2) == 0 { MapKind::ArrayOfMaps } else { MapKind::HashOfMaps };
    let is_array = kind == MapKind::ArrayOfMaps;
    let name = MapName::new("fuzzed").expect("a name");
    let def = MapDef {
        kind,
        key_size: if is_array { 4 } else { 1 + numbers.below(8) as u32 },
        value_size: 4,
        max_entries: entries as u32,
        flags: MapFlags::empty(),
        inner: Some(InnerDef::of(inner[0].def())),
        name,
    };
    let holder = Arc::new(Map::new(def).expect("a map"));
    let maps = Maps::new(vec![holder.clone()]).expect("a list");
    let mut model: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut runs: Vec<Found> = Vec::new();
    for _ in 0..numbers.below(64) {
        let key = match is_array {
            true => (numbers.below(entries as u64 + 2) as u32).to_le_bytes().to_vec(),
            false => bytes(numbers, def.key_size as usize, 9),
        };
        let there = model.contains_key(&key);
        match numbers.below(5) {
            0 | 1 => {
                let (flags, which) = (numbers.below(4), numbers.below(4) as usize);
                let full = Err(MapError::Full { capacity: entries });
                let expected = match flags {
                    3.. => Err(MapError::Invalid),
                    _ if which == 3 => Err(MapError::OtherThing),
                    update::NEW | update::EXISTING if is_array => Err(MapError::Invalid),
                    update::NEW if there => Err(MapError::Exists),
                    update::EXISTING if !there => Err(MapError::NoEntry),
                    _ if is_array && key >= (entries as u32).to_le_bytes().to_vec() => full,
                    _ if !there && model.len() == entries => full,
                    _ => Ok(()),
                };
                let put = holder.hold(key[..].into(), Held::Map(inner[which].clone()), flags);
                if put == Err(MapError::Busy) {
                    assert!(!runs.is_empty(), "busy without a run");
                    continue;
                }
                assert_eq!(put, expected);
                if put.is_ok() {
                    model.insert(key, which);
                }
            }
            2 => {
                let gone = holder.delete(key[..].into(), &mut 0);
                if gone == Err(MapError::Busy) {
                    assert!(!runs.is_empty(), "busy without a run");
                    continue;
                }
                assert_eq!(gone, model.remove(&key).map(drop).ok_or(MapError::NoEntry));
            }
            3 => {
                let stay = Stay::default();
                let found = holder.find_map(handle(0), key[..].into(), &mut 0, &stay);
                assert_eq!(found.is_some(), there);
                if let Some((number, &map)) = found.zip(model.get(&key)) {
                    runs.push(Found { stay, number, map });
                }
            }
            _ => {
                let some = numbers.below(runs.len() as u64 + 1) as usize;
                runs.drain(..some);
            }
        }
        for run in &runs {
            let is = maps.by_handle(run.number, &run.stay).map(|map| core::ptr::eq(map, &*inner[run.map]));
            assert_eq!(is, Some(true), "a run has lost its map");
        }
        let mut shown = HashMap::new();
        assert_eq!(holder.for_some(0, &mut |key, _| shown.insert(key.to_vec(), ()).is_none()), None);
        assert!(shown.len() == model.len() && shown.keys().all(|key| model.contains_key(key)));
        assert_eq!(holder.len(), model.len());
        for (key, &which) in &model {
            let Some(Held::Map(map)) = holder.held(key[..].into()) else { panic!("{key:?} holds nothing") };
            assert!(Arc::ptr_eq(&map, &inner[which]));
        }
    }
    drop(runs);
    assert!(holder.settle(), "no run is left");
    for (which, map) in inner.iter().enumerate() {
        let held = model.values().filter(|&&other| other == which).count();
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

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    match numbers.below(5) {
        0 => keyless(&mut numbers),
        3 => holders(&mut numbers),
        4 => programs(&mut numbers),
        _ => keyed(&mut numbers),
    }
});
