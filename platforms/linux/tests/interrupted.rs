//! A signal comes at each instruction of what runs straight from a function, and its handler does what an interrupt, another CPU or whoever
//! reads would do: nothing is lost, and nothing comes twice.
#![cfg(target_arch = "x86_64")]

#[path = "common/image.rs"]
mod image;

use std::{
    collections::BTreeSet,
    ffi::c_int,
    sync::{
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::SeqCst},
        Arc, LazyLock, Mutex, MutexGuard,
    },
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    isa::assemble,
    maps::{BytesMut, Map},
    program::{Abi, MapDef, MapFlags, MapKind, MapName, Program},
    runtime::{AttachLimits, Config, LoadOptions, MapPart, ProgramId, Runtime},
};

extern "C" {
    fn gcc_patchable_myfun();
    fn gcc_patchable_empty();
    static many: [unsafe extern "C" fn(); 400];
}

const MYFUN: &str = "gcc_patchable_myfun";
const EMPTY: &str = "gcc_patchable_empty";

/// Signals at each instruction.
mod steps {
    use super::*;
    use std::{cell::Cell, mem};

    /// The flag of the CPU that asks for them.
    const TRAP: i64 = 0x100;
    std::thread_local! {
        /// Those that came to this thread, and the one at which something is done.
        static CAME: Cell<u64> = const { Cell::new(0) };
        static AT: Cell<u64> = const { Cell::new(0) };
        static WORK: Cell<fn()> = const { Cell::new(|| {}) };
    }

    /// What handles them while it lives.
    pub struct Handled(libc::sigaction);

    impl Handled {
        pub fn new() -> Handled {
            // SAFETY: plain numbers; the handler makes calls that may be made at any time.
            unsafe {
                let (mut action, mut before): (libc::sigaction, libc::sigaction) = (mem::zeroed(), mem::zeroed());
                (action.sa_sigaction, action.sa_flags) = (step as *const () as usize, libc::SA_SIGINFO);
                assert_eq!(libc::sigaction(libc::SIGTRAP, &action, &mut before), 0);
                Handled(before)
            }
        }

        /// Calls a function, and does some work at one of its instructions; whether it came so far.
        pub fn call(&self, function: unsafe extern "C" fn(), at: u64, work: fn()) -> bool {
            AT.set(at);
            CAME.set(0);
            WORK.set(work);
            // SAFETY: what a call changes is said; the flag of the CPU is as before afterwards, and its signal has a handler.
            unsafe {
                std::arch::asm!(
                    "pushfq",
                    "or qword ptr [rsp], {trap}",
                    "popfq",
                    "call {function}",
                    "pushfq",
                    "and qword ptr [rsp], {others}",
                    "popfq",
                    trap = const TRAP,
                    others = const !TRAP,
                    function = in(reg) function,
                    clobber_abi("C"),
                );
            }
            CAME.get() > at
        }
    }

    impl Drop for Handled {
        fn drop(&mut self) {
            // SAFETY: as it was.
            unsafe { libc::sigaction(libc::SIGTRAP, &self.0, std::ptr::null_mut()) };
        }
    }

    extern "C" fn step(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
        if CAME.replace(CAME.get() + 1) != AT.get() {
            return;
        }
        // The last one.
        // SAFETY: what the kernel gives a handler, which it takes back afterwards.
        unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP };
        WORK.get()();
    }
}

/// The engine of this process with nothing attached. Tests take turns.
fn engine() -> (&'static Runtime, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static ENGINE: LazyLock<&'static Runtime> = LazyLock::new(|| {
        let engine = Runtime::init(platform(std::env::temp_dir()), Config::default()).unwrap();
        image::add_image(engine);
        engine
    });
    let turn = TURN.lock().unwrap_or_else(|error| error.into_inner());
    ENGINE.reset().unwrap();
    (*ENGINE, turn)
}

fn part(name: &str, kind: MapKind, sizes: [u32; 3]) -> MapPart<'static> {
    let [key_size, value_size, max_entries] = sizes;
    let (flags, name) = (MapFlags::empty(), MapName::new(name).unwrap());
    let def = MapDef { kind, key_size, value_size, max_entries, flags, inner: None, name };
    MapPart { def, contents: &[], shared: false }
}

