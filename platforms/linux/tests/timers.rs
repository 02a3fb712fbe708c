//! Programs of timers on a real process: where the time goes, and what a timer must not break.

#[path = "common/objects.rs"]
mod common;

use common::{all_ways, call, data, folder, packed, recursion, MYFUN, RECURSION};
use std::{
    hint::black_box,
    os::fd::AsRawFd,
    path::PathBuf,
    ptr,
    sync::{
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
        MutexGuard,
    },
    thread,
    time::{Duration, Instant},
};
use ubpf_platform_linux::symbols;
use ubpf_rs::{
    runtime::{AttachLimits, Error, LoadOptions, Runtime},
    tracer::{AttachError, ProbeReport},
};

/// What is waited for comes long before, or never.
const LONG: Duration = Duration::from_secs(60);

/// The engine with `samples.pkg`, whose programs know where [`work`] is, and nothing attached. Tests take turns. `None` where there is no
/// compiler.
fn engine() -> Option<(&'static Runtime, MutexGuard<'static, ()>)> {
    let (engine, turn) = common::engine();
    assert_eq!(engine.status().ticks_per_second, 0, "nothing ticks for nothing");
    assert_eq!(timers(), 0, "timers are left");
    packed("samples").then_some(())?;
    let begin = work as *const () as u64;
    let end = symbols::own().unwrap().iter().find(|symbol| symbol.address == begin).map(|symbol| begin + symbol.size);
    let values = [("begin", begin.to_string()), ("end", end.unwrap().to_string())];
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    engine.load_object("samples.pkg", &LoadOptions::default(), &values).unwrap();
    Some((engine, turn))
}

/// The timers of the kernel that this process has; nothing where the kernel does not tell.
fn timer_list() -> String {
    std::fs::read_to_string("/proc/self/timers").unwrap_or_default()
}

fn timers() -> usize {
    timer_list().lines().filter(|line| line.starts_with("ID:")).count()
}

/// Works, and does nothing else.
#[inline(never)]
extern "C" fn work() -> u64 {
    let mut left = 2_000_000u64;
    // SAFETY: counts down in a register.
    unsafe { std::arch::asm!("2: dec {left}", "jnz 2b", left = inout(reg) left, options(nomem, nostack)) };
    left
}

/// Works until something has come.
fn work_until(what: &str, mut came: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !came() {
        assert!(begin.elapsed() < LONG, "{what} does not come");
        black_box(work());
    }
}

/// What the programs have seen: all, within the function, the period, the address, the stack pointer.
fn seen(engine: &Runtime) -> [u64; 5] {
    data(engine, "samples..bss").try_into().unwrap()
}

fn attach(engine: &Runtime, timer: &str, program: &str) -> Result<Vec<String>, Error> {
    let options = LoadOptions { program: Some(program), ..LoadOptions::default() };
    let attached = engine.attach_file(timer, "samples", &options, AttachLimits::default());
    attached.map(|report| report.warnings)
}

fn report(engine: &Runtime, timer: &str) -> ProbeReport {
    engine.list(Some(timer)).unwrap()[0].probes[0].clone()
}

#[test]
fn samples_are_taken_where_the_time_goes() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:99", "sample").unwrap();
    work_until("the samples", || seen(engine)[0] >= 40);
    let [all, within, period, address, stack] = seen(engine);
    assert!(within <= all && within * 10 >= all * 8, "{within} of {all} samples");
    assert_eq!((period, address), (1_000_000_000 / 99, 0));
    let here = &raw const stack as u64;
    assert!(here.abs_diff(stack) < 1 << 40, "{stack:#x}: a stack");
    let found = report(engine, "profile:hz:99");
    assert_eq!(found.hits, found.runs + found.misses);
    assert!(found.runs >= all && found.failures == 0, "{found:?}");
    // Each run stands for a period of the time that the timer has counted.
    assert!(((found.hits + found.left_out) * period).abs_diff(found.timer_ns) <= 2 * period, "{found:?}");
    assert!(engine.status().ticks_per_second >= 99);
    assert_eq!(engine.detach("profile:99", None).unwrap(), 1);
    let before = seen(engine);
    assert_eq!(engine.status().ticks_per_second, 0);
    (0..50).for_each(|_| {
        black_box(work());
    });
    assert_eq!(seen(engine), before, "a program that is detached runs no more");
}

