//! Helpers that call functions of the program: they become functions of it, with a loop. So an image needs nothing for them: a callback is
//! verified, charged and compiled as any function that is called in a loop.

use crate::{
    error::{refused, Error},
    maps::Map,
    slot::{
        add, between, call, is_jump, load, moved, off, set, set_off, slot, store, Slot, CALL_LOCAL, END, JUMP,
        JUMP_UNEQUAL,
    },
    work::Put,
};
use alloc::vec::Vec;

/// Such a helper.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// `bpf_loop(times, callback, context, flags)`
    Loop,
    /// `bpf_for_each_map_elem(map, callback, context, flags)`
    Each,
}

/// Most rounds of `bpf_loop`, as on Linux.
const MOST_ROUNDS: i32 = 1 << 23;
/// Bytes of the stack of a function, and what a walk takes of it beside the key.
const FRAME: u32 = 512;
const COUNT: i16 = 8;
/// The helpers that show the key in a place of a map (`ubpf_map_key`), and the value of a key.
const MAP_KEY: u8 = 255;
const MAP_LOOKUP: u8 = 1;
/// Jumps: `==`, `s<` and `>=` with a number, `>=` of two registers, and `>` with a number.
const EQUAL: u8 = 0x15;
const BELOW: u8 = 0xc5;
const AT_LEAST: u8 = 0x35;
const AT_LEAST_REGISTER: u8 = 0x3d;
const ABOVE: u8 = 0x25;
/// What a call through a pointer becomes, for each function that it may lead to.
pub const CALL_SLOTS: usize = 3;

impl Caller {
    /// Most instructions of its function, the calls aside.
    pub const SLOTS: usize = 40;

    pub fn of_number(number: i64) -> Option<Caller> {
        match number {
            164 => Some(Caller::Each),
            181 => Some(Caller::Loop),
            _ => None,
        }
    }

    pub fn of_name(name: &str) -> Option<Caller> {
        match name {
            "bpf_for_each_map_elem" => Some(Caller::Each),
            "bpf_loop" => Some(Caller::Loop),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Caller::Each => "bpf_for_each_map_elem",
            Caller::Loop => "bpf_loop",
        }
    }

