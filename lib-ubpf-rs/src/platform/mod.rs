//! What the engine needs from below: small traits without an implementation. Each platform supplies them
//! once, as `&'static dyn`; tests use fakes that can be told to fail.
//!
//! Everything marked *hook path* may be called from a traced function, also in interrupt context and on
//! several CPUs at once: it must not block, allocate or take a lock that a thread can hold.
#![deny(unsafe_code)]

mod none;
mod pace;
mod room;
mod sort;
mod text;
mod trusted;
mod walk;

pub use none::{NoConsole, NoFiles, NoReads, OneCpu};
pub use pace::{
    no_pause, Cancelled, GiveWay, Pace, Pause, Preemptive, Slice, Taken, Turn, PATIENCE_NS, PREEMPTED_PATIENCE_NS,
    SLICE_NS,
};
pub use room::{boxed, has_room, Reserve, GRANULE, RESERVE, SMALL_THINGS, SMALL_THINGS_THAT_STAY};
pub use sort::{sort, sort_by, sort_by_in_pieces};
pub use text::{copied, copy_of, find, fits, is_pattern, sets_errno, shown, syscall_of, SYSCALL};
pub use trusted::{ExecMemory, FaultSafeRead, StackTest, TextPatch};
pub use walk::Walk;

use alloc::{string::String, vec::Vec};

/// Monotonic time. *Hook path.*
pub trait Clock: Sync {
    /// Nanoseconds since an arbitrary start.
    fn now_ns(&self) -> u64;
    /// How machine code reads the time by itself: [`now_ns`](Self::now_ns) does the same. `None` where it has to be asked. The answer
    /// is always the same.
    fn ticks(&self) -> Option<Ticks> {
        None
    }
}

/// Time as a counter of the CPU gives it: on x86-64 the TSC, which must run evenly and alike on all CPUs.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticks {
    /// The counter when the time was zero.
    pub start: u64,
    /// Nanoseconds per count, times 2^32.
    pub scale: u64,
}

impl Ticks {
    /// From two readings of the counter and the time, as far apart as the scale is to be exact; `None` unless both moved on.
    pub fn between(first: (u64, u64), second: (u64, u64)) -> Option<Ticks> {
        let counts = second.0.checked_sub(first.0)?;
        let ns = second.1.checked_sub(first.1).filter(|&ns| ns > 0)?;
        let scale = (u128::from(ns) << 32).checked_div(u128::from(counts))?;
        let scale = u64::try_from(scale).ok().filter(|&scale| scale > 0)?;
        // Counts from the start of the time to the second reading.
        let before = (u128::from(second.1) << 32) / u128::from(scale);
        let start = second.0.wrapping_sub(before as u64);
        Some(Ticks { start, scale })
    }

    /// Reads the counter and the time, `both`, until `ns` went by. `None` where no scale can be told; so also of a time that
    /// stands still or lags: the counter is waited for [`PATIENCE`](Self::PATIENCE) counts at most, and
    /// [`STILL`](Self::STILL) where the time has not moved at all.
    pub fn measured(mut both: impl FnMut() -> (u64, u64), ns: u64) -> Option<Ticks> {
        let first = both();
        // A counter that stands still as well ends the wait, too.
        for _ in 0..Self::PATIENCE {
            let now = both();
            if now.1.wrapping_sub(first.1) >= ns {
                return Self::between(first, now);
            }
            let most = if now.1 == first.1 { Self::STILL } else { Self::PATIENCE };
            if now.0.wrapping_sub(first.0) >= most {
                return None;
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Counts that a measurement takes at most: some milliseconds of any CPU.
    pub const PATIENCE: u64 = 1 << 24;

    /// Counts after which a time that shows no other value stands still: a tenth of a millisecond of a slow CPU, in which a clock of
    /// nanoseconds has moved.
    pub const STILL: u64 = 1 << 17;

    /// The time at a reading of the counter.
    pub fn ns(&self, counter: u64) -> u64 {
        let counts = counter.wrapping_sub(self.start);
        ((u128::from(counts) * u128::from(self.scale)) >> 32) as u64
    }
}

/// The console of the unikernel. Called from the control path only, never from a hook.
pub trait Console: Sync {
    /// Writes all bytes.
    fn write(&self, bytes: &[u8]);
}

/// Why a text patch was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchError {
    /// The bytes in place were not the expected ones.
    Mismatch {
        /// Address of the site.
        addr: usize,
    },
    /// The platform could not write there.
    NotWritable {
        /// Address of the site.
        addr: usize,
        /// Platform's reason (an errno value).
        code: i32,
    },
    /// Another CPU could execute the text meanwhile, and the platform cannot stop it.
    SeveralCpus {
        /// What to do.
        remedy: &'static str,
    },
}

/// One of many changes of the text.
#[derive(Clone, Copy, Debug)]
pub struct TextChange<'a> {
    /// Where.
    pub addr: usize,
    /// What stands there now, at most 8 bytes.
    pub old: &'a [u8],
    /// What is to stand there, of the same length.
    pub new: &'a [u8],
    /// What came of it; good until it is tried.
    pub result: Result<(), PatchError>,
}

impl<'a> TextChange<'a> {
    /// A change that has yet to be made.
    pub fn new(addr: usize, old: &'a [u8], new: &'a [u8]) -> TextChange<'a> {
        TextChange { addr, old, new, result: Ok(()) }
    }
}

