//! Memory runs out anywhere in a command of the shell: the command fails with a message, what is attached goes on, and with
//! memory again the same command succeeds.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard},
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::{
    isa::assemble,
    object::{self, Data, MapContent, MapEntry, Object, ObjectMap, ProgramDef, ProgramKind, Variable, Wish},
    platform::{has_room, Console, DirEntry, FileError, Files, Platform, SMALL_THINGS},
    program::{Abi, PointKind},
    runtime::{AttachLimits, Config, Error, LoadOptions, Runtime, Symbol, SymbolTable},
    tracer::SiteKind,
};
use ushell_rs::Shell;

extern "C" {
    fn gcc_patchable_myfun();
}

/// Lets each thread have only so much more memory than it has.
struct Limited;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX / 2) };
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

fn take(bytes: usize) -> bool {
    let left = LEFT.get().checked_sub(bytes as u64);
    match left {
        Some(left) => LEFT.set(left),
        None => REFUSED.set(true),
    }
    left.is_some()
}

// SAFETY: what is not refused is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LEFT.set(LEFT.get() + layout.size() as u64);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Files in memory.
struct Kept(Mutex<BTreeMap<String, Vec<u8>>>);

static FILES: Kept = Kept(Mutex::new(BTreeMap::new()));

impl Files for Kept {
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        let files = self.0.lock().unwrap();
        let contents = files.get(path).ok_or(FileError::NotFound)?;
        if contents.len() > limit {
            return Err(FileError::TooLarge { limit });
        }
        copy(contents)
    }

    fn list(&self, _: &str) -> Result<Vec<DirEntry>, FileError> {
        let files = self.0.lock().unwrap();
        let mut entries = Vec::new();
        let room = entries.try_reserve_exact(files.len()).is_ok();
        if !room || !has_room(files.len() * 64 + SMALL_THINGS) {
            return Err(FileError::NoMemory);
        }
        entries.extend(files.iter().map(|(name, contents)| DirEntry {
            name: name.clone(),
            size: contents.len() as u64,
            is_dir: false,
        }));
        Ok(entries)
    }

    fn write(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        let contents = copy(contents)?;
        self.0.lock().unwrap().insert(path.into(), contents);
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        let removed = self.0.lock().unwrap().remove(path);
        removed.map(drop).ok_or(FileError::NotFound)
    }
}

fn copy(contents: &[u8]) -> Result<Vec<u8>, FileError> {
    let mut copy = Vec::new();
    let room = copy.try_reserve_exact(contents.len());
    room.map_err(|_| FileError::NoMemory)?;
    copy.extend_from_slice(contents);
    Ok(copy)
}

struct Nowhere;

impl Console for Nowhere {
    fn write(&self, _: &[u8]) {}
}

const FUNCTION: &str = "gcc_patchable_myfun";

/// Memory to be looked at.
static TEXT: [u8; 8192] = [b'x'; 8192];

/// The engine of this process with nothing attached. Tests take turns.
fn engine() -> (&'static Runtime, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static ENGINE: LazyLock<&'static Runtime> = LazyLock::new(start);
    let turn = TURN.lock().unwrap_or_else(|error| error.into_inner());
    ENGINE.reset().unwrap();
    (*ENGINE, turn)
}

/// Does something with so much memory; gives its result, and how much is left of it.
fn with_memory<T>(bytes: u64, job: impl FnOnce() -> T) -> (T, u64) {
    LEFT.set(bytes);
    let result = job();
    let left = LEFT.get();
    LEFT.set(u64::MAX / 2);
    (result, left)
}

fn myfun(times: u64) {
    // SAFETY: a C function without arguments that changes a counter of its own.
    (0..times).for_each(|_| unsafe { gcc_patchable_myfun() });
}

