//! Helpers that call functions of the program: they become functions of it, with a loop. So an image needs nothing for them: a callback is
//! verified, charged and compiled as any function that is called in a loop.

use crate::maps::Map;
use ubpf_rs::isa::assemble;

/// Such a helper.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// `bpf_loop(times, callback, context, flags)`
    Loop,
    /// `bpf_for_each_map_elem(map, callback, context, flags)`
    Each,
}

/// Most rounds of `bpf_loop`, as on Linux.
const MOST_ROUNDS: u32 = 1 << 23;
/// Bytes of the stack of a function, and what a walk takes of it beside the key.
const FRAME: u32 = 512;
const COUNT: u32 = 8;
/// The helper that shows the key in a place of a map (`ubpf_map_key`).
const MAP_KEY: u32 = 255;

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
    pub fn code(self, pointers: &[u32], maps: &[Map]) -> Result<Vec<u8>, String> {
        let mut calls = String::new();
        for pointer in pointers {
            calls += &format!("if r7 != {pointer} goto +2\ncall local checked\ngoto checked\n");
        }
        let text = match self {
            Caller::Loop => of_loop(&calls),
            Caller::Each => of_each(&calls, maps)?,
        };
        assemble(&text).map_err(|error| format!("{}: line {}: {}", self.name(), error.line, error.problem))
    }
}

/// r6 is the number of rounds, r9 that of the next one, r7 the callback, r8 its context. A function that is none of the program is an
/// argument that makes no sense.
fn of_loop(calls: &str) -> String {
    format!(
        "w6 = w1
         r7 = r2
         r8 = r3
         r9 = 0
         if r4 != 0 goto invalid
         if r6 > {MOST_ROUNDS} goto large
     next:
         if r9 >= r6 goto done
         r1 = r9
         r2 = r8
         r9 += 1
         {calls}
     invalid:
         r0 = -22
         exit
     large:
         r0 = -7
         exit
     checked:
         if r0 == 0 goto next
     done:
         r0 = r9
         exit"
    )
}

/// r6 is the map, r9 the next place in it, r7 the callback, r8 its context. What was deleted meanwhile is left out. The result is the number
/// of calls.
fn of_each(calls: &str, maps: &[Map]) -> Result<String, String> {
    let longest = maps.iter().map(|map| map.key_size).max().unwrap_or(0);
    let key = longest.next_multiple_of(8);
    if key.saturating_add(COUNT) > FRAME {
        return Err(format!("bpf_for_each_map_elem: keys of {longest} bytes do not fit the stack"));
    }
    // A hash has fewer than three places for each entry.
    let entries = maps.iter().map(|map| map.max_entries).max().unwrap_or(0);
    let places = entries.saturating_mul(3).saturating_add(2).min(i32::MAX as u32);
    let below = key + COUNT;
    Ok(format!(
        "r6 = r1
         r7 = r2
         r8 = r3
         r9 = 0
         *(u64 *)(r10 - {COUNT}) = 0
         if r4 != 0 goto invalid
     next:
         if r9 >= {places} goto done
         r1 = r6
         r2 = r9
         r3 = r10
         r3 += -{below}
         r4 = {key}
         r9 += 1
         call {MAP_KEY}
         if r0 s< 0 goto done
         if r0 == 0 goto next
         r1 = r6
         r2 = r10
         r2 += -{below}
         call 1
         if r0 == 0 goto next
         r1 = *(u64 *)(r10 - {COUNT})
         r1 += 1
         *(u64 *)(r10 - {COUNT}) = r1
         r1 = r6
         r2 = r10
         r2 += -{below}
         r3 = r0
         r4 = r8
         {calls}
     invalid:
         r0 = -22
         exit
     checked:
         if r0 == 0 goto next
     done:
         r0 = *(u64 *)(r10 - {COUNT})
         exit"
    ))
}
