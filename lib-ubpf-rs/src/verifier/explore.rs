//! The second analysis, for what the first has not proved: path by path, loops unrolled. A path ends where a state seen before
//! stands for its own; the cost from there on is known when that state's paths are all seen, and without limit when they are
//! not: then the path has come back to itself.

use super::{
    chunks::Chunks,
    cost::Unbounded,
    findings::Findings,
    fixpoint::Plan,
    machine::{AbstractMachine, FlowTo},
    planted::{self, Bug},
    state::State,
    structure::filled,
    work::{price, Cap, Work},
    Environment, Event, Observer, Pass, VerifyError,
};
use crate::program::Program;
use alloc::vec::Vec;

const NONE: u32 = u32::MAX;
/// States at one place that are compared, the latest first.
const COMPARED: usize = 12;
/// Instructions between states that are kept for comparison.
const DISTANCE: usize = 8;

/// A state that later ones are compared with.
struct Checkpoint {
    state: State,
    /// The one before at the same place.
    older: u32,
    /// The one before on the path.
    parent: u32,
    /// Paths from here that have not ended.
    open: u32,
    /// Cost of the path to here.
    cost: u64,
    /// Greatest cost of the paths from here that have ended.
    worst: u64,
}

/// Where the analysis is.
#[derive(Clone, Copy)]
struct Path {
    pc: usize,
    /// The last checkpoint on it.
    parent: u32,
    cost: u64,
    /// Instructions since the last checkpoint.
    distance: usize,
}

pub(super) struct Explorer<'a, 'o, 'p, 'w, 'b> {
    plan: &'a Plan,
    machine: AbstractMachine<'a>,
    checkpoints: Chunks<Checkpoint>,
    /// Latest checkpoint by node number.
    latest: Vec<u32>,
    /// Paths to be followed, each with the state at its beginning.
    pending: Chunks<(Path, State)>,
    free: Chunks<State>,
    work: &'w mut Work<'b>,
    /// Bytes that it holds.
    bytes: usize,
    pub(super) steps: usize,
    worst: Result<u64, Unbounded>,
    observer: Option<&'o mut Observer<'p>>,
}

impl<'a, 'o, 'p, 'w, 'b> Explorer<'a, 'o, 'p, 'w, 'b> {
    pub(super) fn new(
        program: &'a Program,
        env: &'a Environment<'a>,
        plan: &'a Plan,
        observer: Option<&'o mut Observer<'p>>,
        work: &'w mut Work<'b>,
    ) -> Result<Self, VerifyError> {
        Ok(Explorer {
            plan,
            machine: AbstractMachine::new(program, env, work)?,
            checkpoints: Chunks::new(),
            latest: filled(plan.count(), NONE, work)?,
            pending: Chunks::new(),
            free: Chunks::new(),
            work,
            bytes: 0,
            steps: 0,
            worst: Ok(0),
            observer,
        })
    }