/// A package with a map, one that holds it, data, and two programs; one of them for the function.
fn package() -> Vec<u8> {
    let counts = "r1 = 1\nr2 = map_index_value(2) ll\nlock *(u64 *)(r2 + 0) += r1\n*(u32 *)(r10 - 4) = 1\n\
                  r2 = r10\nr2 += -4\nr1 = map_index(0) ll\ncall 1\nr0 = 0\nexit";
    let (counts, two) = (assemble(counts).unwrap(), assemble("r0 = 2\nexit").unwrap());
    let program = |name, target, code| ProgramDef {
        name,
        section: "kprobe",
        kind: ProgramKind::Registers,
        attach: Some(PointKind::Entry),
        target,
        offset: 0,
        code,
    };
    let (kind, key_size, value_size, max_entries) = (1, 4, 8, 16);
    let (flags, shared, inner) = (0, false, None);
    let seen = ObjectMap { name: "seen", kind, key_size, value_size, max_entries, flags, shared, inner };
    let object = Object {
        name: "counter",
        abi: Abi::Linux,
        wish: Wish::None,
        image: [0; 32],
        source: [1; 32],
        licence: "",
        maps: vec![seen, ObjectMap { name: "holder", kind: 12, value_size: 4, inner: Some(0), ..seen }],
        entries: vec![MapEntry { map: 1, key: 2, value: MapContent::Map(0) }],
        data: vec![Data { name: ".bss", read_only: false, size: 8, bytes: &[] }],
        variables: vec![Variable { name: "total", data: 0, offset: 0, size: 8, signed: false }],
        programs: vec![program("counts", FUNCTION, &counts), program("two", "", &two)],
        slots: vec![],
        functions: vec![],
        types: &[7; 1000],
    };
    object::write(&object).unwrap()
}

/// Sources of `tests/objects` that need all parts of what packs objects: maps that hold maps and programs, packets, calls through pointers and by
/// helpers, types that an image does not have, names of the image, settings, numbers that are set.
const OBJECTS: [&str; 7] = ["held", "packets", "pointers", "callbacks", "core", "externs", "globals"];

/// The object that clang makes of such a source, where that is there.
fn object(source: &str) -> Option<Vec<u8>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let object = std::env::temp_dir().join(format!("ubpf-{source}-{}.o", std::process::id()));
    let mut clang = std::process::Command::new("clang");
    clang.args(["-target", "bpf", "-O2", "-g", "-mcpu=v3", "-c", "-I"]).arg(root.join("include"));
    clang.arg(root.join(format!("tests/objects/{source}.c"))).arg("-o").arg(&object);
    assert!(clang.status().ok()?.success());
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(object).unwrap();
    Some(bytes)
}

fn start() -> &'static Runtime {
    let count = "r6 = *(u64 *)(r1 + 0)\nr1 = r6\nr2 = 1\ncall 0\nr3 = r0\nif r3 != -1 goto +1\nr3 = 0\nr3 += 1\n\
                 r1 = r6\nr2 = 1\ncall 1\nr0 = 0\nexit";
    for (name, source) in [
        ("count.bin", count),
        ("seven.bin", "r0 = 7\nexit"),
        ("notify.bin", "r1 = *(u64 *)(r1 + 0)\ncall 3\nr0 = 0\nexit"),
        ("unset.bin", "r0 = r3\nexit"),
        ("oob.bin", "r1 = 0\nr0 = *(u32 *)(r1 + 0)\nexit"),
        ("large.bin", &("r0 = 1\n".repeat(3000) + "exit")),
    ] {
        FILES.write(name, &assemble(source).unwrap()).unwrap();
    }
    FILES.write("counter.pkg", &package()).unwrap();
    for (source, object) in OBJECTS.iter().filter_map(|source| Some((source, object(source)?))) {
        FILES.write(&format!("{source}.o"), &object).unwrap();
    }
    let platform = Platform { console: &Nowhere, files: &FILES, ..platform(".".into()) };
    let engine = Runtime::init(platform, Config::default()).unwrap();
    engine.pack_objects_with(ubpf_pack::pack_for_engine);
    let own = symbols::own().unwrap();
    let mut nm = String::new();
    for symbol in own.iter().filter(|s| s.name.starts_with("gcc_patchable_")) {
        nm += &format!("{:016x} T {}\n", symbol.address, symbol.name);
    }
    FILES.write("symbols", nm.as_bytes()).unwrap();
    let named = own.iter().filter(|s| s.name.starts_with("gcc_patchable_"));
    let table = SymbolTable::new(named.map(Symbol::from));
    engine.add_symbols(table.unwrap());
    engine.add_sites(&records::own().patchable, SiteKind::Patchable);
    engine
}

