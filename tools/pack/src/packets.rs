//! Programs that are given packets. The image gives them the packet itself and its length; what they expect is a context of Linux
//! (`struct xdp_md`, `struct __sk_buff`), whose fields a kernel translates. Here that is done when the program is packed: a function in front
//! puts start, end and length of the packet into its frame, and each load from the context becomes a load from there, or a number.
//!
//! So a packet is an argument like any other: the verifier knows its end, and what was compared with it.

use crate::slot::{distance, imm, is_jump, is_load, CALL, LOCAL, LONG_JUMP, WIDE_LOAD};
use std::collections::{BTreeMap, BTreeSet};
use ubpf_rs::{isa::assemble, object::ProgramKind};

const LOAD: u8 = 0x79;
const MOVE: u8 = 0xb7;
const EXIT: u8 = 0x95;
const R1_TO_R5: u16 = 0b11_1110;
const R0_TO_R5: u16 = 0b11_1111;

/// Places in the frame of the function in front, from the context's start on.
const START: i16 = 0;
const END: i16 = 8;
const LENGTH: i16 = 16;

/// The function in front: r1 is the packet, r2 its length.
const FRONT: &str = "r3 = r1
    r3 += r2
    *(u64 *)(r10 - 24) = r1
    *(u64 *)(r10 - 16) = r3
    *(u64 *)(r10 - 8) = r2
    r1 = r10
    r1 += -24
    call local main
    exit
main:
    exit";

/// Instructions of it.
pub const FRONT_SLOTS: usize = 9;

/// The function that stands in front of all others; the program's own entry follows it.
pub fn front() -> Result<Vec<[u8; 8]>, String> {
    let bytes = assemble(FRONT).map_err(|error| format!("{}", error.problem))?;
    let mut slots = bytes.as_chunks::<8>().0.to_vec();
    slots.truncate(FRONT_SLOTS);
    Ok(slots)
}

/// What a field of a context is: a place of the frame, or the number 0, which is what no image has.
fn field(kind: ProgramKind, offset: i16) -> Option<i16> {
    match (kind, offset) {
        (ProgramKind::Xdp, 0 | 8) => Some(START),
        (ProgramKind::Xdp, 4) => Some(END),
        (ProgramKind::Classifier | ProgramKind::Socket, 0) => Some(LENGTH),
        (ProgramKind::Classifier, 76 | 140) => Some(START),
        (ProgramKind::Classifier, 80) => Some(END),
        _ => None,
    }
}

/// What registers and words of the frame hold the context before an instruction: on every way there, and on some.
#[derive(Clone, PartialEq, Eq, Default)]
struct Holds {
    surely: u16,
    maybe: u16,
    words: BTreeSet<i16>,
    maybe_words: BTreeSet<i16>,
}

impl Holds {
    fn join(&mut self, other: &Holds) {
        self.surely &= other.surely;
        self.maybe |= other.maybe;
        self.words = self.words.intersection(&other.words).copied().collect();
        self.maybe_words.extend(&other.maybe_words);
    }

    fn set(&mut self, register: u8, surely: bool, maybe: bool) {
        let bit = 1 << register;
        self.surely = self.surely & !bit | if surely { bit } else { 0 };
        self.maybe = self.maybe & !bit | if maybe { bit } else { 0 };
    }

    fn surely(&self, register: u8) -> bool {
        self.surely & 1 << register != 0
    }

    fn maybe(&self, register: u8) -> bool {
        self.maybe & 1 << register != 0
    }
}

