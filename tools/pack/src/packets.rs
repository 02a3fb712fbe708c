//! Programs that are given packets. The image gives them the packet itself and its length; what they expect is a context of Linux
//! (`struct xdp_md`, `struct __sk_buff`), whose fields a kernel translates. Here that is done when the program is packed: a function in front
//! puts start, end and length of the packet into its frame, and each load from the context becomes a load from there, or a number.
//!
//! So a packet is an argument like any other: the verifier knows its end, and what was compared with it.

use crate::{
    error::{refused, Error},
    slot::{
        add, dst, imm, is_jump, is_load, load, moved, off, set, slot, src, store, target, Slot, CALL, END, EXIT, JUMP,
        LOAD, LOCAL, LONG_JUMP, MOVE, STORE, WIDE_LOAD,
    },
    work::{Put, Steps},
};
use alloc::{borrow::Cow, vec::Vec};
use ubpf_rs::object::ProgramKind;

const R1_TO_R5: u16 = 0b11_1110;
const R0_TO_R5: u16 = 0b11_1111;

/// Places in the frame of the function in front, from the context's start on.
const START: i16 = 0;
const END_OF_IT: i16 = 8;
const LENGTH: i16 = 16;
/// Where the context begins in the frame.
const CONTEXT: i16 = -24;

/// The function that stands in front of all others: r1 is the packet, r2 its length. The program's own entry follows it.
pub const FRONT: [Slot; 9] = [
    moved(3, 1),
    slot(0x0f, 3, 2, 0, 0), // r3 += r2
    store(10, CONTEXT, 1),
    store(10, CONTEXT + END_OF_IT, 3),
    store(10, CONTEXT + LENGTH, 2),
    moved(1, 10),
    add(1, CONTEXT as i32),
    slot(CALL, 0, LOCAL, 0, 1),
    END,
];

/// What a field of a context is: a place of the frame, or the number 0, which is what no image has.
fn field(kind: ProgramKind, offset: i16) -> Option<i16> {
    match (kind, offset) {
        (ProgramKind::Xdp, 0 | 8) => Some(START),
        (ProgramKind::Xdp, 4) => Some(END_OF_IT),
        (ProgramKind::Classifier | ProgramKind::Socket, 0) => Some(LENGTH),
        (ProgramKind::Classifier, 76 | 140) => Some(START),
        (ProgramKind::Classifier, 80) => Some(END_OF_IT),
        _ => None,
    }
}

/// What registers and words of the frame hold the context before an instruction: on every way there, and on some.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Holds {
    surely: u16,
    maybe: u16,
    words: Words,
    maybe_words: Words,
}

/// Words of a frame, from its end down.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Words(u64);

impl Words {
    /// The word there, if there is one.
    fn at(off: i16) -> u64 {
        match off {
            -512..=-8 if off % 8 == 0 => 1u64.wrapping_shl((off.unsigned_abs() / 8).wrapping_sub(1).into()),
            _ => 0,
        }
    }

    /// All that are partly there.
    fn around(off: i16) -> u64 {
        let from = off & !7;
        Words::at(from) | if from == off { 0 } else { Words::at(from.saturating_add(8)) }
    }

    fn has(self, off: i16) -> bool {
        self.0 & Words::at(off) != 0
    }
}

impl Holds {
    fn join(&mut self, other: &Holds) {
        self.surely &= other.surely;
        self.maybe |= other.maybe;
        self.words.0 &= other.words.0;
        self.maybe_words.0 |= other.maybe_words.0;
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

/// Where each function of a program begins, ascending, and its name.
pub type Starts<'n> = [(usize, Cow<'n, str>)];

/// The function that an instruction is of: its number, and where it begins.
fn function_of(starts: &Starts<'_>, pc: usize) -> (usize, usize) {
    let number = starts.partition_point(|start| start.0 <= pc).saturating_sub(1);
    (number, starts.get(number).map_or(0, |start| start.0))
}

/// An instruction, for messages.
fn told(starts: &Starts<'_>, pc: usize, what: &str) -> Error {
    let (number, start) = function_of(starts, pc);
    let name = starts.get(number).map_or("?", |start| start.1.as_ref());
    refused!("PC {} of {name}: {what}", pc.saturating_sub(start))
}