fn say(shell: &mut Shell, line: &str) -> String {
    let mut said = Vec::with_capacity(64 * 1024);
    let mut input = line.as_bytes();
    let mut output = [0; 4096];
    loop {
        let taken = shell.feed(input);
        input = &input[taken..];
        let count = shell.drain(&mut output);
        said.extend_from_slice(&output[..count]);
        if count == 0 && input.is_empty() {
            return String::from_utf8(said).unwrap();
        }
    }
}

/// Each command, and one that takes back what it did.
fn commands() -> impl Iterator<Item = (String, String)> {
    let commands = [
        (format!("bpf_attach {FUNCTION} notify.bin"), format!("bpf_detach {FUNCTION} notify.bin")),
        (format!("bpf_attach {FUNCTION} unset.bin"), format!("bpf_detach {FUNCTION} unset.bin")),
        ("bpf_exec seven.bin".into(), String::new()),
        ("bpf_exec oob.bin".into(), String::new()),
        ("bpf_exec large.bin".into(), String::new()),
        ("bpf_exec missing.bin".into(), String::new()),
        ("bpf_list".into(), String::new()),
        (format!("bpf_list {FUNCTION}"), String::new()),
        ("bpf_map_put 1 2 3".into(), "bpf_map_del 1 2".into()),
        ("bpf_get_addr gcc_patchable_myfun".into(), String::new()),
        ("load symbols".into(), String::new()),
        ("ls".into(), String::new()),
        ("cat symbols".into(), String::new()),
        ("help".into(), String::new()),
        ("status".into(), String::new()),
        ("nonsense".into(), String::new()),
        ("functions".into(), String::new()),
        ("complete \"bpf_attach gcc_\"".into(), String::new()),
        ("put new.bin 3 0x352441c2\nabc".into(), "rm new.bin".into()),
        (format!("bpf_get_ret_addr {FUNCTION}"), String::new()),
        (format!("bpf_probe_read {:#x} 8192", TEXT.as_ptr().addr()), String::new()),
        ("bpf_attach gcc_patchable_myfum count.bin".into(), String::new()),
        (format!("bpf_detach {FUNCTION} notify.bin"), String::new()),
        ("bpf_detach gcc_patchable_myfu*".into(), format!("bpf_attach {FUNCTION} count.bin")),
        ("rm missing".into(), String::new()),
        ("help bpf_attach".into(), String::new()),
        ("bpf_exec \"unfinished".into(), String::new()),
        ("prog load counter.pkg total=5".into(), "prog unload counter".into()),
        ("prog attach counter.pkg".into(), format!("bpf_detach {FUNCTION} counter.pkg:counts")),
        (format!("bpf_attach {FUNCTION} counter.pkg -p two"), format!("bpf_detach {FUNCTION} counter.pkg:two")),
        ("bpf_exec counter.pkg -p two".into(), String::new()),
        ("bpf_exec counter.pkg".into(), String::new()),
        ("prog load counter.pkg totals=5".into(), String::new()),
        ("prog load symbols".into(), String::new()),
        ("prog replace count.bin seven.bin".into(), "prog replace seven.bin count.bin".into()),
        ("prog replace none.bin seven.bin".into(), String::new()),
        ("prog list".into(), String::new()),
        ("map list".into(), String::new()),
        ("map update kept.map 1 2".into(), String::new()),
    ];
    let objects = OBJECTS.map(|source| (format!("prog load {source}.o"), format!("prog unload {source}")));
    commands.into_iter().chain(objects)
}

