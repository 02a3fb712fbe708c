//! Interrupts for programs of timers: each thread has a timer of the kernel for its own CPU time (`timer_create`), which sends the thread a real-time
//! signal. Threads that wait are left alone. A thread of ours finds new threads, and runs programs that go by the clock; it is there while
//! programs want to be run.
//!
//! The signal is the highest that nobody handles. Its handler stays once it is there: a signal may be on its way when the last timer goes, and
//! would end the process by default. It runs on the alternate stack where a thread has one, system calls are restarted (those that the kernel never
//! restarts, as `nanosleep` and `poll`, may end early), and what the application gets by the same number is done as if no handler were there.

use crate::threads;
use std::{
    mem, ptr,
    sync::{
        atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering},
        mpsc, Arc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use ubpf_rs::{
    platform::{StackTest, Ticking, Timer},
    tracer::{sample, Registers, BY_CLOCK, OF_CPU},
};

/// Timers of the kernel, one for each thread.
pub struct ThreadTimers;

/// How often new threads are looked for,
const LOOK: Duration = Duration::from_millis(25);
/// unless that takes more than this part of a CPU's time.
const PART: u32 = 50;
/// Threads that are known and are looked at again, each time.
const AGAIN: usize = 8;
/// The shortest time between two runs by the clock.
const SHORTEST: u64 = 100_000;
/// From the beginning to the end of the kernel's tick no timer of CPU time goes off. One that is due a little before always goes off there.
const EARLY: (u64, u64) = (7, 8);

#[cfg(all(target_arch = "x86_64", not(ubpf_arch = "none")))]
extern "C" {
    /// Not to be called from Rust: it keeps more registers than a function does.
    fn ubpf_linux_on_alternate_stack();
}

// 1 on an alternate stack of signals, else 0, also where the kernel does not say. Nobody else knows: the application may have set one in any way.
#[cfg(all(target_arch = "x86_64", not(ubpf_arch = "none")))]
std::arch::global_asm!(
    ".section .text.ubpf_linux_on_alternate_stack, \"ax\", @progbits",
    ".globl ubpf_linux_on_alternate_stack",
    ".type ubpf_linux_on_alternate_stack, @function",
    "ubpf_linux_on_alternate_stack:",
    ".cfi_startproc",
    "push rdi",
    ".cfi_adjust_cfa_offset 8",
    "push rsi",
    ".cfi_adjust_cfa_offset 8",
    "sub rsp, {bytes}",
    ".cfi_adjust_cfa_offset {bytes}",
    "mov eax, {sigaltstack}",
    "xor edi, edi",
    "mov rsi, rsp",
    "syscall",
    "xor ecx, ecx",
    "test eax, eax",
    "mov eax, [rsp + {flags}]",
    "cmovnz eax, ecx",
    "and eax, {on_stack}",
    "add rsp, {bytes}",
    ".cfi_adjust_cfa_offset -{bytes}",
    "pop rsi",
    ".cfi_adjust_cfa_offset -8",
    "pop rdi",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",
    ".size ubpf_linux_on_alternate_stack, . - ubpf_linux_on_alternate_stack",
    ".text",
    bytes = const size_of::<libc::stack_t>(),
    flags = const mem::offset_of!(libc::stack_t, ss_flags),
    sigaltstack = const libc::SYS_sigaltstack,
    on_stack = const libc::SS_ONSTACK,
);

/// What the signal's handler is told: the nanoseconds between two signals to a thread, 0 while there are to be none.
static PERIOD: AtomicU64 = AtomicU64::new(0);
/// Whether signals that the kernel has left out are counted: not where the tick is slower than what was asked for.
static COUNTS_LOST: AtomicBool = AtomicBool::new(false);
/// The signal, 0 before there is one.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// What is at work, if there is something. It is taken out while it is changed.
static WORK: AtomicPtr<Work> = AtomicPtr::new(ptr::null_mut());

struct Work {
    /// A child of a fork has it without the thread.
    process: u32,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Nanoseconds that timers of the kernel are set to; 0: there are to be none.
    set_to: AtomicU64,
    /// Nanoseconds between two runs by the clock; 0 for none.
    by_clock: AtomicU64,
    ends: AtomicBool,
}

impl Timer for ThreadTimers {
    fn start(&self, wanted: Ticking) -> Result<Ticking, &'static str> {
        let signal = signal().ok_or("all real-time signals are taken")?;
        let work = take().map_or_else(Work::begin, Ok)?;
        let tick = tick_ns();
        let ticking = Ticking {
            of_cpu_ns: if wanted.of_cpu_ns == 0 { 0 } else { wanted.of_cpu_ns.max(tick) },
            by_clock_ns: if wanted.by_clock_ns == 0 { 0 } else { wanted.by_clock_ns.max(SHORTEST) },
        };
        let follows_tick = wanted.of_cpu_ns <= tick;
        let set_to = if follows_tick { ticking.of_cpu_ns / EARLY.1 * EARLY.0 } else { ticking.of_cpu_ns };
        let done = if set_to == 0 { Ok(()) } else { try_out(signal, set_to) };
        if done.is_ok() {
            COUNTS_LOST.store(!follows_tick, Ordering::Relaxed);
            PERIOD.store(ticking.of_cpu_ns, Ordering::Relaxed);
            work.shared.set_to.store(set_to, Ordering::Relaxed);
            work.shared.by_clock.store(ticking.by_clock_ns, Ordering::Relaxed);
        }
        if work.is_idle() {
            work.end();
        } else {
            work.thread.thread().unpark();
            WORK.store(Box::into_raw(Box::new(work)), Ordering::Release);
        }
        done.map(|()| ticking)
    }

    /// A hook that is called on an alternate stack of signals must stay there: the kernel would take that stack for free, and begin it
    /// anew with the next signal.
    fn stack_test(&self) -> Option<StackTest> {
        #[cfg(all(target_arch = "x86_64", not(ubpf_arch = "none")))]
        // SAFETY: it is code as it is to be, and calls the kernel alone.
        let test = Some(unsafe { StackTest::new(ubpf_linux_on_alternate_stack as *const () as u64) });
        #[cfg(not(all(target_arch = "x86_64", not(ubpf_arch = "none"))))]
        let test = None;
        test
    }

    fn stop(&self) {
        PERIOD.store(0, Ordering::Relaxed);
        if let Some(work) = take() {
            work.end();
        }
    }
}

