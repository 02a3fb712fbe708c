//! What QEMU hands over at the start (`hvm_start_info` of the PVH boot protocol).

use core::ffi::{c_char, CStr};
use core::ops::Range;

const MAGIC: u32 = 0x336e_c578;
const TYPE_RAM: u32 = 1;

#[repr(C)]
struct Raw {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_entries: u32,
}

#[repr(C)]
struct Module {
    address: u64,
    size: u64,
}

#[repr(C)]
struct MemoryEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// The parts of it that are used.
pub struct StartInfo {
    /// End of the RAM that begins at 1 MiB.
    pub ram_end: usize,
    /// The kernel's command line.
    pub command_line: &'static str,
    /// The initial files, where QEMU loaded them.
    pub initrd: Option<Range<usize>>,
}

impl StartInfo {
    /// Reads the structure at `address`.
    ///
    /// # Safety
    /// `address` must be what the boot protocol passed in EBX, its memory not yet reused.
    pub unsafe fn read(address: usize) -> Self {
        // SAFETY: the caller passes the address of the boot protocol's structure; its lists are mapped RAM.
        unsafe {
            let raw = &*(address as *const Raw);
            assert!(raw.magic == MAGIC && raw.version >= 1, "not booted by PVH");
            let map = core::slice::from_raw_parts(raw.memory_map as *const MemoryEntry, raw.memory_entries as usize);
            let holds_image = |entry: &&MemoryEntry| {
                entry.kind == TYPE_RAM && entry.address <= 1 << 20 && entry.address + entry.size > 1 << 20
            };
            let ram_end = map.iter().find(holds_image).map_or(0, |entry| (entry.address + entry.size) as usize);
            let initrd = (raw.modules > 0).then(|| {
                let module = &*(raw.module_list as *const Module);
                module.address as usize..(module.address + module.size) as usize
            });
            let command_line = match raw.command_line {
                0 => "",
                text => CStr::from_ptr(text as *const c_char).to_str().unwrap_or(""),
            };
            Self { ram_end, command_line, initrd: initrd.filter(|range| range.end <= ram_end) }
        }
    }
}
