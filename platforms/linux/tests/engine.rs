//! The whole engine on real C functions: programs from files, attached, counted, taken off. The failures of the tracer
//! that this one follows are named here.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        LazyLock, Mutex, MutexGuard,
    },
    thread,
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::{
    helpers::{HelperCall, HelperFault, HelperFn},
    isa::assemble,
    platform::{Console, ExecBlock, ExecMemory, Platform},
    program::{Abi, ArgType, Cost, HelperSignature, MapDef, MapFlags, MapKind, MapName, Program, RetType},
    runtime::{AttachLimits, Config, Engine, Error, LoadOptions, MapPart, Runtime, Symbol, SymbolTable},
    tracer::{ProbeReport, SiteKind},
};

extern "C" {
    fn gcc_patchable_myfun();
    fn gcc_patchable_empty();
    fn gcc_patchable_self_test() -> u32;
    fn gcc_patchable_cet_empty();
    fn gcc_fentry_myfun();
}

/// Counts what each thread allocates and has not freed.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE.set(LIVE.get() + layout.size() as i64);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as i64);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keeps what is written to the console.
struct Kept(Mutex<String>);

impl Console for Kept {
    fn write(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.0.lock().unwrap().push_str(&text);
    }
}

static CONSOLE: Kept = Kept(Mutex::new(String::new()));

/// A name longer than any buffer of a fixed size is likely to be.
fn long_name() -> String {
    format!("_ZN4demo{}17h0123456789abcdefE", "9component".repeat(30))
}

/// A function with a second name that is on the no-probe list.
const ALIASED: &str = "gcc_fentry_recursion";

/// The only long-lived memory that a program and the application share here: the address of a counter in the arena.
static COUNTER: AtomicU64 = AtomicU64::new(0);
const COUNTER_HELPER: u32 = 600;

fn counter_address(_: &mut HelperCall<'_>) -> Result<u64, HelperFault> {
    Ok(COUNTER.load(Ordering::Relaxed))
}

/// Programs by file name.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "count.bin",
        "r6 = *(u64 *)(r1 + 0)\nr1 = r6\nr2 = 1\ncall 0\nr3 = r0\nif r3 != -1 goto +1\nr3 = 0\nr3 += 1\n\
         r1 = r6\nr2 = 1\ncall 1\nr0 = 0\nexit",
    ),
    ("notify.bin", "r1 = *(u64 *)(r1 + 0)\ncall 3\nr0 = 0\nexit"),
    ("get_count.bin", "call 4\nr1 = r0\nr2 = 1\ncall 0\nexit"),
    ("noop.bin", "r0 = 0\nexit"),
    ("loop_fail.bin", "r0 = 0\nr0 += 1\ngoto -1"),
    ("oob.bin", "r1 = 0\nr0 = *(u32 *)(r1 + 0)\nexit"),
    ("atomic.bin", "call 600\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nr0 = 0\nexit"),
    // Fills what it is told its argument has.
    (
        "fill.bin",
        "if r2 < 128 goto +4\nr0 = 0x5a5a5a5a\n*(u64 *)(r1 + 56) = r0\n*(u64 *)(r1 + 88) = r0\n*(u64 *)(r1 + 120) = r0\n\
         r0 = 0\nexit",
    ),
    ("text.bin", ".hex 23 21 2f 62 69 6e 2f 73"),
];

/// Executable memory that counts its blocks, and has none left when told so.
struct Scarce(&'static dyn ExecMemory);
static BLOCKS: AtomicU64 = AtomicU64::new(0);
static SCARCE: AtomicBool = AtomicBool::new(false);

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for Scarce {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        if SCARCE.load(Ordering::SeqCst) {
            return None;
        }
        let block = self.0.alloc(len)?;
        BLOCKS.fetch_add(1, Ordering::SeqCst);
        Some(block)
    }
    fn seal(&self, block: ExecBlock) -> bool {
        self.0.seal(block)
    }
    unsafe fn free(&self, block: ExecBlock) {
        BLOCKS.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { self.0.free(block) };
    }
    fn enforces_wx(&self) -> bool {
        self.0.enforces_wx()
    }
    fn rewrites(&self) -> bool {
        self.0.rewrites()
    }
    unsafe fn rewrite(&self, at: usize, code: &[u8]) -> bool {
        // SAFETY: as the caller promises.
        unsafe { self.0.rewrite(at, code) }
    }
}

