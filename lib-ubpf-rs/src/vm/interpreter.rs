//! Programs that are interpreted: in the form that runs quickly where there is one, else instruction by instruction.

use super::{
    machine::{Machine, Moment},
    quick::{quick, Op},
    tail::go_on,
    Executable, Run, Slices, Stop, StopKind,
};
use crate::verifier::VerifiedProgram;
use alloc::boxed::Box;

/// A program run instruction by instruction.
pub struct Interpreter {
    program: VerifiedProgram,
    /// In the form that runs quickly; `None` where it is not made, or for lack of memory.
    quick: Option<Box<[Op]>>,
}

impl Interpreter {
    /// A program to be interpreted often.
    pub fn new(program: VerifiedProgram) -> Interpreter {
        Self::in_pieces(program, &mut || {})
    }

    /// As [`new`](Self::new), calling `between` again and again.
    pub fn in_pieces(program: VerifiedProgram, between: &mut dyn FnMut()) -> Interpreter {
        let quick = quick(&program.program().insns, between);
        Interpreter { program, quick }
    }

    /// Takes the program as it is, without anything made of it: for one that is interpreted now and then.
    pub fn plain(program: VerifiedProgram) -> Interpreter {
        Interpreter { program, quick: None }
    }

    /// Runs the program and shows the machine before each instruction.
    #[inline]
    pub fn run_watched(&self, run: &mut Run<'_>, watch: &mut impl FnMut(Moment<'_>)) -> Result<u64, Stop> {
        let metering = super::begin(&self.program, run)?;
        Machine::new(&self.program, run, metering).execute(watch)
    }
}

impl Interpreter {
    fn run_alone(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        let Some(ops) = &self.quick else {
            return self.run_watched(run, &mut |_| {});
        };
        let metering = super::begin(&self.program, run)?;
        Machine::new(&self.program, run, metering).execute_quick(ops)
    }

    /// Instruction by instruction, whatever the run is charged: charges stand far apart in code without jumps.
    fn run_alone_in_slices(&self, run: &mut Run<'_>, slices: &mut Slices<'_>) -> Result<u64, Stop> {
        let short = self.program.worst_cost().is_some_and(|cost| cost <= SHORT);
        if short && slices.units >= SHORT && super::proofs_hold(&self.program, run) {
            return self.run_alone(run);
        }
        let metering = super::begin(&self.program, run)?;
        let mut machine = Machine::new(&self.program, run, metering);
        loop {
            if let Some(value) = machine.some(slices.units.min(BETWEEN_POINTS), &mut |_| {})? {
                return Ok(value);
            }
            (slices.pause)().map_err(|_| machine.stop(StopKind::Cancelled))?;
        }
    }
}

impl Executable for Interpreter {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        let result = self.run_alone(run);
        go_on(result, run, None)
    }
    fn run_in_slices(&self, run: &mut Run<'_>, mut slices: Slices<'_>) -> Result<u64, Stop> {
        let result = self.run_alone_in_slices(run, &mut slices);
        go_on(result, run, Some(slices))
    }
    fn verified(&self) -> &VerifiedProgram {
        &self.program
    }
    fn engine(&self) -> &'static str {
        "interp"
    }
    fn interprets(&self, _run: &Run<'_>, _in_slices: bool) -> bool {
        true
    }
}

/// Instructions that a run in slices executes before it asks whether to give way.
const BETWEEN_POINTS: u64 = 128;
/// A program that costs at most so much is over before anybody could wait for it.
const SHORT: u64 = 1000;