/// Loads a program and attaches it to the function.
fn attach(engine: &Runtime, maps: &[MapPart<'_>], text: &str) -> ProgramId {
    let program = Program::from_flat("steps", &assemble(text).unwrap(), Abi::Linux).unwrap();
    let ids = engine.load_parts("of", maps, vec![program], &LoadOptions::default()).unwrap();
    attach_loaded(engine, ids[0]);
    ids[0]
}

fn attach_loaded(engine: &Runtime, id: ProgramId) {
    engine.attach(MYFUN, id, AttachLimits::default()).unwrap();
    // Finds counters for this thread.
    (0..3).for_each(|_| call());
    let probes = &engine.list(Some(MYFUN)).unwrap()[0].probes;
    assert_eq!(probes[0].detour, None, "straight from the function");
}

fn take_off(engine: &Runtime, id: ProgramId) {
    assert_eq!(engine.detach(MYFUN, None).unwrap(), 1);
    engine.unload(id).unwrap();
}

fn call() {
    // SAFETY: a C function without arguments.
    unsafe { gcc_patchable_myfun() }
}

/// A map that is lent to handlers.
struct Lent(AtomicPtr<Map>);

impl Lent {
    fn lend(&self, map: &Arc<Map>) {
        self.0.store(Arc::as_ptr(map).cast_mut(), SeqCst);
    }

    fn get(&self) -> &'static Map {
        // SAFETY: the test that lent it has it until no handler is called any more.
        unsafe { &*self.0.load(SeqCst) }
    }
}

static DATA: Lent = Lent(AtomicPtr::new(std::ptr::null_mut()));
static RING: Lent = Lent(AtomicPtr::new(std::ptr::null_mut()));

/// Writes a record of so many bytes, in the first and the last word of which is what the data says, or discards it; puts there what came of it.
const RESERVE: &str = "
    r6 = map_index_value(1) ll
    r7 = *(u64 *)(r6 + 0)
    r8 = *(u64 *)(r6 + 8)
    r1 = map_index(0) ll
    r2 = 1000
    r3 = 0
    call 131
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = r7
    *(u64 *)(r0 + 992) = r7
    r1 = r0
    r2 = 0
    if r8 == 1 goto discard
    call 132
    r0 = 1
    goto out
discard:
    call 133
    r0 = 2
out:
    *(u64 *)(r6 + 24) = r0
    r0 = 0
    exit";
const LOST: u64 = 0;
const SUBMITTED: u64 = 1;
const DISCARDED: u64 = 2;

/// What stands in the data before a run has put there what came of it.
const UNTOLD: u64 = 99;

fn words(data: &Map) -> [u64; 4] {
    let value = data.value([0; 4][..].into()).unwrap();
    [0, 1, 2, 3].map(|at| value.first().word(at))
}

fn set(data: &Map, words: [u64; 4]) {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_ne_bytes()));
    data.update([0; 4][..].into(), bytes[..].into(), 0, &mut 0).unwrap();
}

/// What comes of a run that is told these by the data, which is as before afterwards. `call` calls the function.
fn run(told: [u64; 3], call: impl FnOnce()) -> u64 {
    let (data, [one, two, three]) = (DATA.get(), told);
    let before = words(data);
    set(data, [one, two, three, UNTOLD]);
    call();
    let [.., result] = words(data);
    set(data, before);
    result
}

/// What a record was written with, and what came of it, in the handler; and what was read there.
static WRITTEN: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
static READ: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
/// What the outer one writes; those of the handler count on.
const OUTER: u64 = 100;

fn note(list: &[AtomicU64], what: u64) {
    list.iter().find(|one| one.load(SeqCst) == 0).expect("room").store(what, SeqCst);
}

fn noted(list: &[AtomicU64]) -> Vec<u64> {
    list.iter().map(|one| one.swap(0, SeqCst)).filter(|&what| what != 0).collect()
}

