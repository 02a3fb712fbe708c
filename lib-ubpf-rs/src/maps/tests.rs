//! Each kind against a model of std, and what threads and interrupts may do to a map.

use super::*;
use crate::program::{limits::LANES, MapFlags, MapName};
use std::{
    collections::{HashMap, VecDeque},
    string::ToString,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    vec::Vec,
};

fn def(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapDef {
    MapDef {
        kind,
        key_size,
        value_size,
        max_entries,
        flags: MapFlags::empty(),
        inner: None,
        name: MapName::new("test").unwrap(),
    }
}

fn make(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map::new(def(kind, key_size, value_size, max_entries)).unwrap()
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

fn spelled(number: u64, len: usize) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(len).collect()
}

fn value_of(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let value = map.value(key.into())?.first();
    let mut bytes = std::vec![0; value.len()];
    value.copy_to(&mut bytes);
    Some(bytes)
}

fn contents(map: &Map) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut all = HashMap::new();
    let mut at = Some(0);
    while let Some(from) = at {
        at = map.for_some(from, &mut |key, slots| {
            let value = slots.first();
            let mut bytes = std::vec![0; value.len()];
            value.copy_to(&mut bytes);
            assert_eq!(all.insert(key.to_vec(), bytes), None, "each key is shown once");
            true
        });
    }
    all
}

/// The same changes to a hash map and to one of std; the same answers and contents.
fn hash_follows_its_model(key_size: u32, value_size: u32, entries: u32, seed: u64) {
    let map = make(MapKind::Hash, key_size, value_size, entries);
    let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut numbers = Numbers(seed);
    for step in 0..4_000 {
        let key = spelled(numbers.below(u64::from(entries) * 2), key_size as usize);
        let value = spelled(numbers.below(u64::MAX), value_size as usize);
        let has = model.contains_key(&key);
        match numbers.below(8) {
            0..=3 => {
                let flags = numbers.below(3);
                let expected = match flags {
                    update::NEW if has => Err(MapError::Exists),
                    update::EXISTING if !has => Err(MapError::NoEntry),
                    _ if !has && model.len() == entries as usize => Err(MapError::Full { capacity: entries as usize }),
                    _ => Ok(()),
                };
                assert_eq!(map.update(key[..].into(), value[..].into(), flags, &mut 0), expected, "step {step}");
                if expected.is_ok() {
                    model.insert(key, value);
                }
            }
            4 | 5 => {
                let expected = model.remove(&key).map(|_| ()).ok_or(MapError::NoEntry);
                assert_eq!(map.delete(key[..].into(), &mut 0), expected, "step {step}");
            }
            _ => assert_eq!(value_of(&map, &key), model.get(&key).cloned(), "step {step}"),
        }
        assert_eq!(map.len(), model.len());
    }
    assert_eq!(contents(&map), model);
    assert_eq!(map.lost_busy(), 0);
}

#[test]
fn hash_maps_follow_their_model() {
    let sizes = [(1, 1, 3), (4, 4, 1), (8, 8, 64), (13, 7, 17), (16, 40, 100), (64, 3, 33), (65, 8, 12), (512, 1, 5)];
    for (seed, (key, value, entries)) in (1..).zip(sizes) {
        hash_follows_its_model(key, value, entries, seed * 0x1234_5677);
    }
}

#[test]
fn arrays_follow_their_model() {
    for (value_size, entries) in [(1, 1), (8, 16), (20, 7)] {
        let map = make(MapKind::Array, 4, value_size, entries);
        let mut model = std::vec![std::vec![0u8; value_size as usize]; entries as usize];
        let mut numbers = Numbers(99);
        for _ in 0..1000 {
            let index = numbers.below(u64::from(entries) * 2) as u32;
            let key = index.to_le_bytes();
            let value = spelled(numbers.below(u64::MAX), value_size as usize);
            let inside = (index as usize) < model.len();
            let put = map.update(key[..].into(), value[..].into(), numbers.below(2) * 2, &mut 0);
            assert_eq!(put.is_ok(), inside);
            if inside {
                model[index as usize] = value;
            }
            assert_eq!(value_of(&map, &key), model.get(index as usize).cloned());
            assert_eq!(map.delete(key[..].into(), &mut 0), Err(MapError::Invalid));
        }
        let all = contents(&map);
        assert_eq!(all.len(), model.len());
        for (index, value) in (0u32..).zip(&model) {
            assert_eq!(all.get(&index.to_le_bytes()[..]), Some(value));
        }
    }
}

/// The slots of a key, as numbers.
fn slots_of(map: &Map, key: &[u8]) -> Option<Vec<u64>> {
    Some(map.value(key.into())?.iter().map(|slot| slot.word(0)).collect())
}

/// The same changes, by programs in lanes and from outside, to maps with a value per CPU and to one of std with lists.
#[test]
fn values_per_cpu_follow_their_model() {
    const ENTRIES: u32 = 16;
    for (kind, seed) in [(MapKind::PercpuArray, 3), (MapKind::PercpuHash, 5), (MapKind::LruPercpuHash, 7)] {
        let map = make(kind, 4, 8, ENTRIES);
        let all_there = kind == MapKind::PercpuArray;
        let mut model: HashMap<u32, [u64; LANES]> = HashMap::new();
        if all_there {
            model.extend((0..ENTRIES).map(|key| (key, [0; LANES])));
        }
        let mut numbers = Numbers(seed);
        for step in 0..20_000 {
            // As many keys as there is room for: none is given up.
            let number = numbers.below(ENTRIES.into()) as u32;
            let (key, value, lane) =
                (number.to_le_bytes(), numbers.below(u64::MAX), numbers.below(LANES as u64) as u32);
            let bytes = value.to_le_bytes();
            match numbers.below(6) {
                0 => {
                    map.update(key[..].into(), bytes[..].into(), update::ANY, &mut 0).unwrap();
                    let mut slots = [0; LANES];
                    slots[0] = value;
                    model.insert(number, slots);
                }
                1..=3 => {
                    map.update_in(lane, key[..].into(), bytes[..].into(), update::ANY, &mut 0).unwrap();
                    model.entry(number).or_default()[lane as usize] = value;
                }
                4 => {
                    let expected = match all_there {
                        true => Err(MapError::Invalid),
                        false => model.remove(&number).map(drop).ok_or(MapError::NoEntry),
                    };
                    assert_eq!(map.delete(key[..].into(), &mut 0), expected, "{kind:?} {step}");
                }
                _ => {}
            }
            assert_eq!(slots_of(&map, &key), model.get(&number).map(|slots| slots.to_vec()), "{kind:?} {step}");
        }
        assert_eq!((map.len(), map.lost_busy(), map.lost_full()), (model.len(), 0, 0));
        let mut seen = 0;
        assert_eq!(
            map.for_some(0, &mut |key, slots| {
                let number = u32::from_le_bytes(key.try_into().unwrap());
                assert!(slots.iter().map(|slot| slot.word(0)).eq(model[&number]));
                seen += 1;
                true
            }),
            None
        );
        assert_eq!(seen, model.len());
        let outside = |lane| map.lookup(0u32.to_le_bytes()[..].into(), lane, &mut 0);
        assert_eq!(outside(LANES as u32), None);
    }
}

