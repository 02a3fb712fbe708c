//! Frames of exit probes: what is known of calls whose return leads through the pad.
//!
//! The *slot* of a call is the place on its stack that holds the return address. While a frame is there, the slot holds the address of the
//! pad, and the frame what stood there before. A frame is found by its slot alone: which stack that is, and where others lie, says nothing.
//! It is dropped when its call returned, or when the slot holds something else (somebody jumped out of the call). That its thread has ended is
//! no reason: the stack may be one that other threads go on with, and a call that returns without its frame returns nowhere. Such calls are
//! only counted as abandoned ([`Waiting`]).
//!
//! The table is made once and never freed: a call may return at any time. A bucket has a line of keys, and the frames beside it. A key is
//! the slot, with the state of the frame in its low bits. Who runs on the stack of a slot is one thread: it alone makes the frames of the slot and
//! comes back through them. Others only take back what was abandoned, one of them at a time, and look again after they have marked the frame.

use super::{
    arch::current::{self, Frame},
    pool::HOOKS,
    probe::{Probe, ProbeId, Started},
    site::{SiteState, GOLDEN},
    Settings,
};
use crate::platform::{OwnMark, ThreadWord};
use alloc::alloc::{alloc_zeroed, Layout};
use core::{
    ptr, slice,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Frames of a bucket.
const PER_BUCKET: usize = 7;
/// Buckets, from the one where a slot belongs on, in which its frame may lie.
pub(super) const REACH: usize = 8;
/// Frames of one slot, one above the other: calls that were made in place of returns.
const MOST_OF_A_SLOT: u64 = 32;

/// Bits of a key that are not the slot's.
const STATE: u64 = 7;
/// Its thread makes it, or comes back through it.
pub(super) const BUSY: u64 = 1;
/// Somebody looks whether it is abandoned.
const SUSPECT: u64 = 2;
/// A key without a slot: the frame lies below another one of its slot.
const HELD: u64 = 4;
/// A key without a slot: what was abandoned is being taken back.
const LEAVING: u64 = 5;
/// Number of a thread that is not in this process: a fork has left it behind.
const LEFT_BEHIND: u64 = u64::MAX;

/// A call that is to come back through the pad. In a free place `below`, `elsewhere` and `site` are 0: a signal handler may jump out of a hook
/// that has just claimed one, and what was left half made is taken back like any other frame.
#[repr(C, align(128))]
pub(super) struct ReturnFrame {
    /// What stood in the slot when the first of its frames was made: where the call returns to.
    pub home: AtomicU64,
    /// The frame of the same slot that lies below this one, or 0.
    pub below: AtomicU64,
    /// The counter of its bucket where the frame lies in another one, or 0.
    pub elsewhere: AtomicU64,
    /// The [`SiteState`] of the function.
    pub site: AtomicU64,
    /// Programs with smaller ids were there at the entry.
    pub bound: AtomicU64,
    /// Whose call it is, 0 where threads have no number.
    pub thread: AtomicU64,
    /// Arguments in registers.
    pub arguments: [AtomicU64; 6],
    /// When it was called, where a program wants to know; else 0.
    pub entered_ns: AtomicU64,
    /// How many lie below it.
    pub depth: AtomicU64,
    /// The slot.
    pub slot: AtomicU64,
    /// Whether the function was called above the pad, so that the CPU expects its return there, and that of the pad at home.
    pub called: AtomicU64,
}

/// What machine code and the tables of the unwinder take for granted.
#[repr(C, align(1024))]
pub(super) struct Bucket {
    keys: [AtomicU64; PER_BUCKET],
    /// Frames that belong here and lie elsewhere.
    pub elsewhere: AtomicU64,
    _apart: [u64; 8],
    pub frames: [ReturnFrame; PER_BUCKET],
}

const _: () = assert!(size_of::<ReturnFrame>() == 128 && size_of::<Bucket>() == 1024);

/// One looks for abandoned frames at a time.
static SWEEPING: AtomicBool = AtomicBool::new(false);
/// Says that a site has programs at its returns, in [`SiteState::flags`].
pub(super) const RETURNS: u64 = 1;
/// Says that it has others.
pub(super) const ENTRIES: u64 = 2;
/// Says that one at its returns wants to know the time of the entry.
pub(super) const TIMED: u64 = 4;

/// Makes the table, with places for so many frames at least, unless there is one; `None` without memory.
pub(super) fn prepare(frames: usize, settings: &Settings) -> Option<()> {
    if HOOKS.frames.load(Ordering::SeqCst) != 0 {
        return Some(());
    }
    let buckets = frames.div_ceil(PER_BUCKET).max(2).checked_next_power_of_two()?;
    // Behind the last one as many as are gone through.
    let bytes = buckets.checked_add(REACH - 1)?.checked_mul(size_of::<Bucket>())?;
    let layout = Layout::from_size_align(bytes, align_of::<Bucket>()).ok()?;
    // SAFETY: the layout is not empty.
    let base = unsafe { alloc_zeroed(layout) } as u64;
    if base == 0 {
        return None;
    }
    let (kind, at) = match settings.platform.cpu.thread_word() {
        None => (0, 0),
        Some(ThreadWord::OfThread { offset }) => (1, i64::from(offset) as u64),
        Some(ThreadWord::At { address }) => (2, address),
    };
    let own = match settings.platform.cpu.own_mark() {
        Some(OwnMark::Same { own, .. }) => own,
        Some(OwnMark::OfThread { .. }) | None => ptr::from_ref(&HOOKS.nowhere) as u64,
    };
    HOOKS.own_at.store(own, Ordering::SeqCst);
    HOOKS.thread_kind.store(kind, Ordering::SeqCst);
    HOOKS.thread_at.store(at, Ordering::SeqCst);
    if let Some(ticks) = settings.platform.clock.ticks() {
        let words = [ticks.start, ticks.scale];
        HOOKS.ticks.iter().zip(words).for_each(|(to, word)| to.store(word, Ordering::SeqCst));
    }
    HOOKS.frames_shift.store(u64::from(64 - buckets.trailing_zeros()), Ordering::SeqCst);
    HOOKS.frames.store(base, Ordering::SeqCst);
    Some(())
}

/// All buckets.
fn buckets() -> &'static [Bucket] {
    let base = HOOKS.frames.load(Ordering::Acquire);
    if base == 0 {
        return &[];
    }
    let count = 1usize << (64 - HOOKS.frames_shift.load(Ordering::Relaxed));
    // SAFETY: `prepare` has made so many, which live for ever; all of it are atomics, for which zeros are valid.
    unsafe { slice::from_raw_parts(base as *const Bucket, count + REACH - 1) }
}

