//! A site that straddles a cache line is patched many times while two threads run through it. The control does the same with a
//! plain copy of the five bytes, in a process of its own, and is seen to fail.
#![cfg(target_arch = "x86_64")]

use std::{
    arch::{asm, global_asm},
    io::Read,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use ubpf_platform_linux::SelfPatch;
use ubpf_rs::platform::TextPatch;

/// Names how many patches there are in the environment; `cargo xtask test` asks for a million.
const PATCHES: &str = "UBPF_TEST_PATCHES";
const PATCHES_ELSE: u64 = 50_000;
/// Copies after which the control gives up.
const COPIES: u64 = 5_000_000;
/// Set in the environment of the process that is the control.
const CONTROL: &str = "UBPF_TEST_PLAIN_COPY";

// Two bytes of the stub lie in one cache line, three in the next. All around are breakpoints. What is called counts in r12.
global_asm!(
    ".pushsection .text.straddle, \"ax\", @progbits",
    ".p2align 12, 0xcc",
    ".skip 64 + 62, 0xcc",
    ".globl straddle_site",
    "straddle_site:",
    ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
    "ret",
    ".skip 0x1000, 0xcc",
    ".globl straddle_target",
    "straddle_target:",
    "inc r12",
    "ret",
    ".p2align 12, 0xcc",
    ".skip 0x10000, 0xcc",
    ".popsection",
);
extern "C" {
    fn straddle_site();
    fn straddle_target();
}

fn site() -> usize {
    straddle_site as *const () as usize
}

/// What stands at the site: nothing, and a call of the target.
fn stubs() -> [[u8; 5]; 2] {
    let distance = straddle_target as *const () as usize - (site() + 5);
    let [a, b, c, d] = (distance as u32).to_le_bytes();
    [[0x0f, 0x1f, 0x44, 0x00, 0x00], [0xe8, a, b, c, d]]
}

/// Goes through the site `times` times; how often the target was called. No other register may change.
fn pass(times: u64) -> u64 {
    let (mut called, mut left, mut kept) = (0u64, times, 0x1234_5678_9abc_def0u64);
    // SAFETY: whatever stands at the site keeps every register but r12, and the stack.
    unsafe {
        asm!("2: call {site}", "dec r13", "jnz 2b", site = sym straddle_site,
            inout("r12") called, inout("r13") left, inout("r14") kept);
    }
    assert_eq!((left, kept), (0, 0x1234_5678_9abc_def0));
    called
}

/// Two threads go through the site while `patch` runs; how often they did, and how often the target was called.
fn under_two_threads(patch: impl FnOnce()) -> (u64, u64) {
    let (done, passed, called) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    called.fetch_add(pass(1_000), Ordering::Relaxed);
                    passed.fetch_add(1_000, Ordering::Relaxed);
                }
            });
        }
        patch();
        done.store(true, Ordering::Relaxed);
    });
    (passed.into_inner(), called.into_inner())
}

#[test]
fn a_straddling_site_is_patched_under_two_threads() {
    if std::env::var_os(CONTROL).is_some() {
        return;
    }
    assert_eq!(site() % 64, 62);
    let patches = std::env::var(PATCHES).map_or(PATCHES_ELSE, |count| count.parse().unwrap());
    let patch = SelfPatch::new();
    let [nop, call] = stubs();
    let (passed, called) = under_two_threads(|| {
        for _ in 0..patches / 2 {
            // SAFETY: the call leads to a function of this test, which returns behind it.
            unsafe { patch.replace(site(), &nop, &call) }.unwrap();
            // SAFETY: the nop as it was.
            unsafe { patch.replace(site(), &call, &nop) }.unwrap();
        }
    });
    assert!(0 < called && called < passed, "{called} of {passed}");
    assert_eq!(pass(10), 0, "the nop is back");
}

#[test]
fn the_control_a_plain_copy_fails() {
    if std::env::var_os(CONTROL).is_some() {
        return plain_copies();
    }
    let mut control = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_control_a_plain_copy_fails", "--test-threads=1"])
        .env(CONTROL, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // It may also hang: whoever executes a mixture can end up anywhere.
    while control.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let _ = control.kill();
    let status = control.wait().unwrap();
    let mut said = String::new();
    let _ = control.stdout.take().unwrap().read_to_string(&mut said);
    assert!(!status.success(), "a plain copy of five bytes was never seen half done\n{said}");
}

/// Makes the text writable and copies the bytes over it one by one, as a copy loop does.
fn plain_copies() {
    let page = site() & !0xfff;
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // SAFETY: the page of the site belongs to it alone.
    assert_eq!(unsafe { libc::mprotect(page as *mut _, 0x1000, all) }, 0);
    let copy = |bytes: [u8; 5]| {
        for (at, byte) in (site()..).zip(bytes) {
            // SAFETY: the page is writable.
            unsafe { (at as *mut u8).write_volatile(byte) };
        }
    };
    let [nop, call] = stubs();
    under_two_threads(|| {
        for _ in 0..COPIES / 2 {
            copy(call);
            copy(nop);
        }
    });
}
