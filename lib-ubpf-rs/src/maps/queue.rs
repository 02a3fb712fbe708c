//! Queues and stacks: values without keys, of which the oldest or the newest comes out first.
//!
//! Both are one ring of values. Whoever changes it holds `changing`, which an interrupted thread may hold as well, so waiting for it is
//! bounded and then [`MapError::Busy`], as Linux has it.

use super::{
    update,
    values::{Between, SlotChange, Slots, Values},
    Bytes, BytesMut, MapError,
};
use crate::program::{
    planted::{self, Bug},
    MapDef,
};
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Times that somebody who changes it is asked again.
const PATIENCE: usize = 256;

/// Which value comes out first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TakeOrder {
    Oldest,
    Newest,
}

/// What becomes of the value that is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Stays,
    Goes,
}

/// A queue or a stack.
pub(super) struct Queue {
    values: Values,
    capacity: u64,
    /// Values that came in since the beginning, those aside that a stack has given back; and those that went at the other end.
    head: AtomicU64,
    tail: AtomicU64,
    changing: AtomicBool,
    first: TakeOrder,
}

impl Queue {
    pub fn new(def: &MapDef, first: TakeOrder, between: &mut Between<'_>) -> Option<Queue> {
        Some(Queue {
            values: Values::new(def, between)?,
            capacity: def.max_entries.into(),
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            changing: AtomicBool::new(false),
            first,
        })
    }

    /// Values that are in it.
    pub fn len(&self) -> usize {
        let (tail, head) = self.ends();
        head.wrapping_sub(tail).min(self.capacity) as usize
    }

    /// Where the first value is and where the next one goes, for who does not change them. In this order: the latter is never before what the
    /// former was earlier.
    fn ends(&self) -> (u64, u64) {
        let tail = self.tail.load(Acquire);
        (tail, self.head.load(Relaxed))
    }

    fn place(&self, position: u64) -> usize {
        position.checked_rem(self.capacity).unwrap_or(0) as usize
    }

    fn alone<T>(&self, work: impl FnOnce() -> Result<T, MapError>) -> Result<T, MapError> {
        for _ in 0..PATIENCE {
            if !self.changing.swap(true, Acquire) {
                let done = work();
                self.changing.store(false, Release);
                return done;
            }
            core::hint::spin_loop();
        }
        Err(MapError::Busy)
    }

    /// Adds a value; where it is full and the flags say so, in place of the oldest.
    pub fn push(&self, value: Bytes<'_>, flags: u64) -> Result<(), MapError> {
        if !matches!(flags, update::ANY | update::EXISTING) {
            return Err(MapError::Invalid);
        }
        self.alone(|| {
            let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
            if head.wrapping_sub(tail) >= self.capacity {
                if flags == update::ANY {
                    return Err(MapError::Full { capacity: self.capacity as usize });
                }
                self.tail.store(tail.wrapping_add(1), Release);
            }
            let head =
                if planted::active(Bug::NewestGoes) && flags != update::ANY { head.wrapping_sub(1) } else { head };
            self.values.set(SlotChange::All, self.place(head), value);
            self.head.store(head.wrapping_add(1), Relaxed);
            Ok(())
        })
    }

    /// Copies the first value.
    pub fn take(&self, out: &mut BytesMut<'_>, then: Then) -> Result<(), MapError> {
        self.alone(|| {
            let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
            if head == tail {
                return Err(MapError::NoEntry);
            }
            let (position, end, next) = match self.first {
                TakeOrder::Oldest => (tail, &self.tail, tail.wrapping_add(1)),
                TakeOrder::Newest => (head.wrapping_sub(1), &self.head, head.wrapping_sub(1)),
            };
            if let Some(slots) = self.values.slots(self.place(position)) {
                out.copy_from(slots.first());
            }
            if then == Then::Goes {
                end.store(next, Release);
            }
            Ok(())
        })
    }

    /// The value that is the next after so many; while others change it, it may be another one.
    pub fn waiting(&self, number: usize) -> Option<Slots<'_>> {
        let number = number as u64;
        let (tail, head) = self.ends();
        let position = match self.first {
            TakeOrder::Oldest => tail.wrapping_add(number),
            TakeOrder::Newest => head.wrapping_sub(number).wrapping_sub(1),
        };
        (number < head.wrapping_sub(tail).min(self.capacity)).then(|| self.values.slots(self.place(position)))?
    }

    /// Whoever was at work is not there any more.
    pub fn after_fork(&self) {
        self.changing.store(false, Release);
    }

    /// As when somebody stands still in the middle of a change.
    #[cfg(test)]
    pub fn stand_still(&self) {
        self.changing.store(true, Release);
    }
}
