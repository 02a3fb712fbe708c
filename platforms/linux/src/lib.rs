//! Engine, tracer and shell inside a Linux process: for tests, benchmarks, and traced real programs.
//!
//! - [`platform`] gives the engine what it needs from below; `clock`, `counters`, `threads`, `own_path`, `timer`, `probe_read`, `text`,
//!   `exec_memory`, `files` and `console` implement one trait each.
//! - [`records`] and [`symbols`] read what the compiler and the linker left in the executable.

mod clock;
mod console;
mod counters;
mod exec_memory;
mod files;
mod own_path;
mod pages;
mod probe_read;
pub mod records;
mod start;
pub mod symbols;
mod sync;
mod text;
mod threads;
mod timer;

pub use clock::Monotonic;
pub use console::Stdout;
pub use exec_memory::CodeMemory;
pub use files::Directory;
pub use probe_read::SelfRead;
pub use start::{ubpf_linux_drain, ubpf_linux_start};
pub use text::SelfPatch;

use std::path::PathBuf;
use ubpf_rs::platform::{CounterBlocks, Counting, Cpu, GiveWay, OwnMark, Platform, Thread, ThreadWord};

/// CPU of the calling thread. A process has no interrupts.
pub struct ThreadCpu;

impl Cpu for ThreadCpu {
    fn id(&self) -> u32 {
        // SAFETY: takes nothing and touches no memory of ours.
        u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
    }

    fn in_interrupt(&self) -> bool {
        false
    }

    fn running(&self) -> Thread {
        threads::numbers()
    }

    fn running_name(&self, into: &mut [u8]) -> usize {
        threads::name(into)
    }

    fn counting(&self) -> Counting {
        counters::counting()
    }

    fn adopt_counters(&self, blocks: CounterBlocks) {
        counters::adopt(blocks);
    }

    fn see_all(&self) {
        sync::see_all();
    }

    fn thread_word(&self) -> Option<ThreadWord> {
        threads::word()
    }

    fn thread(&self) -> u64 {
        threads::own()
    }

    fn has_ended(&self, thread: u64) -> bool {
        threads::has_ended(thread)
    }

    fn is_own(&self, _stack: u64) -> bool {
        own_path::is_own()
    }

    fn own_mark(&self) -> Option<OwnMark> {
        own_path::mark()
    }

    fn set_own(&self, own: bool) -> bool {
        threads::set_own(own)
    }

    fn errno(&self) -> Option<i32> {
        Some(errno())
    }

    fn protects_returns(&self) -> bool {
        threads::has_shadow_stack()
    }
}

impl GiveWay for ThreadCpu {
    fn give_way(&self) {
        // Whoever waits for another thread to end what it does lets it.
        std::thread::yield_now();
        start::beat();
    }

    fn patience_ns(&self) -> u64 {
        ubpf_rs::platform::PREEMPTED_PATIENCE_NS
    }
}

/// The platform of this process, with files below `root`. What it refers to lives as long as the process.
pub fn platform(root: PathBuf) -> Platform {
    clock::ticks(); // takes a while the first time
    let text: &'static SelfPatch = Box::leak(Box::new(SelfPatch::new()));
    let exec: &'static CodeMemory = Box::leak(Box::new(CodeMemory::new()));
    Platform {
        name: "linux",
        clock: &Monotonic,
        probe_read: &SelfRead,
        console: &Stdout,
        text: Some(text),
        exec: Some(exec),
        files: Box::leak(Box::new(Directory::new(root))),
        cpu: &ThreadCpu,
        give_way: &ThreadCpu,
        timer: Some(&timer::ThreadTimers),
    }
}

/// Does something and leaves `errno` as it was: a traced function may have set it, and its caller be about to look at it. *Hook path.*
fn keeping_errno<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: a variable of the calling thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let done = work();
    // SAFETY: as above.
    unsafe { *errno = before };
    done
}

/// The calling thread's `errno`.
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