/// A lane, where other tests have all of them for a moment.
fn lane() -> Lane {
    loop {
        match Lane::claim() {
            Some(lane) => return lane,
            None => thread::yield_now(),
        }
    }
}

/// What a program does that adds to its value, while another thread does the same, and interrupts come between load and store.
#[test]
fn what_is_added_in_lanes_is_exact() {
    const EACH: u64 = 20_000;
    for kind in [MapKind::PercpuArray, MapKind::PercpuHash, MapKind::LruPercpuHash] {
        let map = make(kind, 4, 8, 4);
        let key = 1u32.to_le_bytes();
        map.update(key[..].into(), [0; 8][..].into(), update::ANY, &mut 0).unwrap();
        // Plain loads and stores, as programs have them.
        let add = |between: &dyn Fn()| {
            let lane = lane();
            let at = map.lookup(key[..].into(), lane.number(), &mut 0).unwrap();
            let slot = map.value(key[..].into()).unwrap().iter().nth(lane.number() as usize).unwrap();
            let before = slot.word(0);
            between();
            let more = (before + 1).to_le_bytes();
            at_last(|| map.update_in(lane.number(), key[..].into(), more[..].into(), update::EXISTING, &mut 0));
            let ValueWindow { base, len, .. } = map.window().unwrap();
            assert!((base..base + len).contains(&at));
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..EACH).for_each(|n| if n % 3 == 0 { add(&|| add(&|| ())) } else { add(&|| ()) }));
            }
        });
        let once_more = 2 * EACH.div_ceil(3);
        assert_eq!(slots_of(&map, &key).unwrap().iter().sum::<u64>(), 2 * EACH + once_more, "{kind:?}");
    }
}

/// What was used last stays, whatever comes.
#[test]
fn lru_keeps_what_is_used() {
    let map = make(MapKind::LruHash, 4, 8, 64);
    let put = |n: u32| map.update(n.to_le_bytes()[..].into(), [n as u8; 8][..].into(), update::ANY, &mut 0);
    put(0).unwrap();
    for n in 1..10_000 {
        put(n).unwrap();
        assert!(value_of(&map, &0u32.to_le_bytes()).is_some(), "it was used just now");
        assert_eq!(value_of(&map, &n.to_le_bytes()), Some([n as u8; 8].to_vec()));
        assert!(map.len() <= 64);
    }
    assert_eq!((map.len(), map.lost_full(), map.lost_busy()), (64, 0, 0));
    assert_eq!(contents(&map).len(), 64);
}

/// A program holds the address of a value while its key goes and another one comes: it reaches that value, and nothing else.
#[test]
fn a_value_stays_where_it_is() {
    let map = make(MapKind::Hash, 8, 8, 1);
    let key = |n: u64| n.to_le_bytes();
    map.update(key(1)[..].into(), key(10)[..].into(), 0, &mut 0).unwrap();
    let held = map.lookup(key(1)[..].into(), 0, &mut 0).unwrap();
    map.delete(key(1)[..].into(), &mut 0).unwrap();
    map.update(key(2)[..].into(), key(20)[..].into(), 0, &mut 0).unwrap();
    assert_eq!(map.lookup(key(2)[..].into(), 0, &mut 0), Some(held));
    let ValueWindow { base, len, writable } = map.window().unwrap();
    assert!((base..base + len).contains(&held) && writable);
}

/// Does it again while the other thread is at work; it may have been sent to sleep in the middle.
fn at_last(work: impl Fn() -> Result<(), MapError>) {
    while work().map_or_else(|error| error == MapError::Busy || panic!("{error}"), |()| false) {
        thread::yield_now();
    }
}

/// Keys of one thread never meet those of another, and a reader of all finds each value whole.
#[test]
fn threads_lose_nothing() {
    for kind in [MapKind::Hash, MapKind::LruHash] {
        let map = make(kind, 8, 16, 4096);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for id in 0..2u64 {
                let map = &map;
                scope.spawn(move || {
                    for n in 0..20_000u64 {
                        let key = ((id << 32) | (n % 100)).to_le_bytes();
                        let value = [n.to_le_bytes(), n.to_le_bytes()].concat();
                        let put = || map.update(key[..].into(), value[..].into(), update::ANY, &mut 0);
                        at_last(put);
                        assert_eq!(value_of(map, &key), Some(value.clone()));
                        if n % 3 == 0 {
                            at_last(|| map.delete(key[..].into(), &mut 0));
                            assert_eq!(value_of(map, &key), None);
                        }
                    }
                });
            }
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    assert!(contents(&map).len() <= 200);
                    stop.store(map.len() > 120, Relaxed);
                    thread::yield_now();
                }
            });
            thread::sleep(core::time::Duration::from_millis(1));
            stop.store(true, Relaxed);
        });
        let all = contents(&map);
        assert_eq!(all.len(), map.len());
        assert_eq!(map.lost_full(), 0, "{kind:?}");
    }
}

