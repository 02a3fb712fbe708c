//! Many sites: each has the short way to its programs, whatever was attached before, and none gets what belongs to another.

#[path = "common/image.rs"]
mod image;

use std::{
    process::Command,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        LazyLock, Mutex, MutexGuard,
    },
    thread,
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    isa::assemble,
    platform::{ExecBlock, ExecMemory, PatchError, TextChange, TextPatch},
    runtime::{AttachLimits, Config, LoadOptions, ProgramId, Runtime},
};

const MANY: usize = 400;

extern "C" {
    static many: [extern "C" fn(i64) -> i64; MANY];
}

fn call(n: usize) {
    // SAFETY: a table of C functions that is never changed.
    let function = unsafe { many[n] };
    assert_eq!(function(5), 5 + n as i64);
}

fn name(n: usize) -> String {
    format!("many_{n}")
}

/// Executable memory of which only so much is left when it is told.
struct Scarce(&'static dyn ExecMemory);
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Blocks of it that somebody has: pages, which the engine divides.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for Scarce {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let take = |left: usize| match left {
            usize::MAX => Some(left),
            left => left.checked_sub(len),
        };
        LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        self.0.alloc(len).inspect(|_| _ = TAKEN.fetch_add(1, Ordering::SeqCst))
    }
    fn seal(&self, block: ExecBlock) -> bool {
        self.0.seal(block)
    }
    unsafe fn free(&self, block: ExecBlock) {
        TAKEN.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { self.0.free(block) };
    }
    fn data(&self, len: usize) -> Option<usize> {
        self.0.data(len)
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

/// Changes of text, of which one is refused when it is told.
struct Stubborn(&'static dyn TextPatch);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: a change is made by the platform, or not at all.
unsafe impl TextPatch for Stubborn {
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        match addr == REFUSED.load(Ordering::SeqCst) {
            true => Err(PatchError::NotWritable { addr, code: 1 }),
            // SAFETY: as the caller promises.
            false => unsafe { self.0.replace(addr, old, new) },
        }
    }
    unsafe fn replace_all(&self, changes: &mut [TextChange<'_>]) {
        let refused = REFUSED.load(Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe {
            match changes.iter().any(|change| change.addr == refused) {
                true => changes.iter_mut().for_each(|one| one.result = self.replace(one.addr, one.old, one.new)),
                false => self.0.replace_all(changes),
            }
        }
    }
}

fn folder() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("ubpf-many-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Puts a program where the engine finds it.
fn put(name: &str, text: &str) {
    std::fs::write(folder().join(name), assemble(text).unwrap()).unwrap();
}

/// Attaches to all functions whose names fit.
fn attach_to(runtime: &Runtime, pattern: &str, file: &str) -> Result<usize, String> {
    let options = LoadOptions { many: true, ..LoadOptions::default() };
    let report = runtime.attach_file(pattern, file, &options, AttachLimits::default());
    report.map(|report| report.attached.len()).map_err(|error| error.to_string())
}

/// Runs the test of this name in a process of its own, where no other has made gates; true there.
fn alone(test: &str) -> bool {
    const ALONE: &str = "UBPF_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return true;
    }
    let mut process = Command::new(std::env::current_exe().unwrap());
    let done = process.args(["--exact", test]).env(ALONE, test).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    false
}

fn engine() -> (&'static Runtime, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static ENGINE: LazyLock<&Runtime> = LazyLock::new(|| {
        let mut platform = platform(folder());
        platform.text = Some(Box::leak(Box::new(Stubborn(platform.text.unwrap()))));
        platform.exec = Some(Box::leak(Box::new(Scarce(platform.exec.unwrap()))));
        let runtime = Runtime::init(platform, Config::default()).unwrap();
        image::add_image(runtime);
        runtime
    });
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (&ENGINE, turn)
}

fn load(runtime: &Runtime, name: &str, text: &str) -> ProgramId {
    let code = assemble(text).unwrap();
    runtime.load(name, &code, &LoadOptions::default()).unwrap()
}

fn noop(runtime: &Runtime) -> ProgramId {
    load(runtime, "noop", "r0 = 0\nexit")
}

fn attach(runtime: &Runtime, n: usize, program: ProgramId) {
    let limits = AttachLimits::default();
    runtime.attach(&name(n), program, limits).unwrap();
}

fn runs(runtime: &Runtime, n: usize) -> u64 {
    runtime.list(Some(&name(n))).unwrap()[0].probes[0].runs
}

/// What a site calls: where the call in its text leads.
fn target(n: usize) -> usize {
    // SAFETY: the table is never changed; a call stands in the function's first five bytes, which are mapped.
    unsafe {
        let start = many[n] as usize;
        let distance = ((start + 1) as *const i32).read_unaligned();
        (start + 5).wrapping_add_signed(distance as isize)
    }
}

#[test]
fn the_last_of_many_functions_has_the_short_way_as_the_first() {
    let (runtime, _turn) = engine();
    let noop = noop(runtime);
    (0..MANY).for_each(|n| attach(runtime, n, noop));
    assert_eq!(runtime.status().cramped_sites, 0);
    let mut gates: Vec<usize> = (0..MANY).map(target).collect();
    gates.sort_unstable();
    gates.dedup();
    assert_eq!(gates.len(), MANY, "each site has a gate of its own");
    for round in 1..=3 {
        (0..MANY).for_each(call);
        assert!((0..MANY).all(|n| runs(runtime, n) == round));
    }
    (0..MANY).for_each(|n| assert_eq!(runtime.detach(&name(n), None).unwrap(), 1));
    (0..MANY).for_each(call);
}

/// As the shipped `count` does. With get and put, of two threads that count at a time one is lost.
#[test]
fn threads_that_count_the_same_functions_lose_nothing() {
    const ROUNDS: u64 = 400;
    const THREADS: u64 = 4;
    let (runtime, _turn) = engine();
    let count = "r1 = *(u64 *)(r1 + 0)\nr2 = 77\nr3 = 1\ncall 32\nr0 = 0\nexit";
    let count = load(runtime, "count", count);
    (0..MANY).for_each(|n| attach(runtime, n, count));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    // One is hot.
                    (0..MANY).for_each(|n| call(if n % 2 == 0 { 7 } else { n }));
                }
            });
        }
    });
    let counted = |n| runtime.map_get(runtime.trace_address(&name(n)).unwrap(), 77);
    let half = MANY as u64 / 2;
    let expected = |n| match n {
        7 => ROUNDS * THREADS * (half + 1),
        _ => ROUNDS * THREADS,
    };
    for n in (1..MANY).step_by(2) {
        assert_eq!((counted(n), runs(runtime, n)), (Some(expected(n)), expected(n)), "{n}");
    }
    (0..MANY).for_each(|n| assert_eq!(runtime.detach(&name(n), None).unwrap(), 1));
    assert_eq!(runtime.map_note(), None);
}

