//! Maps that hold maps and programs: against a model, and what runs that go on, threads and interrupts may do to them.

use super::*;
use crate::program::{InnerDef, MapFlags, MapName};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    vec::Vec,
};

fn def(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapDef {
    let (flags, name) = (MapFlags::empty(), MapName::new("test").unwrap());
    MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name }
}

fn inner(number: u64) -> Arc<Map> {
    let map = Map::new(def(MapKind::Array, 4, 8, 1)).unwrap();
    map.update([0; 4][..].into(), number.to_le_bytes()[..].into(), 0, &mut 0).unwrap();
    Arc::new(map)
}

fn holder(kind: MapKind, key_size: u32, entries: u32) -> Arc<Map> {
    let inner = Some(InnerDef::of(&def(MapKind::Array, 4, 8, 1)));
    Arc::new(Map::new(MapDef { inner, ..def(kind, key_size, 4, entries) }).unwrap())
}

fn hold(holder: &Map, key: &[u8], map: &Arc<Map>) -> Result<(), MapError> {
    holder.hold(key.into(), Held::Map(map.clone()), update::ANY)
}

/// The number in a map that a run finds.
fn found(maps: &Maps, key: &[u8], stay: &Stay) -> Option<u64> {
    let number = maps.get(0).unwrap().find_map(handle(0), key.into(), &mut 0, stay)?;
    Some(number_in(maps.by_handle(number, stay).expect("a map that was found")))
}

fn number_in(map: &Map) -> u64 {
    map.value([0; 4][..].into()).unwrap().first().word(0)
}

/// Other tests of this process have runs, too; they end.
fn settled(map: &Map) {
    while !map.settle() {
        thread::yield_now();
    }
}

#[test]
fn what_is_held_follows_its_model() {
    for (kind, key_size) in [(MapKind::ArrayOfMaps, 4), (MapKind::HashOfMaps, 4), (MapKind::HashOfMaps, 7)] {
        let entries = 8;
        let holder = holder(kind, key_size, entries);
        let maps = Maps::new([holder.clone()].into()).unwrap();
        let inner: Vec<_> = (0..5).map(inner).collect();
        let mut model: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut random = 0x9e37_79b9u64;
        for _ in 0..4000 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (what, key) = ((random >> 40) as usize % 7, (random >> 50) % 10);
            let key: Vec<u8> = key.to_le_bytes().iter().copied().cycle().take(key_size as usize).collect();
            let key = if kind == MapKind::ArrayOfMaps { key[..4].to_vec() } else { key };
            match inner.get(what) {
                Some(map) => {
                    let full = match kind {
                        MapKind::ArrayOfMaps => key[0] >= entries as u8,
                        _ => !model.contains_key(&key) && model.len() == entries as usize,
                    };
                    let expected = if full { Err(MapError::Full { capacity: entries as usize }) } else { Ok(()) };
                    let put = at_last(|| hold(&holder, &key, map));
                    assert_eq!(put, expected);
                    if put.is_ok() {
                        model.insert(key.clone(), what);
                    }
                }
                None => {
                    let gone = at_last(|| holder.delete(key[..].into(), &mut 0));
                    assert_eq!(gone, model.remove(&key).map(drop).ok_or(MapError::NoEntry));
                }
            }
            assert_eq!(found(&maps, &key, &Stay::default()), model.get(&key).map(|&number| number as u64));
            assert_eq!(holder.len(), model.len());
        }
        let (mut shown, mut next) = (0, Some(0));
        while let Some(first) = next {
            next = holder.for_some(first, &mut |key, _| {
                shown += 1;
                model.contains_key(key)
            });
        }
        assert_eq!(shown, model.len());
        settled(&holder);
        for (number, map) in inner.iter().enumerate() {
            let held = model.values().filter(|&&held| held == number).count();
            assert_eq!(Arc::strong_count(map), 1 + held);
        }
        drop((maps, holder));
        assert!(inner.iter().all(|map| Arc::strong_count(map) == 1), "they go with the map that held them");
    }
}

/// Where others' runs go on for long, a change may be refused for that.
fn at_last(change: impl Fn() -> Result<(), MapError>) -> Result<(), MapError> {
    loop {
        match change() {
            Err(MapError::Busy) => thread::yield_now(),
            done => return done,
        }
    }
}

