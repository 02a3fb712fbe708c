//! Calling a helper: what every engine does before and after. Charges where the run is metered: before the call what is known
//! then, after it what the helper walked. Checks memory arguments against the signature, calls.

use super::{tail, AccessKind, Memory, Metering, Run, Stop, StopKind};
use crate::{
    helpers::{Helper, HelperCall, HelperFn},
    maps::{Bytes, BytesMut, Map, Maps},
    program::{limits::MAX_STRING, ArgType, RetType},
};
use core::ffi::c_void;

/// How a helper call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Called {
    /// This is r0.
    Returned(u64),
    /// The program is at its end, with r0 = 0.
    Ended,
}

/// Calls `helper` with r1 to r5. What the budget could not pay is not taken from it.
pub fn call_helper(
    run: &mut Run<'_>,
    helper: &Helper,
    args: [u64; 5],
    metering: Metering,
    pc: usize,
) -> Result<Called, Stop> {
    let part = run.memory.chain().helpers;
    let mut bill = Bill { budget: &mut run.budget, metering, part, pc };
    let (map, text, host) = (None, &[][..], run.host);
    let (key, value, data, second, out) = (Bytes::NONE, Bytes::NONE, Bytes::NONE, Bytes::NONE, BytesMut::NONE);
    let (lane, records) = (run.memory.lane(), run.memory.records());
    let mut given =
        HelperCall { args, text, map, records, key, value, data, second, out, lane, host, walked: 0, next: None };
    if helper.signature.takes_numbers() {
        bill.pay(|| helper.signature.cost.base.into())?;
        return call(helper, &mut given, bill);
    }
    given.map = map_argument(&run.memory, helper, &args, pc)?;
    bill.pay(|| cost_before(helper, &given, run.memory.maps()))?;
    lend(&run.memory, helper, &mut given, pc)?;
    if helper.signature.args.contains(&ArgType::CString) {
        return call_with_text(&run.memory, helper, given, bill);
    }
    let called = call(helper, &mut given, bill)?;
    match given.next.cloned() {
        Some(program) => tail::call(run, program, helper, pc),
        None => Ok(called),
    }
}

/// What the call of a helper is charged to.
struct Bill<'r> {
    budget: &'r mut u64,
    metering: Metering,
    /// What is charged is the cost divided by this.
    part: u64,
    pc: usize,
}

impl Bill<'_> {
    /// Charges where the run is metered. Where all is paid, the cost is not even added up.
    #[inline(always)]
    fn pay(&mut self, cost: impl Fn() -> u64) -> Result<(), Stop> {
        if self.metering == Metering::Metered {
            super::charge(self.budget, cost().div_ceil(self.part), self.pc)?;
        }
        #[cfg(any(test, feature = "fuzz"))]
        super::executed::add(cost());
        Ok(())
    }
}

/// The map that a helper is given, if it takes one: of the program's own, and of a kind that such helpers take.
#[inline]
fn map_argument<'r>(
    memory: &'r Memory<'_>,
    helper: &Helper,
    args: &[u64; 5],
    pc: usize,
) -> Result<Option<&'r Map>, Stop> {
    let family = |kind: &ArgType| match *kind {
        ArgType::Map(family) => Some(family),
        _ => None,
    };
    let mut arguments = helper.signature.args.iter().zip(args);
    let Some((family, &value)) = arguments.find_map(|(kind, value)| Some((family(kind)?, value))) else {
        return Ok(None);
    };
    let map = memory.records().map(value);
    let map = map.filter(|map| map.def().kind.offers(family));
    let reason = "it was not given a map of this program that it takes";
    let kind = StopKind::Helper { name: helper.name, reason };
    map.map(Some).ok_or(Stop { pc, kind })
}

/// What is known before the call.
fn cost_before(helper: &Helper, given: &HelperCall<'_>, maps: Option<&Maps>) -> u64 {
    let search = maps.map_or(0, Maps::search);
    let cost = helper.signature.cost;
    let mut sum = u64::from(cost.base);
    for (kind, &argument) in helper.signature.args.iter().zip(&given.args) {
        let def = given.map.map(Map::def);
        let bytes = match kind {
            ArgType::Length => argument,
            ArgType::MapKey => def.map_or(0, |def| def.key_size.into()),
            ArgType::MapValue | ArgType::MapValueOut => def.map_or(0, |def| def.bytes_changed().into()),
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::Map(_) => 0,
            ArgType::RecordSize | ArgType::Record | ArgType::WriteWord => 0,
            // Charged when it was read, or by the length that follows.
            ArgType::CString | ArgType::MemRead | ArgType::MemWrite => 0,
        };
        let search = if kind.is_memory() { search } else { 0 };
        sum = sum.saturating_add(cost.of_bytes(bytes)).saturating_add(search.into());
    }
    sum
}