/// Of two that add one key at a time, one adds it.
#[test]
fn a_key_is_there_once() {
    for _ in 0..200 {
        let map = make(MapKind::Hash, 4, 4, 8);
        let add = || map.update([7; 4][..].into(), [1; 4][..].into(), update::NEW, &mut 0);
        let added = thread::scope(|scope| {
            let threads = [scope.spawn(add), scope.spawn(add)];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 1);
        assert_eq!(map.len(), 1);
    }
}

/// Who finds that a key is not there, and then waits for somebody who adds just that, adds no second one.
#[test]
fn who_was_slower_adds_nothing() {
    for kind in [MapKind::Hash, MapKind::LruHash] {
        let map = make(kind, 4, 4, 8);
        let Kind::Hash(hash) = &map.kind else { unreachable!() };
        let (key, value) = ([7; 4], [1; 4]);
        assert_eq!(hash.add_now(key[..].into(), value[..].into()), Some(Ok(())));
        assert_eq!(hash.add_now(key[..].into(), [2; 4][..].into()), None);
        assert_eq!((map.len(), value_of(&map, &key)), (1, Some(value.to_vec())));
        map.delete(key[..].into(), &mut 0).unwrap();
        assert_eq!((map.len(), value_of(&map, &key)), (0, None));
    }
}

/// Two threads add and delete keys of their own, again and again, in slots that both want.
#[test]
fn threads_that_add_in_the_same_slots_lose_nothing() {
    let map = make(MapKind::Hash, 4, 4, 8);
    thread::scope(|scope| {
        for id in 0..2u32 {
            let map = &map;
            scope.spawn(move || {
                for n in 0..30_000u32 {
                    let key = (id * 4 + n % 4).to_le_bytes();
                    let value = n.to_le_bytes();
                    at_last(|| map.update(key[..].into(), value[..].into(), update::NEW, &mut 0));
                    assert_eq!(value_of(map, &key), Some(value.to_vec()));
                    at_last(|| map.delete(key[..].into(), &mut 0));
                }
            });
        }
    });
    assert_eq!((map.len(), contents(&map).len(), map.lost_full()), (0, 0, 0));
}

/// A hook interrupts another one in the middle of an update, on the same CPU: it finds everything, and is told that the map is busy.
#[test]
fn an_interrupted_update_hides_nothing_and_is_not_waited_for() {
    let map = make(MapKind::Hash, 4, 4, 8);
    let Kind::Hash(hash) = &map.kind else { unreachable!() };
    let key = |n: u32| n.to_le_bytes();
    for n in 0..4 {
        map.update(key(n)[..].into(), key(n + 10)[..].into(), 0, &mut 0).unwrap();
    }
    hash.interrupted(true, &[key(0)[..].into()]);
    for n in 0..4 {
        assert_eq!(value_of(&map, &key(n)), Some(key(n + 10).to_vec()));
    }
    map.update(key(1)[..].into(), key(99)[..].into(), 0, &mut 0).unwrap();
    map.delete(key(2)[..].into(), &mut 0).unwrap();
    let put = |n| map.update(key(n)[..].into(), key(0)[..].into(), 0, &mut 0);
    assert_eq!((put(0), put(77)), (Err(MapError::Busy), Err(MapError::Busy)));
    assert_eq!((map.lost_busy(), map.lost_full()), (2, 0));
    map.after_fork();
    assert_eq!((put(0), put(77)), (Ok(()), Ok(())));
    assert_eq!(map.len(), 4);
}

/// What programs are charged for.
#[test]
fn walks_are_bounded() {
    let map = make(MapKind::Hash, 4, 4, 4096);
    for n in 0..4096u32 {
        let mut walked = 0;
        map.update(n.to_le_bytes()[..].into(), [0; 4][..].into(), 0, &mut walked).unwrap();
        assert!(walked <= MOST_WALKED_TO_CHANGE);
    }
    for n in 0..8192u32 {
        let mut walked = 0;
        assert_eq!(map.lookup(n.to_le_bytes()[..].into(), 0, &mut walked).is_some(), n < 4096);
        assert!(walked <= MOST_WALKED_TO_LOOK);
    }
}

/// Keys that were chosen to meet make no search longer than is charged, and nobody who waits for another one walks along them for ever.
#[test]
fn chosen_keys_lengthen_no_walk_beyond_its_bound() {
    let map = make(MapKind::Hash, 4, 4, 683);
    let Kind::Hash(hash) = &map.kind else { unreachable!() };
    let meet = |n: &u32| hash.start(n.to_le_bytes()[..].into()) == 1000;
    let keys: Vec<[u8; 4]> = (0..).filter(meet).take(257).map(u32::to_le_bytes).collect();
    let walked = |work: &dyn Fn(&mut u32) -> Result<(), MapError>| {
        let mut walked = 0;
        (work(&mut walked), walked)
    };
    let put = |key: &[u8; 4]| walked(&|walked| map.update(key[..].into(), [1; 4][..].into(), 0, walked));
    let delete = |key: &[u8; 4]| walked(&|walked| map.delete(key[..].into(), walked));
    let get =
        |key: &[u8; 4]| walked(&|walked| map.lookup(key[..].into(), 0, walked).map(drop).ok_or(MapError::NoEntry));
    let [chain @ .., last, more] = &keys[..] else { unreachable!() };
    assert!(chain.iter().all(|key| put(key).0 == Ok(())));
    // Somebody stands still while he adds a key, and while he changes the last value.
    hash.interrupted(true, &[chain[254][..].into()]);
    for (answer, walked) in [put(last), put(&chain[254])] {
        assert_eq!(answer, Err(MapError::Busy));
        assert!((10_000..30_000).contains(&walked), "{walked}");
    }
    let program_puts = |key: &[u8; 4]| walked(&|walked| map.update_in(0, key[..].into(), [1; 4][..].into(), 0, walked));
    for (answer, walked) in [program_puts(last), program_puts(&chain[254]), delete(&chain[254])] {
        assert_eq!(answer, Err(MapError::Busy));
        assert!((250..=2 * MOST_WALKED_TO_CHANGE).contains(&walked), "{walked}");
    }
    map.after_fork();
    let (answer, most) = put(last);
    assert!(answer == Ok(()) && (400..=MOST_WALKED_TO_CHANGE).contains(&most), "{most}");
    assert_eq!(get(last), (Ok(()), MOST_WALKED_TO_LOOK));
    assert_eq!(get(more), (Err(MapError::NoEntry), MOST_WALKED_TO_LOOK));
    let (answer, most) = put(more);
    assert_eq!(answer, Err(MapError::Full { capacity: 683 }));
    assert!((400..=MOST_WALKED_TO_CHANGE).contains(&most), "{most}");
    let (answer, most) = delete(last);
    assert!(answer == Ok(()) && most <= MOST_WALKED_TO_CHANGE, "{most}");
}

#[test]
fn sizes_are_checked() {
    let map = make(MapKind::Hash, 8, 4, 2);
    let size = |size, expected| Err(MapError::Size { size, expected });
    assert_eq!(map.update([0; 7][..].into(), [0; 4][..].into(), 0, &mut 0), size(7, 8));
    assert_eq!(map.update([0; 8][..].into(), [0; 5][..].into(), 0, &mut 0), size(5, 4));
    assert_eq!(map.delete([0; 9][..].into(), &mut 0), size(9, 8));
    for (size, reason) in [(12, "a multiple of 8"), (1024, "8 to 1016"), (0, "8 to 1016")] {
        let error = Map::new(def(MapKind::StackTrace, 4, size, 16)).err().unwrap();
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(matches!(Map::new(def(MapKind::Array, 8, 8, 1)), Err(MapError::Definition(_))));
}

/// What a map is said to take covers what it takes.
#[test]
fn memory_is_not_understated() {
    for (key, entries) in [(1, 1), (8, 683), (13, 1366), (64, 5000)] {
        let def = def(MapKind::Hash, key, 8, entries);
        let slots = u64::from(entries + entries / 2).max(2).next_power_of_two();
        let keys = u64::from(key.next_multiple_of(8)) * u64::from(entries);
        let taken = 8 * slots + keys + 8 * u64::from(entries) + 4 * u64::from(entries);
        assert!(Map::memory(&def) >= taken, "{entries} entries: {} < {taken}", Map::memory(&def));
    }
    // Nine traces of two words, and their states, in sixteen places.
    assert!(Map::memory(&def(MapKind::StackTrace, 4, 16, 9)) >= 16 * (16 + 8));
}

/// No command keeps the CPU while a large map is made.
#[test]
fn large_maps_are_made_in_pieces() {
    let hash = [8, 8, 64 << 10];
    for (kind, sizes) in [
        (MapKind::Array, [4, 1024, 1024]),
        (MapKind::Hash, hash),
        (MapKind::LruHash, hash),
        (MapKind::TwoKey, [16, 8, 64 << 10]),
        (MapKind::Ringbuf, [0, 0, 1 << 20]),
    ] {
        let [key, value, entries] = sizes;
        let mut pauses = 0;
        let map = Map::new_in_pieces(def(kind, key, value, entries), &mut || pauses += 1).unwrap();
        let words = Map::memory(map.def()) / 8;
        assert!(pauses >= words / 8192, "{kind:?}: {pauses} for {words} words");
    }
}

#[test]
fn frozen_values_stay() {
    let flags = MapFlags::RDONLY_PROG;
    let mut map = Map::new(MapDef { flags, ..def(MapKind::Array, 4, 5, 1) }).unwrap();
    map.fill(1, &[1, 2, 3]).unwrap();
    assert_eq!(map.fill(6, &[1, 2, 3]), Err(MapError::Invalid));
    assert_eq!(map.frozen(), None);
    map.freeze().unwrap();
    assert_eq!(map.frozen(), Some(&[0, 1, 2, 3, 0][..]));
    assert_eq!(map.update([0; 4][..].into(), [9; 5][..].into(), 0, &mut 0), Err(MapError::ReadOnly));
    assert_eq!(map.fill(0, &[1]), Err(MapError::Invalid));
    assert_eq!(map.frozen(), Some(&[0, 1, 2, 3, 0][..]));
    assert_eq!(make(MapKind::Array, 4, 5, 1).freeze(), Err(MapError::Invalid), "programs may write it");
}

#[test]
fn handles_name_maps_and_nothing_else() {
    let maps = Maps::new([make(MapKind::Array, 4, 8, 1), make(MapKind::Hash, 4, 8, 1)].map(Arc::new).into()).unwrap();
    let stay = Stay::default();
    assert_eq!(maps.by_handle(handle(1), &stay).map(|map| map.def().kind), Some(MapKind::Hash));
    for other in [handle(2), handle(0) - 1, 0, 1, u64::MAX, handle(0) + 0x1_0000] {
        assert!(maps.by_handle(other, &stay).is_none());
    }
    use crate::isa::ImmKind::*;
    assert_eq!(maps.loaded(MapIndex, 1), Some(handle(1)));
    let base = maps.get(0).unwrap().window().unwrap().base;
    assert_eq!(maps.loaded(MapIndexValue, 7 << 32), Some(base + 7));
    for (kind, imm) in [(MapIndexValue, 8 << 32), (MapIndexValue, 1), (MapIndex, 2), (MapFd, 0), (MapIndex, 1 << 16)] {
        assert_eq!(maps.loaded(kind, imm), None, "{kind:?} {imm:#x}");
    }
}

/// A ring, and an array of events, which has one: each with the bytes that it has room for.
/// An interrupt's hook comes over a thread's: it would wait in vain.
#[test]
fn a_program_waits_for_a_change_that_stands_still_as_long_as_it_is_charged_for() {
    let map = Map::new(def(MapKind::Hash, 8, 8, 4)).unwrap();
    let (held, new, value) = ([1u8; 8], [2u8; 8], [3u8; 8]);
    map.update(held[..].into(), value[..].into(), 0, &mut 0).unwrap();
    map.interrupted(true, &[held[..].into()]);
    let waits = |work: &dyn Fn(&mut u32) -> Result<(), MapError>| {
        let mut walked = 0;
        assert_eq!(work(&mut walked), Err(MapError::Busy));
        assert!((1..=2 * MOST_WALKED_TO_CHANGE).contains(&walked), "{walked}");
    };
    for key in [held, new] {
        waits(&|walked| map.update_in(0, key[..].into(), value[..].into(), 0, walked));
    }
    waits(&|walked| map.delete(held[..].into(), walked));
}

fn rings() -> [(Map, usize); 2] {
    let events = MapDef::EVENT_BYTES as usize;
    [(make(MapKind::Ringbuf, 0, 0, 4096), 4096), (make(MapKind::PerfEventArray, 4, 4, 2), events)]
}

#[test]
fn rings_follow_their_model() {
    rings().iter().for_each(|(ring, room)| ring_follows_its_model(ring, *room));
}

/// Records come out as they went in, in their order; what finds no room is told so, counted, and changes nothing.
fn ring_follows_its_model(ring: &Map, room: usize) {
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    let (mut used, mut lost) = (0, 0);
    let mut numbers = Numbers(0x5bd1_e995);
    let size = |len: usize| len.next_multiple_of(8) + 8;
    for step in 0..20_000 {
        if numbers.below(2) == 0 {
            let len = 1 + numbers.below(if step % 7 == 0 { room as u64 * 3 / 8 } else { 60 }) as usize;
            let record: Vec<u8> = (0..len).map(|_| numbers.below(256) as u8).collect();
            let fits = used + size(len) <= room;
            let expected = if fits { Ok(()) } else { Err(MapError::Full { capacity: room }) };
            assert_eq!(ring.write_record(record[..].into()), expected, "step {step}");
            match fits {
                true => model.push_back(record),
                false => lost += 1,
            }
            used += if fits { size(len) } else { 0 };
        } else {
            // Some of it, where the reader has little room.
            let mut out = std::vec![0xee; if numbers.below(4) == 0 { 10 } else { room / 2 }];
            let read = ring.read_record(&mut out);
            let expected = model.pop_front();
            assert_eq!(read, expected.as_ref().map(|record| record.len()), "step {step}");
            if let Some(record) = expected {
                let most = record.len().min(out.len());
                assert_eq!(out[..most], record[..most], "step {step}");
                assert!(out[most..].iter().all(|&byte| byte == 0xee));
                used -= size(record.len());
            }
        }
        assert_eq!(ring.len(), used);
    }
    assert!(lost > 100);
    assert_eq!((ring.lost_full(), ring.lost_busy()), (lost, 0));
}

#[test]
fn records_that_never_fit_are_refused() {
    let ring = make(MapKind::Ringbuf, 0, 0, 4096);
    for len in [0, 4089, 5000] {
        let record = std::vec![1; len];
        assert_eq!(ring.write_record(record[..].into()), Err(MapError::Invalid), "{len}");
    }
    ring.write_record(std::vec![7; 4088][..].into()).unwrap();
    let mut out = [0; 4096];
    assert_eq!(ring.read_record(&mut out), Some(4088));
    assert!(out[..4088].iter().all(|&byte| byte == 7));
    assert_eq!(make(MapKind::Array, 4, 8, 1).write_record([1; 4][..].into()), Err(MapError::Invalid));
}

/// Reads the records of a ring until nobody writes any more and none is left: what each is long, and its words.
fn read_until_over(ring: &Map, writers: &AtomicUsize, mut each: impl FnMut(usize, &dyn Fn(usize) -> u64)) {
    let mut out = [0; 512];
    loop {
        let over = writers.load(SeqCst) == 0;
        match ring.read_record(&mut out) {
            Some(len) => each(len, &|at| u64::from_le_bytes(out[8 * at..8 * at + 8].try_into().unwrap())),
            None if over => break,
            None => thread::yield_now(),
        }
    }
}

/// Two writers and a reader: each record is whole, those of one writer come in their order, and what is missing was counted.
#[test]
fn records_of_two_threads_are_whole_and_in_order() {
    rings().iter().for_each(|(ring, _)| records_of_threads(ring));
}

fn records_of_threads(ring: &Map) {
    const EACH: u64 = 20_000;
    // Some are long, so that a reader can come while one is being written.
    let length = |number: u64| 16 + [0, 8, 16, 400][(number % 4) as usize];
    let writers = AtomicUsize::new(2);
    let mut seen = [0, 0];
    let mut last = [None, None];
    thread::scope(|scope| {
        for id in 0..2u64 {
            let writers = &writers;
            scope.spawn(move || {
                for number in 0..EACH {
                    let words = [id, number].into_iter().chain((0..).map(|word| id ^ number ^ word));
                    let len = length(number);
                    let bytes: Vec<u8> = words.take(len / 8).flat_map(|word| word.to_le_bytes()).collect();
                    _ = ring.write_record(bytes[..len].into());
                }
                writers.fetch_sub(1, SeqCst);
            });
        }
        read_until_over(ring, &writers, |len, word| {
            let (id, number) = (word(0), word(1));
            assert_eq!(len, length(number));
            assert!((2..len / 8).all(|at| word(at) == id ^ number ^ (at as u64 - 2)));
            assert!(last[id as usize].is_none_or(|last| last < number));
            last[id as usize] = Some(number);
            seen[id as usize] += 1;
        });
    });
    assert_eq!(seen[0] + seen[1] + ring.lost_full() + ring.lost_busy(), 2 * EACH);
    assert_eq!(ring.len(), 0);
}

/// An array of groups holds nothing, whatever is done to it, by whom and where.
#[test]
fn arrays_of_groups_follow_their_model() {
    let groups = make(MapKind::CgroupArray, 4, 4, 3);
    thread::scope(|scope| {
        for seed in 1..3 {
            let groups = &groups;
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                for _ in 0..2000 {
                    let key = (numbers.below(5) as u32).to_le_bytes();
                    let key: Bytes<'_> = key[..].into();
                    assert_eq!(groups.lookup(key, 0, &mut 0), None);
                    assert!(groups.value(key).is_none());
                    assert!(groups.update(key, [1; 4][..].into(), numbers.below(3), &mut 0).is_err());
                    assert!(groups.delete(key, &mut 0).is_err());
                    assert_eq!((groups.len(), groups.lost_full(), groups.lost_busy()), (0, 0, 0));
                }
            });
        }
    });
}