#[test]
fn a_run_keeps_what_it_has_found() {
    let holder = holder(MapKind::ArrayOfMaps, 4, 1);
    let maps = Maps::new([holder.clone()].into()).unwrap();
    let (old, new) = (inner(1), inner(2));
    at_last(|| hold(&holder, &[0; 4], &old)).unwrap();
    let stay = Stay::default();
    let number = holder.find_map(handle(0), [0; 4][..].into(), &mut 0, &stay).unwrap();
    let window = old.window().unwrap();
    // Another one takes its place, and then nothing.
    at_last(|| hold(&holder, &[0; 4], &new)).unwrap();
    at_last(|| holder.delete([0; 4][..].into(), &mut 0)).unwrap();
    assert!(!holder.settle());
    assert_eq!(number_in(maps.by_handle(number, &stay).unwrap()), 1);
    assert_eq!(maps.inner_window(window.base + 7, &stay), Some(window));
    assert_eq!(maps.inner_window(window.base + 8, &stay).filter(|found| *found == window), None);
    assert_eq!(Arc::strong_count(&old), 2);
    // A run that comes later finds nothing.
    assert_eq!(found(&maps, &[0; 4], &Stay::default()), None);
    drop(stay);
    settled(&holder);
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 1));
    assert!(maps.by_handle(number, &Stay::default()).is_none(), "the number stands for nothing any more");
    assert!(maps.inner_window(window.base, &Stay::default()).is_none());
}

/// A run that does not end costs so many changes, and no more memory.
#[test]
fn changes_under_a_run_that_goes_on_are_bounded() {
    let holder = holder(MapKind::HashOfMaps, 4, 4);
    let maps = Maps::new([holder.clone()].into()).unwrap();
    let map = inner(3);
    at_last(|| hold(&holder, &[0; 4], &map)).unwrap();
    let stay = Stay::default();
    assert_eq!(found(&maps, &[0; 4], &stay), Some(3));
    let refused = (0..10_000).find(|_| hold(&holder, &[0; 4], &map) == Err(MapError::Busy));
    assert!(refused.is_some_and(|after| after < 100), "{refused:?}");
    assert!(Arc::strong_count(&map) < 20);
    assert_eq!(found(&maps, &[0; 4], &stay), Some(3), "what was there stays");
    drop(stay);
    at_last(|| hold(&holder, &[0; 4], &map)).unwrap();
    settled(&holder);
    assert_eq!(Arc::strong_count(&map), 2);
}

/// One thread exchanges maps, another one is interrupted between finding a map and using it, by a hook that does the same.
#[test]
fn runs_and_changes_at_once() {
    let holder = holder(MapKind::HashOfMaps, 4, 4);
    let maps = Maps::new([holder.clone()].into()).unwrap();
    let inner: Vec<_> = (0..8).map(inner).collect();
    at_last(|| hold(&holder, &[0; 4], &inner[0])).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..3000 {
                let map = &inner[round % inner.len()];
                at_last(|| hold(&holder, &[0; 4], map)).unwrap();
                at_last(|| hold(&holder, &[1; 4], map)).unwrap();
                at_last(|| holder.delete([1; 4][..].into(), &mut 0)).unwrap();
            }
            over.store(true, SeqCst);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let stay = Stay::default();
                    let number = holder.find_map(handle(0), [0; 4][..].into(), &mut 0, &stay).unwrap();
                    let is = number_in(maps.by_handle(number, &stay).unwrap());
                    let interrupting = Stay::default();
                    assert!(found(&maps, &[0; 4], &interrupting).is_some_and(|number| number < 8));
                    drop(interrupting);
                    thread::yield_now();
                    let map = maps.by_handle(number, &stay).expect("a run keeps what it has found");
                    assert_eq!(number_in(map), is);
                    let window = map.window().unwrap();
                    assert_eq!(maps.inner_window(window.base, &stay), Some(window));
                }
            });
        }
    });
    settled(&holder);
    let held = number_in(&inner[2999 % 8]) as usize;
    for (number, map) in inner.iter().enumerate() {
        assert_eq!(Arc::strong_count(map), 1 + usize::from(number == held));
    }
}

/// A hook may come while somebody changes the map: it waits for nothing.
#[test]
fn an_interrupted_change_hides_nothing() {
    let holder = holder(MapKind::ArrayOfMaps, 4, 2);
    let maps = Maps::new([holder.clone()].into()).unwrap();
    at_last(|| hold(&holder, &[0; 4], &inner(5))).unwrap();
    let Kind::Holder(own) = &holder.kind else { panic!("a holder") };
    let changing = own.pool().lock().unwrap();
    assert_eq!(found(&maps, &[0; 4], &Stay::default()), Some(5));
    drop(changing);
}

#[test]
fn numbers_of_held_maps_name_nothing_else() {
    let holder = holder(MapKind::ArrayOfMaps, 4, 2);
    let other = inner(7);
    let maps = Maps::new([holder.clone(), other].into()).unwrap();
    at_last(|| hold(&holder, &[1, 0, 0, 0], &inner(5))).unwrap();
    let stay = Stay::default();
    let number = holder.find_map(handle(0), [1, 0, 0, 0][..].into(), &mut 0, &stay).unwrap();
    assert_eq!(number_in(maps.by_handle(number, &stay).unwrap()), 5);
    assert_eq!(number_in(maps.by_handle(handle(1), &stay).unwrap()), 7);
    // Other places, the same place of other maps, and what is beside the numbers.
    for other in
        [number + 1, number - 1, number + (1 << 24), number + (1 << 30), number + (1 << 32), number + (1 << 31)]
    {
        assert!(maps.by_handle(other, &stay).is_none(), "{other:#x}");
    }
    assert_eq!(
        holder.find_map(number, [1, 0, 0, 0][..].into(), &mut 0, &stay),
        None,
        "no maps within maps within maps"
    );
}

