//! Random programs with maps: machine code and interpreter give the same result, memory, maps and budget left.

#[path = "../../tests/engines/pages.rs"]
mod pages;

use super::{surroundings::Helpers, JitProgram, Options};
use crate::{
    helpers::{Needs, Registry},
    isa::{assemble, decode},
    maps::{LookupForm, Map, MapError, Maps},
    program::{Abi, InnerDef, MapDef, MapFlags, MapKind, MapName, Program},
    verifier::{self, planted, planted::Bug, Environment, Policy, VerifiedProgram, Work},
    vm::{
        soundness::{self, random_program_with_maps, text, Nobody, Numbers},
        Detour, Executable, Interpreter, Memory, Run, Stop, STACK_BYTES,
    },
};
use std::{format, string::String, sync::Arc, vec, vec::Vec};

/// What is left of a run.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    result: Result<u64, Stop>,
    budget: u64,
    argument: Vec<u64>,
    maps: Vec<u64>,
}

struct World {
    helpers: Registry,
    maps: Arc<Maps>,
    argument: Vec<u64>,
    stack: Vec<u64>,
}

fn bytes(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: plain memory of that length, borrowed exclusively.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

impl World {
    fn run(&mut self, code: &dyn Executable, argument: &[u64], budget: u64) -> Left {
        self.maps.iter().for_each(|map| map.reset());
        self.argument.copy_from_slice(argument);
        self.stack.fill(0);
        let memory = Memory::new(bytes(&mut self.argument), bytes(&mut self.stack)).with_maps(&self.maps);
        let region = memory.argument();
        let args = [region.base, region.len];
        let mut run = Run { args, memory, budget, helpers: &self.helpers, host: &Nobody };
        let result = code.run(&mut run);
        let budget = run.budget;
        drop(run);
        let mut maps = Vec::new();
        for window in self.maps.windows() {
            let words = (0..window.len / 8).map(|number| (window.base + 8 * number) as *const u64);
            // SAFETY: the values of a map, which nobody changes now.
            maps.extend(words.map(|word| unsafe { word.read() }));
        }
        for ring in self.maps.iter() {
            let mut record = [0; 4096];
            while let Some(len) = ring.read_record(&mut record) {
                maps.extend(record[..len].iter().map(|&byte| u64::from(byte)));
            }
            maps.push(ring.ring_number(0));
        }
        Left { result, budget, argument: self.argument.clone(), maps }
    }

    fn verify(&self, insns: &[crate::isa::Insn]) -> Option<VerifiedProgram> {
        let program =
            Program { name: "test".into(), insns: insns.into(), entry: 0, abi: Abi::Linux, probing: Vec::new() };
        let infos = self.maps.infos()?;
        let environment = Environment::new(&self.helpers).with_maps(&infos);
        verifier::verify(program, Policy::Guarded, &environment, &mut Work::default()).ok()
    }

    /// All engines on one program.
    fn agree(&mut self, insns: &[crate::isa::Insn], argument: &[u64], budget: u64) -> Result<bool, String> {
        let Some(verified) = self.verify(insns) else { return Ok(false) };
        let expected = self.run(&Interpreter::new(verified.clone()), argument, budget);
        let styles = [(false, false), (true, false), (false, true)];
        for (guard_all, metered) in styles {
            let options = Options { guard_all, metered, ..Options::default() };
            let maps = Some(self.maps.clone());
            let code = JitProgram::with_maps(verified.clone(), maps, &pages::Pages, options, &mut Work::default());
            let code = code.map_err(|(error, _)| format!("{error}"))?;
            let found = self.run(&code, argument, budget);
            if found != expected {
                return Err(format!("{options:?}: {found:x?}, not {expected:x?}\n{}", text(insns)));
            }
        }
        Ok(true)
    }
}

fn random_programs(programs: usize) -> Result<usize, String> {
    let helpers = Registry::with_builtins().unwrap();
    let maps = Arc::new(soundness::maps());
    let mut world = World { helpers, maps, argument: vec![0; 16], stack: vec![0; STACK_BYTES / 8] };
    let mut numbers = Numbers::Random(0x2545_f491_4f6c_dd1d);
    let mut admitted = 0;
    for _ in 0..programs {
        let insns = random_program_with_maps(&mut numbers);
        let argument: Vec<u64> = (0..16).map(|_| numbers.pick(&[0, 1, 2, 3, 8, 24, 0x80, u64::MAX])).collect();
        let budget = numbers.pick(&[100_000, 100_000, 300, 60]);
        admitted += usize::from(world.agree(&insns, &argument, budget)?);
    }
    Ok(admitted)
}

#[test]
fn programs_with_maps_are_the_same_on_all_engines() {
    let admitted = random_programs(1500).unwrap_or_else(|error| panic!("{error}"));
    assert!(admitted > 300, "{admitted} programs are admitted");
}

#[test]
fn a_check_that_leaves_out_the_size_is_found() {
    let found = planted::with(Bug::GuardSize, || random_programs(20_000));
    assert!(found.is_err());
}

/// Does to a hash map what its argument says: an operation, a key, flags, a value of three words; a value that is found is put there.
const OPERATES: &str = "
    r6 = r1
    r7 = *(u64 *)(r6 + 0)
    r2 = r6
    r2 += 8
    r1 = map_index(0) ll
    if r7 == 1 goto put
    if r7 == 2 goto delete
    call 1
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    *(u64 *)(r6 + 24) = r1
    r1 = *(u64 *)(r0 + 16)
    *(u64 *)(r6 + 40) = r1
    r0 = 1
    goto out
put:
    r3 = r6
    r3 += 24
    r4 = *(u64 *)(r6 + 16)
    call 2
    goto out
delete:
    call 3
out:
    exit";
const GET: u64 = 0;
const PUT: u64 = 1;
const DELETE: u64 = 2;

/// A hash map, and machine code that changes it.
struct Operated {
    helpers: Registry,
    maps: Arc<Maps>,
    code: JitProgram,
}

/// Machine code that is not metered.
fn compiled(text: &str, helpers: &Registry, maps: &Arc<Maps>) -> JitProgram {
    let insns = decode(&assemble(text).unwrap()).unwrap();
    let program = Program { name: "test".into(), insns, entry: 0, abi: Abi::Linux, probing: Vec::new() };
    let infos = maps.infos().unwrap();
    let environment = Environment::new(helpers).with_maps(&infos);
    let verified = verifier::verify(program, Policy::Guarded, &environment, &mut Work::default()).unwrap();
    let (options, work) = (Options::default(), &mut Work::default());
    let code = JitProgram::with_maps(verified, Some(maps.clone()), &pages::Pages, options, work);
    let Ok(code) = code else { panic!("not compiled") };
    assert!(!code.metered() && code.verified().accesses().1 == 0);
    code
}

impl Operated {
    fn new(kind: MapKind, key_size: u32, max_entries: u32) -> Operated {
        Operated::with_flags(kind, key_size, max_entries, MapFlags::empty())
    }

    fn with_flags(kind: MapKind, key_size: u32, max_entries: u32, flags: MapFlags) -> Operated {
        let name = MapName::new("test").unwrap();
        let def = MapDef { kind, key_size, value_size: 24, max_entries, flags, inner: None, name };
        let helpers = Registry::with_builtins().unwrap();
        let maps = Arc::new(Maps::new(vec![Arc::new(Map::new(def).unwrap())]).unwrap());
        assert!(matches!(maps.get(0).unwrap().lookup_form(), LookupForm::Hashed(_)));
        let code = compiled(OPERATES, &helpers, &maps);
        Operated { helpers, maps, code }
    }

    fn map(&self) -> &Map {
        self.maps.get(0).unwrap()
    }

    /// One run; what is in the value afterwards.
    fn run(&self, operation: u64, key: u64, flags: u64, value: u64) -> (i64, [u64; 2]) {
        let (mut stack, mut argument) = (vec![0; STACK_BYTES / 8], vec![0; 16]);
        argument[..6].copy_from_slice(&[operation, key, flags, value, value, !value]);
        let memory = Memory::new(bytes(&mut argument), bytes(&mut stack)).with_maps(&self.maps).in_lane(3);
        let region = memory.argument();
        let (args, helpers) = ([region.base, region.len], &self.helpers);
        let result = self.code.run(&mut Run { args, memory, budget: 100_000, helpers, host: &Nobody });
        (result.unwrap() as i64, [argument[3], argument[5]])
    }

    /// The entries, ascending.
    fn contents(&self) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let mut all = Vec::new();
        let mut next = Some(0);
        while let Some(at) = next {
            next = self.map().for_some(at, &mut |key, value| {
                let slots = value.iter().map(|slot| {
                    let mut bytes = vec![0; 24];
                    slot.copy_to(&mut bytes);
                    bytes
                });
                all.push((key.to_vec(), slots.collect()));
                true
            });
        }
        all.sort();
        all
    }
}

