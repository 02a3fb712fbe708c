//! Records that a run holds: reserved in rings of its program, and neither submitted nor discarded yet.

use super::{Map, Maps, Stay, ValueWindow, HANDLE};
use crate::program::limits::MAX_RECORDS;
use core::cell::Cell;

/// One of them. There is no gap in it: each run begins with zeros here, which are written in few steps then.
#[derive(Clone, Copy)]
struct RunRecord {
    base: u64,
    len: u32,
    /// The lower half of what a register holds for its ring.
    ring: u32,
}

impl RunRecord {
    const NONE: RunRecord = RunRecord { base: 0, len: 0, ring: 0 };
}

/// The records that a run holds. What is left when the run is over is discarded, so that no ring waits for ever.
pub struct Records<'a> {
    maps: Option<&'a Maps>,
    /// From the front.
    held: [Cell<RunRecord>; MAX_RECORDS],
    count: Cell<usize>,
    /// Nobody keeps a list of them.
    unlisted: bool,
    stay: Stay,
    /// Values of a map within a map, where an address was found in them before. They are kept as long as the run stays.
    near: Cell<Option<ValueWindow>>,
}

impl<'a> Records<'a> {
    /// None, in the rings of these maps.
    #[inline]
    pub fn new(maps: Option<&'a Maps>) -> Records<'a> {
        Records {
            maps,
            held: [const { Cell::new(RunRecord::NONE) }; MAX_RECORDS],
            count: Cell::new(0),
            unlisted: false,
            stay: Stay::default(),
            near: Cell::new(None),
        }
    }

    /// They are in the rings of these maps from now on; none is held yet.
    #[inline]
    pub fn are_in(&mut self, maps: &'a Maps) {
        debug_assert!(self.is_empty());
        self.maps = Some(maps);
    }

    /// Nobody keeps a list of those that the run holds: all that lies in a ring of its maps is taken for one. For a run of which it is proved
    /// that it touches nothing else there.
    pub fn are_unlisted(&mut self) {
        self.unlisted = true;
    }

    /// The maps.
    #[inline]
    pub fn maps(&self) -> Option<&'a Maps> {
        self.maps
    }

    /// The map that a register's value stands for, for as long as the run goes on.
    #[inline]
    pub fn map(&self, handle: u64) -> Option<&Map> {
        self.maps?.by_handle(handle, &self.stay)
    }

    /// The run's stay among those that use what maps hold.
    pub fn stay(&self) -> &Stay {
        &self.stay
    }

    /// The values of a map within one of the maps in which an address lies, or begins to: most often those that were found before.
    pub fn inner_window(&self, address: u64) -> Option<ValueWindow> {
        let near = self.near.get().filter(|near| address.wrapping_sub(near.base) < near.len);
        if near.is_some() {
            return near;
        }
        let found = self.maps?.inner_window(address, &self.stay)?;
        self.near.set(Some(found));
        Some(found)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Whether there may be one in which bytes lie.
    #[inline]
    pub fn may_be(&self) -> bool {
        self.unlisted || !self.is_empty()
    }

    /// Address and length of each of which a record may be a part.
    pub fn places(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let rings = self.maps.filter(|_| self.unlisted).map_or(&[][..], Maps::rings);
        self.iter().chain(rings.iter().copied())
    }

    /// Address and length of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let held = self.held.iter().take(self.count.get()).map(Cell::get);
        held.map(|held| (held.base, held.len.into()))
    }

    /// Reserves a record of so many bytes in the ring that a register's value stands for; its address. `None` where that is no ring, where it
    /// has no room, and where the run holds [`MAX_RECORDS`]. *Hook path.*
    pub fn reserve(&self, handle: u64, len: u64) -> Option<u64> {
        let len = u32::try_from(len).ok()?;
        let free = self.held.get(self.count.get())?;
        let base = self.map(handle)?.reserve(len.into()).ok()?;
        free.set(RunRecord { base, len, ring: handle as u32 });
        self.count.set(self.count.get().wrapping_add(1));
        Some(base)
    }

    /// The record that begins at this address is not the run's any more: it can be read, or is passed over. False where it holds none there.
    /// *Hook path.*
    pub fn release(&self, address: u64, keep: bool) -> bool {
        let Some(index) = self.iter().position(|(base, _)| base == address) else {
            return false;
        };
        let last = self.count.get().wrapping_sub(1);
        let (Some(one), Some(last_one)) = (self.held.get(index), self.held.get(last)) else {
            return false;
        };
        let RunRecord { base, len, ring } = one.replace(last_one.get());
        self.count.set(last);
        if let Some(ring) = self.map(HANDLE | u64::from(ring)) {
            ring.release(base, len.into(), keep);
        }
        true
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        while let Some((base, _)) = self.iter().next() {
            self.release(base, false);
        }
    }
}
