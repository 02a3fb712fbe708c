//! The traits whose implementations, and some of whose callers, memory depends on.
#![allow(unsafe_code, reason = "declarations, and what does nothing")]

use super::{ExecBlock, NoReads, PatchError, TextChange, Walk};

/// Reads memory that may not be mapped. *Hook path.*
///
/// # Safety
/// A read ends in an answer, whatever the address is, and writes to nothing but the destination.
pub unsafe trait FaultSafeRead: Sync {
    /// Copies from application address `addr` into `dst`; returns how many leading bytes were readable.
    /// Refuses device memory (returns 0).
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize;
    /// Goes from frame to frame of a stack, as [`Walk::go`] does; how many addresses were found. *Hook path.*
    fn walk(&self, walk: &Walk, out: &mut [u64]) -> usize {
        walk.go(out, |at| {
            let mut words = [[0; 8]; 2];
            let read = self.read(at, words.as_flattened_mut());
            (read == size_of_val(&words)).then(|| words.map(u64::from_ne_bytes))
        })
    }
    /// Whether a read may end in a fault while the traced function runs on the stack that holds this address: not on one that the next
    /// fault begins anew, as the handler of a fault has it. *Hook path.*
    fn may_fault(&self, stack: u64) -> bool {
        let _ = stack;
        true
    }
}

/// Code that hooks call before they change over to a stack of their own, while a [`Timer`](super::Timer) interrupts threads or CPUs: whether
/// they have to stay where they are called, since the interrupt would begin that stack anew. Such a hook is a miss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StackTest(u64);

impl StackTest {
    /// Code at an address.
    ///
    /// # Safety
    /// It lives for ever and can be called at any function, in any context; it answers in the register of a result, 0: it need not stay. On
    /// x86-64 it changes rax, rcx, rdx, r11 and flags alone.
    pub const unsafe fn new(address: u64) -> StackTest {
        StackTest(address)
    }

    /// Where it is.
    pub(crate) const fn address(self) -> u64 {
        self.0
    }
}

// SAFETY: it reads nothing.
unsafe impl FaultSafeRead for NoReads {
    fn read(&self, _: u64, _: &mut [u8]) -> usize {
        0
    }
}

/// Replaces instructions in the running image.
///
/// # Safety
/// Nothing but the bytes named is changed, and only where the old ones stood; every CPU executes either the old or the new instruction.
pub unsafe trait TextPatch: Sync {
    /// Replaces `old` by `new` (same length, at most 8 bytes) at `addr`, checking `old` first, so that every
    /// CPU executes either the old or the new instruction and never a mixture; on return all CPUs see `new`.
    /// Text is never left writable and executable.
    ///
    /// # Safety
    /// Whoever comes by may execute `new` in place of `old`.
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError>;
    /// Makes many changes, each for itself as [`replace`](Self::replace) does, with one waiting for the other CPUs where the platform can.
    /// No two of them overlap; changes that ascend by address are made fastest.
    ///
    /// # Safety
    /// As for [`replace`](Self::replace), of each.
    unsafe fn replace_all(&self, changes: &mut [TextChange<'_>]) {
        for change in changes {
            // SAFETY: as the caller promises.
            change.result = unsafe { self.replace(change.addr, change.old, change.new) };
        }
    }

    /// Whether no thread can stand between two instructions while another one calls this, as on one CPU whose threads give
    /// way by themselves. Then several instructions can become one at any time, otherwise only at start.
    fn exclusive(&self) -> bool {
        false
    }
}

/// Memory for generated code: written while open, executable once sealed, never both in one mapping.
///
/// # Safety
/// A block that was given is nobody else's until it is given back: `write` is writable for its length while it is open, and what was written
/// there is what `exec` executes once it is sealed.
pub unsafe trait ExecMemory: Sync {
    /// A writable block of at least `len` bytes, within 2 GiB of the image's text; `None` when there is none.
    fn alloc(&self, len: usize) -> Option<ExecBlock>;
    /// Makes the block executable and no longer writable. False when the platform refused.
    fn seal(&self, block: ExecBlock) -> bool;
    /// Gives the block back.
    ///
    /// # Safety
    /// It came from [`alloc`](Self::alloc), was not given back before, and nothing executes in it any more.
    unsafe fn free(&self, block: ExecBlock);
    /// Zeros within 2 GiB of the image's text that are never executable and live for ever, aligned for words, for data of code; `None`
    /// where the platform has no such memory of its own.
    fn data(&self, len: usize) -> Option<usize> {
        let _ = len;
        None
    }
    /// Whether a sealed block is really not writable (`status` says so).
    fn enforces_wx(&self) -> bool;
    /// Whether [`rewrite`](Self::rewrite) works, so that several programs can share a block.
    fn rewrites(&self) -> bool {
        false
    }
    /// Replaces code in a sealed block; `at` is where it runs. Nobody executes what is replaced, but any CPU may execute the rest of
    /// the block meanwhile, so the block stays executable, and is never writable where it runs. On return all CPUs see the new code.
    /// False when it could not be written.
    ///
    /// # Safety
    /// The bytes are part of a sealed block that the caller has, and nobody executes what is replaced.
    unsafe fn rewrite(&self, at: usize, code: &[u8]) -> bool {
        let _ = (at, code);
        false
    }
}