/// Gives a command ever more memory, until it has enough: with less it says so, or what it says with enough.
fn until_it_has_enough(shell: &mut Shell, command: &str, undo: &str) {
    let line = format!("{command}\n");
    let usual = say(shell, &line);
    say(shell, &format!("{undo}\n"));
    let mut limit = 0;
    loop {
        REFUSED.set(false);
        // The transcript's own memory is not the shell's.
        LEFT.set(limit + 64 * 1024);
        let said = say(shell, &line);
        LEFT.set(u64::MAX / 2);
        let enough = !REFUSED.get();
        // SAFETY: a C function without arguments.
        unsafe { gcc_patchable_myfun() };
        if said != usual {
            let expected = !enough && said.contains("out of memory");
            assert!(expected || command == "status", "{command} with {limit} bytes: {said}");
        }
        say(shell, &format!("{undo}\n"));
        if enough {
            break;
        }
        limit += 509;
    }
    println!("{command}: {limit}");
}

#[test]
fn a_command_without_memory_fails_and_nothing_else_does() {
    let (engine, _turn) = engine();
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    shell.connected();
    say(&mut shell, &format!("bpf_attach {FUNCTION} count.bin\n"));
    for (command, undo) in commands() {
        until_it_has_enough(&mut shell, &command, &undo);
    }
    let listed = say(&mut shell, &format!("bpf_list {FUNCTION}\n"));
    assert!(listed.contains(" - count.bin\n"), "{listed}");
}

/// A program for many functions comes to all of them or to none, wherever memory ends, and what was there before goes on.
#[test]
fn a_program_for_many_functions_comes_to_all_or_none_without_memory() {
    let (engine, _turn) = engine();
    let (options, limits) = (LoadOptions::default(), AttachLimits::default());
    engine.attach_file(FUNCTION, "count.bin", &options, limits).unwrap();
    let id = engine.load_file("seven.bin", &options).unwrap();
    let names: Vec<String> = ["myfun", "empty", "doubles", "leaf", "variadic", "on_stack", "ipa_ra"]
        .map(|name| format!("gcc_patchable_{name}"))
        .into();
    let functions: Vec<&str> = names.iter().map(String::as_str).collect();
    let ids = all_or_none(engine, 61, || {
        let mut refused = None;
        let done = engine.attach_all(&functions, id, limits, &mut |_, error| refused = Some(error));
        assert!(refused.is_none(), "{refused:?}");
        done
    });
    assert_eq!(ids.len(), functions.len());
}

/// A map takes another one in or does not, wherever memory ends, and what it held before stays.
#[test]
fn a_map_holds_another_one_or_the_one_before_without_memory() {
    let (engine, _turn) = engine();
    engine.load_object("counter.pkg", &LoadOptions::default(), &[]).unwrap();
    let (holder, seen) = ("counter.holder", "counter.seen");
    let held = |key: u8| engine.held_name(&engine.map(holder).unwrap(), &[key, 0, 0, 0]);
    for key in [1, 2] {
        let mut memory = 0;
        loop {
            let before = held(key);
            let (done, _) = with_memory(memory, || engine.hold(holder, &[key, 0, 0, 0], seen));
            match done {
                Ok(()) => break,
                Err(error) => assert!(error.to_string().contains("out of memory"), "{error}"),
            }
            assert_eq!(held(key), before);
            memory += 61;
        }
        assert!(memory > 0);
        assert_eq!(held(key).as_deref(), Some(seen));
    }
    let map = engine.map(seen).unwrap();
    assert!(engine.unload_object("counter"));
    assert_eq!(std::sync::Arc::strong_count(&map), 1, "nothing holds it any more");
}