fn write_within() {
    let number = OUTER + 1 + WRITTEN.iter().filter(|one| one.load(SeqCst) != 0).count() as u64;
    note(&WRITTEN, number << 8 | run([number, 0, 0], call));
}

fn read_all() {
    let mut record = [0; 1000];
    while let Some(len) = RING.get().read_record(&mut record) {
        let word = |at: usize| u64::from_ne_bytes(record[at..at + 8].try_into().unwrap());
        let whole = len == 1000 && word(0) == word(992) && record[8..992].iter().all(|&byte| byte == 0);
        note(&READ, if whole { word(0) } else { u64::MAX });
    }
}

#[test]
fn records_are_whole_wherever_one_is_interrupted() {
    let (engine, _turn) = engine();
    let maps = [part("ring", MapKind::Ringbuf, [0, 0, 4096]), part(".bss", MapKind::Array, [4, 32, 1])];
    let id = attach(engine, &maps, RESERVE);
    let (ring, data) = (engine.map("of.ring").unwrap(), engine.map("of..bss").unwrap());
    DATA.lend(&data);
    RING.lend(&ring);
    read_all();
    noted(&READ);
    let handled = steps::Handled::new();
    // What is done, and whether the outer one has room then.
    let works: [(fn(), bool); 4] = [
        (
            || {
                write_within();
                read_all();
            },
            true,
        ),
        (
            || {
                // What is passed over at the end may stand before them, and nobody has passed over it yet.
                (0..2).for_each(|_| write_within());
                read_all();
            },
            true,
        ),
        (read_all, true),
        (|| (0..5).for_each(|_| write_within()), false),
    ];
    for (which, &(work, has_room)) in works.iter().enumerate() {
        for discards in [0, 1] {
            let mut at = 0;
            loop {
                let lost = ring.lost_full();
                let mut stepped = false;
                let outer = run([OUTER, discards, 0], || stepped = handled.call(gcc_patchable_myfun, at, work));
                read_all();
                let what = format!("work {which} at step {at}, {discards}: {outer}");
                let all: Vec<u64> = noted(&WRITTEN).into_iter().chain([OUTER << 8 | outer]).collect();
                let submitted: BTreeSet<u64> =
                    all.iter().filter(|one| *one & 0xff == SUBMITTED).map(|one| one >> 8).collect();
                let read = noted(&READ);
                assert_eq!((read.len(), &read.into_iter().collect()), (submitted.len(), &submitted), "{what}");
                assert_eq!(
                    ring.lost_full() - lost,
                    all.iter().filter(|one| *one & 0xff == LOST).count() as u64,
                    "{what}"
                );
                let kept = if discards == 1 { DISCARDED } else { SUBMITTED };
                assert!(outer == kept || outer == LOST && !has_room, "{what}");
                assert_eq!(ring.ring_number(0), 0, "{what}");
                if !stepped {
                    break;
                }
                at += 1;
            }
            // By machine code: a helper takes thousands.
            assert!((50..300).contains(&at), "{at} steps, straight from the function");
        }
    }
    drop(handled);
    take_off(engine, id);
}

#[test]
fn values_per_cpu_are_exact_wherever_a_run_is_interrupted() {
    const ADD: &str = "
        *(u32 *)(r10 - 4) = 0
        r2 = r10
        r2 += -4
        r1 = map_index(0) ll
        call 1
        if r0 == 0 goto out
        r1 = *(u64 *)(r0 + 0)
        r1 += 1
        *(u64 *)(r0 + 0) = r1
    out:
        r0 = 0
        exit";
    let (engine, _turn) = engine();
    for kind in [MapKind::PercpuArray, MapKind::PercpuHash] {
        let id = attach(engine, &[part("count", kind, [4, 8, 1])], ADD);
        let map = engine.map("of.count").unwrap();
        map.update([0; 4][..].into(), [0; 8][..].into(), 0, &mut 0).unwrap();
        let sum = || map.value([0; 4][..].into()).unwrap().iter().map(|slot| slot.word(0)).sum::<u64>();
        let handled = steps::Handled::new();
        let mut at = 0;
        loop {
            let before = sum();
            let stepped = handled.call(gcc_patchable_myfun, at, || (0..2).for_each(|_| call()));
            assert_eq!(sum() - before, 1 + 2 * u64::from(stepped), "{kind:?} at step {at}");
            if !stepped {
                break;
            }
            at += 1;
        }
        assert!((30..200).contains(&at), "{at} steps, straight from the function");
        drop((handled, map));
        take_off(engine, id);
    }
}