/// A block of memory for generated code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExecBlock {
    /// Where to write while the block is open.
    pub write: usize,
    /// Where the code will run (may equal `write`).
    pub exec: usize,
    /// Length in bytes.
    pub len: usize,
}

/// What went wrong with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileError {
    /// No such file or directory.
    NotFound,
    /// Larger than the caller's limit or the platform's space.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The platform cannot do this.
    Unsupported,
    /// Files may not be changed.
    ReadOnly,
    /// No memory for the contents.
    NoMemory,
    /// Anything else, as an errno value.
    Io(i32),
}

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Name without its directory.
    pub name: String,
    /// Size in bytes; 0 for a directory.
    pub size: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Files that programs and symbols are loaded from. Control path only.
pub trait Files: Sync {
    /// The whole file, at most `limit` bytes.
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError>;
    /// The entries of a directory (empty path = the default one), sorted by name.
    fn list(&self, path: &str) -> Result<Vec<DirEntry>, FileError>;
    /// Creates or replaces a file with these contents, or leaves the old one untouched.
    fn write(&self, path: &str, contents: &[u8]) -> Result<(), FileError>;
    /// Removes a file.
    fn remove(&self, path: &str) -> Result<(), FileError>;
}

/// CPU state that the tracer must know. *Hook path.*
pub trait Cpu: Sync {
    /// Number of the CPU this runs on, from 0.
    fn id(&self) -> u32;
    /// Whether this runs in an interrupt handler.
    fn in_interrupt(&self) -> bool;
    /// The thread that this runs in; in an interrupt, the one that it interrupts.
    fn running(&self) -> Thread {
        Thread::ONLY
    }
    /// Writes the name of that thread, as much of it as there is room for; how many bytes it has then.
    fn running_name(&self, into: &mut [u8]) -> usize {
        let _ = into;
        0
    }
    /// How hooks count here. The answer is always the same.
    fn counting(&self) -> Counting {
        Counting::Locked
    }
    /// With [`Counting::Own`]: gives the caller (its thread, or its CPU) one of the blocks, unless it has one. With none to be had
    /// it goes on without.
    fn adopt_counters(&self, blocks: CounterBlocks) {
        let _ = blocks;
    }
    /// Where hooks find the number of the running thread; `None` where threads have none. The answer is always the same.
    fn thread_word(&self) -> Option<ThreadWord> {
        None
    }
    /// The number of the running thread, which stands in its word from then on; 0 where threads have none.
    fn thread(&self) -> u64 {
        0
    }
    /// Whether the thread with this number has ended, for certain: another one may have the number. Control path only.
    fn has_ended(&self, thread: u64) -> bool {
        let _ = thread;
        false
    }
    /// Whether what passes a traced function with its registers at `stack` is the engine's own control path: a thread that
    /// [`set_own`](Self::set_own) was told of, and not what has interrupted it.
    fn is_own(&self, stack: u64) -> bool {
        let _ = stack;
        false
    }
    /// How gates see that it may be, where counters are not [those of each](Counting::Own). With such, a thread has none while it is the
    /// engine's own. The answer is always the same.
    fn own_mark(&self) -> Option<OwnMark> {
        None
    }
    /// Says whether what the calling thread does from now on is the engine's own control path; gives what was said before. Control path only.
    fn set_own(&self, own: bool) -> bool {
        let _ = own;
        false
    }
    /// What `errno` is in the thread that runs; `None` where there is none.
    fn errno(&self) -> Option<i32> {
        None
    }
    /// Whether the CPU compares return addresses with copies of its own, so that none can be changed. Control path only.
    fn protects_returns(&self) -> bool {
        false
    }
    /// With [`Counting::Own`], control path only: returns when whatever a thread or CPU wrote before this call can be seen here, and
    /// what was written here is seen by what it reads from now on.
    fn see_all(&self) {}
}