/// What another thread was writing is not there in a child; what was written is.
#[test]
fn after_a_fork_a_ring_goes_on() {
    let ring = make(MapKind::Ringbuf, 0, 0, 4096);
    ring.write_record([1; 8][..].into()).unwrap();
    let Kind::Ring(inner) = &ring.kind else { unreachable!() };
    inner.stand_still(40);
    ring.write_record([2; 8][..].into()).unwrap();
    ring.after_fork();
    ring.write_record([3; 8][..].into()).unwrap();
    let mut out = [0; 8];
    assert_eq!((ring.read_record(&mut out), out), (Some(8), [1; 8]));
    assert_eq!((ring.read_record(&mut out), out), (Some(8), [3; 8]));
    assert_eq!(ring.read_record(&mut out), None);
}

/// A program's view of one ring.
fn with_ring(ring: Map) -> Maps {
    Maps::new(std::vec![Arc::new(ring)]).unwrap()
}

/// Writes a word where a record lies that was reserved.
fn fill(ring: &Map, address: u64, word: u64) {
    ring.ring().unwrap().fill(address, word);
}

/// Reserved records come out in the order of reservation, each as soon as those before it are released; discarded ones do not. Nothing is
/// left at the end, whatever was left open.
#[test]
fn reserved_records_follow_their_model() {
    let maps = with_ring(make(MapKind::Ringbuf, 0, 0, 4096));
    let ring = maps.get(0).unwrap();
    let mut numbers = Numbers(0x1234_5678);
    // Length and first word of each; none where it is discarded; open ones have their address.
    let mut model: VecDeque<(usize, u64, Option<bool>)> = VecDeque::new();
    let mut open: Vec<(u64, u64)> = Vec::new();
    let mut runs = Records::new(Some(&maps));
    let (mut wrapped, mut refused, mut read) = (0, 0, 0);
    for number in 0..30_000u64 {
        match numbers.below(5) {
            0 => {
                let len = 8 + numbers.below(if number % 5 == 0 { 1200 } else { 100 });
                match runs.reserve(handle(0), len) {
                    Some(at) => {
                        let last = open.last().map_or(0, |last| last.0);
                        wrapped += u64::from(at < last);
                        fill(ring, at, number);
                        fill(ring, at + (len - 8) / 8 * 8, number);
                        open.push((at, number));
                        model.push_back((len as usize, number, None));
                    }
                    None => refused += 1,
                }
            }
            1 | 2 if !open.is_empty() => {
                let (at, of) = open.swap_remove(numbers.below(open.len() as u64) as usize);
                let keep = numbers.below(3) != 0;
                assert!(runs.release(at, keep));
                assert!(!runs.release(at, keep), "it is not held twice");
                model.iter_mut().find(|record| record.1 == of).unwrap().2 = Some(keep);
            }
            3 => {
                while model.front().is_some_and(|record| record.2 == Some(false)) {
                    model.pop_front();
                }
                let mut out = [0; 2048];
                let found = ring.read_record(&mut out);
                let expected = model.front().filter(|record| record.2 == Some(true)).map(|record| record.0);
                assert_eq!(found, expected, "step {number}");
                if let Some(len) = found {
                    let word = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().unwrap());
                    let record = model.pop_front().unwrap();
                    assert_eq!((word(0), word((len - 8) / 8 * 8)), (record.1, record.1));
                    assert!(
                        len < 24 || out[8..(len - 8) / 8 * 8].iter().all(|&byte| byte == 0),
                        "what is not filled is zero"
                    );
                    read += 1;
                }
            }
            4 if numbers.below(50) == 0 => {
                // The run is over, or was stopped.
                runs = Records::new(Some(&maps));
                model.iter_mut().filter(|record| record.2.is_none()).for_each(|record| record.2 = Some(false));
                open.clear();
            }
            _ => assert_eq!(runs.iter().count(), open.len()),
        }
    }
    assert!(wrapped > 50 && refused > 50 && read > 1000, "{wrapped} {refused} {read}");
    drop(runs);
    while ring.read_record(&mut []).is_some() {}
    assert_eq!(ring.len(), 0);
}