/// The same in the two-key map: what is added is exact, and a value that is put is one of those that were.
#[test]
fn additions_are_exact_wherever_one_is_interrupted() {
    const ADD: &str = "
        r6 = *(u64 *)(r1 + 0)
        r1 = r6
        r2 = 2
        r3 = 1
        call 32
        r1 = r6
        r2 = 2
        call 0
        r1 = r6
        r2 = 3
        r3 = r0
        call 1
        r0 = 0
        exit";
    let (engine, _turn) = engine();
    let id = engine.load("adds", &assemble(ADD).unwrap(), &LoadOptions::default()).unwrap();
    attach_loaded(engine, id);
    let key = engine.trace_address(MYFUN).unwrap();
    let handled = steps::Handled::new();
    let values = || [2, 3].map(|key2| engine.map_get(key, key2).unwrap());
    for at in 0.. {
        let [before, _] = values();
        let stepped = handled.call(gcc_patchable_myfun, at, || (0..2).for_each(|_| call()));
        let [sum, put] = values();
        assert_eq!(sum - before, 1 + 2 * u64::from(stepped), "at step {at}");
        assert!((before + 1..=sum).contains(&put), "{put} at step {at}");
        if !stepped {
            assert!((60..300).contains(&at), "{at} steps, straight from the function");
            break;
        }
    }
    drop(handled);
    take_off(engine, id);
    assert!([2, 3].iter().all(|&key2| engine.map_del(key, key2)));
}

/// The same of records that the map writes itself, for programs that are interpreted and for helpers.
#[test]
fn records_are_written_wherever_others_write_and_read() {
    extern "C" fn write() {
        if RING.get().write_record(OUTER.to_ne_bytes()[..].into()).is_ok() {
            note(&WRITTEN, OUTER);
        }
    }
    fn read() {
        let mut record = [0; 8];
        while RING.get().read_record(&mut record).is_some() {
            note(&READ, u64::from_ne_bytes(record));
        }
    }
    let _turn = engine().1;
    let ring = Arc::new(Map::new(part("ring", MapKind::Ringbuf, [0, 0, 4096]).def).unwrap());
    RING.lend(&ring);
    let handled = steps::Handled::new();
    let mut at = 0;
    loop {
        let stepped = handled.call(write, at, || {
            for number in [OUTER + 1, OUTER + 2] {
                RING.get().write_record(number.to_ne_bytes()[..].into()).unwrap();
            }
            read();
        });
        assert_eq!(noted(&WRITTEN), [OUTER], "lost at step {at}");
        read();
        let mut read = noted(&READ);
        read.sort_unstable();
        let expected: &[u64] = if stepped { &[OUTER, OUTER + 1, OUTER + 2] } else { &[OUTER] };
        assert_eq!((&read[..], ring.ring_number(0), ring.lost_full()), (expected, 0, 0), "step {at}");
        if !stepped {
            break;
        }
        at += 1;
    }
    assert!(at > 100);
}

/// Does to the hash map what the object's data in place DATA says: an operation, a key, a number; puts there what came of it. A value is its
/// number, twice.
const OPERATE: &str = "
    r6 = map_index_value(DATA) ll
    r7 = *(u64 *)(r6 + 0)
    r1 = *(u64 *)(r6 + 8)
    *(u64 *)(r10 - 8) = r1
    r1 = *(u64 *)(r6 + 16)
    *(u64 *)(r10 - 16) = r1
    *(u64 *)(r10 - 24) = r1
    r2 = r10
    r2 += -8
    r1 = map_index(0) ll
    if r7 == 1 goto put
    if r7 == 2 goto delete
    call 1
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    r0 = *(u64 *)(r0 + 8)
    if r0 == r1 goto out
    r0 = -1
    goto out