/// An object takes the place of another one or does not, wherever memory ends; the one that is there goes on with its maps.
#[test]
fn an_object_is_replaced_or_stays_without_memory() {
    let (engine, _turn) = engine();
    let options = LoadOptions::default();
    engine.load_object("counter.pkg", &options, &[]).unwrap();
    engine.attach_object("counter", &options, AttachLimits::default()).unwrap();
    let counted = || {
        let map = engine.map("counter..bss").unwrap();
        map.value(0u32.to_le_bytes()[..].into()).unwrap().first().word(0)
    };
    let (mut memory, mut calls) = (0, 0);
    loop {
        let (done, _) = with_memory(memory, || engine.replace("counter", "counter.pkg", &options, &[]));
        myfun(1);
        calls += 1;
        assert_eq!(counted(), calls, "{memory}");
        match done {
            Ok(report) => break assert_eq!(report.count, 1),
            Err(error) => assert!(matches!(error, Error::NoMemory), "{memory}: {error}"),
        }
        memory += 251;
    }
    assert!(calls > 20, "{calls}");
    engine.detach(FUNCTION, None).unwrap();
    assert!(engine.unload_object("counter"));
    assert!(engine.map("counter.seen").is_none() && engine.map("counter..bss").is_none());
}

/// The same for those that a pattern fits, with the names in the report.
#[test]
fn a_program_for_a_pattern_comes_to_all_or_none_without_memory() {
    let (engine, _turn) = engine();
    let (options, limits) = (LoadOptions::default(), AttachLimits::default());
    engine.attach_file(FUNCTION, "count.bin", &options, limits).unwrap();
    let report = all_or_none(engine, 251, || engine.attach_file("gcc_patchable_*", "seven.bin", &options, limits));
    assert!(report.attached.len() > 7, "{report:?}");
    for one in report.attached {
        assert!(one.program == "seven.bin" && one.function.starts_with("gcc_patchable_"), "{one:?}");
    }
}

/// Attaches with ever more memory, in steps of so many bytes, until there is enough.
fn all_or_none<T>(engine: &Runtime, step: u64, attach: impl Fn() -> Result<T, Error>) -> T {
    let (mut limit, mut failed, mut calls) = (0, 0, 0);
    let done = loop {
        let (done, _) = with_memory(limit, &attach);
        myfun(1);
        calls += 1;
        let error = match done {
            Ok(done) => break done,
            Err(error) => error,
        };
        assert!(matches!(error, Error::NoMemory), "{limit}: {error}");
        let reports = engine.list(None).unwrap();
        let [only] = &reports[..] else { panic!("{limit}: {reports:?}") };
        assert_eq!((only.probes.len(), only.probes[0].runs), (1, calls), "{limit}");
        (limit, failed) = (limit + step, failed + 1);
    };
    assert!(failed > 100, "{failed}");
    let runs: Vec<u64> = engine.list(Some(FUNCTION)).unwrap()[0].probes.iter().map(|probe| probe.runs).collect();
    assert_eq!(runs, [calls, 1]);
    done
}

#[test]
fn programs_at_their_limit_end_without_memory_and_go_with_it() {
    let (engine, _turn) = engine();
    let attach = |file: &str, max_runs, max_ns| {
        let limits = AttachLimits { max_runs, max_ns, ..AttachLimits::default() };
        engine.attach_file(FUNCTION, file, &LoadOptions::default(), limits).unwrap();
    };
    attach("count.bin", None, None);
    attach("notify.bin", Some(3), None);
    attach("seven.bin", None, Some(1));
    let (gone, _) = with_memory(0, || {
        myfun(5);
        engine.poll()
    });
    assert_eq!(gone, 0, "the list of those that stay needs memory");
    let runs = || {
        let probes = engine.list(Some(FUNCTION)).unwrap().remove(0).probes;
        let runs = probes.into_iter().map(|probe| (probe.program, probe.runs));
        runs.collect::<Vec<_>>()
    };
    with_memory(0, || myfun(2));
    assert_eq!(engine.poll(), 2);
    assert_eq!(runs(), [("count.bin".to_owned(), 7)]);
    // The last one of a function goes without memory.
    engine.detach(FUNCTION, None).unwrap();
    attach("notify.bin", Some(3), None);
    let (gone, _) = with_memory(0, || {
        myfun(3);
        engine.poll()
    });
    assert_eq!((gone, runs()), (1, vec![]));
}

