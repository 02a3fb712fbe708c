//! Tail calls: a run that goes on in another program. That one takes the place of the one that called it: its stack, its argument, and what is
//! left of its budget. No engine knows of it: the program that calls ends, and leaves behind which one is the next.

use super::{Called, Executable, Run, Slices, Stop, StopKind, INTERPRETED};
use crate::{
    helpers::{Helper, Registry},
    maps::{HeldProgram, MapError, Maps},
    program::planted::{self, Bug},
    verifier::{Uses, VerifiedProgram},
};
use alloc::{string::String, sync::Arc};

/// Tail calls that a run makes at most, as with Linux.
pub const MOST_TAIL_CALLS: u32 = 33;

/// A program that others call by a tail call. It has the maps that it was verified for, and nothing that has it.
pub struct Callee {
    /// Its name, for messages.
    pub name: String,
    /// Its code.
    pub code: Arc<dyn Executable>,
    /// Its maps.
    pub maps: Option<Arc<Maps>>,
    /// The helpers that it was verified with, where they may be others than those of who calls it.
    pub helpers: Option<&'static Registry>,
}

/// Where a run is in a chain of tail calls.
pub(super) struct Chain {
    /// The program that it goes on with.
    next: Option<Arc<Callee>>,
    /// The program that it was stopped in, where it did not begin with that.
    stopped_in: Option<Arc<Callee>>,
    calls: u32,
    /// Whoever began the run goes on with the next program.
    called: bool,
    /// What interprets gets so much less of what is left of the budget.
    divisor: u64,
    /// So much less is charged for what helpers do, which takes no longer where the rest is interpreted.
    pub(super) helpers: u64,
    /// Frames of the program at a tail call, at most.
    deepest: u64,
}

impl Chain {
    /// That of a run that begins.
    pub(super) const NEW: Chain =
        Chain { next: None, stopped_in: None, calls: 0, called: false, divisor: 1, helpers: 1, deepest: 1 };

    /// That of the part of a run that is another program's.
    pub(super) fn of_callee(&self) -> Chain {
        Chain { calls: self.calls, called: true, helpers: self.helpers, ..Chain::NEW }
    }

    /// Programs that are interpreted get a part of what is left of the budget, which is meant for machine code.
    pub(super) fn divide(&mut self) {
        self.divisor = INTERPRETED;
    }

    /// The program is interpreted, and the budget is a part of what is meant for machine code.
    pub(super) fn divide_for_helpers(&mut self) {
        self.helpers = INTERPRETED;
    }

    /// The verifier has seen to it that tail calls stand in functions alone after which the program ends, or it could not.
    pub(super) fn leaves(&mut self, program: &VerifiedProgram) {
        let unseen = program.uses().contains(Uses::CALLX) || program.cap().is_some();
        self.deepest = if unseen { 1 } else { u64::MAX };
    }

    /// The name of the program that it was stopped in, where it did not begin with that.
    pub(super) fn stopped_in(&self) -> Option<&str> {
        self.stopped_in.as_ref().map(|callee| callee.name.as_str())
    }
}

/// A tail call. The run is to end, and to go on with the program; or gets the number of an error.
pub(super) fn call(run: &mut Run<'_>, program: HeldProgram, helper: &Helper, pc: usize) -> Result<Called, Stop> {
    if run.memory.frames() > run.memory.chain().deepest {
        let reason = "it leaves the whole program, and stands in a function that the program calls";
        return Err(Stop { pc, kind: StopKind::Helper { name: helper.name, reason } });
    }
    let chain = run.memory.chain();
    let most = if planted::active(Bug::EndlessChain) { u32::MAX } else { MOST_TAIL_CALLS };
    let error = match program.downcast::<Callee>() {
        Ok(callee) if chain.calls < most => {
            chain.calls += 1;
            chain.next = Some(callee);
            return Ok(Called::Ended);
        }
        Ok(_) => MapError::Full { capacity: MOST_TAIL_CALLS as usize },
        Err(_) => MapError::Invalid,
    };
    Ok(Called::Returned(error.code() as u64))
}

/// What becomes of a run when the program that it began with is over: it goes on with the next one, as long as there is one. Most runs are
/// over then.
#[inline]
pub(crate) fn go_on(result: Result<u64, Stop>, run: &mut Run<'_>, slices: Option<Slices<'_>>) -> Result<u64, Stop> {
    let chain = run.memory.chain();
    if chain.called || chain.next.is_none() {
        return result;
    }
    follow(result, run, slices)
}

#[cold]
fn follow(mut result: Result<u64, Stop>, run: &mut Run<'_>, mut slices: Option<Slices<'_>>) -> Result<u64, Stop> {
    while result.is_ok() {
        let Some(callee) = run.memory.chain().next.take() else { break };
        let (left, next, calls);
        (result, left, next, calls) = match between(&callee, &mut slices) {
            Ok(()) => part(run, &callee, &mut slices),
            Err(stop) => (Err(stop), run.budget, None, 0),
        };
        if !planted::active(Bug::FreshBudget) {
            run.budget = left;
        }
        let chain = run.memory.chain();
        (chain.next, chain.calls) = (next, calls);
        if result.is_err() {
            chain.stopped_in = Some(callee);
        }
    }
    result
}

/// A program may be too short to ask whether to give way, and many of them are not: it is asked before each.
fn between(callee: &Callee, slices: &mut Option<Slices<'_>>) -> Result<(), Stop> {
    let Some(Slices { pause, .. }) = slices else { return Ok(()) };
    let pc = callee.code.verified().program().entry;
    pause().map_err(|_| Stop { pc, kind: StopKind::Cancelled })
}

/// The part of a run that is this program's: its result, what is left of the budget, the next program, and the tail calls so far.
fn part(
    run: &mut Run<'_>,
    callee: &Callee,
    slices: &mut Option<Slices<'_>>,
) -> (Result<u64, Stop>, u64, Option<Arc<Callee>>, u32) {
    let (budget, divisor) = (run.budget, run.memory.chain().divisor);
    let helpers = callee.helpers.unwrap_or(run.helpers);
    let memory = run.memory.lent(callee.maps.as_deref());
    let mut part = Run { args: run.args, memory, budget, helpers, host: run.host };
    let interprets = callee.code.interprets(&part, slices.is_some());
    let divisor = if interprets { divisor } else { 1 };
    part.budget /= divisor;
    if divisor > 1 {
        part.memory.chain().divide_for_helpers();
    }
    let result = match slices {
        None => callee.code.run(&mut part),
        Some(Slices { units, pause }) => {
            callee.code.run_in_slices(&mut part, Slices { units: *units, pause: &mut **pause })
        }
    };
    let spent = (budget / divisor).saturating_sub(part.budget);
    let Chain { next, calls, .. } = part.memory.into_chain();
    (result, budget.saturating_sub(spent.saturating_mul(divisor)), next, calls)
}