put:
    r3 = r10
    r3 += -24
    r4 = 0
    call 2
    goto out
delete:
    call 3
out:
    *(u64 *)(r6 + 24) = r0
    r0 = 0
    exit";
const GET: u64 = 0;
const PUT: u64 = 1;
const DELETE: u64 = 2;

/// What a handler does: operations and keys, 0 for none. And what it got that cannot be.
static SCRIPT: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
static WRONG: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// May anything come of it that did, where somebody may be in the midst of a change?
fn may_be(operation: u64, key: u64, result: i64) -> bool {
    match operation {
        GET => result == 0 || result as u64 == key,
        // An entry of which the key has just gone is not free yet.
        PUT => [0, -7, -16].contains(&result),
        _ => [0, -2, -16].contains(&result),
    }
}

fn play_script() {
    for script in SCRIPT.chunks(2) {
        let [operation, key] = [0, 1].map(|at: usize| script[at].load(SeqCst));
        if key != 0 {
            let result = run([operation, key, key], call);
            if !may_be(operation, key, result as i64) {
                let wrong = [operation, key, result, 1];
                WRONG.iter().zip(wrong).for_each(|(to, what)| to.store(what, SeqCst));
            }
        }
    }
}

/// The handler does to the same key what a run does, or to another one: nothing that comes of either is wrong, and no entry is lost.
#[test]
fn hash_maps_are_whole_wherever_a_change_is_interrupted() {
    let (engine, _turn) = engine();
    let maps = [part("held", MapKind::Hash, [8, 16, 4]), part(".bss", MapKind::Array, [4, 32, 1])];
    let id = attach(engine, &maps, &OPERATE.replace("DATA", "1"));
    let (held, data) = (engine.map("of.held").unwrap(), engine.map("of..bss").unwrap());
    DATA.lend(&data);
    let plainly = |operation, key| run([operation, key, key], call) as i64;
    let contents = || {
        let (mut keys, mut next) = (Vec::new(), Some(0));
        while let Some(at) = next {
            next = held.for_some(at, &mut |key, _| {
                keys.push(u64::from_ne_bytes(key.try_into().unwrap()));
                true
            });
        }
        keys.sort_unstable();
        keys
    };
    let (first, own, other) = ([11, 12], 13, 14);
    assert_eq!(first.map(|key| plainly(PUT, key)), [0, 0]);
    let handled = steps::Handled::new();
    let scripts: [&[(u64, u64)]; 5] = [
        &[(PUT, other), (GET, other), (DELETE, other)],
        &[(PUT, own)],
        &[(DELETE, own)],
        &[(DELETE, own), (PUT, other), (PUT, own)],
        &[(GET, own), (GET, first[0])],
    ];
    for script in scripts {
        let all = script.iter().flat_map(|&(operation, key)| [operation, key]).chain([0; 6]);
        SCRIPT.iter().zip(all).for_each(|(to, word)| to.store(word, SeqCst));
        for (had, operation) in [(false, PUT), (true, PUT), (true, GET), (true, DELETE)] {
            let mut at = 0;
            loop {
                let _ = [plainly(if had { PUT } else { DELETE }, own), plainly(DELETE, other)];
                let mut stepped = false;
                let step = || stepped = handled.call(gcc_patchable_myfun, at, play_script);
                let result = run([operation, own, own], step) as i64;
                let what = format!("{script:?} at step {at} of {operation}, {had}: {result}");
                assert_eq!(WRONG.each_ref().map(|word| word.load(SeqCst)), [0; 4], "{what}");
                let expected: &[i64] = match operation {
                    PUT => &[0],
                    // What was found may have got another key by the time that it is read.
                    GET => &[0, own as i64, other as i64, -1],
                    _ => &[0, -2],
                };
                assert!(expected.contains(&result), "{what}");
                let keys = contents();
                let unique: BTreeSet<_> = keys.iter().copied().collect();
                assert_eq!((unique.len(), held.len()), (keys.len(), keys.len()), "{what}: {keys:?}");
                assert!(keys.starts_with(&first) && keys.iter().all(|key| (11..15).contains(key)), "{what}: {keys:?}");
                assert_eq!(first.map(|key| plainly(GET, key)), first.map(|key| key as i64), "{what}");
                if !stepped {
                    break;
                }
                at += 1;
            }
            // By machine code: a helper takes thousands.
            assert!((100..400).contains(&at), "{at} steps of {operation}, straight from the function");
        }
    }
    drop(handled);
    for key in [own, other] {
        plainly(DELETE, key);
    }
    assert_eq!([21, 22, 23].map(|key| plainly(PUT, key)), [0, 0, -7], "each entry can be had");
    take_off(engine, id);
}

