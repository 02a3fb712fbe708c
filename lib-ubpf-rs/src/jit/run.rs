//! One run of machine code: into it, out of it for helpers and for the next slice of its budget, and what stopped it.

use super::{
    arch::{self, inline_routines, routines},
    context::{stop, RunContext},
    program::JitProgram,
};
use crate::{
    helpers::InlinePlaces,
    isa::{Insn, Size},
    maps::Maps,
    platform::Cancelled,
    verifier::VerifiedProgram,
    vm::{
        begin, call_helper, probe, AccessKind, AccessMode, BudgetReserve, Called, Executable, Metering, Run, Slices,
        Stop, StopKind, ENDLESS, FRAME_BYTES,
    },
};

/// How a helper ended the run.
#[derive(Clone, Copy)]
enum HelperEnd {
    /// With r0 = 0, as it may.
    Ended,
    Stopped(StopKind),
}

/// What the function that calls helpers needs during a run.
struct Session<'s, 'a, 'p> {
    run: &'s mut Run<'a>,
    program: &'s VerifiedProgram,
    metering: Metering,
    end: Option<HelperEnd>,
    /// Of a run in slices: the budget beside the slice that the code counts down.
    reserve: Option<BudgetReserve<'p>>,
}

impl JitProgram {
    pub(super) fn enter(&self, run: &mut Run<'_>, slices: Option<Slices<'_>>) -> Result<u64, Stop> {
        let paid = begin(self.verified(), run)? == Metering::Prepaid;
        let at_the_end = run.budget;
        let mut reserve = None;
        if let Some(slices) = slices {
            let (rest, slice) = BudgetReserve::new(slices, run.budget, paid);
            run.budget = slice;
            reserve = Some(rest);
        } else if paid {
            // Code that charges all the same never comes to an end of it.
            run.budget = ENDLESS;
        }
        let metering = if paid && reserve.is_none() { Metering::Prepaid } else { Metering::Metered };
        let mut context = RunContext::new(&run.memory, routines());
        let [r1, r2] = run.args;
        context.args = [r1, r2, 0, 0, 0];
        context.budget = run.budget;
        let within = run.memory.maps().is_some_and(Maps::hold_maps);
        arch::connect(&mut context, reserve.is_some(), within);
        context.find_values(&self.maps.windows, self.maps.writable);
        // The routines charge nothing.
        if metering == Metering::Prepaid {
            context.work_with(&InlinePlaces::of(run.host), &inline_routines());
        }
        let mut session = Session { run, program: self.verified(), metering, end: None, reserve };
        context.session = (&raw mut session) as usize;
        // SAFETY: the code was emitted for a verified program: it calls only the routines of the context, touches only memory
        // that is proved or checked to be the program's, and returns with the stack and the kept registers as they were.
        let value = unsafe { arch::enter(&raw mut context, self.at.wrapping_add(self.entry)) };
        let end = session.end;
        let reserve = session.reserve.map_or(0, |reserve| reserve.left());
        run.budget = context.budget.wrapping_add(reserve);
        let result = match context.stop {
            stop::NONE => Ok(value),
            _ => self.stopped(&context, run, end),
        };
        if paid {
            run.budget = at_the_end;
        }
        result
    }

    fn stopped(&self, context: &RunContext, run: &mut Run<'_>, by_helper: Option<HelperEnd>) -> Result<u64, Stop> {
        let pc = self.pc_at(context.stop_at);
        let insn = self.verified().program().insns.get(pc);
        let addr = context.stop_addr;
        let kind = match (context.stop, insn) {
            (stop::BUDGET, Some(insn)) => {
                run.budget = run.budget.wrapping_add(self.cost(pc, insn));
                StopKind::BudgetExhausted
            }
            (stop::DEPTH, _) => StopKind::CallDepth,
            (stop::CANCELLED, _) => StopKind::Cancelled,
            (stop::MEMORY, Some(insn)) => {
                let (access, size) = access(insn);
                StopKind::OutOfBounds { access, addr, size }
            }
            (stop::UNALIGNED, Some(insn)) => StopKind::Unaligned { addr, size: access(insn).1 },
            (stop::HELPER, _) => match by_helper {
                Some(HelperEnd::Ended) => return Ok(0),
                Some(HelperEnd::Stopped(kind)) => kind,
                None => StopKind::Internal,
            },
            _ => StopKind::Internal,
        };
        Err(Stop { pc, kind })
    }
}

