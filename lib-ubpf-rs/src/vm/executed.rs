//! What helpers have cost in truth, whatever was charged: for tests that compare both.

use core::cell::Cell;

std::thread_local! {
    static SUM: Cell<u64> = const { Cell::new(0) };
    static SEARCHES: Cell<u64> = const { Cell::new(0) };
}

/// Adds to the sum of this thread.
pub(super) fn add(cost: u64) {
    SUM.set(SUM.get().saturating_add(cost));
}

/// What helpers have cost on this thread since the last time, in units of budget; the weights of the calls are not in it.
pub fn take() -> u64 {
    SUM.take()
}

/// Counts that an address was looked for among the values of all maps.
pub(super) fn search() {
    SEARCHES.set(SEARCHES.get().saturating_add(1));
}

/// How often that was on this thread since the last time.
#[cfg(test)]
pub(super) fn take_searches() -> u64 {
    SEARCHES.take()
}
