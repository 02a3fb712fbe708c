//! The memory a program may touch, as a few typed regions. The only `unsafe` of the interpreter is here.
//!
//! A program's addresses are real ones. An access is in bounds when it lies wholly in one region; the end of the
//! access is compared without computing `addr + size`, so nothing wraps around.

use super::tail::Chain;
use crate::{
    isa::Size,
    maps::{Bytes, BytesMut, Maps, Records, ValueWindow},
    program::limits::LANES,
};
use core::{
    marker::PhantomData,
    sync::atomic::{
        AtomicU16, AtomicU32, AtomicU64, AtomicU8,
        Ordering::{Acquire, Release},
    },
};

/// What an access needs of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessMode {
    /// Reading.
    Read,
    /// Writing (and reading).
    Write,
}

/// One stretch of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Region {
    /// First address; 0 for an empty region.
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// Whether the program may write it.
    pub writable: bool,
}

impl Region {
    /// Whether `size` bytes at `addr` lie wholly in the region.
    #[inline]
    pub fn contains(&self, addr: u64, size: u64) -> bool {
        let distance = addr.wrapping_sub(self.base);
        size <= self.len && distance <= self.len - size
    }
}

impl ValueWindow {
    /// Whether a program may access `size` bytes at `addr` there.
    fn contains(&self, access: AccessMode, addr: u64, size: u64) -> bool {
        let ValueWindow { base, len, writable } = *self;
        Region { base, len, writable }.contains(addr, size) && (writable || access == AccessMode::Read)
    }
}

/// Where a run's memory lies, for those who look for why it was stopped: the reference's second line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Regions {
    /// Address and bytes of the argument.
    pub argument: (u64, u64),
    /// Address and bytes of the outermost function's frame.
    pub frame: (u64, u64),
}