/// Hundreds of functions with a program at their returns, then with one at their entries beside, in several threads: no call is lost.
#[test]
fn hundreds_of_programs_at_returns_count_each_call() {
    const ROUNDS: u64 = 40;
    const THREADS: u64 = 3;
    let (runtime, _turn) = engine();
    let count = load(runtime, "count", "r1 = *(u64 *)(r1 + 0)\nr2 = 80\nr3 = 1\ncall 32\nr0 = 0\nexit");
    let limits = AttachLimits { at_return: true, ..AttachLimits::default() };
    (0..MANY).for_each(|n| _ = runtime.attach(&name(n), count, limits).unwrap());
    assert_eq!(runtime.status().cramped_sites, 0);
    let entries = noop(runtime);
    for round in 1..=2 {
        thread::scope(|scope| {
            (0..THREADS).for_each(|_| drop(scope.spawn(|| (0..ROUNDS).for_each(|_| (0..MANY).for_each(call)))));
        });
        let calls = round * ROUNDS * THREADS;
        for n in 0..MANY {
            let probe = &runtime.list(Some(&name(n))).unwrap()[0].probes[0];
            let counts = (probe.hits, probe.runs, probe.misses, probe.outstanding, probe.abandoned);
            assert_eq!(counts, (calls, calls, 0, 0, 0), "{n}");
            let counted = runtime.map_get(runtime.trace_address(&name(n)).unwrap(), 80);
            assert_eq!(counted, Some(calls), "{n}");
        }
        if round == 1 {
            (0..MANY).for_each(|n| attach(runtime, n, entries));
        }
    }
    (0..MANY).for_each(|n| assert_eq!(runtime.detach(&name(n), None).unwrap(), 2));
    (0..MANY).for_each(call);
}

