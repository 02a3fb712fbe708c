//! The first analysis: one state per jump target, joined over all ways that lead there, widened where a loop closes.
//! Its time is bounded by the size of the program times a small number, whatever the program does, and by the account of work.
//!
//! Every cycle contains a jump backwards, so only the targets of such jumps are widened. Work is taken in the order of the PCs,
//! callees first: without loops each state is complete when its turn comes. A function is analysed once per chain of calls.

use super::{
    chunks::Chunks,
    findings::Findings,
    machine::{AbstractMachine, FlowTo},
    planted::{self, Bug},
    state::State,
    structure::{filled, successors, Structure},
    widen::{self, Step, Thresholds},
    work::{pieces, price, Cap, Work},
    Environment, Event, Observer, Pass, VerifyError,
};
use crate::{
    isa::{Call, Insn},
    program::Program,
};
use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;

/// Chains of calls at most.
const MAX_CONTEXTS: usize = 256;
/// Joins at a loop's head before growth goes to the limit, and before nothing is kept.
const PATIENCE: u8 = 12;
const GIVE_UP: u8 = 24;

/// How far what grows goes after so many joins.
fn step_after(joins: u8) -> Step {
    match joins {
        0..PATIENCE => Step::Next,
        PATIENCE..GIVE_UP => Step::Limit,
        _ => Step::Top,
    }
}

const NONE: u32 = u32::MAX;

/// Where states are kept, and where loops are.
pub(super) struct Plan {
    /// Number of the state at each PC that is a jump target or follows a call, [`NONE`] elsewhere.
    nodes: Vec<u32>,
    count: u32,
    /// Where they are, ascending.
    places: Vec<u32>,
    /// After the last jump that leads back there, by PC; 0 where none does.
    heads: Vec<u32>,
    /// Numbers at which growth halts.
    numbers: Vec<i64>,
    pub(super) loops: bool,
}

impl Plan {
    pub(super) fn new(program: &Program, work: &mut Work<'_>) -> Result<Plan, VerifyError> {
        let insns = &program.insns;
        let mut plan = Plan {
            nodes: filled(insns.len(), NONE, work)?,
            count: 0,
            places: Vec::new(),
            heads: filled(insns.len(), 0, work)?,
            numbers: Vec::new(),
            loops: false,
        };
        for piece in pieces(0..insns.len()) {
            work.spend_each(piece.len(), price::LOOK)?;
            for pc in piece {
                match insns.get(pc) {
                    Some(Insn::Jump { .. } | Insn::Branch { .. }) => plan.jump(insns, pc),
                    Some(Insn::Call(Call::Local(_))) => plan.mark(pc.wrapping_add(1)),
                    _ => {}
                }
            }
        }
        plan.number(work)?;
        if plan.loops {
            plan.numbers = widen::numbers(insns, work)?;
        }
        Ok(plan)
    }

