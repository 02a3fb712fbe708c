//! Sites: the places in the text where a probe can sit, and the table in which a hook finds the one it came from.

use super::{
    arch::current::patch::STUB_LEN,
    frames::{ENTRIES, RETURNS, TIMED},
    point::Point,
    probe::ProbeList,
};
use crate::program::words;
use alloc::{boxed::Box, vec::Vec};
use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

words! {
    /// How the compiler made the sites of a list of records.
    SiteKind;
    /// `__patchable_function_entries`, from `-fpatchable-function-entry=5`.
    Patchable: "patchable";
    /// `__mcount_loc`, from `-pg -mrecord-mcount -mnop-mcount`, with or without `-mfentry`.
    Mcount: "mcount";
    /// Functions compiled with `-finstrument-functions`: they call the tracer, nothing is patched. The record is the
    /// function's address.
    Instrumented: "instrumented";
    /// None in the text: the site of a [timer](super::TimerPeriod), which its address says.
    Timer: "timer";
}

impl SiteKind {
    /// Whether its stub is replaced by a call while something is attached; else the function calls the tracer by itself.
    pub const fn is_patched(self) -> bool {
        match self {
            SiteKind::Patchable | SiteKind::Mcount => true,
            SiteKind::Instrumented | SiteKind::Timer => false,
        }
    }
}

/// An instrumented place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Site {
    /// Where the stub is; of an instrumented function, where it starts; of a timer, how often.
    pub addr: u64,
    /// Where it comes from.
    pub kind: SiteKind,
}

impl Site {
    /// What hooks and programs know the site by: the return address of its stub, or the function's own address.
    pub fn key(&self) -> u64 {
        match self.kind {
            SiteKind::Instrumented | SiteKind::Timer => self.addr,
            SiteKind::Patchable | SiteKind::Mcount => self.addr.wrapping_add(STUB_LEN as u64),
        }
    }
}

/// What a hook needs of a site that has, or once had, a probe. Made at the first attach and never freed.
#[repr(C)]
#[derive(Debug)]
pub(super) struct SiteState {
    /// Hooks that did not run: no area free, or inside another hook. Written by the entry of hooks.
    pub misses: AtomicU64,
    pub key: u64,
    /// The attached probes in attach order, or null.
    pub probes: AtomicPtr<ProbeList>,
    /// One more than the number of the gate that it has, or had last; 0 for none.
    pub gate: AtomicU64,
    /// Which programs there are: [`RETURNS`], [`ENTRIES`], [`TIMED`]. Read by the entry of hooks.
    pub flags: AtomicU64,
    /// The gate that the pad calls; 0 while programs at returns go the general way.
    pub return_gate: AtomicU64,
    /// One more than the number of the gate that its returns have; 0 for none.
    pub return_place: AtomicU64,
    /// The thunk that leads to its gate, and one more than the number of that; 0 for none.
    pub thunk: [AtomicU64; 2],
    /// Where the function begins; 0 where that is unknown.
    pub start: AtomicU64,
    /// Returns whose programs did not run: no area free. Written by the pad.
    pub return_misses: AtomicU64,
}

impl SiteState {
    /// One without programs.
    pub const fn new(key: u64) -> SiteState {
        SiteState {
            misses: AtomicU64::new(0),
            key,
            probes: AtomicPtr::new(ptr::null_mut()),
            gate: AtomicU64::new(0),
            flags: AtomicU64::new(0),
            return_gate: AtomicU64::new(0),
            return_place: AtomicU64::new(0),
            thunk: [const { AtomicU64::new(0) }; 2],
            start: AtomicU64::new(0),
            return_misses: AtomicU64::new(0),
        }
    }

    /// Shows hooks which programs there are; null for none.
    pub fn show(&self, list: *mut ProbeList) {
        // SAFETY: null, or a list that whoever shows it owns.
        let probes = unsafe { list.as_ref() }.map_or(&[][..], |list| &list.probes);
        let flags = probes.iter().map(|probe| match probe.point {
            Point::Timer(_) => 0,
            Point::Entry(_) => ENTRIES,
            Point::Return(_) if probe.body.wants_entry_time() => RETURNS | TIMED,
            Point::Return(_) => RETURNS,
        });
        let flags = flags.fold(0, |all, one| all | one);
        self.probes.store(list, Ordering::SeqCst);
        self.flags.store(flags, Ordering::SeqCst);
    }
}

/// 2^64 / golden ratio: spreads keys that differ in few bits.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Open-addressed hash table from key to site state, read by the entry of hooks. A full table is replaced, and the
/// old one stays: an entry may be reading it without an area. Sizes double, so all old ones together are smaller than the last.
#[repr(C)]
pub(super) struct SiteTable {
    pub shift: u64,
    pub mask: u64,
    pub entries: *const TableEntry,
    len: AtomicU64,
}

