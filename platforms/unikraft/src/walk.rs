//! The `pages` command: what the page tables allow, and what they must not.

use crate::glue::{self, Range, UKGLUE_PAGE_EXECUTABLE as EXECUTABLE, UKGLUE_PAGE_WRITABLE as WRITABLE};
use core::{ffi::c_void, fmt};

/// Bytes of memory by what may be done with them.
pub struct Survey {
    text: Range,
    arena: Range,
    in_text: u64,
    generated: u64,
    elsewhere: u64,
    read_only: u64,
    writable: u64,
    both: Pages,
    writable_text: Pages,
}

/// Pages that break a rule: how many bytes, and where the first one is.
#[derive(Default)]
struct Pages {
    bytes: u64,
    first: u64,
}

impl Pages {
    fn add(&mut self, address: u64, size: u64) {
        if self.bytes == 0 {
            self.first = address;
        }
        self.bytes += size;
    }
}

/// Walks the tables; `None` where the image has no page protection.
pub fn survey() -> Option<Survey> {
    // SAFETY: no preconditions; both are ranges of the image.
    let (text, arena) = unsafe { (glue::ukglue_text(), glue::ukglue_exec_arena()) };
    let mut survey = Survey {
        text,
        arena,
        in_text: 0,
        generated: 0,
        elsewhere: 0,
        read_only: 0,
        writable: 0,
        both: Pages::default(),
        writable_text: Pages::default(),
    };
    // SAFETY: `page` casts the cookie back to what it is, which outlives the call.
    let code = unsafe { glue::ukglue_pages(Some(page), (&raw mut survey).cast()) };
    (code == 0).then_some(survey)
}

unsafe extern "C" fn page(cookie: *mut c_void, address: u64, size: u64, rights: u32) {
    // SAFETY: the cookie is the survey that `survey` gave to the walk; nobody else has it.
    unsafe { &mut *cookie.cast::<Survey>() }.page(address, size, rights);
}

impl Survey {
    fn page(&mut self, address: u64, size: u64, rights: u32) {
        let (writable, executable) = (rights & WRITABLE != 0, rights & EXECUTABLE != 0);
        // Pages of text may be larger than what lies in them.
        let last = address.saturating_add(size.saturating_sub(1));
        let in_text = address < self.text.end as u64 && last >= self.text.start as u64;
        if in_text && writable {
            self.writable_text.add(address, size);
        }
        match (writable, executable) {
            (true, true) => self.both.add(address, size),
            (true, false) => self.writable += size,
            (false, true) if in_text => self.in_text += size,
            (false, true) if self.arena.contains(address) => self.generated += size,
            (false, true) => self.elsewhere += size,
            (false, false) => self.read_only += size,
        }
    }

    /// Whether nothing is writable and executable, and text is not writable.
    pub fn holds(&self) -> bool {
        self.both.bytes == 0 && self.writable_text.bytes == 0
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "text, read and execute: {} KiB", self.in_text >> 10)?;
        writeln!(out, "generated code, read and execute: {} KiB", self.generated >> 10)?;
        writeln!(out, "executable elsewhere: {} KiB", self.elsewhere >> 10)?;
        writeln!(out, "read-only: {} KiB", self.read_only >> 10)?;
        writeln!(out, "writable, never executed: {} KiB", self.writable >> 10)?;
        for (what, pages) in [("writable text", &self.writable_text), ("writable and executable", &self.both)] {
            match pages.bytes {
                0 => writeln!(out, "{what}: none")?,
                bytes => writeln!(out, "{what}: {} KiB, first at {:#x}", bytes >> 10, pages.first)?,
            }
        }
        Ok(())
    }
}