/// Two threads that reserve, one of them interrupted between reservation and release by whoever writes at once, and a reader: what is read
/// is whole and in order, nothing hangs.
#[test]
fn reservations_of_two_threads_are_whole_and_in_order() {
    const EACH: u64 = 5_000;
    let maps = with_ring(make(MapKind::Ringbuf, 0, 0, 4096));
    let ring = maps.get(0).unwrap();
    let writers = AtomicUsize::new(2);
    let mut last = [None, None, None];
    let mut seen = 0;
    let counts = [const { AtomicU64::new(0) }; 2];
    let [kept, discarded] = &counts;
    thread::scope(|scope| {
        for id in 0..2u64 {
            let (maps, ring, writers) = (&maps, ring, &writers);
            scope.spawn(move || {
                for number in 0..EACH {
                    let run = Records::new(Some(maps));
                    let len = 16 + 8 * (number % 60);
                    let at = loop {
                        match run.reserve(handle(0), len) {
                            Some(at) => break at,
                            None => thread::yield_now(),
                        }
                    };
                    fill(ring, at, id);
                    if number % 7 == 0 {
                        // An interrupt: its record is behind this one.
                        let bytes: Vec<u8> = [2, number << 1 | id].iter().flat_map(|word| word.to_le_bytes()).collect();
                        kept.fetch_add(u64::from(ring.write_record(bytes[..].into()).is_ok()), Relaxed);
                    }
                    fill(ring, at + 8, number);
                    let keep = number % 5 != 0;
                    [discarded, kept][usize::from(keep)].fetch_add(1, Relaxed);
                    if keep {
                        assert!(run.release(at, true));
                    }
                }
                writers.fetch_sub(1, SeqCst);
            });
        }
        read_until_over(ring, &writers, |len, word| {
            let (id, number) = (word(0), word(1));
            seen += 1;
            if id < 2 {
                assert_eq!(len as u64, 16 + 8 * (number % 60));
                assert!(number % 5 != 0, "it was discarded");
                assert!(last[id as usize].is_none_or(|last| last < number));
                last[id as usize] = Some(number);
            }
        });
    });
    assert!(ring.is_empty());
    assert_eq!(seen, kept.load(Relaxed));
    assert_eq!(discarded.load(Relaxed), 2 * EACH / 5);
}