/// Runs of a program that only adds are counted instead of it being run. Nobody who looks can tell: not the shell, not a program that runs at
/// a function, and not while threads go on counting.
#[test]
fn who_looks_at_counts_finds_them_whatever_else_is_attached() {
    const ROUNDS: u64 = 300;
    let (runtime, _turn) = engine();
    let adds = load(runtime, "adds", "r1 = *(u64 *)(r1 + 0)\nr2 = 78\nr3 = 5\ncall 32\nr0 = 0\nexit");
    let looks = "r6 = *(u64 *)(r1 + 0)\nr1 = r6\nr2 = 78\ncall 0\nr1 = r6\nr2 = 79\nr3 = r0\ncall 1\nr0 = 0\nexit";
    let looks = load(runtime, "looks", looks);
    let get = |n: usize, key2| runtime.map_get(runtime.trace_address(&name(n)).unwrap(), key2);
    let exec = |n: usize| {
        let text = format!("r1 = {:#x} ll\nr2 = 78\ncall 0\nexit", runtime.trace_address(&name(n)).unwrap());
        let program = load(runtime, "get", &text);
        let value = runtime.exec(program, &mut [], None).unwrap().value;
        runtime.unload(program).unwrap();
        value
    };
    let entries = runtime.status().map_entries;
    (0..20).for_each(|n| attach(runtime, n, adds));
    // What was never hit has no entry.
    assert_eq!((get(1, 78), exec(1), runtime.status().map_entries), (None, u64::MAX, entries));
    (0..7).for_each(|_| call(1));
    assert_eq!((get(1, 78), exec(1), runtime.status().map_entries), (Some(35), 35, entries + 1));
    let key = runtime.trace_address(&name(1)).unwrap();
    runtime.map_put(key, 78, 1000).unwrap();
    call(1);
    assert_eq!(get(1, 78), Some(1005));
    assert!(runtime.map_del(key, 78));
    call(1);
    let mut seen = Vec::new();
    let mut next = Some(0);
    while let Some(first) = next {
        next = runtime.map_entries(first, &mut |key1, key2, value| {
            seen.push((key1, key2, value));
            true
        });
    }
    assert!(seen.contains(&(key, 78, 5)), "{seen:?}");
    // A program behind it that looks finds each hit of before, and this one.
    (0..3).for_each(|_| call(2));
    attach(runtime, 2, looks);
    assert_eq!(get(2, 78), Some(15));
    (0..2).for_each(|_| call(2));
    assert_eq!((get(2, 78), get(2, 79)), (Some(25), Some(25)));
    runtime.detach(&name(2), Some("looks")).unwrap();
    // While threads count, one that looks comes and goes.
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..3).map(|_| scope.spawn(|| (0..ROUNDS).for_each(|_| (0..20).for_each(call)))).collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            attach(runtime, 3, looks);
            runtime.detach(&name(3), Some("looks")).unwrap();
            // Counts that are looked at never go back.
            let (before, after) = (get(4, 78), get(4, 78));
            assert!(before <= after, "{before:?} {after:?}");
            // The next ones are counted again.
            runtime.detach(&name(4), None).unwrap();
            attach(runtime, 4, adds);
        }
    });
    let misses: u64 = runtime.list(Some(&name(4))).unwrap()[0].probes[0].misses;
    assert_eq!(misses, 0);
    for n in (5..20).chain([0]) {
        assert_eq!((get(n, 78), runs(runtime, n)), (Some(ROUNDS * 3 * 5), ROUNDS * 3), "{n}");
    }
    (0..20).for_each(|n| assert_eq!(runtime.detach(&name(n), None).unwrap(), 1));
    assert_eq!((get(7, 78), runtime.map_note()), (Some(ROUNDS * 3 * 5), None));
}

