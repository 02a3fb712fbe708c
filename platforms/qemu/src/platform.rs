//! The image as a platform of the engine.

use core::sync::atomic::{AtomicUsize, Ordering};

use ubpf_rs::platform::{
    copy_of, Clock, Console, CounterBlocks, Counting, Cpu, FaultSafeRead, GiveWay, Owner, PatchError, Platform,
    TextPatch, Thread, Ticks,
};
use x86_64::instructions::interrupts;

use crate::{console, cpu, files::MemoryFiles, memory, serial, shell, thread, time, trap};

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
        if let Some(block) = blocks.block(cpu::number()) {
            cpu::set_counters(block);
        }
    }

    fn see_all(&self) {
        cpu::sync_other();
    }
}

impl GiveWay for Qemu {
    fn give_way(&self) {
        thread::give_way();
    }

    fn is_cancelled(&self) -> bool {
        shell::is_here() && serial::is_cancelled()
    }
}

/// Held while text is changed.
static PATCHING: spin::Mutex<()> = spin::Mutex::new(());
/// The address whose first byte is a breakpoint while two CPUs run; 0 = none.
static BREAKPOINT_AT: AtomicUsize = AtomicUsize::new(0);
const BREAKPOINT: u8 = 0xcc;

// SAFETY: no byte is changed but those named, where the old ones stand, and each change is one step for whoever executes it.
unsafe impl TextPatch for Qemu {
    /// Threads never stop inside a stub, and interrupts are off: on its own CPU nobody can see half a patch. For the
    /// other CPU the first byte is a breakpoint meanwhile, at which it waits.
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        const INVALID: i32 = 22;
        let text = memory::Layout::text();
        let end = addr.checked_add(new.len());
        let inside = addr >= text.start && end.is_some_and(|end| end <= text.end);
        if !inside || new.is_empty() || old.len() != new.len() || new.len() > 8 {
            return Err(PatchError::NotWritable { addr, code: INVALID });
        }
        let _one_at_a_time = cpu::lock(&PATCHING);
        interrupts::without_interrupts(|| {
            // SAFETY: the range lies in the text, which is mapped and readable.
            let byte = |at| unsafe { ((addr + at) as *const u8).read_volatile() };
            if (0..old.len()).any(|at| byte(at) != old[at]) {
                return Err(PatchError::Mismatch { addr });
            }
            if !cpu::two_running() {
                memory::write_text(addr, new);
                return Ok(());
            }
            BREAKPOINT_AT.store(addr, Ordering::SeqCst);
            write_and_sync(addr, &[BREAKPOINT]);
            write_and_sync(addr + 1, &new[1..]);
            write_and_sync(addr, &new[..1]);
            BREAKPOINT_AT.store(0, Ordering::SeqCst);
            Ok(())
        })
    }
}

/// Writes, twice with a synchronisation behind each: an emulator may translate the old bytes on the other CPU while they
/// are written the first time, and drops that translation at the second.
fn write_and_sync(addr: usize, bytes: &[u8]) {
    for _ in 0..2 {
        memory::write_text(addr, bytes);
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

/// Called at a breakpoint: waits while a patch is being made there. False when it is no patch's breakpoint.
pub fn wait_for_patch(addr: usize) -> bool {
    if !memory::Layout::text().contains(&addr) {
        return false;
    }
    loop {
        // SAFETY: lies in the text, which is mapped and readable.
        if unsafe { (addr as *const u8).read_volatile() } != BREAKPOINT {
            return true;
        }
        if BREAKPOINT_AT.load(Ordering::SeqCst) != addr {
            return false;
        }
        cpu::answer();
        core::hint::spin_loop();
    }
}
