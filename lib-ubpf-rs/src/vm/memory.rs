//! The memory a program may touch, as a few typed regions. The only `unsafe` of the interpreter is here.
//!
//! A program's addresses are real ones. An access is in bounds when it lies wholly in one region; the end of the
//! access is compared without computing `addr + size`, so nothing wraps around.

use core::{fmt, marker::PhantomData};

/// What an access needs of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
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

/// The regions of one run.
pub struct Memory<'a> {
    argument: Region,
    /// The whole stack; the frames in use are its upper end.
    stack: Region,
    /// Memory that the runtime gave to programs: map values, shared data.
    arena: Region,
    /// Constant data.
    rodata: Region,
    _borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> Memory<'a> {
    /// Regions of exclusively borrowed memory: the argument (may be empty) and the stack
    /// ([`STACK_BYTES`](super::STACK_BYTES) bytes, 8-aligned). An empty argument has address 0.
    pub fn new(argument: &'a mut [u8], stack: &'a mut [u8]) -> Memory<'a> {
        let region = |bytes: &mut [u8]| Region {
            base: if bytes.is_empty() {
                0
            } else {
                bytes.as_mut_ptr() as u64
            },
            len: bytes.len() as u64,
            writable: true,
        };
        Memory {
            argument: region(argument),
            stack: region(stack),
            arena: Region::default(),
            rodata: Region::default(),
            _borrow: PhantomData,
        }
    }

    /// Adds the arena.
    ///
    /// # Safety
    /// `base..base + len` stays valid for reads and writes as long as the `Memory` lives, and no Rust reference to
    /// it exists; others may access it atomically.
    pub unsafe fn with_arena(mut self, base: u64, len: u64) -> Self {
        self.arena = Region {
            base,
            len,
            writable: true,
        };
        self
    }

    /// Adds constant data.
    ///
    /// # Safety
    /// `base..base + len` stays valid for reads as long as the `Memory` lives, and nobody writes it.
    pub unsafe fn with_rodata(mut self, base: u64, len: u64) -> Self {
        self.rodata = Region {
            base,
            len,
            writable: false,
        };
        self
    }

    /// The argument.
    pub fn argument(&self) -> Region {
        self.argument
    }
    /// The whole stack.
    pub fn stack(&self) -> Region {
        self.stack
    }
    /// Memory given by the runtime.
    pub fn arena(&self) -> Region {
        self.arena
    }
    /// Constant data.
    pub fn rodata(&self) -> Region {
        self.rodata
    }
}

/// The reference's second line: `mem 0x…/len stack 0x…/len`, where the stack is one frame of the outermost function.
impl fmt::Display for Memory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region { base, len, .. } = self.argument;
        let frame = (super::FRAME_BYTES as u64).min(self.stack.len);
        let stack = self
            .stack
            .base
            .wrapping_add(self.stack.len)
            .wrapping_sub(frame);
        write!(f, "mem {base:#x}/{len} stack {stack:#x}/{frame}")
    }
}
