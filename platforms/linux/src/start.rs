//! Starts engine and shell inside this process; the entry that the C application calls.

use crate::{platform, records, symbols, threads, Monotonic};
use std::{
    ffi::{c_char, c_int, CStr},
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::FileTypeExt, net::UnixListener, net::UnixStream},
    },
    path::Path,
    sync::{
        atomic::{AtomicI32, AtomicU64, Ordering},
        Mutex, Once,
    },
    thread,
    time::{Duration, Instant},
};
use ubpf_rs::{
    platform::Clock,
    runtime::{Config, Runtime, Symbol, SymbolTable},
    tracer::SiteKind,
};
use ushell_rs::{Beats, Shell};

/// How often the shell's thread looks after the engine while nobody types.
const IDLE: Duration = Duration::from_millis(10);

/// Largest file that is read or taken: the symbols of a program with its libraries have some MiB.
const FILE_LIMIT: usize = 16 << 20;

/// Entries of the two-key map, unless [`MAP_ENTRIES`] says how many.
const USUAL_MAP_ENTRIES: usize = 16 << 10;
/// Name in the environment of how many entries the two-key map has.
const MAP_ENTRIES: &str = "UBPF_MAP_ENTRIES";

/// How long a drain waits for one that is under way.
const DRAIN_PATIENCE: Duration = Duration::from_millis(100);

extern "C" {
    /// `fflush(stdout)` (`c/support.c`).
    fn ubpf_linux_flush();
}

/// What of the start is done. A failed one can be repeated and goes on there.
struct Progress {
    image: bool,
    running: bool,
}

static PROGRESS: Mutex<Progress> = Mutex::new(Progress { image: false, running: false });

/// Says something on standard error, which may be closed or full: what is not said changes nothing for the application.
fn complain(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "ubpf: {text}");
}

/// Which step of the start failed, and why.
struct Failed {
    step: String,
    error: io::Error,
}

/// Names the step of an error.
fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> Failed {
    move |error| Failed { step: step.into(), error: error.into() }
}

fn other(error: impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}

/// Starts the engine in this process with its shell on a Unix socket, and returns once the socket listens. Files are
/// looked up in the working directory. Returns 0, or an errno value; which step failed is said on standard error. After a failure it can be
/// called again.
///
/// # Safety
/// `socket` is null or a NUL-terminated string. No other thread runs instrumented functions yet.
#[no_mangle]
pub unsafe extern "C" fn ubpf_linux_start(socket: *const c_char) -> c_int {
    if socket.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: see above.
    let path = unsafe { CStr::from_ptr(socket) };
    let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    match start(path) {
        Ok(()) => 0,
        Err(Failed { step, error }) => {
            complain(format_args!("{step}: {error}"));
            error.raw_os_error().unwrap_or(libc::EIO)
        }
    }
}

/// Flushes stdout and writes out what hooks have queued: what the caller prints next comes behind it.
#[no_mangle]
pub extern "C" fn ubpf_linux_drain() {
    let Some(runtime) = Runtime::get() else {
        return;
    };
    // SAFETY: takes nothing; the stream has a lock of its own.
    unsafe { ubpf_linux_flush() };
    let end = Instant::now() + DRAIN_PATIENCE;
    // Somebody else may be writing what was queued: it has to be out before the caller goes on.
    while runtime.try_drain_console().is_none() && Instant::now() < end {
        thread::yield_now();
    }
}

fn start(socket: &Path) -> Result<(), Failed> {
    let mut progress = PROGRESS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if progress.running {
        let twice = io::Error::from_raw_os_error(libc::EALREADY);
        return Err(step("the engine and its shell run already")(twice));
    }
    let runtime = match Runtime::get() {
        Some(runtime) => runtime,
        None => Runtime::init(platform(".".into()), config()?).map_err(|e| step("starting the engine")(other(e)))?,
    };
    #[cfg(feature = "elf")]
    runtime.pack_objects_with(ubpf_pack::pack_for_engine);
    if !progress.image {
        add_image(runtime)?;
        progress.image = true;
    }
    let listener = listen(socket)?;
    let started = keep_from_children(&listener)
        .and_then(|()| spawn(threads::DRAIN, move || look_after(runtime)))
        .and_then(|()| spawn(threads::SHELL, move || serve(runtime, &listener)));
    if let Err(failed) = started {
        LISTENER.store(-1, Ordering::SeqCst);
        let _ = std::fs::remove_file(socket); // ours, and nobody listens there
        return Err(failed);
    }
    progress.running = true;
    Ok(())
}

