//! What maps hold that is no bytes: other maps, and programs. A run may use what it finds there until it is over, whatever is put in its
//! place meanwhile: what is taken out is kept until every run that may have found it has ended.
//!
//! A thing is reached by its *place*, a number that it keeps. Hooks read places without waiting; whoever changes them takes turns.

use super::{
    values::{zeroed, Between},
    Map, MapError, ValueWindow,
};
use crate::{
    platform::boxed,
    program::planted::{self, Bug},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    any::Any,
    cell::Cell,
    ptr,
    sync::atomic::{
        fence, AtomicBool, AtomicPtr, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};
use spin::{Mutex, MutexGuard};

/// A program in a map. What it is made of, the engines know.
pub type HeldProgram = Arc<dyn Any + Send + Sync>;

/// What a map holds under a key.
#[derive(Clone)]
pub enum Held {
    /// A map.
    Map(Arc<Map>),
    /// A program.
    Program(HeldProgram),
}

impl Held {
    fn window(&self) -> Option<ValueWindow> {
        match self {
            Held::Map(map) => map.window(),
            Held::Program(_) => None,
        }
    }
}

/// Runs that may use what they found, in two sets. New ones go into one of them, so that the other one empties.
static RUNS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// The set for new ones.
static SECOND: AtomicBool = AtomicBool::new(false);

fn runs(second: bool) -> &'static AtomicUsize {
    let [first, other] = &RUNS;
    if second {
        other
    } else {
        first
    }
}

/// A run's stay among those that may use what maps hold. It begins when the run first looks for such a thing, and ends with this.
#[derive(Default)]
pub struct Stay(Cell<Option<bool>>);

impl Stay {
    #[inline]
    pub(super) fn begin(&self) {
        if self.0.get().is_none() {
            self.enter();
        }
    }

    #[cold]
    fn enter(&self) {
        let second = SECOND.load(SeqCst);
        runs(second).fetch_add(1, SeqCst);
        // What is read from now on is read after this run was counted.
        fence(SeqCst);
        self.0.set(Some(second));
    }
}

impl Drop for Stay {
    #[inline]
    fn drop(&mut self) {
        if let Some(second) = self.0.get() {
            runs(second).fetch_sub(1, SeqCst);
        }
    }
}

/// In a process in which the other threads are not, their runs are over.
pub fn after_fork() {
    for second in [false, true] {
        runs(second).store(0, SeqCst);
    }
}

/// Maps that nobody has any more, and in which there are programs that a run may still use. They may have the maps that hold them.
static LEFT: Mutex<Vec<Arc<Map>>> = Mutex::new(Vec::new());

/// Keeps a map until runs are over that may use its programs.
pub(super) fn leave(map: Arc<Map>) {
    let mut left = LEFT.lock();
    if left.try_reserve(1).is_ok() {
        left.push(map);
    }
    // Without memory it stays for ever.
}

/// Gives back what runs used that were going on when the last one let go of it; whether nothing is left of that.
pub fn settle_left() -> bool {
    let mut at = 0;
    loop {
        let one = LEFT.lock().get(at).cloned();
        let Some(map) = one else { return at == 0 };
        if map.settle() {
            LEFT.lock().retain(|left| !Arc::ptr_eq(left, &map));
        } else {
            at += 1;
        }
    }
}

/// Since it began, each set of runs was seen empty, or was not: then a run may go on that began before.
#[derive(Default)]
struct RunsGrace {
    seen: [bool; 2],
}

impl RunsGrace {
    fn is_over(&mut self) -> bool {
        fence(SeqCst);
        let empty = [false, true].map(|second| runs(second).load(SeqCst) == 0);
        let now = SECOND.load(SeqCst);
        let [first, other] = empty;
        if if now { first } else { other } {
            SECOND.store(!now, SeqCst);
        }
        self.seen.iter_mut().zip(empty).for_each(|(seen, empty)| *seen |= empty);
        self.seen == [true; 2] || planted::active(Bug::NoGrace)
    }
}

/// A box that there was memory for.
type OneBox<T> = Box<[T; 1]>;

/// Windows of the maps that are held, ascending by address.
type Windows = Vec<ValueWindow>;

/// Something that runs may still use. It is dropped with this.
enum RetiredValue {
    /// What is in this place, which no key has any more.
    Place(u32),
    /// What is in all places: programs, which are found by keys alone.
    All,
    /// What nobody finds any more. It is dropped with this.
    #[allow(dead_code, reason = "dropped, and not read")]
    Gone { held: Option<OneBox<Held>>, windows: Option<OneBox<Windows>> },
}

