//! The image as a platform of the engine.

use core::sync::atomic::{AtomicBool, Ordering};

use ubpf_rs::platform::{
    copy_of, Clock, Console, CounterBlocks, Counting, Cpu, FaultSafeRead, GiveWay, Owner, PatchError, Platform,
    TextChange, TextPatch, Thread, Ticks, Walk,
};
use x86_64::instructions::interrupts;

use crate::{console, cpu, files::MemoryFiles, memory, serial, shell, thread, time, timer, trap};

struct Qemu;

/// Everything below the engine.
pub static PLATFORM: Platform = Platform {
    name: "qemu",
    clock: &Qemu,
    probe_read: &Qemu,
    console: &Qemu,
    text: Some(&Qemu),
    exec: Some(&memory::CodeMemory),
    files: &MemoryFiles,
    cpu: &Qemu,
    give_way: &Qemu,
    timer: Some(&timer::Ticks),
};

impl Clock for Qemu {
    fn now_ns(&self) -> u64 {
        time::now_ns()
    }

    fn ticks(&self) -> Option<Ticks> {
        Some(time::ticks())
    }
}

// SAFETY: a fault ends the read, and nothing but the destination is written.
unsafe impl FaultSafeRead for Qemu {
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize {
        let room = (memory::ram_end() as u64).saturating_sub(addr);
        let len = dst.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        trap::probe_read(addr as usize, &mut dst[..len])
    }

    fn walk(&self, walk: &Walk, out: &mut [u64]) -> usize {
        let last = (memory::ram_end() as u64).saturating_sub(16);
        walk.go(out, |at| (at <= last).then(|| trap::probe_pair_at(at))?)
    }

    fn may_fault(&self, stack: u64) -> bool {
        trap::may_fault(stack as usize)
    }
}

impl Console for Qemu {
    fn write(&self, bytes: &[u8]) {
        console::write(bytes);
    }
}

impl Cpu for Qemu {
    fn id(&self) -> u32 {
        cpu::number() as u32
    }

    fn in_interrupt(&self) -> bool {
        cpu::in_interrupt()
    }

    fn running(&self) -> Thread {
        thread::running().map_or(Thread::IDLE, |(number, _)| Thread { process: 1, thread: number as u32 })
    }

    fn running_name(&self, into: &mut [u8]) -> usize {
        copy_of(thread::running().map_or("idle", |(_, name)| name), into)
    }

    fn counting(&self) -> Counting {
        Counting::Own { owner: Owner::Cpu, offset: cpu::COUNTERS_OFFSET, blocks: cpu::CPUS }
    }

    fn adopt_counters(&self, blocks: CounterBlocks) {
        // Threads stay on their CPU.
        if let Some(block) = blocks.block(cpu::number()).filter(|_| !thread::is_own()) {
            cpu::set_counters(block);
        }
    }

    fn is_own(&self, stack: u64) -> bool {
        thread::is_own_at(stack as usize)
    }

    fn set_own(&self, own: bool) -> bool {
        thread::set_own(own)
    }

    fn see_all(&self) {
        cpu::sync_other();
    }
}

impl GiveWay for Qemu {
    fn give_way(&self) {
        thread::give_way();
        shell::beat();
    }

    fn is_cancelled(&self) -> bool {
        shell::is_here() && serial::is_cancelled()
    }
}

/// Held while text is changed.
static PATCHING: spin::Mutex<()> = spin::Mutex::new(());
/// Changes that are made with interrupts off and one waiting for the other CPU.
const TOGETHER: usize = 32;
/// Whether first bytes are breakpoints, which they are for moments while two CPUs run.
static BREAKPOINTS: AtomicBool = AtomicBool::new(false);
const BREAKPOINT: u8 = 0xcc;

// SAFETY: no byte is changed but those named, where the old ones stand, and each change is one step for whoever executes it.
unsafe impl TextPatch for Qemu {
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        let mut change = [TextChange::new(addr, old, new)];
        // SAFETY: as the caller promises.
        unsafe { self.replace_all(&mut change) };
        change[0].result
    }

    unsafe fn replace_all(&self, changes: &mut [TextChange<'_>]) {
        let _one_at_a_time = cpu::lock(&PATCHING);
        for some in changes.chunks_mut(TOGETHER) {
            interrupts::without_interrupts(|| patch(some));
        }
    }
}

/// Threads never stop inside a stub, and interrupts are off: on its own CPU nobody can see half a patch. For the other CPU the first
/// byte of each is a breakpoint meanwhile, at which it waits.
fn patch(changes: &mut [TextChange<'_>]) {
    changes.iter_mut().for_each(|change| change.result = check(change));
    let sound = changes.iter().filter(|change| change.result.is_ok());
    if !cpu::two_running() {
        sound.for_each(|change| memory::write_text(change.addr, change.new));
        return;
    }
    BREAKPOINTS.store(true, Ordering::SeqCst);
    write_and_sync(sound.clone().map(|change| (change.addr, &[BREAKPOINT][..])));
    write_and_sync(sound.clone().map(|change| (change.addr + 1, &change.new[1..])));
    write_and_sync(sound.map(|change| (change.addr, &change.new[..1])));
    BREAKPOINTS.store(false, Ordering::SeqCst);
}

fn check(change: &TextChange<'_>) -> Result<(), PatchError> {
    const INVALID: i32 = 22;
    let TextChange { addr, old, new, .. } = *change;
    let text = memory::Layout::text();
    let end = addr.checked_add(new.len());
    let inside = addr >= text.start && end.is_some_and(|end| end <= text.end);
    if !inside || new.is_empty() || old.len() != new.len() || new.len() > 8 {
        return Err(PatchError::NotWritable { addr, code: INVALID });
    }
    // SAFETY: the range lies in the text, which is mapped and readable.
    let byte = |at| unsafe { ((addr + at) as *const u8).read_volatile() };
    match (0..old.len()).all(|at| byte(at) == old[at]) {
        true => Ok(()),
        false => Err(PatchError::Mismatch { addr }),
    }
}

/// Writes, twice with a synchronisation behind each: an emulator may translate the old bytes on the other CPU while they
/// are written the first time, and drops that translation at the second.
fn write_and_sync<'b>(writes: impl Iterator<Item = (usize, &'b [u8])> + Clone) {
    for _ in 0..2 {
        writes.clone().for_each(|(addr, bytes)| memory::write_text(addr, bytes));
        cpu::sync_other();
    }
}

/// Writes generated code that nobody executes yet.
pub fn write_code(addr: usize, code: &[u8]) {
    let _one_at_a_time = cpu::lock(&PATCHING);
    for (addr, part) in (addr..).step_by(memory::PAGE).zip(code.chunks(memory::PAGE)) {
        interrupts::without_interrupts(|| memory::write_text(addr, part));
    }
    cpu::sync_other();
}

/// Called at a breakpoint: waits while patches are being made. False when it is no patch's breakpoint.
pub fn wait_for_patch(addr: usize) -> bool {
    if !memory::Layout::text().contains(&addr) {
        return false;
    }
    loop {
        // SAFETY: lies in the text, which is mapped and readable.
        if unsafe { (addr as *const u8).read_volatile() } != BREAKPOINT {
            return true;
        }
        if !BREAKPOINTS.load(Ordering::SeqCst) {
            return false;
        }
        cpu::answer();
        core::hint::spin_loop();
    }
}