fn start() -> &'static Runtime {
    let folder = std::env::temp_dir().join(format!("ubpf-engine-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, source) in PROGRAMS {
        fs::write(folder.join(name), assemble(source).unwrap()).unwrap();
    }
    let below = platform(folder);
    let platform =
        Platform { console: &CONSOLE, exec: Some(Box::leak(Box::new(Scarce(below.exec.unwrap())))), ..below };
    let config = Config { hook_areas: 8, ..Config::default() };
    let engine = Runtime::init(platform, config).unwrap();
    let long_name = long_name();
    let own = symbols::own().unwrap();
    let named = own.iter().map(|symbol| Symbol {
        address: symbol.address,
        name: match symbol.name.as_str() {
            "gcc_patchable_cet_empty" => &long_name,
            "gcc_pg_structure" | "gcc_pg_variadic" => "twin",
            "gcc_fentry_structure" => "fill(char*)",
            "gcc_fentry_variadic" => "fill(char*, char*)",
            "gcc_patchable_cet_structure" => "savectx",
            "gcc_patchable_cet_variadic" => "saves",
            name => name,
        },
        function: symbol.is_function,
    });
    let alias = own.iter().find(|symbol| symbol.name == ALIASED).unwrap();
    let denied = Symbol { address: alias.address, name: "uk_spin_lock", function: true };
    let symbols = SymbolTable::new(named.chain([denied])).unwrap();
    engine.add_symbols(symbols);
    let records = records::own();
    engine.add_sites(&records.patchable, SiteKind::Patchable);
    engine.add_sites(&records.mcount, SiteKind::Mcount);
    let signature = HelperSignature {
        args: [ArgType::Unused; 5],
        ret: RetType::Scalar,
        cost: Cost { base: 1, per_8_bytes: 0, walk: 0 },
    };
    COUNTER.store(engine.arena().0, Ordering::Relaxed);
    let function = HelperFn::Rust(counter_address);
    engine.register_helper("counter_address", COUNTER_HELPER, signature, function).unwrap();
    engine
}

/// The engine of this process with nothing attached. Tests take turns.
fn engine() -> (&'static Runtime, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static ENGINE: LazyLock<&'static Runtime> = LazyLock::new(start);
    let turn = TURN.lock().unwrap_or_else(|error| error.into_inner());
    ENGINE.reset().unwrap();
    console();
    (*ENGINE, turn)
}

/// What was written to the console since the last call.
fn console() -> String {
    if let Some(engine) = Runtime::get() {
        engine.drain_console();
    }
    std::mem::take(&mut *CONSOLE.0.lock().unwrap())
}

fn attach(engine: &Runtime, function: &str, file: &str) -> Result<Vec<String>, Error> {
    let report = engine.attach_file(function, file, &LoadOptions::default(), AttachLimits::default());
    report.map(|report| report.warnings)
}

/// The traceable functions as they are listed.
fn functions(engine: &Runtime) -> Vec<(String, Option<u64>)> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(first) = next {
        next = engine.functions(first, &mut |name, address| {
            all.push((name.to_owned(), address));
            true
        });
    }
    all
}

#[test]
fn functions_are_listed_by_name_and_those_that_share_one_by_address() {
    let (engine, _turn) = engine();
    let all = functions(engine);
    assert!(all.is_sorted(), "{all:?}");
    assert!(all.iter().any(|function| *function == (MYFUN.into(), None)));
    let twins = engine.functions_called("twin");
    let listed: Vec<u64> = all.iter().filter_map(|(name, address)| address.filter(|_| name == "twin")).collect();
    assert_eq!((twins.len(), &twins), (2, &listed));
    assert!(matches!(attach(engine, "twin", "noop.bin"), Err(Error::Ambiguous(named)) if named.about.count == 2));
    for address in twins {
        attach(engine, &format!("{address:#x}"), "noop.bin").unwrap();
    }
    assert_eq!(engine.list(None).unwrap().len(), 2);
}

/// As C++ has them: a name with `*` in it is no pattern, which would fit others as well.
#[test]
fn a_name_with_a_star_is_that_function() {
    let (engine, _turn) = engine();
    let attached = |function: &str| {
        let done = attach(engine, function, "noop.bin").map_err(|error| error.to_string());
        let names: Vec<String> = engine.list(None).unwrap().into_iter().map(|report| report.function).collect();
        (done.is_ok(), names)
    };
    assert_eq!(attached("fill(char*)"), (true, vec!["fill(char*)".into()]));
    assert_eq!(engine.detach("fill(char*)", None).unwrap(), 1);
    let (done, mut both) = attached("fill(char*");
    both.sort();
    assert_eq!((done, both), (true, vec!["fill(char*)".into(), "fill(char*, char*)".into()]));
}

/// A pattern is for those that can have the program.
#[test]
fn what_returns_twice_fits_no_pattern_of_a_program_at_returns() {
    let (engine, _turn) = engine();
    let attach = |function: &str, at_return| {
        let limits = AttachLimits { at_return, ..AttachLimits::default() };
        engine.attach_file(function, "noop.bin", &LoadOptions::default(), limits)
    };
    let error = attach("savectx", true).unwrap_err().to_string();
    assert!(error.contains("it returns twice for one call"), "{error}");
    let names = |at_return| -> Vec<String> {
        let mut names: Vec<_> =
            attach("save*", at_return).unwrap().attached.into_iter().map(|attached| attached.function).collect();
        names.sort();
        engine.reset().unwrap();
        names
    };
    assert_eq!(names(true), ["saves"]);
    assert_eq!(names(false), ["savectx", "saves"]);
}

