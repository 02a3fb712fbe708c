//! Records of rings that a program holds before an instruction: reserved, and neither submitted nor discarded yet.

use super::planted::{self, Bug};
use crate::program::limits::MAX_RECORDS;

/// One of them, or one that may be there: the program has not compared its address with 0 yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reference {
    /// Bytes that it has at least.
    size: u32,
    /// Where it was reserved.
    pc: u32,
}

/// Those that a program holds. Each has a number, which its addresses name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct References {
    held: [Option<Reference>; MAX_RECORDS],
    /// There may be more of them, of which no address is known; where one was reserved.
    lost: Option<u32>,
}

impl References {
    pub(super) const NONE: References = References { held: [None; MAX_RECORDS], lost: None };

    /// One more, of so many bytes at least. Without a number where there is none left.
    pub(super) fn reserve(&mut self, size: u32, pc: usize) -> Option<u8> {
        let held = Reference { size, pc: pc as u32 };
        let Some((number, free)) = (0u8..).zip(&mut self.held).find(|(_, held)| held.is_none()) else {
            self.lost = Some(held.pc);
            return None;
        };
        *free = Some(held);
        Some(number)
    }

    /// It is not held any more.
    pub(super) fn release(&mut self, number: u8) {
        if let Some(held) = self.held.get_mut(usize::from(number)) {
            *held = None;
        }
    }

    /// Any of them may have been released.
    pub(super) fn forget(&mut self) {
        self.lost = self.first();
        self.held = [None; MAX_RECORDS];
    }

    /// Bytes that it has at least.
    pub(super) fn size(&self, number: u8) -> Option<u32> {
        self.held.get(usize::from(number)).copied().flatten().map(|held| held.size)
    }

    /// Where one was reserved that may still be held.
    pub(super) fn first(&self) -> Option<u32> {
        self.held.iter().flatten().map(|held| held.pc).next().or(self.lost)
    }

    /// Whether there may be so many.
    pub(super) fn may_be(&self, count: usize) -> bool {
        self.lost.is_some() || count <= self.held.iter().flatten().count()
    }

    /// Whether it stands for all that the other stands for.
    pub(super) fn include(&self, other: &References) -> bool {
        let known = self.lost.is_some();
        let mut pairs = self.held.iter().zip(&other.held);
        (known || other.lost.is_none())
            && pairs.all(|pair| match pair {
                (Some(a), Some(b)) => a.size <= b.size,
                (None, Some(_)) => known,
                (Some(_), None) => false,
                (None, None) => true,
            })
    }

    /// Becomes what stands for both.
    pub(super) fn join(&mut self, other: &References) {
        self.lost = self.lost.or(other.lost);
        for (a, b) in self.held.iter_mut().zip(&other.held) {
            *a = match (*a, *b) {
                (Some(a), Some(b)) => Some(Reference { size: a.size.min(b.size), ..a }),
                (None, None) => None,
                (Some(held), None) | (None, Some(held)) => {
                    if !planted::active(Bug::HeldOnOneWay) {
                        self.lost = self.lost.or(Some(held.pc));
                    }
                    None
                }
            };
        }
    }
}