/// Rewrites the loads of a program.
pub fn rewrite(text: &mut [Slot], starts: &Starts<'_>, kind: ProgramKind, steps: &mut Steps<'_>) -> Result<(), Error> {
    let mut way = Way { text, starts, before: Vec::new(), waiting: Vec::new() };
    way.before.grow(way.text.len(), None)?;
    way.waiting.put((0, Holds { surely: 0b10, maybe: 0b10, ..Holds::default() }))?;
    while let Some((pc, holds)) = way.waiting.pop() {
        steps.take(2)?;
        way.step(pc, holds)?;
    }
    let before = way.before;
    for (pc, (one, holds)) in text.iter_mut().zip(before).enumerate() {
        let base = src(*one);
        let Some(holds) = holds.filter(|holds| is_load(*one) && holds.maybe(base)) else {
            continue;
        };
        if !holds.surely(base) {
            return Err(told(starts, pc, "it loads from what may be its context, or something else"));
        }
        if one[0] != LOAD_32 {
            let what = "it loads a part of a field of its context; whole fields of 32 bits are known";
            return Err(told(starts, pc, what));
        }
        *one = match field(kind, off(*one)) {
            Some(place) => load(dst(*one), base, place),
            None => set(dst(*one), 0),
        };
    }
    Ok(())
}

const LOAD_32: u8 = 0x61;

/// What holds the context, while it is followed through a program.
struct Way<'t> {
    text: &'t [Slot],
    starts: &'t Starts<'t>,
    /// What is known before each instruction; nothing of those that were not reached.
    before: Vec<Option<Holds>>,
    /// What is to be looked at: instructions, and what holds the context there.
    waiting: Vec<(usize, Holds)>,
}

impl Way<'_> {
    fn step(&mut self, pc: usize, holds: Holds) -> Result<(), Error> {
        let Some((&slot, before)) = self.text.get(pc).zip(self.before.get_mut(pc)) else { return Ok(()) };
        let mut joined = before.unwrap_or(holds);
        joined.join(&holds);
        if before.replace(joined) == Some(joined) {
            return Ok(());
        }
        let after = self.after(pc, slot, joined)?;
        if is_jump(slot) {
            self.go(pc, target(pc, slot), after)?;
        }
        if !matches!(slot[0], EXIT | JUMP | LONG_JUMP) {
            let next = if slot[0] == WIDE_LOAD { 2 } else { 1 };
            self.go(pc, pc.checked_add(next), after)?;
        }
        Ok(())
    }

    /// Goes on within the function.
    fn go(&mut self, from: usize, to: Option<usize>, holds: Holds) -> Result<(), Error> {
        match to {
            Some(to) if function_of(self.starts, from) == function_of(self.starts, to) => self.waiting.put((to, holds)),
            _ => Ok(()),
        }
    }

    /// What a call hands to the function that it calls, which is looked at later.
    fn enter(&mut self, pc: usize, slot: Slot, holds: &Holds) -> Result<(), Error> {
        let target = pc.checked_add(1).and_then(|next| next.checked_add_signed(imm(slot) as isize));
        let (surely, maybe) = (holds.surely & R1_TO_R5, holds.maybe & R1_TO_R5);
        self.waiting.put((target.unwrap_or(0), Holds { surely, maybe, ..Holds::default() }))
    }

    fn after(&mut self, pc: usize, slot: Slot, mut holds: Holds) -> Result<Holds, Error> {
        let (dst, src, off) = (dst(slot), src(slot), off(slot));
        let wrong = |what| told(self.starts, pc, what);
        match slot[0] & 7 {
            // Loads: a word of the frame may be the context.
            0 | 1 => {
                let word = slot[0] == LOAD && src == 10;
                holds.set(dst, word && holds.words.has(off), word && holds.maybe_words.has(off));
            }
            2 | 3 if dst == 10 => {
                holds.words.0 &= !Words::around(off);
                holds.maybe_words.0 &= !Words::around(off);
                if slot[0] == STORE && holds.maybe(src) {
                    if Words::at(off) == 0 {
                        return Err(wrong("it stores its context where that is not followed"));
                    }
                    holds.maybe_words.0 |= Words::at(off);
                    holds.words.0 |= if holds.surely(src) { Words::at(off) } else { 0 };
                }
            }
            2 | 3 if holds.maybe(dst) => return Err(wrong("it writes to its context, which nobody reads")),
            3 if holds.maybe(src) => return Err(wrong("it stores its context where that is not followed")),
            4 | 7 => match slot[0] {
                MOVE => holds.set(dst, holds.surely(src), holds.maybe(src)),
                _ if holds.maybe(dst) && slot[0] & 0xf0 != 0xb0 => {
                    return Err(wrong("it computes with the address of its context"))
                }
                _ => holds.set(dst, false, false),
            },
            5 if slot[0] == CALL => {
                if src == LOCAL {
                    self.enter(pc, slot, &holds)?;
                }
                holds.surely &= !R0_TO_R5;
                holds.maybe &= !R0_TO_R5;
            }
            _ => {}
        }
        Ok(holds)
    }
}