/// What is at work in this process.
fn take() -> Option<Work> {
    let work = WORK.swap(ptr::null_mut(), Ordering::Acquire);
    if work.is_null() {
        return None;
    }
    // SAFETY: it came from a box, and whoever takes it out has it alone.
    let work = *unsafe { Box::from_raw(work) };
    // Nobody waits for a thread that is not in this process.
    let here = work.process == std::process::id();
    if !here {
        mem::forget(work);
        return None;
    }
    Some(work)
}

impl Work {
    fn begin() -> Result<Work, &'static str> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let (begins, has_begun) = mpsc::channel::<()>();
        // The thread takes none of the application's signals.
        let before = block_signals();
        let thread = thread::Builder::new().name(threads::TIMERS.into()).spawn(move || {
            // What it allocates is nothing that the application has asked for.
            threads::set_own(true);
            drop(begins);
            look_after(&own);
        });
        restore_signals(&before);
        let thread = thread.map_err(|_| "its thread cannot be started")?;
        // Nobody attaches anything before that.
        let _ = has_begun.recv();
        Ok(Work { process: std::process::id(), shared, thread })
    }

    fn is_idle(&self) -> bool {
        [&self.shared.set_to, &self.shared.by_clock].iter().all(|period| period.load(Ordering::Relaxed) == 0)
    }

    /// Returns when its timers are gone, and no run by the clock goes on.
    fn end(self) {
        self.shared.ends.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

/// Nanoseconds of the kernel's tick: timers of CPU time go off there.
fn tick_ns() -> u64 {
    let mut tick = timespec(0);
    // SAFETY: writes to the variable.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
    u64::try_from(tick.tv_nsec).unwrap_or(0).max(1)
}

fn timespec(ns: u64) -> libc::timespec {
    const SECOND: u64 = 1_000_000_000;
    libc::timespec { tv_sec: (ns / SECOND) as libc::time_t, tv_nsec: (ns % SECOND) as libc::c_long }
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: both are plain numbers; the calls write to them.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (mem::zeroed(), mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut()) };
}

