//! The way from frame to frame of a stack, by frame pointers. What is taken for a frame is said here, for every platform.

/// Most bytes between two frames of one stack.
const APART: u64 = 1 << 20;
/// Bytes of a frame that are looked at: where the next frame is, and above it the address to which the call returns.
const FRAME_WORDS_BYTES: u64 = 16;

/// A walk through the frames of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// What the register of frame pointers holds; it may be anything.
    pub frame_pointer: u64,
    /// An address that stands for others.
    pub pad: u64,
    /// The address that it stands for, by the place where it stands; `None` where nobody knows.
    pub home: fn(u64) -> Option<u64>,
}

impl Walk {
    /// Writes the addresses to which the calls return, the innermost first; how many. `read` gives the two words at an aligned address, and
    /// nothing where it cannot. The walk ends there, at a frame that does not move on, and at an address of 0. The caller of each frame has its
    /// own further up; once that may be elsewhere: where an interrupt or a system call has changed the stack. *Hook path.*
    #[inline]
    pub fn go(&self, out: &mut [u64], mut read: impl FnMut(u64) -> Option<[u64; 2]>) -> usize {
        let (mut frame, mut elsewhere, mut count) = (self.frame_pointer, false, 0);
        for place in out {
            if frame == 0 || !frame.is_multiple_of(8) {
                break;
            }
            let Some([next, mut address]) = read(frame) else { break };
            if address == self.pad {
                address = (self.home)(frame.wrapping_add(8)).unwrap_or(0);
            }
            if address == 0 {
                break;
            }
            *place = address;
            count += 1;
            let apart = next.wrapping_sub(frame);
            if !(FRAME_WORDS_BYTES..=APART).contains(&apart) && core::mem::replace(&mut elsewhere, true) {
                break;
            }
            frame = next;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashMap, vec::Vec};

    /// What a walk gives through frames at addresses, of which each has the next one and its address.
    fn walk(first: u64, frames: &[(u64, u64, u64)]) -> Vec<u64> {
        let frames: HashMap<u64, [u64; 2]> = frames.iter().map(|&(at, next, address)| (at, [next, address])).collect();
        let mut out = [0; 127];
        let home = |slot: u64| (slot == 0x2008).then_some(0xabc);
        let count = Walk { frame_pointer: first, pad: 0x9ad, home }.go(&mut out, |at| {
            assert!(at != 0 && at.is_multiple_of(8), "{at:#x}");
            frames.get(&at).copied()
        });
        assert!(out[count..].iter().all(|&address| address == 0));
        out[..count].to_vec()
    }

    #[test]
    fn frames_are_followed_as_long_as_they_move_on() {
        assert_eq!(walk(0x1000, &[(0x1000, 0x1010, 1), (0x1010, 0x1800, 2), (0x1800, 0, 3)]), [1, 2, 3]);
        assert_eq!(walk(0x1000, &[(0x1000, 0x1800, 1), (0x1800, 0x2000, 0), (0x2000, 0, 3)]), [1]);
        // No frame pointers at all.
        for nothing in [0, 1, 0x1004, 0xdead_beef_dead_bee8, u64::MAX] {
            assert_eq!(walk(nothing, &[]), [0; 0]);
        }
        assert_eq!(walk(0x1000, &[(0x1000, 0x1804, 1)]), [1]);
    }

    #[test]
    fn a_stack_is_changed_once_at_most() {
        let up = [(0x9_0000_0000, 0x1000, 1), (0x1000, 0x2000, 2), (0x2000, 0x3000, 3)];
        assert_eq!(walk(0x9_0000_0000, &up), [1, 2, 3]);
        let twice = [(0x9_0000_0000, 0x1000, 1), (0x1000, 0x9_0000_0000, 2)];
        assert_eq!(walk(0x9_0000_0000, &twice), [1, 2]);
        // In circles, and on the spot.
        assert_eq!(walk(0x1000, &[(0x1000, 0x1000, 1)]), [1, 1]);
        assert_eq!(walk(0x1000, &[(0x1000, 0x1008, 1), (0x1008, 0x1010, 2), (0x1010, 0x2000, 3)]), [1, 2]);
    }

    #[test]
    fn there_is_an_end() {
        let mut out = [0; 5];
        let endless = Walk { frame_pointer: 64, pad: 0, home: |_| None };
        assert_eq!((endless.go(&mut out, |at| Some([at + 16, at])), out), (5, [64, 80, 96, 112, 128]));
        assert_eq!(endless.go(&mut [], |_| unreachable!()), 0);
    }

    #[test]
    fn what_stands_for_another_address_is_told_by_its_place() {
        assert_eq!(walk(0x1000, &[(0x1000, 0x2000, 1), (0x2000, 0x3000, 0x9ad), (0x3000, 0, 3)]), [1, 0xabc, 3]);
        assert_eq!(walk(0x1000, &[(0x1000, 0x2000, 0x9ad), (0x2000, 0, 2)]), [0; 0]);
    }
}
