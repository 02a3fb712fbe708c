//! Lanes: what takes the place of CPU numbers in the maps that have a value per CPU.
//!
//! A program adds to its CPU's value with a load and a store, and means that nobody comes between. Neither a CPU nor a thread is alone with a
//! value here: an interrupt's hook comes over a thread's, and threads move. So each run has a *lane* to itself from its start to its end,
//! and values have a slot per lane. A run claims one of the first [`CLAIMED`] lanes, or its thread or CPU has one of the [`OWN_LANES`]
//! behind them, which machine code takes and gives back (`tracer/counters.rs`).

use crate::program::limits::{LANES, OWN_LANES};
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Lanes that are claimed run by run.
const CLAIMED: usize = LANES - OWN_LANES;
const ALL_FREE: u64 = (1 << CLAIMED) - 1;
const _: () = assert!(CLAIMED < 64);

/// Those that nobody has, one bit each.
static FREE: AtomicU64 = AtomicU64::new(ALL_FREE);

/// A lane that its holder has to itself.
#[derive(Debug)]
pub struct Lane {
    number: u32,
}

impl Lane {
    /// One that nobody has; `None` where all are in use. *Hook path.*
    pub fn claim() -> Option<Lane> {
        let take = |free: u64| (free != 0).then(|| free & free.wrapping_sub(1));
        let before = FREE.fetch_update(Acquire, Relaxed, take).ok()?;
        Some(Lane { number: before.trailing_zeros() })
    }

    /// The number of the lane with this place among those that threads or CPUs have of their own, which is below [`OWN_LANES`].
    pub const fn own(place: usize) -> u32 {
        CLAIMED.saturating_add(place) as u32
    }

    /// Its number, below [`LANES`].
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        FREE.fetch_or(1 << self.number, Release);
    }
}

/// All are free: for a process in which no other thread is, and the caller has none.
pub fn after_fork() {
    FREE.store(ALL_FREE, Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, thread, vec::Vec};

    /// Nobody gets a lane that somebody has.
    #[test]
    fn a_lane_has_one_holder() {
        let held = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(lane) = Lane::claim() else { continue };
                        let bit = 1 << lane.number();
                        assert_eq!(held.fetch_or(bit, Acquire) & bit, 0);
                        held.fetch_and(!bit, Release);
                    }
                });
            }
        });
        // Other tests hold some as well, for a moment.
        let lanes: Vec<Lane> = core::iter::from_fn(Lane::claim).collect();
        let numbers: BTreeSet<u32> = lanes.iter().map(Lane::number).collect();
        assert!(!lanes.is_empty() && numbers.len() == lanes.len());
        assert!(numbers.iter().all(|&number| (number as usize) < CLAIMED));
        assert_eq!(Lane::own(OWN_LANES - 1) as usize, LANES - 1);
    }
}
