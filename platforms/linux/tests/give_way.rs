//! A command that takes long lets others run, and these may call the engine, on the same CPU: while each command is in each of its phases,
//! every function of the C interface is called. None waits for ever, and whatever is answered, the engine is whole afterwards.

#[path = "common/image.rs"]
mod image;

use std::{
    cell::Cell,
    ffi::{c_char, c_int, c_void, CString},
    fs, ptr,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    ffi::*,
    isa::assemble,
    platform::{Clock, GiveWay, Platform, SLICE_NS},
    runtime::{Config, Runtime},
};

extern "C" {
    fn gcc_patchable_myfun();
    fn gcc_patchable_empty();
}

/// Each look at it finds a slice used up.
struct Steps(AtomicU64);

impl Clock for Steps {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(SLICE_NS, SeqCst)
    }
}

static CLOCK: Steps = Steps(AtomicU64::new(0));

/// The application, whose turn it is when a command gives way: it calls one function of the engine.
struct Application;

thread_local! {
    /// Which one this thread calls; none while it does.
    static NEXT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Give-ways since the command began.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// What is at work, for who waits in vain: command and function.
static AT: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// Tells the hook that waits to come to its end.
static RELEASE: AtomicBool = AtomicBool::new(true);
static CANCEL: AtomicBool = AtomicBool::new(false);

impl GiveWay for Application {
    fn give_way(&self) {
        let Some(function) = NEXT.take() else {
            return;
        };
        let count = COUNT.fetch_add(1, SeqCst);
        // The first ones are in other phases than the last ones; between them one is like the other.
        if count > 30 && !count.is_multiple_of(97) {
            RELEASE.store(true, SeqCst);
            return NEXT.set(Some(function));
        }
        AT[1].store(function, SeqCst);
        let (name, call) = FUNCTIONS[function];
        let code = call();
        assert!(ANSWERS.contains(&code), "{name} at give-way {count} of {}: {code}", COMMANDS[AT[0].load(SeqCst)].0);
        // Hooks end when they have been waited for some time.
        if count >= 3 {
            RELEASE.store(true, SeqCst);
        }
        NEXT.set(Some(function));
    }
    fn is_cancelled(&self) -> bool {
        CANCEL.load(SeqCst)
    }
}

/// What a call may answer that meets another one.
const ANSWERS: &[c_int] = &[UBPF_OK, UBPF_BUSY, UBPF_STALE, UBPF_NOT_FOUND, UBPF_EXISTS, UBPF_REFUSED, UBPF_STOPPED];

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A program that helps to keep a hook busy: `call 700`.
fn waiting() -> Vec<u8> {
    assemble("call 700\nr0 = 0\nexit").unwrap()
}

extern "C" fn wait(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    while !RELEASE.load(SeqCst) {
        thread::yield_now();
    }
    0
}

fn load(name: &str, bytes: &[u8]) -> (c_int, ubpf_program) {
    let (name, mut program) = (text(name), 0);
    // SAFETY: strings, bytes and results live during the call.
    let code = unsafe {
        ubpf_load(name.as_ptr(), bytes.as_ptr().cast(), bytes.len(), ptr::null(), &mut program, ptr::null_mut())
    };
    (code, program)
}

fn attach(function: &str, program: ubpf_program) -> (c_int, ubpf_probe) {
    let (function, mut probe) = (text(function), 0);
    // SAFETY: string and results live during the call.
    let code = unsafe { ubpf_attach(function.as_ptr(), program, ptr::null(), &mut probe, ptr::null_mut()) };
    (code, probe)
}

fn exec(program: ubpf_program, budget: u64) -> c_int {
    let mut memory = [0u8; 16];
    // SAFETY: memory lives during the call.
    unsafe { ubpf_exec(program, memory.as_mut_ptr().cast(), 16, budget, ptr::null_mut(), ptr::null_mut()) }
}

unsafe extern "C" fn each_probe(_: *mut c_void, _: *const ubpf_probe_info) {}
unsafe extern "C" fn each_name(_: *mut c_void, _: *const c_char) -> c_int {
    1
}
unsafe extern "C" fn each_stub(_: *mut c_void, _: *const ubpf_refused_stub) -> c_int {
    1
}

const SHORT: &str = "r0 = 7\nexit";
const NM: &str = "1000 T some_function\n";

/// A name, and a call that gives a code.
type Call = (&'static str, fn() -> c_int);

/// Every function of the C interface.
const FUNCTIONS: &[Call] = &[
    ("ubpf_version", || c_int::from(ubpf_version().is_null())),
    ("ubpf_config_default", || {
        // SAFETY: NULL is passed over.
        unsafe { ubpf_config_default(ptr::null_mut(), 0) };
        0
    }),
    ("ubpf_start", || {
        let table = ubpf_platform { now_ns: None, ..platform_table() };
        // SAFETY: the table lives during the call; it is refused.
        match unsafe { ubpf_start(&table, ptr::null(), ptr::null_mut()) } {
            UBPF_INVALID => UBPF_EXISTS,
            code => code,
        }
    }),
    // SAFETY: no result is asked for.
    ("ubpf_reset", || unsafe { ubpf_reset(ptr::null_mut()) }),
    ("ubpf_drain", || {
        ubpf_drain();
        0
    }),
    ("ubpf_poll", || {
        ubpf_poll();
        0
    }),
    // SAFETY: no result is asked for.
    ("ubpf_stats", || unsafe { ubpf_stats(1, ptr::null_mut()) }),
    ("ubpf_get_status", || {
        let mut status = ubpf_status { size: size_of::<ubpf_status>(), ..ubpf_status::default() };
        // SAFETY: the result lives during the call.
        unsafe { ubpf_get_status(&mut status, ptr::null_mut()) }
    }),
    ("ubpf_arena", || {
        let (mut base, mut length) = (ptr::null_mut(), 0);
        // SAFETY: the results live during the call.
        unsafe { ubpf_arena(&mut base, &mut length, ptr::null_mut()) }
    }),
    ("ubpf_map_get", || {
        let mut value = 0;
        // SAFETY: the result lives during the call.
        unsafe { ubpf_map_get(1, 2, &mut value, ptr::null_mut()) }
    }),
    // SAFETY: no result is asked for.
    ("ubpf_map_put", || unsafe { ubpf_map_put(1, 2, 3, ptr::null_mut()) }),
    // SAFETY: no result is asked for.
    ("ubpf_map_del", || unsafe { ubpf_map_del(1, 2, ptr::null_mut()) }),
    ("ubpf_register_helper", || {
        let name = text("wait");
        helper(&name)
    }),
    ("ubpf_load", || load("short", &assemble(SHORT).unwrap()).0),
    ("ubpf_load_file", || {
        let (path, mut program) = (text("short.bin"), 0);
        // SAFETY: string and result live during the call.
        unsafe { ubpf_load_file(path.as_ptr(), ptr::null(), &mut program, ptr::null_mut()) }
    }),
    ("ubpf_verify", || {
        let (name, bytes) = (text("short"), assemble(SHORT).unwrap());
        let at = bytes.as_ptr().cast();
        // SAFETY: string and bytes live during the call.
        unsafe { ubpf_verify(name.as_ptr(), at, bytes.len(), ptr::null(), ptr::null_mut()) }
    }),
    ("ubpf_unload", || {
        let (_, program) = load("unloaded", &assemble(SHORT).unwrap());
        // SAFETY: no result is asked for.
        unsafe { ubpf_unload(program, ptr::null_mut()) }
    }),
    ("ubpf_exec", || exec(load("run", &assemble(SHORT).unwrap()).1, 100)),
    ("ubpf_attach", || {
        let (_, program) = load("second", &assemble(SHORT).unwrap());
        attach("gcc_patchable_myfun", program).0
    }),
    // SAFETY: no result is asked for.
    ("ubpf_detach", || unsafe { ubpf_detach(0x62 << 56 | 1, ptr::null_mut()) }),
    ("ubpf_detach_function", || {
        let function = text("gcc_patchable_myfun");
        // SAFETY: the string lives during the call.
        unsafe { ubpf_detach_function(function.as_ptr(), ptr::null(), ptr::null_mut(), ptr::null_mut()) }
    }),
    // SAFETY: no result is asked for.
    ("ubpf_list", || unsafe { ubpf_list(ptr::null(), Some(each_probe), ptr::null_mut(), ptr::null_mut()) }),
    // SAFETY: no result is asked for.
    ("ubpf_functions", || unsafe { ubpf_functions(Some(each_name), ptr::null_mut(), ptr::null_mut()) }),
    // SAFETY: no result is asked for.
    ("ubpf_refused_stubs", || unsafe { ubpf_refused_stubs(Some(each_stub), ptr::null_mut(), ptr::null_mut()) }),
    // SAFETY: no records are given.
    ("ubpf_add_sites", || unsafe {
        ubpf_add_sites(UBPF_SITES_PATCHABLE, ptr::null(), 0, ptr::null_mut(), ptr::null_mut())
    }),
    ("ubpf_add_symbols", || add_symbols(&nm())),
    ("ubpf_load_symbols", || load_symbols()),
    ("ubpf_symbol_address", || {
        let (name, mut address) = (text("gcc_patchable_myfun"), 0);
        // SAFETY: string and result live during the call.
        unsafe { ubpf_symbol_address(name.as_ptr(), &mut address, ptr::null_mut()) }
    }),
    ("ubpf_symbol_name", || {
        let mut name = [0; 32];
        // SAFETY: the results live during the call.
        unsafe {
            ubpf_symbol_name(
                gcc_patchable_myfun as *const () as u64,
                name.as_mut_ptr(),
                32,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        }
    }),
];

/// Functions that take long, in a state in which they do.
const COMMANDS: &[Call] = &[
    ("load", || load("long", &long_program()).0),
    ("exec, interpreted", || exec(load("endless", &endless()).1, 100_000)),
    ("exec of machine code", || exec(load("endless", &endless()).1, 1_000_000)),
    ("attach while a hook runs", || {
        let before = in_hook();
        let (_, program) = load("one more", &assemble(SHORT).unwrap());
        let code = attach("gcc_patchable_myfun", program).0;
        before.end();
        code
    }),
    ("detach while a hook runs", || {
        let before = in_hook();
        // SAFETY: no result is asked for.
        let code = unsafe { ubpf_detach(before.probe, ptr::null_mut()) };
        before.end();
        code
    }),
    ("reset while a hook runs", || {
        let before = in_hook();
        // SAFETY: no result is asked for.
        let code = unsafe { ubpf_reset(ptr::null_mut()) };
        before.end();
        code
    }),
    // SAFETY: no result is asked for.
    ("stats", || unsafe { ubpf_stats(0, ptr::null_mut()) }),
    // SAFETY: no result is asked for.
    ("list", || unsafe { ubpf_list(ptr::null(), Some(each_probe), ptr::null_mut(), ptr::null_mut()) }),
    // SAFETY: no result is asked for.
    ("functions", || unsafe { ubpf_functions(Some(each_name), ptr::null_mut(), ptr::null_mut()) }),
    ("add_symbols", || add_symbols(&nm())),
    ("load_symbols", || load_symbols()),
];

fn endless() -> Vec<u8> {
    assemble("r0 = 0\nr0 += 1\nif r1 == 1 goto +1\ngoto -3\nexit").unwrap()
}

fn long_program() -> Vec<u8> {
    assemble(&("r0 = 1\n".repeat(2000) + "exit")).unwrap()
}

/// The output of `nm` for what the tests need.
fn nm() -> String {
    let address = |function: unsafe extern "C" fn()| function as *const () as u64;
    format!(
        "{NM}{:x} T gcc_patchable_myfun\n{:x} T gcc_patchable_empty\n",
        address(gcc_patchable_myfun),
        address(gcc_patchable_empty)
    )
}

fn add_symbols(nm: &str) -> c_int {
    // SAFETY: the text lives during the call.
    unsafe { ubpf_add_symbols(nm.as_ptr().cast(), nm.len(), ptr::null_mut(), ptr::null_mut()) }
}

fn load_symbols() -> c_int {
    let path = text("symbols.txt");
    // SAFETY: the string lives during the call.
    unsafe { ubpf_load_symbols(path.as_ptr(), ptr::null_mut(), ptr::null_mut()) }
}

fn helper(name: &CString) -> c_int {
    let helper = ubpf_helper {
        size: size_of::<ubpf_helper>(),
        name: name.as_ptr(),
        number: 700,
        args: [0; 5],
        returns_nothing: 0,
        cost: 1,
        cost_per_8_bytes: 0,
        function: Some(wait),
        function_with_context: None,
        context: ptr::null_mut(),
    };
    // SAFETY: what it refers to lives during the call.
    unsafe { ubpf_register_helper(&helper, ptr::null_mut()) }
}

fn platform_table() -> ubpf_platform {
    // SAFETY: a table of NULLs.
    let nothing = unsafe { std::mem::zeroed() };
    ubpf_platform { size: size_of::<ubpf_platform>(), ..nothing }
}

/// A thread that is in a hook of `gcc_patchable_myfun` until it is released.
struct InHook {
    thread: thread::JoinHandle<()>,
    probe: ubpf_probe,
}

fn in_hook() -> InHook {
    // What is done before is not what is looked at.
    let next = NEXT.take();
    let (code, program) = load("waits", &waiting());
    assert_eq!(code, UBPF_OK);
    let (code, probe) = attach("gcc_patchable_myfun", program);
    assert_eq!(code, UBPF_OK);
    RELEASE.store(false, SeqCst);
    // SAFETY: a C function without arguments.
    let thread = thread::spawn(|| unsafe { gcc_patchable_myfun() });
    let runs = || Runtime::get().unwrap().list(None).unwrap()[0].probes[0].runs;
    while runs() == 0 {
        thread::yield_now();
    }
    COUNT.store(0, SeqCst);
    NEXT.set(next);
    InHook { thread, probe }
}

impl InHook {
    fn end(self) {
        RELEASE.store(true, SeqCst);
        self.thread.join().unwrap();
    }
}

fn start() {
    let folder = std::env::temp_dir().join(format!("ubpf-give-way-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("short.bin"), assemble(SHORT).unwrap()).unwrap();
    let mut nm = nm();
    for number in 0..200 {
        nm += &format!("{:x} T other_{number}\n", 0x100 + number);
    }
    fs::write(folder.join("symbols.txt"), nm).unwrap();
    let platform = Platform { clock: &CLOCK, give_way: &Application, ..platform(folder) };
    let engine = Runtime::init(platform, Config::default()).unwrap();
    image::add_image(engine);
    assert_eq!(helper(&text("wait")), UBPF_OK);
}

/// Ends the test when somebody waits for ever, and says who.
fn watch() {
    thread::spawn(|| {
        let mut before = 0;
        loop {
            thread::sleep(Duration::from_secs(30));
            let now = CLOCK.0.load(SeqCst);
            if now == before {
                let [command, function] = [0, 1].map(|at: usize| AT[at].load(SeqCst));
                eprintln!("{} waits for ever in {}", FUNCTIONS[function].0, COMMANDS[command].0);
                std::process::abort();
            }
            before = now;
        }
    });
}

fn reset() {
    // SAFETY: no result is asked for.
    assert_eq!(unsafe { ubpf_reset(ptr::null_mut()) }, UBPF_OK);
    assert_eq!(add_symbols(&nm()), UBPF_OK);
}

#[test]
fn whatever_is_called_while_a_command_gives_way_the_engine_is_whole() {
    start();
    watch();
    for (command, (name, run)) in COMMANDS.iter().enumerate() {
        AT[0].store(command, SeqCst);
        for (function, (called, _)) in FUNCTIONS.iter().enumerate() {
            reset();
            COUNT.store(0, SeqCst);
            NEXT.set(Some(function));
            let code = run();
            NEXT.set(None);
            RELEASE.store(true, SeqCst);
            assert!(ANSWERS.contains(&code), "{name}, with {called}: {code}");
            let quick = ["stats", "list", "functions"].contains(name);
            assert!(COUNT.load(SeqCst) > 0 || quick, "{name} gave no way");
        }
    }
    // All works as ever.
    reset();
    // SAFETY: no result is asked for.
    assert_eq!(unsafe { ubpf_stats(0, ptr::null_mut()) }, UBPF_OK);
    let (code, program) = load("last", &assemble(SHORT).unwrap());
    assert_eq!((code, exec(program, 100)), (UBPF_OK, UBPF_OK));
    let (code, probe) = attach("gcc_patchable_myfun", program);
    assert_eq!(code, UBPF_OK);
    // SAFETY: a C function without arguments.
    unsafe { gcc_patchable_myfun() };
    let reports = Runtime::get().unwrap().list(None).unwrap();
    assert_eq!(reports[0].probes[0].runs, 1);
    // SAFETY: no result is asked for.
    assert_eq!(unsafe { ubpf_detach(probe, ptr::null_mut()) }, UBPF_OK);
    let status = Runtime::get().unwrap().status();
    assert_eq!((status.probes, status.lost_hooks), (0, (0, 0)));

    // A command that is cancelled leaves nothing.
    CANCEL.store(true, SeqCst);
    let programs = status.programs;
    assert_eq!(load("long", &long_program()).0, UBPF_CANCELLED);
    assert_eq!(exec(program, 1_000_000), UBPF_OK, "it is short");
    assert_eq!(load_symbols(), UBPF_CANCELLED);
    assert_eq!(Runtime::get().unwrap().status().programs, programs);
}