/// What a person sees who looks at counts.
#[test]
fn a_full_map_is_said_where_counts_are_looked_at() {
    if !alone("a_full_map_is_said_where_counts_are_looked_at") {
        return;
    }
    let (runtime, _turn) = engine();
    for key in 0..=runtime.status().map_capacity as u64 {
        let _ = runtime.map_put(key, 1, 1);
    }
    let note = runtime.map_note().unwrap();
    let said = "1 updates of the two-key map were lost, so counts may be too low: it is full (1024 entries)";
    assert!(note.starts_with(said), "{note}");
    let look = load(runtime, "look", "r1 = 1\nr2 = 1\ncall 0\nexit");
    let report = runtime.exec(look, &mut [], None).unwrap();
    assert_eq!((report.value, report.warnings), (1, vec![note]));
    let other = load(runtime, "other", "r0 = 2\nexit");
    assert_eq!(runtime.exec(other, &mut [], None).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn gates_are_used_again_and_no_site_gets_the_runs_of_another() {
    if !alone("gates_are_used_again_and_no_site_gets_the_runs_of_another") {
        return;
    }
    let (runtime, _turn) = engine();
    let noop = noop(runtime);
    let stop = AtomicBool::new(false);
    let mut seen = Vec::new();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    (1..MANY).for_each(call);
                }
            });
        }
        for round in 0..60 {
            // A window that moves on over the functions; the first is called by nobody but this thread.
            let others: Vec<usize> = (0..40).map(|n| 1 + (round * 40 + n) % (MANY - 1)).collect();
            attach(runtime, 0, noop);
            others.iter().for_each(|&n| attach(runtime, n, noop));
            seen.extend(others.iter().map(|&n| target(n)));
            (0..10).for_each(|_| call(0));
            assert_eq!(runs(runtime, 0), 10);
            for n in others.into_iter().chain([0]) {
                assert_eq!(runtime.detach(&name(n), None).unwrap(), 1);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() <= 64, "{} gates for 41 at a time", seen.len());
}

/// Whoever traces one function after the other for ever, some of them at their returns, takes no more memory each time.
#[test]
fn functions_that_are_traced_in_turn_keep_their_memory() {
    if !alone("functions_that_are_traced_in_turn_keep_their_memory") {
        return;
    }
    let (runtime, _turn) = engine();
    let noop = noop(runtime);
    let taken = [(); 8].map(|()| {
        for n in 0..150 {
            let limits = AttachLimits { at_return: n < 40, ..AttachLimits::default() };
            runtime.attach(&name(n), noop, limits).unwrap();
            call(n);
            assert_eq!(runs(runtime, n), 1);
            assert_eq!(runtime.detach(&name(n), None).unwrap(), 1);
        }
        TAKEN.load(Ordering::SeqCst)
    });
    assert_eq!(taken[7], taken[1], "{taken:?}");
}

#[test]
fn without_room_for_gates_programs_run_the_general_way_and_status_says_so() {
    if !alone("without_room_for_gates_programs_run_the_general_way_and_status_says_so") {
        return;
    }
    let (runtime, _turn) = engine();
    let noop = noop(runtime);
    LEFT.store(0, Ordering::SeqCst);
    let long = load(runtime, "long", &("r0 = 1\n".to_owned() + &"r0 *= 3\n".repeat(2000) + "exit"));
    (0..MANY).for_each(|n| attach(runtime, n, noop));
    let cramped = runtime.status().cramped_sites;
    (0..MANY).for_each(call);
    let right = (0..MANY).all(|n| runs(runtime, n) == 1);
    LEFT.store(usize::MAX, Ordering::SeqCst);
    (0..MANY).for_each(|n| assert_eq!(runtime.detach(&name(n), None).unwrap(), 1));
    assert!(right && cramped > 0, "{cramped}");
    runtime.unload(long).unwrap();
    // With room again the next attach has the short way.
    attach(runtime, MANY - 1, noop);
    assert_eq!(runtime.status().cramped_sites, 0);
    runtime.detach(&name(MANY - 1), None).unwrap();
}