#[test]
fn each_timer_has_its_own_rate() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:100", "sample").unwrap();
    attach(engine, "profile:20", "sample").unwrap();
    work_until("the samples", || report(engine, "profile:20").runs >= 20);
    let (fast, slow) = (report(engine, "profile:100"), report(engine, "profile:20"));
    assert!(fast.hits >= 4 * slow.hits && fast.hits <= 6 * slow.hits + 10, "{fast:?} {slow:?}");
    assert_eq!(engine.detach("profile:100", None).unwrap(), 1);
    let ticks = engine.status().ticks_per_second;
    assert!((20..100).contains(&ticks), "the fastest timer is gone: {ticks}");
    work_until("the other's samples", || report(engine, "profile:20").runs > slow.runs + 3);
}

#[test]
fn a_program_by_the_clock_needs_nobody_to_work() {
    let Some((engine, _turn)) = engine() else { return };
    let attached = engine.attach_object("samples", &LoadOptions::default(), AttachLimits::default()).unwrap();
    let attached: Vec<_> = attached.attached.iter().map(|one| (one.program.as_str(), one.function.as_str())).collect();
    assert_eq!(attached, [("beat", "interval:ms:5")], "the others name no timer");
    let begin = Instant::now();
    while seen(engine)[0] < 20 {
        assert!(begin.elapsed() < LONG);
        thread::sleep(Duration::from_millis(1));
    }
    // None of them came early.
    let (took, runs) = (begin.elapsed(), seen(engine)[0]);
    assert!(took >= Duration::from_millis(5) * (runs as u32 - 2), "{runs} in {took:?}");
    assert_eq!(seen(engine)[2], 5_000_000);
    assert_eq!(engine.detach_object("samples").unwrap(), 1);
}

#[test]
fn a_rate_that_there_is_not_is_said() {
    let Some((engine, _turn)) = engine() else { return };
    let warnings = attach(engine, "profile:100000", "sample").unwrap();
    let ticks = engine.status().ticks_per_second;
    assert!(ticks < 100_000 && warnings.len() == 1, "{warnings:?}");
    assert!(warnings[0].contains(&format!("ticks {ticks} times a second")), "{warnings:?}");
    work_until("the samples", || report(engine, "profile:100000").runs >= 20);
    let found = report(engine, "profile:100000");
    assert!(found.misses * 4 <= found.hits, "what cannot be had is not missed: {found:?}");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let Some((engine, _turn)) = engine() else { return };
    for timer in ["profile:0", "profile:", "profile:1000000000", "profile:-5", "interval:7", "interval:ms:0"] {
        assert!(matches!(attach(engine, timer, "sample"), Err(Error::NoTimer(_))), "{timer}");
        assert!(matches!(engine.detach(timer, None), Err(Error::NoTimer(_))), "{timer}");
        assert!(matches!(engine.list(Some(timer)), Err(Error::NoTimer(_))), "{timer}");
    }
    let refused = |timer, program| attach(engine, timer, program).unwrap_err().to_string();
    assert!(refused("profile:9", "at_function").contains("it is for a function"));
    assert!(refused(MYFUN, "sample").contains("attach it to profile:HZ"));
    let options = LoadOptions { program: Some("sample"), ..LoadOptions::default() };
    let at_return = AttachLimits { at_return: true, ..AttachLimits::default() };
    let refused = engine.attach_file("profile:9", "samples", &options, at_return).unwrap_err();
    assert!(refused.to_string().contains("no returns"), "{refused}");
    assert!(matches!(engine.measure("profile:9", "samples", &options, 10), Err(Error::NoSubject)));
    assert_eq!((engine.status().probes, engine.status().ticks_per_second), (0, 0));

    let attach_error = |timer| match attach(engine, timer, "sample") {
        Err(Error::Attach(error)) => *error,
        other => panic!("{other:?}"),
    };
    for n in 1..=8 {
        attach(engine, &format!("profile:{n}"), "sample").unwrap();
    }
    assert!(matches!(attach_error("profile:9"), AttachError::NoTimer { .. }));
    assert!(matches!(attach_error("profile:hz:8"), AttachError::AlreadyAttached { .. }));
    attach(engine, "profile:8", "slow").unwrap();
    assert_eq!((engine.status().probes, engine.status().ticks_per_second), (9, 8));
    assert_eq!(engine.detach("profile:8", None).unwrap(), 2);
    attach(engine, "profile:9", "sample").unwrap();
    engine.reset().unwrap();
}

