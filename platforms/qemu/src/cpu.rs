//! The CPUs: which one this is, how the second is started, and how one makes the other see changed memory.
//!
//! The first CPU runs the threads (application, shell) and takes the devices' interrupts. The second runs
//! `second_cpu_main` of the application with its own timer. Both run traced functions.

use core::arch::{asm, x86_64::__cpuid};
use core::ptr::addr_of;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use x86_64::instructions::{hlt, interrupts, port::Port, tlb};
use x86_64::registers::model_specific::{GsBase, Msr};
use x86_64::VirtAddr;

use crate::cell::RawCell;
use crate::memory::{self, Stack};
use crate::{app, time, trap};

/// How many CPUs can be used.
pub const CPUS: usize = 2;

/// Vector by which a CPU is asked to [`answer`].
const VECTOR_SYNC: u32 = 48;
/// Vector of the second CPU's timer.
const VECTOR_TIMER: u32 = 49;
/// Vector of an interrupt that vanished.
const VECTOR_SPURIOUS: u32 = 50;

/// Where the second CPU begins, in real mode: below 1 MiB, at a page that the vector of the start-up message names.
const SECOND_START: usize = 0x8000;
/// Nanoseconds between two interrupts of the second CPU's timer, which QEMU counts in ns.
const SECOND_TICK_NS: u32 = 1_000_000;
const START_PATIENCE_NS: u64 = 200_000_000;

const LAPIC_END: usize = 0xb0;
const LAPIC_SPURIOUS: usize = 0xf0;
const LAPIC_COMMAND_LOW: usize = 0x300;
const LAPIC_COMMAND_HIGH: usize = 0x310;
const LAPIC_TIMER: usize = 0x320;
const LAPIC_LINT0: usize = 0x350;
const LAPIC_TIMER_START: usize = 0x380;
const LAPIC_TIMER_DIVIDE: usize = 0x3e0;
const COMMAND_INIT: u32 = 0x4500;
const COMMAND_START: u32 = 0x4600;
const COMMAND_FIXED: u32 = 0x4000;
const COMMAND_NMI: u32 = 0x4400;

/// What each CPU knows of itself; GS points to it.
#[repr(C)]
struct PerCpu {
    number: AtomicU32,
    in_interrupt: AtomicU32,
    /// The last request this CPU has answered.
    answered: AtomicU64,
    /// Address of its counters of hooks, 0 for none yet.
    counters: AtomicU64,
}

static PER_CPU: [PerCpu; CPUS] = [const {
    PerCpu {
        number: AtomicU32::new(0),
        in_interrupt: AtomicU32::new(0),
        answered: AtomicU64::new(0),
        counters: AtomicU64::new(0),
    }
}; CPUS];

/// Where GS points, as [`PerCpu::counters`].
pub const COUNTERS_OFFSET: i32 = core::mem::offset_of!(PerCpu, counters) as i32;
static RUNNING: AtomicBool = AtomicBool::new(false);
static REQUEST: AtomicU64 = AtomicU64::new(0);
static SYNC: spin::Mutex<()> = spin::Mutex::new(());
static SECOND_STACK: RawCell<Stack> = RawCell::new(Stack::new());

extern "C" {
    static second_begin: u8;
    static second_end: u8;
}

core::arch::global_asm!(
    ".global SECOND_STACK_TOP",
    "SECOND_STACK_TOP = {stack} + {size}",
    stack = sym SECOND_STACK,
    size = const size_of::<Stack>(),
);

/// The guard page of the second CPU's stack.
pub fn guards() -> impl Iterator<Item = usize> {
    [SECOND_STACK.get() as usize].into_iter()
}

/// Tells the CPU which one it is; first of all.
pub fn init(number: usize) {
    PER_CPU[number].number.store(number as u32, Ordering::Relaxed);
    GsBase::write(VirtAddr::new(addr_of!(PER_CPU[number]) as u64));
}

