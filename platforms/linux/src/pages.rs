//! Changes of pages that are executed. A changed copy is made beside them, and `mremap` puts it in their place in one step: the kernel holds
//! the process's map meanwhile, so that a thread that fetches from there waits in a page fault and goes on in the copy. Nobody meets half a
//! change or a breakpoint, so it does not matter which signals a thread blocks or who handles SIGTRAP; and a fork at any moment takes along
//! either the pages of before or those of after. The kernel takes the old pages out of every CPU's translations first, and what does that
//! (an interrupt) also ends the use of instructions fetched before; `membarrier` is asked for the same once more by the callers.
//!
//! No page is writable and executable at once. All mappings are private: after a fork each process has its own.

use crate::probe_read::SelfRead;
use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    ptr, slice,
};
use ubpf_rs::platform::FaultSafeRead;

pub(crate) const PAGE: usize = 4096;

pub(crate) const NONE: i32 = libc::PROT_NONE;
pub(crate) const WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
pub(crate) const EXECUTE: i32 = libc::PROT_READ | libc::PROT_EXEC;

/// The executable file of this process, with the part of it that is executed. Copies of its pages stay pages of the file, so that debuggers
/// and profilers know them.
pub(crate) struct Backing {
    file: File,
    start: usize,
    len: usize,
    offset: usize,
}

impl Backing {
    /// Opened anew each time: a program may close all descriptors. `None` where there is none: changed pages belong to no file then.
    pub fn of_this_process() -> Option<Backing> {
        let (start, len, offset) = executed_part()?;
        let file = File::open("/proc/self/exe").ok()?;
        Some(Backing { file, start, len, offset })
    }

    /// Where in the file these addresses are.
    fn offset_of(&self, start: usize, len: usize) -> Option<usize> {
        let into = start.checked_sub(self.start)?;
        let inside = into.checked_add(len)? <= self.len;
        self.offset.checked_add(into).filter(|_| inside)
    }
}

/// Address, length and offset in the file of the segment with the program's entry, in whole pages.
fn executed_part() -> Option<(usize, usize, usize)> {
    // SAFETY: getauxval takes numbers; the kernel gives the program's own headers, which are mapped for as long as it runs.
    let (headers, entry) = unsafe {
        let headers = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        let count = libc::getauxval(libc::AT_PHNUM) as usize;
        if headers.is_null() {
            return None;
        }
        let entry = libc::getauxval(libc::AT_ENTRY) as usize;
        (slice::from_raw_parts(headers, count), entry)
    };
    let itself = headers.iter().find(|h| h.p_type == libc::PT_PHDR);
    let bias = itself.map_or(0, |h| (headers.as_ptr() as usize).wrapping_sub(h.p_vaddr as usize));
    headers.iter().find_map(|h| {
        let at = bias.wrapping_add(h.p_vaddr as usize);
        let (start, into) = (at & !(PAGE - 1), at % PAGE);
        let len = (h.p_filesz as usize).checked_add(into)?.checked_next_multiple_of(PAGE)?;
        let executed = h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_X != 0;
        let found = executed && entry.wrapping_sub(start) < len;
        let offset = (h.p_offset as usize).checked_sub(into)?;
        found.then_some((start, len, offset))
    })
}

/// A mapping of ours, which ends with it.
struct Mapped {
    at: usize,
    len: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody else knows it.
        unsafe { libc::munmap(ptr::without_provenance_mut(self.at), self.len) };
    }
}

impl Mapped {
    fn new(len: usize, protection: i32, file: Option<(&File, usize)>) -> io::Result<Mapped> {
        let at = map(0, len, protection, 0, file)?;
        Ok(Mapped { at, len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: a writable mapping of this length that nobody else knows.
        unsafe { slice::from_raw_parts_mut(self.at as *mut u8, self.len) }
    }

    /// Takes the place of what is mapped at `at`.
    fn move_to(self, at: usize) -> io::Result<()> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let (from, to) =
            (ptr::without_provenance_mut::<libc::c_void>(self.at), ptr::without_provenance_mut::<libc::c_void>(at));
        // SAFETY: what is replaced are whole pages of which this is a copy, changed as their owner wants it.
        if unsafe { libc::mremap(from, self.len, self.len, flags, to) } == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::mem::forget(self);
        Ok(())
    }
}

/// Puts a copy of the `len` bytes of whole executable pages at `start` in their place after `change`, which says whether it is wanted.
pub(crate) fn replace(
    start: usize,
    len: usize,
    backing: Option<&Backing>,
    change: impl FnOnce(&mut [u8]) -> bool,
) -> io::Result<()> {
    let of_file = backing.and_then(|b| Some((&b.file, b.offset_of(start, len)?)));
    let mut copy = Mapped::new(len, WRITE, of_file)?;
    if of_file.is_some() {
        // SAFETY: part of a segment of the program, which stays mapped and readable while it runs; only whoever changes it is here.
        let now = unsafe { slice::from_raw_parts(start as *const u8, len) };
        copy.bytes().copy_from_slice(now);
    } else if SelfRead.read(start as u64, copy.bytes()) != len {
        return Err(io::Error::from_raw_os_error(libc::EFAULT));
    }
    if !change(copy.bytes()) {
        return Ok(());
    }
    if protect(copy.at, len, EXECUTE).is_ok() {
        return copy.move_to(start);
    }
    // What was written to may never be executed in this process: pages that are executable from the start then.
    let executable = Mapped::new(len, EXECUTE, of_file)?;
    write_through(executable.at, copy.bytes())?;
    executable.move_to(start)
}

/// Writes to pages that are not writable, as a debugger does. Opened anew each time: the file names the memory of the process that opened it,
/// which a fork does not change, and a program may close all descriptors.
pub(crate) fn write_through(at: usize, bytes: &[u8]) -> io::Result<()> {
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    memory.write_all_at(bytes, at as u64)
}

/// Fresh private memory of zeros, or of a file.
pub(crate) fn map(
    hint: usize,
    len: usize,
    protection: i32,
    flags: i32,
    file: Option<(&File, usize)>,
) -> io::Result<usize> {
    let (kind, fd, offset) = match file {
        Some((file, offset)) => (0, file.as_raw_fd(), offset),
        None => (libc::MAP_ANONYMOUS, -1, 0),
    };
    let flags = flags | kind | libc::MAP_PRIVATE;
    let hint = ptr::without_provenance_mut(hint);
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: a new mapping replaces nothing, unless its caller says MAP_FIXED of memory that is its own.
    match unsafe { libc::mmap(hint, len, protection, flags, fd, offset) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        at => Ok(at as usize),
    }
}

pub(crate) fn protect(at: usize, len: usize, protection: i32) -> io::Result<()> {
    // SAFETY: callers pass memory of their own.
    match unsafe { libc::mprotect(ptr::without_provenance_mut(at), len, protection) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