#[test]
fn a_program_slower_than_its_period_is_counted_and_survived() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "interval:us:100", "slow").unwrap();
    attach(engine, "interval:us:100", "sample").unwrap();
    let begin = Instant::now();
    let probes = loop {
        let probes = engine.list(Some("interval:us:100")).unwrap().remove(0).probes;
        if probes[0].runs >= 50 && probes[0].misses > 0 {
            break probes;
        }
        assert!(begin.elapsed() < LONG, "{probes:?}");
    };
    assert!(probes.iter().all(|probe| probe.hits == probe.runs + probe.misses));
    assert!(probes[0].failures > 0, "its budget ends it: {:?}", probes[0]);
    engine.detach("interval:us:100", None).unwrap();
}

#[test]
fn threads_come_and_go_while_they_are_sampled() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:250", "sample").unwrap();
    let begin = Instant::now();
    let mut threads = 0;
    while seen(engine)[0] < 30 {
        assert!(begin.elapsed() < LONG);
        let all: Vec<_> =
            (0..8).map(|_| thread::spawn(|| (0..10).map(|_| work()).fold(0, u64::wrapping_add))).collect();
        threads += all.len();
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), 0));
    }
    assert!(threads >= 8);
}

/// Does something with all signals blocked: what it starts inherits that.
fn with_blocked<R>(body: impl FnOnce(&libc::sigset_t) -> R) -> R {
    // SAFETY: sets of signals are plain numbers.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let done = body(&all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        done
    }
}

/// The next signal that has come to the calling thread, which blocks all.
fn taken(all: &libc::sigset_t) -> Option<i32> {
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: reads both.
    let signal = unsafe { libc::sigtimedwait(all, ptr::null_mut(), &raw const none) };
    (signal > 0).then_some(signal)
}

/// A thread that takes signals by `sigwait` gets its own, and is sampled when it blocks the timer's no more.
#[test]
fn who_waits_for_all_signals_gets_none_of_the_timers() {
    static BLOCKS: AtomicBool = AtomicBool::new(true);
    let Some((engine, _turn)) = engine() else { return };
    let works = || {
        let mut got = Vec::new();
        with_blocked(|all| {
            while BLOCKS.load(Ordering::Relaxed) {
                black_box(work());
                got.extend(taken(all));
            }
        });
        // SAFETY: an empty set of signals.
        unsafe {
            let none: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        }
        while !BLOCKS.load(Ordering::Relaxed) {
            black_box(work());
        }
        got
    };
    let waiting = with_blocked(|_| thread::spawn(works));
    attach(engine, "profile:250", "sample").unwrap();
    work_until("the samples", || seen(engine)[0] >= 40);
    BLOCKS.store(false, Ordering::Relaxed);
    let (before, begin) = (seen(engine)[0], Instant::now());
    while seen(engine)[0] < before + 20 {
        assert!(begin.elapsed() < LONG, "who blocks the signal no more is not sampled");
        thread::sleep(Duration::from_millis(1));
    }
    BLOCKS.store(true, Ordering::Relaxed);
    assert_eq!(waiting.join().unwrap(), [0; 0]);
    engine.reset().unwrap();
}