fn access(insn: &Insn) -> (AccessKind, u64) {
    let (kind, size) = match *insn {
        Insn::Store { size, .. } => (AccessKind::Store, size),
        Insn::Atomic { size, .. } => (AccessKind::Atomic, size),
        Insn::Load { size, .. } => (AccessKind::Load, size),
        _ => (AccessKind::Load, Size::B),
    };
    (kind, size.bytes() as u64)
}

/// Called by emitted code for each helper call.
///
/// # Safety
/// `context` is that of a run, whose session lives.
#[inline]
pub(super) unsafe fn call(context: *mut RunContext, number: u64) -> u64 {
    // SAFETY: see above; emitted code waits for this call and touches neither meanwhile.
    let (context, session) = unsafe { (&mut *context, &mut *((*context).session as *mut Session<'_, '_, '_>)) };
    let run = &mut *session.run;
    let slice = context.budget;
    let reserve = session.reserve.as_ref().map_or(0, BudgetReserve::left);
    run.budget = slice.wrapping_add(reserve);
    let below = context.top.wrapping_sub(context.frame) as usize;
    run.memory.set_frames((below / FRAME_BYTES).wrapping_add(1));
    let abi = session.program.program().abi;
    let helpers = run.helpers;
    let known = u32::try_from(number).ok().and_then(|n| helpers.get(abi, n));
    // Where the call stands is found when it is needed: `pc_at`.
    let result = match known {
        Some(helper) => call_helper(run, helper, context.args, session.metering, 0).map_err(|stop| stop.kind),
        None if context.stop == stop::PROBE => {
            context.stop = stop::NONE;
            return probed(run, context.stop_addr, number);
        }
        None => Err(StopKind::UnknownHelper { number }),
    };
    context.find_records(&run.memory);
    context.budget = run.budget;
    if let Some(reserve) = &mut session.reserve {
        match reserve.after(slice, run.budget) {
            Ok(rest) => context.budget = rest,
            Err(Cancelled) => {
                context.budget = 0;
                context.stop = stop::CANCELLED;
                return 0;
            }
        }
    }
    let end = match result {
        Ok(Called::Returned(value)) => return value,
        Ok(Called::Ended) => HelperEnd::Ended,
        Err(kind) => HelperEnd::Stopped(kind),
    };
    session.end = Some(end);
    context.stop = stop::HELPER;
    0
}

/// Called by emitted code for an address that is in none of the regions and values that it knows itself: whether so many bytes there are in a
/// value of a map within a map.
///
/// # Safety
/// As for [`call`].
#[inline]
pub(super) unsafe fn within(context: *mut RunContext, address: u64, size: u64, access: AccessMode) -> bool {
    // SAFETY: see above; emitted code waits for this call and touches neither meanwhile.
    let session = unsafe { &*((*context).session as *const Session<'_, '_, '_>) };
    session.run.memory.is_within_a_map(access, address, size)
}

/// No helper's number: a load of so many bytes beyond it (as log2) reads the application's memory.
pub(super) const PROBE: i32 = i32::MIN;

/// What a probing load gives that was not found to be in the region that was likeliest.
#[cold]
fn probed(run: &Run<'_>, addr: u64, number: u64) -> u64 {
    let size = [Size::B, Size::H, Size::W, Size::DW].get((number & 3) as usize).copied().unwrap_or(Size::DW);
    run.memory.load(addr, size).unwrap_or_else(|| probe(run.host, addr, size))
}

/// Called by emitted code when a run in slices has used up one: `context.budget` is below zero by what is missing.
///
/// # Safety
/// As for [`call`].
#[inline]
pub(super) unsafe fn refill(context: *mut RunContext) {
    // SAFETY: see above; emitted code waits for this call and touches neither meanwhile.
    let (context, session) = unsafe { (&mut *context, &mut *((*context).session as *mut Session<'_, '_, '_>)) };
    let missing = 0u64.wrapping_sub(context.budget);
    match session.reserve.as_mut().and_then(|r| r.next(missing)) {
        Some(Ok(slice)) => context.budget = slice,
        Some(Err(Cancelled)) => {
            context.budget = 0;
            context.stop = stop::CANCELLED;
        }
        None => context.stop = stop::BUDGET,
    }
}