fn taken(map: &Map, then: fn(&Map, &mut BytesMut<'_>) -> Result<(), MapError>) -> Result<u64, MapError> {
    let mut out = [0xee; 8];
    let done = then(map, &mut BytesMut::from(&mut out[..]));
    let value = u64::from_le_bytes(out);
    assert!(done.is_ok() || value == 0, "nothing of another value is left");
    done.map(|()| value)
}

/// The same values in the same order as from std, oldest or newest first.
#[test]
fn queues_and_stacks_follow_their_model() {
    for (kind, entries, seed) in
        [(MapKind::Queue, 5, 3), (MapKind::Stack, 5, 4), (MapKind::Queue, 1, 5), (MapKind::Stack, 1, 6)]
    {
        let map = make(kind, 0, 8, entries);
        let (mut model, mut lost, mut numbers) = (VecDeque::new(), 0, Numbers(seed));
        for step in 0..20_000 {
            let first = match kind {
                MapKind::Queue => model.front().copied(),
                _ => model.back().copied(),
            };
            let full = model.len() == entries as usize;
            match numbers.below(4) {
                0 | 1 => {
                    let (value, flags) = (numbers.below(u64::MAX), numbers.below(4));
                    let expected = match flags {
                        update::NEW | 3.. => Err(MapError::Invalid),
                        update::ANY if full => Err(MapError::Full { capacity: entries as usize }),
                        _ => Ok(()),
                    };
                    lost += u64::from(matches!(expected, Err(MapError::Full { .. })));
                    assert_eq!(map.push(value.to_le_bytes()[..].into(), flags), expected, "{kind:?} {step}");
                    if expected.is_ok() {
                        model.drain(..usize::from(full));
                        model.push_back(value);
                    }
                }
                2 => {
                    assert_eq!(taken(&map, Map::pop).ok(), first, "{kind:?} {step}");
                    match kind {
                        MapKind::Queue => model.pop_front(),
                        _ => model.pop_back(),
                    };
                }
                _ => assert_eq!(taken(&map, Map::peek).ok(), first, "{kind:?} {step}"),
            }
            assert_eq!(map.len(), model.len());
        }
        let mut all = Vec::new();
        let mut next = Some(0);
        while let Some(at) = next {
            next = map.for_some(at, &mut |key, value| {
                all.push(value.first().word(0));
                key.is_empty()
            });
        }
        if kind == MapKind::Stack {
            all.reverse();
        }
        assert_eq!(VecDeque::from(all), model);
        assert_eq!((map.lost_full(), map.lost_busy()), (lost, 0));
        assert_eq!(map.push([0; 7][..].into(), 0), Err(MapError::Size { size: 7, expected: 8 }));
        assert_eq!(map.value([][..].into()).map(|_| ()), None);
    }
}

/// Of what two threads put in, another one gets each value once and whole, that of one thread in its order.
#[test]
fn values_of_two_threads_come_out_once() {
    const EACH: u64 = 20_000;
    for kind in [MapKind::Queue, MapKind::Stack] {
        let map = make(kind, 0, 16, 16);
        let writers = AtomicUsize::new(2);
        let mut seen = [Vec::new(), Vec::new()];
        thread::scope(|scope| {
            for id in 0..2u64 {
                let (map, writers) = (&map, &writers);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let value = [(id << 32 | number).to_le_bytes(); 2].concat();
                        while map.push(value[..].into(), update::ANY).is_err() {
                            thread::yield_now();
                        }
                    }
                    writers.fetch_sub(1, SeqCst);
                });
            }
            loop {
                let over = writers.load(SeqCst) == 0;
                let mut out = [0; 16];
                match map.pop(&mut BytesMut::from(&mut out[..])) {
                    Ok(()) => {
                        assert_eq!(out[..8], out[8..]);
                        let value = u64::from_le_bytes(out[..8].try_into().unwrap());
                        seen[(value >> 32) as usize].push(value as u32);
                    }
                    Err(MapError::NoEntry) if over => break,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        for values in &mut seen {
            if kind == MapKind::Stack {
                values.sort();
            }
            assert!(values.iter().copied().eq(0..EACH as u32), "{kind:?}");
        }
    }
}

/// A hook interrupts another one in the middle of a change: it is told so, waits for nobody, and changes nothing.
#[test]
fn an_interrupted_change_of_a_queue_is_not_waited_for() {
    for kind in [MapKind::Queue, MapKind::Stack] {
        let map = make(kind, 0, 8, 4);
        let Kind::Queue(queue) = &map.kind else { unreachable!() };
        let put = |n: u64| map.push(n.to_le_bytes()[..].into(), update::ANY);
        put(1).unwrap();
        queue.stand_still();
        assert_eq!(
            (put(2), taken(&map, Map::pop), taken(&map, Map::peek)),
            (Err(MapError::Busy), Err(MapError::Busy), Err(MapError::Busy))
        );
        assert_eq!((map.len(), map.lost_busy()), (1, 3));
        map.after_fork();
        assert_eq!((put(2), map.len()), (Ok(()), 2));
    }
}

/// What was put in is found, always; of what was not, little is.
#[test]
fn bloom_filters_follow_their_model() {
    for (value_size, entries) in [(4, 1), (8, 100), (20, 1000), (1000, 64)] {
        let map = make(MapKind::BloomFilter, 0, value_size, entries);
        let has = |number: u64| {
            let mut value = spelled(number, value_size as usize);
            let found = map.peek(&mut BytesMut::from(&mut value[..]));
            assert_eq!(value, spelled(number, value_size as usize), "it is left as it is");
            assert!(matches!(found, Ok(()) | Err(MapError::NoEntry)));
            found.is_ok()
        };
        assert!((0..1000).all(|number| !has(number)));
        for number in 0..u64::from(entries) {
            map.push(spelled(number, value_size as usize)[..].into(), update::ANY).unwrap();
            assert!((0..=number).rev().take(10).all(has));
        }
        assert!((0..entries.into()).all(has));
        let others = (1_000_000..1_010_000).filter(|&number| has(number)).count();
        assert!(others < 600, "{others} of 10000");
        let value = spelled(0, value_size as usize);
        assert_eq!(map.push(value[..].into(), update::EXISTING), Err(MapError::Invalid));
        assert_eq!((map.len(), taken(&map, Map::pop)), (entries as usize, Err(MapError::Invalid)));
        assert_eq!(map.delete([][..].into(), &mut 0), Err(MapError::Invalid));
    }
}

/// Two threads put values into one filter, each interrupted by who does the same: no bit of another is lost, so that all are found at once and
/// for ever.
#[test]
fn values_of_two_threads_stay_in_a_filter() {
    for round in 0..20u64 {
        // Few words, which all of them change.
        let map = make(MapKind::BloomFilter, 0, 8, 400);
        let put = |number: u64| map.push(number.to_le_bytes()[..].into(), update::ANY).unwrap();
        let has = |number: u64| map.peek(&mut BytesMut::from(&mut number.to_le_bytes()[..])).is_ok();
        let start = std::sync::Barrier::new(2);
        thread::scope(|scope| {
            for thread in 0..2u64 {
                let (put, has, start) = (&put, &has, &start);
                scope.spawn(move || {
                    start.wait();
                    for number in (0..200).map(|n| round << 32 | n << 2 | thread << 1) {
                        put(number);
                        // The interrupt: between the change and the look.
                        put(number | 1);
                        assert!(has(number) && has(number | 1), "{number:#x}");
                    }
                });
            }
        });
        assert!((0..800).all(|n| has(round << 32 | n)), "round {round}");
        assert_eq!(map.len(), 800);
    }
}

/// The same prefixes in a list, of which the longest that fits is looked for one by one.
#[test]
fn prefixes_follow_their_model() {
    for (bytes, entries, seed) in [(1, 40, 1), (4, 60, 2), (16, 60, 3), (256, 60, 4)] {
        let map = make(MapKind::LpmTrie, 4 + bytes as u32, 8, entries);
        let bits = 8 * bytes as u64;
        let mut model: HashMap<(u32, Vec<u8>), u64> = HashMap::new();
        let mut numbers = Numbers(seed * 77);
        let cut = |data: &[u8], length: u32| -> Vec<u8> {
            let bit = |at: usize| (at < length as usize) as u8 * (data[at / 8] >> (7 - at % 8) & 1);
            (0..data.len()).map(|byte| (0..8).fold(0, |all, at| all << 1 | bit(8 * byte + at))).collect()
        };
        let mut most = 0;
        for step in 0..8_000 {
            // Few different bits, so that prefixes meet.
            let data: Vec<u8> = (0..bytes).map(|_| [0, 0xff, 0x80, 0xa5][numbers.below(4) as usize]).collect();
            let length = numbers.below(if step % 2 == 0 { bits + 3 } else { bits.min(12) + 1 }) as u32;
            let key = [&length.to_le_bytes()[..], &data].concat();
            let value = numbers.below(u64::MAX);
            let known = (length, cut(&data, length));
            match numbers.below(4) {
                0 => {
                    let expected = match () {
                        () if u64::from(length) > bits => Err(MapError::Invalid),
                        () if !model.contains_key(&known) && model.len() == entries as usize => {
                            Err(MapError::Full { capacity: entries as usize })
                        }
                        () => Ok(()),
                    };
                    let put = map.update(key[..].into(), value.to_le_bytes()[..].into(), update::ANY, &mut 0);
                    assert_eq!(put, expected, "{step}");
                    if put.is_ok() {
                        model.insert(known, value);
                    }
                }
                1 => {
                    let expected = match u64::from(length) > bits {
                        true => Err(MapError::Invalid),
                        false => model.remove(&known).map(drop).ok_or(MapError::NoEntry),
                    };
                    assert_eq!(map.delete(key[..].into(), &mut 0), expected, "{step}");
                }
                _ => {
                    let fits = |(of, prefix): &&(u32, Vec<u8>)| *of <= length && cut(&data, *of) == *prefix;
                    let longest = model.keys().filter(fits).max_by_key(|(of, _)| *of);
                    let expected = longest.map(|key| model[key].to_le_bytes().to_vec());
                    assert_eq!(value_of(&map, &key), expected, "{step}");
                    let mut walked = 0;
                    map.lookup(key[..].into(), 0, &mut walked);
                    most = most.max(walked);
                }
            }
        }
        assert!(most > 0 && most <= map.def().most_walked(MOST_WALKED_TO_LOOK));
        let all: HashMap<Vec<u8>, Vec<u8>> = model
            .iter()
            .map(|((length, data), value)| ([&length.to_le_bytes()[..], data].concat(), value.to_le_bytes().to_vec()))
            .collect();
        assert_eq!(contents(&map), all);
    }
}

/// While longer prefixes come and go, a search finds one of them or the shorter one that stays, and never nothing.
#[test]
fn a_prefix_that_stays_is_always_found() {
    let map = make(MapKind::LpmTrie, 8, 8, 8);
    let key = |length: u32| [length.to_le_bytes(), [10, 1, 2, 3]].concat();
    let put = |length: u32| map.update(key(length)[..].into(), u64::from(length).to_le_bytes()[..].into(), 0, &mut 0);
    put(8).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..30_000 {
                put(9 + n % 20).unwrap();
                map.delete(key(9 + n % 20)[..].into(), &mut 0).unwrap();
            }
            over.store(true, Relaxed);
        });
        while !over.load(Relaxed) {
            let found = map.value(key(32)[..].into()).map(|value| value.first().word(0));
            assert!(found.is_some_and(|length| (8..29).contains(&length)), "{found:?}");
        }
    });
    assert_eq!((map.len(), map.lost_busy()), (1, 0));
}

