//! The shell's thread: sleeps until bytes come, feeds the shell, writes what hooks left for the console.

use crate::{glue, port::Port, say, walk};
use alloc::{boxed::Box, format};
use core::{
    cell::{Cell, UnsafeCell},
    mem::MaybeUninit,
};
use ubpf_rs::{
    platform::{boxed, Clock},
    runtime::Runtime,
};
use ubpf_virtio_serial::{Input, INTERRUPT};
use ushell_rs::{Beats, Command, Config, Failure, Shell};

/// How long output of hooks waits for the console at most, while something is attached.
const DRAIN_NS: u64 = 10_000_000;
/// How long what is not there is waited for before it is asked for again.
const AGAIN_NS: u64 = 500_000_000;
/// Bytes moved at once between the port and the shell.
const PIECE: usize = 1024;

/// Registers the image's commands and starts the thread.
pub fn start() {
    let pages = Command::new("pages", "", "walk the page tables and check them", |call| {
        let none = "this image has no page protection: CONFIG_PAGING is off";
        let survey = walk::survey().ok_or_else(|| Failure::message(none))?;
        call.out.bytes(format!("{survey}").as_bytes());
        match survey.holds() {
            true => Ok(()),
            false => Err(Failure::message("text or data is not protected")),
        }
    });
    if let Err(error) = ushell_rs::register_command(pages) {
        say(format_args!("ushell: {error}"));
    }
    // SAFETY: called in a thread of Unikraft's scheduler.
    let code = unsafe { glue::ukglue_thread_start(Some(serve)) };
    if code != 0 {
        say(format_args!("ushell: no thread for the shell (code {code})"));
    }
    // The shell takes its memory now: what the application leaves may be none.
    // SAFETY: in a thread.
    unsafe { glue::ukglue_yield() };
}

/// The port of the shell's thread. Where it will be is zero until it is made, so that the image's file has no place for it.
struct OwnPort {
    made: Cell<bool>,
    /// It took a part of what it was given last: the rest is to come before anything else.
    cut: Cell<bool>,
    port: UnsafeCell<MaybeUninit<Port>>,
}

// SAFETY: `with` lets the shell's thread alone touch it.
unsafe impl Sync for OwnPort {}

static PORT: OwnPort =
    OwnPort { made: Cell::new(false), cut: Cell::new(false), port: UnsafeCell::new(MaybeUninit::uninit()) };

impl OwnPort {
    /// Uses the port, made at the first time; `None` on other threads. `job` does not come here again.
    fn with<R>(&self, job: impl FnOnce(&mut Port) -> R) -> Option<R> {
        // SAFETY: no preconditions.
        if unsafe { glue::ukglue_in_shell() } == 0 {
            return None;
        }
        // SAFETY: this is the only thread that gets here, also while it waits, and `job` does not come here again.
        let port = unsafe { &mut *self.port.get() };
        if !self.made.get() {
            make(port);
            self.made.set(true);
        }
        // SAFETY: it was made.
        Some(job(unsafe { port.assume_init_mut() }))
    }

    /// Hands over bytes, says how many were taken.
    fn write(&self, bytes: &[u8]) -> Option<usize> {
        let taken = self.with(|port| port.write(bytes))?;
        self.cut.set(taken < bytes.len());
        Some(taken)
    }
}

/// What is moved to its place has been on the stack: not on that of who only uses it.
#[cold]
#[inline(never)]
fn make(place: &mut MaybeUninit<Port>) {
    place.write(Port::new());
}

/// Whether the command that runs on this thread is to end: `^C` came, which is taken, or its client is gone.
pub fn is_cancelled() -> bool {
    PORT.with(|port| port.take_interrupt() || port.is_gone()).unwrap_or(false)
}

/// What a reader hears while a command works.
static BEATS: Beats = Beats::new();

/// Tells the reader now and then, by the engine's clock, that the command which runs on this thread is at work.
pub fn beat(clock: &dyn Clock) {
    if PORT.with(|_| !PORT.cut.get()) == Some(true) {
        BEATS.beat(
            || clock.now_ns(),
            |bytes| {
                PORT.write(bytes);
            },
        );
    }
}