/// Whoever interrupts a change of a value does not change it, too: it is of one of them as a whole.
#[test]
fn a_value_is_of_one_writer_wherever_one_is_interrupted() {
    const KEY: u64 = 7;
    const BUSY: u64 = -16i64 as u64;
    let (engine, _turn) = engine();
    let maps = [part("held", MapKind::Hash, [8, 16, 4]), part(".bss", MapKind::Array, [4, 32, 1])];
    let id = attach(engine, &maps, &OPERATE.replace("DATA", "1"));
    let data = engine.map("of..bss").unwrap();
    DATA.lend(&data);
    let does = |operation, number| run([operation, KEY, number], call);
    assert_eq!(does(PUT, 1), 0);
    let handled = steps::Handled::new();
    let mut seen = [0; 2];
    for at in 0.. {
        let mut stepped = false;
        let within = || note(&WRITTEN, run([PUT, KEY, 5], call) ^ u64::MAX);
        let outer = run([PUT, KEY, 3], || stepped = handled.call(gcc_patchable_myfun, at, within));
        let within = noted(&WRITTEN).first().map(|result| result ^ u64::MAX);
        assert_eq!((outer, within.is_some()), (0, stepped), "step {at}");
        assert!(within.is_none_or(|result| [0, BUSY].contains(&result)), "step {at}: {within:?}");
        // That of whoever came last, unless he was sent away.
        let value = does(GET, 0);
        assert!(value == 3 || value == 5 && within == Some(0), "step {at}: {value:x}");
        seen[usize::from(within == Some(BUSY))] += 1;
        if !stepped {
            break;
        }
    }
    assert!(seen.iter().all(|&count| count > 5), "{seen:?}");
    drop(handled);
    assert_eq!(does(DELETE, 0), 0);
    take_off(engine, id);
}

/// Two threads, of which each stops at one of its instructions: one comes so far, then the other, then the first one goes on to its end, and then the
/// other.
mod in_turns {
    use super::*;

    /// What the one asks for and the other has done: runs, and those that stand still or are over.
    pub static ASKED: AtomicU64 = AtomicU64::new(0);
    pub static STANDS: AtomicU64 = AtomicU64::new(0);
    pub static GOES_ON: AtomicU64 = AtomicU64::new(0);
    pub static OVER: AtomicU64 = AtomicU64::new(0);
    /// Where the other one stops, and whether it came so far.
    pub static AT: AtomicU64 = AtomicU64::new(0);
    pub static CAME: AtomicBool = AtomicBool::new(false);

    /// Nobody waits any more when one of them has ended.
    pub struct Ends;

    impl Drop for Ends {
        fn drop(&mut self) {
            [&ASKED, &STANDS, &GOES_ON, &OVER].iter().for_each(|number| number.store(u64::MAX / 2, SeqCst));
        }
    }

    pub fn wait_for(number: &AtomicU64, least: u64) {
        let mut asked = 0;
        while number.load(SeqCst) < least {
            asked += 1;
            if asked % 256 == 0 {
                // SAFETY: no preconditions, also in a handler.
                unsafe { libc::sched_yield() };
            }
            std::hint::spin_loop();
        }
    }

    /// In the handler of the first one.
    pub fn let_other_come() {
        let run = ASKED.fetch_add(1, SeqCst) + 1;
        wait_for(&STANDS, run);
    }

    /// In the handler of the other one.
    pub fn stand_still() {
        let run = STANDS.fetch_add(1, SeqCst) + 1;
        wait_for(&GOES_ON, run);
    }
}