/// The regions of one run.
pub struct Memory<'a> {
    argument: Region,
    /// The whole stack; the frames in use are its upper end.
    stack: Region,
    /// Where the run is in a chain of tail calls. Before the records: what it has is kept for the run as long as these stay.
    chain: Chain,
    /// Memory that the runtime gave to programs: map values, shared data.
    arena: Region,
    /// Constant data.
    rodata: Region,
    /// Maps whose values the program may reach, and the records that it holds.
    records: Records<'a>,
    /// Below [`LANES`].
    lane: u32,
    /// Frames in use, 1 to [`MAX_FRAMES`](super::MAX_FRAMES).
    frames: u64,
    _borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> Memory<'a> {
    /// Regions of exclusively borrowed memory: the argument (may be empty) and the stack
    /// ([`STACK_BYTES`](super::STACK_BYTES) bytes, 8-aligned). An empty argument has address 0.
    pub fn new(argument: &'a mut [u8], stack: &'a mut [u8]) -> Memory<'a> {
        let region = |bytes: &mut [u8]| Region {
            base: if bytes.is_empty() { 0 } else { bytes.as_mut_ptr() as u64 },
            len: bytes.len() as u64,
            writable: true,
        };
        Memory {
            argument: region(argument),
            stack: region(stack),
            chain: Chain::NEW,
            arena: Region::default(),
            rodata: Region::default(),
            records: Records::new(None),
            lane: 0,
            frames: 1,
            _borrow: PhantomData,
        }
    }

    /// Adds the arena.
    ///
    /// # Safety
    /// `base..base + len` stays valid for reads and writes as long as the `Memory` lives, and no Rust reference to
    /// it exists; others may access it atomically.
    pub unsafe fn with_arena(mut self, base: u64, len: u64) -> Self {
        self.arena = Region { base, len, writable: true };
        self
    }

    /// Adds constant data.
    ///
    /// # Safety
    /// `base..base + len` stays valid for reads as long as the `Memory` lives, and nobody writes it.
    pub unsafe fn with_rodata(mut self, base: u64, len: u64) -> Self {
        self.rodata = Region { base, len, writable: false };
        self
    }

    /// Adds maps: those that the program was verified for.
    pub fn with_maps(mut self, maps: &'a Maps) -> Self {
        self.records.are_in(maps);
        self
    }

    /// Says that machine code reserves records without a list of them.
    pub fn with_unlisted_records(mut self) -> Self {
        self.records.are_unlisted();
        self
    }

    /// Says which slots of values per CPU are the run's; the first, where nobody does. Of runs at one time each is to have a
    /// [`Lane`](crate::maps::Lane).
    pub fn in_lane(mut self, lane: u32) -> Self {
        self.lane = lane.min(LANES as u32 - 1);
        self
    }

    /// What interprets gets so much less of what is left of the budget, which is meant for machine code: where a run that begins with machine
    /// code goes on in a program without.
    pub fn divide_for_callees(&mut self) {
        self.chain.divide();
    }

    /// The run is interpreted, and its budget is divided by [`INTERPRETED`](super::INTERPRETED): so is what helpers are charged for, since those
    /// take no longer than elsewhere.
    pub fn divide_for_helpers(&mut self) {
        self.chain.divide_for_helpers();
    }

    /// The name of the program that the run was stopped in, where it did not begin with that.
    pub fn stopped_in(&self) -> Option<&str> {
        self.chain.stopped_in()
    }

    pub(super) fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }

    pub(super) fn into_chain(self) -> Chain {
        self.chain
    }

    /// The same for another program, which has other maps.
    pub(super) fn lent<'s>(&'s mut self, maps: Option<&'s Maps>) -> Memory<'s> {
        Memory {
            argument: self.argument,
            stack: self.stack,
            chain: self.chain.of_callee(),
            arena: self.arena,
            rodata: self.rodata,
            records: Records::new(maps),
            lane: self.lane,
            frames: 1,
            _borrow: PhantomData,
        }
    }

    /// Frames in use.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The lane of the run.
    pub fn lane(&self) -> u32 {
        self.lane
    }

    /// The maps of the program.
    pub fn maps(&self) -> Option<&'a Maps> {
        self.records.maps()
    }

    /// The records that the run holds. They end with this `Memory`.
    pub fn records(&self) -> &Records<'a> {
        &self.records
    }

    /// The argument.
    pub fn argument(&self) -> Region {
        self.argument
    }
    /// The whole stack.
    pub fn stack(&self) -> Region {
        self.stack
    }
    /// Where the argument and the outermost function's frame lie.
    pub fn regions(&self) -> Regions {
        let Region { base, len, .. } = self.argument;
        let frame = (super::FRAME_BYTES as u64).min(self.stack.len);
        let begin = self.stack.base.wrapping_add(self.stack.len).wrapping_sub(frame);
        Regions { argument: (base, len), frame: (begin, frame) }
    }
    /// Memory given by the runtime.
    pub fn arena(&self) -> Region {
        self.arena
    }
    /// Constant data.
    pub fn rodata(&self) -> Region {
        self.rodata
    }

    /// r10 of the outermost function: the end of the stack.
    pub fn stack_top(&self) -> u64 {
        self.stack.base.wrapping_add(self.stack.len)
    }

    /// Sets how many frames are in use; memory below the innermost is out of bounds.
    #[inline]
    pub fn set_frames(&mut self, frames: usize) {
        self.frames = frames as u64;
    }

    /// Whether `size` bytes at `addr` may be accessed.
    #[inline]
    pub fn allows(&self, access: AccessMode, addr: u64, size: u64) -> bool {
        let used = (super::FRAME_BYTES as u64 * self.frames).min(self.stack.len);
        let below_top = self.stack_top().wrapping_sub(addr);
        // `below_top` in size..=used: wholly within the frames in use.
        below_top <= used && below_top >= size.max(1)
            || self.argument.contains(addr, size) && size != 0
            || self.arena.contains(addr, size) && size != 0
            || access == AccessMode::Read && self.rodata.contains(addr, size) && size != 0
            || self.maps().is_some_and(|maps| size != 0 && self.in_values(maps, access, addr, size))
            || self.records.may_be() && size != 0 && in_records(&self.records, addr, size)
    }

    /// Bytes that a helper is to read; `None` where the program may not.
    pub fn bytes(&self, addr: u64, size: u64) -> Option<Bytes<'_>> {
        if !self.allows(AccessMode::Read, addr, size) {
            return None;
        }
        // SAFETY: `allows` says that they lie wholly in a region, valid for reads (see the constructors), or in the values of a map, which
        // live as long as it. Nobody has a reference by which they are written: regions are lent to this `Memory`, and maps give none.
        Some(unsafe { Bytes::at(addr, size as usize) })
    }

    /// Bytes that a helper is to read of which nobody says how many they are: from an address on, up to the end of the region in which it lies, or
    /// so many. `None` where the program may read none there.
    pub fn bytes_from(&self, addr: u64, most: u64) -> Option<Bytes<'_>> {
        let (base, len) = self.around(addr)?;
        self.bytes(addr, len.saturating_sub(addr.wrapping_sub(base)).min(most))
    }

    /// Where the region lies in which a byte is, or the values of a map, or a record: address and bytes.
    fn around(&self, addr: u64) -> Option<(u64, u64)> {
        #[cfg(any(test, feature = "fuzz"))]
        super::executed::search();
        let used = (super::FRAME_BYTES as u64 * self.frames).min(self.stack.len);
        let regions = [self.argument, self.arena, self.rodata].map(|region| (region.base, region.len));
        let frames = (self.stack_top().wrapping_sub(used), used);
        let values = self.maps().into_iter().flat_map(Maps::windows).map(|window| (window.base, window.len));
        let is_in = |&(base, len): &(u64, u64)| addr.wrapping_sub(base) < len;
        let own = [frames].into_iter().chain(regions).chain(values).find(is_in);
        let inner = || self.inner_window(addr).map(|window| (window.base, window.len)).filter(is_in);
        own.or_else(inner).or_else(|| self.records.places().find(is_in))
    }

    /// Reads a little-endian number of 1, 2, 4 or 8 bytes.
    #[inline]
    pub fn load(&self, addr: u64, size: Size) -> Option<u64> {
        if !self.allows(AccessMode::Read, addr, size.bytes() as u64) {
            return None;
        }
        // SAFETY: `allows` says that the bytes lie wholly in a region, and each region is valid for reads (see the
        // constructors). Unaligned reads are used because programs need not align.
        unsafe {
            Some(match size {
                Size::B => u64::from((addr as *const u8).read()),
                Size::H => u64::from((addr as *const u16).read_unaligned()),
                Size::W => u64::from((addr as *const u32).read_unaligned()),
                Size::DW => (addr as *const u64).read_unaligned(),
            })
        }
    }

    /// Writes the low 1, 2, 4 or 8 bytes of `value`.
    #[inline]
    pub fn store(&mut self, addr: u64, size: Size, value: u64) -> Option<()> {
        if !self.allows(AccessMode::Write, addr, size.bytes() as u64) {
            return None;
        }
        // SAFETY: `allows` says that the bytes lie wholly in a writable region, valid for writes (see the constructors).
        unsafe {
            match size {
                Size::B => (addr as *mut u8).write(value as u8),
                Size::H => (addr as *mut u16).write_unaligned(value as u16),
                Size::W => (addr as *mut u32).write_unaligned(value as u32),
                Size::DW => (addr as *mut u64).write_unaligned(value),
            }
        }
        Some(())
    }

    /// Reads 1, 2, 4 or 8 bytes with acquire ordering, when in bounds and aligned.
    #[inline]
    pub fn load_acquire(&self, addr: u64, size: Size) -> Option<u64> {
        let bytes = size.bytes() as u64;
        if !self.allows(AccessMode::Read, addr, bytes) || !addr.is_multiple_of(bytes) {
            return None;
        }
        // SAFETY: in bounds of a region that is valid for reads, aligned, and others access it atomically only.
        unsafe {
            Some(match size {
                Size::B => u64::from(AtomicU8::from_ptr(addr as *mut u8).load(Acquire)),
                Size::H => u64::from(AtomicU16::from_ptr(addr as *mut u16).load(Acquire)),
                Size::W => u64::from(AtomicU32::from_ptr(addr as *mut u32).load(Acquire)),
                Size::DW => AtomicU64::from_ptr(addr as *mut u64).load(Acquire),
            })
        }
    }

    /// Writes the low 1, 2, 4 or 8 bytes of `value` with release ordering, when in bounds and aligned.
    #[inline]
    pub fn store_release(&mut self, addr: u64, size: Size, value: u64) -> Option<()> {
        let bytes = size.bytes() as u64;
        if !self.allows(AccessMode::Write, addr, bytes) || !addr.is_multiple_of(bytes) {
            return None;
        }
        // SAFETY: in bounds of a writable region, aligned, and others access it atomically only.
        unsafe {
            match size {
                Size::B => AtomicU8::from_ptr(addr as *mut u8).store(value as u8, Release),
                Size::H => AtomicU16::from_ptr(addr as *mut u16).store(value as u16, Release),
                Size::W => AtomicU32::from_ptr(addr as *mut u32).store(value as u32, Release),
                Size::DW => AtomicU64::from_ptr(addr as *mut u64).store(value, Release),
            }
        }
        Some(())
    }

    /// The 32-bit atomic at `addr`, when in bounds and aligned.
    #[inline]
    pub fn atomic32(&self, addr: u64) -> Option<&AtomicU32> {
        if !self.allows(AccessMode::Write, addr, 4) || !addr.is_multiple_of(4) {
            return None;
        }
        // SAFETY: in bounds of a writable region, aligned, and others access it atomically only.
        Some(unsafe { AtomicU32::from_ptr(addr as *mut u32) })
    }

    /// The 64-bit atomic at `addr`, when in bounds and aligned.
    #[inline]
    pub fn atomic64(&self, addr: u64) -> Option<&AtomicU64> {
        if !self.allows(AccessMode::Write, addr, 8) || !addr.is_multiple_of(8) {
            return None;
        }
        // SAFETY: in bounds of a writable region, aligned, and others access it atomically only.
        Some(unsafe { AtomicU64::from_ptr(addr as *mut u64) })
    }
}