/// A thread that blocks the signal when it has a timer already loses that.
#[test]
fn who_comes_to_block_the_signal_loses_its_timer() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:250", "sample").unwrap();
    work_until("the samples", || seen(engine)[0] >= 10);
    // SAFETY: takes nothing, and nothing can go wrong.
    let own = format!("tid.{}", unsafe { libc::gettid() });
    let has_timer = || timer_list().lines().any(|line| line.ends_with(&own));
    if has_timer() {
        with_blocked(|all| {
            work_until("the end of a timer", || !has_timer());
            while taken(all).is_some() {}
            (0..100).for_each(|_| assert_eq!(black_box(work()), 0));
            assert_eq!(taken(all), None);
        });
    }
    engine.reset().unwrap();
}

/// An application may close all its descriptors, and what a child inherits of them is its own: the timers keep none there.
#[test]
fn timers_have_no_descriptors_of_the_application() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:250", "sample").unwrap();
    work_until("the samples", || seen(engine)[0] >= 10);
    let file = std::fs::File::open("/proc/self/stat").unwrap();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let is_timer = |task: &PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "ubpf-timer\n");
    let tables: Vec<_> = tasks.filter(is_timer).map(|task| task.join("fd")).collect();
    let has = |number: i32| std::fs::read_link(tables[0].join(number.to_string())).ok();
    assert_eq!((tables.len(), has(file.as_raw_fd()).filter(|to| to.ends_with("stat")), has(2)), (1, None, None));
    engine.reset().unwrap();
}

/// Each timer takes one of the signals that may wait: the application has as many left.
#[test]
fn the_application_can_send_signals_however_many_threads_it_has() {
    const THREADS: usize = 60;
    static GO_ON: AtomicBool = AtomicBool::new(true);
    let Some((engine, _turn)) = engine() else { return };
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let limit = libc::rlimit { rlim_cur: THREADS as u64, rlim_max: 0 };
    // SAFETY: reads and writes the variables.
    unsafe {
        libc::getrlimit(libc::RLIMIT_SIGPENDING, &raw mut before);
        let limit = libc::rlimit { rlim_max: before.rlim_max, ..limit };
        assert_eq!(libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const limit), 0);
    }
    let wait = || {
        while GO_ON.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(20));
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(wait)).collect();
    attach(engine, "profile:250", "sample").unwrap();
    work_until("the samples", || seen(engine)[0] >= 60);
    let found = timers();
    GO_ON.store(false, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // SAFETY: reads the variable.
    unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const before) };
    assert!(found <= THREADS / 2, "{found} timers");
    engine.reset().unwrap();
}

/// A child has no timers: it goes on without samples, and may attach programs of its own. The parent loses nothing.
#[test]
fn a_child_goes_on_without_samples() {
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:250", "sample").unwrap();
    attach(engine, "interval:ms:2", "beat").unwrap();
    let works = || {
        let before = seen(engine)[0];
        (0..50).for_each(|_| assert_eq!(black_box(work()), 0));
        assert_eq!((seen(engine)[0], timers()), (before, 0));
        assert_eq!(engine.detach("interval:ms:2", None).unwrap(), 1);
        assert_eq!(engine.detach("profile:250", None).unwrap(), 1);
        attach(engine, "profile:100", "sample").unwrap();
        work_until("the samples", || seen(engine)[0] >= before + 5);
    };
    for _ in 0..10 {
        work_until("the samples", || report(engine, "profile:250").runs >= 5);
        // SAFETY: the child has what it needs of the process: nobody else is at work in the engine. It ends without anything of the parent's.
        let child = unsafe {
            match libc::fork() {
                0 => {
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(works));
                    libc::_exit(done.is_err().into())
                }
                child => child,
            }
        };
        let mut status = 0;
        // SAFETY: writes to the variable.
        work_until("the child's end", || unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == child);
        assert_eq!(status, 0);
    }
    let before = report(engine, "profile:250").runs;
    work_until("the samples", || report(engine, "profile:250").runs >= before + 5);
    engine.reset().unwrap();
}