/// A pattern attaches to all functions that it fits, and the program begins at all of them at one moment: a thread that calls the first and the
/// last in turn sees both begin in the same round.
#[test]
fn a_pattern_begins_everywhere_at_one_moment() {
    let (runtime, _turn) = engine();
    put("everywhere.bin", "r0 = 0\nexit");
    let few = runtime.attach_file("many_*", "everywhere.bin", &LoadOptions::default(), AttachLimits::default());
    assert_eq!(few.unwrap_err().to_string(), "that is 400 functions: say --yes to attach to so many");
    assert_eq!(runtime.status().probes, 0);
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    for _ in 0..10 {
        let attached = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    [0, MANY / 2, MANY - 1].into_iter().for_each(call);
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
            });
            let attached = attach_to(runtime, "many_*", "everywhere.bin");
            let enough = rounds.load(Ordering::SeqCst) + 100;
            while rounds.load(Ordering::SeqCst) < enough {
                thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
            attached
        });
        assert_eq!(attached, Ok(MANY));
        stop.store(false, Ordering::SeqCst);
        let [first, middle, last] = [0, MANY / 2, MANY - 1].map(|n| runs(runtime, n));
        assert!(first >= 100 && first.abs_diff(middle) <= 1 && first.abs_diff(last) <= 1, "{first} {middle} {last}");
        assert_eq!(runtime.status().cramped_sites, 0);
        (0..MANY).for_each(|n| assert_eq!(runtime.detach(&name(n), None).unwrap(), 1));
    }
    assert_eq!(attach_to(runtime, "many_1*9", "everywhere.bin"), Ok(11));
    let listed: Vec<String> = runtime.list(None).unwrap().into_iter().map(|report| report.function).collect();
    assert!(listed.len() == 11 && listed.is_sorted(), "by their names, not by their places: {listed:?}");
    for n in (0..MANY).filter(|n| name(*n).starts_with("many_1") && name(*n).ends_with('9')) {
        assert_eq!(runtime.detach(&name(n), None).unwrap(), 1);
    }
    assert_eq!(attach_to(runtime, "none_*", "everywhere.bin"), Err("no function none_* in this image".into()));
}

/// One function that cannot have it, for whatever reason, and none has it.
#[test]
fn a_pattern_attaches_to_all_or_to_none() {
    let (runtime, _turn) = engine();
    put("all.bin", "r0 = 0\nexit");
    let looks = "r1 = *(u64 *)(r1 + 0)\nr2 = 78\ncall 0\nr0 = 0\nexit";
    put("looks.bin", looks);
    let untouched = |others: usize| {
        assert_eq!(runtime.status().probes, others);
        (0..MANY).for_each(call);
    };
    attach_to(runtime, "many_77", "all.bin").unwrap();
    let error = attach_to(runtime, "many_*", "all.bin").unwrap_err();
    let said = "nothing was attached: 1 of 400 functions cannot have it:\n many_77: program all.bin is already attached to many_77";
    assert_eq!(error, said);
    untouched(1);
    // Text that cannot be changed at the 300th of them, with another program there and without.
    for file in ["looks.bin", "all.bin"] {
        let site = runtime.trace_address(&name(300)).unwrap() as usize - 5;
        REFUSED.store(site, Ordering::SeqCst);
        let error = attach_to(runtime, "many_3*", file).unwrap_err();
        REFUSED.store(0, Ordering::SeqCst);
        assert!(error.starts_with("nothing was attached: "), "{error}");
        untouched(1);
    }
    runtime.detach(&name(77), None).unwrap();
    assert_eq!(attach_to(runtime, "many_3*", "looks.bin"), Ok(111));
    (0..MANY).for_each(call);
    assert_eq!(runs(runtime, 300), 1);
    for n in (0..MANY).filter(|n| name(*n).starts_with("many_3")) {
        assert_eq!(runtime.detach(&name(n), None).unwrap(), 1);
    }
    let _ = std::fs::remove_dir_all(folder());
    std::fs::create_dir_all(folder()).unwrap();
}