/// A thread by its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Thread {
    /// Number of its process: 1 where there is one, 0 of the idle thread.
    pub process: u32,
    /// Its own, from 1 on; 0 of the thread that runs where no other can.
    pub thread: u32,
}

impl Thread {
    /// The one there is where nobody tells them apart.
    pub const ONLY: Thread = Thread { process: 1, thread: 1 };
    /// The one that runs where no other can.
    pub const IDLE: Thread = Thread { process: 0, thread: 0 };
}

/// How code made for hooks counts without losing anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counting {
    /// With locked instructions, which is right everywhere and slow.
    Locked,
    /// With plain ones: there is one CPU, and an interrupt comes before or after an instruction.
    OneCpu,
    /// With plain ones in a block of counters of each thread or CPU. Its address is in a word at a fixed place from where a register of the
    /// CPU points; 0 while it has none.
    Own {
        /// Whose the blocks are.
        owner: Owner,
        /// Offset of the word.
        offset: i32,
        /// Blocks wanted, at most 256.
        blocks: usize,
    },
}

/// Where a word is that holds the number of the running thread, or 0 while the thread has not asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadWord {
    /// Each thread has one, this far from where the register of the CPU for it points: on x86-64 fs.
    OfThread {
        /// The distance.
        offset: i32,
    },
    /// At this address: there is one CPU.
    At {
        /// The address.
        address: u64,
    },
}

/// How machine code sees that the running thread is the engine's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnMark {
    /// Each thread has a word, this far from where the register of the CPU for it points; it is not 0 then.
    OfThread {
        /// The distance.
        offset: i32,
    },
    /// Two words within 2 GiB of generated code are the same then, and perhaps while there are no threads.
    Same {
        /// The address of one.
        running: u64,
        /// The address of the other.
        own: u64,
    },
}

/// Whose something is, and so which register points to it: on x86-64 that of a thread is found through fs, that of a CPU through gs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Each thread has one.
    Thread,
    /// Each CPU has one.
    Cpu,
}

/// Blocks of counters; they live for ever and keep what was counted in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterBlocks {
    /// Address of the first.
    pub base: u64,
    /// From one to the next, in bytes.
    pub stride: u64,
    /// How many there are.
    pub count: usize,
}

impl CounterBlocks {
    /// Address of a block.
    pub fn block(&self, index: usize) -> Option<u64> {
        let offset = self.stride.checked_mul(index as u64)?;
        (index < self.count).then(|| self.base.wrapping_add(offset))
    }
}

/// Interrupts what runs, again and again, for programs of timers. Control path; one caller at a time.
pub trait Timer: Sync {
    /// Begins to call [`sample`](crate::tracer::sample) so often, or, where it does already, goes on at another rate. Gives the rate that there
    /// is: at least the one that is wanted where there is such a one, else the next one. An error says why there is none at all; everything is
    /// as it was then.
    fn start(&self, wanted: Ticking) -> Result<Ticking, &'static str>;
    /// Ends that: no call begins any more when this has returned.
    fn stop(&self);
    /// What hooks ask before they leave the stack that they are called on, while this ticks in the time of CPUs or threads: where an
    /// interrupt could begin that anew. It comes long after hooks have ended that had begun before [`start`](Self::start). The answer is always the same.
    fn stack_test(&self) -> Option<StackTest> {
        None
    }
}