/// Checks what a helper is to read and to write, and gives it that: the key and the value, as long as the map has them, and other memory.
fn lend<'r>(memory: &'r Memory<'_>, helper: &Helper, given: &mut HelperCall<'r>, pc: usize) -> Result<(), Stop> {
    let def = given.map.map(Map::def);
    let mut first = false;
    for (index, kind) in helper.signature.args.iter().enumerate() {
        let argument = |index: usize| given.args.get(index).copied().unwrap_or(0);
        let (addr, length) = (argument(index), argument(index + 1));
        let stop = |access, size| Stop { pc, kind: StopKind::OutOfBounds { access, addr, size } };
        let read = |size: u64| match size {
            0 => Ok(Bytes::NONE),
            size => memory.bytes(addr, size).ok_or(stop(AccessKind::HelperRead, size)),
        };
        let write = |size: u64| match size {
            // Nothing is touched.
            0 => Ok(BytesMut::NONE),
            size => memory.bytes_mut(addr, size).ok_or(stop(AccessKind::HelperWrite, size)),
        };
        match kind {
            ArgType::MapKey => given.key = read(def.map_or(0, |def| def.key_size.into()))?,
            ArgType::MapValue => given.value = read(def.map_or(0, |def| def.value_size.into()))?,
            ArgType::MapValueOut => given.out = write(def.map_or(0, |def| def.value_size.into()))?,
            ArgType::MemRead if core::mem::replace(&mut first, true) => given.second = read(length)?,
            ArgType::MemRead => given.data = read(length)?,
            ArgType::MemWrite => given.out = write(length)?,
            ArgType::WriteWord => given.out = write(8)?,
            // Not an address, or one that the helper does not trust; the map was looked up before.
            ArgType::Unused | ArgType::Scalar | ArgType::Length | ArgType::AnyAddress | ArgType::Map(_) => {}
            // Looked up by the helper among those that the run holds.
            ArgType::RecordSize | ArgType::Record => {}
            // Checked byte by byte while it is copied.
            ArgType::CString => {}
        }
    }
    Ok(())
}

/// Apart from other calls, which need no buffer.
#[inline(never)]
fn call_with_text(
    memory: &Memory<'_>,
    helper: &Helper,
    given: HelperCall<'_>,
    mut bill: Bill<'_>,
) -> Result<Called, Stop> {
    let pc = bill.pc;
    let mut buffer = [0; MAX_STRING];
    let mut len = 0;
    for (kind, &addr) in helper.signature.args.iter().zip(&given.args) {
        if *kind == ArgType::CString {
            len = copy_string(memory, addr, &mut buffer)
                .map_err(|bad| Stop { pc, kind: bad.map_or_else(|| too_long(helper), unreadable) })?;
        }
    }
    bill.pay(|| helper.signature.cost.of_string(len as u64))?;
    let text = buffer.get(..len).unwrap_or(&[]);
    call(helper, &mut HelperCall { text, ..given }, bill)
}

#[inline]
fn call(helper: &Helper, given: &mut HelperCall<'_>, mut bill: Bill<'_>) -> Result<Called, Stop> {
    let value = match helper.function {
        HelperFn::Rust(function) => {
            let value = function(given).map_err(|fault| Stop {
                pc: bill.pc,
                kind: StopKind::Helper { name: helper.name, reason: fault.reason },
            })?;
            let most = helper.signature.cost.walk;
            let walked = given.walked.min(given.map.map_or(most, |map| map.def().most_walked(most)));
            bill.pay(|| walked.into())?;
            value
        }
        HelperFn::C(function) => {
            let [a, b, c, d, e] = given.args;
            function(a, b, c, d, e)
        }
        HelperFn::CWithContext { function, context } => {
            let [a, b, c, d, e] = given.args;
            function(context as *mut c_void, a, b, c, d, e)
        }
    };
    Ok(match helper.signature.ret {
        RetType::Scalar => Called::Returned(value),
        RetType::Void => Called::Returned(0),
        RetType::EndIfZero if value == 0 => Called::Ended,
        RetType::EndIfZero => Called::Returned(value),
        RetType::MapValueOrNull | RetType::RecordOrNull | RetType::TailCall => Called::Returned(value),
    })
}