/// Whatever they are called: also functions that share a name, and those whose name has a `*`.
#[test]
fn programs_are_taken_off_all_functions_that_a_pattern_fits() {
    let (engine, _turn) = engine();
    let mut shell = ushell_rs::Shell::new(engine, ushell_rs::Config::default());
    let mut say = |line: &str| {
        let mut page = vec![0; 4096];
        shell.feed(format!("{line}\n").as_bytes());
        let len = shell.drain(&mut page);
        String::from_utf8_lossy(&page[..len]).replace("> ", "")
    };
    for file in ["noop.bin", "notify.bin"] {
        for function in ["tw*", "fill(char*", MYFUN] {
            attach(engine, function, file).unwrap();
        }
    }
    assert_eq!(say("bpf_detach tw* notify.bin"), "2 programs were detached successfully.\n");
    assert_eq!(say("bpf_detach tw* notify.bin"), "notify.bin is not attached to tw*\n");
    assert_eq!(say("bpf_detach 'fill(char*)' noop.bin"), "Program was detached successfully.\n");
    assert_eq!(engine.status().probes, 7);
    assert_eq!(
        say("bpf_detach '*' noop.bin notify.bin"),
        "4 programs were detached successfully.\n3 programs were detached successfully.\n"
    );
    assert_eq!(engine.list(None).unwrap(), []);
}

#[test]
fn entries_of_the_map_are_listed() {
    let (engine, _turn) = engine();
    (0..600).for_each(|key| engine.map_put(key, key + 1, key + 2).unwrap());
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(first) = next {
        // Every seventh is refused once.
        let mut some = 0;
        next = engine.map_entries(first, &mut |key1, key2, value| {
            some += 1;
            let taken = some % 7 != 0;
            taken.then(|| all.push((key1, key2, value)));
            taken
        });
    }
    all.sort_unstable();
    assert!(all.into_iter().eq((0..600).map(|key| (key, key + 1, key + 2))));
}

fn exec(engine: &Runtime, file: &str, argument: &str) -> u64 {
    let mut memory = [argument.as_bytes(), &[0]].concat();
    let report = engine.exec_file(file, &mut memory, &LoadOptions::default());
    report.unwrap().value
}

fn probes(engine: &Runtime, function: &str) -> Vec<ProbeReport> {
    engine.list(Some(function)).unwrap().remove(0).probes
}

fn programs(engine: &Runtime, function: &str) -> Vec<String> {
    let probes = probes(engine, function);
    probes.into_iter().map(|probe| probe.program).collect()
}

fn myfun(times: u64) {
    // SAFETY: a C function without arguments that changes a counter of its own.
    (0..times).for_each(|_| unsafe { gcc_patchable_myfun() });
}

const MYFUN: &str = "gcc_patchable_myfun";

extern "C" {
    fn ubpf_subject();
}

#[test]
fn calls_are_counted_between_attach_and_detach() {
    let (engine, _turn) = engine();
    myfun(3);
    attach(engine, MYFUN, "count.bin").unwrap();
    assert_eq!(exec(engine, "get_count.bin", MYFUN), u64::MAX);
    myfun(4);
    assert_eq!(engine.detach(MYFUN, Some("count.bin")).unwrap(), 1);
    myfun(5);
    assert_eq!(exec(engine, "get_count.bin", MYFUN), 4);
    let key = engine.trace_address(MYFUN).unwrap();
    assert_eq!(engine.map_get(key, 1), Some(4));
}

/// One program at many functions: all of them or none, each that cannot have it is named, and a function with two names is one.
#[test]
fn a_program_is_attached_to_many_functions_or_to_none() {
    let (engine, _turn) = engine();
    let address = format!("{:#x}", engine.symbol_address(MYFUN).unwrap());
    let functions = [MYFUN, "gcc_fentry_myfun", &address, "gcc_patchable_empty"];
    let attach = |functions: &[&str]| {
        let mut refused = Vec::new();
        let limits = AttachLimits::default();
        let done =
            engine.attach_file_to(functions, "count.bin", &LoadOptions::default(), limits, &mut |name, error| {
                refused.push(format!("{name}: {error}"));
            });
        (done.map_err(|error| error.to_string()), refused)
    };
    let bad = [MYFUN, "nowhere", ALIASED, "memcpy", "gcc_fentry_myfun"];
    let (done, refused) = attach(&bad);
    assert_eq!(done.unwrap_err(), "nothing was attached: 3 of 5 functions cannot have this program");
    assert_eq!(refused[0], "nowhere: no function nowhere in this image");
    assert!(
        refused[1].starts_with("gcc_fentry_recursion: function gcc_fentry_recursion cannot be traced"),
        "{refused:?}"
    );
    assert!(refused[2].starts_with("memcpy: "), "{refused:?}");
    assert_eq!(engine.list(None).unwrap(), []);
    assert_eq!(attach(&functions), (Ok(vec![]), vec![]));
    myfun(3);
    // SAFETY: C functions without arguments.
    unsafe {
        gcc_fentry_myfun();
        gcc_patchable_empty();
    }
    let hits: Vec<_> = functions.iter().map(|function| probes(engine, function)[0].hits).collect();
    assert_eq!(hits, [3, 1, 3, 1]);
    assert_eq!(engine.list(None).unwrap().len(), 3);
    // What the tracer refuses is named as well.
    let (done, refused) = attach(&["gcc_patchable_self_test", MYFUN]);
    assert_eq!(done.unwrap_err(), "nothing was attached: 1 of 2 functions cannot have this program");
    assert_eq!(refused, ["gcc_patchable_myfun: program count.bin is already attached to gcc_patchable_myfun"]);
    assert_eq!(engine.list(None).unwrap().len(), 3);
}