/// Nanoseconds between two ticks of a [`Timer`]; 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticking {
    /// In the time of each CPU, or in a process of each thread, that works.
    pub of_cpu_ns: u64,
    /// In the time of the clock: for the process, or the image, as a whole.
    pub by_clock_ns: u64,
}

/// Everything below the engine, as one value. What an image lacks is one of [`NoConsole`], [`NoFiles`], [`NoReads`], [`OneCpu`],
/// [`Preemptive`] and `None`; a clock there must be. What an image has may be said in place of what [`bare`](Self::bare) lacks.
#[derive(Clone, Copy)]
pub struct Platform {
    /// Short name for `status`, for instance "linux" or "unikraft 0.17".
    pub name: &'static str,
    /// Time.
    pub clock: &'static dyn Clock,
    /// Fault-safe reads.
    pub probe_read: &'static dyn FaultSafeRead,
    /// Console.
    pub console: &'static dyn Console,
    /// Text patching; `None` where sites need no patching (`-finstrument-functions`) or there is no tracer.
    pub text: Option<&'static dyn TextPatch>,
    /// Executable memory; `None` leaves the JIT out.
    pub exec: Option<&'static dyn ExecMemory>,
    /// Files.
    pub files: &'static dyn Files,
    /// CPU state.
    pub cpu: &'static dyn Cpu,
    /// How a long command lets others run; [`Preemptive`] where that goes by itself.
    pub give_way: &'static dyn GiveWay,
    /// Interrupts for programs of timers; `None` where there are none.
    pub timer: Option<&'static dyn Timer>,
}

impl Platform {
    /// One of this name with a clock, which lacks everything else. It has one CPU then, and no interrupts: see [`OneCpu`].
    pub const fn bare(name: &'static str, clock: &'static dyn Clock) -> Platform {
        Platform {
            name,
            clock,
            probe_read: &NoReads,
            console: &NoConsole,
            text: None,
            exec: None,
            files: &NoFiles,
            cpu: &OneCpu,
            give_way: &Preemptive,
            timer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ticks;

    #[test]
    fn ticks_give_the_time_of_both_readings_and_beyond() {
        let (first, second) = ((1_000_000, 5_000_000), (4_000_000, 6_000_000));
        let ticks = Ticks::between(first, second).unwrap();
        let near = |counter, ns| ticks.ns(counter).abs_diff(ns) <= 2;
        assert!(near(first.0, first.1) && near(second.0, second.1));
        assert!(near(second.0 + 3_000_000_000, second.1 + 1_000_000_000));
        assert_eq!(Ticks::between(first, first), None);
        assert_eq!(Ticks::between(second, first), None);
        assert_eq!(Ticks::between(first, (first.0, second.1)), None);
        assert_eq!(Ticks::between(first, (second.0, first.1)), None);
    }

    #[test]
    fn a_measurement_ends_whatever_the_clocks_do() {
        let mut reads = 0;
        let mut even = || {
            reads += 1;
            (reads * 300, reads * 100)
        };
        let ticks = Ticks::measured(&mut even, 200_000).unwrap();
        assert!(ticks.ns(3_000_000_000).abs_diff(1_000_000_000) <= 2);
        // The time stands still, goes a million times too slowly, or both stand still.
        let mut counter = 0;
        let mut stopped = || {
            counter += 1000;
            (counter, 7)
        };
        assert_eq!(Ticks::measured(&mut stopped, 200_000), None);
        // An image's boot waits for it.
        assert!(counter <= Ticks::STILL + 2_000, "{counter}");
        let mut counter = 0;
        let mut slow = || {
            counter += 1000;
            (counter, counter / 1_000_000)
        };
        assert_eq!(Ticks::measured(&mut slow, 200_000), None);
        assert_eq!(Ticks::measured(|| (5, 5), 1), None);
    }
}