/// The same by the map itself.
fn by_hand(map: &Map, operation: u64, key: &[u8], flags: u64, value: u64) -> i64 {
    let code = |result: Result<(), MapError>| result.map_or_else(|error| error.code(), |()| 0);
    let bytes: Vec<u8> = [value, value, !value].into_iter().flat_map(u64::to_le_bytes).collect();
    match operation {
        GET => i64::from(map.lookup(key.into(), 3, &mut 0).is_some()),
        PUT => code(map.update_in(3, key.into(), bytes[..].into(), flags, &mut 0)),
        _ => code(map.delete(key.into(), &mut 0)),
    }
}

#[test]
fn hash_maps_are_changed_by_machine_code_as_by_themselves() {
    for (kind, key_size) in [(MapKind::Hash, 8), (MapKind::Hash, 4), (MapKind::PercpuHash, 8)] {
        for entries in [1, 3, 40] {
            let (ours, other) = (Operated::new(kind, key_size, entries), Operated::new(kind, key_size, entries));
            let mut numbers = Numbers::Random(0x9e37_79b9_7f4a_7c15);
            let keys: Vec<u64> = (0..u64::from(entries) * 2).map(|n| n << 29 | n << 12 | n << 61).collect();
            let mut answers = [0; 3];
            for turn in 0..20_000 {
                let (operation, key) = (numbers.pick(&[GET, PUT, PUT, DELETE]), numbers.pick(&keys));
                let (flags, value) = (numbers.pick(&[0, 0, 0, 1, 2]), numbers.pick(&[1, 2, 1 << 60]) + turn);
                let bytes = &key.to_le_bytes()[..key_size as usize];
                let had = other.map().lookup(bytes.into(), 3, &mut 0);
                // SAFETY: the address of a value of three words of a map that lives.
                let had = had.map(|at| unsafe { [(at as *const u64).read(), (at as *const u64).add(2).read()] });
                let expected = by_hand(other.map(), operation, bytes, flags, value);
                let (found, seen) = ours.run(operation, key, flags, value);
                assert_eq!(found, expected, "{kind:?} {operation} {key:x} {flags}");
                if operation == GET {
                    assert_eq!(seen, had.unwrap_or([value, !value]));
                }
                answers[usize::from(expected == 0) + usize::from(expected > 0) * 2] += 1;
                // Changes by both ways fit together.
                if turn % 7 == 0 {
                    let key = &numbers.pick(&keys).to_le_bytes()[..key_size as usize];
                    let change = |map| by_hand(map, numbers_of(turn), key, 0, turn);
                    assert_eq!(change(ours.map()), change(other.map()));
                }
                assert_eq!(ours.map().len(), other.map().len());
            }
            assert_eq!(ours.contents(), other.contents());
            // Who holds an old state of a slot finds that it is another one, also where the same entry has come back.
            assert!(other.map().taken_off() > 1000 && ours.map().taken_off() == other.map().taken_off());
            assert!(answers.iter().all(|&count| count > 100), "{answers:?}");
            let lost = |operated: &Operated| (operated.map().lost_full(), operated.map().lost_busy());
            assert_eq!(lost(&ours), lost(&other));
        }
    }
}