#[test]
fn ten_thousand_maps_within_one() {
    let entries = 10_000;
    let holder = holder(MapKind::HashOfMaps, 4, entries);
    let maps = Maps::new([holder.clone()].into()).unwrap();
    let all: Vec<_> = (0..entries).map(|number| inner(number.into())).collect();
    for (key, map) in (0u32..).zip(&all) {
        at_last(|| hold(&holder, &key.to_le_bytes(), map)).unwrap();
    }
    assert_eq!(hold(&holder, &entries.to_le_bytes(), &all[0]), Err(MapError::Full { capacity: entries as usize }));
    let stay = Stay::default();
    for key in (0..entries).step_by(97) {
        assert_eq!(found(&maps, &key.to_le_bytes(), &stay), Some(key.into()));
        let window = all[key as usize].window().unwrap();
        assert_eq!(maps.inner_window(window.base + 3, &stay), Some(window));
    }
    drop(stay);
    let bytes = Map::memory(holder.def());
    assert!(bytes >= u64::from(entries) * (4 + 8 + 8 + 4 + 24), "{bytes}");
}

fn programs(entries: u32) -> Arc<Map> {
    Arc::new(Map::new(def(MapKind::ProgArray, 4, 4, entries)).unwrap())
}

fn hold_program(map: &Map, index: u32, program: &HeldProgram) -> Result<(), MapError> {
    at_last(|| map.hold(index.to_le_bytes()[..].into(), Held::Program(program.clone()), update::ANY))
}

fn number_of(program: &HeldProgram) -> u32 {
    *program.downcast_ref::<u32>().expect("a number")
}

#[test]
fn programs_that_are_held_follow_their_model() {
    let map = programs(4);
    let all: Vec<HeldProgram> = (0..4u32).map(|number| Arc::new(number) as HeldProgram).collect();
    let mut model = [None; 4];
    let mut random = 7u64;
    for _ in 0..2000 {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let (what, index) = ((random >> 40) as u32 % 6, (random >> 50) as u32 % 5);
        match all.get(what as usize) {
            Some(program) if index < 4 => {
                hold_program(&map, index, program).unwrap();
                model[index as usize] = Some(what);
            }
            Some(program) => assert_eq!(hold_program(&map, index, program), Err(MapError::Full { capacity: 4 })),
            None => {
                let before = model.get_mut(index as usize).and_then(Option::take);
                let gone = at_last(|| map.delete(index.to_le_bytes()[..].into(), &mut 0));
                assert_eq!(gone, before.map(drop).ok_or(MapError::NoEntry));
            }
        }
        let found = map.program(index, &Stay::default()).map(number_of);
        assert_eq!(found, model.get(index as usize).copied().flatten());
    }
    assert_eq!(map.hold([0; 4][..].into(), Held::Map(inner(1)), update::ANY), Err(MapError::OtherThing));
    settled(&map);
    for (number, program) in (0..).zip(&all) {
        let held = model.iter().filter(|&&held| held == Some(number)).count();
        assert_eq!(Arc::strong_count(program), 1 + held);
    }
}

/// A program that has the map in which it is held.
struct Own(#[allow(dead_code, reason = "kept")] Arc<Maps>);

#[test]
fn programs_that_have_their_own_map_go_with_who_has_it() {
    let map = programs(3);
    let maps = Arc::new(Maps::new([map.clone()].into()).unwrap());
    let in_use = InUse::new(maps.clone());
    let kept = Kept::new(map.clone());
    let program: HeldProgram = Arc::new(Own(maps.clone()));
    let left = Arc::downgrade(&program);
    hold_program(&map, 1, &program).unwrap();
    drop((program, maps));
    drop(in_use);
    assert!(map.program(1, &Stay::default()).is_some(), "somebody keeps it");
    // A run has found it when the last one lets go of it.
    let stay = Stay::default();
    assert!(map.program(1, &stay).is_some());
    drop(kept);
    assert!(map.program(1, &Stay::default()).is_none());
    assert!(left.upgrade().is_some() && map.is_empty());
    assert_eq!(map.hold([0; 4][..].into(), Held::Program(Arc::new(1u32)), 0), Err(MapError::Busy));
    drop(stay);
    while !settle_left() {
        thread::yield_now();
    }
    settled(&map);
    assert!(left.upgrade().is_none());
    assert_eq!(Arc::strong_count(&map), 1);
    hold_program(&map, 2, &(Arc::new(5u32) as HeldProgram)).unwrap();
}

#[test]
fn programs_of_a_map_are_alike() {
    let map = programs(2);
    assert!(map.takes_programs_like(0x101) && map.takes_programs_like(0x101));
    assert!(!map.takes_programs_like(0x201));
    assert!(!inner(1).takes_programs_like(0x101));
}