    /// Its function, with a call for each pointer: those calls have no distance yet, and are the only ones of functions.
    pub fn code(self, pointers: impl ExactSizeIterator<Item = u32>, maps: &[Map<'_>]) -> Result<Vec<Slot>, Error> {
        match self {
            Caller::Loop => with_calls(self, &LOOP, (LOOP_CALLS, LOOP_CALLED), pointers),
            Caller::Each => with_calls(self, &each(maps)?, (EACH_CALLS, EACH_CALLED), pointers),
        }
    }
}

/// The calls of functions are put in at place `calls`, each with a test of r7 before it, and behind it the way to the place `called`. Jumps in
/// `code` have the place that they lead to in their field of 16 bits.
fn with_calls(
    caller: Caller,
    code: &[Slot],
    (calls, called): (usize, usize),
    pointers: impl ExactSizeIterator<Item = u32>,
) -> Result<Vec<Slot>, Error> {
    let more = pointers.len().saturating_mul(CALL_SLOTS);
    let place = |at: usize| if at < calls { at } else { at.saturating_add(more) };
    let far = || refused!("{}: it may call too many functions", caller.name());
    let distance = |from: usize, to: usize| i16::try_from(between(from, to)).map_err(|_| far());
    let mut made = Vec::new();
    for (at, &one) in code.iter().enumerate().take(calls) {
        made.put(with_distance(one, |to| distance(at, place(to)))?)?;
    }
    for pointer in pointers {
        made.put_all(&[slot(JUMP_UNEQUAL, 7, 0, 2, pointer as i32), CALL_LOCAL])?;
        let off = distance(made.len(), place(called))?;
        made.put(slot(JUMP, 0, 0, off, 0))?;
    }
    for (at, &one) in code.iter().enumerate().skip(calls) {
        made.put(with_distance(one, |to| distance(place(at), place(to)))?)?;
    }
    Ok(made)
}

fn with_distance(mut one: Slot, distance: impl Fn(usize) -> Result<i16, Error>) -> Result<Slot, Error> {
    if is_jump(one) {
        let off = distance(off(one).unsigned_abs().into())?;
        set_off(&mut one, off);
    }
    Ok(one)
}

/// r6 is the number of rounds, r9 that of the next one, r7 the callback, r8 its context. A function that is none of the program is an
/// argument that makes no sense.
const LOOP: [Slot; 17] = [
    slot(0xbc, 6, 1, 0, 0), // w6 = w1
    moved(7, 2),
    moved(8, 3),
    set(9, 0),
    slot(JUMP_UNEQUAL, 4, 0, 10, 0),
    slot(ABOVE, 6, 0, 12, MOST_ROUNDS),
    // 6: the next round
    slot(AT_LEAST_REGISTER, 9, 6, 15, 0),
    moved(1, 9),
    moved(2, 8),
    add(9, 1),
    // 10: the calls; then, where none was the callback's
    set(0, -22),
    END,
    // 12: too many rounds
    set(0, -7),
    END,
    // 14: it was called
    slot(EQUAL, 0, 0, 6, 0),
    // 15: done
    moved(0, 9),
    END,
];
const LOOP_CALLS: usize = 10;
const LOOP_CALLED: usize = 14;

/// What a walk through one of these maps needs: bytes of a key, its offset in the frame, and how many places there are.
fn sizes(maps: &[Map<'_>]) -> Result<(i32, i32, i32), Error> {
    let longest = maps.iter().map(|map| map.key_size).max().unwrap_or(0);
    let too_long = || refused!("bpf_for_each_map_elem: keys of {longest} bytes do not fit the stack");
    let key = longest.checked_next_multiple_of(8).ok_or_else(too_long)?;
    let below = key.checked_add(COUNT.unsigned_abs().into()).filter(|&below| below <= FRAME).ok_or_else(too_long)?;
    // A hash has fewer than three places for each entry.
    let entries = maps.iter().map(|map| map.max_entries).max().unwrap_or(0);
    let places = entries.saturating_mul(3).saturating_add(2).min(i32::MAX as u32) as i32;
    Ok((key as i32, (below as i32).wrapping_neg(), places))
}

/// r6 is the map, r9 the next place in it, r7 the callback, r8 its context. What was deleted meanwhile is left out. The result is the number
/// of calls.
fn each(maps: &[Map<'_>]) -> Result<[Slot; 34], Error> {
    let (key, below, places) = sizes(maps)?;
    Ok([
        moved(6, 1),
        moved(7, 2),
        moved(8, 3),
        set(9, 0),
        slot(0x7a, 10, 0, -COUNT, 0), // *(u64 *)(r10 - COUNT) = 0
        slot(JUMP_UNEQUAL, 4, 0, 29, 0),
        // 6: the next place
        slot(AT_LEAST, 9, 0, 32, places),
        moved(1, 6),
        moved(2, 9),
        moved(3, 10),
        add(3, below),
        set(4, key),
        add(9, 1),
        call(MAP_KEY),
        slot(BELOW, 0, 0, 32, 0),
        slot(EQUAL, 0, 0, 6, 0),
        moved(1, 6),
        moved(2, 10),
        add(2, below),
        call(MAP_LOOKUP),
        slot(EQUAL, 0, 0, 6, 0),
        load(1, 10, -COUNT),
        add(1, 1),
        store(10, -COUNT, 1),
        moved(1, 6),
        moved(2, 10),
        add(2, below),
        moved(3, 0),
        moved(4, 8),
        // 29: the calls; then, where none was the callback's
        set(0, -22),
        END,
        // 31: it was called
        slot(EQUAL, 0, 0, 6, 0),
        // 32: done
        load(0, 10, -COUNT),
        END,
    ])
}
const EACH_CALLS: usize = 29;
const EACH_CALLED: usize = 31;