fn numbers_of(turn: u64) -> u64 {
    turn / 7 % 3
}

/// Whoever is no program fills it.
#[test]
fn machine_code_changes_no_hash_map_that_programs_only_read() {
    for kind in [MapKind::Hash, MapKind::PercpuHash] {
        let operated = Operated::with_flags(kind, 8, 4, MapFlags::RDONLY_PROG);
        assert_eq!(by_hand(operated.map(), PUT, &7u64.to_le_bytes(), 0, 5), 0);
        let (read_only, before) = (MapError::ReadOnly.code(), operated.contents());
        for (operation, key) in [(PUT, 7), (PUT, 8), (DELETE, 7), (DELETE, 8)] {
            assert_eq!(operated.run(operation, key, 0, 9).0, read_only, "{kind:?}: {operation} of {key}");
            assert_eq!(operated.contents(), before);
        }
        assert_eq!(operated.run(GET, 7, 0, 9), (1, [5, !5]));
    }
}

/// Somebody stands still in the middle of a change, as an interrupted hook does.
#[test]
fn machine_code_waits_for_no_interrupted_change_of_a_hash_map() {
    let operated = Operated::new(MapKind::Hash, 8, 4);
    let put = |key| operated.run(PUT, key, 0, key).0;
    let delete = |key| operated.run(DELETE, key, 0, 0).0;
    assert_eq!([0, 1, 2].map(put), [0; 3]);
    let first = 0u64.to_le_bytes();
    operated.map().interrupted(true, &[first[..].into()]);
    let busy = MapError::Busy.code();
    assert_eq!([put(0), put(1), put(7), delete(0), delete(2), delete(2)], [busy, 0, busy, busy, 0, -2]);
    assert_eq!((operated.run(GET, 0, 0, 9), operated.run(GET, 7, 0, 9).0), ((1, [0, !0]), 0));
    assert_eq!(operated.map().len(), 2);
    operated.map().after_fork();
    // The entry that was given back meanwhile is used again.
    assert_eq!([put(0), put(7), put(8), put(9)], [0, 0, 0, MapError::Full { capacity: 4 }.code()]);
    assert_eq!((operated.map().len(), operated.contents().len()), (4, 4));
}

