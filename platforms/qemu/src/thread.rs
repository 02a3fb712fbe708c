//! Cooperative threads: each runs until it sleeps or waits; interrupts never switch threads.

use core::arch::naked_asm;
use core::sync::atomic::{compiler_fence, AtomicBool, AtomicUsize, Ordering};

use x86_64::instructions::interrupts;

use crate::cell::{IrqCell, RawCell};
use crate::cpu;
use crate::memory::Stack;
use crate::time;
use crate::BOOT_STACK;

const THREADS: usize = 6;
/// Bytes that a new thread's stack holds: six registers and the address to begin at.
const FIRST_FRAME: usize = 8 * 8;

static STACKS: RawCell<[Stack; THREADS]> = RawCell::new([const { Stack::new() }; THREADS]);
static SCHEDULER: IrqCell<Scheduler> = IrqCell::new(Scheduler { threads: [Thread::FREE; THREADS + 1], current: 0 });

/// Names, by number.
static NAMES: [spin::Once<&'static str>; THREADS + 1] = [const { spin::Once::new() }; THREADS + 1];
/// The number of the one that runs on the first CPU; [`IDLE`] while none can.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
const IDLE: usize = usize::MAX;
/// The one that does the engine's own work; [`NONE`] while none does.
static OWN: AtomicUsize = AtomicUsize::new(NONE);
const NONE: usize = usize::MAX - 1;

struct Scheduler {
    /// The boot stack's thread comes first.
    threads: [Thread; THREADS + 1],
    current: usize,
}

#[derive(Clone, Copy)]
struct Thread {
    used: bool,
    stack: usize,
    wake_at: u64,
    event: Option<&'static AtomicBool>,
}

impl Thread {
    const FREE: Self = Self { used: false, stack: 0, wake_at: 0, event: None };

    fn can_run(&self, now: u64) -> bool {
        self.used && (self.wake_at <= now || self.event.is_some_and(|event| event.load(Ordering::Acquire)))
    }
}

/// The guard pages of the threads' stacks.
pub fn guards() -> impl Iterator<Item = usize> {
    (0..THREADS).map(|number| STACKS.get() as usize + number * size_of::<Stack>())
}

/// Starts a thread; false when there is no place for one more. Threads never end.
pub fn spawn(name: &'static str, entry: extern "C" fn() -> !) -> bool {
    SCHEDULER.with(|scheduler| {
        scheduler.threads[0].used = true;
        let Some(number) = scheduler.threads.iter().position(|thread| !thread.used) else {
            return false;
        };
        let first = stack_of(number).end - FIRST_FRAME;
        // SAFETY: the stack belongs to the new thread, which does not run yet. On entry RSP is 8 below a multiple
        // of 16, as after a call; the word there is a return address of 0, which ends the stack reports.
        unsafe { ((first + 6 * 8) as *mut usize).write(entry as usize) };
        NAMES[number].call_once(|| name);
        scheduler.threads[number] = Thread { used: true, stack: first, wake_at: 0, event: None };
        true
    })
}

/// Lets other threads run for so many nanoseconds, or until `event` becomes true.
pub fn wait(event: Option<&'static AtomicBool>, ns: u64) {
    let wake_at = time::now_ns().saturating_add(ns);
    SCHEDULER.with(|scheduler| {
        let current = &mut scheduler.threads[scheduler.current];
        current.wake_at = wake_at;
        current.event = event;
    });
    // SAFETY: a C function without arguments, which calls `thread_next`.
    unsafe { thread_schedule() };
}

extern "C" {
    /// Takes the CPU from this thread; in C for its entry stub (libc/calls.c).
    fn thread_schedule();
}

/// Number of the thread that runs on the first CPU.
pub fn current() -> usize {
    SCHEDULER.with(|scheduler| scheduler.current)
}

/// What runs on this CPU, by number and name: threads from 1 on, behind them the CPUs that have none; nothing while no thread can run. *Hook path.*
pub fn running() -> Option<(usize, &'static str)> {
    match (cpu::number(), RUNNING.load(Ordering::Relaxed)) {
        (0, IDLE) => None,
        (0, number) => Some((number + 1, NAMES.get(number).and_then(spin::Once::get).copied().unwrap_or("main"))),
        (cpu, _) => Some((THREADS + 1 + cpu, "cpu")),
    }
}

/// Whether a thread runs here that does the engine's own work. *Hook path.*
pub fn is_own() -> bool {
    cpu::number() == 0 && RUNNING.load(Ordering::Relaxed) == OWN.load(Ordering::Relaxed)
}

/// Whether one that has its stack here does, and not what has interrupted it. *Hook path.*
pub fn is_own_at(stack: usize) -> bool {
    is_own() && stack_of(OWN.load(Ordering::Relaxed)).contains(&stack)
}

/// The stack of a thread, its guard page included; the first has that of the boot.
fn stack_of(number: usize) -> core::ops::Range<usize> {
    let start = match number {
        0 => BOOT_STACK.get() as usize,
        _ => STACKS.get() as usize + (number - 1) * size_of::<Stack>(),
    };
    start..start + size_of::<Stack>()
}

/// Says whether this thread does such from now on; gives what was said before.
pub fn set_own(own: bool) -> bool {
    if cpu::number() != 0 {
        return false;
    }
    let before = is_own();
    if own || before {
        OWN.store(if own { current() } else { NONE }, Ordering::Relaxed);
    }
    leave_counters();
    before
}

/// Without counters its calls of traced functions take the way on which they are looked at; the next thread gets them again.
fn leave_counters() {
    // An interrupt that finds no counters finds already whose thread this is, and takes none for it.
    compiler_fence(Ordering::SeqCst);
    if is_own() {
        cpu::set_counters(0);
    }
}

/// Lets the other threads that can run have their turn; nothing on a CPU that has no threads, nor before there are any.
pub fn give_way() {
    if cpu::number() == 0 && SCHEDULER.with(|scheduler| scheduler.threads[scheduler.current].used) {
        wait(None, 0);
    }
}

/// Goes on with the next thread that can run, and comes back when it is this one's turn again.
#[no_mangle]
extern "C" fn thread_next() {
    interrupts::disable();
    let (from, to) = loop {
        if let Some(switch) = SCHEDULER.with(Scheduler::choose) {
            break switch;
        }
        RUNNING.store(IDLE, Ordering::Relaxed);
        interrupts::enable_and_hlt();
        interrupts::disable();
    };
    // SAFETY: `to` was saved by this function or made by `spawn`; `from` is this thread's place for it. Interrupts
    // are off until the other stack is in place.
    unsafe { switch_stack(from, to) };
    interrupts::enable();
}

impl Scheduler {
    /// The next thread in turn that can run: where to save this one's stack, and the other's stack.
    fn choose(&mut self) -> Option<(*mut usize, usize)> {
        let now = time::now_ns();
        let count = self.threads.len();
        let next =
            (1..=count).map(|step| (self.current + step) % count).find(|next| self.threads[*next].can_run(now))?;
        let from = &raw mut self.threads[self.current].stack;
        RUNNING.store(next, Ordering::Relaxed);
        leave_counters();
        if next == self.current {
            return Some((from, 0));
        }
        self.current = next;
        Some((from, self.threads[next].stack))
    }
}

/// Saves the registers a call keeps and the stack pointer, and goes on with another thread; 0 = with this one.
///
/// # Safety
/// `to` must be a stack pointer saved here or made by `spawn`.
#[unsafe(naked)]
unsafe extern "C" fn switch_stack(from: *mut usize, to: usize) {
    naked_asm!(
        "test rsi, rsi",
        "jz 2f",
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "2: ret",
    )
}