#[test]
fn what_has_taken_the_memory_can_be_taken_away_again() {
    let (engine, _turn) = engine();
    let noop = assemble("r0 = 0\nexit").unwrap();
    let attach = |n: u64| {
        let id = engine.load(&format!("p{n}"), &noop, &LoadOptions::default())?;
        let probe = engine.attach(FUNCTION, id, AttachLimits::default());
        engine.unload(id).unwrap();
        probe
    };
    let detach = |n| engine.detach(FUNCTION, Some(&format!("p{n}")));
    // What is made once and kept: lists that have grown.
    (0..600).try_for_each(|n| attach(n).map(|_| ())).unwrap();
    engine.detach(FUNCTION, None).unwrap();
    for limit in (64 << 10..160 << 10).step_by(4093) {
        let (count, left) = with_memory(limit, || (0..).find(|&n| attach(n).is_err()).unwrap());
        assert!((1..600).contains(&count), "{count}");
        let (result, _) = with_memory(left, || (0..count).try_for_each(|n| detach(n).map(drop)));
        result.unwrap_or_else(|error| panic!("{count} in {limit} bytes: {error}"));
    }
    let large = "x".repeat(5000);
    let crc = ushell_rs::crc32::crc32(large.as_bytes());
    let puts: Vec<_> = (0..100).map(|n| format!("put p{n} 5000 {crc}\n{large}")).collect();
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    say(&mut shell, "\n");
    for limit in (64 << 10..160 << 10).step_by(4093) {
        // The transcript's own memory is not the shell's.
        let limit = limit + (64 << 10);
        let full = |put: &String| !say(&mut shell, put).contains("bytes written");
        let (count, left) = with_memory(limit, || puts.iter().position(full).unwrap());
        assert!((1..40).contains(&count), "{count}");
        for n in 0..count {
            let (said, _) = with_memory(left, || say(&mut shell, &format!("rm p{n}\n")));
            assert_eq!(said, "> ", "rm {n} of {count} in {limit} bytes");
        }
    }
}

/// Lists of many programs and files, with memory of every size.
#[test]
fn long_lists_are_whole_or_out_of_memory() {
    let (engine, _turn) = engine();
    let noop = assemble("r0 = 0\nexit").unwrap();
    let id = |n| engine.load(&format!("program{n}"), &noop, &LoadOptions::default());
    for n in 0..300 {
        let limits = AttachLimits::default();
        engine.attach(FUNCTION, id(n).unwrap(), limits).unwrap();
    }
    for n in 0..300 {
        FILES.write(&format!("many/{n}"), b"").unwrap();
    }
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    say(&mut shell, "\n");
    for line in ["bpf_list -v\n", "ls -l\n", "complete \"cat \"\n", "cat symbols\n"] {
        let usual = say(&mut shell, line);
        assert!(usual.len() > 300, "{line}{usual}");
        for limit in (0..).step_by(1021) {
            REFUSED.set(false);
            let (said, _) = with_memory(limit + (64 << 10), || say(&mut shell, line));
            if !REFUSED.get() {
                assert!(said == usual, "{line} with {limit} bytes");
                break;
            }
            // Completion shows what it finds.
            let refused = said.ends_with("out of memory\n> ") || said == "> ";
            assert!(said == usual || refused, "{line} with {limit} bytes");
        }
    }
    FILES.0.lock().unwrap().retain(|name, _| !name.starts_with("many/"));
}
