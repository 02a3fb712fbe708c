//! What a stack trace takes: the walk through frames that are in the cache, as an image reads them and as a Linux process does, and its number
//! in a map that has it already.

use crate::{figure, stopwatch, Result};
use std::hint::black_box;
use ubpf_platform_linux::platform;
use ubpf_rs::{
    maps::{Collision, Map},
    platform::Walk,
    program::{limits::MOST_FRAMES, MapDef, MapFlags, MapKind, MapName},
};

/// Words from one frame to the next.
pub const APART: usize = 12;
/// Traces between two readings of the clock.
const BATCH: u64 = 2_000;
const LENGTHS: [usize; 2] = [16, MOST_FRAMES];

/// Two words, as an image loads them: in a function of its own, which a fault would leave.
#[inline(never)]
fn pair(at: u64) -> Option<[u64; 2]> {
    let at = at as *const u64;
    // SAFETY: `at` is a frame of `stack`, which has a word behind it.
    Some(unsafe { [at.read_volatile(), at.add(1).read_volatile()] })
}

/// Frames one above the other, so many words apart.
pub fn stack(apart: usize) -> Vec<u64> {
    let mut stack = vec![0u64; apart * (MOST_FRAMES + 1)];
    let base = stack.as_ptr() as u64;
    for (frame, words) in (1..).zip(stack.chunks_exact_mut(apart)) {
        (words[0], words[1]) = (base + frame * 8 * apart as u64, 0x40_1000 + frame);
    }
    stack
}

/// The walk that begins at the lowest of them.
pub fn walk(stack: &[u64]) -> Walk {
    Walk { frame_pointer: stack.as_ptr() as u64, pad: 0, home: |_| None }
}

/// The least of so many passes of each, in turns.
pub fn run(passes: usize) -> Result<()> {
    let name = MapName::new("stacks").ok_or("a name")?;
    let (value_size, max_entries, flags) = (8 * MOST_FRAMES as u32, 1024, MapFlags::empty());
    let def = MapDef { kind: MapKind::StackTrace, key_size: 4, value_size, max_entries, flags, inner: None, name };
    let (map, stack, linux) = (Map::new(def)?, stack(APART), platform(".".into()));
    let walk = walk(&stack);
    let as_an_image = |out: &mut [u64]| walk.go(out, pair);
    let as_a_process = |out: &mut [u64]| linux.probe_read.walk(&walk, out);
    let number = |trace: &[u64]| map.stack_number(trace, Collision::default()).unwrap_or(0);
    let mut out = [0; MOST_FRAMES];
    for length in LENGTHS {
        let (mut image, mut process, mut id, mut both) = (vec![], vec![], vec![], vec![]);
        let out = &mut out[..length];
        for _ in 0..passes {
            let each = |batch: &mut dyn FnMut()| stopwatch::per_call(BATCH, |calls| (0..calls).for_each(|_| batch()));
            image.push(each(&mut || _ = black_box(as_an_image(black_box(out)))));
            id.push(each(&mut || _ = black_box(number(black_box(out)))));
            both.push(each(&mut || {
                let found = as_an_image(black_box(out));
                black_box(number(&out[..found]));
            }));
            process.push(each(&mut || _ = black_box(as_a_process(black_box(out)))));
        }
        for (what, values) in [("walk", image), ("number", id), ("id", both), ("linux", process)] {
            figure(&format!("stack.{what}.{length}"), stopwatch::least(&values));
        }
    }
    Ok(())
}
