//! Children of a traced process run right, whatever the parent does afterwards, and whenever they were made.

#[path = "common/image.rs"]
mod image;

use std::{
    ffi::c_int,
    process::Command,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Mutex, MutexGuard,
    },
    thread,
    time::{Duration, Instant},
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    isa::assemble,
    runtime::{AttachLimits, Config, LoadOptions, ProgramId, Runtime},
};

extern "C" {
    fn gcc_patchable_empty();
    fn gcc_patchable_myfun();
    fn gcc_patchable_self_test() -> u32;
    fn gcc_patchable_vforked() -> c_int;
}

const TRACED: [&str; 3] = ["gcc_patchable_empty", "gcc_patchable_myfun", "gcc_patchable_recursion"];

/// The engine on this process. Tests take turns.
fn engine() -> (&'static Runtime, MutexGuard<'static, ()>) {
    static TURN: Mutex<bool> = Mutex::new(false);
    static TURNS: Mutex<()> = Mutex::new(());
    let turn = TURNS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut started = TURN.lock().unwrap();
    if !*started {
        let runtime = Runtime::init(platform(".".into()), Config::default()).unwrap();
        image::add_image(runtime);
        *started = true;
    }
    drop(started);
    (Runtime::get().unwrap(), turn)
}

fn load(runtime: &Runtime, name: &str, text: &str) -> ProgramId {
    let code = assemble(text).unwrap();
    runtime.load(name, &code, &LoadOptions::default()).unwrap()
}

/// Counts calls under the key of the function; a longer one beside it, so that trampolines differ.
fn programs(runtime: &Runtime) -> [ProgramId; 2] {
    [
        load(runtime, "noop", "r0 = 0\nexit"),
        load(runtime, "longer", "r1 = *(u64 *)(r1 + 0)\nr2 = 9\nr3 = 1\ncall 1\nr0 = 0\nexit"),
    ]
}

fn attach_all(runtime: &Runtime, program: ProgramId) {
    for name in TRACED {
        runtime.attach(name, program, AttachLimits::default()).unwrap();
    }
}

fn detach_all(runtime: &Runtime) {
    for name in TRACED {
        runtime.detach(name, None).unwrap();
    }
}

/// Calls the traced functions for a while; 0 when every result is right.
fn work(millis: u64) -> c_int {
    let end = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < end {
        // SAFETY: plain C functions.
        let right = unsafe {
            gcc_patchable_empty();
            gcc_patchable_myfun();
            gcc_patchable_self_test()
        };
        if right != 0 {
            return 3;
        }
    }
    0
}

/// The child's exit code; its signal as a negative number.
fn end_of(child: i32) -> c_int {
    let mut status = 0;
    // SAFETY: waits for a child of ours; the status is a variable of ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    if libc::WIFSIGNALED(status) {
        return -libc::WTERMSIG(status);
    }
    libc::WEXITSTATUS(status)
}

/// A child that runs `body` and nothing else.
fn child(make: impl Fn() -> i32, body: impl FnOnce() -> c_int) -> i32 {
    match make() {
        // SAFETY: ends the child at once, without the parent's exit handlers.
        0 => unsafe { libc::_exit(body()) },
        pid => {
            assert!(pid > 0);
            pid
        }
    }
}

fn fork() -> i32 {
    // SAFETY: the child calls C functions of the tests, and ends.
    unsafe { libc::fork() }
}

/// A fork without the C library, which runs no handlers.
fn clone_raw() -> i32 {
    // SAFETY: as with fork.
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 }
}

/// Code memory was shared with children, and the parent used it again.
#[test]
fn children_run_what_they_inherited_while_the_parent_exchanges_programs() {
    let (runtime, _turn) = engine();
    let [noop, longer] = programs(runtime);
    for make in [fork, clone_raw] {
        attach_all(runtime, noop);
        let children: Vec<_> = (0..4).map(|_| child(make, || work(300))).collect();
        for round in 0..40 {
            detach_all(runtime);
            attach_all(runtime, if round % 2 == 0 { longer } else { noop });
        }
        detach_all(runtime);
        let ends: Vec<_> = children.into_iter().map(end_of).collect();
        assert_eq!(ends, [0; 4]);
    }
}

/// What a child inherits is its own: programs go on in it, and count where the parent does not see it.
#[test]
fn a_child_keeps_programs_and_counters_of_its_own() {
    let (runtime, _turn) = engine();
    let [_, longer] = programs(runtime);
    attach_all(runtime, longer);
    let runs = || runtime.list(Some(TRACED[0])).unwrap()[0].probes[0].runs;
    let call = |times: u64| {
        for _ in 0..times {
            // SAFETY: an empty C function.
            unsafe { gcc_patchable_empty() };
        }
    };
    call(10);
    let before = runs();
    let made = child(fork, || {
        call(100);
        let counted = runs() == before + 100;
        detach_all(runtime);
        attach_all(runtime, longer);
        call(7);
        c_int::from(!(counted && runs() == 7))
    });
    assert_eq!(end_of(made), 0);
    assert_eq!(runs(), before);
    call(5);
    assert_eq!(runs(), before + 5);
    detach_all(runtime);
}