/// A timer of the kernel for the CPU time of a thread.
struct ThreadTimer {
    timer: libc::timer_t,
    /// What it sends.
    signal: i32,
    /// What it is set to.
    period: u64,
}

impl ThreadTimer {
    fn new(thread: i32, signal: i32, period: u64) -> Option<ThreadTimer> {
        /// Of a thread, by the scheduler's account (`CPUCLOCK_PERTHREAD_MASK`, `CPUCLOCK_SCHED` of the kernel).
        const OF_THREAD: i32 = 4 | 2;
        // SAFETY: plain numbers, of which those that matter are set.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_value = libc::sigval { sival_ptr: mark() };
        event.sigev_notify_thread_id = thread;
        let mut timer = ptr::null_mut();
        // SAFETY: reads the event and writes the timer.
        let made = unsafe { libc::timer_create(!thread << 3 | OF_THREAD, &raw mut event, &raw mut timer) };
        let mut made = (made == 0).then_some(ThreadTimer { timer, signal, period: 0 })?;
        made.set(period).then_some(made)
    }

    fn set(&mut self, period: u64) -> bool {
        let setting = libc::itimerspec { it_interval: timespec(period), it_value: timespec(period) };
        self.period = period;
        // SAFETY: the timer is there, and the setting is read.
        unsafe { libc::timer_settime(self.timer, 0, &raw const setting, ptr::null_mut()) == 0 }
    }

    /// Whether it goes on: not when its thread has ended.
    fn is_set(&self) -> bool {
        let mut setting = libc::itimerspec { it_interval: timespec(0), it_value: timespec(0) };
        // SAFETY: the timer is there, and the setting is written.
        unsafe { libc::timer_gettime(self.timer, &raw mut setting) };
        setting.it_value.tv_sec != 0 || setting.it_value.tv_nsec != 0
    }
}

impl Drop for ThreadTimer {
    fn drop(&mut self) {
        // SAFETY: it is there until here.
        unsafe { libc::timer_delete(self.timer) };
    }
}

/// Whether the kernel gives such timers at all.
fn try_out(signal: i32, period: u64) -> Result<(), &'static str> {
    // SAFETY: takes nothing, and nothing can go wrong.
    let own = unsafe { libc::gettid() };
    match ThreadTimer::new(own, signal, period) {
        Some(_) => Ok(()),
        None if crate::errno() == libc::EAGAIN => {
            Err("signals that wait and timers are as many as a user may have (RLIMIT_SIGPENDING, ulimit -i)")
        }
        None => Err("the kernel gives no timers for the CPU time of threads (timer_create)"),
    }
}

/// What the thread of ours does. All of it is the engine's own work, but programs by the clock run as those at interrupts do.
fn look_after(shared: &Shared) {
    keep_no_files();
    let mut found = Threads::default();
    let (mut look_at, mut ran): (Option<Instant>, Option<(Instant, u64)>) = (None, None);
    while !shared.ends.load(Ordering::Acquire) {
        let now = Instant::now();
        let set_to = shared.set_to.load(Ordering::Relaxed);
        if found.period != set_to || look_at.is_none_or(|look_at| now >= look_at) {
            let before = cpu_time();
            found.look(set_to);
            look_at = Some(now + LOOK.max((cpu_time() - before) * PART));
        }
        let by_clock = shared.by_clock.load(Ordering::Relaxed);
        let next = match (by_clock, ran) {
            (0, _) => None,
            (period, Some((next, before))) if before == period => Some(next),
            (period, _) => Some(now + Duration::from_nanos(period)),
        };
        ran = next.map(|next| (next, by_clock));
        if let Some(next) = next.filter(|next| *next <= now) {
            threads::set_own(false);
            sample(&[0; _], 0, BY_CLOCK);
            threads::set_own(true);
            // Times that went by meanwhile are counted by who is called.
            let late = now.duration_since(next).as_nanos() as u64 / by_clock;
            ran = Some((next + Duration::from_nanos(by_clock.saturating_mul(late + 1)), by_clock));
            continue;
        }
        let look = look_at.filter(|_| set_to != 0);
        match next.into_iter().chain(look).min() {
            Some(next) => thread::park_timeout(next.duration_since(now)),
            None => thread::park(),
        }
    }
}