/// Number of this CPU.
pub fn number() -> usize {
    let number: u32;
    // SAFETY: GS points to this CPU's PerCpu from `init` on.
    unsafe { asm!("mov {0:e}, gs:[0]", out(reg) number, options(nostack, readonly, preserves_flags)) };
    number as usize
}

/// Tells this CPU where its counters of hooks are.
pub fn set_counters(address: u64) {
    PER_CPU[number()].counters.store(address, Ordering::Relaxed);
}

/// Whether this CPU runs an interrupt handler.
pub fn in_interrupt() -> bool {
    PER_CPU[number()].in_interrupt.load(Ordering::Relaxed) != 0
}

/// Remembers that an interrupt handler begins or ends.
pub fn set_in_interrupt(inside: bool) {
    PER_CPU[number()].in_interrupt.store(inside.into(), Ordering::Relaxed);
}

/// Whether the second CPU runs.
pub fn two_running() -> bool {
    RUNNING.load(Ordering::Acquire)
}

/// Starts the second CPU, if there is one; waits until it runs. The engine must have prepared the entry stubs.
pub fn start_second() {
    if count() < 2 {
        return;
    }
    // SAFETY: the page at SECOND_START is RAM below 1 MiB that nobody uses any more: the start info was read.
    unsafe {
        let code = addr_of!(second_begin);
        let len = addr_of!(second_end) as usize - code as usize;
        core::ptr::copy_nonoverlapping(code, SECOND_START as *mut u8, len);
    }
    enable_lapic();
    lapic_write(LAPIC_LINT0, 0x700); // the PICs go on reaching the first CPU
    command(1, COMMAND_INIT);
    pause_ns(10_000_000);
    command(1, COMMAND_START | (SECOND_START >> 12) as u32);
    let begin = time::now_ns();
    while !two_running() {
        if time::now_ns() - begin > START_PATIENCE_NS {
            return println!("the second CPU does not start");
        }
        core::hint::spin_loop();
    }
    println!("two CPUs");
}

/// Called by boot.S on the second CPU, on its stack.
#[no_mangle]
extern "C" fn second_main(_: usize) -> ! {
    init(1);
    trap::load_tables();
    enable_lapic();
    lapic_write(LAPIC_TIMER_DIVIDE, 0b1011); // by 1
    lapic_write(LAPIC_TIMER, 1 << 17 | VECTOR_TIMER); // periodic
    lapic_write(LAPIC_TIMER_START, SECOND_TICK_NS);
    RUNNING.store(true, Ordering::Release);
    interrupts::enable();
    app::run_second()
}

/// The second CPU's pause between two batches of work: until its timer's next interrupt, unless a test has taken over.
pub fn pause() {
    if !TAKEN.load(Ordering::SeqCst) {
        return hlt();
    }
    loop {
        // First this, then the look: who takes the leave away and then finds it at rest finds it so until it has leave again.
        AT_REST.store(false, Ordering::SeqCst);
        let allowed = ALLOWED.load(Ordering::SeqCst);
        let left = if allowed == ENDLESS { ENDLESS } else { allowed.saturating_sub(1) };
        if allowed > 0 && ALLOWED.compare_exchange(allowed, left, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return;
        }
        AT_REST.store(true, Ordering::SeqCst);
        while ALLOWED.load(Ordering::SeqCst) == 0 {
            core::hint::spin_loop();
        }
    }
}

/// The second CPU's work in the hands of a test.
pub struct Batches(());

impl Batches {
    /// Takes it over; the second CPU rests.
    pub fn take() -> Self {
        TAKEN.store(true, Ordering::SeqCst);
        let batches = Self(());
        batches.run(0);
        batches
    }

    /// Lets it work without a pause.
    pub fn endless(&self) {
        ALLOWED.store(ENDLESS, Ordering::SeqCst);
    }

