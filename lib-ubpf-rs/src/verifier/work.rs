//! What an answer may cost. Verification, cost analysis and code generation of one program share one account: whatever the bytes, the
//! answer comes within [`Work::LIMIT`] units of time and [`Work::BYTES`] bytes of memory.

use super::planted::{self, Bug};
use crate::platform::{Cancelled, Pause};
use core::ops::Range;

/// What an analysis or a compilation ran into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cap {
    /// The account has no unit left.
    Work,
    /// What is kept does not fit into the memory that it may take.
    Memory,
    /// An analysis has gone through more instructions than it may, for the size of the program.
    Steps,
    /// There are more chains of calls than are told apart.
    Chains,
    /// The pause said that nobody wants the answer any more.
    Cancelled,
}

/// An account of work, and a pause now and then. One unit is about 1 ns of CPU time of a release build on the machine of
/// `docs/performance.md`, with warm caches.
///
/// Work is spent before it is done, in pieces of some microseconds at most. So a pause, which is called between two pieces, may take as
/// long as it likes: nothing is held meanwhile but the memory of the work itself.
pub struct Work<'p> {
    spent: u64,
    limit: u64,
    /// What is kept back at the end, for what must be done in any case.
    reserve: u64,
    /// From so many units on nothing is spent without a look: a pause is due then, or there are no more.
    stop: u64,
    slice: u64,
    pause: Option<&'p mut Pause<'p>>,
    bytes: usize,
    most_bytes: usize,
    cancelled: bool,
}

/// Instructions that are gone over between two looks at the account: some 10 us of work.
const PIECE: usize = 512;

/// The same range in pieces: each is paid ([`Work::spend_each`]) before it is gone over, so that a pause comes in time in a long program.
pub(crate) fn pieces(range: Range<usize>) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let Range { start, end } = range;
    (start..end).step_by(PIECE).map(move |from| from..from.saturating_add(PIECE).min(end))
}

/// What is not counted: the states that are being worked on, and one that was too many.
const SPARE_BYTES: usize = 512 << 10;

impl Default for Work<'_> {
    /// All that one program may cost, without pauses.
    fn default() -> Self {
        Work::new(Self::LIMIT)
    }
}

impl<'p> Work<'p> {
    /// Units that one program may cost from its bytes to its machine code: 100 ms.
    pub const LIMIT: u64 = 100_000_000;
    /// Bytes that verification, cost analysis and code generation may hold at any time, the decoded program included.
    pub const BYTES: usize = 8 << 20;

    /// An account of `limit` units.
    pub const fn new(limit: u64) -> Self {
        Work {
            spent: 0,
            limit,
            reserve: 0,
            stop: limit.saturating_add(1),
            slice: u64::MAX,
            pause: None,
            bytes: 0,
            most_bytes: 0,
            cancelled: false,
        }
    }

    /// An account of `limit` units; after each `slice` of them `pause` is called once. When that says [`Cancelled`], the work
    /// ends with [`Cap::Cancelled`].
    pub fn with_pause(limit: u64, slice: u64, pause: &'p mut Pause<'p>) -> Self {
        let mut work = Work::new(limit);
        work.pause = Some(pause);
        work.slice = slice;
        work.stop = work.next_stop();
        work
    }

    /// Units spent so far.
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// Units that there are in all.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The most bytes that were held at a time.
    pub const fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Spends some units, to be called before what they pay for is done. The error is that there are no more, or that the pause
    /// said so; from then on every call gives it.
    #[inline]
    pub fn spend(&mut self, units: u64) -> Result<(), Cap> {
        self.spent = self.spent.saturating_add(units);
        if self.spent < self.stop {
            return Ok(());
        }
        self.look_up()
    }

    /// Spends `units` for each of `count`.
    #[inline]
    pub(crate) fn spend_each(&mut self, count: usize, units: u64) -> Result<(), Cap> {
        // No list is so long that this would wrap around.
        self.spend((count as u64).wrapping_mul(units))
    }

    #[cold]
    fn look_up(&mut self) -> Result<(), Cap> {
        if self.cancelled {
            return Err(Cap::Cancelled);
        }
        if self.spent > self.allowed() && !planted::active(Bug::NoLimit) {
            return Err(Cap::Work);
        }
        self.stop = self.next_stop();
        match self.pause.as_mut().map_or(Ok(()), |pause| pause()) {
            Ok(()) => Ok(()),
            Err(Cancelled) => {
                self.cancelled = true;
                self.stop = 0;
                Err(Cap::Cancelled)
            }
        }
    }