#[test]
fn measuring_runs_the_program_and_leaves_function_counts_sites_and_console_alone() {
    let (engine, _turn) = engine();
    let options = LoadOptions::default();
    // Stubs found by their bytes: the function that is measured on is among them.
    let subject = ubpf_subject as *const () as u64;
    assert_eq!(engine.add_sites(&[subject], SiteKind::Patchable).added, 1);
    let sites = engine.status().sites;
    attach(engine, MYFUN, "count.bin").unwrap();
    myfun(2);
    let entries = engine.status().map_entries;
    for file in ["noop.bin", "count.bin", "notify.bin"] {
        let found = engine.measure(MYFUN, file, &options, 100).unwrap();
        assert_eq!((found.programs, found.failures, found.misses), (1, 0, 0));
        // As many as were asked for, in whole batches of 40 at most.
        for time in [found.with, found.present.unwrap()] {
            assert!((100..140).contains(&time.calls), "{time:?}");
        }
    }
    assert_eq!(exec(engine, "get_count.bin", MYFUN), 2);
    assert_eq!(engine.status().map_entries, entries);
    assert_eq!(programs(engine, MYFUN), ["count.bin"]);
    assert_eq!(console(), "");
    let found = engine.measure(MYFUN, "oob.bin", &options, 40).unwrap();
    let before = 2;
    assert_eq!(found.failures, before + found.with.calls);
    assert!(matches!(engine.measure("nowhere", "noop.bin", &options, 1), Err(Error::UnknownFunction { .. })));
    engine.load_symbols("none").unwrap_err();
    assert_eq!(engine.status().sites, sites);
}

/// What lies above its argument on the stack is the application's.
#[test]
fn a_program_that_fills_its_argument_leaves_the_application_as_it_was() {
    let (engine, _turn) = engine();
    for function in ["gcc_patchable_leaf", "gcc_patchable_on_stack"] {
        attach(engine, function, "fill.bin").unwrap();
    }
    // SAFETY: a C function without arguments.
    assert_eq!(unsafe { gcc_patchable_self_test() }, 0);
    for function in ["gcc_patchable_leaf", "gcc_patchable_on_stack"] {
        let report = probes(engine, function).remove(0);
        assert!(report.runs > 0 && report.failures == 0, "{report:?}");
    }
}

#[test]
fn original_tracer_ignored_a_load_failure_on_attach() {
    let (engine, _turn) = engine();
    let reason = |file| attach(engine, MYFUN, file).unwrap_err().to_string();
    assert_eq!(reason("loop_fail.bin"), "infinite loop at PC 2");
    assert!(reason("text.bin").contains("unknown opcode 0x23 at PC 0"));
    assert!(reason("missing.bin").starts_with("missing.bin: "));
    assert!(programs(engine, MYFUN).is_empty());
    attach(engine, MYFUN, "count.bin").unwrap();
    attach(engine, MYFUN, "loop_fail.bin").unwrap_err();
    myfun(2);
    assert_eq!(programs(engine, MYFUN), ["count.bin"]);
    assert_eq!(exec(engine, "get_count.bin", MYFUN), 2);
}

#[test]
fn a_function_on_the_no_probe_list_is_not_traced_by_another_of_its_names() {
    let (engine, _turn) = engine();
    let address = engine.symbol_address(ALIASED).unwrap();
    for name in [ALIASED, "uk_spin_lock", &format!("{address:#x}")] {
        let error = attach(engine, name, "noop.bin").unwrap_err().to_string();
        assert!(error.contains("cannot be traced: locks"), "{error}");
    }
}

#[test]
fn original_tracer_ran_a_file_attached_twice_twice() {
    let (engine, _turn) = engine();
    attach(engine, MYFUN, "count.bin").unwrap();
    let again = attach(engine, MYFUN, "count.bin").unwrap_err().to_string();
    assert!(again.contains("count.bin") && again.contains("already"), "{again}");
    myfun(7);
    assert_eq!(exec(engine, "get_count.bin", MYFUN), 7);
    assert_eq!(programs(engine, MYFUN), ["count.bin"]);
}

#[test]
fn original_tracer_removed_all_programs_with_one() {
    let (engine, _turn) = engine();
    for file in ["count.bin", "noop.bin", "notify.bin"] {
        attach(engine, MYFUN, file).unwrap();
    }
    assert_eq!(engine.detach(MYFUN, Some("noop.bin")).unwrap(), 1);
    assert_eq!(programs(engine, MYFUN), ["count.bin", "notify.bin"]);
    myfun(1);
    assert_eq!(console(), format!("Notify: {MYFUN}\n"));
    assert_eq!(exec(engine, "get_count.bin", MYFUN), 1);
    let again = engine.detach(MYFUN, Some("noop.bin")).unwrap_err();
    assert_eq!(again.to_string(), format!("noop.bin is not attached to {MYFUN}"));
    assert_eq!(engine.detach(MYFUN, None).unwrap(), 2);
    assert_eq!(engine.detach(MYFUN, None).unwrap(), 0);
    myfun(1);
    assert_eq!(console(), "");
}