/// Places of a map.
pub(super) struct Pool {
    places: Box<[AtomicPtr<[Held; 1]>]>,
    windows: AtomicPtr<[Windows; 1]>,
    control: Mutex<PoolControl>,
}

/// What there is beside the places, for who changes them.
pub(super) struct PoolControl {
    free: Vec<u32>,
    retired: Vec<(RunsGrace, RetiredValue)>,
}

/// Places beyond those of the entries: for what is put in and what is taken out meanwhile.
const SPARE: usize = 8;
/// Things that runs may still use, at most: then a run does not end.
const MOST_RETIRED: usize = 64;
/// Those that one change adds at most.
const BY_A_CHANGE: usize = 4;

impl Pool {
    pub fn new(entries: usize, between: &mut Between<'_>) -> Option<Pool> {
        let count = entries.checked_add(SPARE)?;
        let places = zeroed(count, between)?;
        let mut free = Vec::new();
        free.try_reserve_exact(count).ok()?;
        free.extend((0..u32::try_from(count).ok()?).rev());
        let mut retired = Vec::new();
        retired.try_reserve_exact(1).ok()?;
        let control = Mutex::new(PoolControl { free, retired });
        Some(Pool { places, windows: AtomicPtr::default(), control })
    }

    /// What is in a place, for as long as the run stays. *Hook path.*
    pub fn at<'s>(&'s self, place: u32, stay: &'s Stay) -> Option<&'s Held> {
        stay.begin();
        let held = self.places.get(place as usize)?.load(SeqCst);
        // SAFETY: it is null, or came from a box that is freed once it was taken out of its place and then all runs that stayed have ended:
        // this one was counted before it looked, and is counted as long as `stay` is borrowed.
        unsafe { held.as_ref() }.map(|[held]| held)
    }

    /// The values of a held map in which an address lies, if it does. *Hook path.*
    pub fn window(&self, address: u64, stay: &Stay) -> Option<ValueWindow> {
        stay.begin();
        let windows = self.windows.load(SeqCst);
        // SAFETY: as for `at`.
        let [windows] = unsafe { windows.as_ref() }?;
        let after = windows.partition_point(|window| window.base <= address);
        windows.get(after.checked_sub(1)?).copied()
    }

