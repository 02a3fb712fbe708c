//! Objects that lie. An object of clang's is changed as the fuzzer's bytes say, or the bytes are one themselves; the packer must refuse it, or
//! make a package that the reader takes, in memory that the object's size bounds. What it took is looked at in another way than it does. The
//! environment variable `UBPF_OBJECTS` names the folder with the objects.
#![no_main]

#[allow(dead_code, reason = "no programs are made here")]
mod input;

use libfuzzer_sys::fuzz_target;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        OnceLock,
    },
};
use ubpf_rs::{object::Object, platform::no_pause, vm::soundness::Numbers};

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all of it is the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The objects, by name.
fn objects() -> &'static [Vec<u8>] {
    static OBJECTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let folder = std::env::var_os("UBPF_OBJECTS").expect("UBPF_OBJECTS names a folder with objects");
        let mut paths: Vec<_> = fs::read_dir(folder).expect("the folder").map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let objects: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("an object")).collect();
        assert!(!objects.is_empty());
        objects
    })
}

/// The object that the bytes make.
fn object(data: &[u8]) -> Vec<u8> {
    let Some((&mode, rest)) = data.split_first() else {
        return Vec::new();
    };
    if mode >= 0xf0 {
        return rest.to_vec();
    }
    let mut numbers = Numbers::Bytes(rest);
    let all = objects();
    let mut object = all[numbers.below(all.len() as u64) as usize].clone();
    for _ in 0..1 + mode % 8 {
        let at = place(&object, &mut numbers);
        if at + 4 > object.len() {
            continue;
        }
        match numbers.below(8) {
            0 => object[at] = numbers.below(256) as u8,
            1 => object[at] ^= 1 << numbers.below(8),
            2 => object[at..at + 4].copy_from_slice(&[0xff; 4]),
            3 if at.is_multiple_of(64) => object.truncate(at),
            4 => {
                let from = numbers.below(object.len() as u64 - 3) as usize & !3;
                let word: [u8; 4] = object[from..from + 4].try_into().unwrap();
                object[at..at + 4].copy_from_slice(&word);
            }
            _ => object[at..at + 4].copy_from_slice(&(numbers.below(24) as u32).to_le_bytes()),
        }
    }
    object
}

/// Where a change is made: anywhere, or in what says where everything is.
fn place(object: &[u8], numbers: &mut Numbers<'_>) -> usize {
    let sections = sections(object);
    let tables: Vec<&Section> = sections.iter().filter(|one| matches!(one.kind, SYMBOLS | RELOCATIONS)).collect();
    match (numbers.below(4), tables.len()) {
        (0, _) => numbers.below(object.len().max(1) as u64) as usize & !3,
        (1, _) if !sections.is_empty() => {
            (word(object, 40) as usize + numbers.below(64 * sections.len() as u64) as usize) & !3
        }
        (_, 1..) => {
            let table = tables[numbers.below(tables.len() as u64) as usize];
            (table.from + numbers.below(table.size.max(1)) as usize) & !1
        }
        _ => 16,
    }
}

const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 9;
const NO_BITS: u32 = 8;

/// A section, as its header says.
struct Section {
    kind: u32,
    allocated: bool,
    from: usize,
    size: u64,
    link: usize,
    info: usize,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

fn sections(object: &[u8]) -> Vec<Section> {
    let (table, count) = (word(object, 40) as usize, word(object, 60) as u16);
    let headers = (0..usize::from(count)).filter_map(|number| object.get(table.checked_add(64 * number)?..)?.get(..64));
    let section = |header: &[u8]| Section {
        kind: (word(header, 0) >> 32) as u32,
        allocated: word(header, 8) & 2 != 0,
        from: word(header, 24) as usize,
        size: word(header, 32),
        link: word(header, 40) as u32 as usize,
        info: (word(header, 40) >> 32) as usize,
    };
    headers.map(section).collect()
}

/// What holds of every object that is packed.
fn judge(object: &[u8]) {
    let sections = sections(object);
    let symbols = sections.iter().position(|section| section.kind == SYMBOLS);
    let rows = |section: &Section, size: u64| {
        let from = section.from;
        (0..section.size / size).map(move |row| from + (row * size) as usize)
    };
    if let Some(table) = symbols {
        for at in rows(&sections[table], 24).skip(1) {
            let section = word(object, at + 6) as u16;
            assert!(section >= 0xff00 || usize::from(section) < sections.len(), "a symbol in no section");
        }
    }
    for table in sections.iter().filter(|one| one.kind == RELOCATIONS && Some(one.link) == symbols) {
        let of = &sections[table.info];
        for at in rows(table, 16) {
            assert!(!of.allocated || word(object, at) < of.size, "a relocation outside of its section");
            assert_ne!(word(object, at + 8) >> 32, 0, "a relocation without a symbol");
        }
    }
    let mut ranges: Vec<(usize, u64)> = sections
        .iter()
        .skip(1)
        .filter(|one| one.kind != NO_BITS && one.size > 0)
        .map(|one| (one.from, one.size))
        .collect();
    ranges.sort_unstable();
    let mut overlaps = ranges.windows(2).filter(|pair| pair[0].0 as u64 + pair[0].1 > pair[1].0 as u64);
    // Two tables of names may be one.
    assert!(overlaps.nth(1).is_none(), "sections overlap");
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let object = object(data);
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let package = ubpf_pack::pack_for_engine(&object, "fuzz.o", &mut no_pause);
    let taken = MOST.load(Relaxed).saturating_sub(before);
    assert!(taken <= 64 * object.len() + (256 << 10), "{taken} bytes for {}", object.len());
    if let Ok(package) = package {
        Object::parse(&package).expect("what was packed can be read");
        judge(&object);
    }
});