const REPLACE: Collision = Collision { by_hash: false, replace: true };
const BY_HASH: Collision = Collision { by_hash: true, replace: false };

/// A trace and its bytes with zeros behind it, as long as a value.
fn trace(number: u64, value_size: usize) -> (Vec<u64>, Vec<u8>) {
    let len = number as usize % (value_size / 8) + 1;
    let trace: Vec<u64> = (0..len as u64).map(|n| number << 32 | n).collect();
    let mut bytes: Vec<u8> = trace.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(value_size, 0);
    (trace, bytes)
}

#[test]
fn stack_traces_follow_their_model() {
    for (value_size, entries, places, seed) in [(40, 8, 8, 3), (8, 1, 1, 4), (1016, 5, 8, 5)] {
        let map = make(MapKind::StackTrace, 4, value_size, entries);
        let traces: Vec<_> = (1..=30).map(|number| trace(number, value_size as usize)).collect();
        // The place of each is its own for ever.
        let places_of: Vec<u32> = traces.iter().map(|(trace, _)| map.stack_number(trace, REPLACE).unwrap()).collect();
        assert!(places_of.iter().all(|&place| place < places));
        (0..places).for_each(|place| _ = map.delete(place.to_le_bytes()[..].into(), &mut 0));
        let (mut model, mut numbers) = (HashMap::new(), Numbers(seed));
        for step in 0..5_000 {
            let which = numbers.below(30) as usize;
            let place = places_of[which];
            let taken = [Collision::default(), REPLACE, BY_HASH][numbers.below(3) as usize];
            if numbers.below(3) > 0 {
                let other = model.get(&place).is_some_and(|&there| there != which);
                let expected = if other && !taken.replace { Err(MapError::Exists) } else { Ok(place) };
                assert_eq!(map.stack_number(&traces[which].0, taken), expected, "{step}");
                if expected.is_ok() {
                    model.insert(place, which);
                }
            } else {
                let place = numbers.below(u64::from(places) + 2) as u32;
                let expected = match model.remove(&place) {
                    _ if place >= places => Err(MapError::Full { capacity: places as usize }),
                    there => there.map(drop).ok_or(MapError::NoEntry),
                };
                assert_eq!(map.delete(place.to_le_bytes()[..].into(), &mut 0), expected, "{step}");
            }
            let value = value_of(&map, &place.to_le_bytes());
            assert_eq!(value.as_ref(), model.get(&place).map(|&which| &traces[which].1), "{step}");
            assert_eq!(map.len(), model.len());
        }
        let model = model.into_iter().map(|(place, which)| (place.to_le_bytes().to_vec(), traces[which].1.clone()));
        assert_eq!(contents(&map), model.collect());
        // As on Linux, nobody but the helper changes them, and programs do not look.
        let value = std::vec![0; value_size as usize];
        assert_eq!(map.update([0; 4][..].into(), value[..].into(), 0, &mut 0), Err(MapError::Invalid));
        assert_eq!(map.lookup([0; 4][..].into(), 0, &mut 0), None);
    }
}