    /// Lets it do so many batches; returns when it rests.
    pub fn run(&self, count: u64) {
        ALLOWED.store(count, Ordering::SeqCst);
        while ALLOWED.load(Ordering::SeqCst) > 0 || !AT_REST.load(Ordering::SeqCst) {
            core::hint::spin_loop();
        }
    }
}

const ENDLESS: u64 = u64::MAX;
static TAKEN: AtomicBool = AtomicBool::new(false);
static ALLOWED: AtomicU64 = AtomicU64::new(0);
static AT_REST: AtomicBool = AtomicBool::new(false);

/// Whether this is the tick of the second CPU.
pub fn is_tick(vector: u64) -> bool {
    vector as u32 == VECTOR_TIMER
}

/// An interrupt that comes from a local APIC; its vector.
pub fn interrupt(vector: u64) {
    if vector as u32 == VECTOR_SYNC {
        answer();
    }
    if vector as u32 != VECTOR_SPURIOUS {
        lapic_write(LAPIC_END, 0);
    }
}

/// Makes the other CPU, if it runs, forget cached translations and prefetched instructions; returns when it has.
pub fn sync_other() {
    if !two_running() {
        return;
    }
    let _one_at_a_time = lock(&SYNC);
    let request = REQUEST.load(Ordering::Relaxed) + 1;
    REQUEST.store(request, Ordering::SeqCst);
    let other = 1 - number();
    command(other as u32, COMMAND_FIXED | VECTOR_SYNC);
    while PER_CPU[other].answered.load(Ordering::Acquire) < request {
        core::hint::spin_loop();
    }
    PER_CPU[number()].answered.store(request, Ordering::Release);
}

/// Does what [`sync_other`] on the other CPU waits for. Whoever waits for that CPU with interrupts off calls this.
pub fn answer() {
    let request = REQUEST.load(Ordering::SeqCst);
    let answered = &PER_CPU[number()].answered;
    if answered.load(Ordering::Relaxed) < request {
        tlb::flush_all();
        let _serialises = __cpuid(0);
        answered.store(request, Ordering::Release);
    }
}

/// Takes a lock that the other CPU may hold while it waits for this one.
pub fn lock<T>(mutex: &spin::Mutex<T>) -> spin::MutexGuard<'_, T> {
    loop {
        if let Some(guard) = mutex.try_lock() {
            return guard;
        }
        answer();
        core::hint::spin_loop();
    }
}

/// Stops the other CPU for good: this one reports a fault.
pub fn stop_other() {
    if RUNNING.swap(false, Ordering::AcqRel) {
        command(1 - number() as u32, COMMAND_NMI);
    }
}

/// How many CPUs QEMU has made, by its configuration device.
fn count() -> u16 {
    const CPU_COUNT: u16 = 5;
    // SAFETY: selects an item of QEMU's configuration device and reads its bytes; nobody else uses the device.
    unsafe {
        Port::<u16>::new(0x510).write(CPU_COUNT);
        let mut data = Port::<u8>::new(0x511);
        u16::from_le_bytes([data.read(), data.read()])
    }
}

fn pause_ns(ns: u64) {
    let begin = time::now_ns();
    while time::now_ns() - begin < ns {
        core::hint::spin_loop();
    }
}

fn enable_lapic() {
    lapic_write(LAPIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
}

/// Sends a command to the local APIC of another CPU.
fn command(cpu: u32, command: u32) {
    interrupts::without_interrupts(|| {
        lapic_write(LAPIC_COMMAND_HIGH, cpu << 24);
        lapic_write(LAPIC_COMMAND_LOW, command);
    });
}

fn lapic_write(register: usize, value: u32) {
    const BASE: u32 = 0x1b;
    // SAFETY: every x86-64 CPU has this register; the page it names is the local APIC, mapped as device memory.
    unsafe {
        let base = Msr::new(BASE).read() as usize & !(memory::PAGE - 1);
        ((base + register) as *mut u32).write_volatile(value);
    }
}