    /// Gives the marked places their numbers.
    fn number(&mut self, work: &mut Work<'_>) -> Result<(), VerifyError> {
        self.places.try_reserve_exact(self.count as usize).map_err(|_| VerifyError::NoMemory)?;
        for piece in pieces(0..self.nodes.len()) {
            work.spend_each(piece.len(), price::GLANCE)?;
            for pc in piece {
                if let Some(slot) = self.nodes.get_mut(pc).filter(|slot| **slot != NONE) {
                    *slot = self.places.len() as u32;
                    self.places.push(pc as u32);
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self, pc: usize) {
        if let Some(slot) = self.nodes.get_mut(pc) {
            self.count = self.count.wrapping_add(u32::from(*slot == NONE));
            *slot = 0;
        }
    }

    fn jump(&mut self, insns: &[Insn], pc: usize) {
        let Some(target) = successors(insns, pc).jump else {
            return;
        };
        self.mark(target);
        if target <= pc {
            self.loops = true;
            if let Some(head) = self.heads.get_mut(target) {
                *head = pc.wrapping_add(1) as u32;
            }
        }
    }

    /// Number of the state at a PC.
    pub(super) fn node(&self, pc: usize) -> Option<u32> {
        self.nodes.get(pc).copied().filter(|&n| n != NONE)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    pub(super) fn is_head(&self, pc: usize) -> bool {
        self.heads.get(pc).is_some_and(|&end| end != 0)
    }

    /// The number of the first state at a PC or after it, or how many there are.
    fn first_from(&self, pc: usize) -> u32 {
        self.places.partition_point(|&place| (place as usize) < pc) as u32
    }

    /// Marks what lies between a jump back and its target.
    fn mark_loops(&self, findings: &mut Findings, work: &mut Work<'_>) -> Result<(), Cap> {
        let mut end = 0;
        for piece in pieces(0..self.heads.len()) {
            work.spend_each(piece.len(), price::GLANCE)?;
            for pc in piece {
                end = end.max(self.heads.get(pc).map_or(0, |&head| head as usize));
                if pc < end {
                    findings.mark_loop(pc);
                }
            }
        }
        Ok(())
    }
}

/// A chain of calls.
struct CallChain {
    parent: u32,
    /// The call that led here.
    call: usize,
    depth: u8,
    /// Number of the first state of the function.
    first: u32,
    /// Where the function's states are.
    slots: Vec<StateSlot>,
}

/// A place for a state.
#[derive(Clone, Copy)]
struct StateSlot {
    /// Index of the state, or [`NONE`].
    state: u32,
    joins: u8,
    queued: bool,
}

/// Work: deepest chain first, then lowest PC.
type Item = (u8, Reverse<u32>, Reverse<u32>);

pub(super) struct Fixpoint<'a, 'o, 'p, 'w, 'b> {
    plan: &'a Plan,
    functions: &'a [usize],
    machine: AbstractMachine<'a>,
    contexts: Vec<CallChain>,
    states: Chunks<State>,
    free: Vec<u32>,
    queue: BinaryHeap<Item>,
    work: &'w mut Work<'b>,
    /// Bytes that it holds.
    bytes: usize,
    pub(super) steps: usize,
    /// A pointer on one way was something else on another: path by path it may be known.
    pub(super) lost_pointer: bool,
    observer: Option<&'o mut Observer<'p>>,
}

impl<'a, 'o, 'p, 'w, 'b> Fixpoint<'a, 'o, 'p, 'w, 'b> {
    pub(super) fn new(
        program: &'a Program,
        found: &'a Structure,
        env: &'a Environment<'a>,
        plan: &'a Plan,
        observer: Option<&'o mut Observer<'p>>,
        work: &'w mut Work<'b>,
    ) -> Result<Self, VerifyError> {
        let mut machine = AbstractMachine::new(program, env, work)?;
        if plan.loops {
            plan.mark_loops(&mut machine.findings, work)?;
        }
        Ok(Fixpoint {
            plan,
            functions: &found.functions,
            machine,
            contexts: Vec::new(),
            states: Chunks::new(),
            free: Vec::new(),
            queue: BinaryHeap::new(),
            work,
            bytes: 0,
            steps: 0,
            lost_pointer: false,
            observer,
        })
    }

    /// Runs it to its end, or to a limit: [`VerifyError::Unfinished`].
    pub(super) fn run(&mut self, entry: usize, limit: usize) -> Result<(), VerifyError> {
        let outermost = self.context(0, usize::MAX, 0, entry)?;
        let mut state = State::start();
        let mut at = (outermost, entry);
        loop {
            self.walk(&mut state, at, limit)?;
            let Some((_, Reverse(pc), Reverse(context))) = self.queue.pop() else {
                if let Some(observer) = self.observer.as_deref_mut() {
                    observer(Event::Complete(Pass::Joined));
                }
                return Ok(());
            };
            let pc = pc as usize;
            self.take(context, pc, &mut state)?;
            at = (context, pc);
        }
    }

    /// What it says; the states are given back.
    pub(super) fn findings(self) -> Findings {
        self.work.release(self.bytes);
        self.machine.findings
    }

    fn hold(&mut self, bytes: usize) -> Result<(), VerifyError> {
        self.work.spend((bytes / price::MEMORY) as u64)?;
        self.work.hold(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Follows the instructions until the path ends or meets a kept state.
    fn walk(&mut self, state: &mut State, at: (u32, usize), limit: usize) -> Result<(), VerifyError> {
        let (mut context, mut pc) = at;
        loop {
            self.steps = self.steps.wrapping_add(1);
            if self.steps > limit {
                return Err(Cap::Steps.into());
            }
            if let Some(observer) = self.observer.as_deref_mut() {
                observer(Event::Before { pass: Pass::Joined, pc, state });
            }
            let flow = self.machine.step(state, pc)?;
            self.work.spend(self.machine.units)?;
            match flow {
                FlowTo::To(next) => pc = next,
                FlowTo::Fork { fall, jump } => {
                    let taken = core::mem::replace(&mut self.machine.taken, State::EMPTY);
                    let merged = self.merge(context, jump, &taken);
                    self.machine.taken = taken;
                    merged?;
                    pc = fall;
                }
                FlowTo::Into(start) => {
                    (context, pc) = (self.inner(context, pc, start)?, start);
                }
                FlowTo::Back(call) => {
                    let outer = self.contexts.get(context as usize).map_or(0, |c| c.parent);
                    (context, pc) = (outer, call.wrapping_add(1));
                }
                FlowTo::End => return Ok(()),
            }
            if self.plan.node(pc).is_some() {
                return self.merge(context, pc, state);
            }
        }
    }

    fn inner(&mut self, parent: u32, call: usize, start: usize) -> Result<u32, VerifyError> {
        self.work.spend_each(self.contexts.len(), 1)?;
        let known = self.contexts.iter().position(|c| c.parent == parent && c.call == call);
        if let Some(index) = known {
            return Ok(index as u32);
        }
        let depth = self.contexts.get(parent as usize).map_or(0, |c| c.depth);
        self.context(parent, call, depth.wrapping_add(1), start)
    }

    /// A new chain of calls, that leads into the function that starts there.
    fn context(&mut self, parent: u32, call: usize, depth: u8, start: usize) -> Result<u32, VerifyError> {
        if self.contexts.len() >= MAX_CONTEXTS {
            return Err(Cap::Chains.into());
        }
        // The outermost function may be entered in its middle, and go back to its start.
        let next = self.functions.partition_point(|&f| f <= start);
        let function = self.functions.get(next.wrapping_sub(1));
        let end = self.functions.get(next).copied().unwrap_or(usize::MAX);
        self.work.spend(price::SEARCH.saturating_mul(3))?;
        let first = self.plan.first_from(function.copied().unwrap_or(0));
        let count = self.plan.first_from(end).saturating_sub(first) as usize;
        self.hold(
            size_of::<CallChain>().saturating_mul(2).saturating_add(count.saturating_mul(size_of::<StateSlot>())),
        )?;
        self.contexts.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
        let empty = StateSlot { state: NONE, joins: 0, queued: false };
        self.contexts.push(CallChain { parent, call, depth, first, slots: filled(count, empty, self.work)? });
        Ok((self.contexts.len() as u32).wrapping_sub(1))
    }

    fn slot(&mut self, context: u32, pc: usize) -> Option<&mut StateSlot> {
        let node = self.plan.node(pc)?;
        let context = self.contexts.get_mut(context as usize)?;
        let index = node.checked_sub(context.first)?;
        context.slots.get_mut(index as usize)
    }

    /// Joins a state into the one kept at a PC; queues the PC when that grows.
    fn merge(&mut self, context: u32, pc: usize, state: &State) -> Result<(), VerifyError> {
        let Some(&mut slot) = self.slot(context, pc) else {
            return Ok(());
        };
        let mut new = slot;
        match self.states.get_mut(slot.state as usize) {
            None => new.state = self.keep(state)?,
            Some(kept) => {
                let mut compared = 0u64;
                let included = kept.includes(state, &mut compared);
                let free = planted::active(Bug::FreeStates);
                let compare = if free { 0 } else { compared.saturating_mul(price::COMPARE) };
                self.work.spend(compare)?;
                if included {
                    return Ok(());
                }
                let before = kept.bytes();
                let thresholds = Thresholds { numbers: &self.plan.numbers, step: step_after(slot.joins) };
                // The first time round shows what changes; a flag that has two values keeps them.
                let widens = self.plan.is_head(pc) && slot.joins > 0;
                // Paid piece by piece: in between a pause can come.
                let price = if free { 0 } else { price::JOIN };
                let pay = |values: u64| Ok(self.work.spend(values.saturating_mul(price))?);
                let lost = kept.join(state, widens.then_some(&thresholds), pay)?;
                self.lost_pointer |= lost;
                let more = kept.bytes().saturating_sub(before);
                self.hold(more)?;
                new.joins = slot.joins.saturating_add(1);
            }
        }
        if !slot.queued {
            new.queued = true;
            let depth = self.contexts.get(context as usize).map_or(0, |c| c.depth);
            self.queue(depth, pc, context)?;
        }
        if let Some(slot) = self.slot(context, pc) {
            *slot = new;
        }
        Ok(())
    }

    fn queue(&mut self, depth: u8, pc: usize, context: u32) -> Result<(), VerifyError> {
        self.work.spend(price::SEARCH)?;
        if self.queue.len() == self.queue.capacity() {
            let more = self.queue.len().max(64);
            self.hold(more.saturating_mul(size_of::<Item>()))?;
            self.queue.try_reserve_exact(more).map_err(|_| VerifyError::NoMemory)?;
        }
        self.queue.push((depth, Reverse(pc as u32), Reverse(context)));
        Ok(())
    }

    /// Index of a new copy.
    fn keep(&mut self, state: &State) -> Result<u32, VerifyError> {
        self.work.spend(state.copy_price())?;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.hold(size_of::<State>())?;
                self.states.push(State::EMPTY)?;
                (self.states.len() as u32).wrapping_sub(1)
            }
        };
        let mut more = 0;
        if let Some(kept) = self.states.get_mut(index as usize) {
            let before = kept.bytes();
            kept.copy_from(state)?;
            more = kept.bytes().saturating_sub(before);
        }
        self.hold(more)?;
        Ok(index)
    }

    /// Takes a queued state; where no loop can lead back to it, it is not kept.
    fn take(&mut self, context: u32, pc: usize, state: &mut State) -> Result<(), VerifyError> {
        let loops = self.plan.loops;
        let Some(slot) = self.slot(context, pc) else {
            return Ok(());
        };
        slot.queued = false;
        let index = slot.state;
        if !loops {
            slot.state = NONE;
        }
        let Some(kept) = self.states.get_mut(index as usize) else {
            return Ok(());
        };
        self.work.spend(kept.copy_price())?;
        if loops {
            return state.copy_from(kept);
        }
        // Its memory is used again.
        let (before, after) = (kept.bytes(), state.bytes());
        core::mem::swap(kept, state);
        self.bytes = self.bytes.saturating_sub(before);
        self.work.release(before);
        self.hold(after)?;
        self.free.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
        self.free.push(index);
        Ok(())
    }
}