// SAFETY: entries change only through atomics; the pointer is to an allocation that is never freed.
unsafe impl Sync for SiteTable {}

#[repr(C)]
pub(super) struct TableEntry {
    /// 0 while free; stored after `site`.
    key: AtomicU64,
    site: AtomicPtr<SiteState>,
}

#[allow(clippy::declare_interior_mutable_const)] // a pattern for array initialisers, never used as a value
const FREE_ENTRY: TableEntry = TableEntry { key: AtomicU64::new(0), site: AtomicPtr::new(ptr::null_mut()) };
static NO_ENTRIES: [TableEntry; 2] = [FREE_ENTRY; 2];

/// The table before the first attach.
pub(super) static EMPTY_TABLE: SiteTable =
    SiteTable { shift: 63, mask: 1, entries: &raw const NO_ENTRIES as *const TableEntry, len: AtomicU64::new(1) };

impl SiteTable {
    /// A table of `1 << bits` free entries that lives for ever; `None` without memory.
    fn leak(bits: u32) -> Option<&'static SiteTable> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(1 << bits).ok()?;
        entries.extend((0..1usize << bits).map(|_| FREE_ENTRY));
        let entries = Box::leak(entries.into_boxed_slice()).as_ptr();
        let table = SiteTable { shift: 64 - u64::from(bits), mask: (1 << bits) - 1, entries, len: AtomicU64::new(0) };
        Some(Box::leak(Box::new(table)))
    }

    fn slots(&self) -> &[TableEntry] {
        // SAFETY: `entries` points to mask + 1 entries that live as long as the table.
        unsafe { core::slice::from_raw_parts(self.entries, self.mask as usize + 1) }
    }

    /// The entry of `key`, or the free one where it belongs. There is always a free one.
    fn slot(&self, key: u64) -> &TableEntry {
        let slots = self.slots();
        let mut at = (key.wrapping_mul(GOLDEN) >> self.shift) as usize;
        loop {
            let slot = &slots[at & (slots.len() - 1)];
            let found = slot.key.load(Ordering::Acquire);
            if found == key || found == 0 {
                return slot;
            }
            at += 1;
        }
    }

    fn put(&self, site: &'static SiteState) {
        let slot = self.slot(site.key);
        slot.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        slot.key.store(site.key, Ordering::Release);
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    /// The state of the site with this key, if it ever had a probe.
    pub(super) fn get(&self, key: u64) -> Option<&'static SiteState> {
        let site = self.slot(key).site.load(Ordering::Acquire);
        // SAFETY: entries hold null or a leaked state.
        unsafe { site.as_ref() }
    }
}

/// The state of `key`, made and entered into the published table when it is new; `None` without memory. For one caller at a time.
pub(super) fn state(published: &AtomicPtr<SiteTable>, key: u64) -> Option<&'static SiteState> {
    // SAFETY: tables are static or leaked.
    let table = unsafe { &*published.load(Ordering::Acquire) };
    if let Some(state) = table.get(key) {
        return Some(state);
    }
    let table = with_room(published, table)?;
    let state: &'static SiteState = Box::leak(Box::new(SiteState::new(key)));
    table.put(state);
    Some(state)
}

/// `table`, or when it is half full one of twice the size with the same entries, published in its place.
fn with_room(published: &AtomicPtr<SiteTable>, table: &'static SiteTable) -> Option<&'static SiteTable> {
    const FIRST_BITS: u32 = 5;
    if table.len.load(Ordering::Relaxed) * 2 <= table.mask {
        return Some(table);
    }
    let larger = SiteTable::leak((65 - table.shift as u32).max(FIRST_BITS))?;
    for slot in table.slots() {
        // SAFETY: entries hold null or a leaked state.
        if let Some(site) = unsafe { slot.site.load(Ordering::Relaxed).as_ref() } {
            larger.put(site);
        }
    }
    published.store(ptr::from_ref(larger).cast_mut(), Ordering::Release);
    Some(larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_grows_and_keeps_every_state() {
        let published = AtomicPtr::new((&raw const EMPTY_TABLE).cast_mut());
        let states: Vec<_> = (1..=1000u64).map(|i| state(&published, i * 16 + 5).unwrap()).collect();
        for (i, s) in (1..).zip(&states) {
            assert_eq!(s.key, i * 16 + 5);
            assert!(ptr::eq(*s, state(&published, s.key).unwrap()));
        }
        // SAFETY: tables are static or leaked.
        let table = unsafe { &*published.load(Ordering::Relaxed) };
        assert!(table.get(7).is_none() && table.get(u64::MAX).is_none());
        assert!(EMPTY_TABLE.get(21).is_none());
    }
}
