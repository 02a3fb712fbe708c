//! The memory of a run, with watched bytes on both sides of the argument.

use alloc::{vec, vec::Vec};
use ubpf_rs::vm::STACK_BYTES;

/// Bytes before and after the argument that nothing may change.
const MARGIN: usize = 64;
const MARK: u8 = 0xa5;

/// Bytes that begin at a multiple of 8.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize, fill: u8) -> Aligned {
        let bytes = vec![fill; len + 7];
        let start = bytes.as_ptr().align_offset(8);
        Aligned { bytes, start, len }
    }

    fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Argument and stack of one run; both begin at multiples of 8.
pub struct Buffers {
    argument: Aligned,
    stack: Aligned,
}

impl Buffers {
    /// The argument with these contents.
    pub fn new(argument: &[u8]) -> Buffers {
        let mut area = Aligned::new(argument.len() + 2 * MARGIN, MARK);
        area.get()[MARGIN..MARGIN + argument.len()].copy_from_slice(argument);
        Buffers { argument: area, stack: Aligned::new(STACK_BYTES, 0) }
    }

    /// Argument and stack.
    pub fn parts(&mut self) -> (&mut [u8], &mut [u8]) {
        let area = self.argument.get();
        let end = area.len() - MARGIN;
        (&mut area[MARGIN..end], self.stack.get())
    }

    /// Whether nothing was written before or after the argument.
    pub fn margins_are_untouched(&mut self) -> bool {
        let area = self.argument.get();
        let end = area.len() - MARGIN;
        area[..MARGIN].iter().chain(&area[end..]).all(|&b| b == MARK)
    }
}