    /// Runs it to its end, or to a limit: [`VerifyError::Unfinished`].
    pub(super) fn run(&mut self, entry: usize, limit: usize) -> Result<(), VerifyError> {
        let mut state = State::start();
        let mut path = Path { pc: entry, parent: NONE, cost: 0, distance: 0 };
        loop {
            self.follow(&mut state, path, limit)?;
            let Some((next, start)) = self.pending.pop() else {
                if let Some(observer) = self.observer.as_deref_mut() {
                    observer(Event::Complete(Pass::Paths));
                }
                return Ok(());
            };
            self.release(start.bytes());
            let done = core::mem::replace(&mut state, start);
            self.hold(done.bytes())?;
            self.free.push(done)?;
            path = next;
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), VerifyError> {
        if planted::active(Bug::WeightlessStates) {
            return Ok(());
        }
        self.work.spend((bytes / price::MEMORY) as u64)?;
        self.work.hold(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// A state that is not used any more, with its memory, or an empty one.
    fn spare(&mut self) -> State {
        let Some(spare) = self.free.pop() else {
            return State::EMPTY;
        };
        self.release(spare.bytes());
        spare
    }

    fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.work.release(bytes);
    }

    /// What it says, and what a run costs at most.
    pub(super) fn result(self) -> (Findings, Result<u64, Unbounded>) {
        self.work.release(self.bytes);
        (self.machine.findings, self.worst)
    }

    /// Follows one path to its end.
    fn follow(&mut self, state: &mut State, mut path: Path, limit: usize) -> Result<(), VerifyError> {
        loop {
            if let Some(node) = self.plan.node(path.pc) {
                if self.seen(node, state, &path)? {
                    return Ok(());
                }
                self.remember(node, state, &mut path)?;
            }
            self.steps = self.steps.wrapping_add(1);
            path.distance = path.distance.wrapping_add(1);
            if self.steps > limit {
                return Err(Cap::Steps.into());
            }
            if let Some(observer) = self.observer.as_deref_mut() {
                let (pass, pc) = (Pass::Paths, path.pc);
                observer(Event::Before { pass, pc, state });
            }
            let before = self.machine.check(path.pc);
            let flow = self.machine.step(state, path.pc)?;
            self.work.spend(self.machine.units)?;
            self.pay(&mut path, before);
            match flow {
                FlowTo::To(next) | FlowTo::Into(next) => path.pc = next,
                FlowTo::Back(call) => path.pc = call.wrapping_add(1),
                FlowTo::Fork { fall, jump } => {
                    self.postpone(Path { pc: jump, ..path })?;
                    path.pc = fall;
                }
                FlowTo::End => {
                    return self.end(path.parent, path.cost);
                }
            }
        }
    }

    /// Adds up the path's cost. `before` is what the check of the instruction was charged on the paths before.
    fn pay(&mut self, path: &mut Path, before: Option<u64>) {
        let check = self.machine.check(path.pc).unwrap_or(0);
        if before.is_some_and(|before| before < check) {
            // It is checked on every path then, and those before have not paid for that.
            self.unbounded(path.pc, "access that is proved on some paths only");
        }
        match self.machine.cost {
            Some(cost) => path.cost = path.cost.saturating_add(cost).saturating_add(check),
            None => self.unbounded(path.pc, "helper call whose cost has no limit"),
        }
    }

    fn unbounded(&mut self, pc: usize, what: &'static str) {
        if self.worst.is_ok() {
            self.worst = Err(Unbounded { pc, what });
        }
    }

    /// Keeps the jump's side of a fork for later.
    fn postpone(&mut self, path: Path) -> Result<(), VerifyError> {
        let spare = self.spare();
        let taken = core::mem::replace(&mut self.machine.taken, spare);
        self.hold(taken.bytes())?;
        if let Some(parent) = self.checkpoints.get_mut(path.parent as usize) {
            parent.open = parent.open.saturating_add(1);
        }
        self.pending.push((path, taken))
    }

    /// Whether a state seen before stands for this one; the path ends there.
    fn seen(&mut self, node: u32, state: &State, path: &Path) -> Result<bool, VerifyError> {
        let mut index = self.latest.get(node as usize).copied().unwrap_or(NONE);
        for _ in 0..COMPARED {
            let Some(known) = self.checkpoints.get(index as usize) else {
                return Ok(false);
            };
            let mut compared = 2u64;
            let included = known.state.includes(state, &mut compared);
            self.work.spend(compared.saturating_mul(price::COMPARE))?;
            if included {
                let (open, worst) = (known.open > 0, known.worst);
                if open {
                    self.unbounded(path.pc, "loop");
                }
                self.end(path.parent, path.cost.saturating_add(worst))?;
                return Ok(true);
            }
            index = known.older;
        }
        Ok(false)
    }

    /// Makes a checkpoint, if the last one is some way back.
    fn remember(&mut self, node: u32, state: &State, path: &mut Path) -> Result<(), VerifyError> {
        let head = self.plan.is_head(path.pc);
        if path.parent != NONE && path.distance < DISTANCE && !head {
            return Ok(());
        }
        self.work.spend(state.copy_price())?;
        let mut copy = self.spare();
        copy.copy_from(state)?;
        self.hold(copy.bytes().saturating_add(size_of::<Checkpoint>()))?;
        let Some(latest) = self.latest.get_mut(node as usize) else {
            return Ok(());
        };
        let index = self.checkpoints.len() as u32;
        self.checkpoints.push(Checkpoint {
            state: copy,
            older: core::mem::replace(latest, index),
            parent: path.parent,
            open: 1,
            cost: path.cost,
            worst: 0,
        })?;
        path.parent = index;
        path.distance = 0;
        Ok(())
    }

    /// A path has ended with this cost: tells the checkpoints on it, up to the first that has other paths open.
    fn end(&mut self, parent: u32, cost: u64) -> Result<(), VerifyError> {
        let (mut index, mut total) = (parent, cost);
        while let Some(checkpoint) = self.checkpoints.get_mut(index as usize) {
            self.work.spend(price::LOOK)?;
            let beyond = total.saturating_sub(checkpoint.cost);
            checkpoint.worst = checkpoint.worst.max(beyond);
            checkpoint.open = checkpoint.open.saturating_sub(1);
            if checkpoint.open > 0 {
                return Ok(());
            }
            total = checkpoint.cost.saturating_add(checkpoint.worst);
            index = checkpoint.parent;
        }
        if let Ok(worst) = &mut self.worst {
            *worst = (*worst).max(total);
        }
        Ok(())
    }
}