fn config() -> Result<Config, Failed> {
    Ok(Config { hook_areas: 32, file_limit: FILE_LIMIT, map_entries: map_entries()?, ..Config::default() })
}

fn map_entries() -> Result<usize, Failed> {
    const MOST: usize = 1 << 26;
    let Some(text) = std::env::var_os(MAP_ENTRIES) else {
        return Ok(USUAL_MAP_ENTRIES);
    };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.filter(|n| (1..=MOST).contains(n)).ok_or_else(|| {
        let wrong = io::Error::from_raw_os_error(libc::EINVAL);
        step(format!("{MAP_ENTRIES}={}: a number from 1 to {MOST} is wanted", text.display()))(wrong)
    })
}

/// The sockets of the shell, which a child of the process does not keep; -1 for none.
static LISTENER: AtomicI32 = AtomicI32::new(-1);
static CLIENT: AtomicI32 = AtomicI32::new(-1);

/// The thread of the shell; 0: none yet.
static THREAD: AtomicU64 = AtomicU64::new(0);
/// What its reader hears while a command works.
static BEATS: Beats = Beats::new();

/// Tells the reader now and then that the command which runs on this thread is at work.
pub(crate) fn beat() {
    let client = CLIENT.load(Ordering::SeqCst);
    if client < 0 || THREAD.load(Ordering::Relaxed) != threads::own() {
        return;
    }
    BEATS.beat(
        || Monotonic.now_ns(),
        |bytes| {
            // SAFETY: the bytes can be read. What is not taken is left out.
            unsafe { libc::send(client, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        },
    );
}

/// In a child of a fork nobody serves the shell: a client must find it gone when the parent is. What other threads were doing in the engine
/// nobody ends any more.
extern "C" fn in_a_child() {
    if let Some(runtime) = Runtime::get() {
        // The child is the application.
        threads::set_own(false);
        crate::counters::after_fork();
        runtime.after_fork();
    }
    // The engine still knows this thread by the number that it had.
    threads::after_fork();
    for socket in [&LISTENER, &CLIENT] {
        let socket = socket.swap(-1, Ordering::SeqCst);
        if socket >= 0 {
            // SAFETY: it belongs to a thread that there is not in this process.
            unsafe { libc::close(socket) };
        }
    }
}

/// Ties the listener to this process.
fn keep_from_children(listener: &UnixListener) -> Result<(), Failed> {
    static ONCE: Once = Once::new();
    LISTENER.store(listener.as_raw_fd(), Ordering::SeqCst);
    let mut code = 0;
    ONCE.call_once(|| {
        // SAFETY: the handler does what a signal handler may.
        code = unsafe { libc::pthread_atfork(None, None, Some(in_a_child)) };
    });
    match code {
        0 => Ok(()),
        code => Err(step("asking to be told of forks")(io::Error::from_raw_os_error(code))),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failed> {
    let thread = thread::Builder::new().name(name.into());
    let own = || {
        threads::set_own(true);
        body();
    };
    let made = thread.spawn(own).map(drop);
    made.map_err(step(format!("starting the thread {name}")))
}

/// Listens on the socket. A socket in its place is removed when nobody listens there any more; anything else stays.
fn listen(socket: &Path) -> Result<UnixListener, Failed> {
    let path = socket.display();
    match UnixListener::bind(socket) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        bound => return bound.map_err(step(format!("listening on {path}"))),
    }
    let found = std::fs::symlink_metadata(socket);
    let found = found.map_err(step(format!("looking at {path}, which is in the way")))?;
    if !found.file_type().is_socket() {
        let exists = io::Error::from_raw_os_error(libc::EEXIST);
        return Err(step(format!("{path} is in the way, and no socket"))(exists));
    }
    match UnixStream::connect(socket) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Ok(_) => {
            let used = io::Error::from_raw_os_error(libc::EADDRINUSE);
            return Err(step(format!("somebody listens on {path} already"))(used));
        }
        Err(error) => {
            return Err(step(format!("asking who listens on {path}"))(error));
        }
    }
    std::fs::remove_file(socket).map_err(step(format!("removing the old socket {path}")))?;
    UnixListener::bind(socket).map_err(step(format!("listening on {path}")))
}

/// Symbols first, then sites: the sites' functions are named by the symbols.
fn add_image(runtime: &Runtime) -> Result<(), Failed> {
    let own = symbols::own();
    let own = own.map_err(step("reading the symbols of the program from /proc/self/exe"))?;
    let (records, instrumented) = (records::own(), instrumented(&own));
    let mut stubs = [&records.patchable[..], &records.mcount, &instrumented].concat();
    stubs.sort_unstable();
    let sources = symbols::by_source(&own, &stubs);
    let table = SymbolTable::new(own.iter().chain(&sources).map(Symbol::from))
        .map_err(|e| step("sorting the symbols")(other(e)))?;
    runtime.add_symbols(table);
    runtime.add_sites(&records.patchable, SiteKind::Patchable);
    runtime.add_sites(&records.mcount, SiteKind::Mcount);
    runtime.add_sites(&instrumented, SiteKind::Instrumented);
    say_refused(runtime);
    // SAFETY: the section is written by `ubpf aot` alone.
    unsafe { runtime.add_linked(records::programs()) };
    Ok(())
}

/// Says how many stubs cannot be used, and why the first one cannot.
fn say_refused(runtime: &Runtime) {
    let (mut count, mut first) = (0usize, String::new());
    let mut next = Some(0);
    while let Some(place) = next {
        next = runtime.refused_stubs(place, &mut |name, address, reason| {
            if count == 0 {
                first = format!("that of {name} ({address:#x}): {reason}");
            }
            count += 1;
            true
        });
    }
    if count > 0 {
        complain(format_args!("{count} entry stubs cannot be used; {first} (functions -v lists them)"));
    }
}

/// Functions that call `__cyg_profile_func_enter`, by what a near call to it looks like. Nothing is patched there, so a
/// chance likeness does no harm.
fn instrumented(own: &[symbols::Symbol]) -> Vec<u64> {
    let Some(hook) = own.iter().find(|s| s.name == "__cyg_profile_func_enter") else {
        return Vec::new();
    };
    let calls = |s: &&symbols::Symbol| {
        let Ok(len) = usize::try_from(s.size) else {
            return false;
        };
        // SAFETY: the symbol table says that a function of this length is mapped and readable there.
        let text = unsafe { std::slice::from_raw_parts(s.address as *const u8, len) };
        (s.address..).zip(text.windows(5)).any(|(at, bytes)| {
            let [op, a, b, c, d] = *bytes else {
                return false;
            };
            let target = at.wrapping_add(5).wrapping_add(i32::from_le_bytes([a, b, c, d]) as u64);
            matches!(op, 0xe8 | 0xe9) && target == hook.address
        })
    };
    own.iter().filter(|s| s.is_function && s.size >= 5).filter(calls).map(|s| s.address).collect()
}

/// Writes out what hooks queued and takes off probes whose time is over.
fn look_after(runtime: &'static Runtime) {
    loop {
        runtime.drain_console();
        runtime.poll();
        thread::sleep(IDLE);
    }
}

/// One client at a time; one that vanishes leaves everything as it is.
fn serve(runtime: &'static Runtime, listener: &UnixListener) {
    let config =
        ushell_rs::Config { raise: Some(raise), file_limit: FILE_LIMIT, beats: Some(&BEATS), ..Default::default() };
    let mut shell = Shell::new(runtime, config);
    THREAD.store(threads::own(), Ordering::Relaxed);
    for mut client in listener.incoming().flatten() {
        shell.connected();
        CLIENT.store(client.as_raw_fd(), Ordering::SeqCst);
        // The end of a conversation, however it came, is not an error here.
        let _ = talk(&mut shell, &mut client);
        CLIENT.store(-1, Ordering::SeqCst);
        // A child of the process may have the socket open as well; the client is told all the same.
        let _ = client.shutdown(Shutdown::Both);
        shell.disconnected();
    }
}

fn talk(shell: &mut Shell, client: &mut UnixStream) -> io::Result<()> {
    let mut input = [0; 4096];
    send(shell, client)?;
    loop {
        // A command that waits for what programs write is asked again now and then.
        client.set_read_timeout(shell.is_writing().then_some(IDLE))?;
        let count = match client.read(&mut input) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                send(shell, client)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut rest = input.get(..count).unwrap_or(&[]);
        while !rest.is_empty() {
            let taken = shell.feed(rest);
            rest = rest.get(taken..).unwrap_or(&[]);
            send(shell, client)?;
        }
        if shell.wants_close() {
            return Ok(());
        }
    }
}

fn send(shell: &mut Shell, client: &mut UnixStream) -> io::Result<()> {
    let mut output = [0; 4096];
    loop {
        let count = shell.drain(&mut output);
        if count == 0 {
            return Ok(());
        }
        client.write_all(output.get(..count).unwrap_or(&[]))?;
    }
}

/// Raises a signal in the process; 0 or an errno value.
extern "C" fn raise(signal: i32) -> i32 {
    // SAFETY: takes a number; what the signal does is the application's.
    match unsafe { libc::raise(signal) } {
        0 => 0,
        _ => crate::errno(),
    }
}
