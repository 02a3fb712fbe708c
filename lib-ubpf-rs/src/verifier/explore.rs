//! The second analysis, for what the first has not proved: path by path, loops unrolled. A path ends where a state seen before
//! stands for its own; the cost from there on is known when that state's paths are all seen, and without limit when they are
//! not: then the path has come back to itself.

use super::{
    cost::Unbounded,
    findings::Findings,
    fixpoint::{Ended, Plan},
    machine::{Flow, Machine},
    state::State,
    structure::filled,
    value::Object,
    Event, HelperLookup, Observer, Pass, VerifyError,
};
use crate::program::Program;
use alloc::vec::Vec;

const NONE: u32 = u32::MAX;
/// Bytes of states at most.
const MAX_BYTES: usize = 4 << 20;
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

pub(super) struct Explorer<'a, 'o, 'p> {
    plan: &'a Plan,
    machine: Machine<'a>,
    checkpoints: Vec<Checkpoint>,
    /// Latest checkpoint by node number.
    latest: Vec<u32>,
    /// Paths to be followed, each with the state at its beginning.
    pending: Vec<(Path, State)>,
    free: Vec<State>,
    bytes: usize,
    pub(super) steps: usize,
    worst: Result<u64, Unbounded>,
    observer: Option<&'o mut Observer<'p>>,
}

impl<'a, 'o, 'p> Explorer<'a, 'o, 'p> {
    pub(super) fn new(
        program: &'a Program,
        helpers: &'a dyn HelperLookup,
        objects: &'a [Object],
        plan: &'a Plan,
        observer: Option<&'o mut Observer<'p>>,
    ) -> Result<Self, VerifyError> {
        Ok(Explorer {
            plan,
            machine: Machine::new(program, helpers, objects)?,
            checkpoints: Vec::new(),
            latest: filled(plan.count(), NONE)?,
            pending: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            steps: 0,
            worst: Ok(0),
            observer,
        })
    }

    /// Runs it.
    pub(super) fn run(&mut self, entry: usize, limit: usize) -> Result<Ended, VerifyError> {
        let mut state = State::start();
        let mut path = Path {
            pc: entry,
            parent: NONE,
            cost: 0,
            distance: 0,
        };
        loop {
            if !self.follow(&mut state, path, limit)? {
                return Ok(Ended::Limit);
            }
            let Some((next, start)) = self.pending.pop() else {
                if let Some(observer) = self.observer.as_deref_mut() {
                    observer(Event::Complete(Pass::Paths));
                }
                return Ok(Ended::Complete);
            };
            self.bytes = self.bytes.saturating_sub(start.bytes());
            let done = core::mem::replace(&mut state, start);
            self.free
                .try_reserve(1)
                .map_err(|_| VerifyError::NoMemory)?;
            self.free.push(done);
            path = next;
        }
    }

    /// What it says, and what a run costs at most.
    pub(super) fn result(self) -> (Findings, Result<u64, Unbounded>) {
        (self.machine.findings, self.worst)
    }

    /// Follows one path to its end. False at a limit.
    fn follow(
        &mut self,
        state: &mut State,
        mut path: Path,
        limit: usize,
    ) -> Result<bool, VerifyError> {
        loop {
            if let Some(node) = self.plan.node(path.pc) {
                if self.seen(node, state, &path) {
                    return Ok(true);
                }
                self.remember(node, state, &mut path)?;
            }
            self.steps = self.steps.wrapping_add(1);
            path.distance = path.distance.wrapping_add(1);
            if self.steps > limit || self.bytes > MAX_BYTES {
                return Ok(false);
            }
            if let Some(observer) = self.observer.as_deref_mut() {
                let (pass, pc) = (Pass::Paths, path.pc);
                observer(Event::Before { pass, pc, state });
            }
            let flow = self.machine.step(state, path.pc)?;
            self.pay(&mut path);
            match flow {
                Flow::To(next) | Flow::Into(next) => path.pc = next,
                Flow::Back(call) => path.pc = call.wrapping_add(1),
                Flow::Fork { fall, jump } => {
                    self.postpone(Path { pc: jump, ..path })?;
                    path.pc = fall;
                }
                Flow::End => {
                    self.end(path.parent, path.cost);
                    return Ok(true);
                }
            }
        }
    }

    fn pay(&mut self, path: &mut Path) {
        match self.machine.cost {
            Some(cost) => path.cost = path.cost.saturating_add(cost),
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
        let spare = self.free.pop().unwrap_or(State::EMPTY);
        let taken = core::mem::replace(&mut self.machine.taken, spare);
        self.bytes = self.bytes.saturating_add(taken.bytes());
        if let Some(parent) = self.checkpoints.get_mut(path.parent as usize) {
            parent.open = parent.open.saturating_add(1);
        }
        self.pending
            .try_reserve(1)
            .map_err(|_| VerifyError::NoMemory)?;
        self.pending.push((path, taken));
        Ok(())
    }

    /// Whether a state seen before stands for this one; the path ends there.
    fn seen(&mut self, node: u32, state: &State, path: &Path) -> bool {
        let mut index = self.latest.get(node as usize).copied().unwrap_or(NONE);
        for _ in 0..COMPARED {
            let Some(known) = self.checkpoints.get(index as usize) else {
                return false;
            };
            if known.state.includes(state) {
                let (open, worst) = (known.open > 0, known.worst);
                if open {
                    self.unbounded(path.pc, "loop");
                }
                self.end(path.parent, path.cost.saturating_add(worst));
                return true;
            }
            index = known.older;
        }
        false
    }

    /// Makes a checkpoint, if the last one is some way back.
    fn remember(&mut self, node: u32, state: &State, path: &mut Path) -> Result<(), VerifyError> {
        let head = self.plan.is_head(path.pc);
        if path.parent != NONE && path.distance < DISTANCE && !head {
            return Ok(());
        }
        let Some(latest) = self.latest.get_mut(node as usize) else {
            return Ok(());
        };
        let mut copy = self.free.pop().unwrap_or(State::EMPTY);
        copy.copy_from(state)?;
        self.bytes = self.bytes.saturating_add(copy.bytes());
        self.checkpoints
            .try_reserve(1)
            .map_err(|_| VerifyError::NoMemory)?;
        let index = self.checkpoints.len() as u32;
        self.checkpoints.push(Checkpoint {
            state: copy,
            older: core::mem::replace(latest, index),
            parent: path.parent,
            open: 1,
            cost: path.cost,
            worst: 0,
        });
        path.parent = index;
        path.distance = 0;
        Ok(())
    }

    /// A path has ended with this cost: tells the checkpoints on it, up to the first that has other paths open.
    fn end(&mut self, parent: u32, cost: u64) {
        let (mut index, mut total) = (parent, cost);
        while let Some(checkpoint) = self.checkpoints.get_mut(index as usize) {
            let beyond = total.saturating_sub(checkpoint.cost);
            checkpoint.worst = checkpoint.worst.max(beyond);
            checkpoint.open = checkpoint.open.saturating_sub(1);
            if checkpoint.open > 0 {
                return;
            }
            total = checkpoint.cost.saturating_add(checkpoint.worst);
            index = checkpoint.parent;
        }
        if let Ok(worst) = &mut self.worst {
            *worst = (*worst).max(total);
        }
    }
}
