//! Calling a helper: what every engine does before and after. Charges where the run is metered: before the call what is known
//! then, after it what the helper walked. Checks memory arguments against the signature, calls.

use super::{Access, AccessKind, Metering, Run, Stop, StopKind};
use crate::{
    helpers::{Helper, HelperCall, HelperFn},
    maps::{Bytes, BytesMut, Map},
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
    if helper.signature.takes_numbers() {
        pay(run, helper.signature.cost.base.into(), metering, pc)?;
        return call(run, helper, Given { args, text: &[], map: None }, false, metering, pc);
    }
    let map = map_argument(run, helper, &args, pc)?;
    let given = Given { args, text: &[], map };
    pay(run, cost_before(helper, &given), metering, pc)?;
    check_ranges(run, helper, &args, pc)?;
    if helper.signature.args.contains(&ArgType::CString) {
        return call_with_text(run, helper, given, metering, pc);
    }
    let lends = !helper.signature.touches_no_memory();
    call(run, helper, given, lends, metering, pc)
}

/// What a helper is given.
struct Given<'g> {
    args: [u64; 5],
    text: &'g [u8],
    map: Option<&'g Map>,
}

/// The map that a helper is given, if it takes one: of the program's own, and of a kind that such helpers take.
#[inline]
fn map_argument<'a>(run: &Run<'a>, helper: &Helper, args: &[u64; 5], pc: usize) -> Result<Option<&'a Map>, Stop> {
    let family = |kind: &ArgType| match *kind {
        ArgType::Map(family) => Some(family),
        _ => None,
    };
    let mut arguments = helper.signature.args.iter().zip(args);
    let Some((family, &value)) = arguments.find_map(|(kind, value)| Some((family(kind)?, value))) else {
        return Ok(None);
    };
    let map = run.memory.maps().and_then(|maps| maps.by_handle(value));
    let map = map.filter(|map| map.def().kind.offers(family));
    let reason = "it was not given a map of this program that it takes";
    let kind = StopKind::Helper { name: helper.name, reason };
    map.map(Some).ok_or(Stop { pc, kind })
}

/// Charges where the run is metered.
fn pay(run: &mut Run<'_>, cost: u64, metering: Metering, pc: usize) -> Result<(), Stop> {
    if metering == Metering::Metered {
        super::charge(&mut run.budget, cost, pc)?;
    }
    #[cfg(any(test, feature = "fuzz"))]
    super::executed::add(cost);
    Ok(())
}

/// Apart from other calls, which need no buffer.
#[inline(never)]
fn call_with_text(
    run: &mut Run<'_>,
    helper: &Helper,
    given: Given<'_>,
    metering: Metering,
    pc: usize,
) -> Result<Called, Stop> {
    let mut buffer = [0; MAX_STRING];
    let mut len = 0;
    for (kind, &addr) in helper.signature.args.iter().zip(&given.args) {
        if *kind == ArgType::CString {
            len = copy_string(run, addr, &mut buffer)
                .map_err(|bad| Stop { pc, kind: bad.map_or_else(|| too_long(helper), unreadable) })?;
        }
    }
    let cost = helper.signature.cost.of_string(len as u64);
    pay(run, cost, metering, pc)?;
    let text = buffer.get(..len).unwrap_or(&[]);
    let lends = !helper.signature.touches_no_memory();
    call(run, helper, Given { text, ..given }, lends, metering, pc)
}

#[inline]
fn call(
    run: &mut Run<'_>,
    helper: &Helper,
    given: Given<'_>,
    lends: bool,
    metering: Metering,
    pc: usize,
) -> Result<Called, Stop> {
    let Given { args, text, map } = given;
    let value = match helper.function {
        HelperFn::Rust(function) => {
            let lent = if lends { lend(run, helper, &args, map, pc)? } else { Lent::NOTHING };
            let Lent { key, value, data, out } = lent;
            let mut call = HelperCall { args, text, map, key, value, data, out, host: run.host, walked: 0 };
            let value = function(&mut call)
                .map_err(|fault| Stop { pc, kind: StopKind::Helper { name: helper.name, reason: fault.reason } })?;
            let walked = call.walked.min(helper.signature.cost.walk);
            pay(run, walked.into(), metering, pc)?;
            value
        }
        HelperFn::C(function) => {
            let [a, b, c, d, e] = args;
            function(a, b, c, d, e)
        }
        HelperFn::CWithContext { function, context } => {
            let [a, b, c, d, e] = args;
            function(context as *mut c_void, a, b, c, d, e)
        }
    };
    Ok(match helper.signature.ret {
        RetType::Scalar => Called::Returned(value),
        RetType::Void => Called::Returned(0),
        RetType::EndIfZero if value == 0 => Called::Ended,
        RetType::EndIfZero => Called::Returned(value),
        RetType::MapValueOrNull => Called::Returned(value),
    })
}

