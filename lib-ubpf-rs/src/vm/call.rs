//! Calling a helper: what every engine does before and after. Charges where the run is metered: before the call what is known
//! then, after it what the helper walked. Checks memory arguments against the signature, calls.

use super::{Access, AccessKind, Metering, Run, Stop, StopKind};
use crate::{
    helpers::{Helper, HelperCall, HelperFn},
    program::{limits::MAX_STRING, ArgType, RetType},
};

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
    pay(run, cost_before(helper, &args), metering, pc)?;
    check_ranges(run, helper, &args, pc)?;
    if helper.signature.args.contains(&ArgType::CString) {
        return call_with_text(run, helper, args, metering, pc);
    }
    call(run, helper, args, &[], metering, pc)
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
    args: [u64; 5],
    metering: Metering,
    pc: usize,
) -> Result<Called, Stop> {
    let mut buffer = [0; MAX_STRING];
    let mut len = 0;
    for (kind, &addr) in helper.signature.args.iter().zip(&args) {
        if *kind == ArgType::CString {
            len = copy_string(run, addr, &mut buffer)
                .map_err(|bad| Stop { pc, kind: bad.map_or_else(|| too_long(helper), unreadable) })?;
        }
    }
    let cost = helper.signature.cost.of_string(len as u64);
    pay(run, cost, metering, pc)?;
    let text = buffer.get(..len).unwrap_or(&[]);
    call(run, helper, args, text, metering, pc)
}

fn call(
    run: &mut Run<'_>,
    helper: &Helper,
    args: [u64; 5],
    text: &[u8],
    metering: Metering,
    pc: usize,
) -> Result<Called, Stop> {
    let value = match helper.function {
        HelperFn::Rust(function) => {
            let mut call = HelperCall { args, text, host: run.host, walked: 0 };
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
    };
    Ok(match helper.signature.ret {
        RetType::Scalar => Called::Returned(value),
        RetType::Void => Called::Returned(0),
        RetType::EndIfZero if value == 0 => Called::Ended,
        RetType::EndIfZero => Called::Returned(value),
    })
}

/// What is known before the call.
fn cost_before(helper: &Helper, args: &[u64; 5]) -> u64 {
    let cost = helper.signature.cost;
    let lengths = helper.signature.args.iter().zip(args);
    lengths
        .filter(|(kind, _)| **kind == ArgType::Length)
        .fold(u64::from(cost.base), |sum, (_, &bytes)| sum.saturating_add(cost.of_bytes(bytes)))
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