#[test]
fn machine_code_changes_a_hash_map_in_several_threads() {
    const EACH: u64 = 30;
    let operated = &Operated::new(MapKind::Hash, 8, 64);
    let busy = MapError::Busy.code();
    let at_last = |operation, key| loop {
        match operated.run(operation, key, 0, key) {
            (code, _) if code == busy => std::thread::yield_now(),
            (code, _) => return code,
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            scope.spawn(move || {
                let mut numbers = Numbers::Random(0xd1b5_4a32_d192_ed03 + thread);
                let mut has = [false; EACH as usize];
                for _ in 0..30_000 {
                    let key = numbers.pick(&(0..EACH).collect::<Vec<_>>());
                    let (own, whole) = (&mut has[key as usize], thread << 40 | key);
                    assert_eq!(
                        operated.run(GET, whole, 0, 5),
                        (i64::from(*own), if *own { [whole, !whole] } else { [5, !5] })
                    );
                    *own = !*own;
                    assert_eq!(at_last(if *own { PUT } else { DELETE }, whole), 0);
                }
                (0..EACH).for_each(|key| _ = at_last(DELETE, thread << 40 | key));
            });
        }
    });
    assert_eq!((operated.map().len(), operated.contents().len()), (0, 0));
    // No entry is lost.
    assert!((0..64).all(|key| operated.run(PUT, key, 0, 0).0 == 0));
    assert_eq!(operated.run(PUT, 64, 0, 0).0, MapError::Full { capacity: 64 }.code());
}

/// Reserves a record, of a length that its argument chooses, fills it with what that says, and submits it or does not.
const RESERVES: &str = "
    r6 = r1
    r7 = *(u64 *)(r6 + 0)
    r1 = map_index(0) ll
    r3 = *(u64 *)(r6 + 16)
    if r7 == 1 goto longer
    r2 = 12
    call 131
    if r0 == 0 goto out
    r1 = *(u64 *)(r6 + 8)
    *(u64 *)(r0 + 0) = r1
    r1 = r0
    r0 = 12
    goto release
longer:
    r2 = 48
    call 131
    if r0 == 0 goto out
    r1 = *(u64 *)(r6 + 8)
    *(u64 *)(r0 + 0) = r1
    *(u64 *)(r0 + 40) = r1
    r1 = r0
release:
    r2 = 0
    r7 = *(u64 *)(r6 + 24)
    if r7 == 1 goto discard
    call 132
    r0 = 1
    goto out
discard:
    call 133
    r0 = 2
out:
    exit";

