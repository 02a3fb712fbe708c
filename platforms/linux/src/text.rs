//! Patching the text of the running process: changed copies of pages take their place (see [`pages`](crate::pages)), and every change is made
//! visible to all threads by `membarrier`. Changes that are made together share the copies and the waiting.

use crate::{
    pages::{self, Backing, PAGE},
    sync,
};
use std::sync::Mutex;
use ubpf_rs::platform::{PatchError, TextChange, TextPatch};

const LONGEST: usize = 8;
/// Most pages that are copied at once.
const MOST_PAGES: usize = 64;

/// Patches the text of this process.
#[derive(Default)]
pub struct SelfPatch {
    /// Two copies of one page at a time would lose a change.
    turn: Mutex<()>,
}

impl SelfPatch {
    /// Changes nothing yet.
    pub const fn new() -> SelfPatch {
        SelfPatch { turn: Mutex::new(()) }
    }
}

// SAFETY: no byte is changed but those named, where the old ones stand, and each change is one step for whoever executes it.
unsafe impl TextPatch for SelfPatch {
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        let mut change = [TextChange::new(addr, old, new)];
        // SAFETY: as the caller promises.
        unsafe { self.replace_all(&mut change) };
        change[0].result
    }

    unsafe fn replace_all(&self, changes: &mut [TextChange<'_>]) {
        crate::counters::ask_again();
        if let Err(code) = sync::prepare() {
            changes.iter_mut().for_each(|c| refuse(c, code));
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let backing = Backing::of_this_process();
        let mut rest = changes;
        while !rest.is_empty() {
            let (start, len, count) = together(rest);
            let (these, others) = std::mem::take(&mut rest).split_at_mut(count);
            replace_together(start, len, backing.as_ref(), these);
            rest = others;
        }
        // Registered, after which it cannot fail.
        let _ = sync::cores();
    }
}

fn refuse(change: &mut TextChange<'_>, code: i32) {
    let addr = change.addr;
    change.result = Err(PatchError::NotWritable { addr, code });
}

/// Start and length of the pages of the first change.
fn pages_of(change: &TextChange<'_>) -> (usize, usize) {
    let start = change.addr & !(PAGE - 1);
    let last = change.addr.saturating_add(change.old.len().max(1) - 1) & !(PAGE - 1);
    (start, (last - start).saturating_add(PAGE))
}

/// Start and length of the pages that the first changes are in, and how many of them there are without a gap.
fn together(changes: &[TextChange<'_>]) -> (usize, usize, usize) {
    let Some(first) = changes.first() else {
        return (0, 0, 0);
    };
    let (start, mut len) = pages_of(first);
    let mut count = 1;
    for change in &changes[1..] {
        let (at, more) = pages_of(change);
        let fits = at.checked_sub(start).filter(|&into| into <= len);
        let Some(end) = fits.map(|into| into + more).filter(|end| end / PAGE <= MOST_PAGES) else {
            break;
        };
        len = len.max(end);
        count += 1;
    }
    (start, len, count)
}

fn replace_together(start: usize, len: usize, backing: Option<&Backing>, changes: &mut [TextChange<'_>]) {
    let replaced = pages::replace(start, len, backing, |copy| {
        let mut any = false;
        for change in changes.iter_mut() {
            change.result = put(copy, start, change);
            any |= change.result.is_ok();
        }
        any
    });
    if let Err(error) = replaced {
        let code = error.raw_os_error().unwrap_or(libc::EIO);
        changes.iter_mut().for_each(|c| refuse(c, code));
    }
}

/// Makes one change in the copy of the pages at `start`.
fn put(copy: &mut [u8], start: usize, change: &TextChange<'_>) -> Result<(), PatchError> {
    let (addr, old, new) = (change.addr, change.old, change.new);
    let code = libc::EINVAL;
    if old.len() != new.len() || old.is_empty() || old.len() > LONGEST {
        return Err(PatchError::NotWritable { addr, code });
    }
    let into = addr.wrapping_sub(start);
    let place = copy.get_mut(into..into.wrapping_add(old.len()));
    let place = place.ok_or(PatchError::NotWritable { addr, code })?;
    if place != old {
        return Err(PatchError::Mismatch { addr });
    }
    place.copy_from_slice(new);
    Ok(())
}
