//! The output ring: what hooks want said, queued until somebody who may block writes it to the console.
//!
//! Fixed records in a bounded queue of many producers and one consumer at a time. A producer claims a slot with
//! one compare-and-swap and never waits; when the ring is full the record is counted as lost. A producer that is
//! interrupted between claim and publication delays the reader, never another producer.

use crate::{
    helpers::RingLayout,
    vm::{Regions, Stop},
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};
use spin::Mutex;

/// Longest text of one record; longer text is cut.
pub const TEXT_BYTES: usize = 216;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// `Notify: NAME` of the function with this key.
    Notify {
        /// Key of the traced function.
        key: u64,
    },
    /// Text of a program.
    Text,
    /// A program was stopped; the text is its name, where that is known.
    Error(Fault),
}

/// Why a program came to no end of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It was stopped.
    Stopped {
        /// Where and why.
        stop: Stop,
        /// Where its memory was.
        regions: Regions,
    },
    /// It did not begin: all slots of values per CPU are in use.
    NoLane,
}

/// One queued message.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Number of the record since start; gaps do not occur (lost ones are counted apart).
    pub sequence: u64,
    /// When it was queued.
    pub time_ns: u64,
    /// What it says.
    pub kind: RecordKind,
    len: u8,
    text: [u8; TEXT_BYTES],
}

impl Record {
    /// The text of the record.
    pub fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// A record as it lies in the ring, for machine code too: of its text only what has a length was ever written.
#[repr(C)]
struct Stored {
    time_ns: u64,
    key: u64,
    kind: u8,
    len: u8,
    _apart: [u8; 6],
    body: Body,
}

/// What a record has beside its numbers, as its kind says.
#[derive(Clone, Copy)]
#[repr(C)]
union Body {
    text: [u8; TEXT_BYTES],
    error: (Fault, [u8; NAME_BYTES]),
}

/// Most bytes of the name of a program that was stopped; of a longer one the rest is left out.
const NAME_BYTES: usize = TEXT_BYTES - size_of::<Fault>();
const _: () = assert!(NAME_BYTES >= 100);

const NOTIFY: u8 = RingLayout::NOTIFY;
const TEXT: u8 = 1;
const ERROR: u8 = 2;

impl Stored {
    const EMPTY: Stored =
        Stored { time_ns: 0, key: 0, kind: TEXT, len: 0, _apart: [0; 6], body: Body { text: [0; TEXT_BYTES] } };