/// The buckets in which frames of a slot may lie; the first is its own.
fn buckets_of(slot: u64) -> &'static [Bucket] {
    let at = slot.wrapping_mul(GOLDEN).checked_shr(HOOKS.frames_shift.load(Ordering::Relaxed) as u32);
    let at = at.unwrap_or(0) as usize;
    buckets().get(at..at.saturating_add(REACH)).unwrap_or(&[])
}

/// A place for a frame.
#[derive(Clone, Copy)]
struct FramePlace {
    key: &'static AtomicU64,
    frame: &'static ReturnFrame,
    bucket: &'static Bucket,
}

fn places(buckets: &'static [Bucket]) -> impl Iterator<Item = FramePlace> {
    let of = |bucket: &'static Bucket| {
        bucket.keys.iter().zip(&bucket.frames).map(move |(key, frame)| FramePlace { key, frame, bucket })
    };
    buckets.iter().flat_map(of)
}

impl ReturnFrame {
    /// The key of a frame's place.
    fn key(&self) -> Option<&'static AtomicU64> {
        let at = ptr::from_ref(self) as u64;
        let bucket = at & !(size_of::<Bucket>() as u64 - 1);
        let index = (at - bucket) as usize / size_of::<ReturnFrame>();
        // SAFETY: every frame lies in a bucket of the table, which lives for ever.
        let bucket = unsafe { &*(bucket as *const Bucket) };
        bucket.keys.get(index.checked_sub(1)?)
    }

    /// The slot of the call that comes back through it, or lies above it.
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// The frame of the same slot below it.
    pub fn below(&self) -> Option<&'static ReturnFrame> {
        // SAFETY: 0, or the address of a frame of the table, which lives for ever.
        unsafe { (self.below.load(Ordering::Relaxed) as *const ReturnFrame).as_ref() }
    }

    /// The function's site.
    pub fn site(&self) -> Option<&'static SiteState> {
        // SAFETY: null, or a leaked state.
        unsafe { (self.site.load(Ordering::Relaxed) as *const SiteState).as_ref() }
    }

    /// Whether a program was there at the entry.
    pub fn had(&self, probe: &Probe) -> bool {
        probe.point.is_return() && probe.id < ProbeId(self.bound.load(Ordering::Relaxed))
    }

    /// Gives the place back: the last that is done with a frame.
    pub fn release(&self) {
        let elsewhere = self.elsewhere.swap(0, Ordering::Relaxed);
        self.below.store(0, Ordering::Relaxed);
        self.site.store(0, Ordering::Relaxed);
        if let Some(key) = self.key() {
            key.store(0, Ordering::Release);
        }
        // SAFETY: 0, or the address of a counter of the table, which lives for ever.
        if let Some(count) = unsafe { (elsewhere as *const AtomicU64).as_ref() } {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// What was abandoned is counted for the programs that wait for it, and its places are given back. The caller is in a hook, or holds the lock
/// of the tracer, so that no list of programs is freed; and it has taken the frame's key.
fn take_back(first: &'static ReturnFrame) {
    let mut next = Some(first);
    while let Some(frame) = next {
        next = frame.below();
        // SAFETY: lists are freed when no hook reads them, and while nobody holds the lock.
        let list = frame.site().and_then(|site| unsafe { site.probes.load(Ordering::SeqCst).as_ref() });
        let started = Started::now();
        let probes = list.iter().flat_map(|list| &list.probes);
        for probe in probes.filter(|probe| frame.had(probe) && probe.is_there(started)) {
            probe.counts.abandoned.fetch_add(1, Ordering::Relaxed);
        }
        frame.release();
    }
}

/// Makes the call that has just been entered come back through the pad; false where that cannot be. *Hook path*, in an area.
///
/// # Safety
/// `registers` are those saved at the entry of a function on the stack of which the caller knows that the return address stands where
/// [`Frame::slot`] says.
pub(super) unsafe fn take(site: &'static SiteState, registers: &Frame, settings: &Settings) -> bool {
    let Some(slot) = registers.slot().filter(|slot| slot & STATE == 0) else {
        return false;
    };
    // SAFETY: aligned, and the place on the caller's own stack where its return address is; nobody else uses it.
    let cell = unsafe { AtomicU64::from_ptr(slot as *mut u64) };
    let (original, pad) = (cell.load(Ordering::Relaxed), current::return_pad());
    let own = buckets_of(slot);
    let below = frame_below(slot, own, original == pad);
    let depth = match below {
        None if original == pad => return false,
        None => 0,
        Some(FramePlace { frame, .. }) => frame.depth.load(Ordering::Relaxed) + 1,
    };
    if depth >= MOST_OF_A_SLOT {
        return false;
    }
    let claim = || {
        places(own).find(|place| {
            let claimed = place.key.compare_exchange(0, slot | BUSY, Ordering::AcqRel, Ordering::Relaxed);
            claimed.is_ok()
        })
    };
    let may_look = || settings.platform.probe_read.may_fault(slot);
    let again = || (may_look() && sweep(own, settings)).then(claim).flatten();
    let Some(place) = claim().or_else(again) else {
        return false;
    };
    let frame = place.frame;
    let outside = own.first().filter(|first| !ptr::eq(*first, place.bucket)).map(|first| &first.elsewhere);
    if let Some(count) = outside {
        count.fetch_add(1, Ordering::SeqCst);
    }
    let address = |thing: Option<*const ()>| thing.map_or(0, |thing| thing as u64);
    frame.elsewhere.store(address(outside.map(|count| ptr::from_ref(count).cast())), Ordering::Relaxed);
    frame.below.store(address(below.map(|below| ptr::from_ref(below.frame).cast())), Ordering::Relaxed);
    frame.home.store(below.map_or(original, |below| below.frame.home.load(Ordering::Relaxed)), Ordering::Relaxed);
    frame.bound.store(HOOKS.started.load(Ordering::Relaxed), Ordering::Relaxed);
    frame.site.store(ptr::from_ref(site) as u64, Ordering::Release);
    frame.thread.store(settings.platform.cpu.thread(), Ordering::Relaxed);
    frame.depth.store(depth, Ordering::Relaxed);
    frame.slot.store(slot, Ordering::Relaxed);
    frame.called.store(0, Ordering::Relaxed);
    for (n, argument) in frame.arguments.iter().enumerate() {
        argument.store(registers.argument(n).unwrap_or(0), Ordering::Relaxed);
    }
    let timed = site.flags.load(Ordering::Relaxed) & TIMED != 0;
    let now_ns = if timed { settings.platform.clock.now_ns() } else { 0 };
    frame.entered_ns.store(now_ns, Ordering::Relaxed);
    // The frame is complete before the slot leads to it, and found by others when it does.
    if let Some(below) = below {
        below.key.store(HELD, Ordering::Release);
    }
    cell.store(pad, Ordering::Release);
    place.key.store(slot, Ordering::Release);
    true
}

/// The frame of the slot that this call was made in place of the return of: the one that the pad would find. Others of the slot were abandoned.
fn frame_below(slot: u64, own: &'static [Bucket], through_pad: bool) -> Option<FramePlace> {
    let mut found = None;
    for place in places(own) {
        let mut state = place.key.load(Ordering::Acquire);
        while state & !STATE == slot {
            if found.is_none() && through_pad && state & BUSY == 0 {
                found = Some(place);
                break;
            }
            match place.key.compare_exchange(state, LEAVING, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    take_back(place.frame);
                    break;
                }
                Err(now) => state = now,
            }
        }
    }
    found
}

/// Where the call returns to whose slot holds the address of the pad; `None` where nobody knows. *Hook path.*
pub(super) fn home_of(slot: u64) -> Option<u64> {
    let is_here = |place: &FramePlace| place.key.load(Ordering::Acquire) & !STATE == slot;
    let found = places(buckets_of(slot)).find(|place| slot & STATE == 0 && slot != 0 && is_here(place));
    found.map(|place| place.frame.home.load(Ordering::Relaxed))
}

/// Takes back what was abandoned in some buckets; false where somebody else is at it, or memory cannot be looked at.
fn sweep(buckets: &'static [Bucket], settings: &Settings) -> bool {
    if SWEEPING.swap(true, Ordering::AcqRel) {
        return false;
    }
    // What reads nothing at all says nothing.
    let known = AtomicU64::new(GOLDEN);
    let reads = read(ptr::from_ref(&known) as u64, settings) == Some(GOLDEN);
    if reads {
        places(buckets).for_each(|place| look(place, settings));
    }
    SWEEPING.store(false, Ordering::Release);
    reads
}

fn read(address: u64, settings: &Settings) -> Option<u64> {
    let mut word = [0; 8];
    let read = settings.platform.probe_read.read(address, &mut word);
    (read == word.len()).then(|| u64::from_ne_bytes(word))
}

/// Looks whether a frame was abandoned, and takes it back then. Nobody else does so at the time, but for who runs on the stack of its slot.
fn look(place: FramePlace, settings: &Settings) {
    let FramePlace { key, frame, .. } = place;
    let state = key.load(Ordering::Acquire);
    let slot = state & !STATE;
    // With other states only its thread can go on.
    if slot == 0 || state != slot {
        return;
    }
    let moved = |from, to| key.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let marked = slot | SUSPECT;
    if !moved(slot, marked) {
        return;
    }
    if read(slot, settings) == Some(current::return_pad()) {
        moved(marked, slot);
    } else if moved(marked, LEAVING) {
        take_back(frame);
    }
}

/// Takes back all that was abandoned. For the control path; the caller holds the lock of the tracer.
pub(super) fn sweep_all(settings: &Settings) {
    if !buckets().is_empty() {
        sweep(buckets(), settings);
    }
}

/// This thread is the only one of its process, a child of a fork. The frames of others stay, since it may go on with their stacks.
pub(super) fn after_fork(thread: u64) {
    SWEEPING.store(false, Ordering::Release);
    for FramePlace { key, frame, .. } in places(buckets()) {
        let state = key.load(Ordering::Relaxed);
        if state & STATE == SUSPECT {
            key.store(state & !STATE, Ordering::Relaxed);
        }
        // Its own have no number from now on: it gets another one, and so with each fork.
        let number = frame.thread.load(Ordering::Relaxed);
        let left_behind = number != 0 && number != thread;
        frame.thread.store(if left_behind { LEFT_BEHIND } else { 0 }, Ordering::Relaxed);
    }
}

/// Calls that have not come back to a program.
#[derive(Clone, Copy, Default)]
pub(super) struct Waiting {
    /// Those that are to come back.
    pub outstanding: u64,
    /// Those that are not, as far as anybody knows: their threads have ended.
    pub abandoned: u64,
}

/// How many calls have not come back to a program. For the control path.
pub(super) fn waiting(probe: &Probe, settings: &Settings) -> Waiting {
    let waits = |place: &FramePlace| {
        let key = place.key.load(Ordering::Acquire);
        let of_site = place.frame.site().is_some_and(|site| ptr::eq(site, probe.state));
        key != 0 && key != LEAVING && of_site && place.frame.had(probe)
    };
    let mut waiting = Waiting::default();
    let buckets = if probe.point.is_return() { buckets() } else { &[] };
    for place in places(buckets).filter(waits) {
        let thread = place.frame.thread.load(Ordering::Relaxed);
        match thread == LEFT_BEHIND || settings.platform.cpu.has_ended(thread) {
            true => waiting.abandoned += 1,
            false => waiting.outstanding += 1,
        }
    }
    waiting
}