extern "C" fn serve() {
    let runtime = until_there_is(Runtime::get, "ushell: the engine did not start; the shell waits for it");
    runtime.platform().cpu.set_own(true);
    // An application may take all memory before the first thread but its own has run.
    let waits = "ushell: no memory for the shell; it waits for some";
    let mut session = until_there_is(|| session(runtime), waits);
    session.iter_mut().for_each(Session::run);
}

/// Asks again and again, and says once that it does: from the body of a thread there is no return in Unikraft.
fn until_there_is<T>(mut ask: impl FnMut() -> Option<T>, text: &str) -> T {
    let mut said = false;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        if !core::mem::replace(&mut said, true) {
            say(format_args!("{text}"));
        }
        // SAFETY: in the shell's thread.
        unsafe { glue::ukglue_wait(AGAIN_NS) };
    }
}

/// A session on the heap. While it is made the stack holds it, too, but not while commands run.
#[inline(never)]
fn session(runtime: &'static Runtime) -> Option<Box<[Session; 1]>> {
    let config = Config {
        file_limit: glue::config().file_limit as usize,
        history_lines: glue::config().history as usize,
        raise: Some(raise),
        beats: Some(&BEATS),
        ..Config::default()
    };
    let shell = Shell::try_new(runtime, config)?;
    boxed(Session { runtime, shell, input: [0; PIECE], pending: 0..0, output: [0; PIECE], unsent: 0..0 })
}

/// Raises a signal in the application; 0 or an errno value.
extern "C" fn raise(signal: i32) -> i32 {
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { glue::ukglue_raise(signal) }
}

struct Session {
    runtime: &'static Runtime,
    shell: Shell,
    input: [u8; PIECE],
    /// Input that the shell did not take yet.
    pending: core::ops::Range<usize>,
    output: [u8; PIECE],
    /// Output that the port did not take yet.
    unsent: core::ops::Range<usize>,
}

impl Session {
    fn run(&mut self) {
        loop {
            let mut busy = self.read();
            busy |= self.feed();
            busy |= self.write();
            self.runtime.drain_console();
            self.runtime.poll();
            if busy {
                // SAFETY: in a thread.
                unsafe { glue::ukglue_yield() };
            } else {
                // A command that waits for what programs write is asked again now and then.
                let soon = self.shell.is_writing() || self.runtime.status().probes > 0;
                PORT.with(|port| port.wait(if soon { DRAIN_NS } else { 0 }));
            }
        }
    }

    fn read(&mut self) -> bool {
        if !self.pending.is_empty() {
            return false;
        }
        // A file's contents at once; else what follows a command waits where a `^C` in it is found.
        let whole = self.shell.is_receiving();
        let input = &mut self.input;
        let read = PORT.with(|port| {
            let most = if whole { PIECE } else { port.piece() };
            port.read(input.get_mut(..most.clamp(1, PIECE)).unwrap_or_default())
        });
        match read.unwrap_or(Input::Nothing) {
            Input::Nothing => return false,
            Input::Connected => self.shell.connected(),
            Input::Cut => self.shell.drop_file(),
            Input::Disconnected => {
                self.unsent = 0..0;
                // The rest of a file's contents are no commands.
                if self.shell.is_receiving() {
                    PORT.with(Port::drop_unclear);
                }
                self.shell.disconnected();
            }
            Input::Bytes(count) => self.pending = 0..count,
        }
        true
    }

    fn feed(&mut self) -> bool {
        let bytes = self.input.get(self.pending.clone()).unwrap_or(&[]);
        if bytes.is_empty() {
            return false;
        }
        let taken = self.shell.feed(bytes);
        self.pending.start += taken;
        if self.shell.is_writing() && PORT.with(Port::take_interrupt) == Some(true) {
            self.shell.feed(&[INTERRUPT]);
        }
        taken > 0
    }

    fn write(&mut self) -> bool {
        if self.unsent.is_empty() {
            self.unsent = 0..self.shell.drain(&mut self.output);
        }
        let bytes = self.output.get(self.unsent.clone()).unwrap_or(&[]);
        if bytes.is_empty() {
            return false;
        }
        let taken = PORT.write(bytes).unwrap_or(bytes.len());
        self.unsent.start += taken;
        taken > 0
    }
}