    /// The turn of whoever changes it. Nobody has it for long; one that died with its process has it for ever.
    pub fn lock(&self) -> Result<MutexGuard<'_, PoolControl>, MapError> {
        const PATIENCE: u32 = 1 << 24;
        for _ in 0..PATIENCE {
            if let Some(control) = self.control.try_lock() {
                return Ok(control);
            }
            core::hint::spin_loop();
        }
        Err(MapError::Busy)
    }

    /// Makes room for what a change leaves behind; afterwards it cannot fail for that.
    pub fn prepare(&self, control: &mut PoolControl) -> Result<(), MapError> {
        let leaves = control.retired.iter().any(|(_, retired)| matches!(retired, RetiredValue::All));
        if leaves || control.retired.len() > MOST_RETIRED {
            return Err(MapError::Busy);
        }
        // And always one for `take_all`, which cannot fail.
        control.retired.try_reserve(BY_A_CHANGE.wrapping_add(1)).map_err(|_| MapError::NoMemory)
    }

    /// Puts something in; its place. To be [prepared](Self::prepare).
    pub fn put(&self, control: &mut PoolControl, held: Held) -> Result<u32, MapError> {
        let place = *control.free.last().ok_or(MapError::Busy)?;
        let windows = match held.window() {
            Some(window) => Some(self.with_window(window).ok_or(MapError::NoMemory)?),
            None => None,
        };
        let held = boxed(held).ok_or(MapError::NoMemory)?;
        if let Some(windows) = windows {
            let windows = self.exchange(Some(windows));
            control.retired.push((RunsGrace::default(), RetiredValue::Gone { held: None, windows }));
        }
        control.free.pop();
        if let Some(slot) = self.places.get(place as usize) {
            slot.store(Box::into_raw(held), SeqCst);
        }
        Ok(place)
    }

    /// No key has this place any more. To be [prepared](Self::prepare); it goes when it is [settled](Self::settle).
    pub fn take(control: &mut PoolControl, place: u32) {
        control.retired.push((RunsGrace::default(), RetiredValue::Place(place)));
    }

    /// No key has any place any more. For programs.
    pub fn take_all(control: &mut PoolControl) {
        if control.retired.capacity() > control.retired.len() {
            control.retired.push((RunsGrace::default(), RetiredValue::All));
        }
    }

    /// What is in a place, for who has the lock.
    pub fn get(&self, _control: &PoolControl, place: u32) -> Option<Held> {
        let held = self.places.get(place as usize)?.load(SeqCst);
        // SAFETY: it is null, or a box that only who has the lock takes out.
        unsafe { held.as_ref() }.map(|[held]| held.clone())
    }

    /// Frees what no run can use any more; whether nothing is left of that.
    pub fn settle(&self) -> bool {
        loop {
            let Ok(mut control) = self.lock() else { return false };
            if control.retired.is_empty() {
                return true;
            }
            let over = control.retired.iter_mut().position(|(grace, _)| grace.is_over());
            let gone = match over.map(|at| control.retired.swap_remove(at).1) {
                Some(RetiredValue::Place(place)) => match self.empty(place) {
                    // Runs that came in the meantime may have found it, by a number of their own making.
                    Some(gone) => {
                        control.free.push(place);
                        control.retired.push((RunsGrace::default(), gone));
                        continue;
                    }
                    None => {
                        control.retired.push((RunsGrace::default(), RetiredValue::Place(place)));
                        return false;
                    }
                },
                Some(RetiredValue::All) => {
                    self.empty_all(&mut control);
                    continue;
                }
                Some(gone) => gone,
                None => return false,
            };
            // Freed without the lock: a map may hold others, and a program the map that it was in.
            drop(control);
            drop(gone);
        }
    }

    /// Takes out what is in a place, for who has the lock. Where memory is missing for that, nothing is changed.
    fn empty(&self, place: u32) -> Option<RetiredValue> {
        let slot = self.places.get(place as usize)?;
        // SAFETY: as for `get`.
        let window = unsafe { slot.load(SeqCst).as_ref() }.and_then(|[held]| held.window());
        let windows = match window {
            Some(window) => self.exchange(Some(self.without_window(window)?)),
            None => None,
        };
        let held = slot.swap(ptr::null_mut(), SeqCst);
        // SAFETY: it came from a box, and only who has the lock takes it out.
        let held = (!held.is_null()).then(|| unsafe { Box::from_raw(held) });
        Some(RetiredValue::Gone { held, windows })
    }

    fn empty_all(&self, control: &mut PoolControl) {
        control.retired.clear();
        control.free.clear();
        for (number, place) in (0..).zip(&self.places) {
            let held = place.swap(ptr::null_mut(), SeqCst);
            if !held.is_null() {
                // SAFETY: as for `empty`.
                drop(unsafe { Box::from_raw(held) });
            }
            control.free.push(number);
        }
    }

    fn exchange(&self, windows: Option<OneBox<Windows>>) -> Option<OneBox<Windows>> {
        let new = windows.map_or(ptr::null_mut(), Box::into_raw);
        let old = self.windows.swap(new, SeqCst);
        // SAFETY: it came from a box, and only who has the lock takes it out, or nobody else is there.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }

    /// The windows with one more, or without one of them; `None` without memory.
    fn copied(&self, more: usize) -> Option<Windows> {
        // SAFETY: it is null, or a box that only who has the lock takes out, which the caller has.
        let windows = unsafe { self.windows.load(Relaxed).as_ref() }.map_or(&[][..], |[windows]| windows);
        let mut copy = Vec::new();
        copy.try_reserve_exact(windows.len().checked_add(more)?).ok()?;
        copy.extend_from_slice(windows);
        Some(copy)
    }

    fn with_window(&self, window: ValueWindow) -> Option<OneBox<Windows>> {
        let mut windows = self.copied(1)?;
        let at = windows.partition_point(|other| other.base < window.base);
        windows.insert(at, window);
        boxed(windows)
    }

    /// A map that is held twice has two.
    fn without_window(&self, window: ValueWindow) -> Option<OneBox<Windows>> {
        let mut windows = self.copied(0)?;
        let at = windows.partition_point(|other| other.base < window.base);
        if windows.get(at) == Some(&window) {
            windows.remove(at);
        }
        boxed(windows)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.exchange(None));
        for place in &mut self.places {
            let held = core::mem::replace(place.get_mut(), ptr::null_mut());
            if !held.is_null() {
                // SAFETY: it came from a box; who uses it borrows the pool.
                drop(unsafe { Box::from_raw(held) });
            }
        }
    }
}