/// Programs that end after so many runs have run as often, in whose threads they ran and however often others took their place; then nothing
/// ticks any more.
#[test]
fn runs_are_exact_while_programs_are_replaced() {
    const RUNS: u64 = 150;
    let Some((engine, _turn)) = engine() else { return };
    static WORKS: AtomicBool = AtomicBool::new(true);
    WORKS.store(true, Ordering::Relaxed);
    let works = || {
        while WORKS.load(Ordering::Relaxed) {
            black_box(work());
        }
    };
    let threads: Vec<_> = (0..3).map(|_| thread::spawn(works)).collect();
    let limits = AttachLimits { max_runs: Some(RUNS), ..AttachLimits::default() };
    for (timer, program) in [("profile:1000", "sample"), ("profile:333", "sample"), ("interval:us:500", "beat")] {
        let options = LoadOptions { program: Some(program), ..LoadOptions::default() };
        engine.attach_file(timer, "samples", &options, limits).unwrap();
    }
    let (begin, mut replaced) = (Instant::now(), 0);
    while engine.status().ticks_per_second != 0 {
        assert!(begin.elapsed() < LONG);
        replaced += engine.replace("samples", "samples.pkg", &LoadOptions::default(), &[]).unwrap().count;
        let all = engine.list(None).unwrap();
        let exact = |probe: &ProbeReport| probe.hits == probe.runs + probe.misses && probe.runs <= RUNS;
        assert!(all.iter().flat_map(|at| &at.probes).all(exact), "{all:?}");
        engine.poll();
    }
    WORKS.store(false, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(replaced > 3, "{replaced}");
    assert_eq!((seen(engine)[0], engine.status().probes, timers()), (3 * RUNS, 0, 0));
}

/// Programs that walk through stacks, of objects, in every way, leave a third of a hook's stack at least.
#[test]
fn stack_traces_leave_room_on_a_hooks_stack() {
    let Some((engine, _turn)) = engine() else { return };
    if !packed("walks") {
        return;
    }
    for options in all_ways() {
        engine.load_object("walks.pkg", &options, &[]).unwrap();
        let attach = |at: &str, program| {
            let options = LoadOptions { program: Some(program), ..LoadOptions::default() };
            engine.attach_file(at, "walks", &options, AttachLimits::default()).unwrap();
        };
        attach(RECURSION, "entered");
        attach(RECURSION, "returned");
        attach("profile:250", "sampled");
        recursion(200);
        work_until("the samples", || data(engine, "walks..bss")[2] >= 5);
        assert_eq!(data(engine, "walks..bss")[..2], [201; 2], "{options:?}");
        engine.reset().unwrap();
    }
    let (used, has) = ubpf_rs::tracer::stack_used();
    println!("hooks have used {used} of {has} bytes of their stack");
    assert!(used > 0 && used <= has / 3 * 2, "{used} of {has} bytes");
}

#[test]
fn timers_come_and_go_under_fire() {
    let Some((engine, _turn)) = engine() else { return };
    static WORKS: AtomicBool = AtomicBool::new(true);
    WORKS.store(true, Ordering::Relaxed);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(|| {
                while WORKS.load(Ordering::Relaxed) {
                    black_box(work());
                }
            })
        })
        .collect();
    for n in 0..200u64 {
        attach(engine, "profile:1000", "sample").unwrap();
        attach(engine, "interval:us:100", "sample").unwrap();
        if n % 8 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        engine.detach("profile:1000", None).unwrap();
        engine.detach("interval:us:100", None).unwrap();
        let before = seen(engine)[0];
        thread::sleep(Duration::from_millis(1));
        assert_eq!(seen(engine)[0], before);
    }
    assert!(seen(engine)[0] > 0);
    WORKS.store(false, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(engine.status().lost_hooks, (0, 0));
}