/// Gives the calling thread a table of descriptors of its own, an empty one: what it opens is in nobody's way who closes or inherits all
/// descriptors, and what the application closes is closed.
fn keep_no_files() {
    /// `CLOSE_RANGE_UNSHARE` of the kernel.
    const UNSHARE: libc::c_uint = 2;
    // SAFETY: closes nothing of other threads; a kernel that cannot do that does nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, UNSHARE) };
}

/// CPU time of the calling thread.
fn cpu_time() -> Duration {
    let mut now = timespec(0);
    // SAFETY: writes to the variable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The threads of the process, as they were found.
#[derive(Default)]
struct Threads {
    /// Ascending by number.
    known: Vec<Known>,
    /// What their timers are set to.
    period: u64,
    /// Who of them is looked at again next.
    next: usize,
}

/// A thread, with its timer if it has one.
struct Known {
    thread: i32,
    timer: Option<ThreadTimer>,
}

impl Threads {
    /// Finds those that are new, which get a timer, and those that have ended, and looks at some of the others again.
    fn look(&mut self, period: u64) {
        self.period = period;
        let Some(signal) = (period != 0).then(signal).flatten() else {
            self.known.clear();
            return;
        };
        for known in &mut self.known {
            // The application may have taken the other signal.
            known.timer.take_if(|timer| timer.signal != signal || timer.period != period && !timer.set(period));
        }
        let Some(there) = all_threads() else { return };
        self.known.retain(|known| there.binary_search(&known.thread).is_ok());
        let (before, mut room) = (self.known.len(), self.room());
        for thread in there {
            if self.known[..before].binary_search_by_key(&thread, |known| known.thread).is_err() {
                let mut new = Known { thread, timer: None };
                new.look(signal, period, &mut room);
                self.known.push(new);
            }
        }
        self.known.sort_unstable_by_key(|known| known.thread);
        for _ in 0..before.min(AGAIN) {
            self.next = if self.next < self.known.len() { self.next } else { 0 };
            self.known[self.next].look(signal, period, &mut room);
            self.next += 1;
        }
    }

    /// How many more may have a timer. Each takes one of the signals that may wait, and the application wants to send some.
    fn room(&self) -> usize {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: writes to the variable.
        unsafe { libc::getrlimit(libc::RLIMIT_SIGPENDING, &raw mut limit) };
        let most = usize::try_from(limit.rlim_cur / 2).unwrap_or(usize::MAX);
        most.saturating_sub(self.known.iter().filter(|known| known.timer.is_some()).count())
    }
}

impl Known {
    /// Gives the thread a timer, or takes it away, as it is to be.
    fn look(&mut self, signal: i32, period: u64, room: &mut usize) {
        let before = usize::from(self.timer.is_some());
        let wanted = is_sampled(self.thread, signal);
        self.timer.take_if(|timer| !wanted || !timer.is_set());
        if self.timer.is_none() && wanted && *room + before > 0 {
            self.timer = ThreadTimer::new(self.thread, signal, period);
        }
        *room = (*room + before).saturating_sub(usize::from(self.timer.is_some()));
    }
}

/// The numbers of all threads, ascending; `None` where they are not told.
fn all_threads() -> Option<Vec<i32>> {
    let entries = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    let mut all: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable();
    Some(all)
}

/// Whether a thread is to have a timer: not the engine's own, and not one that blocks the signal. That would wait there for ever, or be taken
/// for one of the application's, which asks for signals with `sigwait` or `signalfd`.
fn is_sampled(thread: i32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status"));
    status.is_ok_and(|status| {
        let of = |key| status.lines().find_map(|line| line.strip_prefix(key)).map_or("", str::trim);
        let blocked = u64::from_str_radix(of("SigBlk:"), 16).unwrap_or(u64::MAX);
        !threads::OURS.contains(&of("Name:")) && blocked >> (signal - 1) & 1 == 0
    })
}

/// What our signals say.
fn mark() -> *mut libc::c_void {
    (&raw const PERIOD).cast_mut().cast()
}

/// The signal, with our handler.
fn signal() -> Option<i32> {
    let own = SIGNAL.load(Ordering::Relaxed);
    if own != 0 && handler_of(own) == handle as *const () as usize {
        return Some(own);
    }
    let free = (libc::SIGRTMIN()..libc::SIGRTMAX()).rev().find(|&signal| handler_of(signal) == libc::SIG_DFL)?;
    // SAFETY: plain numbers, of which those that matter are set.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // Programs run on a stack of the engine's. Another signal would take the alternate stack for free then, and begin it anew.
    // SAFETY: writes to the set.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
        // SAFETY: as above.
        unsafe { libc::sigdelset(&raw mut action.sa_mask, fault) };
    }
    // SAFETY: the handler is one of this kind, and calls nothing that a signal may not interrupt.
    let set = unsafe { libc::sigaction(free, &raw const action, ptr::null_mut()) };
    SIGNAL.store(free, Ordering::Relaxed);
    (set == 0).then_some(free)
}