    /// Keeps so many units back, or as many as there are; they can be spent when nothing is kept back any more.
    pub(crate) fn keep_back(&mut self, units: u64) {
        self.reserve = units;
        self.stop = self.stop.min(self.next_stop());
    }

    /// Units that may be spent now.
    fn allowed(&self) -> u64 {
        self.limit.saturating_sub(self.reserve)
    }

    /// Where the next look is due after one at what is spent now.
    fn next_stop(&self) -> u64 {
        self.spent.saturating_add(self.slice).min(self.allowed().saturating_add(1))
    }

    /// Takes memory into account that is about to be held, or, where it is a state's, is held just now.
    #[inline]
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Cap> {
        let held = self.bytes.saturating_add(bytes);
        if held > const { Self::BYTES - SPARE_BYTES } {
            return Err(Cap::Memory);
        }
        self.bytes = held;
        self.most_bytes = self.most_bytes.max(held);
        Ok(())
    }

    /// Memory that was taken into account is not held any more.
    #[inline]
    pub(crate) fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What the steps of verification cost, in units.
pub(super) mod price {
    /// Going once over an instruction.
    pub(in super::super) const GLANCE: u64 = 2;
    /// Looking at an instruction and at where control goes from it.
    pub(in super::super) const LOOK: u64 = 5;
    /// Finding something in a sorted list.
    pub(in super::super) const SEARCH: u64 = 20;
    /// Following how registers depend on each other, over one instruction.
    pub(in super::super) const RELATE: u64 = 25;
    /// Executing an instruction on an abstract state.
    pub(in super::super) const STEP: u64 = 60;
    /// Multiplying what is known of two numbers, for each bit of the first up to the highest that may be set.
    pub(in super::super) const MULTIPLY: u64 = 8;
    /// Copying a state, and the same for each value in it.
    pub(in super::super) const COPY: (u64, u64) = (40, 6);
    /// Comparing two values.
    pub(in super::super) const COMPARE: u64 = 6;
    /// Joining two values.
    pub(in super::super) const JOIN: u64 = 24;
    /// Looking through all values for those that are equal to one, for each.
    pub(in super::super) const REFINE: u64 = 1;
    /// So many bytes more of memory, one unit.
    pub(in super::super) const MEMORY: usize = 2;
    /// Writing to a cell of the stack, which takes apart what stood there.
    pub(in super::super) const WRITE: u64 = 20;
    /// Reading a byte of the stack.
    pub(in super::super) const READ: u64 = 30;
}

#[cfg(test)]
mod tests {
    use super::{Cap, Work};
    use crate::platform::Cancelled;
    use std::vec::Vec;

    #[test]
    fn what_is_beyond_the_limit_is_refused_for_good() {
        let mut work = Work::new(100);
        assert_eq!(work.spend(100), Ok(()));
        assert_eq!(work.spend(1), Err(Cap::Work));
        assert_eq!(work.spend(0), Err(Cap::Work));
        assert_eq!(work.spent(), 101);
    }

    #[test]
    fn what_is_kept_back_can_be_spent_afterwards() {
        let mut work = Work::new(100);
        work.keep_back(30);
        assert_eq!(work.spend(70), Ok(()));
        assert_eq!(work.spend(1), Err(Cap::Work));
        work.keep_back(0);
        assert_eq!(work.spend(29), Ok(()));
        assert_eq!(work.spend(1), Err(Cap::Work));
    }

    #[test]
    fn pieces_are_the_whole() {
        for (start, end) in [(0, 0), (5, 3), (0, 1), (7, 511), (3, 515), (3, 516), (0, 70_000)] {
            let all: Vec<usize> = super::pieces(start..end).flatten().collect();
            assert!(all.into_iter().eq(start..end));
            assert!(super::pieces(start..end).all(|piece| piece.len() <= super::PIECE));
        }
    }

    #[test]
    fn the_pause_comes_once_in_a_slice() {
        let mut pauses = 0;
        let mut pause = || {
            pauses += 1;
            Ok(())
        };
        let mut work = Work::with_pause(1_000_000, 100, &mut pause);
        for _ in 0..1_000 {
            work.spend(10).unwrap();
        }
        assert_eq!(pauses, 100);
    }

    #[test]
    fn a_pause_that_says_so_ends_it() {
        let mut pause = || Err(Cancelled);
        let mut work = Work::with_pause(1_000_000, 100, &mut pause);
        assert_eq!(work.spend(99), Ok(()));
        assert_eq!(work.spend(1), Err(Cap::Cancelled));
        assert_eq!(work.spend(1), Err(Cap::Cancelled));
    }
}