/// 24 of 400 children kept a breakpoint in their text for good.
#[test]
fn a_fork_during_a_patch_takes_all_of_it_along_or_nothing() {
    let (runtime, _turn) = engine();
    let [noop, _] = programs(runtime);
    let text = || {
        let start = gcc_patchable_empty as *const () as *const u8;
        // SAFETY: the function's stub, which is mapped.
        unsafe { start.cast::<[u8; 5]>().read_volatile() }
    };
    let nop = text();
    let (stop, patches) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                attach_all(runtime, noop);
                detach_all(runtime);
                patches.fetch_add(1, Ordering::Relaxed);
            }
        });
        let check = || {
            // SAFETY: plain C functions.
            let right = unsafe { gcc_patchable_self_test() } == 0;
            let whole = text() == nop || text()[0] == 0xe8;
            c_int::from(!(right && whole))
        };
        let mut ends = Vec::new();
        for round in 0..200 {
            // SAFETY: a C function that waits for its child, which has this process's memory.
            assert_eq!(unsafe { gcc_patchable_vforked() }, 0);
            let spawned = Command::new("/bin/true").status().unwrap();
            assert!(spawned.success());
            let make = if round % 2 == 0 { fork } else { clone_raw };
            ends.push(end_of(child(make, check)));
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ends, [0; 200]);
    });
    assert!(patches.load(Ordering::Relaxed) > 0);
}

/// Nothing of the process's own descriptors is written to in the place of its memory.
#[test]
fn a_program_that_closes_every_descriptor_can_be_traced() {
    let (runtime, _turn) = engine();
    let [noop, _] = programs(runtime);
    attach_all(runtime, noop);
    let made = child(fork, || {
        // SAFETY: the child needs none of them.
        unsafe { libc::close_range(3, u32::MAX, 0) };
        detach_all(runtime);
        attach_all(runtime, noop);
        work(10)
    });
    assert_eq!(end_of(made), 0);
    detach_all(runtime);
}

/// What the program has made impossible is not needed: descriptors, and files of the system.
#[test]
fn a_program_without_descriptors_or_in_another_root_can_be_traced() {
    let (runtime, _turn) = engine();
    let [noop, longer] = programs(runtime);
    attach_all(runtime, noop);
    let traced = || {
        detach_all(runtime);
        attach_all(runtime, longer);
        work(10)
    };
    let out_of_descriptors = child(fork, || {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: sets a limit of the child, which ends soon.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
        assert!(std::fs::File::open("/proc/self/exe").is_err());
        traced()
    });
    assert_eq!(end_of(out_of_descriptors), 0);
    let folder = std::env::temp_dir().join(format!("ubpf-root-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let elsewhere = child(fork, || {
        // Whoever is not root becomes root of a namespace first, where the system lets him.
        // SAFETY: the child has one thread, and ends soon.
        let changed = unsafe { libc::geteuid() == 0 || libc::unshare(libc::CLONE_NEWUSER) == 0 };
        if !changed || std::os::unix::fs::chroot(&folder).is_err() {
            return 0;
        }
        assert!(!std::path::Path::new("/proc").exists());
        traced()
    });
    assert_eq!(end_of(elsewhere), 0);
    std::fs::remove_dir(&folder).unwrap();
    detach_all(runtime);
}

/// Threads begin and end all the time; what each has counted stays.
#[test]
fn threads_that_end_while_programs_come_and_go_lose_no_run() {
    const THREADS: u64 = 150;
    let (runtime, _turn) = engine();
    let [noop, longer] = programs(runtime);
    attach_all(runtime, noop);
    // One function keeps its program.
    let kept = TRACED[0];
    let runs = || runtime.list(Some(kept)).unwrap()[0].probes.iter().find(|p| p.program == "noop").map(|p| p.runs);
    let before = runs().unwrap();
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            for _ in 0..THREADS / 3 {
                let three: Vec<_> = (0..3)
                    .map(|_| {
                        thread::spawn(|| {
                            for _ in 0..100 {
                                // SAFETY: plain C functions.
                                unsafe {
                                    gcc_patchable_empty();
                                    gcc_patchable_myfun();
                                }
                            }
                        })
                    })
                    .collect();
                three.into_iter().for_each(|thread| thread.join().unwrap());
            }
        });
        while !others.is_finished() {
            for name in &TRACED[1..] {
                runtime.detach(name, None).unwrap();
                runtime.attach(name, longer, AttachLimits::default()).unwrap();
            }
            // Beside the one that stays.
            runtime.attach(kept, longer, AttachLimits::default()).unwrap();
            runtime.detach(kept, Some("longer")).unwrap();
        }
    });
    assert_eq!(runs(), Some(before + THREADS * 100));
    detach_all(runtime);
}