/// Whoever looks for a key never finds the value of another one, wherever it and who changes the map meanwhile stand: a slot that was seen may
/// have lost its key, and the entry be on its way to the key that is looked for.
#[test]
fn a_key_has_no_value_of_another_one_wherever_two_threads_stand() {
    use in_turns::*;
    let (engine, _turn) = engine();
    let data = |name| part(name, MapKind::Array, [4, 32, 1]);
    // One entry: it goes from key to key.
    let maps = [part("held", MapKind::Hash, [8, 16, 1]), data(".bss"), data(".data")];
    let programs = ["1", "2"].map(|place| {
        let text = OPERATE.replace("DATA", place);
        Program::from_flat(place, &assemble(&text).unwrap(), Abi::Linux).unwrap()
    });
    let ids = engine.load_parts("turns", &maps, programs.into(), &LoadOptions::default()).unwrap();
    for (function, id) in [(MYFUN, ids[0]), (EMPTY, ids[1])] {
        engine.attach(function, id, AttachLimits::default()).unwrap();
    }
    let [held, ours, others] = ["held", ".bss", ".data"].map(|name| engine.map(&format!("turns.{name}")).unwrap());
    let tell = |data: &Map, operation, key| set(data, [operation, key, key, UNTOLD]);
    let answer = |data: &Map| words(data)[3] as i64;
    let ours_does = |operation, key| {
        tell(&ours, operation, key);
        call();
        answer(&ours)
    };
    let own = 7;
    // Finds counters for this thread.
    (0..3).for_each(|_| _ = ours_does(GET, own));
    assert_eq!(engine.list(Some(MYFUN)).unwrap()[0].probes[0].detour, None, "straight from the function");
    let handled = &steps::Handled::new();
    // The key that stands in the way of the one that is looked for: there it takes longest to see that it is not there.
    let steps_with = |key: u64| {
        assert_eq!(ours_does(PUT, key), 0);
        tell(&ours, GET, own);
        let steps = (0..).find(|&at| !handled.call(gcc_patchable_myfun, at, || {})).unwrap();
        assert_eq!(ours_does(DELETE, key), 0);
        (steps, key)
    };
    let (steps, other) = (100..116).map(steps_with).max().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ends = Ends;
            let does = |operation, key| {
                tell(&others, operation, key);
                // SAFETY: a C function without arguments.
                unsafe { gcc_patchable_empty() }
                answer(&others)
            };
            (0..3).for_each(|_| _ = does(GET, own));
            for run in 1.. {
                wait_for(&ASKED, run);
                if ASKED.load(SeqCst) > u64::MAX / 4 {
                    return;
                }
                assert_eq!(does(DELETE, other), 0);
                tell(&others, PUT, own);
                let came = handled.call(gcc_patchable_empty, AT.load(SeqCst), stand_still);
                CAME.store(came, SeqCst);
                if !came {
                    stand_still();
                }
                assert_eq!(answer(&others), 0);
                assert_eq!(does(DELETE, own), 0);
                OVER.store(run, SeqCst);
            }
        });
        let _ends = Ends;
        let mut runs = 0;
        let mut found = [0; 2];
        for at in 0..steps {
            // What matters takes more instructions than that.
            for others_at in (at % 8..).step_by(8) {
                assert_eq!(ours_does(PUT, other), 0);
                AT.store(others_at, SeqCst);
                tell(&ours, GET, own);
                assert!(handled.call(gcc_patchable_myfun, at, let_other_come));
                runs += 1;
                let result = answer(&ours);
                GOES_ON.store(runs, SeqCst);
                wait_for(&OVER, runs);
                let at = format!("at steps {at} and {others_at}");
                assert!(result == 0 || result == own as i64, "{result} {at}");
                assert_eq!(held.len(), 0, "{at}");
                found[usize::from(result != 0)] += 1;
                if !CAME.load(SeqCst) {
                    break;
                }
            }
        }
        assert!(found.iter().all(|&count| count > 100), "{found:?}");
    });
    [MYFUN, EMPTY].iter().for_each(|function| assert_eq!(engine.detach(function, None).unwrap(), 1));
    ids.into_iter().for_each(|id| engine.unload(id).unwrap());
}