/// Who handles a signal.
fn handler_of(signal: i32) -> usize {
    // SAFETY: writes to the variable, a plain number.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action.sa_sigaction
    }
}

/// The beginning of `siginfo_t` of a signal from a timer.
#[repr(C)]
struct FromTimer {
    signal: i32,
    error: i32,
    code: i32,
    _pad: i32,
    timer: i32,
    /// Signals that the kernel has left out, this one being on its way.
    overrun: i32,
    value: *mut libc::c_void,
}

/// The signal's handler. *Hook path.*
unsafe extern "C" fn handle(signal: i32, info: *const FromTimer, context: *const libc::ucontext_t) {
    // SAFETY: the kernel gives both to a handler of this kind.
    let (info, context) = unsafe { (&*info, &*context) };
    if info.code != libc::SI_TIMER || info.value != mark() {
        // SAFETY: what the default does.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    let period = PERIOD.load(Ordering::Relaxed);
    if period == 0 {
        return;
    }
    let lost = if COUNTS_LOST.load(Ordering::Relaxed) { u64::try_from(info.overrun).unwrap_or(0) } else { 0 };
    crate::keeping_errno(|| sample(&registers(context), period.saturating_mul(lost + 1), OF_CPU));
}

#[cfg(all(target_arch = "x86_64", not(ubpf_arch = "none")))]
fn registers(context: &libc::ucontext_t) -> Registers {
    use libc::{
        REG_CSGSFS, REG_EFL, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_R8, REG_R9, REG_RAX, REG_RBP,
        REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP,
    };
    let at = |register: i32| context.uc_mcontext.gregs[register as usize] as u64;
    // The segments share a word: cs, gs, fs, ss.
    let segments = at(REG_CSGSFS);
    let [r15, r14, r13, r12, bp, bx] = [REG_R15, REG_R14, REG_R13, REG_R12, REG_RBP, REG_RBX].map(at);
    let [r11, r10, r9, r8, ax, cx] = [REG_R11, REG_R10, REG_R9, REG_R8, REG_RAX, REG_RCX].map(at);
    let [dx, si, di, ip, flags, sp] = [REG_RDX, REG_RSI, REG_RDI, REG_RIP, REG_EFL, REG_RSP].map(at);
    let (cs, ss) = (segments & 0xffff, segments >> 48);
    [r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, 0, ip, cs, flags, sp, ss]
}

#[cfg(not(all(target_arch = "x86_64", not(ubpf_arch = "none"))))]
fn registers(_: &libc::ucontext_t) -> Registers {
    []
}