/// The timer interrupts hooks at any instruction, of the short way and of the general one, at entries and at returns: they lose nothing.
#[test]
fn a_hook_that_is_interrupted_goes_on() {
    let Some((engine, _turn)) = engine() else { return };
    let program = ubpf_rs::isa::assemble("r0 = 0\nexit\n").unwrap();
    for name in ["entry.bin", "exit.bin"] {
        std::fs::write(folder().join(name), &program).unwrap();
    }
    let at_return = AttachLimits { at_return: true, ..AttachLimits::default() };
    for general in [false, true] {
        engine.set_stats(general).unwrap();
        engine.attach_file(MYFUN, "entry.bin", &LoadOptions::default(), AttachLimits::default()).unwrap();
        engine.attach_file(MYFUN, "exit.bin", &LoadOptions::default(), at_return).unwrap();
        attach(engine, "profile:1000", "sample").unwrap();
        let before = seen(engine)[0];
        let (begin, mut calls) = (Instant::now(), 0u64);
        while seen(engine)[0] < before + 60 {
            assert!(begin.elapsed() < LONG);
            for _ in 0..10_000 {
                call(1, 2);
                calls += 1;
            }
        }
        let probes = engine.list(Some(MYFUN)).unwrap().remove(0).probes;
        let counts: Vec<_> = probes.iter().map(|one| (one.runs, one.misses, one.failures, one.outstanding)).collect();
        assert_eq!(counts, [(calls, 0, 0, 0), (calls, 0, 0, 0)], "general way: {general}");
        engine.detach(MYFUN, None).unwrap();
        engine.detach("profile:1000", None).unwrap();
    }
    engine.set_stats(false).unwrap();
}

/// The signals of the real-time range that are handled, highest first.
fn handled() -> Vec<i32> {
    let is_handled = |signal: &i32| {
        // SAFETY: writes to the variable, a plain number.
        let handler = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, ptr::null(), &raw mut action);
            action.sa_sigaction
        };
        handler != libc::SIG_DFL && handler != libc::SIG_IGN
    };
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().filter(is_handled).collect()
}

/// An application that takes the signal of the timer for itself gets it, and the timer takes another one.
#[test]
fn the_application_may_have_the_signal() {
    static GOT: AtomicU64 = AtomicU64::new(0);
    static SIGNAL: AtomicI32 = AtomicI32::new(0);
    extern "C" fn own(signal: i32) {
        SIGNAL.store(signal, Ordering::Relaxed);
        GOT.fetch_add(1, Ordering::Relaxed);
    }
    let Some((engine, _turn)) = engine() else { return };
    attach(engine, "profile:99", "sample").unwrap();
    let signal = handled()[0];
    engine.detach("profile:99", None).unwrap();
    // SAFETY: the handler touches two numbers.
    unsafe {
        libc::signal(signal, own as extern "C" fn(i32) as usize);
        libc::raise(signal);
    }
    assert_eq!((GOT.load(Ordering::Relaxed), SIGNAL.load(Ordering::Relaxed)), (1, signal));
    let before = seen(engine)[0];
    attach(engine, "profile:99", "sample").unwrap();
    work_until("the samples", || seen(engine)[0] >= before + 10);
    assert_eq!(GOT.load(Ordering::Relaxed), 1, "the timer has another signal: {:?}", handled());
    assert!(handled().iter().any(|&one| one != signal));
    // SAFETY: an error of the thread is as it was, whatever a sample did.
    unsafe {
        *libc::__errno_location() = 77;
        work_until("the samples", || seen(engine)[0] >= before + 20);
        assert_eq!(*libc::__errno_location(), 77);
    }
    engine.reset().unwrap();
}

/// Lets signals of the calling thread that say so be handled on a stack of its own, which `work` may use.
fn with_alternate_stack(work: impl FnOnce()) {
    let mut memory = vec![0u8; 256 << 10];
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
    // SAFETY: the memory is there until the stack before is in use again.
    unsafe {
        let mut before: libc::stack_t = std::mem::zeroed();
        assert_eq!(libc::sigaltstack(&raw const stack, &raw mut before), 0);
        work();
        assert_eq!(libc::sigaltstack(&raw const before, ptr::null_mut()), 0);
    }
}

/// Handles a signal on the alternate stack.
fn on_alternate_stack(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: plain numbers, of which those that matter are set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &raw const action, ptr::null_mut()), 0);
    }
}