/// Two threads put traces in and one takes them out, while a third looks: what is shown is always one of them, whole.
#[test]
fn stack_traces_of_two_threads_are_whole() {
    let map = make(MapKind::StackTrace, 4, 256, 4);
    let over = AtomicUsize::new(2);
    thread::scope(|scope| {
        for id in 0..2 {
            let (map, over) = (&map, &over);
            scope.spawn(move || {
                let mut numbers = Numbers(id + 7);
                for _ in 0..40_000 {
                    let (trace, _) = trace(numbers.below(20), 256);
                    match map.stack_number(&trace, REPLACE) {
                        Ok(place) if numbers.below(4) == 0 => {
                            _ = map.delete(place.to_le_bytes()[..].into(), &mut 0);
                        }
                        Ok(_) | Err(MapError::Busy) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                over.fetch_sub(1, SeqCst);
            });
        }
        while over.load(SeqCst) > 0 {
            for bytes in contents(&map).values() {
                let number = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
                assert_eq!(*bytes, trace(number.into(), 256).1);
            }
        }
    });
    assert_eq!(contents(&map).len(), map.len());
}

/// A hook interrupts another one that puts a trace in: it is told so for this place, waits for nobody, and finds all others.
#[test]
fn an_interrupted_trace_is_not_waited_for() {
    let map = make(MapKind::StackTrace, 4, 16, 64);
    let Kind::Stacks(stacks) = &map.kind else { unreachable!() };
    let one = [1u64, 2];
    let place = map.stack_number(&one, Collision::default()).unwrap();
    let mut others = (3..100u64).map(|word| ([word], map.stack_number(&[word], Collision::default())));
    let (other, elsewhere) = others.find_map(|(other, place)| Some((other, place.ok()?))).unwrap();
    stacks.stand_still(place);
    for taken in [Collision::default(), REPLACE, BY_HASH] {
        assert_eq!(map.stack_number(&one, taken), Err(MapError::Busy));
        assert_eq!(map.stack_number(&other, taken), Ok(elsewhere));
    }
    assert_eq!(map.delete(place.to_le_bytes()[..].into(), &mut 0), Err(MapError::Busy));
    assert_eq!((value_of(&map, &place.to_le_bytes()), contents(&map).len()), (None, 1));
    map.after_fork();
    assert_eq!(map.len(), 1);
    assert_eq!((map.stack_number(&one, Collision::default()), map.len()), (Ok(place), 2));
}
