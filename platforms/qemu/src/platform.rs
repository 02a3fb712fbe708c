//! The image as a platform of the engine.

use ubpf_rs::platform::{Clock, Console, Cpu, FaultSafeRead, PatchError, Platform, TextPatch};
use x86_64::instructions::interrupts;

use crate::{console, files::MemoryFiles, memory, time, trap};

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
};

impl Clock for Qemu {
    fn now_ns(&self) -> u64 {
        time::now_ns()
    }
}

impl FaultSafeRead for Qemu {
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize {
        let room = (memory::ram_end() as u64).saturating_sub(addr);
        let len = dst.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        trap::probe_read(addr as usize, &mut dst[..len])
    }
}

impl Console for Qemu {
    fn write(&self, bytes: &[u8]) {
        console::write(bytes);
    }
}

impl Cpu for Qemu {
    fn id(&self) -> u32 {
        0
    }

    fn in_interrupt(&self) -> bool {
        trap::in_interrupt()
    }
}

impl TextPatch for Qemu {
    /// One CPU and threads that never stop inside a stub: with interrupts off nobody can see half a patch.
    fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        const INVALID: i32 = 22;
        let text = memory::Layout::text();
        let end = addr.checked_add(new.len());
        if old.len() != new.len()
            || new.len() > 8
            || addr < text.start
            || end.is_none_or(|end| end > text.end)
        {
            return Err(PatchError::NotWritable {
                addr,
                code: INVALID,
            });
        }
        interrupts::without_interrupts(|| {
            // SAFETY: the range lies in the text, which is mapped and readable.
            let current = unsafe { core::slice::from_raw_parts(addr as *const u8, old.len()) };
            if current != old {
                return Err(PatchError::Mismatch { addr });
            }
            memory::write_text(addr, new);
            Ok(())
        })
    }
}
