//! The stack below a traced function: the calls that led to it.

use crate::platform::{FaultSafeRead, Walk};

/// Where a stack is looked at.
#[derive(Clone, Copy, Debug)]
pub struct StackAt {
    /// Where the function begins.
    pub(super) function: u64,
    /// Where its call returns to; 0 where that is unknown.
    pub(super) caller: u64,
    /// Where that stands; 0 where it is no part of the stack any more, or never was.
    pub(super) slot: u64,
    /// What the register of frame pointers held.
    pub frame_pointer: u64,
    /// An address on the stack on which the function runs, or on that on which a timer's interrupt is handled.
    pub stack: u64,
    /// The frame of the function itself is there already, and perhaps one that it called.
    pub(super) begun: bool,
    /// Where calls return to that come back to the tracer, and where such a one goes then, by its slot.
    pub(super) pad: u64,
    pub(super) home: fn(u64) -> Option<u64>,
}

impl StackAt {
    /// Writes where the function begins, and behind it the addresses to which the calls return that led to it, the innermost first; how many.
    /// Those are found by frame pointers: a function without one is left out together with what lies behind, or others stand in its place.
    /// *Hook path.*
    pub fn addresses(&self, reads: &dyn FaultSafeRead, out: &mut [u64]) -> usize {
        let StackAt { frame_pointer, pad, home, .. } = *self;
        let caller = match self.caller == pad && self.slot != 0 {
            true => home(self.slot).unwrap_or(0),
            false => self.caller,
        };
        let known = [self.function, caller].into_iter().take_while(|&address| address != 0);
        let count = out.iter_mut().zip(known).map(|(to, address)| *to = address).count();
        let walks = (caller != 0 || self.begun) && reads.may_fault(self.stack);
        let rest = out.get_mut(count..).filter(|_| walks).unwrap_or(&mut []);
        let found = reads.walk(&Walk { frame_pointer, pad, home }, rest).min(rest.len());
        let told = rest.iter().take(2).position(|&address| self.begun && address == caller);
        let told = told.filter(|&told| told < found).map_or(0, |told| told + 1);
        rest.copy_within(told..found, 0);
        count + found - told
    }
}