#[test]
fn original_tracer_cut_symbol_names_at_50_bytes() {
    let (engine, _turn) = engine();
    let name = long_name();
    assert!(name.len() > 300);
    attach(engine, &name, "notify.bin").unwrap();
    attach(engine, &name, "count.bin").unwrap();
    // SAFETY: an empty C function.
    unsafe { gcc_patchable_cet_empty() };
    assert_eq!(console(), format!("Notify: {name}\n"));
    let key = engine.trace_address(&name).unwrap();
    assert_eq!(engine.map_get(key, 1), Some(1));
    let listed = engine.list(None).unwrap();
    assert_eq!(listed[0].function, name);
    // Another name with the same first 50 bytes is another function.
    let error = attach(engine, &name[..60], "noop.bin").unwrap_err();
    assert!(matches!(error, Error::UnknownFunction { .. }), "{error}");
}

#[test]
fn original_tracer_leaked_on_every_hit_and_map_operation() {
    let (engine, _turn) = engine();
    attach(engine, MYFUN, "count.bin").unwrap();
    attach(engine, MYFUN, "notify.bin").unwrap();
    myfun(1);
    let before = (ALLOCATIONS.get(), LIVE.get());
    myfun(10_000);
    for key in 0..1_000 {
        engine.map_put(key, 2, key).unwrap();
        engine.map_put(key, 2, key + 1).unwrap();
        assert_eq!(engine.map_get(key, 2), Some(key + 1));
        assert!(engine.map_del(key, 2));
    }
    assert_eq!((ALLOCATIONS.get(), LIVE.get()), before, "a hook allocates nothing");
}

#[test]
fn attach_exec_and_detach_leave_no_memory_behind() {
    let (engine, _turn) = engine();
    let round = || {
        attach(engine, MYFUN, "count.bin").unwrap();
        attach(engine, MYFUN, "count.bin").unwrap_err();
        attach(engine, MYFUN, "loop_fail.bin").unwrap_err();
        myfun(1);
        exec(engine, "get_count.bin", MYFUN);
        let oob = engine.exec_file("oob.bin", &mut [], &LoadOptions::default());
        assert!(matches!(oob, Err(Error::Stopped(_))));
        let id = engine.load_file("noop.bin", &LoadOptions::default()).unwrap();
        engine.unload(id).unwrap();
        engine.detach(MYFUN, None).unwrap();
        let many = [MYFUN, "gcc_fentry_myfun", "gcc_patchable_empty"];
        let together = || {
            let limits = AttachLimits::default();
            engine.attach_file_to(&many, "noop.bin", &LoadOptions::default(), limits, &mut |_, _| ())
        };
        assert!(together().is_ok() && together().is_err());
        many.iter().for_each(|function| assert_eq!(engine.detach(function, None).unwrap(), 1));
        console();
    };
    (0..5).for_each(|_| round());
    let before = LIVE.get();
    (0..200).for_each(|_| round());
    assert_eq!(LIVE.get(), before);
}

#[test]
fn a_failing_program_stops_and_nothing_else_does() {
    let (engine, _turn) = engine();
    attach(engine, MYFUN, "oob.bin").unwrap();
    attach(engine, MYFUN, "count.bin").unwrap();
    myfun(50);
    assert_eq!(exec(engine, "get_count.bin", MYFUN), 50);
    let oob = &probes(engine, MYFUN)[0];
    assert_eq!((oob.runs, oob.failures), (50, 50));
    // Nothing lies behind its end: there must be much more than what is used.
    let (used, stack) = ubpf_rs::tracer::stack_used();
    assert!(used > 0 && 2 * used < stack, "hooks used {used} of {stack} bytes of their stack");
    let text = console();
    let mut lines = text.lines();
    let first = lines.next();
    assert_eq!(first, Some("uBPF error: out of bounds memory load at PC 1, addr 0x0, size 4"));
    let second = lines.next().unwrap();
    assert!(second.starts_with("mem 0x") && second.ends_with("/512"), "{second}");
    let reports = text.matches("uBPF error").count();
    assert!(reports < 10, "{reports} reports of 50 failures");
}

