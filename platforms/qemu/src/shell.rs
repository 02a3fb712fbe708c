//! The shell's thread: between the port's bytes and the shell, with a pause whenever neither has anything to do.

use alloc::format;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use ubpf_rs::runtime::Runtime;
use ubpf_virtio_serial::{Input, INTERRUPT};
use ushell_rs::{Beats, Command, Config, Failure, Shell};

use crate::{app, cpu, memory, serial, thread, time, walk};

/// How long what programs said may wait for the console when nobody uses the shell.
const PAUSE_NS: u64 = 20_000_000;
const BUFFER: usize = 4096;

/// Registers the image's commands and starts the thread.
pub fn start() {
    let pages = Command::new("pages", "", "walk the page tables and check them", |call| {
        let survey = walk::survey().map_err(|broken| Failure::message(format!("{broken}")))?;
        call.out.bytes(format!("{survey}").as_bytes());
        Ok(())
    });
    let echo = Command::new("echo", "", "send back all that comes, until the connection ends", |_| {
        serial::echo();
        Ok(())
    });
    let port = Command::new("port", "", "show how the shell's port is doing, and how much memory is in use", |call| {
        let survey = serial::survey().ok_or_else(|| Failure::message("there is no port"))?;
        let (used, size) = memory::heap_usage();
        call.out.bytes(format!("{survey}heap: {used} of {size} bytes in use\n").as_bytes());
        Ok(())
    });
    let gap = Command::new(
        "gap",
        "",
        "show the longest time that a ready thread had to wait, in ns, since this was last asked",
        |call| {
            let started = WATCHED.swap(true, Ordering::Relaxed) || thread::spawn("watch", watch);
            started.then_some(()).ok_or_else(|| Failure::message("no thread to watch"))?;
            call.out.line(&format!("{}", LONGEST.swap(0, Ordering::Relaxed)));
            Ok(())
        },
    );
    let work = Command::new(
        "work",
        "N",
        "let a thread allocate, lose memory and sleep N times; show how often it did before",
        |call| {
            let rounds = call.number(0, "N")?;
            let started = WORKS.swap(true, Ordering::Relaxed) || thread::spawn("work", app::work);
            started.then_some(()).ok_or_else(|| Failure::message("no thread to work"))?;
            call.out.line(&format!("{}", app::want_rounds(rounds)));
            Ok(())
        },
    );
    for command in [pages, echo, port, gap, work] {
        if let Err(error) = ushell_rs::register_command(command) {
            println!("{error}");
        }
    }
    if !thread::spawn("ushell", run) {
        println!("no thread for the shell");
    }
}

/// Whether a thread watches for what follows.
static WATCHED: AtomicBool = AtomicBool::new(false);
/// Whether there is the thread that works.
static WORKS: AtomicBool = AtomicBool::new(false);
/// The longest time, in ns, that it had to wait for its turn.
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// A thread that is always ready.
extern "C" fn watch() -> ! {
    x86_64::instructions::interrupts::enable();
    loop {
        let before = time::now_ns();
        thread::wait(None, 0);
        LONGEST.fetch_max(time::now_ns().saturating_sub(before), Ordering::Relaxed);
    }
}

/// The shell's thread; 0 is none of its.
static THREAD: AtomicUsize = AtomicUsize::new(0);

/// Whether this is the shell's thread.
pub fn is_here() -> bool {
    let own = THREAD.load(Ordering::Relaxed);
    own != 0 && cpu::number() == 0 && thread::current() == own
}

/// What a reader hears while a command works.
static BEATS: Beats = Beats::new();

/// Tells the reader now and then that the command which runs on this thread is at work.
pub fn beat() {
    if is_here() {
        BEATS.beat(time::now_ns, |bytes| {
            serial::write(bytes);
        });
    }
}

extern "C" fn run() -> ! {
    THREAD.store(thread::current(), Ordering::Relaxed);
    x86_64::instructions::interrupts::enable();
    let Some(runtime) = Runtime::get() else {
        loop {
            thread::wait(None, u64::MAX);
        }
    };
    runtime.platform().cpu.set_own(true);
    let config = Config { beats: Some(&BEATS), ..Config::default() };
    let mut session = Session { shell: Shell::new(runtime, config), input: [0; BUFFER], waiting: 0..0 };
    loop {
        serial::EVENT.store(false, Ordering::Release);
        let busy = session.take_input() | session.give_output() && session.has_more();
        runtime.drain_console();
        runtime.poll();
        thread::wait(Some(&serial::EVENT), if busy { 0 } else { PAUSE_NS });
    }
}

struct Session {
    shell: Shell,
    input: [u8; BUFFER],
    /// The part of `input` that the shell has not taken yet.
    waiting: core::ops::Range<usize>,
}

impl Session {
    /// Whether there is something to do without a new event.
    fn has_more(&self) -> bool {
        !self.waiting.is_empty() || self.shell.has_output() || serial::has_input()
    }

    /// Moves output to the port; whether there was any.
    fn give_output(&mut self) -> bool {
        if !self.shell.has_output() && !self.shell.is_writing() {
            return false;
        }
        let mut output = [0; BUFFER];
        let room = serial::room().min(BUFFER);
        let count = self.shell.drain(&mut output[..room]);
        serial::write(&output[..count]);
        count > 0
    }

    /// Moves input to the shell; whether there was any.
    fn take_input(&mut self) -> bool {
        if self.waiting.is_empty() {
            // A file's contents at once; else what follows a command waits where a `^C` in it is found.
            let most = if self.shell.is_receiving() { BUFFER } else { serial::piece().clamp(1, BUFFER) };
            match serial::read(&mut self.input[..most]) {
                Input::Nothing => return false,
                Input::Connected => self.shell.connected(),
                Input::Cut => self.shell.drop_file(),
                Input::Disconnected => {
                    // The rest of a file's contents are no commands.
                    if self.shell.is_receiving() {
                        serial::drop_unclear();
                    }
                    self.shell.disconnected();
                }
                Input::Bytes(count) => self.waiting = 0..count,
            }
        }
        let count = self.shell.feed(&self.input[self.waiting.clone()]);
        self.waiting.start += count;
        if self.shell.is_writing() && serial::take_interrupt() {
            self.shell.feed(&[INTERRUPT]);
        }
        true
    }
}