    fn record(&self, sequence: u64) -> Record {
        let mut text = [0; TEXT_BYTES];
        let kind = match self.kind {
            NOTIFY => RecordKind::Notify { key: self.key },
            ERROR => {
                // SAFETY: `push_error` alone makes a record of this kind, and writes this.
                let (fault, name) = unsafe { self.body.error };
                text[..NAME_BYTES].copy_from_slice(&name);
                RecordKind::Error(fault)
            }
            _ => {
                // SAFETY: it began as text, and `push_text` alone makes a record of this kind.
                text = unsafe { self.body.text };
                RecordKind::Text
            }
        };
        Record { sequence, time_ns: self.time_ns, kind, len: self.len.min(TEXT_BYTES as u8), text }
    }
}

/// As many leading bytes as there is room for, zeros behind them, and how many they are.
fn cut<const ROOM: usize>(bytes: &[u8]) -> ([u8; ROOM], u8) {
    let mut room = [0; ROOM];
    let count = bytes.len().min(ROOM);
    room[..count].copy_from_slice(&bytes[..count]);
    (room, count as u8)
}

#[repr(C, align(64))]
struct RecordSlot {
    /// Turn of the slot: equal to the position when free for it, position + 1 when filled.
    turn: AtomicUsize,
    record: UnsafeCell<Stored>,
}

// What machine code goes by.
const _: () = {
    let record = offset_of!(RecordSlot, record);
    assert!(size_of::<RecordSlot>() == 1 << RingLayout::SLOT_BITS);
    assert!(offset_of!(RecordSlot, turn) == RingLayout::TURN);
    assert!(record + offset_of!(Stored, time_ns) == RingLayout::TIME);
    assert!(record + offset_of!(Stored, key) == RingLayout::KEY);
    assert!(record + offset_of!(Stored, kind) == RingLayout::KIND);
    assert!(record + offset_of!(Stored, len) == RingLayout::KIND + 1);
};

/// The queue; see the module's description. All `push_*` functions are *hook path*.
pub struct Ring {
    slots: Box<[RecordSlot]>,
    head: AtomicUsize,
    tail: Mutex<usize>,
    lost: AtomicU64,
}

// SAFETY: a slot's record is touched only by the one producer that claimed its position, until it publishes `turn`,
// and then only by the consumer that holds the lock of `tail`, until it hands the slot on through `turn`.
unsafe impl Sync for Ring {}
// SAFETY: a ring owns its slots; nothing in it belongs to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring of at least `bytes` bytes of records (rounded to a power of two of records); `None` without memory.
    pub fn new(bytes: usize) -> Option<Ring> {
        let count = (bytes / size_of::<RecordSlot>()).clamp(4, 1 << 20).next_power_of_two();
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).ok()?;
        slots.extend(
            (0..count).map(|i| RecordSlot { turn: AtomicUsize::new(i), record: UnsafeCell::new(Stored::EMPTY) }),
        );
        Some(Ring {
            slots: slots.into_boxed_slice(),
            head: AtomicUsize::new(0),
            tail: Mutex::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// Number of records it can hold.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Where machine code finds it, for as long as it lives and stays where it is.
    pub fn layout(&self) -> RingLayout {
        RingLayout {
            slots: self.slots.as_ptr() as u64,
            mask: self.slots.len().wrapping_sub(1) as u64,
            head: ptr::from_ref(&self.head) as u64,
            lost: ptr::from_ref(&self.lost) as u64,
        }
    }

    /// Queues `Notify` for the function with this key. False when the ring was full.
    pub fn push_notify(&self, time_ns: u64, key: u64) -> bool {
        self.push(time_ns, NOTIFY, |record| record.key = key)
    }

    /// Queues text of a program, cut after [`TEXT_BYTES`].
    pub fn push_text(&self, time_ns: u64, text: &[u8]) -> bool {
        self.push(time_ns, TEXT, |record| {
            let (text, len) = cut(text);
            (record.body, record.len) = (Body { text }, len);
        })
    }

    /// Queues why the program of this name was stopped. The words are found when the record is read.
    pub fn push_error(&self, time_ns: u64, fault: Fault, name: &str) -> bool {
        self.push(time_ns, ERROR, |record| {
            let (name, len) = cut(name.as_bytes());
            (record.body, record.len) = (Body { error: (fault, name) }, len);
        })
    }

    /// A position that now belongs to the caller, with its slot; `None` when the ring is full.
    fn claim(&self) -> Option<(usize, &RecordSlot)> {
        let mask = self.slots.len() - 1;
        let mut position = self.head.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[position & mask];
            let ahead = slot.turn.load(Ordering::Acquire).wrapping_sub(position) as isize;
            if ahead < 0 {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            if ahead > 0 {
                position = self.head.load(Ordering::Relaxed);
                continue;
            }
            let next = position.wrapping_add(1);
            match self.head.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some((position, slot)),
                Err(now) => position = now,
            }
        }
    }

    fn push(&self, time_ns: u64, kind: u8, fill: impl FnOnce(&mut Stored)) -> bool {
        let Some((position, slot)) = self.claim() else {
            return false;
        };
        // SAFETY: the position, hence the slot, is ours alone until `turn` is published.
        let record = unsafe { &mut *slot.record.get() };
        (record.time_ns, record.kind, record.len) = (time_ns, kind, 0);
        fill(record);
        slot.turn.store(position.wrapping_add(1), Ordering::Release);
        true
    }

    /// Hands every queued record to `each`, oldest first; returns how many. `None` while another caller drains: records
    /// keep their order only when one caller at a time writes them out. Control path only.
    pub fn drain(&self, each: &mut dyn FnMut(&Record)) -> Option<usize> {
        let mut tail = self.tail.try_lock()?;
        let mask = self.slots.len() - 1;
        let mut count = 0;
        loop {
            let position = *tail;
            let slot = &self.slots[position & mask];
            if slot.turn.load(Ordering::Acquire) != position.wrapping_add(1) {
                return Some(count);
            }
            // SAFETY: `turn` says the producer is done with the slot, and the lock of `tail` makes us the only consumer.
            let record = unsafe { &*slot.record.get() }.record(position as u64);
            slot.turn.store(position.wrapping_add(self.slots.len()), Ordering::Release);
            *tail = position.wrapping_add(1);
            each(&record);
            count += 1;
        }
    }

    /// Whether something waits to be drained.
    pub fn is_empty(&self) -> bool {
        self.tail.try_lock().is_some_and(|tail| *tail == self.head.load(Ordering::Relaxed))
    }

    /// Records that found the ring full, since start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, sync::Arc, thread};

    #[test]
    fn keeps_order_and_counts_what_is_lost() {
        let ring = Ring::new(0).unwrap();
        let held = (0..10).filter(|&i| ring.push_notify(i, i)).count();
        assert_eq!((held, ring.lost()), (ring.capacity(), 10 - ring.capacity() as u64));
        let mut keys = Vec::new();
        let drained = ring.drain(&mut |r| keys.push((r.sequence, r.kind)));
        assert_eq!(drained, Some(held));
        assert_eq!(keys[1], (1, RecordKind::Notify { key: 1 }));
        assert!(ring.push_text(0, b"again") && !ring.is_empty());
    }

    #[test]
    fn long_text_and_long_names_are_cut_and_faults_come_as_they_were() {
        let ring = Ring::new(1 << 12).unwrap();
        let stop = Stop { pc: 7, kind: crate::vm::StopKind::Helper { name: "strlen", reason: "no end" } };
        let stopped = Fault::Stopped { stop, regions: Regions { argument: (1, 2), frame: (3, 4) } };
        // Twice around, so that each place has held each kind.
        for _ in 0..2 * ring.capacity() {
            ring.push_text(0, &[b'a'; 1000]);
            ring.push_error(0, stopped, "count.bin");
            ring.push_error(0, Fault::NoLane, &"n".repeat(1000));
            let mut seen = Vec::new();
            ring.drain(&mut |r| seen.push((r.kind, String::from_utf8(r.text().to_vec()).unwrap())));
            assert_eq!((seen[0].0, seen[0].1.len()), (RecordKind::Text, TEXT_BYTES));
            assert_eq!(seen[1], (RecordKind::Error(stopped), "count.bin".into()));
            assert_eq!(seen[2], (RecordKind::Error(Fault::NoLane), "n".repeat(NAME_BYTES)));
        }
    }

    #[test]
    fn a_second_drain_at_the_same_time_is_refused() {
        let ring = Ring::new(1 << 12).unwrap();
        ring.push_notify(0, 1);
        ring.drain(&mut |_| assert_eq!(ring.drain(&mut |_| ()), None));
    }

    #[test]
    fn producers_on_several_threads_lose_nothing() {
        let ring = Arc::new(Ring::new(1 << 20).unwrap());
        let threads: Vec<_> = (0..4u64)
            .map(|t| {
                let ring = ring.clone();
                thread::spawn(move || (0..200).for_each(|i| assert!(ring.push_notify(i, t))))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let mut last = [None; 4];
        let n = ring.drain(&mut |r| {
            let RecordKind::Notify { key } = r.kind else { panic!() };
            assert!(last[key as usize] < Some(r.time_ns));
            last[key as usize] = Some(r.time_ns);
        });
        assert_eq!(n, Some(800));
    }
}