/// A program at every function of this program that can have it: each call of each is counted, and afterwards all text is as it was.
#[test]
fn a_program_at_every_function_counts_each() {
    let (engine, _turn) = engine();
    let mut names = Vec::new();
    let mut next = Some(0);
    while let Some(first) = next {
        next = engine.functions(first, &mut |name, address| {
            names.push(address.map_or(name.to_string(), |address| format!("{address:#x}")));
            true
        });
    }
    let mut functions: Vec<&str> = names.iter().map(String::as_str).collect();
    let attach = |functions: &[&str]| {
        let (mut refused, limits) = (Vec::new(), AttachLimits::default());
        let done = engine.attach_file_to(functions, "noop.bin", &LoadOptions::default(), limits, &mut |name, error| {
            assert!(matches!(error, Error::Attach(_)), "{name}: {error}");
            refused.push(name.to_string());
        });
        (done.is_ok(), refused)
    };
    // Some are on the no-probe list: without them it goes.
    let (done, refused) = attach(&functions);
    assert!(!done && refused.iter().any(|name| name == "uk_spin_lock") && engine.list(None).unwrap().is_empty());
    functions.retain(|&name| !refused.iter().any(|refused| refused == name));
    assert_eq!(attach(&functions), (true, vec![]));
    let status = engine.status();
    assert_eq!((status.probes, functions.len() > 30), (functions.len(), true), "{} functions", functions.len());
    // SAFETY: calls traced functions and compares what they give.
    assert_eq!(unsafe { gcc_patchable_self_test() }, 0);
    let hits = |function| probes(engine, function)[0].hits;
    assert_eq!((hits("gcc_patchable_self_test"), hits("gcc_patchable_recursion")), (1, 20_001));
    assert_eq!(probes(engine, MYFUN)[0].hits, 0);
}

#[test]
fn the_text_comes_back_as_it_was() {
    let (engine, _turn) = engine();
    // SAFETY: the first bytes of a function of this program.
    let text = || unsafe { std::slice::from_raw_parts(gcc_patchable_empty as *const u8, 8) }.to_vec();
    let before = text();
    attach(engine, "gcc_patchable_empty", "noop.bin").unwrap();
    assert_ne!(text(), before);
    engine.reset().unwrap();
    assert_eq!(text(), before);
}

/// Two threads in one traced function: every hit is a run or a miss, and no run's atomic addition is lost.
#[test]
fn an_atomic_add_loses_no_count_between_threads_of_one_function() {
    const CALLS: u64 = 100_000;
    let (engine, _turn) = engine();
    // SAFETY: the first word of the arena, 8-aligned, valid for ever, and accessed atomically by everybody.
    let counter = unsafe { AtomicU64::from_ptr(engine.arena().0 as *mut u64) };
    counter.store(0, Ordering::SeqCst);
    attach(engine, "gcc_fentry_myfun", "atomic.bin").unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            // SAFETY: a C function without arguments; its own counter is volatile and of no interest.
            scope.spawn(|| (0..CALLS).for_each(|_| unsafe { gcc_fentry_myfun() }));
        }
    });
    let probe = &probes(engine, "gcc_fentry_myfun")[0];
    assert_eq!(probe.hits, 2 * CALLS);
    assert_eq!(probe.hits, probe.runs + probe.misses);
    assert_eq!((counter.load(Ordering::SeqCst), probe.failures), (probe.runs, 0));
    assert!(probe.runs > CALLS, "two threads run at the same time: {} runs", probe.runs);
}

#[test]
fn two_threads_counting_in_the_map_each_its_own_function_lose_no_count() {
    const CALLS: u64 = 200_000;
    let (engine, _turn) = engine();
    for choice in [Engine::Interpreter, Engine::Jit] {
        engine.reset().unwrap();
        let options = LoadOptions { engine: choice, ..LoadOptions::default() };
        let functions: [(&str, unsafe extern "C" fn()); 2] =
            [(MYFUN, gcc_patchable_myfun), ("gcc_fentry_myfun", gcc_fentry_myfun)];
        let limits = AttachLimits::default();
        for (function, _) in functions {
            let attached = engine.attach_file(function, "count.bin", &options, limits);
            attached.unwrap();
        }
        thread::scope(|scope| {
            for (_, function) in functions {
                // SAFETY: a C function without arguments that changes a counter of its own.
                scope.spawn(move || (0..CALLS).for_each(|_| unsafe { function() }));
            }
        });
        for (function, _) in functions {
            assert_eq!(exec(engine, "get_count.bin", function), CALLS, "{choice:?}");
        }
        assert_eq!(engine.status().map_lost, 0);
    }
}

#[test]
fn every_engine_counts_alike_and_leaves_every_register_as_it_was() {
    let (engine, _turn) = engine();
    let functions = ["empty", "doubles", "on_stack", "variadic", "structure", "recursion", "ipa_ra"];
    for choice in [Engine::Auto, Engine::Interpreter, Engine::Jit] {
        engine.reset().unwrap();
        let options = LoadOptions { engine: choice, ..LoadOptions::default() };
        for function in functions {
            let function = format!("gcc_patchable_{function}");
            let limits = AttachLimits::default();
            engine.attach_file(&function, "count.bin", &options, limits).unwrap();
            engine.attach_file(&function, "noop.bin", &options, limits).unwrap();
        }
        for round in 1..=2 {
            // SAFETY: calls the traced functions and compares what they give.
            assert_eq!(unsafe { gcc_patchable_self_test() }, 0, "{choice:?}");
            for function in functions {
                let once = if function == "recursion" { 20_001 } else { 1 };
                let name = format!("gcc_patchable_{function}");
                assert_eq!(exec(engine, "get_count.bin", &name), once * round, "{name}");
                for probe in probes(engine, &name) {
                    assert_eq!((probe.runs, probe.misses), (once * round, 0), "{probe:?}");
                }
            }
        }
    }
}

