//! A walk through the page tables as the CPU goes through them: from CR3, over all levels. It knows nothing of how
//! they were filled, only what must never be.

use core::fmt;

use x86_64::registers::control::{Cr0, Cr0Flags, Cr3};
use x86_64::registers::model_specific::{Efer, EferFlags};
use x86_64::structures::paging::page_table::PageTableEntry;
use x86_64::structures::paging::{PageTable, PageTableFlags as Flags};

use crate::memory::{CodeMemory, Layout};

/// Bytes of memory by what may be done with them.
#[derive(Default)]
pub struct MemorySurvey {
    text: usize,
    rodata: usize,
    writable: usize,
    /// Sealed blocks of generated code.
    generated: usize,
}

/// A rule that the tables break.
pub struct Broken {
    rule: &'static str,
    address: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {:#x}", self.rule, self.address)
    }
}

impl fmt::Display for MemorySurvey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "text, read and execute: {} KiB", self.text >> 10)?;
        writeln!(out, "generated code, read and execute: {} KiB", self.generated >> 10)?;
        writeln!(out, "read-only data: {} KiB", self.rodata >> 10)?;
        writeln!(out, "writable, never executed: {} KiB", self.writable >> 10)?;
        writeln!(out, "writable and executable: none")
    }
}

/// Walks the tables. An error names the first page that breaks a rule: nothing is writable and executable, text and
/// read-only data are never writable, only text and sealed code are executable, address 0 is not mapped.
pub fn survey() -> Result<MemorySurvey, Broken> {
    let broken = |rule| Err(Broken { rule, address: 0 });
    if !Cr0::read().contains(Cr0Flags::WRITE_PROTECT) {
        return broken("CR0.WP is off: read-only pages can be written");
    }
    if !Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE) {
        return broken("EFER.NXE is off: data can be executed");
    }
    let mut survey = MemorySurvey::default();
    let root = Cr3::read().0.start_address().as_u64();
    survey.table(root, 39, 0, Flags::WRITABLE)?;
    Ok(survey)
}

impl MemorySurvey {
    /// One table, whose entries each stand for `1 << shift` bytes, from `base` on. `above`: the rights that the
    /// levels above leave.
    fn table(&mut self, table: u64, shift: u32, base: usize, above: Flags) -> Result<(), Broken> {
        // SAFETY: the CPU uses this table, and memory is mapped one to one.
        let table = unsafe { &*(table as *const PageTable) };
        for (number, entry) in table.iter().enumerate().filter(|(_, entry)| present(entry)) {
            let address = base + (number << shift);
            let no_execute = (above | entry.flags()) & Flags::NO_EXECUTE;
            let rights = (above & entry.flags() & Flags::WRITABLE) | no_execute;
            if shift == 12 || entry.flags().contains(Flags::HUGE_PAGE) {
                self.page(address, 1 << shift, rights)?;
            } else {
                self.table(entry.addr().as_u64(), shift - 9, address, rights)?;
            }
        }
        Ok(())
    }

    fn page(&mut self, address: usize, size: usize, rights: Flags) -> Result<(), Broken> {
        let broken = |rule| Err(Broken { rule, address });
        let executable = !rights.contains(Flags::NO_EXECUTE);
        let writable = rights.contains(Flags::WRITABLE);
        let (text, rodata) = (Layout::text(), Layout::rodata());
        let overlaps = |part: &core::ops::Range<usize>| address < part.end && part.start < address + size;
        let kind = match (overlaps(&text), overlaps(&rodata)) {
            _ if address == 0 => return broken("address 0 is mapped"),
            _ if writable && executable => return broken("writable and executable page"),
            (true, _) | (_, true) if writable => return broken("writable page in text or read-only data"),
            (true, _) if !executable => return broken("text that cannot be executed"),
            (true, _) => &mut self.text,
            (_, true) if executable => return broken("executable read-only data"),
            (_, true) => &mut self.rodata,
            _ if executable && !CodeMemory::is_sealed(address) => {
                return broken("executable page outside text and sealed code")
            }
            _ if executable => &mut self.generated,
            _ if writable => &mut self.writable,
            _ => &mut self.rodata,
        };
        *kind += size;
        Ok(())
    }
}

fn present(entry: &PageTableEntry) -> bool {
    entry.flags().contains(Flags::PRESENT)
}