/// Where a function loses its program while a thread is on its way there, and another function gets the gate, that thread runs no program of
/// that one: nobody has counted it yet.
#[test]
fn whoever_is_on_the_way_to_a_gate_runs_no_program_of_its_next_site() {
    /// Sites that have gates of their own, with those of the other tests here.
    const GATES: usize = 64;
    const OTHERS: usize = GATES - 3;
    fn name(n: usize) -> String {
        format!("many_{n}")
    }
    fn exchange(from: usize, to: usize) {
        static PROGRAM: AtomicU64 = AtomicU64::new(0);
        let engine = Runtime::get().unwrap();
        if PROGRAM.load(SeqCst) == 0 {
            let code = assemble("r0 = 0\nexit").unwrap();
            PROGRAM.store(engine.load("noop", &code, &LoadOptions::default()).unwrap().raw(), SeqCst);
        }
        if from != to {
            assert_eq!(engine.detach(&name(from), None).unwrap(), 1);
        }
        engine.attach(&name(to), ProgramId::from_raw(PROGRAM.load(SeqCst)), AttachLimits::default()).unwrap();
    }
    let (engine, _turn) = engine();
    let code = assemble("r0 = 0\nexit").unwrap();
    let id = engine.load("other", &code, &LoadOptions::default()).unwrap();
    let others = (0..OTHERS).map(name).chain([MYFUN, EMPTY].map(String::from));
    others.for_each(|function| _ = engine.attach(&function, id, AttachLimits::default()).unwrap());
    let (one, other) = (OTHERS, OTHERS + 1);
    exchange(one, one);
    let call = |n: usize| {
        // SAFETY: a table of C functions that take and give a number.
        unsafe { many[n]() }
    };
    let runs = |n: usize| {
        let probe = engine.list(Some(&name(n))).unwrap().remove(0).probes.remove(0);
        assert_eq!((probe.detour, probe.misses), (None, 0));
        probe.runs
    };
    (0..3).for_each(|_| call(one));
    assert!(runs(one) >= 2);
    let handled = steps::Handled::new();
    // At the entry, at the gate, and behind its first instruction; then it counts.
    for at in 0..3 {
        // SAFETY: as above.
        assert!(handled.call(unsafe { many[one] }, at, || exchange(OTHERS, OTHERS + 1)));
        assert_eq!(runs(other), 0, "at step {at}");
        (0..5).for_each(|_| call(other));
        assert_eq!(runs(other), 5);
        exchange(other, one);
        call(one);
        assert_eq!(runs(one), 1);
    }
    drop(handled);
    engine.reset().unwrap();
}

/// How many values wait in a queue or a stack, and which, is no more than there ever were, wherever others put in and take out.
#[test]
fn a_queue_is_not_said_to_be_full_where_others_take_from_it() {
    extern "C" fn look() {
        let mut seen = 0;
        RING.get().for_some(0, &mut |_, _| {
            seen += 1;
            true
        });
        note(&READ, 1 + seen);
        note(&WRITTEN, 1 + RING.get().len() as u64);
    }
    fn put() {
        RING.get().push(OUTER.to_ne_bytes()[..].into(), 0).unwrap();
    }
    fn take() {
        RING.get().pop(&mut BytesMut::from(&mut [0; 8][..])).unwrap();
    }
    let _turn = engine().1;
    for kind in [MapKind::Queue, MapKind::Stack] {
        let queue = Arc::new(Map::new(part("queue", kind, [0, 8, 8]).def).unwrap());
        RING.lend(&queue);
        let handled = steps::Handled::new();
        let mut at = 0;
        loop {
            put();
            let stepped = handled.call(look, at, || {
                put();
                take();
                take();
            });
            for said in [noted(&READ), noted(&WRITTEN)] {
                assert!((1..=3).contains(&said[0]), "{kind:?}: {} of 2 values, step {at}", said[0] - 1);
            }
            if !stepped {
                break;
            }
            // There are more instructions than that between two looks.
            at += 5;
        }
        assert!(at > 20);
    }
}