/// A ring, and machine code that writes to it.
struct Written {
    helpers: &'static Registry,
    maps: Arc<Maps>,
    code: JitProgram,
}

impl Written {
    fn new(bytes: u32) -> Written {
        Written::by(bytes, RESERVES)
    }

    fn by(bytes: u32, text: &str) -> Written {
        let name = MapName::new("test").unwrap();
        let (kind, flags) = (MapKind::Ringbuf, MapFlags::empty());
        let def = MapDef { kind, key_size: 0, value_size: 0, max_entries: bytes, flags, inner: None, name };
        let helpers: &Registry = std::boxed::Box::leak(std::boxed::Box::new(Registry::with_builtins().unwrap()));
        let maps = Arc::new(Maps::new(vec![Arc::new(Map::new(def).unwrap())]).unwrap());
        let code = compiled(text, helpers, &maps);
        Written { helpers, maps, code }
    }

    fn map(&self) -> &Map {
        self.maps.get(0).unwrap()
    }

    fn run(&self, argument: [u64; 4]) -> u64 {
        let (mut stack, mut words) = (vec![0; STACK_BYTES / 8], vec![0; 16]);
        words[..4].copy_from_slice(&argument);
        let memory = Memory::new(bytes(&mut words), bytes(&mut stack)).with_maps(&self.maps);
        let region = memory.argument();
        let (args, helpers) = ([region.base, region.len], self.helpers);
        let result = self.code.run(&mut Run { args, memory, budget: 100_000, helpers, host: &Nobody });
        result.unwrap()
    }

    /// As a trampoline calls it.
    fn run_directly(&self, mut argument: [u64; 4]) -> u64 {
        let direct = self.code.direct().unwrap();
        assert_eq!((direct.needs, direct.stack), (Needs::RECORDS, 0));
        let around = (Abi::Linux, Some(self.maps.clone()));
        let helpers = Helpers::new(&direct, around, self.helpers, &Nobody, 0).unwrap();
        let result;
        // SAFETY: the code is that of a verified program, which reads so much of its argument, and changes registers that are said to be.
        unsafe {
            core::arch::asm!(
                "push rbx",
                "push rbp",
                "call r10",
                "pop rbp",
                "pop rbx",
                inout("r10") direct.code.get() => _,
                inout("r9") helpers.block() => _,
                inout("rdi") argument.as_mut_ptr() => _,
                out("rax") result,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
                clobber_abi("C"),
            );
        }
        result
    }

    fn read(&self) -> Option<Vec<u8>> {
        let mut out = [0; 64];
        let len = self.map().read_record(&mut out)?;
        Some(out[..len.min(64)].to_vec())
    }
}

#[test]
fn records_are_reserved_directly_as_by_helpers() {
    for bytes in [4096, 8192] {
        let (ours, other) = (Written::new(bytes), Written::new(bytes));
        let mut numbers = Numbers::Random(0x2545_f491_4f6c_dd1d);
        let mut seen = [0; 3];
        for turn in 0..30_000 {
            let argument = [numbers.pick(&[0, 0, 1]), turn, numbers.pick(&[0, 0, 0, 0, 9]), numbers.pick(&[0, 0, 1])];
            let result = other.run(argument);
            assert_eq!(ours.run_directly(argument), result, "{argument:?}");
            seen[result as usize] += 1;
            // Records of both ways stand behind each other.
            if turn % 5 == 0 {
                assert_eq!(ours.run(argument), other.run_directly(argument));
            }
            // It becomes full now and then, and empty.
            for _ in 0..numbers.pick(if turn % 2000 < 1000 { &[0, 0, 0, 1] } else { &[1, 4, 4, 4] }) {
                assert_eq!(ours.read(), other.read());
            }
            let told = |written: &Written| [0, 2, 3].map(|what| written.map().ring_number(what));
            assert_eq!(told(&ours), told(&other));
            assert_eq!(ours.map().lost_full(), other.map().lost_full());
        }
        assert!(seen.iter().all(|&count| count > 1000) && ours.map().lost_full() > 100, "{seen:?}");
    }
}