/// A handler on an alternate stack calls functions whose programs run on stacks of the engine's, at an entry, at a return and for a helper: the
/// timer's signal would begin the alternate stack anew then.
#[test]
fn a_handler_on_an_alternate_stack_returns_to_what_it_has_interrupted() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: i32) {
        for _ in 0..50_000 {
            call(1, 2);
        }
        CALLS.fetch_add(50_000, Ordering::Relaxed);
    }
    let Some((engine, _turn)) = engine() else { return };
    let program = ubpf_rs::isa::assemble("r0 = 0\nexit\n").unwrap();
    let asks = ubpf_rs::isa::assemble("call 14\nr0 = 0\nexit\n").unwrap();
    for (name, program) in [("entry.bin", &program), ("exit.bin", &program), ("asks.bin", &asks)] {
        std::fs::write(folder().join(name), program).unwrap();
    }
    on_alternate_stack(libc::SIGUSR1, handler);
    let linux = LoadOptions { abi: Some(ubpf_rs::program::Abi::Linux), ..LoadOptions::default() };
    for (general, programs) in [(true, &["entry.bin", "exit.bin"][..]), (false, &["asks.bin"])] {
        engine.set_stats(general).unwrap();
        for program in programs {
            let limits = AttachLimits { at_return: *program == "exit.bin", ..AttachLimits::default() };
            engine.attach_file(MYFUN, program, &linux, limits).unwrap();
        }
        attach(engine, "profile:1000", "sample").unwrap();
        let before = seen(engine)[0];
        CALLS.store(0, Ordering::Relaxed);
        with_alternate_stack(|| {
            work_until("the samples", || {
                // SAFETY: the handler is there.
                unsafe { libc::raise(libc::SIGUSR1) };
                seen(engine)[0] >= before + 60
            });
        });
        let probes = engine.list(Some(MYFUN)).unwrap().remove(0).probes;
        let calls = CALLS.load(Ordering::Relaxed);
        assert!(probes.iter().all(|one| (one.hits, one.outstanding) == (calls, 0)), "{calls}: {probes:?}");
        let missed: Vec<_> = probes.iter().map(|one| one.misses).collect();
        if general {
            assert_eq!(missed, [calls; 2]);
        }
        engine.detach("profile:1000", None).unwrap();
        call(1, 2);
        let after = engine.list(Some(MYFUN)).unwrap().remove(0).probes;
        let after: Vec<_> = after.iter().map(|one| (one.hits, one.misses)).collect();
        assert_eq!(after, missed.iter().map(|missed| (calls + 1, *missed)).collect::<Vec<_>>(), "it runs again");
        engine.detach(MYFUN, None).unwrap();
    }
    engine.set_stats(false).unwrap();
}

/// Signals of the application that are handled on the alternate stack wait while a program of a timer runs, which came there by a signal itself.
#[test]
fn signals_wait_for_programs_of_timers() {
    static GOT: AtomicU64 = AtomicU64::new(0);
    static GO_ON: AtomicBool = AtomicBool::new(true);
    extern "C" fn handler(_: i32) {
        GOT.fetch_add(1, Ordering::Relaxed);
    }
    let Some((engine, _turn)) = engine() else { return };
    on_alternate_stack(libc::SIGUSR2, handler);
    attach(engine, "profile:1000", "slow").unwrap();
    // SAFETY: takes nothing.
    let here = unsafe { libc::pthread_self() };
    let sends = thread::spawn(move || {
        while GO_ON.load(Ordering::Relaxed) {
            // SAFETY: that thread waits for this one.
            unsafe { libc::pthread_kill(here, libc::SIGUSR2) };
            thread::sleep(Duration::from_micros(10));
        }
    });
    with_alternate_stack(|| work_until("the samples", || seen(engine)[0] >= 200));
    GO_ON.store(false, Ordering::Relaxed);
    sends.join().unwrap();
    assert!(GOT.load(Ordering::Relaxed) > 0);
    engine.reset().unwrap();
}