/// Parts of the program's memory that a helper is lent.
struct Lent<'r> {
    key: Bytes<'r>,
    value: Bytes<'r>,
    data: Bytes<'r>,
    out: BytesMut<'r>,
}

impl Lent<'_> {
    const NOTHING: Lent<'static> =
        Lent { key: Bytes::NONE, value: Bytes::NONE, data: Bytes::NONE, out: BytesMut::NONE };
}

/// What a helper is to read and to write: the key and the value, as long as the map has them, and other memory.
fn lend<'r>(
    run: &'r Run<'_>,
    helper: &Helper,
    args: &[u64; 5],
    map: Option<&Map>,
    pc: usize,
) -> Result<Lent<'r>, Stop> {
    let mut lent = Lent::NOTHING;
    let def = map.map(Map::def);
    for (index, kind) in helper.signature.args.iter().enumerate() {
        let argument = |index: usize| args.get(index).copied().unwrap_or(0);
        let (addr, length) = (argument(index), argument(index + 1));
        let stop = |access, size| Stop { pc, kind: StopKind::OutOfBounds { access, addr, size } };
        let read = |size: u64| match size {
            0 => Ok(Bytes::NONE),
            size => run.memory.bytes(addr, size).ok_or(stop(AccessKind::HelperRead, size)),
        };
        match kind {
            ArgType::MapKey => lent.key = read(def.map_or(0, |def| def.key_size.into()))?,
            ArgType::MapValue => lent.value = read(def.map_or(0, |def| def.value_size.into()))?,
            ArgType::MemRead => lent.data = read(length)?,
            ArgType::MemWrite if length == 0 => {}
            ArgType::MemWrite => {
                let bytes = run.memory.bytes_mut(addr, length);
                lent.out = bytes.ok_or(stop(AccessKind::HelperWrite, length))?;
            }
            ArgType::Unused | ArgType::Scalar | ArgType::Length | ArgType::AnyAddress | ArgType::Map(_) => {}
            // Copied before.
            ArgType::CString => {}
        }
    }
    Ok(lent)
}

/// What is known before the call.
fn cost_before(helper: &Helper, given: &Given<'_>) -> u64 {
    let cost = helper.signature.cost;
    let mut sum = u64::from(cost.base);
    for (kind, &argument) in helper.signature.args.iter().zip(&given.args) {
        let def = given.map.map(Map::def);
        let bytes = match kind {
            ArgType::Length => argument,
            ArgType::MapKey => def.map_or(0, |def| def.key_size.into()),
            ArgType::MapValue => def.map_or(0, |def| def.value_size.into()),
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::Map(_) => 0,
            // Charged when it was read, or by the length that follows.
            ArgType::CString | ArgType::MemRead | ArgType::MemWrite => 0,
        };
        sum = sum.saturating_add(cost.of_bytes(bytes));
    }
    sum
}

fn check_ranges(run: &Run<'_>, helper: &Helper, args: &[u64; 5], pc: usize) -> Result<(), Stop> {
    for (index, kind) in helper.signature.args.iter().enumerate() {
        let addr = args.get(index).copied().unwrap_or(0);
        let size = args.get(index + 1).copied().unwrap_or(0);
        match kind {
            ArgType::MemRead if size != 0 => range(run, Access::Read, addr, size, pc)?,
            ArgType::MemWrite if size != 0 => range(run, Access::Write, addr, size, pc)?,
            // Nothing is touched.
            ArgType::MemRead | ArgType::MemWrite => {}
            // Not an address, or one that the helper does not trust.
            ArgType::Unused | ArgType::Scalar | ArgType::Length | ArgType::AnyAddress => {}
            // Checked byte by byte while it is copied.
            ArgType::CString => {}
            // Looked up before; its keys and values are checked when the helper gets them.
            ArgType::Map(_) | ArgType::MapKey | ArgType::MapValue => {}
        }
    }
    Ok(())
}

fn range(run: &Run<'_>, access: Access, addr: u64, size: u64, pc: usize) -> Result<(), Stop> {
    if run.memory.allows(access, addr, size) {
        return Ok(());
    }
    let access = match access {
        Access::Read => AccessKind::HelperRead,
        Access::Write => AccessKind::HelperWrite,
    };
    Err(Stop { pc, kind: StopKind::OutOfBounds { access, addr, size } })
}

/// Copies the NUL-terminated string at `addr`; its length without the NUL. The error is the address of the byte that
/// cannot be read, or nothing when the string is too long.
#[inline(never)]
fn copy_string(run: &Run<'_>, addr: u64, buffer: &mut [u8; MAX_STRING]) -> Result<usize, Option<u64>> {
    for (index, slot) in buffer.iter_mut().enumerate() {
        let at = addr.wrapping_add(index as u64);
        match run.memory.load(at, crate::isa::Size::B) {
            None => return Err(Some(at)),
            Some(0) => return Ok(index),
            Some(byte) => *slot = byte as u8,
        }
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