impl Memory<'_> {
    /// Whether bytes lie in the values of one of the maps, or of one within them.
    #[cold]
    fn in_values(&self, maps: &Maps, access: AccessMode, addr: u64, size: u64) -> bool {
        #[cfg(any(test, feature = "fuzz"))]
        super::executed::search();
        maps.windows().iter().any(|window| window.contains(access, addr, size))
            || self.is_within_a_map(access, addr, size)
    }

    /// Whether bytes lie in a value of a map that a map of the program holds.
    pub fn is_within_a_map(&self, access: AccessMode, addr: u64, size: u64) -> bool {
        self.inner_window(addr).is_some_and(|window| window.contains(access, addr, size))
    }

    fn inner_window(&self, addr: u64) -> Option<ValueWindow> {
        self.maps().filter(|maps| maps.hold_maps())?;
        self.records.inner_window(addr)
    }

    /// Bytes that a helper is to write; `None` where the program may not.
    pub fn bytes_mut(&self, addr: u64, size: u64) -> Option<BytesMut<'_>> {
        if !self.allows(AccessMode::Write, addr, size) {
            return None;
        }
        // SAFETY: as for `bytes`, in regions and values that may be written.
        Some(unsafe { BytesMut::at(addr, size as usize) })
    }
}

/// Whether bytes lie in one of the records that the run holds.
#[cold]
#[inline(never)]
fn in_records(records: &Records<'_>, addr: u64, size: u64) -> bool {
    records.places().any(|(base, len)| Region { base, len, writable: true }.contains(addr, size))
}
