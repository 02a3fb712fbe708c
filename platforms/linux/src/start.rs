//! Starts engine and shell inside this process; the entry that the C application calls.

use crate::{platform, records, symbols};
use std::{
    ffi::{c_char, c_int, CStr},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, net::UnixListener, net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};
use ubpf_rs::{
    runtime::{Config, Runtime, Symbol, SymbolTable},
    tracer::SiteKind,
};
use ushell_rs::Shell;

/// How often the shell's thread looks after the engine while nobody types.
const IDLE: Duration = Duration::from_millis(10);

/// Largest file that is read or taken: the symbols of a program with its libraries have some MiB.
const FILE_LIMIT: usize = 16 << 20;

extern "C" {
    /// Makes every write of the application's stdout drain the engine's output first (`c/support.c`).
    fn ubpf_linux_wrap_stdout() -> c_int;
}

/// Starts the engine in this process with its shell on a Unix socket, and returns once the socket listens. Files are
/// looked up in the working directory. Returns 0, or an errno value.
///
/// # Safety
/// `socket` is null or a NUL-terminated string. Called once, before other threads run instrumented functions.
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
        Err(error) => {
            eprintln!("ubpf: {}: {error}", path.display());
            error.raw_os_error().unwrap_or(libc::EIO)
        }
    }
}

/// Drains what hooks queued to the console; called before each write of the application.
#[no_mangle]
pub extern "C" fn ubpf_linux_drain() {
    if let Some(runtime) = Runtime::get() {
        runtime.drain_console();
    }
}

fn start(socket: &Path) -> io::Result<()> {
    let config = Config {
        hook_areas: 32,
        file_limit: FILE_LIMIT,
        ..Config::default()
    };
    let runtime = Runtime::init(platform(".".into()), config);
    let runtime = runtime.map_err(|error| io::Error::other(error.to_string()))?;
    add_image(runtime)?;
    // SAFETY: replaces the stream `stdout` by one of its own; nobody writes to it yet.
    if unsafe { ubpf_linux_wrap_stdout() } != 0 {
        return Err(io::Error::last_os_error());
    }
    // A socket file left by an earlier process is in the way; that there is none is the usual case.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    thread::Builder::new()
        .name("ushell".into())
        .spawn(move || serve(runtime, &listener))?;
    thread::Builder::new()
        .name("ubpf-drain".into())
        .spawn(move || look_after(runtime))?;
    Ok(())
}

/// Symbols first, then sites: the sites' functions are named by the symbols.
fn add_image(runtime: &Runtime) -> io::Result<()> {
    let own = symbols::own()?;
    let table = own.iter().map(|s| Symbol {
        address: s.address,
        name: &s.name,
        function: s.is_function,
    });
    let table = SymbolTable::new(table).map_err(|error| io::Error::other(error.to_string()))?;
    runtime.add_symbols(table);
    let records = records::own();
    runtime.add_sites(&records.patchable, SiteKind::Patchable);
    runtime.add_sites(&records.mcount, SiteKind::Mcount);
    runtime.add_sites(&instrumented(&own), SiteKind::Instrumented);
    // SAFETY: the section is written by `ubpf aot` alone.
    unsafe { runtime.add_linked(records::programs()) };
    Ok(())
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
            let target = at
                .wrapping_add(5)
                .wrapping_add(i32::from_le_bytes([a, b, c, d]) as u64);
            matches!(op, 0xe8 | 0xe9) && target == hook.address
        })
    };
    own.iter()
        .filter(|s| s.is_function && s.size >= 5)
        .filter(calls)
        .map(|s| s.address)
        .collect()
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
    let config = ushell_rs::Config {
        raise: Some(raise),
        file_limit: FILE_LIMIT,
        ..ushell_rs::Config::default()
    };
    let mut shell = Shell::new(runtime, config);
    for client in listener.incoming().flatten() {
        shell.connected();
        // The end of a conversation, however it came, is not an error here.
        let _ = talk(&mut shell, client);
        shell.disconnected();
    }
}

fn talk(shell: &mut Shell, mut client: UnixStream) -> io::Result<()> {
    let mut input = [0; 4096];
    send(shell, &mut client)?;
    loop {
        let count = client.read(&mut input)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = input.get(..count).unwrap_or(&[]);
        while !rest.is_empty() {
            let taken = shell.feed(rest);
            rest = rest.get(taken..).unwrap_or(&[]);
            send(shell, &mut client)?;
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