/// Copies the NUL-terminated string at `addr`; its length without the NUL. The error is the address of the byte that
/// cannot be read, or nothing when the string is too long. Where its bytes lie is looked up once for each region, not for each byte.
#[inline(never)]
fn copy_string(memory: &Memory<'_>, addr: u64, buffer: &mut [u8; MAX_STRING]) -> Result<usize, Option<u64>> {
    let mut len = 0;
    while let Some(room) = buffer.get_mut(len..).filter(|room| !room.is_empty()) {
        let at = addr.wrapping_add(len as u64);
        let bytes = memory.bytes_from(at, room.len() as u64).ok_or(Some(at))?;
        let copied = bytes.copy_to(room);
        if let Some(nul) = room.iter().take(copied).position(|&byte| byte == 0) {
            return Ok(len + nul);
        }
        len += copied;
    }
    Err(None)
}

fn unreadable(addr: u64) -> StopKind {
    let access = AccessKind::HelperRead;
    StopKind::OutOfBounds { access, addr, size: 1 }
}

fn too_long(helper: &Helper) -> StopKind {
    StopKind::Helper { name: helper.name, reason: "its string argument is longer than 255 bytes" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        helpers::Registry,
        maps::Map,
        program::{Abi, MapDef, MapFlags, MapKind, MapName},
        vm::{executed, soundness::Nobody, STACK_BYTES},
    };
    use std::{sync::Arc, vec, vec::Vec};

    const STRNCMP: u32 = 182;

    /// As many maps as an object may have, and in the value of the last one a text that ends where it ends, or does not.
    fn maps(text: &[u8]) -> Maps {
        let name = MapName::new("test").unwrap();
        let (kind, flags) = (MapKind::Array, MapFlags::empty());
        let def = MapDef { kind, key_size: 4, value_size: 256, max_entries: 1, flags, inner: None, name };
        let mut list: Vec<Map> = (0..64).map(|_| Map::new(def).unwrap()).collect();
        list.last_mut().unwrap().fill(256 - text.len(), text).unwrap();
        Maps::new(list.into_iter().map(Arc::new).collect()).unwrap()
    }

    /// Compares a text with itself; how often the values of maps were gone through for that.
    fn compare(text: &[u8]) -> (Result<Called, Stop>, u64) {
        let (maps, helpers) = (maps(text), Registry::with_builtins().unwrap());
        let end = maps.windows().last().map(|window| window.base + window.len).unwrap();
        let (start, size) = (end - text.len() as u64, text.len() as u64);
        let mut stack = vec![0; STACK_BYTES];
        let memory = Memory::new(&mut [], &mut stack).with_maps(&maps);
        let mut run = Run { args: [0; 2], memory, budget: 10_000, helpers: &helpers, host: &Nobody };
        let helper = helpers.get(Abi::Linux, STRNCMP).unwrap();
        executed::take_searches();
        let called = call_helper(&mut run, helper, [start, size, start, 0, 0], Metering::Metered, 7);
        (called, executed::take_searches())
    }

    /// A string is read at a charge by its length: that does not pay for a search among many maps for each byte.
    #[test]
    fn where_a_string_lies_is_looked_up_once() {
        let mut text = [b'x'; 256];
        text[255] = 0;
        for len in [1, 2, 9, 255, 256] {
            let (called, searches) = compare(&text[256 - len..]);
            assert_eq!(called, Ok(Called::Returned(0)), "{len}");
            assert!(searches <= 3, "{searches} searches for {len} bytes");
        }
        let (called, searches) = compare(&[b'x'; 200]);
        let Err(Stop { pc: 7, kind: StopKind::OutOfBounds { access: AccessKind::HelperRead, size: 1, .. } }) = called
        else {
            panic!("{called:?}");
        };
        assert!(searches <= 4, "{searches} searches for what does not end");
        let (called, _) = compare(&[b'x'; 256]);
        assert!(matches!(called, Err(Stop { kind: StopKind::Helper { .. }, .. })), "{called:?}");
    }
}