#[test]
fn many_small_programs_share_few_pages_and_all_run() {
    let (engine, _turn) = engine();
    let before = BLOCKS.load(Ordering::SeqCst);
    let options = LoadOptions { engine: Engine::Jit, ..LoadOptions::default() };
    let code = |n: u64| assemble(&format!("r0 = {n}\nr0 += 1\nexit")).unwrap();
    let load = |n: u64| engine.load(&format!("p{n}"), &code(n), &options).unwrap();
    let ids: Vec<_> = (0..300).map(load).collect();
    let blocks = BLOCKS.load(Ordering::SeqCst) - before;
    assert!(blocks <= 3, "{blocks} blocks for 300 programs");
    let value = |id| engine.exec(id, &mut [], None).unwrap().value;
    for (n, id) in (0..).zip(&ids) {
        assert_eq!(value(*id), n + 1);
    }
    // Every second one goes, and others come in its place.
    for id in ids.iter().step_by(2) {
        engine.unload(*id).unwrap();
    }
    let more: Vec<_> = (1000..1150).map(load).collect();
    assert_eq!(BLOCKS.load(Ordering::SeqCst) - before, blocks);
    for (n, id) in (0..).zip(&ids).skip(1).step_by(2) {
        assert_eq!(value(*id), n + 1);
    }
    for (n, id) in (1000..).zip(&more) {
        assert_eq!(value(*id), n + 1);
    }
    engine.reset().unwrap();
    assert!(BLOCKS.load(Ordering::SeqCst) <= before + 1);
}

#[test]
fn a_program_without_room_for_machine_code_is_interpreted_and_that_is_said() {
    let (engine, _turn) = engine();
    let long = "r0 += 1\n".repeat(5_000);
    let code = assemble(&format!("r0 = 0\n{long}exit")).unwrap();
    let folder = std::env::temp_dir().join(format!("ubpf-engine-{}", std::process::id()));
    fs::write(folder.join("long.bin"), code).unwrap();
    let run = || engine.exec_file("long.bin", &mut [], &LoadOptions::default()).unwrap();
    let before = engine.status().fallbacks.map_or(0, |(count, _)| count);
    SCARCE.store(true, Ordering::SeqCst);
    let report = run();
    let warnings = attach(engine, MYFUN, "long.bin");
    let refused = engine.load_file("long.bin", &LoadOptions { engine: Engine::Jit, ..LoadOptions::default() });
    SCARCE.store(false, Ordering::SeqCst);
    let why = "no executable memory is left";
    let remark = format!("long.bin is interpreted: {why}");
    assert_eq!((report.value, report.warnings), (5_000, vec![remark.clone()]));
    assert_eq!(warnings.unwrap(), [remark]);
    assert_eq!(engine.status().fallbacks, Some((before + 2, why)));
    assert!(refused.unwrap_err().to_string().contains(why));
    myfun(3);
    assert_eq!(probes(engine, MYFUN)[0].runs, 3);
    assert_eq!(run().warnings, [""; 0], "there is room again");
}