/// Of every length at every place of the ring, whether it fits or not, or never.
#[test]
fn records_of_every_length_are_reserved_directly_as_by_helpers() {
    let any = "
        r1 = *(u64 *)(r1 + 0)
        r2 = r1
        r1 = map_index(0) ll
        r3 = 0
        call 131
        if r0 == 0 goto out
        r1 = r0
        r2 = 0
        call 132
        r0 = 1
    out:
        exit";
    for bytes in [4096, 8192] {
        let (ours, other) = (Written::by(bytes, any), Written::by(bytes, any));
        let near = |length: u64| (length - 17)..=length + 9;
        let whole = u64::from(bytes);
        let lengths =
            (0..=17).chain(near(whole / 2)).chain(near(whole)).chain(near(1 << 32)).chain(u64::MAX - 17..=u64::MAX);
        let mut seen = [0; 2];
        for length in lengths {
            // Where it begins, and what is before it still.
            for (before, waits) in [(8, false), (8, true), (1500, false), (1500, true), (whole - 16, false)] {
                for length in [before, length] {
                    let result = other.run([length, 0, 0, 0]);
                    assert_eq!(ours.run_directly([length, 0, 0, 0]), result, "{length} of {bytes} behind {before}");
                    seen[result as usize] += 1;
                    if !waits {
                        assert_eq!(ours.read(), other.read(), "{length}");
                    }
                }
                loop {
                    let record = other.read();
                    assert_eq!(ours.read(), record);
                    if record.is_none() {
                        break;
                    }
                }
                let told = |written: &Written| [0, 2, 3].map(|what| written.map().ring_number(what));
                assert_eq!((told(&ours), ours.map().lost_full()), (told(&other), other.map().lost_full()), "{length}");
            }
        }
        assert!(seen.iter().all(|&count| count > 100) && ours.map().lost_full() > 10, "{seen:?}");
    }
}

/// Whoever reads waits for a record that is reserved, whatever its first word says of its length.
#[test]
fn a_record_that_may_be_kept_is_not_reserved_directly() {
    let leaves = "
        r1 = map_index(0) ll
        r2 = 8
        r3 = 0
        call 131
        if r0 == 0 goto out
        r1 = *(u64 *)(r0 + 0)
        if r1 == 7 goto out
        r1 = r0
        r2 = 0
        call 132
    out:
        r0 = 0
        exit";
    let written = Written::new(4096);
    let code = compiled(leaves, written.helpers, &written.maps);
    assert!(code.direct() == Err(Detour::Record) && written.code.direct().is_ok());
}

/// What a helper finds in a map of maps is the run's until the helper is over: a value there must not be accessed behind it.
#[test]
fn what_maps_of_maps_hold_is_not_used_directly() {
    let name = MapName::new("test").unwrap();
    let inner = MapDef {
        kind: MapKind::Array,
        key_size: 4,
        value_size: 8,
        max_entries: 2,
        flags: MapFlags::empty(),
        inner: None,
        name,
    };
    let outer = MapDef { kind: MapKind::ArrayOfMaps, value_size: 4, inner: Some(InnerDef::of(&inner)), ..inner };
    let list = [outer, outer, inner].map(|def| Arc::new(Map::new(def).unwrap()));
    let maps = Arc::new(Maps::new(list.into()).unwrap());
    let helpers = Registry::with_builtins().unwrap();
    // Looks into one of two maps, and into what it finds there.
    let looks = |one: u8, other: u8, again: &str| {
        format!(
            "
        r6 = *(u64 *)(r1 + 0)
        call 14
        *(u64 *)(r10 - 8) = 0
        r2 = r10
        r2 += -8
        r1 = map_index({one}) ll
        if r6 == 0 goto look
        r1 = map_index({other}) ll
    look:
        call 1
        if r0 == 0 goto out
        {again}
        r0 = *(u64 *)(r0 + 0)
    out:
        exit"
        )
    };
    let again = "
        r1 = r0
        r2 = r10
        r2 += -8
        call 1
        if r0 == 0 goto out";
    let direct = |text: &str| compiled(text, &helpers, &maps).direct().map(|_| ());
    for (one, other) in [(0, 0), (0, 1), (1, 1)] {
        assert_eq!(direct(&looks(one, other, again)), Err(Detour::Helper(Abi::Linux, 1)), "{one} {other}");
    }
    assert_eq!(direct(&looks(2, 2, "")), Ok(()));
}
