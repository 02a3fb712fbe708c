//! Runs on the control path: others go on meanwhile.

use crate::platform::Pause;

/// Units of budget that machine code uses up before it asks whether to give way.
pub const SLICE: u64 = 20_000;

/// What runs at a stretch: machine code of a program that is proved to cost no more has no place at which it could give way. It is
/// what a hook has to spend, unless configured otherwise: what costs more would not be paid beforehand there.
pub const AT_A_STRETCH: u64 = 62_500;

/// How a run is cut into slices.
pub struct Slices<'p> {
    /// Units of budget in a slice of machine code, at least 1; [`SLICE`] but for tests.
    pub units: u64,
    /// Called between two slices. An error stops the run.
    pub pause: &'p mut Pause<'p>,
}

#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
pub(crate) use reserve::{BudgetReserve, ENDLESS};

/// Machine code counts down one slice at a time.
#[cfg(all(feature = "jit", target_arch = "x86_64", not(ubpf_arch = "none")))]
mod reserve {
    use super::Slices;
    use crate::platform::Cancelled;

    /// The budget of a run in slices, but for the slice at hand, which the engine counts down.
    pub(crate) struct BudgetReserve<'p> {
        slices: Slices<'p>,
        left: u64,
    }

    /// More than a run can use up.
    pub(crate) const ENDLESS: u64 = u64::MAX / 2;

    impl<'p> BudgetReserve<'p> {
        /// Takes the first slice off the budget. A run that is paid already is counted all the same, but has no end.
        pub(crate) fn new(slices: Slices<'p>, budget: u64, paid: bool) -> (BudgetReserve<'p>, u64) {
            let left = if paid { ENDLESS } else { budget };
            let mut reserve = BudgetReserve { slices, left };
            let slice = reserve.slice();
            (reserve, slice)
        }

        /// What is left beside the slice at hand.
        pub(crate) fn left(&self) -> u64 {
            self.left
        }

        fn slice(&mut self) -> u64 {
            let slice = self.slices.units.clamp(1, self.left.max(1)).min(self.left);
            self.left -= slice;
            slice
        }

        /// A slice was overdrawn by `missing`. The next one, which has paid it; or `None` where the budget cannot pay it, and is left as it is.
        pub(crate) fn next(&mut self, missing: u64) -> Option<Result<u64, Cancelled>> {
            self.left = self.left.checked_sub(missing)?;
            Some((self.slices.pause)().map(|()| self.slice()))
        }

        /// Of a slice, `slice` was left; then somebody charged slice and reserve together, and left `all` of both. What is left of the slice,
        /// or of the next.
        pub(crate) fn after(&mut self, slice: u64, all: u64) -> Result<u64, Cancelled> {
            let spent = slice.saturating_add(self.left).saturating_sub(all);
            if let Some(rest) = slice.checked_sub(spent) {
                return Ok(rest);
            }
            self.left = all;
            (self.slices.pause)()?;
            Ok(self.slice())
        }
    }
}