/// Rewrites the loads of a program; its functions begin at `starts`, in which the name of each stands for messages.
pub fn rewrite(text: &mut [[u8; 8]], starts: &BTreeMap<usize, String>, kind: ProgramKind) -> Result<(), String> {
    // What r1 to r5 hold where functions begin.
    let mut given: BTreeMap<usize, Holds> = BTreeMap::new();
    given.insert(0, Holds { surely: 0b10, maybe: 0b10, ..Holds::default() });
    let mut waiting = vec![0];
    let mut before: BTreeMap<usize, Holds> = BTreeMap::new();
    while let Some(start) = waiting.pop() {
        let end = starts.range(start + 1..).next().map_or(text.len(), |next| *next.0);
        let mut function = Function { text, start, end, before: BTreeMap::new(), calls: Vec::new() };
        let name = starts.get(&start).map_or("?", |name| name.as_str());
        function.follow(given[&start].clone()).map_err(|(pc, what)| format!("PC {} of {name}: {what}", pc - start))?;
        for (callee, holds) in std::mem::take(&mut function.calls) {
            let mut joined = given.get(&callee).cloned().unwrap_or_else(|| holds.clone());
            joined.join(&holds);
            if given.get(&callee) != Some(&joined) {
                given.insert(callee, joined);
                waiting.push(callee);
            }
        }
        before.extend(function.before);
    }
    for (pc, holds) in before {
        let slot = text[pc];
        let base = slot[1] >> 4;
        if !is_load(slot) || !holds.maybe(base) {
            continue;
        }
        let (start, name) = starts.range(..=pc).next_back().map_or((0, "?"), |(&start, name)| (start, name.as_str()));
        let place = format!("PC {} of {name}", pc - start);
        if !holds.surely(base) {
            return Err(format!("{place} loads from what may be its context, or something else"));
        }
        if slot[0] != 0x61 {
            return Err(format!("{place} loads a part of a field of its context; whole fields of 32 bits are known"));
        }
        let dst = slot[1] & 0xf;
        let offset = i16::from_le_bytes([slot[2], slot[3]]);
        text[pc] = match field(kind, offset) {
            Some(place) => {
                let [low, high] = place.to_le_bytes();
                [LOAD, base << 4 | dst, low, high, 0, 0, 0, 0]
            }
            None => [MOVE, dst, 0, 0, 0, 0, 0, 0],
        };
    }
    Ok(())
}

/// One function, while what holds the context is followed through it.
struct Function<'t> {
    text: &'t [[u8; 8]],
    start: usize,
    end: usize,
    before: BTreeMap<usize, Holds>,
    /// Functions that it calls, with what they are given.
    calls: Vec<(usize, Holds)>,
}

impl Function<'_> {
    fn follow(&mut self, given: Holds) -> Result<(), (usize, &'static str)> {
        let mut waiting = vec![(self.start, given)];
        while let Some((pc, holds)) = waiting.pop() {
            if !(self.start..self.end).contains(&pc) {
                continue;
            }
            let mut joined = self.before.get(&pc).cloned().unwrap_or_else(|| holds.clone());
            joined.join(&holds);
            if self.before.get(&pc) == Some(&joined) {
                continue;
            }
            self.before.insert(pc, joined.clone());
            let slot = self.text[pc];
            let after = self.after(pc, slot, joined)?;
            let next = if slot[0] == WIDE_LOAD { pc + 2 } else { pc + 1 };
            if is_jump(slot) {
                if let Ok(target) = usize::try_from(pc as i64 + 1 + distance(slot)) {
                    waiting.push((target, after.clone()));
                }
            }
            if slot[0] != EXIT && !matches!(slot[0], 0x05 | LONG_JUMP) {
                waiting.push((next, after));
            }
        }
        Ok(())
    }

    fn after(&mut self, pc: usize, slot: [u8; 8], mut holds: Holds) -> Result<Holds, (usize, &'static str)> {
        let (dst, src) = (slot[1] & 0xf, slot[1] >> 4);
        let offset = i16::from_le_bytes([slot[2], slot[3]]);
        match slot[0] & 7 {
            // Loads: a word of the frame may be the context.
            0 | 1 => {
                let word = slot[0] == LOAD && src == 10;
                holds.set(dst, word && holds.words.contains(&offset), word && holds.maybe_words.contains(&offset));
            }
            2 | 3 if dst == 10 => {
                let overlaps = |at: &i16| (i32::from(*at) - i32::from(offset)).abs() < 8;
                holds.words.retain(|at| !overlaps(at));
                holds.maybe_words.retain(|at| !overlaps(at));
                let context = slot[0] == 0x7b && holds.maybe(src);
                if context {
                    holds.maybe_words.insert(offset);
                }
                if context && holds.surely(src) {
                    holds.words.insert(offset);
                }
            }
            2 | 3 if holds.maybe(dst) => return Err((pc, "it writes to its context, which nobody reads")),
            3 if holds.maybe(src) => return Err((pc, "it stores its context where that is not followed")),
            4 | 7 => match slot[0] {
                0xbf => holds.set(dst, holds.surely(src), holds.maybe(src)),
                _ if holds.maybe(dst) && slot[0] & 0xf0 != 0xb0 => {
                    return Err((pc, "it computes with the address of its context"))
                }
                _ => holds.set(dst, false, false),
            },
            5 if slot[0] == CALL => {
                if src == LOCAL {
                    let target = usize::try_from(pc as i64 + 1 + imm(slot)).unwrap_or(0);
                    let (surely, maybe) = (holds.surely & R1_TO_R5, holds.maybe & R1_TO_R5);
                    self.calls.push((target, Holds { surely, maybe, ..Holds::default() }));
                }
                holds.surely &= !R0_TO_R5;
                holds.maybe &= !R0_TO_R5;
            }
            _ => {}
        }
        Ok(holds)
    }
}