/// What a helper is given is checked by its signature, so one that cannot be checked by is refused, from Rust as from C; names are
/// bounded, and can be shown in a line.
#[test]
fn helpers_that_cannot_be_checked_or_shown_are_refused() {
    let (engine, _turn) = engine();
    use ArgType::{CString, Length, MemRead, MemWrite, Scalar, Unused};
    fn never(_: &mut HelperCall<'_>) -> Result<u64, HelperFault> {
        panic!("called")
    }
    let register = |name: &str, number, args| {
        let cost = Cost::default();
        let ret = RetType::Scalar;
        let signature = HelperSignature { args, ret, cost };
        let refused = engine.register_helper(name, number, signature, HelperFn::Rust(never));
        refused.unwrap_err().to_string()
    };
    let unpaired = [
        [MemRead, Unused, Unused, Unused, Unused],
        [Length, Unused, Unused, Unused, Unused],
        [Unused, Unused, Unused, Unused, MemWrite],
        [MemWrite, Scalar, Length, Unused, Unused],
    ];
    for args in unpaired {
        let error = register("odd", 700, args);
        assert!(error.contains("a length must follow each memory"), "{error}");
    }
    let error = register("odd", 700, [CString, CString, Unused, Unused, Unused]);
    assert!(error.contains("r2: there is a string already"), "{error}");
    let long = "n".repeat(100_000);
    for name in ["", "two words", "red\x1b[31m", "line\n", &long] {
        let error = register(name, 700, [Unused; 5]);
        assert!(error.contains("1 to 128 bytes") && error.len() < 300, "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    // None of them has the number.
    let options = LoadOptions::default();
    let calls = assemble("call 700\nexit").unwrap();
    assert!(engine.load("calls", &calls, &options).is_err());
}

/// What a helper does takes no longer where the program is interpreted: as many calls are paid for, but for what is between them. So it is in a
/// program that another one has gone on in, however each of the two runs.
#[test]
fn an_interpreted_run_pays_for_helpers_as_machine_code_does() {
    let (engine, _alone) = engine();
    const CALL: u64 = 3_000;
    let signature = HelperSignature {
        args: [ArgType::Unused; 5],
        ret: RetType::Scalar,
        cost: Cost { base: CALL as u32, ..Cost::default() },
    };
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let count = |_: &mut HelperCall<'_>| Ok(CALLS.fetch_add(1, Ordering::Relaxed));
    engine.register_helper("takes_long", 710, signature, HelperFn::Rust(count)).unwrap();
    let load = |name, maps: &[MapPart<'_>], text, on| {
        let options = LoadOptions { engine: on, ..LoadOptions::default() };
        let program = Program::from_flat(name, &assemble(text).unwrap(), Abi::Linux).unwrap();
        engine.load_parts(name, maps, vec![program], &options).unwrap()[0]
    };
    let long_calls = |on| load("long_calls", &[], "l: call 710\nif r0 != -1 goto l\nexit", on);
    let calls_of = |id| {
        let before = CALLS.load(Ordering::Relaxed);
        let stopped = engine.exec(id, &mut [], None);
        assert!(matches!(stopped, Err(Error::Stopped(_))), "{stopped:?}");
        engine.unload(id).unwrap();
        CALLS.load(Ordering::Relaxed) - before
    };
    let calls = [Engine::Jit, Engine::Interpreter].map(|on| calls_of(long_calls(on)));
    let (jit, interpreted) = (1_000_000 / CALL, 1_000_000 / 30 / (CALL / 30));
    let interpreted = interpreted - interpreted / 10..=interpreted;
    assert!((jit - 5..=jit).contains(&calls[0]), "{calls:?}");
    assert!(interpreted.contains(&calls[1]), "{calls:?}");
    let (kind, name, flags) = (MapKind::ProgArray, MapName::new("next").unwrap(), MapFlags::empty());
    let def = MapDef { kind, key_size: 4, value_size: 4, max_entries: 1, flags, inner: None, name };
    let maps = [MapPart { def, contents: &[], shared: false }];
    for [first, second] in [[true, true], [true, false], [false, true]] {
        let on = |is_interpreted| if is_interpreted { Engine::Interpreter } else { Engine::Jit };
        let next = long_calls(on(second));
        let id = load("goes_on", &maps, "r2 = map_index(0) ll\nr3 = 0\ncall 12\nr0 = 0\nexit", on(first));
        engine.hold_program("goes_on.next", &[0; 4], next).unwrap();
        let calls = calls_of(id);
        assert!(interpreted.contains(&calls), "interpreted {first}, then {second}: {calls}");
        engine.unload(next).unwrap();
    }
}

/// A budget is meant for machine code: what is interpreted instead may not take thirty times as long.
#[test]
fn an_interpreted_run_gets_a_thirtieth_of_the_configured_budget() {
    let (engine, _alone) = engine();
    let source = "l: r2 = *(u64 *)(r1 + 0)\nr2 += 1\n*(u64 *)(r1 + 0) = r2\nif r2 != 0 goto l\nexit";
    let code = assemble(source).unwrap();
    let rounds = |on, budget| {
        let options = LoadOptions { engine: on, ..LoadOptions::default() };
        let id = engine.load("endless", &code, &options).unwrap();
        let mut argument = [0; 8];
        let stopped = engine.exec(id, &mut argument, budget);
        assert!(matches!(stopped, Err(Error::Stopped(_))), "{stopped:?}");
        engine.unload(id).unwrap();
        u64::from_le_bytes(argument)
    };
    // A round is charged 6.
    let (jit, interpreted) = (rounds(Engine::Jit, None), rounds(Engine::Interpreter, None));
    assert_eq!((jit, interpreted), (1_000_000 / 6, 1_000_000 / 30 / 6));
    // What is given by name is given.
    let given = [Engine::Jit, Engine::Interpreter].map(|on| rounds(on, Some(6_006)));
    assert_eq!(given, [1_000, 1_000]);
    // Whatever its argument, a program is interpreted where the proofs of its machine code do not hold.
    let counted = "r3 = 0\nl: r2 = *(u64 *)(r1 + 0)\nr2 += 1\n*(u64 *)(r1 + 0) = r2\nr3 += 1\n\
                   if r3 != 100000000 goto l\nr0 = *(u8 *)(r1 + 8)\nexit";
    let code = assemble(counted).unwrap();
    let id = engine.load("long", &code, &LoadOptions::default()).unwrap();
    for (len, most) in [(16, 1_000_000), (8, 1_000_000 / 30)] {
        let mut argument = vec![0; len];
        assert!(engine.exec(id, &mut argument, None).is_err());
        let rounds = u64::from_le_bytes(argument[..8].try_into().unwrap());
        // 11 at its entry, with the first round; 7 for each other.
        assert_eq!(rounds, 1 + (most - 11) / 7, "{len} bytes");
    }
    engine.unload(id).unwrap();
}
